//! `metadata.managedFields`: which manager wrote which fields.
//!
//! Source: `apimachinery/pkg/util/managedfields/internal` (`fieldmanager.go`, `managedfields.go`, `managedfieldsupdater.go`,
//! `capmanagers.go`, `skipnonapplied.go`, `stripmeta.go`), `structured-merge-diff/merge/update.go`,
//! `apiserver/pkg/endpoints/handlers/create.go` (`managerOrUserAgent`).

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _};

use serde_json::{Map, Value, json};

use super::{
    path::Element,
    schema::Place,
    set::Set,
    to_tree,
    typed::{Comparison, compare},
};
use crate::{
    decode::DecodeError,
    document::Document,
    kinds::{StoredKind, Subresource},
};

/// Largest length of a manager's name, in bytes.
pub const LONGEST_MANAGER: usize = 128;

/// Largest number of managers of updates. Beyond it, the oldest become one.
const MOST_UPDATERS: usize = 10;

/// The manager that the oldest become.
const ANCIENT: &str = "ancient-changes";

/// The manager of what an object had before something was first applied to it.
pub(super) const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// A write and who makes it.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Its name.
    pub manager: &'a str,
    /// `true` if the request names it, `false` if the name is taken from the `User-Agent`.
    pub is_named: bool,
    /// The subresource written to, or nothing.
    pub subresource: &'a str,
    /// The time in RFC 3339; `None` where the API server notes none (`scale`).
    pub now: Option<&'a str>,
}

/// The manager's name: the `fieldManager` of the request, or else the program in its `User-Agent`.
pub fn manager_of<'a>(field_manager: &'a str, user_agent: &'a str) -> Cow<'a, str> {
    if !field_manager.is_empty() {
        return field_manager.into();
    }
    let program = user_agent.split('/').next().unwrap_or_default();
    let printable: String = program.chars().filter(|c| !c.is_control()).collect();
    let end = printable.floor_char_boundary(LONGEST_MANAGER);
    match &printable[..end] {
        "" => "unknown".into(),
        name => name.to_owned().into(),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// The identity of an entry. An applier is the same in all versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    manager: String,
    operation: Operation,
    api_version: String,
    subresource: String,
}

impl Id {
    pub(super) fn new(kind: &StoredKind, writer: &Writer<'_>, operation: Operation) -> Self {
        Self {
            manager: writer.manager.to_owned(),
            operation,
            api_version: if operation == Operation::Apply { String::new() } else { kind.api_version() },
            subresource: writer.subresource.to_owned(),
        }
    }

    /// The manager as conflicts name it.
    pub(super) fn shown(&self) -> String {
        let mut shown = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            let _ = write!(shown, " with subresource {:?}", self.subresource);
        }
        if self.operation == Operation::Update {
            let _ = write!(shown, " using {}", self.api_version);
        }
        shown
    }
}

/// The fields that a manager owns, and the time of its last write.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) fields: Set,
    pub(super) api_version: String,
    pub(super) time: Option<String>,
}

/// The managers of an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Managers(pub(super) BTreeMap<Id, Entry>);

/// One entry as it is written.
fn entry_of(id: &Id, entry: &Entry) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            fields.insert(name.to_owned(), value.into());
        }
    };
    put("manager", &id.manager);
    put("operation", if id.operation == Operation::Apply { "Apply" } else { "Update" });
    put("apiVersion", &entry.api_version);
    put("time", entry.time.as_deref().unwrap_or_default());
    put("fieldsType", "FieldsV1");
    let subresource = id.subresource.clone();
    fields.insert("fieldsV1".to_owned(), entry.fields.to_json());
    if !subresource.is_empty() {
        fields.insert("subresource".to_owned(), subresource.into());
    }
    Value::Object(fields)
}

impl Managers {
    /// Reads `managedFields`; `None` if they cannot be read. `object` is what the entry of an only writer stands for.
    pub(super) fn read(kind: &StoredKind, json: Option<&Value>, object: Option<&Value>) -> Option<Self> {
        let mut managers = BTreeMap::new();
        let entries = match json {
            None | Some(Value::Null) => return Some(Self::default()),
            Some(entries) => entries.as_array()?,
        };
        for entry in entries {
            let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            let operation = match text("operation").as_str() {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            };
            let api_version = text("apiVersion");
            if api_version.is_empty() || text("fieldsType") != "FieldsV1" {
                return None;
            }
            let subresource = text("subresource");
            let fields = match (entry.get("fieldsV1"), object) {
                (Some(fields), _) => Set::from_json(fields)?,
                (None, Some(object)) if entries.len() == 1 && operation == Operation::Update => {
                    everything(kind, object, &subresource)
                }
                (None, _) => Set::default(),
            };
            let time = Some(text("time")).filter(|time| !time.is_empty());
            let of = if operation == Operation::Apply { String::new() } else { api_version.clone() };
            let id = Id { manager: text("manager"), operation, api_version: of, subresource };
            managers.insert(id, Entry { fields, api_version, time });
        }
        Some(Self(managers))
    }

    /// Writes `managedFields`; `None` where there are none.
    pub(super) fn write(&self) -> Option<Value> {
        let mut entries: Vec<_> = self.0.iter().collect();
        entries.sort_by_cached_key(|(id, entry)| (id.operation, entry.time.clone(), (*id).clone()));
        let entries: Vec<_> = entries.into_iter().map(|(id, entry)| entry_of(id, entry)).collect();
        (!entries.is_empty()).then_some(Value::Array(entries))
    }

    /// Takes from all managers but one what was changed or taken out.
    pub(super) fn lose(&mut self, keeper: Option<&Id>, change: &Comparison) {
        self.0.retain(|id, entry| {
            if Some(id) != keeper {
                entry.fields = change.taken_from(std::mem::take(&mut entry.fields));
            }
            !entry.fields.is_empty()
        });
    }

    /// Notes an update: what it changed belongs to its manager alone.
    pub(super) fn update(&mut self, kind: &StoredKind, change: &Comparison, writer: &Writer<'_>) {
        self.lose(None, change);
        let fields = stripped(change.modified.clone().union(&change.added));
        if fields.is_empty() {
            return;
        }
        let entry = self.0.entry(Id::new(kind, writer, Operation::Update)).or_insert_with(|| Entry {
            fields: Set::default(),
            api_version: kind.api_version(),
            time: None,
        });
        entry.fields = std::mem::take(&mut entry.fields).union(&fields);
        entry.time = writer.now.map(ToOwned::to_owned);
        self.cap();
    }

    /// Makes one manager of the oldest updates where there are too many.
    fn cap(&mut self) {
        let mut updaters: Vec<_> = self.0.iter().filter(|(id, _)| id.operation == Operation::Update).collect();
        if updaters.len() <= MOST_UPDATERS {
            return;
        }
        updaters.sort_by_key(|(id, entry)| (&entry.time, *id));
        let more = updaters.len() - MOST_UPDATERS;
        // Two become one, so one more than there are too many; of each version its own.
        let oldest: Vec<Id> = updaters.into_iter().map(|(id, _)| id.clone()).collect();
        let mut first_of: BTreeMap<String, Id> = BTreeMap::new();
        let mut left = more;
        for id in oldest {
            if left == 0 {
                return;
            }
            let version = id.api_version.clone();
            let Some(first) = first_of.get(&version) else {
                first_of.insert(version, id);
                continue;
            };
            let bucket = Id {
                manager: ANCIENT.into(),
                operation: Operation::Update,
                api_version: version,
                subresource: String::new(),
            };
            let (first, entry) = (self.0.remove(first), self.0.remove(&id));
            let mut all = self.0.remove(&bucket);
            for entry in [first, entry].into_iter().flatten() {
                all = Some(match all {
                    None => entry,
                    Some(old) => Entry { fields: old.fields.union(&entry.fields), ..entry },
                });
            }
            if let Some(all) = all {
                self.0.insert(bucket, all);
            }
            left -= 1;
        }
    }
}

/// The top-level field that a write to this path leaves alone, so that nobody owns it through it.
pub(super) fn ignored(kind: &StoredKind, subresource: &str) -> Option<Element> {
    let field = match subresource {
        "status" => "spec",
        "" if kind.has(Subresource::Status) => "status",
        _ => return None,
    };
    Some(Element::Field(field.into()))
}

/// The changes of a write that its manager answers for.
pub(super) fn change(kind: &StoredKind, before: &Value, after: &Value, subresource: &str) -> Comparison {
    let mut change = compare(before, after, &Place::root(kind));
    if let Some(ignored) = ignored(kind, subresource) {
        for fields in [&mut change.added, &mut change.modified, &mut change.removed] {
            fields.forget(&ignored);
        }
    }
    change
}

/// All fields of an object that somebody can own.
fn everything(kind: &StoredKind, object: &Value, subresource: &str) -> Set {
    stripped(change(kind, &json!({}), object, subresource).added)
}

/// The fields without those that nobody owns.
pub(super) fn stripped(mut fields: Set) -> Set {
    let field = |name: &str| Element::Field(name.into());
    for name in ["apiVersion", "kind"] {
        fields.forget(&field(name));
    }
    let mut unowned = Set::default();
    unowned.insert(&[field("metadata")]);
    for name in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        unowned.insert(&[field("metadata"), field(name)]);
    }
    fields.difference(&unowned)
}

/// Takes `managedFields` out of an object.
pub(super) fn take(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.shift_remove("managedFields")
}

/// Sets `managedFields` of an object.
pub(super) fn put(object: &mut Value, managers: &Managers) {
    let Some(fields) = managers.write() else { return };
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("managedFields".into(), fields);
    }
}

/// `true` if a request takes all managed fields away: it sends an empty list, or one entry with nothing in it.
fn is_reset(sent: &Value) -> bool {
    match sent.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([entry]) => entry.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}

pub(super) fn track(
    kind: &StoredKind,
    before: Option<&Document>,
    after: &mut Document,
    writer: &Writer<'_>,
) -> Result<(), DecodeError> {
    let parsed =
        |document: &Document| -> Option<Value> { serde_json::from_str(document.metadata("managedFields")?.get()).ok() };
    let (live, sent) = (before.and_then(parsed), parsed(after));
    let is_main = writer.subresource.is_empty();
    if is_main && sent.as_ref().is_some_and(is_reset) {
        after.remove_metadata("managedFields");
        return Ok(());
    }
    if before.is_none() && !writer.is_named && sent.is_none() {
        return note_creator(kind, after, writer);
    }
    let sent = sent.filter(|_| is_main);
    if let (Some(before), Some(live)) = (before, &live)
        && (sent.is_none() || sent.as_ref() == Some(live))
        && is_only_writer(kind, live, writer)
    {
        let mut live = live.clone();
        if let (true, Some(now)) = (differ(before, after), writer.now) {
            live[0]["time"] = now.into();
        }
        return set(after, &live);
    }
    if before.is_some() && live.is_none() && sent.is_none() {
        after.remove_metadata("managedFields");
        return Ok(());
    }
    let mut old = before.map(to_tree).transpose()?.unwrap_or_else(|| json!({}));
    take(&mut old);
    let mut new = to_tree(after)?;
    take(&mut new);
    let read = |fields: Option<&Value>| Managers::read(kind, fields, Some(&old));
    let managers = read(sent.as_ref()).filter(|managers| !managers.0.is_empty());
    let mut managers = managers.or_else(|| read(live.as_ref())).unwrap_or_default();
    if before.is_some() && managers.0.is_empty() {
        after.remove_metadata("managedFields");
        return Ok(());
    }
    let before_it = managers.write();
    managers.update(kind, &change(kind, &old, &new, writer.subresource), writer);
    let written = managers.write();
    // What did not change stays as it was written, so that a write without a change is seen as one.
    if let Some(live) = live.filter(|_| written == before_it && sent_is_live(sent.as_ref(), before_it.as_ref())) {
        return set(after, &live);
    }
    match written {
        None => after.remove_metadata("managedFields"),
        Some(written) => set(after, &written)?,
    }
    Ok(())
}

/// `true` if the fields of an object are all its writer's, who is the one that writes again.
fn is_only_writer(kind: &StoredKind, live: &Value, writer: &Writer<'_>) -> bool {
    let Some([entry]) = live.as_array().map(Vec::as_slice) else { return false };
    let is = |field: &str, text: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default() == text;
    entry.get("fieldsV1").is_none()
        && is("manager", writer.manager)
        && is("operation", "Update")
        && is("apiVersion", &kind.api_version())
        && is("fieldsType", "FieldsV1")
        && is("subresource", writer.subresource)
}

/// `true` if two objects are not written alike.
fn differ(before: &Document, after: &Document) -> bool {
    let bare = |document: &Document| {
        let mut document = document.clone();
        document.remove_metadata("managedFields");
        document.into_body()
    };
    bare(before) != bare(after)
}

fn sent_is_live(sent: Option<&Value>, live: Option<&Value>) -> bool {
    sent.is_none() || sent == live
}

fn set(document: &mut Document, fields: &Value) -> Result<(), DecodeError> {
    let raw = serde_json::value::to_raw_value(fields)
        .map_err(|e| DecodeError { field: "metadata.managedFields".into(), message: e.to_string() })?;
    document.set_metadata("managedFields", raw);
    Ok(())
}

/// Notes who created an object, who owns all of it.
fn note_creator(kind: &StoredKind, after: &mut Document, writer: &Writer<'_>) -> Result<(), DecodeError> {
    let mut entry = json!({"manager": writer.manager, "operation": "Update", "apiVersion": kind.api_version(), "fieldsType": "FieldsV1"});
    if let (Some(now), Some(entry)) = (writer.now, entry.as_object_mut()) {
        entry.insert("time".into(), now.into());
    }
    set(after, &json!([entry]))
}
