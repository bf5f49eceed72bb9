//! A stored object, kept as the client sent it: unknown fields, the order of fields and the spelling of values stay.
//!
//! Only the top level and `metadata` are parsed; everything else stays text. Stored bodies have one shape (see
//! [`Document::into_body`]), so that reading one out of the store needs no parsing: [`render`] inserts the fields that the store adds.

use std::{borrow::Cow, fmt::Write as _};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use super::{
    decode::{self, DecodeError},
    kinds::{Served, StoredKind},
    tree,
};

/// Largest nesting depth of objects; serde_json itself allows this much when it builds a tree.
pub(crate) const MAX_DEPTH: usize = 127;

/// An object to be stored.
#[derive(Clone, Debug, Default)]
pub struct Document {
    top: Fields,
    metadata: Fields,
}

/// The fields of one JSON object in their order, values unread.
#[derive(Clone, Debug, Default)]
struct Fields(Vec<(String, Box<RawValue>)>);

impl Fields {
    fn get(&self, key: &str) -> Option<&RawValue> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| &**value)
    }

    /// Replaces a value in its place, or puts it last.
    fn set(&mut self, key: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(k, _)| k == key) {
            Some(field) => field.1 = value,
            None => self.0.push((key.into(), value)),
        }
    }

    /// Gives a field another name, which no other one has then.
    fn rename(&mut self, from: &str, to: &str) {
        if self.get(from).is_some() {
            self.take(to);
        }
        if let Some(field) = self.0.iter_mut().find(|(k, _)| k == from) {
            to.clone_into(&mut field.0);
        }
    }

    fn take(&mut self, key: &str) -> Option<Box<RawValue>> {
        let at = self.0.iter().position(|(k, _)| k == key)?;
        Some(self.0.remove(at).1)
    }

    /// A repeated key.
    fn repeated(&self) -> Option<&str> {
        let mut keys: Vec<&str> = self.0.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        keys.array_windows().find(|[a, b]| a == b).map(|[a, _]| *a)
    }

    fn write(&self, out: &mut String) {
        for (i, (key, value)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(out, "{comma}{}:{value}", raw_text(key));
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Fields, A::Error> {
                let mut fields = Fields::default();
                while let Some((key, value)) = entries.next_entry::<String, Box<RawValue>>()? {
                    fields.0.push((key, value));
                }
                match fields.repeated() {
                    Some(key) => Err(serde::de::Error::custom(format_args!("duplicate field {key:?}"))),
                    None => Ok(fields),
                }
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// The fields of an object; none where it is missing.
fn fields_of(object: Option<&RawValue>) -> Result<Fields, DecodeError> {
    object.map_or(Ok(Fields::default()), |raw| decode::from_slice(raw.get().as_bytes()))
}

/// An object with a field set; its other fields stay as they are.
fn with_fields(object: Option<&RawValue>, values: Vec<(&str, Box<RawValue>)>) -> Result<Box<RawValue>, DecodeError> {
    let mut fields = fields_of(object)?;
    for (field, value) in values {
        fields.set(field, value);
    }
    let mut written = String::from("{");
    fields.write(&mut written);
    written.push('}');
    RawValue::from_string(written).map_err(|e| DecodeError { field: String::new(), message: e.to_string() })
}

/// A value as JSON.
pub(super) fn raw<T: Serialize>(value: &T) -> Result<Box<RawValue>, DecodeError> {
    serde_json::value::to_raw_value(value)
        .map_err(|error| DecodeError { field: String::new(), message: error.to_string() })
}

/// A text as a JSON value.
fn raw_text(text: &str) -> Box<RawValue> {
    // A text always serializes; should it ever not, null is a value too.
    serde_json::value::to_raw_value(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

impl Document {
    /// Reads an object.
    ///
    /// # Errors
    /// When the text is no JSON object, is nested too deeply, or names a field of the top level or of `metadata` twice.
    pub fn parse(json: &[u8]) -> Result<Self, DecodeError> {
        check_nesting(json)?;
        let mut top: Fields = decode::from_slice(json)?;
        let metadata = match top.take("metadata") {
            Some(metadata) => {
                decode::from_slice(metadata.get().as_bytes()).map_err(|e| e.without_place().within("metadata"))?
            }
            None => Fields::default(),
        };
        Ok(Self { top, metadata })
    }

    /// The field of the top level that is a text, such as `kind`; `None` where it is missing, null or something else.
    pub fn text(&self, field: &str) -> Option<String> {
        self.top.get(field).and_then(|raw| serde_json::from_str(raw.get()).ok())
    }

    /// The field of `metadata` that is a text, such as `name`; `None` where it is missing, null or something else.
    pub fn metadata_text(&self, field: &str) -> Option<String> {
        self.metadata.get(field).and_then(|raw| serde_json::from_str(raw.get()).ok())
    }

    /// A field of the top level, as it was written.
    pub fn get(&self, field: &str) -> Option<&RawValue> {
        self.top.get(field)
    }

    /// A field of `metadata`, as it was written.
    pub fn metadata(&self, field: &str) -> Option<&RawValue> {
        self.metadata.get(field)
    }

    /// Sets a field of the top level other than `metadata`, such as `status`.
    pub fn set(&mut self, field: &str, value: Box<RawValue>) {
        if field != "metadata" {
            self.top.set(field, value);
        }
    }

    /// Takes a field of the top level out.
    pub fn remove(&mut self, field: &str) {
        self.top.take(field);
    }

    /// Gives a field of the top level another name, which no other one has then.
    pub fn rename(&mut self, from: &str, to: &str) {
        self.top.rename(from, to);
    }

    /// Gives the fields of the top level the names by which the kind is stored.
    pub fn to_stored(&mut self, kind: &StoredKind) {
        if let Served::View(view) = &kind.served {
            for (stored, called) in view.renamed {
                self.rename(called, stored);
            }
        }
    }

    /// Sets a field of `metadata`.
    pub fn set_metadata(&mut self, field: &str, value: Box<RawValue>) {
        self.metadata.set(field, value);
    }

    /// Sets a field of `metadata` to a text, such as `uid`.
    pub fn set_metadata_text(&mut self, field: &str, text: &str) {
        self.metadata.set(field, raw_text(text));
    }

    /// Takes a field of `metadata` out.
    pub fn remove_metadata(&mut self, field: &str) {
        self.metadata.take(field);
    }

    /// Makes a field of `metadata` that of another object: it goes where the other has none.
    pub fn copy_metadata(&mut self, field: &str, of: &Self) {
        match of.metadata(field) {
            Some(value) => self.set_metadata(field, value.to_owned()),
            None => self.remove_metadata(field),
        }
    }

    /// Makes a field of the top level that of another object: it goes where the other has none.
    pub fn copy(&mut self, field: &str, of: &Self) {
        match of.get(field) {
            Some(value) => self.set(field, value.to_owned()),
            None => self.remove(field),
        }
    }

    /// An annotation.
    pub fn annotation(&self, key: &str) -> Option<String> {
        let annotations = fields_of(self.metadata.get("annotations")).ok()?;
        annotations.get(key).and_then(|raw| serde_json::from_str(raw.get()).ok())
    }

    /// Sets an annotation.
    ///
    /// # Errors
    /// When the annotations are no object.
    pub fn set_annotation(&mut self, key: &str, value: &str) -> Result<(), DecodeError> {
        let annotations = self.metadata.get("annotations");
        let with_it = with_fields(annotations, vec![(key, raw_text(value))])
            .map_err(|e| DecodeError { field: "metadata.annotations".into(), ..e })?;
        self.metadata.set("annotations", with_it);
        Ok(())
    }

    /// A field within an object of the top level, as it was written.
    ///
    /// # Errors
    /// If the value there is not an object.
    pub fn get_in(&self, object: &str, field: &str) -> Result<Option<Box<RawValue>>, DecodeError> {
        let fields = fields_of(self.top.get(object)).map_err(|e| DecodeError { field: object.into(), ..e })?;
        Ok(fields.get(field).map(ToOwned::to_owned))
    }

    /// The list in a field of an object of the top level; empty where it is missing or null.
    ///
    /// # Errors
    /// If there is something else.
    pub fn list_in<T: DeserializeOwned>(&self, object: &str, field: &str) -> Result<Vec<T>, DecodeError> {
        let list = self.get_in(object, field)?;
        Ok(list.map_or(Ok(None), |raw| decode::from_slice::<Option<Vec<T>>>(raw.get().as_bytes()))?.unwrap_or_default())
    }

    /// Sets a text within an object of the top level, as in `set_text_in("spec", "nodeName", "n")`. The object's other fields stay as they
    /// are; a missing object is created.
    ///
    /// # Errors
    /// If the value there is not an object.
    pub fn set_text_in(&mut self, object: &str, field: &str, text: &str) -> Result<(), DecodeError> {
        self.set_in(object, field, raw_text(text))
    }

    /// Like [`Self::set_text_in`], for a value of any type.
    ///
    /// # Errors
    /// If the value there is not an object.
    pub fn set_in(&mut self, object: &str, field: &str, value: Box<RawValue>) -> Result<(), DecodeError> {
        self.set_all_in(object, vec![(field, value)])
    }

    /// Like [`Self::set_in`], for several fields.
    ///
    /// # Errors
    /// If the value there is not an object.
    pub fn set_all_in(&mut self, object: &str, values: Vec<(&str, Box<RawValue>)>) -> Result<(), DecodeError> {
        if values.is_empty() {
            return Ok(());
        }
        let with_them = with_fields(self.top.get(object), values);
        self.set(object, with_them.map_err(|e| e.without_place().within(object))?);
        Ok(())
    }

    /// The object as a tree after an edit.
    ///
    /// # Errors
    /// That of the edit, or if the object takes too much memory.
    pub(super) fn edited(
        &self,
        edit: impl FnOnce(&mut Map<String, Value>) -> Result<(), DecodeError>,
    ) -> Result<Self, DecodeError> {
        let mut tree = tree::parse(self.to_json().as_bytes())?;
        if let Value::Object(object) = &mut tree {
            edit(object)?;
        }
        Self::parse(tree.to_string().as_bytes())
    }

    /// The whole object as JSON, `kind`, `apiVersion` and `resourceVersion` included where it has them.
    pub fn to_json(&self) -> String {
        let mut json = String::from("{\"metadata\":{");
        self.metadata.write(&mut json);
        json.push('}');
        if !self.top.0.is_empty() {
            json.push(',');
            self.top.write(&mut json);
        }
        json.push('}');
        json
    }

    /// The stored form: it begins with `{"metadata":{`, has no `kind`, `apiVersion` or `metadata.resourceVersion`, and is one compact line.
    /// Everything else is as the client wrote it.
    pub fn into_body(mut self) -> String {
        self.remove("kind");
        self.remove("apiVersion");
        self.remove_metadata("resourceVersion");
        compact(&self.to_json())
    }
}

/// A stored body with the names that the kind has for its fields.
pub fn shown<'b>(body: &'b str, kind: &StoredKind) -> Cow<'b, str> {
    let Served::View(view) = &kind.served else { return Cow::Borrowed(body) };
    let Ok(mut document) = Document::parse(body.as_bytes()) else { return Cow::Borrowed(body) };
    for (stored, called) in view.renamed {
        document.rename(stored, called);
    }
    Cow::Owned(document.into_body())
}

/// A stored body as clients read it, with its kind and revision.
pub fn render(body: &str, kind: &StoredKind, revision: u64) -> String {
    let mut json = String::with_capacity(body.len() + 96);
    render_into(&mut json, body, kind, revision);
    json
}

/// Like [`render`], at the end of a longer text such as a list.
pub fn render_into(json: &mut String, body: &str, kind: &StoredKind, revision: u64) {
    let slash = if kind.group.is_empty() { "" } else { "/" };
    let _ = write!(json, r#"{{"kind":"{}","apiVersion":"{}{slash}{}","#, kind.kind, kind.group, kind.version);
    render_fields_into(json, body, kind, revision);
}

/// Like [`render_into`], as an item of a list, which has the kind of its items itself.
pub fn render_item_into(json: &mut String, body: &str, kind: &StoredKind, revision: u64) {
    json.push('{');
    render_fields_into(json, body, kind, revision);
}

fn render_fields_into(json: &mut String, body: &str, kind: &StoredKind, revision: u64) {
    let body = shown(body, kind);
    let rest = body.strip_prefix("{\"metadata\":{").unwrap_or("}}");
    let comma = if rest.starts_with('}') { "" } else { "," };
    let _ = write!(json, r#""metadata":{{"resourceVersion":"{revision}"{comma}{rest}"#);
}

/// The bytes of a JSON text outside of its strings.
fn outside_strings(json: &[u8]) -> impl Iterator<Item = u8> {
    let (mut inside, mut escaped) = (false, false);
    json.iter().copied().filter(move |byte| {
        if inside {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            inside = !ends;
            false
        } else {
            inside = *byte == b'"';
            !inside
        }
    })
}

/// Refuses nesting that is too deep, so that no later recursion overflows, and `null` as an item of a list, which has no meaning.
fn check_nesting(json: &[u8]) -> Result<(), DecodeError> {
    let refused = |message: String| Err(DecodeError { field: String::new(), message });
    let mut open = Vec::new();
    for byte in outside_strings(json) {
        match byte {
            b'{' | b'[' => open.push(byte),
            b'}' | b']' => drop(open.pop()),
            b'n' if open.last() == Some(&b'[') => return refused("a list has null as an item".into()),
            _ => {}
        }
        if open.len() > MAX_DEPTH {
            return refused(format!("nested deeper than {MAX_DEPTH} levels"));
        }
    }
    Ok(())
}

/// The fields that hold amounts of resources by name.
const AMOUNTS: [&[u8]; 5] = [b"\"requests\"", b"\"limits\"", b"\"capacity\"", b"\"allocatable\"", b"\"overhead\""];

/// A driver's `allocatable` in a CSINode holds not amounts but this one number.
const DRIVER_COUNT: &[u8] = b"\"count\":";

/// A JSON text without the blanks between its parts. As from Kubernetes' own API server, fields that are `null` are
/// absent, and amounts of resources that were written as numbers are texts.
fn compact(json: &str) -> String {
    let bytes = json.as_bytes();
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    // Where in `out` the last text began: before a colon that is its key.
    let mut key = 0;
    // For each container that is open whether it holds amounts.
    let mut amounts = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            b'"' => {
                let end = at + text_length(&bytes[at..]);
                key = out.len();
                out.extend_from_slice(&bytes[at..end]);
                at = end;
            }
            b':' if bytes[at + 1..].trim_ascii_start().starts_with(b"null") => {
                at = bytes.len() - bytes[at + 1..].trim_ascii_start().len() + b"null".len();
                out.truncate(key);
                // Of the commas on both sides one goes with the field.
                if out.ends_with(b",") {
                    out.pop();
                } else if let Some(rest) = bytes[at..].trim_ascii_start().strip_prefix(b",") {
                    at = bytes.len() - rest.len();
                }
            }
            b'-' | b'0'..=b'9' if amounts.last() == Some(&true) => {
                let number = bytes[at..].iter().take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)).count();
                let quote: &[u8] = if out.ends_with(DRIVER_COUNT) { b"" } else { b"\"" };
                for part in [quote, &bytes[at..at + number], quote] {
                    out.extend_from_slice(part);
                }
                at += number;
            }
            _ => {
                match byte {
                    b'{' => {
                        let opener = out.get(key..).unwrap_or_default();
                        amounts.push(AMOUNTS.iter().any(|name| opener.strip_prefix(*name) == Some(b":")));
                    }
                    b'[' => amounts.push(false),
                    b'}' | b']' => drop(amounts.pop()),
                    _ => {}
                }
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// How many bytes the JSON text at the beginning takes, quotes included.
fn text_length(bytes: &[u8]) -> usize {
    let mut escaped = false;
    let closing = bytes.iter().skip(1).position(|byte| {
        let closes = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    });
    closing.map_or(bytes.len(), |at| at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;
    use proptest::prelude::*;

    fn body(json: &str) -> String {
        Document::parse(json.as_bytes()).unwrap().into_body()
    }

    #[test]
    fn a_body_keeps_unknown_fields() {
        let sent = r#" { "apiVersion":"v1","kind":"Pod", "spec":{"z":1.50,"a":[1,  2],"s":" {\" } "},
            "metadata":{"name":"p","odd":1e3,"resourceVersion":"7","labels":{"b":"1","a":"2"}},"x":null,"y":{"n": null ,"l":[0],"m" :null},"limits": {"cpu": 2, "gpu":-1.5e3,"of":{"cpu":2}},"allocatable":{"count":25}}"#;
        let kept = r#"{"metadata":{"name":"p","odd":1e3,"labels":{"b":"1","a":"2"}},"spec":{"z":1.50,"a":[1,2],"s":" {\" } "},"y":{"l":[0]},"limits":{"cpu":"2","gpu":"-1.5e3","of":{"cpu":2}},"allocatable":{"count":25}}"#;
        assert_eq!(body(sent), kept);
        assert_eq!(body(kept), kept);
        let pods = kinds::by_plural("", "pods").unwrap();
        assert_eq!(
            render(kept, pods, 42),
            kept.replace(r#"{"metadata":{"#, r#"{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"42","#)
        );
        let sets = kinds::by_plural("apps", "replicasets").unwrap();
        assert_eq!(
            render(&body("{}"), sets, 1),
            r#"{"kind":"ReplicaSet","apiVersion":"apps/v1","metadata":{"resourceVersion":"1"}}"#
        );
    }

    #[test]
    fn fields_can_be_set() {
        let mut document =
            Document::parse(br#"{"metadata":{"name":"p","uid":"old"},"spec":{"a":1,"nodeName":"x","b":2}}"#).unwrap();
        document.set_metadata_text("uid", "new \"one\"");
        document.set_metadata_text("creationTimestamp", "2026-01-01T00:00:00Z");
        document.set_text_in("spec", "nodeName", "n").unwrap();
        document.set_text_in("status", "phase", "Pending").unwrap();
        assert_eq!(document.metadata_text("uid").as_deref(), Some("new \"one\""));
        assert_eq!(
            document.into_body(),
            r#"{"metadata":{"name":"p","uid":"new \"one\"","creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"a":1,"nodeName":"n","b":2},"status":{"phase":"Pending"}}"#
        );
    }

    #[test]
    fn invalid_documents_are_refused() {
        for (bad, field) in [
            ("", ""),
            ("[]", ""),
            ("{} {}", ""),
            (r#"{"a":1,"a":2}"#, ""),
            (r#"{"metadata":{"a":1,"a":2}}"#, "metadata"),
            (r#"{"metadata":[]}"#, "metadata"),
            (r#"{"a":}"#, "a"),
            (r#"{"a":[1, null]}"#, ""),
        ] {
            assert_eq!(Document::parse(bad.as_bytes()).unwrap_err().field, field, "{bad}");
        }
        assert_eq!(body(r#"{"metadata":null}"#), r#"{"metadata":{}}"#);
        let deep = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert!(Document::parse(deep(126).as_bytes()).is_ok());
        assert!(serde_json::from_str::<Value>(&body(&deep(126))).is_ok(), "what is let in can be built as a tree");
        assert!(Document::parse(deep(127).as_bytes()).is_err());
        assert!(Document::parse("[".repeat(1_000_000).as_bytes()).is_err());
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone().prop_filter("no item is null", |v| !v.is_null()), 0..6)
                    .prop_map(Value::from),
                prop::collection::btree_map("\\PC{0,6}", inner, 0..6).prop_map(Value::from_iter),
            ]
        })
    }

    /// The value without object fields that are null.
    fn present(value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                fields.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, present(v))).collect()
            }
            Value::Array(items) => items.into_iter().map(present).collect(),
            other => other,
        }
    }

    proptest! {
        #[test]
        fn every_object_comes_back(
            metadata in prop::collection::btree_map("[a-z\"\\\\]{1,4}", json(), 0..4),
            rest in prop::collection::btree_map("[a-z\"\\\\]{1,4}", json(), 0..4),
            pretty in any::<bool>(),
        ) {
            let mut sent = Value::from_iter(rest);
            sent["metadata"] = Value::from_iter(metadata);
            let text = if pretty { serde_json::to_string_pretty(&sent) } else { serde_json::to_string(&sent) }.unwrap();
            let body = Document::parse(text.as_bytes()).unwrap().into_body();
            let begins_right = body.starts_with(r#"{"metadata":{"#);
            prop_assert!(begins_right);
            let sent = present(sent);
            prop_assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), sent.clone());
            prop_assert_eq!(&Document::parse(body.as_bytes()).unwrap().into_body(), &body, "stored once or twice");
            for (key, value) in sent.as_object().unwrap() {
                prop_assert!(body.contains(&format!("{}:{value}", Value::from(key.as_str()))), "byte for byte");
            }
            let rendered = render(&body, &kinds::ALL[0], 9);
            prop_assert_eq!(&serde_json::from_str::<Value>(&rendered).unwrap()["metadata"]["resourceVersion"], "9");
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), near in r#"[\[\]{}":,0-9a-z\\ ]{0,60}"#) {
            let _ = Document::parse(&bytes);
            let _ = Document::parse(near.as_bytes()).map(|d| render(&d.into_body(), &kinds::ALL[0], 1));
        }
    }
}
