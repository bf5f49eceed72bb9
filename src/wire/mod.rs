//! The outside world's JSON and YAML.

pub mod status;
