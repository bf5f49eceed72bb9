//! A change of an object as watches tell it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;

use crate::{
    store::Record,
    wire::{
        forms::Form,
        placed,
        selector::{Fields, Query, Selected},
    },
};

/// Bytes that an event takes besides bodies.
const OVERHEAD: usize = 512;

/// The bytes that the events of a ring take, in bodies and in written forms.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    most: usize,
}

impl Budget {
    pub(super) fn new(most: usize) -> Self {
        Self { used: AtomicUsize::new(0), most: most.max(1) }
    }

    /// `true` if events are to be dropped.
    pub(super) fn is_exceeded(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.most
    }

    fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes bytes of a written form. Forms may take as much again as the bound, until the next change drops events: otherwise the newest event
    /// of a full ring could not be shared.
    fn take_form(&self, bytes: usize) -> bool {
        let has_room = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.most.saturating_mul(2));
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

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

/// The part of a change that an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// That its object is gone or no longer selected. It left at a hidden revision, of which no change was read, or at a later one: the revision of
    /// the event is the first that it can have been.
    Departure,
    /// All but that.
    Rest,
}

/// A change of one object.
#[derive(Debug)]
pub struct Event {
    /// Its revision, which orders it. Watches tell [`Self::told_at`].
    pub revision: u64,
    /// The object before; `None` if it was created.
    pub before: Option<Arc<State>>,
    /// The object after; `None` if it was deleted. It has another uid than before if it was replaced by one write.
    pub after: Option<Arc<State>>,
    part: Part,
    lines: Mutex<Lines>,
}

/// The change in its written forms, each made when the first watch needs it.
#[derive(Debug, Default)]
struct Lines {
    written: Vec<((Form, bool), Kind, Bytes)>,
    /// The budget of the ring that the event is in.
    budget: Option<Arc<Budget>>,
}

impl Event {
    pub(super) fn new(revision: u64, before: Option<Arc<State>>, after: Option<Arc<State>>) -> Self {
        Self { revision, before, after, part: Part::Whole, lines: Mutex::default() }
    }

    /// The deletion of an object that is known from another one of its name, at `hidden` or later.
    pub(super) fn departure(hidden: u64, gone: Arc<State>) -> Self {
        Self { part: Part::Departure, ..Self::new(hidden, Some(gone), None) }
    }

    /// The event in two, if its object may have been changed in between, at a hidden revision, and by that have left a selection: a client that goes
    /// on at another replica may be beyond that. So it is told first that the object has left. `hidden_after` has the first hidden revision after
    /// that of the state before.
    pub(super) fn split(self, hidden_after: impl FnOnce(u64) -> Option<u64>) -> [Option<Self>; 2] {
        let hidden = self.before.as_ref().and_then(|before| hidden_after(before.record.revision));
        let Some(hidden) = hidden.filter(|hidden| *hidden < self.revision) else { return [None, Some(self)] };
        let departure = Self { part: Part::Departure, ..Self::new(hidden, self.before.clone(), self.after.clone()) };
        [Some(departure), Some(Self { part: Part::Rest, ..self })]
    }

    /// Counts the event, and the forms in which it is written from now on, in the budget of a ring.
    pub(super) fn count_in(&self, budget: &Arc<Budget>) {
        budget.take(self.weight());
        self.lines().budget = Some(budget.clone());
    }

    /// The event leaves its ring.
    pub(super) fn count_out(&self) {
        let mut lines = self.lines();
        let written: usize = lines.written.iter().map(|(_, _, line)| line.len()).sum();
        if let Some(budget) = lines.budget.take() {
            budget.give_back(written.saturating_add(self.weight()));
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The namespace and name of its object.
    pub fn place(&self) -> Option<(&str, &str)> {
        let key = &self.after.as_ref().or(self.before.as_ref())?.record.key;
        Some((&key.namespace, &key.name))
    }

    /// The type of the change for a watch with this selector; `None` if it is not told.
    pub fn kind(&self, query: &Query) -> Option<Kind> {
        let is_selected = |state: &Option<Arc<State>>| state.as_ref().is_some_and(|state| state.is_selected(query));
        let kind = match (is_selected(&self.before), is_selected(&self.after)) {
            (false, false) => return None,
            (false, true) => Kind::Added,
            (true, true) => Kind::Modified,
            (true, false) => Kind::Deleted,
        };
        let is_told = match self.part {
            Part::Whole => true,
            Part::Departure => kind == Kind::Deleted,
            Part::Rest => kind != Kind::Deleted,
        };
        is_told.then_some(kind)
    }

    /// The resource version that watches tell: a client that goes on from it misses nothing that comes after this event.
    ///
    /// That of a departure is the revision before. Several objects may have left at one hidden revision, and a client that is cut off between their
    /// events must be told of the rest.
    pub fn told_at(&self) -> u64 {
        self.revision - u64::from(self.part == Part::Departure)
    }

    /// The object that a watch is sent: a deleted one as it was before.
    pub fn object(&self, kind: Kind) -> Option<Record> {
        let state = if kind == Kind::Deleted { &self.before } else { &self.after };
        Some(Record { revision: self.told_at(), ..state.as_ref()?.record.clone() })
    }

    /// The change in a form, which is written once for all watches. `form` tells forms apart: of the objects of a row that is served in two ways,
    /// each has its own.
    pub fn line<E>(
        &self,
        form: (Form, bool),
        kind: Kind,
        write: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        let mut lines = self.lines();
        if let Some((_, _, line)) = lines.written.iter().find(|(f, k, _)| (*f, *k) == (form, kind)) {
            return Ok(line.clone());
        }
        let line = write()?;
        if lines.budget.as_ref().is_none_or(|budget| budget.take_form(line.len())) {
            lines.written.push((form, kind, line.clone()));
        }
        Ok(line)
    }

    /// Bytes that it takes while it is kept, besides its written forms.
    fn weight(&self) -> usize {
        let state = self.after.as_ref().or(self.before.as_ref());
        state.map_or(0, |state| state.record.body.len()).saturating_add(OVERHEAD)
    }
}
