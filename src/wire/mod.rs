//! The outside world's JSON and YAML.
