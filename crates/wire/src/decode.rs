//! JSON decoded as Go decodes it: `null` stands for the zero value of any list, map, object, text, number or boolean, and the keys of
//! extender messages may be in any case.
//!
//! A deserializer wrapped around serde_json's, so that the structs of [`super::objects`] need no attribute per field.
//!
//! What differs between calls (the spelling of keys, the path of a fault) differs at run time: the visitor of each struct is compiled once, not once for
//! each way of reading it.

mod key;
mod path;

use std::{borrow::Cow, fmt};

use serde::{
    de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};

use self::key::Key;
use super::{
    allowance::{self, UsedUp},
    fault::shortened,
};

/// A body that is no JSON, or whose field has the wrong type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if field.is_empty() { String::new() } else { format!("{field}: ") })]
pub struct DecodeError {
    /// The field, as in `spec.containers[0].name`; empty where the text is no JSON at all or the top has the wrong type.
    pub field: String,
    /// The fault.
    pub message: String,
}

/// The message for an empty text.
const EMPTY: &str = "there is nothing to read: an object is expected";

impl DecodeError {
    /// The error for a text whose parsed form takes too much memory.
    pub fn used_up() -> Self {
        Self { field: String::new(), message: allowance::USED_UP.into() }
    }

    /// `true` if the text was refused because of the memory that its parsed form takes.
    pub fn is_used_up(&self) -> bool {
        self.message == allowance::USED_UP
    }

    /// Without the line and column: those of a text that is not the one that was sent.
    #[must_use]
    pub fn without_place(mut self) -> Self {
        if let Some(end) = self.message.rfind(" at line ") {
            self.message.truncate(end);
        }
        self
    }

    /// With the field below this one.
    #[must_use]
    pub fn within(self, at: &str) -> Self {
        let dot = if self.field.is_empty() || self.field.starts_with('[') || at.is_empty() { "" } else { "." };
        Self { field: format!("{at}{dot}{}", self.field), ..self }
    }
}

impl From<UsedUp> for DecodeError {
    fn from(_: UsedUp) -> Self {
        Self::used_up()
    }
}

/// Rewrites serde's message, which names Rust types, in terms of JSON.
fn in_json_words(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    let found = match found {
        "invalid type: map" => "invalid type: object",
        "invalid type: sequence" => "invalid type: list",
        other => other,
    };
    let (expected, place) = match expected.find(" at line ") {
        Some(at) => expected.split_at(at),
        None => (expected, ""),
    };
    let expected = match expected {
        "i32" | "i64" | "u16" | "u32" | "u64" => "an integer that is in range",
        "f64" => "a number",
        "a map" => "an object",
        "a sequence" => "a list",
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    format!("{found}, expected {expected}{place}")
}

/// Decodes one JSON document, all of it.
pub fn from_slice<'de, T: serde::Deserialize<'de>>(json: &'de [u8]) -> Result<T, DecodeError> {
    allowance::for_text(json.len(), || read(json))
}

fn read<'de, T: serde::Deserialize<'de>>(json: &'de [u8]) -> Result<T, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    match T::deserialize(GoJson(&mut deserializer)).and_then(|value| deserializer.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(error) if error.to_string().starts_with(allowance::USED_UP) => Err(DecodeError::used_up()),
        Err(_) if json.trim_ascii().is_empty() => Err(DecodeError { field: String::new(), message: EMPTY.into() }),
        // Finding the path costs time, so only a body that is wrong anyway is read again for it.
        Err(error) => {
            let field =
                path::of_fault(|| T::deserialize(GoJson(&mut serde_json::Deserializer::from_slice(json))).is_err());
            Err(DecodeError { field: shortened(field), message: in_json_words(&shortened(error.to_string())) })
        }
    }
}

/// Structs whose serde name begins so match their keys in any case: `#[serde(rename = "AnyCaseExtenderArgs")]`.
///
/// Go's `encoding/json` does so everywhere, Kubernetes' own decoder for objects nowhere.
const ANY_CASE: &str = "AnyCase";

/// A deserializer that reads as Go does.
pub struct GoJson<D>(pub D);

/// Implements the methods for types of which `null` is a value. That of a list or an object is read from a text, so that their visitors see one kind of
/// content alone.
macro_rules! null_is_zero {
    ($($method:ident => |$visitor:ident| $zero:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            struct OrZero<V>(V);
            impl<'de, V: Visitor<'de>> Visitor<'de> for OrZero<V> {
                type Value = V::Value;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.0.expecting(f)
                }

                fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
                    let $visitor = self.0;
                    $zero
                }

                fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
                    self.visit_none()
                }

                fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
                    inner.$method(Inside::of(self.0))
                }
            }
            self.0.deserialize_option(OrZero(visitor))
        }
    )*};
}

/// The error of a text that stands for `null`, without its place there.
fn of_zero<E: serde::de::Error>(error: &serde_json::Error) -> E {
    let message = error.to_string();
    E::custom(message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message))
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for GoJson<D> {
    type Error = D::Error;

    null_is_zero! {
        deserialize_bool => |v| v.visit_bool(false);
        deserialize_i32 => |v| v.visit_i32(0);
        deserialize_i64 => |v| v.visit_i64(0);
        deserialize_u16 => |v| v.visit_u16(0);
        deserialize_u32 => |v| v.visit_u32(0);
        deserialize_u64 => |v| v.visit_u64(0);
        deserialize_f64 => |v| v.visit_f64(0.0);
        deserialize_str => |v| v.visit_str("");
        deserialize_string => |v| v.visit_str("");
        deserialize_seq => |v| serde_json::Deserializer::from_slice(b"[]").deserialize_seq(Inside::of(v)).map_err(|e| of_zero(&e));
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(OrEmpty(Inside::of(visitor)))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let any_case = if name.starts_with(ANY_CASE) { fields } else { &[] };
        self.0.deserialize_option(OrEmpty(Inside { any_case, ..Inside::of(visitor) }))
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(Inside::of(visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(Inside::of(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        // serde_json hands raw values over under a reserved name, and only to its own visitor.
        if name.starts_with("$serde_json::") {
            self.0.deserialize_newtype_struct(name, visitor)
        } else {
            self.0.deserialize_newtype_struct(name, Inside::of(visitor))
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_ignored_any(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_identifier(visitor)
    }

    /// The name of a variant is no content, and visitors of enums take nothing else.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct
    }
}

fn used_up<E: serde::de::Error>(_: UsedUp) -> E {
    E::custom(allowance::USED_UP)
}

/// Reads an object, for which `null` may stand.
struct OrEmpty<V>(Inside<V>);

impl<'de, V: Visitor<'de>> Visitor<'de> for OrEmpty<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        serde_json::Deserializer::from_slice(b"{}").deserialize_map(self.0).map_err(|error| of_zero(&error))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        inner.deserialize_map(self.0)
    }
}

/// Decodes the content of a value by these rules too.
struct Inside<T> {
    inner: T,
    /// The fields of a struct that may be written in any case.
    any_case: &'static [&'static str],
}

impl<T> Inside<T> {
    fn of(inner: T) -> Self {
        Self { inner, any_case: &[] }
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Inside<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_bool<E: serde::de::Error>(self, v: bool) -> Result<V::Value, E> {
        self.inner.visit_bool(v)
    }

    fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<V::Value, E> {
        self.inner.visit_i64(v)
    }

    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<V::Value, E> {
        self.inner.visit_u64(v)
    }

    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<V::Value, E> {
        self.inner.visit_f64(v)
    }

    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<V::Value, E> {
        self.inner.visit_str(v)
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, v: &'de str) -> Result<V::Value, E> {
        self.inner.visit_borrowed_str(v)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(GoJson(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(GoJson(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(Elements { inner: elements, read: 0 })
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        let is_spelled = !self.any_case.is_empty() || path::is_wanted();
        self.inner.visit_map(Entries { inner: entries, any_case: self.any_case, is_spelled, key: None })
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Inside<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(GoJson(deserializer))
    }
}

/// The elements of a list.
struct Elements<A> {
    inner: A,
    /// How many have been read.
    read: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let outer = path::enter_element(self.read);
        let element = self.inner.next_element_seed(Inside::of(seed))?;
        path::leave(outer);
        self.read += 1;
        if element.is_some() {
            allowance::charge_element::<S::Value>().map_err(used_up)?;
        }
        Ok(element)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

/// The entries of an object.
struct Entries<'de, A> {
    inner: A,
    any_case: &'static [&'static str],
    /// `true` if keys are looked at here, before they are read.
    is_spelled: bool,
    /// The key of the next value, for its path.
    key: Option<Cow<'de, str>>,
}

impl<'de, A: MapAccess<'de>> Entries<'de, A> {
    /// Reads a key in the spelling of its field, and keeps it for the path of its value.
    fn spelled<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let Some(Key { mut text, .. }) = self.inner.next_key::<Key<'de, A::Error>>()? else { return Ok(None) };
        if let Some(field) = self.any_case.iter().find(|field| field.eq_ignore_ascii_case(&text)) {
            text = Cow::Borrowed(field);
        }
        let outer = path::enter_key(&text);
        let key = seed.deserialize(Key::of(text.clone()))?;
        path::leave(outer);
        self.key = Some(text);
        Ok(Some(key))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'de, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let key = if self.is_spelled { self.spelled(seed) } else { self.inner.next_key_seed(seed) }?;
        if key.is_some() {
            allowance::charge_key::<S::Value>().map_err(used_up)?;
        }
        Ok(key)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let outer = self.key.take().and_then(|key| path::enter_key(&key));
        let value = self.inner.next_value_seed(Inside::of(seed))?;
        path::leave(outer);
        Ok(value)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct All {
        text: String,
        number: i32,
        truth: bool,
        list: Vec<Inner>,
        map: BTreeMap<String, String>,
        inner: Inner,
        option: Option<Inner>,
        loose: Loose,
        numbers: BTreeMap<i64, Inner>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Inner {
        value: i64,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, rename = "AnyCaseLoose", deny_unknown_fields)]
    struct Loose {
        value: u16,
        list: Vec<Inner>,
    }

    #[test]
    fn names_of_variants_are_read() {
        #[derive(Debug, PartialEq, Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Mode {
            Record,
            Other,
        }
        assert_eq!(from_slice::<Vec<Mode>>(br#"["record","other"]"#).expect("names"), [Mode::Record, Mode::Other]);
        assert!(from_slice::<Mode>(b"7").is_err() && from_slice::<Mode>(br#""x""#).is_err());
    }

    #[test]
    fn null_is_the_zero_value_at_every_depth() {
        let nulls = br#"{"text":null,"number":null,"truth":null,"list":null,"map":null,"inner":null,"option":null}"#;
        assert_eq!(from_slice::<All>(nulls).unwrap(), All::default());
        let deep = br#"{"list":[null,{"value":null},{"value":3}],"map":{"a":null},"option":{}}"#;
        let all: All = from_slice(deep).unwrap();
        assert_eq!(all.list.iter().map(|i| i.value).collect::<Vec<_>>(), [0, 0, 3]);
        assert_eq!(all.map["a"], "");
        assert_eq!(all.option, Some(Inner::default()));
        assert_eq!(from_slice::<All>(b"null").unwrap(), All::default());
    }

    #[test]
    fn errors_name_the_field() {
        let error = |json: &str| from_slice::<All>(json.as_bytes()).unwrap_err().field;
        assert_eq!(error(r#"{"list":[{},{"value":"x"}]}"#), "list[1].value");
        assert_eq!(error(r#"{"map":{"a":1}}"#), "map.a");
        assert_eq!(error("[]"), "");
        assert_eq!(error("{} {}"), "");
    }

    #[test]
    fn errors_speak_of_json_and_not_of_rust() {
        let error = |json: &str| from_slice::<All>(json.as_bytes()).unwrap_err().to_string();
        assert_eq!(error(r#"{"inner":[]}"#), "inner: invalid type: list, expected an object at line 1 column 9");
        assert_eq!(error(r#"{"list":{}}"#), "list: invalid type: object, expected a list at line 1 column 8");
        let number = from_slice::<All>(br#"{"number":"x"}"#).unwrap_err().without_place();
        assert_eq!(number.to_string(), r#"number: invalid type: string "x", expected an integer that is in range"#);
        assert_eq!(number.within("items[0]").field, "items[0].number");
        assert_eq!(error(" \n"), EMPTY);
        assert_eq!(error("{"), "EOF while parsing an object at line 1 column 1");
        assert_eq!(error(r#"{"inner":{"value":1,}}"#), "inner: trailing comma at line 1 column 21");
    }

    #[test]
    fn raw_values_pass_through() {
        #[derive(Deserialize)]
        #[serde(rename = "AnyCaseRaw")]
        struct Raw<'a> {
            #[serde(borrow)]
            items: Vec<&'a RawValue>,
        }
        let raw: Raw<'_> = from_slice(br#"{"ITEMS": [ {"a" : 1}, null ]}"#).unwrap();
        assert_eq!(raw.items.iter().map(|r| r.get()).collect::<Vec<_>>(), [r#"{"a" : 1}"#, "null"]);
    }

    #[test]
    fn null_lacks_what_has_to_be_there() {
        #[derive(Debug, Deserialize)]
        struct Needs {
            _name: String,
        }
        let error = from_slice::<BTreeMap<String, Needs>>(br#"{"a":null}"#).expect_err("a name is needed");
        assert_eq!(error.to_string(), "a: missing field `_name` at line 1 column 10");
    }

    /// JSON of the fields of [`All`], most of it with a fault somewhere.
    fn documents() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            "null",
            "1",
            "-1",
            "70000",
            "\"x\"",
            "true",
            "[]",
            "{}",
            "[1,]",
            "{\"value\":1,}",
        ]);
        let keys = [
            "text", "number", "truth", "list", "map", "inner", "option", "value", "VALUE", "Loose", "loose", "List",
            "numbers", "7", "x",
        ];
        leaf.prop_map(str::to_owned).prop_recursive(4, 24, 4, move |inner| {
            let entry = (prop::sample::select(keys.to_vec()), inner.clone());
            let object = prop::collection::vec(entry, 0..4).prop_map(|entries| {
                let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{key:?}:{value}")).collect();
                format!("{{{}}}", entries.join(","))
            });
            let list = prop::collection::vec(inner, 0..4).prop_map(|elements| format!("[{}]", elements.join(",")));
            prop_oneof![3 => object, 1 => list]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_path_of_a_fault_is_that_of_serde_path_to_error(json in documents()) {
            let mut again = serde_json::Deserializer::from_slice(json.as_bytes());
            let expected = serde_path_to_error::deserialize::<_, All>(GoJson(&mut again)).err();
            let found = from_slice::<All>(json.as_bytes()).err().map(|error| error.field);
            prop_assert_eq!(found.is_some(), expected.is_some(), "{}", json);
            let (found, expected) = (found.unwrap_or_default(), expected.map(|error| error.path().to_string()).unwrap_or_default());
            // It does not know the text of a key that is no number but should be one.
            if let Some((known, _)) = expected.split_once('?') {
                prop_assert!(found.starts_with(known.trim_matches('.')), "{}: {} is not within {}", json, found, known);
            } else {
                prop_assert_eq!(&*found, expected.trim_start_matches('.'), "{}", json);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(prop::num::u8::ANY, 0..200)) {
            let _ = from_slice::<All>(&bytes);
        }
    }
}
