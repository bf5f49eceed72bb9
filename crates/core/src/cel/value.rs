//! Values of expressions.
//!
//! Source: `cel-go/common/types`.

use std::{borrow::Cow, cmp::Ordering, sync::Arc};

use super::Semver;
use crate::model::Quantity;

/// The reason why an expression has no value.
pub(super) type Reason = Cow<'static, str>;

/// A value, or the reason why there is none.
pub(super) type Result = std::result::Result<Value, Reason>;

/// The value of an expression. Clones are cheap.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    List(Arc<Vec<Value>>),
    Map(Arc<Map>),
    Quantity(Quantity),
    Semver(Arc<Semver>),
    Optional(Option<Arc<Value>>),
    Type(&'static str),
}

/// A map. Keys are texts, numbers or bools.
#[derive(Clone, Debug, Default)]
pub struct Map {
    entries: Vec<(Value, Value)>,
    /// The value of keys that are not there.
    default: Option<Value>,
}

impl Map {
    /// A map of these entries. A key that stands twice is a fault of the expression, which the evaluation checks before.
    pub fn new(entries: Vec<(Value, Value)>) -> Self {
        Self { entries, default: None }
    }

    /// Like [`Self::new`], for a map in which looking up any other key finds an empty map.
    pub fn with_default(entries: Vec<(Value, Value)>) -> Self {
        Self { entries, default: Some(Value::Map(Arc::default())) }
    }

    /// Its entries.
    pub fn entries(&self) -> &[(Value, Value)] {
        &self.entries
    }

    /// `true` if it has the key itself.
    pub(super) fn has(&self, key: &Value) -> bool {
        self.entries.iter().any(|(other, _)| other.is_same(key))
    }

    /// The value of a key, or the default.
    pub(super) fn get(&self, key: &Value) -> Option<&Value> {
        self.entries.iter().find(|(other, _)| other.is_same(key)).map(|(_, value)| value).or(self.default.as_ref())
    }

    /// Like [`Self::get`], for a key that is a text.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        let is_it = |key: &Value| matches!(key, Value::String(text) if &**text == name);
        self.entries.iter().find(|(key, _)| is_it(key)).map(|(_, value)| value).or(self.default.as_ref())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value.into())
    }
}

impl From<Vec<Value>> for Value {
    fn from(values: Vec<Value>) -> Self {
        Self::List(Arc::new(values))
    }
}

impl Value {
    /// The name of its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
        }
    }

    /// Its size in units of cost, if it is walked through.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::String(text) => text.len() as u64 / 10,
            Self::List(items) => items.iter().map(|item| 1 + item.size()).sum(),
            Self::Map(map) => map.entries.iter().map(|(key, value)| 2 + key.size() + value.size()).sum(),
            Self::Optional(Some(value)) => 1 + value.size(),
            _ => 0,
        }
    }

    /// `true` for the value that its type begins with: 0, an empty text, list or map.
    pub(super) fn is_zero(&self) -> bool {
        match self {
            Self::Null | Self::Optional(None) => true,
            Self::Bool(value) => !value,
            Self::Int(value) => *value == 0,
            Self::Uint(value) => *value == 0,
            Self::Double(value) => *value == 0.0,
            Self::String(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Map(map) => map.entries.is_empty(),
            _ => false,
        }
    }

    /// `true` if both are equal; values that cannot be compared are not.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.equals(other).unwrap_or(false)
    }

    /// `==`. Numbers are equal across their types.
    ///
    /// # Errors
    /// If a quantity or a version is held against a value of another type.
    pub(super) fn equals(&self, other: &Self) -> std::result::Result<bool, Reason> {
        Ok(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a == b,
            (Self::Quantity(a), Self::Quantity(b)) => a == b,
            (Self::Semver(a), Self::Semver(b)) => a == b,
            (Self::Null, _) | (_, Self::Null) => false,
            (Self::Quantity(_) | Self::Semver(_), _) => return Err("no such overload".into()),
            (Self::Optional(a), Self::Optional(b)) => match (a, b) {
                (None, None) => true,
                (Some(a), Some(b)) => a.equals(b)?,
                _ => false,
            },
            (Self::List(a), Self::List(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(&**b) {
                    if !a.equals(b)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Map(a), Self::Map(b)) => {
                if a.entries.len() != b.entries.len() {
                    return Ok(false);
                }
                for (key, value) in &a.entries {
                    match b.entries.iter().find(|(other, _)| other.is_same(key)) {
                        Some((_, other)) if value.equals(other)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            _ => self.compare_numbers(other) == Some(Ordering::Equal),
        })
    }

    /// The order of two values of a type that has one; `None` for others, and for NaN.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::String(a), Self::String(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            _ => self.compare_numbers(other),
        }
    }

    /// `true` if values of their types have an order.
    pub(super) fn is_ordered_with(&self, other: &Self) -> bool {
        let is_number = |value: &Self| matches!(value, Self::Int(_) | Self::Uint(_) | Self::Double(_));
        is_number(self) && is_number(other)
            || matches!((self, other), (Self::Bool(_), Self::Bool(_)) | (Self::String(_), Self::String(_)))
    }

    fn compare_numbers(&self, other: &Self) -> Option<Ordering> {
        let whole = |value: &Self| match value {
            Self::Int(value) => Some(i128::from(*value)),
            Self::Uint(value) => Some(i128::from(*value)),
            _ => None,
        };
        match (self, other) {
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(b),
            (Self::Double(a), b) => compare_double(*a, whole(b)?),
            (a, Self::Double(b)) => compare_double(*b, whole(a)?).map(Ordering::reverse),
            (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
        }
    }
}

/// The order of a number with a fraction and a whole one, which has 64 bits.
fn compare_double(double: f64, whole: i128) -> Option<Ordering> {
    // Beyond this bound a double is larger than any whole number here.
    const BOUND: f64 = 3.6e19;
    if double.is_nan() {
        return None;
    }
    let floor = double.clamp(-BOUND, BOUND).floor();
    let rest = if double > floor { Ordering::Greater } else { Ordering::Equal };
    Some((floor as i128).cmp(&whole).then(rest))
}

/// Items in the order of their keys.
pub(super) fn sorted(mut keys: Vec<(Value, Value)>) -> std::result::Result<Value, Reason> {
    if let Some((first, _)) = keys.first() {
        let is_comparable =
            keys.iter().all(|(key, _)| first.is_ordered_with(key) && first.type_name() == key.type_name());
        if !is_comparable {
            return Err("list elements must have the same type, and an order".into());
        }
    }
    keys.sort_by(|(a, _), (b, _)| a.compare(b).unwrap_or(Ordering::Equal));
    Ok(keys.into_iter().map(|(_, item)| item).collect::<Vec<_>>().into())
}

/// A whole number.
pub(super) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        Value::Uint(value) => i64::try_from(*value).ok(),
        Value::Double(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(*value as i64),
        _ => None,
    }
}

pub(super) fn no_overload() -> Reason {
    "no such overload".into()
}

pub(super) fn text(value: &Value) -> std::result::Result<&Arc<str>, Reason> {
    if let Value::String(text) = value { Ok(text) } else { Err(no_overload()) }
}

pub(super) fn list(value: &Value) -> std::result::Result<&Arc<Vec<Value>>, Reason> {
    if let Value::List(items) = value { Ok(items) } else { Err(no_overload()) }
}

pub(super) fn conversion(text: &str, to: &str) -> Reason {
    format!("type conversion error from 'string' to '{to}': {:?}", text.chars().take(64).collect::<String>()).into()
}
