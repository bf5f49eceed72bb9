//! What a batch of writes does, given the current rows. Pure; both engines call it while they hold the cluster's lock.

use std::collections::HashMap;

use bytes::Bytes;

use super::{Atomicity, Change, Key, Outcome, Precondition, Record, Refusal, Write};

/// What a batch comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The counter after the batch.
    pub(super) revision: u64,
    /// One for each write, in their order.
    pub(super) outcomes: Vec<Outcome>,
    /// The rows to write, ascending by revision, each key once. Empty when the batch changes nothing.
    pub(super) rows: Vec<NewRow>,
}

/// A row as it must stand after the batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NewRow {
    /// The object or tombstone.
    pub(super) record: Record,
    /// The revision of the row it replaces; `None` inserts.
    pub(super) replaces: Option<u64>,
    /// `false`: the stored body stays as it is.
    pub(super) body_changed: bool,
}

/// The state of one key while the batch is being gone through.
#[derive(Default)]
struct Slot {
    /// The revision of the row in the database.
    stored: Option<u64>,
    /// The row as the batch has left it so far.
    state: Option<Record>,
    written: bool,
    body_changed: bool,
}

/// The keys of a batch, each once.
pub(super) fn keys(writes: &[Write]) -> Vec<&Key> {
    let mut keys: Vec<&Key> = writes.iter().map(|write| &write.key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Goes through the writes in order, each seeing what those before it did. `current` holds the rows (tombstones
/// included) that exist for their keys; `head` is the counter before the batch.
pub(super) fn decide(head: u64, current: Vec<Record>, writes: Vec<Write>, atomicity: Atomicity) -> Plan {
    let mut slots: HashMap<Key, Slot> = current
        .into_iter()
        .map(|row| (row.key.clone(), Slot { stored: Some(row.revision), state: Some(row), ..Slot::default() }))
        .collect();
    let mut revision = head;
    let mut outcomes = Vec::with_capacity(writes.len());
    for write in writes {
        let slot = slots.entry(write.key.clone()).or_default();
        let outcome = apply(slot, write, revision.saturating_add(1));
        if matches!(outcome, Outcome::Written { .. } | Outcome::Deleted { .. }) {
            revision = revision.saturating_add(1);
        }
        outcomes.push(outcome);
    }
    if atomicity == Atomicity::AllOrNothing && outcomes.iter().any(|o| matches!(o, Outcome::Refused(_))) {
        for outcome in &mut outcomes {
            if !matches!(outcome, Outcome::Refused(_)) {
                *outcome = Outcome::Refused(Refusal::NotAttempted);
            }
        }
        return Plan { revision: head, outcomes, rows: Vec::new() };
    }
    let mut rows: Vec<NewRow> = slots
        .into_values()
        .filter(|slot| slot.written)
        .filter_map(|Slot { stored, state, body_changed, .. }| {
            state.map(|record| NewRow { record, replaces: stored, body_changed })
        })
        .collect();
    rows.sort_unstable_by_key(|row| row.record.revision);
    Plan { revision, outcomes, rows }
}

/// Carries one write out on its slot, under revision `next` if it has an effect.
fn apply(slot: &mut Slot, write: Write, next: u64) -> Outcome {
    let live = slot.state.as_mut().filter(|row| !row.deleted);
    if let Some(refusal) = refuse(live.as_deref(), &write.precondition) {
        return Outcome::Refused(refusal);
    }
    let outcome = match (write.change, live) {
        (Change::Put { body, uid, node }, live) => {
            let before = live.map(|row| &*row).filter(|row| row.uid == uid);
            if let Some(row) = before
                && row.body == body
                && row.node == node
            {
                return Outcome::Unchanged { revision: row.revision };
            }
            let create_revision = before.map_or(next, |row| row.create_revision);
            slot.body_changed |= before.is_none_or(|row| row.body != body);
            slot.state =
                Some(Record { key: write.key, uid, revision: next, create_revision, node, deleted: false, body });
            Outcome::Written { revision: next, created: create_revision == next }
        }
        (Change::SetNode(_) | Change::Delete, None) => return Outcome::Refused(Refusal::NotFound),
        (Change::SetNode(node), Some(row)) => {
            if row.node == node {
                return Outcome::Unchanged { revision: row.revision };
            }
            row.node = node;
            row.revision = next;
            Outcome::Written { revision: next, created: false }
        }
        (Change::Delete, Some(row)) => {
            row.deleted = true;
            row.revision = next;
            row.body = Bytes::new();
            slot.body_changed = true;
            Outcome::Deleted { revision: next }
        }
    };
    slot.written = true;
    outcome
}

/// Whether the precondition fails on the live object, and how. Revision and uid ask for an object to compare with.
fn refuse(live: Option<&Record>, precondition: &Precondition) -> Option<Refusal> {
    let Precondition { exists, revision, uid } = precondition;
    let Some(row) = live else {
        let wanted = *exists == Some(true) || revision.is_some() || uid.is_some();
        return wanted.then_some(Refusal::NotFound);
    };
    if *exists == Some(false) {
        return Some(Refusal::AlreadyExists { current: row.revision });
    }
    if uid.as_ref().is_some_and(|uid| *uid != row.uid) {
        return Some(Refusal::UidMismatch { current: row.uid.clone() });
    }
    if revision.is_some_and(|revision| revision != row.revision) {
        return Some(Refusal::Conflict { current: row.revision });
    }
    None
}
