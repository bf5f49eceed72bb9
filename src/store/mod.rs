//! Durable documents and revisions.
