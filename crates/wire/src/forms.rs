//! The forms in which clients read stored objects: whole, as a table, or their metadata alone.
//!
//! Each form is made from the JSON of the whole object or list, so that replies and events of a watch are made alike.
//!
//! Source: `apiserver/pkg/endpoints/handlers/response.go`, `apimachinery/pkg/apis/meta/v1/types.go` (Table,
//! PartialObjectMetadata).

use std::{borrow::Cow, fmt::Write as _};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::kinds::{Served, StoredKind};

pub mod accept;

/// A form and its notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Representation {
    /// The form.
    pub form: Form,
    /// YAML instead of JSON.
    pub is_yaml: bool,
}

/// A form of an object or list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Whole,
    /// A `Table` with a row for each object.
    Table(MetaVersion, Include),
    /// `PartialObjectMetadata` of one object.
    Metadata(MetaVersion),
    /// `PartialObjectMetadataList` of a list.
    MetadataList(MetaVersion),
}

/// A version of `meta.k8s.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaVersion {
    /// `v1`
    V1,
    /// `v1beta1`
    V1Beta1,
}

impl MetaVersion {
    fn parse(text: &str) -> Option<Self> {
        [Self::V1, Self::V1Beta1].into_iter().find(|version| version.api_version().ends_with(&format!("/{text}")))
    }

    /// `meta.k8s.io/v1`
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// The part of the object that a row of a table has besides its cells: the query `includeObject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// Its metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

impl Include {
    /// Reads `includeObject`; empty stands for the metadata.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "None" => Some(Self::None),
            "" | "Metadata" => Some(Self::Metadata),
            "Object" => Some(Self::Object),
            _ => None,
        }
    }
}

/// A form could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The form is not one of this object: one of a list was asked of a single object, or the other way round.
    #[error("{0}")]
    NotAcceptable(String),
    /// The text is not that of an object.
    #[error("an object cannot be read: {0}")]
    Unreadable(String),
}

/// The beginning of an object or list; the rest stays unread.
#[derive(Deserialize)]
struct Outline<'t> {
    #[serde(borrow, default)]
    kind: Cow<'t, str>,
    #[serde(borrow, default)]
    metadata: Option<&'t RawValue>,
    #[serde(borrow, default)]
    items: Option<Vec<&'t RawValue>>,
}

impl<'t> Outline<'t> {
    fn of(text: &'t str) -> Result<Self, FormError> {
        serde_json::from_str(text).map_err(|error| FormError::Unreadable(error.to_string()))
    }

    fn metadata(&self) -> &'t str {
        self.metadata.map_or("{}", RawValue::get)
    }
}

/// The form of an object or a list of a kind, of which `text` is the JSON. A `Status` stays as it is.
///
/// # Errors
/// If the form is not one of this object, or the text cannot be read.
pub fn shaped<'t>(text: &'t str, form: Form, kind: &StoredKind, now: Timestamp) -> Result<Cow<'t, str>, FormError> {
    if form == Form::Whole {
        return Ok(Cow::Borrowed(text));
    }
    let outline = Outline::of(text)?;
    if outline.kind == "Status" {
        return Ok(Cow::Borrowed(text));
    }
    let is_list = outline.kind.strip_suffix("List") == Some(kind.kind);
    let items = if is_list { outline.items.as_deref() } else { None };
    match (form, items) {
        (Form::Whole, _) => Ok(Cow::Borrowed(text)),
        (Form::Table(version, include), Some(items)) => {
            let objects = items.iter().map(|item| item.get());
            table(outline.metadata(), objects, version, include, kind, Headers::Written, now).map(Cow::Owned)
        }
        (Form::Table(version, include), None) => {
            let metadata = of_one(outline.metadata());
            table(&metadata, [text].into_iter(), version, include, kind, Headers::Written, now).map(Cow::Owned)
        }
        (Form::Metadata(version), None) => Ok(Cow::Owned(partial(outline.metadata(), kind, version))),
        (Form::MetadataList(version), Some(items)) => {
            metadata_list(outline.metadata(), items, kind, version).map(Cow::Owned)
        }
        (Form::Metadata(_), Some(_)) => Err(FormError::NotAcceptable(format!(
            "you requested PartialObjectMetadata, but the requested object is a list ({}List)",
            kind.kind
        ))),
        (Form::MetadataList(_), None) => Err(FormError::NotAcceptable(format!(
            "you requested PartialObjectMetadataList, but the requested object is not a list ({})",
            kind.kind
        ))),
    }
}

/// The object of an event of a watch: a table has its columns in the first event alone.
///
/// # Errors
/// If the text cannot be read.
pub fn event_object<'t>(
    text: &'t str,
    form: Form,
    kind: &StoredKind,
    headers: Headers,
    now: Timestamp,
) -> Result<Cow<'t, str>, FormError> {
    match form {
        Form::Whole => Ok(Cow::Borrowed(text)),
        Form::Table(version, include) => {
            let metadata = of_one(Outline::of(text)?.metadata());
            table(&metadata, [text].into_iter(), version, include, kind, headers, now).map(Cow::Owned)
        }
        Form::Metadata(version) | Form::MetadataList(version) => {
            Ok(Cow::Owned(partial(Outline::of(text)?.metadata(), kind, version)))
        }
    }
}

/// The columns of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// They are in it.
    Written,
    /// They are left out: the reader has them.
    LeftOut,
}

/// The metadata of a table of one object.
fn of_one(metadata: &str) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Revision {
        resource_version: String,
    }
    let Revision { resource_version } = serde_json::from_str(metadata).unwrap_or_default();
    if resource_version.is_empty() {
        return "{}".into();
    }
    format!(r#"{{"resourceVersion":{}}}"#, Value::from(resource_version))
}

/// The annotation that daemon sets have only where they are written whole (`pkg/apis/apps/v1/conversion.go`).
const OF_DAEMON_SETS: &str = "deprecated.daemonset.template.generation";

fn partial(metadata: &str, kind: &StoredKind, version: MetaVersion) -> String {
    let version = version.api_version();
    let hidden = if kind.kind == "DaemonSet" { without_annotation(metadata, OF_DAEMON_SETS) } else { None };
    let metadata = hidden.as_deref().unwrap_or(metadata);
    format!(r#"{{"kind":"PartialObjectMetadata","apiVersion":"{version}","metadata":{metadata}}}"#)
}

/// The metadata without an annotation; `None` if it has not got it.
fn without_annotation(metadata: &str, name: &str) -> Option<String> {
    let mut metadata: Value = serde_json::from_str(metadata).ok()?;
    let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
    annotations.shift_remove(name)?;
    if annotations.is_empty() {
        metadata.as_object_mut()?.shift_remove("annotations");
    }
    Some(metadata.to_string())
}

fn metadata_list(
    metadata: &str,
    items: &[&RawValue],
    kind: &StoredKind,
    version: MetaVersion,
) -> Result<String, FormError> {
    let api_version = version.api_version();
    let mut out =
        format!(r#"{{"kind":"PartialObjectMetadataList","apiVersion":"{api_version}","metadata":{metadata},"items":["#);
    for (i, item) in items.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{}", partial(Outline::of(item.get())?.metadata(), kind, version));
    }
    out.push_str("]}");
    Ok(out)
}

fn table<'o>(
    metadata: &str,
    objects: impl Iterator<Item = &'o str>,
    version: MetaVersion,
    include: Include,
    kind: &StoredKind,
    headers: Headers,
    now: Timestamp,
) -> Result<String, FormError> {
    let api_version = version.api_version();
    let mut out =
        format!(r#"{{"kind":"Table","apiVersion":"{api_version}","metadata":{metadata},"columnDefinitions":["#);
    let columns = if headers == Headers::Written { kind.columns } else { &[] };
    for (i, column) in columns.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(
            out,
            r#"{comma}{{"name":"{}","type":"{}","format":"{}","description":"","priority":{}}}"#,
            column.name, column.of, column.format, column.priority
        );
    }
    out.push_str(r#"],"rows":["#);
    for (i, text) in objects.enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let object = serde_json::from_str(text).map_err(|error| FormError::Unreadable(error.to_string()))?;
        let cells = Value::from(kind.cells(&as_stored(object, kind), now));
        let _ = write!(out, r#"{comma}{{"cells":{cells},"object":"#);
        match include {
            Include::None => out.push_str("null"),
            Include::Metadata => out.push_str(&partial(Outline::of(text)?.metadata(), kind, version)),
            Include::Object => out.push_str(&named(text, kind)?),
        }
        out.push('}');
    }
    out.push_str("]}");
    Ok(out)
}

/// An object with the names that its fields have in the store, by which the cells are read.
fn as_stored(mut object: Value, kind: &StoredKind) -> Value {
    if let (Served::View(view), Some(fields)) = (&kind.served, object.as_object_mut()) {
        for (stored, called) in view.renamed {
            if let Some(value) = fields.remove(*called) {
                fields.insert((*stored).into(), value);
            }
        }
    }
    object
}

/// An object with its kind, which the items of a list need not have.
fn named<'t>(text: &'t str, kind: &StoredKind) -> Result<Cow<'t, str>, FormError> {
    if !Outline::of(text)?.kind.is_empty() {
        return Ok(Cow::Borrowed(text));
    }
    let rest = text.trim_start().strip_prefix('{').unwrap_or("}");
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    Ok(Cow::Owned(format!(r#"{{"kind":"{}","apiVersion":"{}"{comma}{rest}"#, kind.kind, kind.api_version())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::by_plural;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn shape(text: &Value, form: Form, plural: (&str, &str)) -> Result<Value, FormError> {
        let kind = by_plural(plural.0, plural.1).expect("a kind");
        let text = text.to_string();
        shaped(&text, form, kind, NOW).map(|shaped| serde_json::from_str(&shaped).expect("JSON"))
    }

    fn config_maps() -> Value {
        json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "7", "continue": "x"},
            "items": [{"metadata": {"name": "a", "resourceVersion": "5"}, "data": {"k": "v"}},
                      {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "b"}}]})
    }

    #[test]
    fn a_list_becomes_a_table_with_a_row_for_each_object() {
        let of = |include| {
            shape(&config_maps(), Form::Table(MetaVersion::V1, include), ("", "configmaps")).expect("a table")
        };
        let table = of(Include::Metadata);
        assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
        assert_eq!(table["metadata"], json!({"resourceVersion": "7", "continue": "x"}));
        let columns: Vec<_> =
            table["columnDefinitions"].as_array().expect("columns").iter().map(|column| &column["name"]).collect();
        assert_eq!(columns, ["Name", "Data", "Age"]);
        let row = json!({"cells": ["a", 1, "<unknown>"], "object": {"kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a", "resourceVersion": "5"}}});
        assert_eq!(table["rows"][0], row);
        assert_eq!(of(Include::None)["rows"][1]["object"], Value::Null);
        let whole = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "resourceVersion": "5"}, "data": {"k": "v"}});
        assert_eq!(of(Include::Object)["rows"][0]["object"], whole);
        assert_eq!(of(Include::Object)["rows"][1]["object"], config_maps()["items"][1]);
    }

    #[test]
    fn one_object_becomes_a_table_of_its_revision() {
        let object =
            json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "resourceVersion": "5"}});
        let table =
            shape(&object, Form::Table(MetaVersion::V1Beta1, Include::Metadata), ("", "configmaps")).expect("a table");
        assert_eq!(
            (&table["apiVersion"], &table["metadata"]),
            (&json!("meta.k8s.io/v1beta1"), &json!({"resourceVersion": "5"}))
        );
        assert_eq!(table["rows"].as_array().map(Vec::len), Some(1));
        let kind = by_plural("", "configmaps").expect("a kind");
        let text = object.to_string();
        let event = event_object(&text, Form::Table(MetaVersion::V1, Include::None), kind, Headers::LeftOut, NOW);
        let event: Value = serde_json::from_str(&event.expect("an event")).expect("JSON");
        assert_eq!((&event["columnDefinitions"], &event["rows"][0]["cells"][0]), (&json!([]), &json!("a")));
    }

    #[test]
    fn cells_of_another_form_are_read_by_the_stored_names() {
        let event = json!({"kind": "Event", "apiVersion": "events.k8s.io/v1", "metadata": {"name": "e"}, "note": "lost",
            "reason": "Gone", "regarding": {"kind": "Pod", "name": "p"}});
        let table =
            shape(&event, Form::Table(MetaVersion::V1, Include::None), ("events.k8s.io", "events")).expect("a table");
        let cells = table["rows"][0]["cells"].as_array().expect("cells");
        assert!(cells.contains(&json!("pod/p")) && cells.contains(&json!("lost")), "{cells:?}");
    }

    #[test]
    fn metadata_alone_is_of_an_object_or_of_a_list() {
        let (one, many) = (Form::Metadata(MetaVersion::V1), Form::MetadataList(MetaVersion::V1));
        let list = shape(&config_maps(), many, ("", "configmaps")).expect("a list");
        assert_eq!(
            (&list["kind"], &list["metadata"]["resourceVersion"]),
            (&json!("PartialObjectMetadataList"), &json!("7"))
        );
        let partial =
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "b"}});
        assert_eq!(list["items"][1], partial);
        let object = &config_maps()["items"][1];
        assert_eq!(shape(object, one, ("", "configmaps")), Ok(partial));
        assert!(matches!(shape(object, many, ("", "configmaps")), Err(FormError::NotAcceptable(_))));
        assert!(matches!(shape(&config_maps(), one, ("", "configmaps")), Err(FormError::NotAcceptable(_))));
        let status = json!({"kind": "Status", "status": "Success"});
        assert_eq!(shape(&status, one, ("", "configmaps")), Ok(status));
    }
}
