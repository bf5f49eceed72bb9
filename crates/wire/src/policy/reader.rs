//! A cursor over a [`Tree`] that collects faults instead of stopping at the first.
//!
//! A field of the wrong type is told and then read as if it were absent. `null` is absent, as in Go.

use std::{cell::RefCell, collections::BTreeSet};

use super::tree::Tree;
use podberth_core::{
    limits,
    model::Name,
    near::near,
    policy::{Fault, Warning},
};

/// How a fault of a repeated key ends.
pub(super) const ALREADY_SET: &str = "already set in map";

/// Where faults and warnings are gathered.
#[derive(Default)]
pub(super) struct FaultList {
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<Warning>>,
}

impl FaultList {
    pub(super) fn push(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    /// The faults and the warnings.
    pub(super) fn into_parts(self) -> (Vec<Fault>, Vec<Warning>) {
        (self.faults.into_inner(), self.warnings.into_inner())
    }
}

/// How the keys of an object are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// In exact case; others are faults.
    Strict,
    /// In any case; others are passed over. Go's `encoding/json`.
    Lenient,
}

/// A value in the document, or the place of one that is absent.
#[derive(Clone)]
pub(super) struct Field<'t> {
    tree: Option<&'t Tree>,
    path: String,
    faults: &'t FaultList,
}

/// An object in the document.
pub(super) struct Object<'t> {
    entries: &'t [(String, Tree)],
    keys: Keys,
    path: String,
    faults: &'t FaultList,
}

impl<'t> Field<'t> {
    pub(super) fn root(tree: &'t Tree, faults: &'t FaultList) -> Self {
        Self { tree: Some(tree).filter(|t| **t != Tree::Null), path: String::new(), faults }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The value itself; `None` where it is absent.
    pub(super) fn tree(&self) -> Option<&'t Tree> {
        self.tree
    }

    pub(super) fn is_present(&self) -> bool {
        self.tree.is_some()
    }

    pub(super) fn fault(&self, message: impl Into<String>) {
        self.faults.push(Fault::new(&*self.path, message));
    }

    /// A doubt about the value.
    pub(super) fn warning(&self, message: impl Into<String>) {
        self.faults.warnings.borrow_mut().push(Warning::new(&*self.path, message));
    }

    /// A doubt about something within the value, at a path below it.
    pub(super) fn child_warning(&self, below: &str, message: impl Into<String>) {
        self.faults.warnings.borrow_mut().push(Warning::new(child(&self.path, below), message));
    }

    /// A fault of something within the value, at a path below it.
    pub(super) fn child_fault(&self, below: &str, message: impl Into<String>) {
        self.faults.push(Fault::new(child(&self.path, below), message));
    }

    /// A fault of something within the value.
    pub(super) fn push(&self, fault: Fault) {
        self.faults.push(fault);
    }

    fn mismatch<T>(&self, wanted: &str, found: &Tree) -> Option<T> {
        self.fault(format!("expected {wanted}, found {}", found.kind()));
        None
    }

    pub(super) fn text(&self) -> Option<&'t str> {
        match self.tree? {
            Tree::Text(text) => Some(text),
            other => self.mismatch("a string", other),
        }
    }

    pub(super) fn name(&self) -> Name {
        self.text().unwrap_or_default().into()
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.tree? {
            Tree::Bool(value) => Some(*value),
            other => self.mismatch("a boolean", other),
        }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        match self.tree? {
            Tree::Integer(value) => Some(*value),
            Tree::Number(value) if value.fract() == 0.0 => {
                self.fault(format!("the number {value} does not fit into 64 bits"));
                None
            }
            Tree::Number(_) => {
                self.fault("can not decode float as int");
                None
            }
            other => self.mismatch("an integer", other),
        }
    }

    /// An integer of 32 bits.
    pub(super) fn small_integer(&self) -> Option<i64> {
        let value = self.integer()?;
        if i32::try_from(value).is_err() {
            self.fault(format!("the number {value} does not fit into 32 bits"));
            return None;
        }
        Some(value)
    }

    /// The elements of a list; `None` where it is absent.
    pub(super) fn list(&self) -> Option<Vec<Field<'t>>> {
        match self.tree? {
            Tree::List(items) => Some(
                items
                    .iter()
                    .take(self.most_items(items.len()))
                    .enumerate()
                    .map(|(i, item)| Field {
                        tree: Some(item).filter(|t| **t != Tree::Null),
                        path: format!("{}[{i}]", self.path),
                        faults: self.faults,
                    })
                    .collect(),
            ),
            other => self.mismatch("a list", other),
        }
    }

    /// Number of items of a list to read: none of a list that is too long, since each could have faults.
    fn most_items(&self, count: usize) -> usize {
        let key = self.path.rsplit('.').next().unwrap_or_default();
        let Some(refusal) = limits::of_policy_list(key).refusal(count) else { return count };
        self.fault(refusal);
        0
    }

    /// A list of texts.
    pub(super) fn names(&self) -> Vec<Name> {
        self.list().unwrap_or_default().iter().map(Field::name).collect()
    }

    /// An object whose keys are these and no others.
    pub(super) fn object(&self, known: &[&str]) -> Option<Object<'t>> {
        let object = self.any_object(Keys::Strict)?;
        for (key, _) in object.entries.iter().filter(|(key, _)| !known.contains(&&**key)) {
            let meant = known.iter().find(|k| k.eq_ignore_ascii_case(key));
            let near = || near(known.iter().copied(), key).map(|k| format!("; did you mean {k:?}?"));
            let hint = meant.map(|k| format!(" (it is written {k})")).or_else(near).unwrap_or_default();
            self.faults.push(Fault::new(object.child(key), format!("found unknown field: {key}{hint}")));
        }
        Some(object)
    }

    /// An object of which only some keys are read, in any case. Only a key repeated letter by letter is a fault, being
    /// one already to the YAML reader that kube-scheduler puts before.
    pub(super) fn lenient_object(&self) -> Option<Object<'t>> {
        self.any_object(Keys::Lenient)
    }

    fn any_object(&self, keys: Keys) -> Option<Object<'t>> {
        let entries = match self.tree? {
            Tree::Map(entries) => entries,
            other => return self.mismatch("an object", other),
        };
        let object = Object { entries, keys, path: self.path.clone(), faults: self.faults };
        let mut seen = BTreeSet::new();
        for (key, _) in entries.iter().filter(|(key, _)| !seen.insert(key)) {
            self.faults.push(Fault::new(object.child(key), format!("key {key:?} {ALREADY_SET}")));
        }
        Some(object)
    }
}

pub(super) fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl<'t> Object<'t> {
    fn child(&self, key: &str) -> String {
        child(&self.path, key)
    }

    /// Warns of keys that are not read, in any case.
    pub(super) fn warn_of_other_keys(&self, known: &[&str]) {
        for (key, _) in self.entries.iter().filter(|(key, _)| !known.iter().any(|k| k.eq_ignore_ascii_case(key))) {
            let why = format!("{key} is not read; the keys are {}", known.join(", "));
            self.faults.warnings.borrow_mut().push(Warning::new(self.child(key), why));
        }
    }

    /// The value of a key; the last one where the key is repeated.
    pub(super) fn get(&self, key: &str) -> Field<'t> {
        let same = |k: &str| k == key || self.keys == Keys::Lenient && k.eq_ignore_ascii_case(key);
        let tree = self.entries.iter().rev().find(|(k, _)| same(k)).map(|(_, value)| value);
        Field { tree: tree.filter(|t| **t != Tree::Null), path: self.child(key), faults: self.faults }
    }
}
