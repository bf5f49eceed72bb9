//! Changes before a track began, for a watch that goes on from an older revision: its client saw that in another process, or before a restart.
//!
//! The store has the newest state of each object and the tombstones of those that are gone. A change whose effect on the watch depends on an
//! earlier state needs the history of objects (`--history-retention`). Without it the watch has expired, as on a kube-apiserver that was restarted.

use std::sync::Arc;

use super::event::{Event, Kind, State};
use crate::{
    store::{Bodies, Changes, Cursor, Key, Past, Record, Store, StoreError},
    wire::{kinds::StoredKind, selector::Query},
};

/// Changes of all kinds that are read at most.
const MOST_CHANGES: usize = 20_000;

/// Changes read at a time.
const PAGE: usize = 2_000;

/// Earlier states that are looked up at most.
const MOST_LOOKED_UP: usize = 200;

/// The part of the changes that a watch has missed.
#[derive(Debug)]
pub(super) struct Missing {
    /// The revision that its client has seen.
    pub(super) after: u64,
    /// The revision at which it reads the track.
    pub(super) at: u64,
    /// The objects that were changed in between and are there.
    pub(super) changed: Vec<Arc<State>>,
}

/// The watch that goes on.
pub(super) struct Asked<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) past: &'a dyn Past,
    pub(super) cluster: &'a str,
    pub(super) kind: &'static StoredKind,
    pub(super) namespace: Option<&'a str>,
    pub(super) query: &'a Query,
}

/// The changes, in order of revision; `None` if they cannot be told any more.
pub(super) async fn changes(
    asked: &Asked<'_>,
    Missing { after, at, changed }: Missing,
) -> Result<Option<Vec<(Kind, Arc<Event>)>>, StoreError> {
    let mut left = MOST_LOOKED_UP;
    let mut events = Vec::new();
    for state in changed {
        let was_there = state.record.create_revision <= after;
        let event = |before| Arc::new(Event::new(state.record.revision, before, Some(state.clone())));
        if state.is_selected(asked.query) {
            // A client that does not have a modified object takes it as a new one.
            events.push((if was_there { Kind::Modified } else { Kind::Added }, event(None)));
        } else if !asked.query.is_by_name() {
            // Where it was not there, another object of its name may have been.
            match earlier(asked, &state.record.key, after, &mut left).await? {
                Earlier::There(before) if before.is_selected(asked.query) => {
                    events.push((Kind::Deleted, event(Some(before))));
                }
                Earlier::There(_) | Earlier::Absent => {}
                Earlier::Unknown => return Ok(None),
            }
        }
    }
    let Some(gone) = tombstones(asked, after, at).await? else { return Ok(None) };
    for record in gone {
        match earlier(asked, &record.key, after, &mut left).await? {
            Earlier::There(before) if before.is_selected(asked.query) => {
                events.push((Kind::Deleted, Arc::new(Event::new(record.revision, Some(before), None))));
            }
            Earlier::There(_) | Earlier::Absent => {}
            Earlier::Unknown => return Ok(None),
        }
    }
    events.sort_by_key(|(_, event)| event.revision);
    Ok(Some(events))
}

/// The objects of a kind, and the tombstones, that have changed after a revision; `None` if that is not known any more.
pub(super) async fn changed(
    store: &dyn Store,
    cluster: &str,
    kind: &StoredKind,
    after: u64,
) -> Result<Option<Vec<Record>>, StoreError> {
    let key = kind.key();
    scan(store, cluster, after, u64::MAX, |record| *record.key.kind == *key).await
}

/// The tombstones of objects that were there at a revision and gone at a later one; `None` if that is not known any more.
async fn tombstones(asked: &Asked<'_>, after: u64, at: u64) -> Result<Option<Vec<Record>>, StoreError> {
    let key = asked.kind.key();
    let is_gone = |record: &Record| {
        let is_named = asked.query.may_select(&record.key.namespace, &record.key.name);
        let is_within = asked.namespace.is_none_or(|namespace| namespace == record.key.namespace);
        record.deleted && *record.key.kind == *key && record.create_revision <= after && is_named && is_within
    };
    scan(asked.store, asked.cluster, after, at, is_gone).await
}

/// The changes between two revisions that are wanted, without bodies; `None` if they are not known any more, or too many.
async fn scan(
    store: &dyn Store,
    cluster: &str,
    after: u64,
    until: u64,
    is_wanted: impl Fn(&Record) -> bool,
) -> Result<Option<Vec<Record>>, StoreError> {
    let mut cursor = Cursor { bodies: Bodies::Of(&[]), ..Cursor::after(after) };
    let (mut found, mut read) = (Vec::new(), 0);
    loop {
        let Changes { records, complete, next, .. } = match store.changes(cluster, &cursor, PAGE).await {
            Ok(changes) => changes,
            Err(StoreError::Compacted { .. } | StoreError::HistoryLost { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        read += records.len();
        let is_end = complete || records.last().is_some_and(|last| last.revision > until);
        found.extend(records.into_iter().filter(|record| record.revision <= until && is_wanted(record)));
        if is_end {
            return Ok(Some(found));
        }
        if read > MOST_CHANGES {
            return Ok(None);
        }
        cursor = next;
    }
}

/// An object at an earlier revision.
enum Earlier {
    /// The history does not reach that far.
    Unknown,
    Absent,
    There(Arc<State>),
}

/// An object as it was at a revision.
async fn earlier(asked: &Asked<'_>, key: &Key, revision: u64, left: &mut usize) -> Result<Earlier, StoreError> {
    if *left == 0 {
        return Ok(Earlier::Unknown);
    }
    *left -= 1;
    match asked.past.get_at(asked.cluster, key, revision).await {
        Ok(Some(record)) => Ok(Earlier::There(Arc::new(State::new(asked.kind.selectable, record)))),
        Ok(None) => Ok(Earlier::Absent),
        Err(StoreError::Compacted { .. }) => Ok(Earlier::Unknown),
        Err(error) => Err(error),
    }
}
