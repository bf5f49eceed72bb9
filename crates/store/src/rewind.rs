//! Undoing a part of a cluster's history, so that a state in memory becomes an earlier one without a read of the whole.

use super::{Bodies, Record};

/// A part of a cluster's history that is to be undone, in windows of revisions, the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewind {
    /// The revision to go back to. Within a batch it stands for the batch before.
    pub to: u64,
    /// The revision of the state that is to go back: that of a batch.
    pub from: u64,
    /// The last revision of the window to read: `from` at first, then [`Undone::next`].
    pub below: u64,
    /// The kinds whose bodies are read.
    pub bodies: Bodies,
}

/// A window of undone history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The revision that is gone back to: that of a batch.
    pub revision: u64,
    /// Objects that changed between the two revisions, as they were at the earlier one; a tombstone for each that was not there. An object that
    /// comes in several windows is equal in all of them. Bodies of kinds that are not read are left out.
    pub records: Vec<Record>,
    /// The last revision of the next window; `None` after the last one.
    pub next: Option<u64>,
}

impl Rewind {
    /// The whole way between two revisions.
    pub fn between(to: u64, from: u64, bodies: Bodies) -> Self {
        Self { to, from, below: from, bodies }
    }

    /// A window of at most `limit` revisions: those behind the first number, up to the second. `revision` is the one that is gone back to.
    ///
    /// Windows go down because an object that changes between two reads is found under its creation from then on, and that lies further down.
    pub fn window(&self, revision: u64, limit: usize) -> (u64, u64) {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        let below = self.below.min(self.from).max(revision);
        (below.saturating_sub(limit).max(revision), below)
    }

    /// A window that has been read, down to `after`.
    pub fn undone(&self, revision: u64, after: u64, records: Vec<Record>) -> Undone {
        Undone { revision, records, next: Some(after).filter(|after| *after > revision) }
    }
}
