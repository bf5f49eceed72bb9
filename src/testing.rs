//! Builders for tests and benches.
