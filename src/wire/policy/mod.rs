//! `kind: Policy` and `kind: KubeSchedulerConfiguration`, as JSON or YAML.

mod extender;
mod legacy;
mod reader;
mod tree;

use crate::core::policy::{Faults, Policy};

/// Reads a Policy: JSON or YAML, `kind: Policy`, `apiVersion: v1` (both may be missing). An empty text is a Policy of
/// defaults.
///
/// # Errors
/// Everything that is wrong with it, in form and in meaning, each fault with its field.
pub fn parse_policy(text: &str) -> Result<Policy, Faults> {
    legacy::parse(text)
}
