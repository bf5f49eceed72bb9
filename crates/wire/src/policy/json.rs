//! Parts of JSON as documents are written: what is empty stays away.

use serde_json::Value;

use podberth_core::model::Name;

/// The pairs whose values are not empty.
pub(super) fn object<'k>(pairs: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(value) => !value,
        Value::Number(_) => false,
    };
    let filled = pairs.into_iter().filter(|(_, value)| !empty(value));
    Value::Object(filled.map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The names as a list.
pub(super) fn texts<'t>(items: impl IntoIterator<Item = &'t Name>) -> Value {
    items.into_iter().map(|item| Value::from(&**item)).collect()
}

/// A number; nothing where it is the default.
pub(super) fn number_unless(default: i64, value: i64) -> Value {
    if value == default { Value::Null } else { value.into() }
}
