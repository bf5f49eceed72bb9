//! The journal as a state machine without I/O: which changes come next, and what is done with them.
//!
//! It is fed from two sides. Batches of this process come whole, change by change ([`Book::take_batch`]). Where others have written in between,
//! the change feed is read, which has the newest state of each object only ([`Book::take_changes`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::watch, time::Instant};

use super::{
    recorder::Batch,
    track::{Bounds, Track},
};
use crate::{
    store::{Bodies, Cursor, Head, Record},
    wire::kinds::StoredKind,
};

/// A track that several tasks use.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) kind: &'static StoredKind,
    track: Mutex<Track>,
    /// The revision of its state.
    pub(super) at: watch::Sender<u64>,
    /// When it was last used.
    used: Mutex<Instant>,
}

impl Tracked {
    pub(super) fn new(kind: &'static StoredKind, bounds: Bounds, records: Vec<Record>, at: u64) -> Self {
        let track = Track::new(kind.selectable, bounds, records, at);
        Self { kind, track: Mutex::new(track), at: watch::Sender::new(at), used: Mutex::new(Instant::now()) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Track> {
        self.track.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a use.
    pub(super) fn use_now(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn unused_since(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in changes; ends the track if they do not continue it, or if taking them in panicked before.
    fn apply(&self, records: &[Record], known: &[u64], head: u64) -> bool {
        if self.track.is_poisoned() || self.lock().apply(records, known, head).is_err() {
            self.end();
            return false;
        }
        self.at.send_replace(head);
        true
    }

    pub(super) fn end(&self) {
        self.lock().end();
        // Those that wait for a revision look again.
        self.at.send_modify(|_| {});
    }
}

/// The outcome of handing a batch over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was taken in.
    Yes,
    /// It is known already.
    Known,
    /// Others wrote before it: the feed must be read.
    Gap,
}

/// The tracks of a cluster, and how far they have come together.
#[derive(Debug, Default)]
pub(super) struct Book {
    tracks: BTreeMap<String, Arc<Tracked>>,
    cursor: Cursor,
}

/// A kind's own name among tracks: forms of one object are selected by other fields.
pub(super) fn name(kind: &StoredKind) -> String {
    format!("{}.{}", kind.plural, kind.group)
}

/// Sets of kinds that are kept at most; further ones stand for all kinds.
const MOST_SETS: usize = 1_000;

/// The feed takes sets of kinds that live as long as the process, so each is made once.
fn bodies_of(kinds: BTreeSet<String>) -> Bodies {
    static SETS: LazyLock<Mutex<BTreeMap<BTreeSet<String>, Bodies>>> = LazyLock::new(Mutex::default);
    let mut sets = SETS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = sets.get(&kinds) {
        return *known;
    }
    if sets.len() >= MOST_SETS {
        return Bodies::All;
    }
    let names: Vec<&'static str> = kinds.iter().map(|kind| &*kind.clone().leak()).collect();
    let bodies = Bodies::Of(names.leak());
    sets.insert(kinds, bodies);
    bodies
}

impl Book {
    pub(super) fn get(&self, kind: &StoredKind) -> Option<&Arc<Tracked>> {
        self.tracks.get(&name(kind)).filter(|track| !track.lock().is_over())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    /// Where the feed is to be read on, with the bodies of the kinds that have tracks.
    pub(super) fn cursor(&self) -> Cursor {
        let kinds = self.tracks.values().map(|track| track.kind.key()).collect();
        Cursor { bodies: bodies_of(kinds), ..self.cursor }
    }

    /// Adds a track whose state was read at its revision; `seen` is the head before that. `true` if it is the first one.
    pub(super) fn add(&mut self, track: Arc<Tracked>, seen: Head) -> bool {
        let (at, is_first) = (track.lock().at(), self.tracks.is_empty());
        if is_first {
            self.cursor = Cursor { after: at, complete: at, seen: Some(seen), ..Cursor::default() };
        }
        self.tracks.insert(name(track.kind), track);
        is_first
    }

    /// Takes in a batch of this process.
    pub(super) fn take_batch(&mut self, batch: &Batch) -> Taken {
        let Batch { before, after, records, is_whole } = batch;
        let is_next = *is_whole && self.cursor.after == before.revision && !self.is_elsewhere(before);
        let is_known = |seen: &Head| seen.epoch == after.epoch && self.cursor.after >= after.revision;
        if self.cursor.seen.as_ref().is_some_and(is_known) {
            return Taken::Known;
        }
        if !is_next {
            return Taken::Gap;
        }
        self.apply(records, after.revision);
        let to = after.revision;
        self.cursor = Cursor { after: to, complete: to, seen: Some(*after), ..self.cursor };
        Taken::Yes
    }

    /// Takes in all changes since the cursor, read up to a head.
    pub(super) fn take_changes(&mut self, records: &[Record], next: Cursor) {
        self.apply(records, next.after);
        self.cursor = next;
    }

    /// `true` if a head is of another history than what was read.
    pub(super) fn is_elsewhere(&self, head: &Head) -> bool {
        let Some(seen) = &self.cursor.seen else { return true };
        let is_other_batch = seen.revision == head.revision && seen.token != head.token;
        seen.epoch != head.epoch || (is_other_batch && !seen.token.is_nil() && !head.token.is_nil())
    }

    fn apply(&mut self, records: &[Record], head: u64) {
        let known: Vec<u64> = records.iter().map(|record| record.revision).collect();
        self.tracks.retain(|_, track| {
            let key = track.kind.key();
            let of_kind: Vec<Record> = records.iter().filter(|record| *record.key.kind == *key).cloned().collect();
            track.apply(&of_kind, &known, head)
        });
    }

    /// Ends all tracks: what was read before is void, or events are missing.
    pub(super) fn reset(&mut self) {
        for track in std::mem::take(&mut self.tracks).into_values() {
            track.end();
        }
        self.cursor = Cursor::default();
    }

    /// Lets go of tracks that nobody has read since a time.
    pub(super) fn release(&mut self, unused_since: Instant) {
        self.tracks.retain(|_, track| {
            let is_kept = !track.lock().is_idle() || track.unused_since() > unused_since;
            if !is_kept {
                track.end();
            }
            is_kept
        });
    }
}
