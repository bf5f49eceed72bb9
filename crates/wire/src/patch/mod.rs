//! Patches of stored objects, as the API server does them. No I/O: a document and a patch become a document or an error.
//!
//! - [`Patch::parse`] reads a body once, by its content type ([`PatchType`]).
//! - [`merged`] applies a JSON patch, a merge patch or a strategic merge patch; [`server_side`] applies a configuration.
//! - [`track`] writes down which manager wrote which fields (`metadata.managedFields`) after any other write.
//! - [`PatchError`] speaks for the status, the reason, the message and the causes of the reply.
//!
//! Documents go in and out in the form in which clients read them: with `kind`, `apiVersion` and `metadata.resourceVersion`
//! ([`crate::document::render`]). Defaults, validation, and what a write may change at all are the caller's.
//!
//! Merge keys and list types stand in one table, `lists.txt`. The time is an argument. Trees are charged for while they exist
//! ([`crate::allowance`]); nesting is no deeper than that of documents.
//!
//! # What is kept in managedFields
//!
//! The creator of an object owns all of it, so an object with one writer needs no list of its fields: where the writer gives no
//! `fieldManager`, its entry has no `fieldsV1`, and the fields are worked out from the object when a second writer comes. A creation then
//! reads no tree, and stores 113 bytes for it in the case of a small pod, where the list would take 570. Every writer that names itself, and every later one, gets its fields.
//!
//! Source: `apiserver/pkg/endpoints/handlers/patch.go`.

use serde_json::{Map, Value};

use crate::{
    allowance::{self, UsedUp},
    decode::DecodeError,
    document::Document,
    fault::Cause,
    kinds::StoredKind,
    tree, yaml,
};

mod apply;
mod json;
mod managed;
mod merge;
mod path;
mod schema;
mod set;
mod strategic;
mod typed;

pub use json::MOST_OPERATIONS;
pub use managed::{LONGEST_MANAGER, Writer, manager_of};
use schema::Place;
pub(crate) use schema::lines as list_rules;

/// The kinds of patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
    /// A merge patch that merges lists by keys.
    Strategic,
    /// A configuration for server-side apply.
    Apply,
}

impl PatchType {
    /// All of them, in the order in which the API server lists them.
    pub const ALL: [Self; 4] = [Self::Json, Self::Merge, Self::Strategic, Self::Apply];

    /// Its content type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }

    /// By a content type, with or without parameters.
    pub fn of(content_type: &str) -> Option<Self> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        Self::ALL.into_iter().find(|patch| patch.media_type().eq_ignore_ascii_case(media_type))
    }
}

/// A patch, read.
#[derive(Clone, Debug)]
pub enum Patch {
    /// Operations.
    Json(Vec<json::Operation>),
    /// Fields to merge.
    Merge(Map<String, Value>),
    /// Fields to merge, with directives.
    Strategic(Map<String, Value>),
    /// A configuration.
    Apply(Map<String, Value>),
}

impl Patch {
    /// Reads the body of a patch.
    ///
    /// # Errors
    /// If it is not what its content type says, or too large to be read.
    pub fn parse(patch: PatchType, body: &[u8]) -> Result<Self, PatchError> {
        let object = |tree: Value, what: &str| match tree {
            Value::Object(fields) => Ok(fields),
            _ => Err(PatchError::BadRequest(format!("{what}the patch is not an object"))),
        };
        let tree = |what: &str| tree::parse(body).map_err(|e| PatchError::bad_or_used_up(what, e));
        match patch {
            PatchType::Json => json::parse(body).map(Self::Json),
            PatchType::Merge => {
                let what = "error decoding patch: ";
                object(tree(what)?, what).map(Self::Merge)
            }
            PatchType::Strategic => object(tree("")?, "").map(Self::Strategic),
            PatchType::Apply => {
                let what = "error decoding YAML: ";
                if body.trim_ascii().is_empty() {
                    return Ok(Self::Apply(Map::new()));
                }
                // JSON is YAML, and is read faster and deeper as what it is.
                let tree = match tree::parse(body) {
                    Err(e) if !e.is_used_up() => {
                        let json = yaml::to_json(body, true).map_err(|e| PatchError::bad_or_used_up(what, e))?;
                        tree::parse(&json).map_err(|e| PatchError::bad_or_used_up(what, e))?
                    }
                    read => read.map_err(PatchError::Unread)?,
                };
                object(tree, what).map(Self::Apply)
            }
        }
    }
}

/// The reply to a patch that is not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchError {
    /// The patch cannot be read, or asks for what there is not.
    BadRequest(String),
    /// The patch does not fit the document.
    Unprocessable(String),
    /// The patched document is no object of its kind.
    Invalid(String),
    /// The patch has too many operations.
    TooLarge(String),
    /// Fields belong to other managers.
    Conflicts(Vec<Conflict>),
    /// A text cannot be read within the memory that a request may take.
    Unread(DecodeError),
}

/// A field that another manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The manager, as messages name it.
    pub manager: String,
    /// The field's path: `.spec.replicas`.
    pub field: String,
}

impl PatchError {
    fn bad_or_used_up(what: &str, error: DecodeError) -> Self {
        if error.is_used_up() { Self::Unread(error) } else { Self::BadRequest(format!("{what}{error}")) }
    }

    /// The HTTP status.
    pub fn code(&self) -> u16 {
        match self {
            Self::BadRequest(_) | Self::Unread(_) => 400,
            Self::Unprocessable(_) | Self::Invalid(_) => 422,
            Self::TooLarge(_) => 413,
            Self::Conflicts(_) => 409,
        }
    }

    /// The reason, in one word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadRequest(_) | Self::Unread(_) => "BadRequest",
            Self::Unprocessable(_) | Self::Invalid(_) => "Invalid",
            Self::TooLarge(_) => "RequestEntityTooLarge",
            Self::Conflicts(_) => "Conflict",
        }
    }

    /// The fault, for people.
    pub fn message(&self) -> String {
        match self {
            Self::BadRequest(message) | Self::Unprocessable(message) | Self::TooLarge(message) => message.clone(),
            Self::Invalid(why) => format!(" \"\" is invalid: patch: Invalid value: \"<object>\": {why}"),
            Self::Conflicts(conflicts) => apply::conflict_message(conflicts),
            Self::Unread(error) => error.to_string(),
        }
    }

    /// The faults one by one.
    pub fn causes(&self) -> Vec<Cause> {
        let cause = |field: &str, reason: &str, message: String| Cause {
            field: field.into(),
            reason: reason.into(),
            message,
            unreadable: false,
        };
        match self {
            Self::Invalid(why) => {
                vec![cause("patch", "FieldValueInvalid", format!("Invalid value: \"<object>\": {why}"))]
            }
            Self::Conflicts(conflicts) => conflicts
                .iter()
                .map(|c| cause(&c.field, "FieldManagerConflict", format!("conflict with {}", c.manager)))
                .collect(),
            _ => Vec::new(),
        }
    }
}

impl From<DecodeError> for PatchError {
    fn from(error: DecodeError) -> Self {
        Self::Unread(error)
    }
}

/// A patched object.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The object.
    pub document: Document,
    /// Fields that the patch brought in and its type does not have, which are dropped: `unknown field "spec.x"`.
    pub unknown: Vec<String>,
}

/// Applies a JSON patch, a merge patch or a strategic merge patch to an object.
///
/// # Errors
/// If the patch does not fit the document, or the result is no object of its kind and name.
pub fn merged(kind: &StoredKind, stored: &Document, patch: Patch) -> Result<Merged, PatchError> {
    allowance::briefly(|| merge_into(kind, stored, patch))
}

fn merge_into(kind: &StoredKind, stored: &Document, patch: Patch) -> Result<Merged, PatchError> {
    let stored = to_tree(stored)?;
    let before = stored.clone();
    let place = Place::root(kind);
    let identity = |tree: &Value| (text(tree, "/kind"), text(tree, "/metadata/name"));
    let (of_kind, name) = identity(&stored);
    let mut patched = match patch {
        Patch::Json(operations) => json::apply(stored, &operations)?,
        Patch::Merge(fields) => merge::apply(stored, Value::Object(fields)),
        Patch::Strategic(fields) => strategic::apply(stored, fields, &place)?,
        Patch::Apply(_) => return Err(PatchError::BadRequest("a configuration is applied, not merged".into())),
    };
    let (now_kind, now_name) = identity(&patched);
    if !now_kind.is_empty() && now_kind != of_kind {
        return Err(PatchError::Invalid(format!(
            "no kind {now_kind:?} is registered here: the patch changes the kind"
        )));
    }
    check_name(&now_name, &name)?;
    if let Some(field) = no_text(kind, &patched) {
        return Err(PatchError::Invalid(format!("{field} is not a string")));
    }
    let unknown = typed::drop_unknown(&mut patched, &before, &place);
    Ok(Merged { document: to_document(&patched)?, unknown })
}

/// Applies a configuration to an object, or to none yet. Returns the object with its managed fields.
///
/// `name` and `namespace` are those of the path.
///
/// # Errors
/// If the configuration is not of the kind and name, has fields that the kind does not have, or sets fields of other managers.
pub fn server_side(
    kind: &StoredKind,
    stored: Option<&Document>,
    config: Map<String, Value>,
    (namespace, name): (Option<&str>, &str),
    writer: &Writer<'_>,
    force: bool,
) -> Result<Document, PatchError> {
    let config = Value::Object(config);
    let of_config = text(&config, "/metadata/name");
    if let Some(field) = no_text(kind, &config) {
        return Err(PatchError::BadRequest(format!("failed to create typed patch object: .{field}: expected string")));
    }
    let document = allowance::briefly(|| {
        let live = stored.map(to_tree).transpose()?;
        to_document(&apply::apply(kind, live, config, namespace, writer, force)?)
    })?;
    // The object that is there has the name of the path.
    if !(of_config.is_empty() && stored.is_some()) {
        check_name(&of_config, name)?;
    }
    Ok(document)
}

/// Writes down in `after` who wrote its fields: a create if there is nothing `before`, else an update.
///
/// # Errors
/// If a document cannot be read as a tree within the memory that a request may take.
pub fn track(
    kind: &StoredKind,
    before: Option<&Document>,
    after: &mut Document,
    writer: &Writer<'_>,
) -> Result<(), DecodeError> {
    allowance::briefly(|| managed::track(kind, before, after, writer))
}

fn text(tree: &Value, pointer: &str) -> String {
    tree.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn check_name(name: &str, in_path: &str) -> Result<(), PatchError> {
    if name == in_path {
        return Ok(());
    }
    Err(PatchError::BadRequest(if name.is_empty() {
        format!("the name of the object ({in_path} based on URL) was undeterminable: name must be provided")
    } else {
        format!("the name of the object ({name}) does not match the name on the URL ({in_path})")
    }))
}

/// A value that is no text in a map of texts which no other layer reads.
fn no_text(kind: &StoredKind, tree: &Value) -> Option<String> {
    if kind.kind != "ConfigMap" {
        return None;
    }
    ["data", "binaryData"].into_iter().find_map(|map| match tree.get(map)? {
        Value::Null => None,
        Value::Object(texts) => {
            let odd = texts.iter().find(|(_, text)| !text.is_string() && !text.is_null());
            odd.map(|(key, _)| format!("{map}.{key}"))
        }
        _ => Some(map.to_owned()),
    })
}

/// Number of copies and sets that are made of a tree: charged for with it.
const COPIES: usize = 4;

fn to_tree(document: &Document) -> Result<Value, DecodeError> {
    let json = document.to_json();
    let tree = tree::parse(json.as_bytes())?;
    allowance::for_text(json.len(), || {
        allowance::charge(COPIES * tree::weight(json.as_bytes())).map_err(|_: UsedUp| DecodeError::used_up())
    })?;
    Ok(tree)
}

fn to_document(tree: &Value) -> Result<Document, PatchError> {
    Document::parse(tree.to_string().as_bytes()).map_err(|e| match e {
        e if e.is_used_up() => PatchError::Unread(e),
        e => PatchError::Invalid(e.without_place().to_string()),
    })
}

#[cfg(test)]
mod tests;
