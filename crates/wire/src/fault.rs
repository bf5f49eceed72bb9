//! Faults of an object, field by field, in Kubernetes' own form.
//!
//! Source: `apimachinery/pkg/util/validation/field/errors.go` (`Error.ErrorBody`, `ErrorType`) and `path.go`.

use std::fmt;

use serde_json::Value;

/// The reason of a list that is too long.
pub const TOO_MANY: &str = "FieldValueTooMany";

/// Number of bytes that are shown from the start and from the end of a value, of a field's path or of a message.
const TOLD: usize = 1024;

/// A text without its middle if it is longer than the shown part.
pub(super) fn shortened(text: String) -> String {
    if text.len() <= 2 * TOLD {
        return text;
    }
    let (start, _) = text.split_at(text.floor_char_boundary(TOLD));
    let (_, end) = text.split_at(text.ceil_char_boundary(text.len() - TOLD));
    format!("{start}…{end}")
}

/// One fault of one field, which becomes a [`super::status::StatusCause`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The field, from the object's top: `spec.containers[0].resources.requests[cpu]`.
    pub field: String,
    /// The kind of fault: `FieldValueInvalid`, `FieldValueRequired`, `FieldValueNotSupported`, …
    pub reason: String,
    /// The fault, for people.
    pub message: String,
    /// `true` if the fault makes the object unreadable, even to a scheduler that ignores other faults.
    pub unreadable: bool,
}

/// A value as messages show it.
fn shown(value: impl fmt::Debug) -> String {
    shortened(format!("{value:?}"))
}

/// The reason of a word outside of a short list.
const NOT_SUPPORTED: &str = "FieldValueNotSupported";

/// A short list as messages show it.
fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
}

/// The path of a value in an object. Costs nothing until it is printed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    part: Part<'p>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Part<'p> {
    #[default]
    Root,
    Child(&'p str),
    Index(usize),
    Key(&'p str),
}

impl<'p> Path<'p> {
    /// The object's top.
    pub const ROOT: Path<'static> = Path { parent: None, part: Part::Root };

    /// A field of the object at this path.
    #[must_use]
    pub fn child(&'p self, name: &'p str) -> Self {
        Self { parent: Some(self), part: Part::Child(name) }
    }

    /// An element of the list at this path.
    #[must_use]
    pub fn index(&'p self, index: usize) -> Self {
        Self { parent: Some(self), part: Part::Index(index) }
    }

    /// An entry of the map at this path.
    #[must_use]
    pub fn key(&'p self, key: &'p str) -> Self {
        Self { parent: Some(self), part: Part::Key(key) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.part {
            Part::Root => Ok(()),
            Part::Child(name) if self.parent.is_some_and(|p| matches!(p.part, Part::Root)) => f.write_str(name),
            Part::Child(name) => write!(f, ".{name}"),
            Part::Index(index) => write!(f, "[{index}]"),
            Part::Key(key) => write!(f, "[{key}]"),
        }
    }
}

/// Collects the faults of one object.
#[derive(Debug, Default)]
pub struct Faults(Vec<Cause>);

impl Faults {
    /// The faults in the order in which they were found.
    pub fn into_causes(self) -> Vec<Cause> {
        self.0
    }

    /// Number of faults so far.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// A value that breaks a rule.
    pub fn invalid(&mut self, at: &Path<'_>, value: impl fmt::Debug, rule: impl fmt::Display) {
        self.push(at, "FieldValueInvalid", format!("Invalid value: {}: {rule}", shown(value)));
    }

    /// A part that breaks a rule, shown as JSON.
    pub fn invalid_json(&mut self, at: &Path<'_>, value: &Value, rule: impl fmt::Display) {
        self.invalid(at, format_args!("{value}"), rule);
    }

    /// A part with a word outside of a short list, shown as JSON.
    pub fn not_supported_json(&mut self, at: &Path<'_>, value: &Value, supported: &[&str]) {
        let supported = listed(supported);
        let shown = shown(format_args!("{value}"));
        self.push(at, NOT_SUPPORTED, format!("Unsupported value: {shown}: supported values: {supported}"));
    }

    /// A name that nothing in the object has.
    pub fn missing(&mut self, at: &Path<'_>, name: &str) {
        self.push(at, "FieldValueNotFound", format!("Not found: {}", shown(name)));
    }

    /// A value that is missing. `why` may be empty.
    pub fn required(&mut self, at: &Path<'_>, why: &str) {
        let message = if why.is_empty() { "Required value".into() } else { format!("Required value: {why}") };
        self.push(at, "FieldValueRequired", message);
    }

    /// A value outside of a short list.
    pub fn not_supported(&mut self, at: &Path<'_>, value: &str, supported: &[&str]) {
        let supported = listed(supported);
        self.push(at, NOT_SUPPORTED, format!("Unsupported value: {}: supported values: {supported}", shown(value)));
    }

    /// A value that is not allowed here.
    pub fn forbidden(&mut self, at: &Path<'_>, why: &str) {
        self.push(at, "FieldValueForbidden", format!("Forbidden: {why}"));
    }

    /// A repeated value.
    pub fn duplicate(&mut self, at: &Path<'_>, value: impl fmt::Debug) {
        self.push(at, "FieldValueDuplicate", format!("Duplicate value: {}", shown(value)));
    }

    /// A list that is too long.
    pub fn too_many(&mut self, at: &Path<'_>, refusal: String) {
        self.push(at, TOO_MANY, refusal);
    }

    /// A value that is longer than `most` bytes.
    pub fn too_long(&mut self, at: &Path<'_>, most: usize) {
        self.push(at, "FieldValueTooLong", format!("Too long: may not be more than {most} bytes"));
    }

    /// A value that must exist elsewhere and does not.
    pub fn not_found(&mut self, at: &Path<'_>, value: impl fmt::Debug, why: impl fmt::Display) {
        self.push(at, "FieldValueNotFound", format!("Not found: {}: {why}", shown(value)));
    }

    /// The faults of a part of the object, found on its own: their fields begin with `prefix`.
    pub fn adopt(&mut self, prefix: &str, causes: impl IntoIterator<Item = Cause>) {
        let dot = if prefix.is_empty() { "" } else { "." };
        self.0
            .extend(causes.into_iter().map(|cause| Cause { field: format!("{prefix}{dot}{}", cause.field), ..cause }));
    }

    /// A value that Kubernetes' own decoder would refuse.
    pub fn unreadable(&mut self, at: &Path<'_>, value: impl fmt::Debug, rule: impl fmt::Display) {
        self.invalid(at, value, rule);
        if let Some(cause) = self.0.last_mut() {
            cause.unreadable = true;
        }
    }

    fn push(&mut self, at: &Path<'_>, reason: &str, message: String) {
        let (field, message) = (shortened(at.to_string()), shortened(message));
        self.0.push(Cause { field, reason: reason.into(), message, unreadable: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_messages_read_as_in_kubernetes() {
        let spec = Path::ROOT.child("spec");
        let containers = spec.child("containers");
        let container = containers.index(0);
        let requests = container.child("requests");
        let mut faults = Faults::default();
        faults.invalid(&requests.key("cpu"), "-1", "must be greater than or equal to 0");
        faults.required(&spec, "");
        faults.not_supported(&spec.child("op"), "x", &["A", "B"]);
        faults.invalid(&spec, -1, "must be positive");
        let lines: Vec<_> = faults.into_causes().into_iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        assert_eq!(
            lines,
            [
                r#"spec.containers[0].requests[cpu]: Invalid value: "-1": must be greater than or equal to 0"#,
                "spec: Required value",
                r#"spec.op: Unsupported value: "x": supported values: "A", "B""#,
                "spec: Invalid value: -1: must be positive",
            ]
        );
    }
}
