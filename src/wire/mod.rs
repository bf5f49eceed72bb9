//! The outside world's JSON and YAML.

pub mod policy;
