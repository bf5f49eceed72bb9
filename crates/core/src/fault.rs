//! Faults and warnings of a policy.

use std::fmt;

/// One thing that keeps a policy from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, as a field path: `predicates[2].argument.labelsPresence.labels`; empty for the whole document.
    pub field: String,
    /// The fault, in kube-scheduler's own words if it has some.
    pub message: String,
}

/// One thing in a usable policy that its author may not have meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where, as a field path; empty for the whole document.
    pub field: String,
    /// The warning.
    pub message: String,
}

impl Fault {
    /// A fault at a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    /// A value that the field may not have (`field.Invalid` of `apimachinery/pkg/util/validation/field/errors.go`).
    pub fn invalid(field: impl Into<String>, value: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::new(field, format!("Invalid value: {value}: {why}"))
    }

    /// Like [`Self::invalid`], for a text, which is printed in quotes.
    pub fn invalid_text(field: impl Into<String>, value: &str, why: impl fmt::Display) -> Self {
        Self::invalid(field, format_args!("{value:?}"), why)
    }
}

impl Warning {
    /// A warning at a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

fn write_at(f: &mut fmt::Formatter<'_>, field: &str, message: &str) -> fmt::Result {
    if field.is_empty() { f.write_str(message) } else { write!(f, "{field}: {message}") }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_at(f, &self.field, &self.message)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_at(f, &self.field, &self.message)
    }
}

/// Everything that is wrong with a policy, never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.0.iter().map(Fault::to_string).collect::<Vec<_>>().join("; "))]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// `value` where there is no fault, else all the faults.
    pub fn or<T>(faults: Vec<Fault>, value: T) -> Result<T, Self> {
        if faults.is_empty() { Ok(value) } else { Err(Self(faults)) }
    }
}
