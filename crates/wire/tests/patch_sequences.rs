//! Random sequences of applies, patches and updates by several clients, against a model of what an object has and who owns it.
//!
//! The model knows fields alone: labels, data, and finalizers, whose owners are told apart one by one.
//!
//! - An apply sets the fields of its configuration. It is refused where another client owns a field with another value, unless it is forced.
//!   A field that the client applied before and applies no more goes, if nobody else owns it.
//! - An object without owners gets none by other writes; the first apply gives all that it has to `before-first-apply`.
//! - Any other write owns what it changes, and all lose what it takes away.
//! - Whoever owns a field loses it only when it gets another value, or goes.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use podberth_wire::{
    document::Document,
    kinds::{self, StoredKind},
    patch::{self, Patch, PatchError, Writer},
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// `label.a`, `data.a`, `finalizer.a` with their values; that of a finalizer is empty.
type Fields = BTreeMap<String, String>;

/// A client and the sort of its writes.
type Owner = (String, &'static str);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    fields: Fields,
    owners: BTreeMap<Owner, BTreeSet<String>>,
}

#[derive(Clone, Debug)]
enum Step {
    Apply {
        force: bool,
        config: Fields,
    },
    Put(Fields),
    /// Sets some fields and takes others out.
    Strategic {
        set: Fields,
        unset: BTreeSet<String>,
    },
    Merge {
        set: Fields,
        unset: BTreeSet<String>,
    },
}

impl Model {
    fn apply(&mut self, client: &str, config: &Fields, force: bool) -> Result<(), BTreeSet<String>> {
        let before = self.clone();
        if self.owners.is_empty() && !self.fields.is_empty() {
            let all = self.fields.keys().cloned().collect();
            self.owners.insert(("before-first-apply".into(), "Update"), all);
        }
        let applied = self.owned_apply(client, config, force);
        if applied.is_err() {
            *self = before;
        }
        applied
    }

    fn owned_apply(&mut self, client: &str, config: &Fields, force: bool) -> Result<(), BTreeSet<String>> {
        let own: Owner = (client.to_owned(), "Apply");
        let changed: BTreeSet<String> = config
            .iter()
            .filter(|(field, value)| self.fields.get(*field).is_some_and(|old| old != *value))
            .map(|(field, _)| field.clone())
            .collect();
        let others = self.owners.iter().filter(|(owner, _)| **owner != own);
        let conflicts: BTreeSet<String> =
            others.flat_map(|(_, fields)| fields.intersection(&changed)).cloned().collect();
        if !force && !conflicts.is_empty() {
            return Err(conflicts);
        }
        let last = self.owners.insert(own.clone(), config.keys().cloned().collect()).unwrap_or_default();
        let is_owned = |field: &String| self.owners.values().any(|fields| fields.contains(field));
        let gone: Vec<String> = last.into_iter().filter(|field| !is_owned(field)).collect();
        self.fields.retain(|field, _| !gone.contains(field));
        self.fields.extend(config.clone());
        for (owner, fields) in &mut self.owners {
            if *owner != own {
                fields.retain(|field| !changed.contains(field));
            }
        }
        self.owners.retain(|_, fields| !fields.is_empty());
        Ok(())
    }

    fn write(&mut self, client: &str, next: Fields, is_new: bool) {
        if self.owners.is_empty() && !is_new {
            self.fields = next;
            return;
        }
        let written: BTreeSet<String> = next
            .iter()
            .filter(|(field, value)| self.fields.get(*field) != Some(value))
            .map(|(field, _)| field.clone())
            .collect();
        for fields in self.owners.values_mut() {
            fields.retain(|field| next.contains_key(field) && !written.contains(field));
        }
        self.owners.entry((client.to_owned(), "Update")).or_default().extend(written);
        self.owners.retain(|_, fields| !fields.is_empty());
        self.fields = next;
    }
}

fn kind() -> &'static StoredKind {
    kinds::by_api_version("v1", "ConfigMap").expect("a stored kind")
}

/// An object with these fields; null for those of `unset`.
fn tree(fields: &Fields, unset: &BTreeSet<String>) -> Value {
    let mut tree = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let values = fields.iter().map(|(field, value)| (field, Value::from(&**value)));
    for (field, value) in values.chain(unset.iter().map(|field| (field, Value::Null))) {
        match field.split_once('.').expect("a field") {
            ("label", name) => tree["metadata"]["labels"][name] = value,
            ("data", name) => tree["data"][name] = value,
            (_, name) => {
                let list = if value.is_null() { "$deleteFromPrimitiveList/finalizers" } else { "finalizers" };
                let mut names = tree["metadata"][list].as_array().cloned().unwrap_or_default();
                names.push(format!("example.com/{name}").into());
                tree["metadata"][list] = names.into();
            }
        }
    }
    tree
}

fn document(fields: &Fields) -> Document {
    Document::parse(tree(fields, &BTreeSet::new()).to_string().as_bytes()).expect("a document")
}

fn finalizer(text: &str) -> String {
    format!("finalizer.{}", text.strip_prefix("example.com/").expect("a finalizer"))
}

/// The object and its owners, as they are written.
fn read(document: &Document) -> Model {
    let tree: Value = serde_json::from_str(&document.to_json()).expect("JSON");
    let mut model = Model::default();
    for (prefix, map) in [("label", &tree["metadata"]["labels"]), ("data", &tree["data"])] {
        let entries = map.as_object().into_iter().flatten();
        model.fields.extend(
            entries.map(|(name, value)| (format!("{prefix}.{name}"), value.as_str().expect("a text").to_owned())),
        );
    }
    let finalizers = tree["metadata"]["finalizers"].as_array().into_iter().flatten();
    model.fields.extend(finalizers.map(|name| (finalizer(name.as_str().expect("a text")), String::new())));
    for entry in tree["metadata"]["managedFields"].as_array().into_iter().flatten() {
        let fields = &entry["fieldsV1"];
        let mut owned = BTreeSet::new();
        for (prefix, map) in [("label", &fields["f:metadata"]["f:labels"]), ("data", &fields["f:data"])] {
            let names = map.as_object().into_iter().flat_map(Map::keys).filter_map(|name| name.strip_prefix("f:"));
            owned.extend(names.map(|name| format!("{prefix}.{name}")));
        }
        let set = fields["f:metadata"]["f:finalizers"].as_object();
        let names = set.into_iter().flat_map(Map::keys).filter_map(|name| name.strip_prefix("v:"));
        owned.extend(names.map(|name| finalizer(&serde_json::from_str::<String>(name).expect("a text"))));
        let operation = if entry["operation"] == "Apply" { "Apply" } else { "Update" };
        if !owned.is_empty() {
            model.owners.insert((entry["manager"].as_str().expect("a manager").to_owned(), operation), owned);
        }
    }
    model
}

/// The object without empty lists and maps, as every object is before its writers are noted.
fn tidy(merged: &Document) -> Document {
    let mut tree: Value = serde_json::from_str(&merged.to_json()).expect("JSON");
    let is_full = |value: &Value| value.as_object().is_none_or(|map| !map.is_empty()) && value != &json!([]);
    for part in [String::new(), "/metadata".into()] {
        if let Some(fields) = tree.pointer_mut(&part).and_then(Value::as_object_mut) {
            fields.retain(|_, value| is_full(value));
        }
    }
    Document::parse(tree.to_string().as_bytes()).expect("a document")
}

fn writer(client: &str) -> Writer<'_> {
    Writer { manager: client, is_named: true, subresource: "", now: Some("2026-11-26T12:00:00Z") }
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(fields) = value else { unreachable!("it is one") };
    fields
}

/// Carries out a step on the document and on the model.
fn take(stored: &mut Option<Document>, model: &mut Model, client: &str, step: &Step) -> Result<(), TestCaseError> {
    let writer = writer(client);
    let merged = |stored: &Document, patch: Patch| -> Document {
        let mut next = tidy(&patch::merged(kind(), stored, patch).expect("it is merged").document);
        patch::track(kind(), Some(stored), &mut next, &writer).expect("it is tracked");
        next
    };
    let changed = |model: &Model, set: &Fields, unset: &BTreeSet<String>| {
        let mut next = model.fields.clone();
        next.extend(set.clone());
        next.retain(|field, _| !unset.contains(field));
        next
    };
    match step {
        Step::Apply { force, config } => {
            let configured = object(tree(config, &BTreeSet::new()));
            let applied = patch::server_side(kind(), stored.as_ref(), configured.clone(), (None, "a"), &writer, *force);
            match (applied, model.apply(client, config, *force)) {
                (Ok(applied), Ok(())) => {
                    let again = patch::server_side(kind(), Some(&applied), configured, (None, "a"), &writer, false);
                    prop_assert_eq!(again.expect("no conflict with itself").to_json(), applied.to_json());
                    *stored = Some(applied);
                }
                (Err(PatchError::Conflicts(told)), Err(conflicts)) => {
                    let name = |field: &str| {
                        let (_, name) = field.rsplit_once('.').expect("a path");
                        (if field.starts_with(".data") { "data." } else { "label." }).to_owned() + name
                    };
                    let told: BTreeSet<String> = told.iter().map(|conflict| name(&conflict.field)).collect();
                    prop_assert_eq!(told, conflicts);
                }
                (applied, expected) => prop_assert!(false, "{applied:?}, expected {expected:?}"),
            }
        }
        Step::Put(fields) => {
            let mut next = document(fields);
            patch::track(kind(), stored.as_ref(), &mut next, &writer).expect("it is tracked");
            model.write(client, fields.clone(), stored.is_none());
            *stored = Some(next);
        }
        Step::Strategic { set, unset } => {
            let Some(before) = stored else { return Ok(()) };
            let next = merged(before, Patch::Strategic(object(tree(set, unset))));
            let next_fields = changed(model, set, unset);
            model.write(client, next_fields, false);
            *stored = Some(next);
        }
        Step::Merge { set, unset } => {
            let Some(before) = stored else { return Ok(()) };
            // Lists are replaced.
            let is_list = |field: &String| field.starts_with("finalizer.");
            let (listed, unset): (BTreeSet<String>, _) = unset.iter().cloned().partition(|field| is_list(field));
            drop(listed);
            let next = merged(before, Patch::Merge(object(tree(set, &unset))));
            let mut next_fields = changed(model, set, &unset);
            if set.keys().any(is_list) {
                next_fields.retain(|field, _| !is_list(field) || set.contains_key(field));
            }
            model.write(client, next_fields, false);
            *stored = Some(next);
        }
    }
    Ok(())
}

fn fields() -> impl Strategy<Value = Fields> {
    let valued = prop::collection::btree_map("(label|data)\\.[abc]", "[12]", 0..4);
    let finalizers = prop::collection::btree_set("finalizer\\.[ab]", 0..3);
    (valued, finalizers).prop_map(|(mut fields, finalizers)| {
        fields.extend(finalizers.into_iter().map(|name| (name, String::new())));
        fields
    })
}

fn steps() -> impl Strategy<Value = Vec<(String, Step)>> {
    let change = || {
        (fields(), prop::collection::btree_set("(label|data|finalizer)\\.[abc]", 0..3)).prop_map(|(set, mut unset)| {
            unset.retain(|field| !set.contains_key(field));
            (set, unset)
        })
    };
    let step = prop_oneof![
        4 => (any::<bool>(), fields()).prop_map(|(force, config)| Step::Apply { force, config }),
        1 => fields().prop_map(Step::Put),
        2 => change().prop_map(|(set, unset)| Step::Strategic { set, unset }),
        1 => change().prop_map(|(set, unset)| Step::Merge { set, unset }),
    ];
    prop::collection::vec(("(ann|ben|cem)", step), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sequences_of_writes_leave_what_the_model_has(steps in steps()) {
        let (mut stored, mut model) = (None, Model::default());
        for (client, step) in &steps {
            take(&mut stored, &mut model, client, step)?;
            if let Some(stored) = &stored {
                prop_assert_eq!(&read(stored), &model, "after {} {:?}", client, step);
            }
        }
    }
}
