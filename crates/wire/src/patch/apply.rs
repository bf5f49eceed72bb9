//! Server-side apply: a configuration merged into an object, with owners of fields.
//!
//! A manager owns the fields that it applies. It conflicts with another owner of a field to which it gives another value; a field that it
//! applied before and applies no more goes, unless somebody else owns it.
//!
//! Source: `structured-merge-diff/merge/update.go`, `apimachinery/pkg/util/managedfields/internal` (`structuredmerge.go`,
//! `versioncheck.go`, `conflict.go`, `lastappliedmanager.go`, `lastappliedupdater.go`).

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Map, Value, json};

use super::{
    Conflict, PatchError,
    managed::{self, BEFORE_FIRST_APPLY, Entry, Id, Managers, Operation, Writer},
    path::shown,
    schema::Place,
    set::Set,
    text,
    typed::{compare, faults, field_set, merge, remove, same},
};
use crate::{kinds::StoredKind, tree};

/// The manager whose client-side applies are taken over.
const KUBECTL: &str = "kubectl";

/// The annotation in which kubectl keeps what it applied last, and where it stands.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const ANNOTATIONS: &str = "/metadata/annotations";

/// An object with its managers.
struct Applied {
    object: Value,
    managers: Managers,
}

/// Applies a configuration to the live object, if there is one.
pub(super) fn apply(
    kind: &StoredKind,
    mut live: Option<Value>,
    mut config: Value,
    namespace: Option<&str>,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, PatchError> {
    check(kind, &config, namespace)?;
    let fields = live.as_mut().and_then(managed::take);
    let mut managers = Managers::read(kind, fields.as_ref(), live.as_ref())
        .ok_or_else(|| PatchError::BadRequest("failed to decode managed fields of the stored object".into()))?;
    if let Some(live) = &live
        && managers.0.is_empty()
    {
        let all = managed::change(kind, &json!({}), live, writer.subresource);
        managers.update(kind, &all, &Writer { manager: BEFORE_FIRST_APPLY, ..*writer });
    }
    let live = live.unwrap_or_else(|| json!({}));
    // A configuration for the object says nothing about its status, and one for the status nothing about the rest.
    let sent = (writer.manager == KUBECTL).then(|| config.clone());
    if let (Some(super::path::Element::Field(ignored)), Some(fields)) =
        (managed::ignored(kind, writer.subresource), config.as_object_mut())
    {
        fields.shift_remove(&ignored);
    }
    let run = Run { kind, place: Place::root(kind), live: &live, config: &config, writer };
    let applied = match run.apply(managers.clone(), force) {
        Err(conflicts) if writer.manager == KUBECTL => run.apply_as_kubectl(managers, conflicts)?,
        applied => applied.map_err(|conflicts| PatchError::Conflicts(listed(&conflicts)))?,
    };
    let Applied { mut object, managers } = applied;
    if let Some(sent) = sent {
        note_last_applied(&mut object, sent);
    }
    managed::put(&mut object, &managers);
    Ok(object)
}

/// Checks that a configuration can be one of the kind.
fn check(kind: &StoredKind, config: &Value, namespace: Option<&str>) -> Result<(), PatchError> {
    let (api_version, of_kind) = (text(config, "/apiVersion"), text(config, "/kind"));
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    if api_version != kind.api_version() || of_kind != kind.kind {
        return Err(PatchError::BadRequest(format!("invalid object type: {group}/{version}, Kind={of_kind}")));
    }
    if config.pointer("/metadata/managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(PatchError::BadRequest("metadata.managedFields must be nil".into()));
    }
    let faults = faults(config, &Place::root(kind));
    if faults.is_empty() {
        return Ok(());
    }
    let name = text(config, "/metadata/name");
    let namespace = namespace.unwrap_or_default();
    let faults = match &faults[..] {
        [fault] => fault.clone(),
        faults => format!("errors:\n  {}", faults.join("\n  ")),
    };
    Err(PatchError::BadRequest(format!(
        "failed to create typed patch object ({namespace}/{name}; {group}/{version}, Kind={of_kind}): {faults}"
    )))
}

/// Fields that other managers own, by these.
type Conflicts = BTreeMap<Id, Set>;

/// One configuration and one object.
struct Run<'r> {
    kind: &'r StoredKind,
    place: Place,
    live: &'r Value,
    config: &'r Value,
    writer: &'r Writer<'r>,
}

impl Run<'_> {
    fn apply(&self, mut managers: Managers, force: bool) -> Result<Applied, Conflicts> {
        let merged = merge(self.live.clone(), self.config, &self.place);
        let mut fields = field_set(self.config, &self.place);
        if let Some(ignored) = managed::ignored(self.kind, self.writer.subresource) {
            fields.forget(&ignored);
        }
        let id = Id::new(self.kind, self.writer, Operation::Apply);
        let last = managers.0.get(&id).cloned();
        let time = last.as_ref().and_then(|last| last.time.clone());
        managers.0.insert(id.clone(), Entry { fields, api_version: self.kind.api_version(), time });
        let mut object = without_nulls(self.prune(merged, &managers, last.map(|last| last.fields)));
        let change = managed::change(self.kind, self.live, &object, self.writer.subresource);
        let taken = change.modified.clone().union(&change.added);
        let conflicts: Conflicts = managers
            .0
            .iter()
            .filter(|(other, _)| **other != id)
            .map(|(other, entry)| (other.clone(), entry.fields.intersection(&taken)))
            .filter(|(_, fields)| !fields.is_empty())
            .collect();
        if !force && !conflicts.is_empty() {
            return Err(conflicts);
        }
        managers.lose(Some(&id), &change);
        let changed = !same(self.live, &object);
        if let Some(entry) = managers.0.get_mut(&id) {
            entry.fields = managed::stripped(std::mem::take(&mut entry.fields));
            if changed {
                entry.time = self.writer.now.map(ToOwned::to_owned);
            }
        }
        managers.0.retain(|_, entry| !entry.fields.is_empty());
        if !changed {
            object = self.live.clone();
        }
        Ok(Applied { object, managers })
    }

    /// Takes out what the manager applied before and does not apply now, where nobody else owns it.
    fn prune(&self, merged: Value, managers: &Managers, last: Option<Set>) -> Value {
        let Some(last) = last.filter(|last| !last.is_empty()) else { return merged };
        let named = |fields: &Set| fields.with_named_fields(&self.place);
        let fields_of = |value: &Value| named(&field_set(value, &self.place));
        let last = named(&last);
        let all = fields_of(&merged);
        let pruned = fields_of(&remove(merged.clone(), &last, &self.place));
        let owned = managers.0.values().fold(Set::default(), |all, entry| all.union(&entry.fields));
        let gone = all.clone().difference(&pruned.union(&named(&owned)));
        let pruned = fields_of(&remove(merged.clone(), &gone, &self.place));
        // What nobody owned stays, even below what goes.
        let gone = all.difference(&pruned).intersection(&last);
        remove(merged, &gone, &self.place)
    }

    /// Applies where all conflicts are with what kubectl applied by itself before it left that to the server.
    fn apply_as_kubectl(&self, managers: Managers, mut conflicts: Conflicts) -> Result<Applied, PatchError> {
        if let Some(own) = self.last_applied() {
            for fields in conflicts.values_mut() {
                *fields = std::mem::take(fields).difference(&own);
            }
            conflicts.retain(|_, fields| !fields.is_empty());
        }
        if conflicts.is_empty()
            && let Ok(applied) = self.apply(managers, true)
        {
            return Ok(applied);
        }
        Err(PatchError::Conflicts(listed(&conflicts)))
    }

    /// The fields that still are as kubectl applied them last.
    fn last_applied(&self) -> Option<Set> {
        let last = self.live.pointer(ANNOTATIONS)?.get(LAST_APPLIED)?.as_str()?;
        let last = tree::parse(last.as_bytes()).ok()?;
        if text(&last, "/apiVersion") != self.kind.api_version() || !faults(&last, &self.place).is_empty() {
            return None;
        }
        let change = compare(&last, self.live, &self.place);
        Some(change.taken_from(field_set(&last, &self.place)))
    }
}

/// Keeps kubectl's annotation, if the object has it, as kubectl itself would.
fn note_last_applied(object: &mut Value, mut config: Value) {
    let Some(annotations) = object.pointer_mut(ANNOTATIONS).and_then(Value::as_object_mut) else { return };
    let Some(last) =
        annotations.get_mut(LAST_APPLIED).filter(|last| last.as_str().is_some_and(|last| !last.is_empty()))
    else {
        return;
    };
    if let Some(annotations) = config.pointer_mut(ANNOTATIONS).and_then(Value::as_object_mut) {
        annotations.shift_remove(LAST_APPLIED);
    }
    *last = format!("{config}\n").into();
}

/// The conflicts one by one.
fn listed(conflicts: &Conflicts) -> Vec<Conflict> {
    let mut listed = Vec::new();
    for (manager, fields) in conflicts {
        let manager = manager.shown();
        fields.for_each(&mut |path| listed.push(Conflict { manager: manager.clone(), field: shown(path) }));
    }
    listed
}

pub(super) fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [Conflict { manager, field }] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {manager}: {field}");
    }
    let mut message = format!("Apply failed with {} conflicts: ", conflicts.len());
    let mut last = None;
    for Conflict { manager, field } in conflicts {
        if last != Some(manager) {
            let line = if last.is_none() { "" } else { "\n" };
            let _ = write!(message, "{line}conflicts with {manager}:");
            last = Some(manager);
        }
        let _ = write!(message, "\n- {field}");
    }
    message
}

/// A value without fields that are null, as an object of a type has none.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
