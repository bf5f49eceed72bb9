//! Tracing and metric names.
