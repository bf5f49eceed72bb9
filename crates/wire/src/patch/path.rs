//! Paths of fields as managed fields name them.
//!
//! Source: `structured-merge-diff/fieldpath` (`element.go`, `serialize-pe.go`).

use std::fmt;

use serde_json::{Map, Value};

/// A value by which an item of a list is told apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Scalar {
    Int(i64),
    Text(String),
    Bool(bool),
    /// Any other value, as compact JSON.
    Other(String),
}

impl Scalar {
    /// A default as the table writes it: a number or a text.
    pub(super) fn of_word(word: &str) -> Self {
        word.parse().map_or_else(|_| Self::Text(word.to_owned()), Self::Int)
    }

    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text.clone()),
            Value::Bool(is) => Self::Bool(*is),
            Value::Number(number) if let Some(int) = number.as_i64() => Self::Int(int),
            other => Self::Other(other.to_string()),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Int(int) => (*int).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Bool(is) => (*is).into(),
            Self::Other(json) => serde_json::from_str(json).unwrap_or(Value::Null),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(int) => int.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Bool(is) => is.fmt(f),
            Self::Other(json) => f.write_str(json),
        }
    }
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Element {
    /// A field of an object, or a key of a map.
    Field(String),
    /// An item of a list of objects, by its keys in the order of their names.
    Key(Vec<(String, Scalar)>),
    /// An item of a set.
    Value(Scalar),
    /// An item of a list by its number.
    Index(i64),
}

impl Element {
    /// The element that a key of `fieldsV1` stands for.
    pub(super) fn parse(key: &str) -> Option<Self> {
        let (sort, rest) = key.split_at_checked(2)?;
        match sort {
            "f:" => Some(Self::Field(rest.to_owned())),
            "v:" => Some(Self::Value(Scalar::of(&serde_json::from_str(rest).ok()?))),
            "i:" => Some(Self::Index(rest.parse().ok()?)),
            "k:" => {
                let fields: Map<String, Value> = serde_json::from_str(rest).ok()?;
                let mut keys: Vec<_> = fields.iter().map(|(name, value)| (name.clone(), Scalar::of(value))).collect();
                keys.sort_unstable();
                Some(Self::Key(keys))
            }
            _ => None,
        }
    }

    /// The key of `fieldsV1`.
    pub(super) fn to_key(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Value(value) => format!("v:{}", value.to_json()),
            Self::Index(index) => format!("i:{index}"),
            Self::Key(keys) => {
                let fields: Map<_, _> = keys.iter().map(|(name, value)| (name.clone(), value.to_json())).collect();
                format!("k:{}", Value::Object(fields))
            }
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Key(keys) => {
                f.write_str("[")?;
                for (i, (name, value)) in keys.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(f, "{comma}{name}={value}")?;
                }
                f.write_str("]")
            }
        }
    }
}

/// A path as messages show it: `.spec.containers[name="c"].image`.
pub(super) fn shown(path: &[Element]) -> String {
    path.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_read_and_print_as_the_api_server_writes_them() {
        for (key, printed) in [
            ("f:spec", ".spec"),
            (r#"k:{"containerPort":80,"protocol":"TCP"}"#, r#"[containerPort=80,protocol="TCP"]"#),
            (r#"v:"example.com/finalizer""#, r#"[="example.com/finalizer"]"#),
            ("i:3", "[3]"),
        ] {
            let element = Element::parse(key).expect(key);
            assert_eq!(element.to_key(), key);
            assert_eq!(element.to_string(), printed);
        }
        for key in ["", "f", "x:y", "k:[]", "v:{", "i:x", "."] {
            assert_eq!(Element::parse(key), None, "{key}");
        }
    }
}
