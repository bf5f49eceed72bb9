//! Bodies in Kubernetes' protobuf, made into the JSON that they stand for.
//!
//! kubectl from 1.32 on and kube-scheduler write objects so, and do not fall back on JSON. A body is four bytes and a
//! `runtime.Unknown`: the object's API version and kind, and its message. Messages are read by the [table]; unknown fields
//! are passed over, as Go's reader does. No message is within itself, so the depth is bounded, and no value is
//! copied before it is written, so the memory is a small multiple of the body ([`weight`]).
//!
//! Source: `apimachinery/pkg/runtime/serializer/protobuf/protobuf.go`, `generated.proto` of each group.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _, str};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::value::RawValue;

mod table;
mod wire_format;

use table::{Field, Kind, Message, Shape};
pub use wire_format::{Encoder, Fields, Value};

/// The beginning of every body.
const MAGIC: &[u8] = b"k8s\0";

/// The field with the cluster in each request to Karmada's estimator.
const CLUSTER: u64 = 1;

/// Largest memory of the JSON of a body, as a multiple of its length: names of fields are longer than their numbers.
const GROWTH: usize = 24;

/// A body that cannot be read, in the words of Go's reader where clients know them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The body does not begin as all do.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoMagic,
    /// Nothing stands behind the beginning.
    #[error("empty body")]
    Empty,
    /// The body ends within a value.
    #[error("unexpected EOF")]
    Short,
    /// A number is longer than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// A field has number 0.
    #[error("proto: illegal tag 0")]
    Tag,
    /// A value is written in a way that no message has.
    #[error("proto: illegal wireType {0}")]
    WireType(u64),
    /// A field has a value of another type.
    #[error("proto: wrong wireType for field {0}")]
    WrongType(&'static str),
    /// A text is not UTF-8.
    #[error("field {0} is not UTF-8")]
    NotText(&'static str),
    /// A value that is JSON in itself is not.
    #[error("field {0} is not JSON")]
    NotJson(&'static str),
    /// A time is out of range.
    #[error("field {0} is a time out of range")]
    NoTime(&'static str),
    /// The kind is none that is read in this form.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    NoKind {
        /// The kind named.
        kind: String,
        /// The API version named.
        api_version: String,
    },
    /// The object is in a further encoding.
    #[error("content encoding {0:?} is not supported")]
    Encoded(String),
}

type Result<T> = std::result::Result<T, ProtobufError>;

/// Largest memory for the JSON of a body, in bytes.
pub fn weight(body: &[u8]) -> usize {
    body.len().saturating_mul(GROWTH)
}

/// A body as JSON. An object that does not name its kind is one of `default`, an API version and a kind.
///
/// # Errors
/// If the body is cut off or not protobuf, or its kind is none that is read in this form.
pub fn to_json(body: &[u8], default: (&str, &str)) -> Result<String> {
    let unknown = body.strip_prefix(MAGIC).ok_or(ProtobufError::NoMagic)?;
    if unknown.is_empty() {
        return Err(ProtobufError::Empty);
    }
    let (mut type_meta, mut raw, mut encoding): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
    let mut fields = Fields(unknown);
    while let Some((number, value)) = fields.take_next()? {
        match (number, value) {
            (1, Value::Bytes(bytes)) => type_meta = bytes,
            (2, Value::Bytes(bytes)) => raw = bytes,
            (3, Value::Bytes(bytes)) => encoding = bytes,
            (1..=4, Value::Varint(_) | Value::Eight(_) | Value::Four) => {
                return Err(ProtobufError::WrongType("Unknown"));
            }
            _ => {}
        }
    }
    if !encoding.is_empty() {
        return Err(ProtobufError::Encoded(text(encoding, "contentEncoding")?.into()));
    }
    let (mut api_version, mut kind) = ("", "");
    let mut fields = Fields(type_meta);
    while let Some((number, value)) = fields.take_next()? {
        match (number, value) {
            (1, Value::Bytes(bytes)) => api_version = text(bytes, "apiVersion")?,
            (2, Value::Bytes(bytes)) => kind = text(bytes, "kind")?,
            _ => {}
        }
    }
    if api_version.is_empty() && kind.is_empty() {
        (api_version, kind) = default;
    }
    let message = table::of_object(api_version, kind)
        .ok_or_else(|| ProtobufError::NoKind { kind: kind.into(), api_version: api_version.into() })?;
    let mut out = format!(r#"{{"kind":{},"apiVersion":{}"#, quoted(kind), quoted(api_version));
    write_fields(&mut out, raw, message)?;
    out.push('}');
    Ok(out)
}

/// A message of Karmada's estimator as JSON, by its name in `estimator.proto`.
///
/// # Errors
/// If it is cut off or not protobuf, or no message has the name.
pub fn estimator_to_json(message: &[u8], name: &str) -> Result<String> {
    let of = table::of_name(&format!("estimator/{name}"));
    let of = of.ok_or_else(|| ProtobufError::NoKind { kind: name.into(), api_version: "estimator".into() })?;
    let mut out = "{".to_owned();
    write_fields(&mut out, message, of)?;
    out.push('}');
    Ok(out)
}

/// The cluster that a request to Karmada's estimator names; empty if it names none.
///
/// # Errors
/// If it is cut off or not protobuf, or the name is no text.
pub fn cluster_of(message: &[u8]) -> Result<&str> {
    let mut last: &[u8] = &[];
    for value in values(message, CLUSTER) {
        let Value::Bytes(bytes) = value? else { return Err(ProtobufError::WrongType("cluster")) };
        last = bytes;
    }
    text(last, "cluster")
}

fn text<'b>(bytes: &'b [u8], name: &'static str) -> Result<&'b str> {
    str::from_utf8(bytes).map_err(|_| ProtobufError::NotText(name))
}

fn quoted(text: &str) -> serde_json::Value {
    serde_json::Value::from(text)
}

/// The values of a field in a message, in their order.
fn values(bytes: &[u8], number: u64) -> impl Iterator<Item = Result<Value<'_>>> {
    let mut fields = Fields(bytes);
    std::iter::from_fn(move || {
        loop {
            match fields.take_next() {
                Ok(Some((of, value))) if of == number => return Some(Ok(value)),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => {
                    fields = Fields(&[]);
                    return Some(Err(error));
                }
            }
        }
    })
}

/// The numbers of the fields that a message has, which must be whole.
fn present(bytes: &[u8]) -> Result<u128> {
    let (mut fields, mut numbers) = (Fields(bytes), 0);
    while let Some((number, _)) = fields.take_next()? {
        numbers |= u32::try_from(number).ok().and_then(|number| 1_u128.checked_shl(number)).unwrap_or_default();
    }
    Ok(numbers)
}

/// Writes the fields of a message, each behind a comma unless it is the first of its object.
fn write_fields(out: &mut String, bytes: &[u8], message: &Message) -> Result<()> {
    let present = present(bytes)?;
    let is_present = |field: &&Field| {
        let bit = u32::try_from(field.number).ok().and_then(|number| 1_u128.checked_shl(number));
        bit.is_some_and(|bit| present & bit != 0)
    };
    for field in message.fields.iter().filter(is_present) {
        let begin = out.len();
        if !field.name.is_empty() {
            if !out.ends_with('{') {
                out.push(',');
            }
            let _ = write!(out, "\"{}\":", field.name);
        }
        let is_written = match field.shape {
            Shape::One => write_one(out, bytes, field)?,
            Shape::Many => write_many(out, bytes, field)?,
            Shape::ByKey => write_by_key(out, bytes, field)?,
        };
        if !is_written {
            out.truncate(begin);
        }
    }
    Ok(())
}

/// Writes the value of a field: the last one, or all parts of a message. `false` if it is as good as absent.
fn write_one(out: &mut String, bytes: &[u8], field: &Field) -> Result<bool> {
    if let Kind::Message(place) = field.kind {
        let mut whole: Cow<'_, [u8]> = Cow::Borrowed(&[]);
        for value in values(bytes, field.number) {
            let Value::Bytes(part) = value? else { return Err(ProtobufError::WrongType(field.name)) };
            if whole.is_empty() { whole = Cow::Borrowed(part) } else { whole.to_mut().extend_from_slice(part) }
        }
        if field.name.is_empty() {
            write_fields(out, &whole, table::at(place))?;
            return Ok(true);
        }
        out.push('{');
        let begin = out.len();
        write_fields(out, &whole, table::at(place))?;
        let is_empty = out.len() == begin;
        out.push('}');
        return Ok(field.has_zero || !is_empty);
    }
    let mut last = None;
    for value in values(bytes, field.number) {
        last = Some(value?);
    }
    last.map_or(Ok(false), |value| write_value(out, value, field, field.has_zero))
}

fn write_many(out: &mut String, bytes: &[u8], field: &Field) -> Result<bool> {
    out.push('[');
    let mut is_first = true;
    for value in values(bytes, field.number) {
        let value = value?;
        if let (Kind::Whole | Kind::Truth, Value::Bytes(packed)) = (field.kind, value) {
            let mut packed = Fields(packed);
            while !packed.0.is_empty() {
                if !std::mem::take(&mut is_first) {
                    out.push(',');
                }
                write_value(out, Value::Varint(packed.varint()?), field, true)?;
            }
            continue;
        }
        if !std::mem::take(&mut is_first) {
            out.push(',');
        }
        write_value(out, value, field, true)?;
    }
    out.push(']');
    Ok(!is_first)
}

fn write_by_key(out: &mut String, bytes: &[u8], field: &Field) -> Result<bool> {
    let mut entries = BTreeMap::new();
    for entry in values(bytes, field.number) {
        let Value::Bytes(entry) = entry? else { return Err(ProtobufError::WrongType(field.name)) };
        let (mut key, mut of_key) = ("", Value::Bytes(&[]));
        let mut parts = Fields(entry);
        while let Some((number, value)) = parts.take_next()? {
            match (number, value) {
                (1, Value::Bytes(bytes)) => key = text(bytes, field.name)?,
                (2, value) => of_key = value,
                _ => {}
            }
        }
        entries.insert(key, of_key);
    }
    out.push('{');
    for (i, (key, value)) in entries.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{}:", quoted(key));
        write_value(out, *value, field, true)?;
    }
    out.push('}');
    Ok(!entries.is_empty())
}

/// Writes one value. `false`, with nothing of use written, if it is zero and its zero is no value.
fn write_value(out: &mut String, value: Value<'_>, field: &Field, has_zero: bool) -> Result<bool> {
    let name = field.name;
    let wrong = || ProtobufError::WrongType(name);
    let written = match (field.kind, value) {
        (Kind::Whole, Value::Varint(number)) => {
            let _ = write!(out, "{}", number.cast_signed());
            number != 0
        }
        (Kind::Truth, Value::Varint(number)) => {
            out.push_str(if number == 0 { "false" } else { "true" });
            number != 0
        }
        (Kind::Double, Value::Eight(bits)) => {
            let number = serde_json::Number::from_f64(f64::from_bits(bits));
            let _ = write!(out, "{}", number.map_or(serde_json::Value::Null, serde_json::Value::Number));
            bits != 0
        }
        (Kind::Text, Value::Bytes(bytes)) => {
            let _ = write!(out, "{}", quoted(text(bytes, name)?));
            !bytes.is_empty()
        }
        (Kind::Bytes, Value::Bytes(bytes)) => {
            let _ = write!(out, "\"{}\"", BASE64_STANDARD.encode(bytes));
            !bytes.is_empty()
        }
        (Kind::Message(place), Value::Bytes(bytes)) => {
            out.push('{');
            write_fields(out, bytes, table::at(place))?;
            out.push('}');
            true
        }
        (Kind::Time | Kind::MicroTime, Value::Bytes(bytes)) => return write_time(out, bytes, field),
        (Kind::Quantity, Value::Bytes(bytes)) => {
            let written = text(inner(bytes, name)?, name)?;
            let _ = write!(out, "{}", quoted(if written.is_empty() { "0" } else { written }));
            !written.is_empty()
        }
        (Kind::IntOrString, Value::Bytes(bytes)) => {
            write_int_or_string(out, bytes, name)?;
            true
        }
        (Kind::Raw, Value::Bytes(bytes)) => {
            let json = inner(bytes, name)?;
            if json.is_empty() {
                return Ok(false);
            }
            let json: &RawValue = serde_json::from_slice(json).map_err(|_| ProtobufError::NotJson(name))?;
            out.push_str(json.get());
            return Ok(true);
        }
        (Kind::Texts, Value::Bytes(bytes)) => {
            let texts = Field { number: 1, name, shape: Shape::Many, kind: Kind::Text, has_zero: true };
            write_many(out, bytes, &texts)?;
            true
        }
        _ => return Err(wrong()),
    };
    Ok(written || has_zero)
}

/// The first field of a message, which is all that it has.
fn inner<'b>(bytes: &'b [u8], name: &'static str) -> Result<&'b [u8]> {
    let mut last: &[u8] = &[];
    for value in values(bytes, 1) {
        let Value::Bytes(bytes) = value? else { return Err(ProtobufError::WrongType(name)) };
        last = bytes;
    }
    Ok(last)
}

/// The last whole number of a field.
fn number(bytes: &[u8], number: u64, name: &'static str) -> Result<i64> {
    let mut last = 0;
    for value in values(bytes, number) {
        let Value::Varint(value) = value? else { return Err(ProtobufError::WrongType(name)) };
        last = value.cast_signed();
    }
    Ok(last)
}

/// Writes a time; an empty one is none.
fn write_time(out: &mut String, bytes: &[u8], field: &Field) -> Result<bool> {
    let name = field.name;
    if bytes.is_empty() {
        return Ok(false);
    }
    let (seconds, nanoseconds) = (number(bytes, 1, name)?, number(bytes, 2, name)?);
    let nanoseconds = i32::try_from(nanoseconds).map_err(|_| ProtobufError::NoTime(name))?;
    let is_fine = field.kind == Kind::MicroTime;
    let instant = Timestamp::new(seconds, if is_fine { nanoseconds / 1_000 * 1_000 } else { 0 });
    let instant = instant.map_err(|_| ProtobufError::NoTime(name))?;
    let format = if is_fine { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    let _ = write!(out, "\"{}\"", instant.strftime(format));
    Ok(true)
}

fn write_int_or_string(out: &mut String, bytes: &[u8], name: &'static str) -> Result<()> {
    if number(bytes, 1, name)? == 0 {
        let _ = write!(out, "{}", number(bytes, 2, name)?);
        return Ok(());
    }
    let mut last: &[u8] = &[];
    for value in values(bytes, 3) {
        let Value::Bytes(bytes) = value? else { return Err(ProtobufError::WrongType(name)) };
        last = bytes;
    }
    let _ = write!(out, "{}", quoted(text(last, name)?));
    Ok(())
}

#[cfg(test)]
mod tests;
