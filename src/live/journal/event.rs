//! A change of an object as watches tell it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::{
    store::Record,
    wire::{
        placed,
        selector::{Fields, Query, Selected},
    },
};

/// Bytes that an event takes besides bodies.
const OVERHEAD: usize = 512;

/// An object at one revision.
#[derive(Debug)]
pub struct State {
    /// As it is stored.
    pub record: Record,
    /// `None` if the body cannot be read: selectors exclude it then.
    selected: Option<Selected>,
    node: Option<Box<str>>,
}

impl State {
    /// The state of a live record with its body.
    pub(super) fn new(fields: Fields, record: Record) -> Self {
        let body = std::str::from_utf8(&record.body).unwrap_or_default();
        let shown = placed::on_node(body, record.node.as_deref()).ok();
        let selected = shown.and_then(|body| Selected::of(fields, &body));
        let node = selected.as_ref().and_then(|selected| selected.node(fields)).map(Into::into);
        Self { record, selected, node }
    }

    /// `true` if a selector selects it.
    pub fn is_selected(&self, query: &Query) -> bool {
        query.is_everything() || self.selected.as_ref().is_some_and(|selected| query.selects(selected))
    }

    /// The node that it is on, if its kind can be selected by it.
    pub(super) fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }
}

/// The type of a change, as a watch sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The object was created, or is selected now.
    Added,
    /// The object is another one than before.
    Modified,
    /// The object was deleted, or is no longer selected.
    Deleted,
}

/// A change of one object.
#[derive(Debug)]
pub struct Event {
    /// Its revision.
    pub revision: u64,
    /// The revision at which it became known; a later one for a deletion that was not seen.
    pub(super) known_at: u64,
    /// The object before; `None` if it was created.
    pub before: Option<Arc<State>>,
    /// The object after; `None` if it was deleted.
    pub after: Option<Arc<State>>,
    /// The change in its written forms, each made when the first watch needs it.
    lines: Mutex<Vec<(u32, Kind, Bytes)>>,
}

impl Event {
    pub(super) fn new(revision: u64, before: Option<Arc<State>>, after: Option<Arc<State>>) -> Self {
        Self { revision, known_at: revision, before, after, lines: Mutex::default() }
    }

    /// The deletion of an object in whose place another one was created at a revision. The revision of the deletion itself is not known: its own
    /// is the one before, so that a watch can go on from it.
    pub(super) fn unseen_deletion(before: Arc<State>, created: u64) -> Self {
        Self { known_at: created, ..Self::new(created.saturating_sub(1), Some(before), None) }
    }

    /// The namespace and name of its object.
    pub fn place(&self) -> Option<(&str, &str)> {
        let key = &self.after.as_ref().or(self.before.as_ref())?.record.key;
        Some((&key.namespace, &key.name))
    }

    /// The type of the change for a watch with this selector; `None` if it is not told.
    pub fn kind(&self, query: &Query) -> Option<Kind> {
        let is_selected = |state: &Option<Arc<State>>| state.as_ref().is_some_and(|state| state.is_selected(query));
        match (is_selected(&self.before), is_selected(&self.after)) {
            (false, false) => None,
            (false, true) => Some(Kind::Added),
            (true, true) => Some(Kind::Modified),
            (true, false) => Some(Kind::Deleted),
        }
    }

    /// The object that a watch is sent: a deleted one as it was before, with the revision of the deletion.
    pub fn object(&self, kind: Kind) -> Option<Record> {
        let state = if kind == Kind::Deleted { &self.before } else { &self.after };
        Some(Record { revision: self.revision, ..state.as_ref()?.record.clone() })
    }

    /// The change in a form, which is written once for all watches. `form` tells forms apart.
    pub fn line<E>(&self, form: u32, kind: Kind, write: impl FnOnce() -> Result<Bytes, E>) -> Result<Bytes, E> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, line)) = lines.iter().find(|(f, k, _)| (*f, *k) == (form, kind)) {
            return Ok(line.clone());
        }
        let line = write()?;
        lines.push((form, kind, line.clone()));
        Ok(line)
    }

    /// Bytes that it may take while it is kept: the object, and it once more as it is written.
    pub(super) fn weight(&self) -> usize {
        let state = self.after.as_ref().or(self.before.as_ref());
        state.map_or(0, |state| state.record.body.len()).saturating_mul(2).saturating_add(OVERHEAD)
    }
}
