//! One cluster of a database in memory: its rows and its history.

use imbl::OrdMap;
use uuid::Uuid;

use podberth_store::decide::NewRow;
use podberth_store::keeping::{self, Kept, Source, Visitor};
use podberth_store::rows::PAGE;
use podberth_store::{
    Body, Compaction, Cursor, Head, Key, List, ListQuery, Record, Rewind, StoreError, Undone, removal, types,
};

#[derive(Debug, Clone, Default)]
pub(super) struct Cluster {
    pub(super) head: Head,
    /// When it was removed, by the database's clock: nothing has been written to it since.
    pub(super) removed: Option<i64>,
    /// The last revision given out: ahead of the head where a [`super::Numbering::Sequence`] is at work.
    pub(super) given: u64,
    pub(super) kept: Kept,
    rows: OrdMap<Key, Record>,
    by_revision: OrdMap<u64, Key>,
    /// Superseded versions, by the revision that superseded them.
    versions: OrdMap<u64, Record>,
    /// By their newest revisions.
    batches: OrdMap<u64, Batch>,
}

#[derive(Debug, Clone, Copy)]
struct Batch {
    token: Uuid,
    /// Microseconds, by the database's clock.
    at: i64,
}

/// Which batches are old enough to go.
pub(super) struct Ages {
    /// Up to this revision, and written by then.
    pub(super) feed: (u64, i64),
    /// Written by then; `None` leaves history as it is.
    pub(super) history: Option<i64>,
    /// But this revision is still to be read.
    pub(super) hold: Option<u64>,
}

impl Cluster {
    pub(super) fn rows(&self) -> &OrdMap<Key, Record> {
        &self.rows
    }

    /// Rows changed after a revision, without the bodies that the feed leaves out.
    pub(super) fn since(&self, from: &Cursor, limit: usize) -> Vec<Record> {
        let Some(first) = from.after.checked_add(1) else { return Vec::new() };
        let rows = self.by_revision.range(first..).filter_map(|(_, key)| self.rows.get(key));
        rows.take(limit).map(|row| without_body(row, from.leaves_out(row))).collect()
    }

    /// The token of the batch that ended with a revision.
    pub(super) fn token(&self, revision: u64) -> Option<Uuid> {
        self.batches.get(&revision).map(|batch| batch.token)
    }

    /// Puts a row in the place of the one that was read; `false` when that one is no longer there.
    pub(super) fn replace(&mut self, row: NewRow, keep_superseded: bool) -> bool {
        let NewRow { mut record, replaces, body_changed } = row;
        let before = self.rows.get(&record.key);
        if before.map(|row| row.revision) != replaces {
            return false;
        }
        if let Some(before) = before {
            if !body_changed {
                let Record { revision, node, .. } = record;
                record = Record { revision, node, ..before.clone() };
            }
            if keep_superseded && !before.deleted {
                self.versions.insert(record.revision, before.clone());
            }
            self.by_revision.remove(&before.revision);
        }
        // What was read from a database is text.
        record.body = record.body.unparsed();
        self.by_revision.insert(record.revision, record.key.clone());
        self.rows.insert(record.key.clone(), record);
        true
    }

    /// Sets the head after a batch that was written at `at`.
    pub(super) fn put_head(&mut self, head: Head, at: i64) {
        (self.head, self.removed) = (head, None);
        self.given = self.given.max(head.revision);
        self.note_batch(head.revision, head.token, at);
    }

    pub(super) fn note_batch(&mut self, revision: u64, token: Uuid, at: i64) {
        self.batches.insert(revision, Batch { token, at });
    }

    /// The placeholder of a removed cluster.
    pub(super) fn removed(before: Head, at: i64) -> Self {
        let (head, kept) = removal::after(before);
        Self { head, kept, given: head.revision, removed: Some(at), ..Self::default() }
    }

    /// Removes all objects and the history.
    pub(super) fn clear(&mut self) {
        (self.rows, self.by_revision, self.versions) = Default::default();
    }

    /// The newest batch up to a revision that was written by then; 0 when there is none.
    fn last_batch(&self, most: u64, by: i64) -> u64 {
        let mut batches = self.batches.range(..=most).rev();
        batches.find(|(_, batch)| batch.at <= by).map_or(0, |(revision, _)| *revision)
    }

    /// The revision that was the newest at a time.
    pub(super) fn revision_by(&self, time: i64) -> Option<u64> {
        Some(self.last_batch(u64::MAX, time)).filter(|revision| *revision > 0)
    }

    /// The revision to read for a requested one: that of the last batch up to it.
    pub(super) fn past(&self, revision: Option<u64>) -> Result<u64, StoreError> {
        let head = self.head.revision;
        let Some(revision) = revision.filter(|revision| *revision != head) else { return Ok(head) };
        self.kept.check(head, revision)?;
        Ok(self.last_batch(revision, i64::MAX))
    }

    /// Live rows as of a revision that [`Cluster::past`] has answered: those that still are, then those that were.
    fn rows_at(&self, revision: u64) -> impl Iterator<Item = &Record> {
        let are = self.rows.values().filter(move |row| !row.deleted && row.revision <= revision);
        let were = self.versions.range(revision.saturating_add(1)..).map(|(_, row)| row);
        are.chain(were.filter(move |row| row.revision <= revision))
    }

    pub(super) fn visit(&self, revision: Option<u64>, visitor: &mut dyn Visitor) -> Result<(), StoreError> {
        let revision = self.past(revision)?;
        let rows: Vec<&Record> = self.rows_at(revision).collect();
        visitor.begin(revision, rows.len() as u64).map_err(StoreError::Stopped)?;
        for page in rows.chunks(PAGE) {
            visitor.records(page.iter().copied().cloned().collect()).map_err(StoreError::Stopped)?;
        }
        Ok(())
    }

    pub(super) fn row_at(&self, key: &Key, revision: u64) -> Result<Option<Record>, StoreError> {
        let revision = self.past(Some(revision))?;
        Ok(self.rows_at(revision).find(|row| row.key == *key).cloned())
    }

    pub(super) fn list_at(&self, query: &ListQuery, revision: u64) -> Result<List, StoreError> {
        let revision = self.past(Some(revision))?;
        let types::Range { start, end } = query.range();
        let place = |row: &Record| (row.key.namespace.clone(), row.key.name.clone());
        let is_in = |row: &&Record| row.key.kind == query.kind && place(row) > start && row.key.namespace < end;
        let mut items: Vec<Record> = self.rows_at(revision).filter(is_in).cloned().collect();
        items.sort_by_key(place);
        let more = items.len().saturating_sub(query.limit.unwrap_or(usize::MAX));
        items.truncate(items.len() - more);
        Ok(List { items, revision, remaining: Some(more as u64).filter(|more| *more > 0) })
    }

    /// Compares the two states: the engines find the difference by their indexes.
    pub(super) fn rewind(&self, rewind: &Rewind, limit: usize) -> Result<Undone, StoreError> {
        let revision = self.past(Some(rewind.to))?;
        let (after, upto) = rewind.window(revision, limit);
        let state = |revision| -> OrdMap<Key, Record> {
            self.rows_at(revision).map(|row| (row.key.clone(), row.clone())).collect()
        };
        let (then, now) = (state(revision), state(rewind.from));
        let is_in = |at: u64| at > after && at <= upto;
        let until = |row: &Record| {
            let superseded = self.versions.iter().find(|(_, version)| version.revision == row.revision);
            let current = self.rows.get(&row.key).map(|row| row.revision);
            superseded.map(|(until, _)| *until).or(current.filter(|at| *at > row.revision))
        };
        let were = then.values().filter(|row| until(row).is_some_and(is_in));
        let were = were.map(|row| without_body(row, !rewind.bodies.has(&row.key.kind)));
        // Behind a creation whose object was superseded since by its number, else by that of the version.
        let made_at = |row: &Record| if until(row).is_some() { row.create_revision } else { row.revision };
        let came = now.values().filter(|row| !then.contains_key(&row.key) && is_in(made_at(row)));
        let came = came.map(Record::absent);
        let records = were.chain(came).collect();
        Ok(rewind.undone(revision, after, records))
    }

    /// Adds rows whose keys have none; how many rows there are then.
    pub(super) fn adopt(&mut self, records: Vec<Record>) -> u64 {
        for record in records {
            if !self.rows.contains_key(&record.key) {
                self.replace(NewRow { record, replaces: None, body_changed: true }, false);
            }
        }
        self.rows.len() as u64
    }

    /// Adds a whole cluster as rows, without conflicts.
    pub(super) fn fill(&mut self, source: &mut dyn Source, offset: u64, most: u64) -> Result<(), StoreError> {
        while let Some(records) = source.records().map_err(StoreError::Stopped)? {
            for row in keeping::new_rows(records, offset, most)? {
                let replaces = self.rows.get(&row.record.key).map(|row| row.revision);
                self.replace(NewRow { replaces, ..row }, false);
            }
        }
        Ok(())
    }

    pub(super) fn compact(&mut self, ages: &Ages) -> Compaction {
        let (most, by) = ages.feed;
        let revision = self.last_batch(most, by).max(self.head.compact_revision);
        self.head.compact_revision = revision;
        if let Some(by) = ages.history {
            let old = self.last_batch(self.head.revision, by);
            self.kept.from = self.kept.from.max(old.min(ages.hold.unwrap_or(old)));
        }
        let readable = self.kept.readable(self.head.revision);
        let rows = self.rows.values().filter(|row| row.deleted && row.revision <= revision);
        let tombstones: Vec<(Key, u64)> = rows.map(|row| (row.key.clone(), row.revision)).collect();
        for (key, revision) in &tombstones {
            self.rows.remove(key);
            self.by_revision.remove(revision);
        }
        Compaction {
            revision,
            tombstones: tombstones.len() as u64,
            batches: remove_up_to(&mut self.batches, revision.min(readable).saturating_sub(1)),
            versions: remove_up_to(&mut self.versions, readable),
        }
    }
}

/// Removes entries up to a revision; how many there were.
fn remove_up_to<T: Clone>(map: &mut OrdMap<u64, T>, last: u64) -> u64 {
    let gone: Vec<u64> = map.range(..=last).map(|(revision, _)| *revision).collect();
    for revision in &gone {
        map.remove(revision);
    }
    gone.len() as u64
}

pub(super) fn without_body(row: &Record, leave_it_out: bool) -> Record {
    let body = if leave_it_out { Body::default() } else { row.body.clone() };
    Record { body, ..row.clone() }
}
