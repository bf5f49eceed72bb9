//! The outside world's JSON and YAML.

pub mod explanation;
pub mod table;
