//! The form that the API server gives to an object when it reads it: values have the types of their fields, unknown fields and empty
//! values are gone, quantities and times are canonical, and the defaults that follow from the object itself are written ([`fixed`]).
//!
//! Source: `sigs.k8s.io/json` and Go's `encoding/json` (`UnmarshalTypeError`), whose messages clients see.

use serde_json::{Map, Value};

use super::{canonical, fixed};
use crate::{
    decode::DecodeError,
    types::{Field, Holds, Leaf, Omitted, TYPES, Type},
};

/// Most levels of objects that are looked into; the parser refuses deeper ones before.
const MAX_DEPTH: usize = 130;

/// The names of the fields from the object's top, without indices, as Go tells them.
#[derive(Clone, Copy)]
struct Place<'p> {
    above: Option<&'p Place<'p>>,
    name: &'p str,
    depth: usize,
}

impl Place<'_> {
    fn path(&self) -> String {
        match self.above {
            Some(above) if !above.name.is_empty() => format!("{}.{}", above.path(), self.name),
            _ => self.name.to_owned(),
        }
    }
}

/// Gives an object of a kind its form.
///
/// # Errors
/// If a value has not the type of its field; the message is that of the API server.
pub(super) fn normalize(kind: &str, object: &mut Map<String, Value>) -> Result<(), DecodeError> {
    let Some(of) = TYPES.get(kind).filter(|of| !of.is_own) else { return Ok(()) };
    fields(of, object, &Place { above: None, name: "", depth: 0 })?;
    fixed::of_kind(kind, object);
    Ok(())
}

fn fault(message: String) -> DecodeError {
    DecodeError { field: String::new(), message }
}

/// An object of this type.
fn fields(of: &'static Type, object: &mut Map<String, Value>, above: &Place<'_>) -> Result<(), DecodeError> {
    let mut kept = Map::with_capacity(object.len());
    for (name, mut value) in std::mem::take(object) {
        let Some(field) = of.fields.get(name.as_str()) else { continue };
        let place = Place { above: Some(above), name: &name, depth: above.depth + 1 };
        if place.depth > MAX_DEPTH {
            return Err(fault(format!("{} is nested too deeply", place.path())));
        }
        // Null is absence, but for an amount it is nothing.
        if value.is_null() && !(field.leaf == Leaf::Quantity && field.holds == Holds::One) {
            continue;
        }
        content(of, field, &mut value, &place)?;
        if !(field.omitted == Omitted::Zero && is_zero(field, &value)) {
            kept.insert(name, value);
        }
    }
    for (name, field) in &of.always {
        if !kept.contains_key(*name)
            && let Some(zero) = field.zero()
        {
            kept.insert((*name).into(), zero);
        }
    }
    *object = kept;
    fixed::of_type(of.name, object);
    Ok(())
}

/// `true` if a field with this value is left out where zeros are.
fn is_zero(field: &Field, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty() && field.holds != Holds::One,
        Value::String(text) => text.is_empty() && matches!(field.leaf, Leaf::Text(_) | Leaf::Bytes),
        Value::Bool(is) => !is && field.leaf == Leaf::Bool,
        Value::Number(number) => number.as_f64() == Some(0.0) && matches!(field.leaf, Leaf::Int32 | Leaf::Int64),
    }
}

/// The content of a field: one, a list, or many by key.
fn content(of: &Type, field: &Field, value: &mut Value, place: &Place<'_>) -> Result<(), DecodeError> {
    let wrong = |value: &Value, go: String| Err(wrong_type(of, value, place, &go));
    match (field.holds, value) {
        (Holds::One | Holds::Kinds | Holds::Kind, value) => one(of, field, value, place),
        (Holds::List, Value::Array(items)) => items.iter_mut().try_for_each(|item| one(of, field, item, place)),
        (Holds::ByKey, Value::Object(entries)) => entries.values_mut().try_for_each(|item| one(of, field, item, place)),
        (Holds::ListsByKey, Value::Object(entries)) => entries.values_mut().try_for_each(|list| match list {
            Value::Array(items) => items.iter_mut().try_for_each(|item| one(of, field, item, place)),
            other => wrong(other, format!("[]{}", field.go_element())),
        }),
        (_, value) => wrong(value, field.go_type()),
    }
}

/// One value, or one object.
fn one(of: &Type, field: &Field, value: &mut Value, place: &Place<'_>) -> Result<(), DecodeError> {
    if let Some(name) = field.of {
        return match (TYPES.get(name), value) {
            (Some(inner), Value::Object(object)) => fields(inner, object, place),
            (Some(_), Value::Null) | (None, _) => Ok(()),
            (Some(_), other) => Err(wrong_type(of, other, place, &field.go_element())),
        };
    }
    let in_list = field.holds == Holds::ByKey;
    let formed: Option<Value> = match (field.leaf, &*value) {
        (Leaf::Any, _) | (Leaf::Text(_) | Leaf::Bytes, Value::String(_)) | (Leaf::Bool, Value::Bool(_)) => {
            if field.leaf == Leaf::Bytes {
                base64(value.as_str().unwrap_or_default()).map_err(fault)?;
            }
            None
        }
        (Leaf::Text(_) | Leaf::Bytes, Value::Null) => Some("".into()),
        (Leaf::Bool, Value::Null) => Some(false.into()),
        (Leaf::Int32 | Leaf::Int64 | Leaf::Float, Value::Null) => Some(0.into()),
        (Leaf::Float, Value::Number(_)) | (Leaf::IntOrText, Value::String(_)) => None,
        (Leaf::Int32 | Leaf::Int64, Value::Number(number)) => {
            let is_in_range = number.as_i64().is_some_and(|n| field.leaf == Leaf::Int64 || i32::try_from(n).is_ok());
            if !is_in_range {
                let (found, go) = (format!("number {number}"), field.go_element());
                return Err(mismatch(of, &found, place, &go));
            }
            None
        }
        (Leaf::IntOrText, Value::Number(number)) => {
            if number.as_i64().is_none_or(|n| i32::try_from(n).is_err()) {
                return Err(fault(format!("json: cannot unmarshal number {number} into Go value of type int32")));
            }
            None
        }
        (Leaf::Quantity, Value::Null) => Some("0".into()),
        (Leaf::Quantity, Value::String(text)) => Some(quantity(text, in_list)?),
        (Leaf::Quantity, other) => Some(quantity(&other.to_string(), in_list)?),
        (Leaf::Time, Value::String(text)) => Some(canonical::time(text).map_err(fault)?.into()),
        (Leaf::MicroTime, Value::String(text)) => Some(canonical::micro_time(text).map_err(fault)?.into()),
        (Leaf::IntOrText | Leaf::Time | Leaf::MicroTime, other) => {
            return Err(fault(format!("json: cannot unmarshal {} into Go value of type string", found(other))));
        }
        (_, other) => return Err(wrong_type(of, other, place, &field.go_element())),
    };
    if let Some(formed) = formed {
        *value = formed;
    }
    Ok(())
}

fn quantity(text: &str, in_list: bool) -> Result<Value, DecodeError> {
    // Go's parser finds most of what is wrong by the expression, and names it.
    canonical::quantity(text, in_list).map(Value::from).map_err(|_| {
        fault("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".into())
    })
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn wrong_type(of: &Type, value: &Value, place: &Place<'_>, go: &str) -> DecodeError {
    mismatch(of, found(value), place, go)
}

fn mismatch(of: &Type, found: &str, place: &Place<'_>, go: &str) -> DecodeError {
    let (name, path) = (of.name, place.path());
    fault(format!("json: cannot unmarshal {found} into Go struct field {name}.{path} of type {go}"))
}

/// Checks that a text is base64 with padding.
fn base64(text: &str) -> Result<(), String> {
    let corrupt = |at: usize| Err(format!("illegal base64 data at input byte {at}"));
    let bytes: Vec<(usize, u8)> = text.bytes().enumerate().filter(|(_, b)| !matches!(b, b'\n' | b'\r')).collect();
    let padding = bytes.iter().rev().take_while(|(_, b)| *b == b'=').count();
    let data = bytes.len() - padding;
    let is_digit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    if let Some((at, _)) = bytes.iter().take(data).find(|(_, b)| !is_digit(*b)) {
        return corrupt(*at);
    }
    if !bytes.len().is_multiple_of(4) {
        return corrupt(bytes.len() - bytes.len() % 4);
    }
    if padding > 2 { corrupt(data) } else { Ok(()) }
}
