//! A store in memory for tests and benches: any number of handles on one database, its transactions in the open, so that
//! a test can stop one half-way, lose its reply, or bring an older copy of the database back.
//!
//! [`open`](super::open) knows no URL for it. It keeps the contract of the two SQL engines by the same decisions
//! (`decide`), and is held to it by the same suite (`tests/store/`); everything it does is determined by its callers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use imbl::OrdMap;
use tokio::sync::{OwnedMutexGuard, watch};

use super::decide::{self, NewRow, Plan};
use super::{
    Call, Changes, Connections, Head, Judge, Key, List, ListQuery, MigrationStatus, Record, Store, StoreError, Written,
    rows, types,
};

mod journal;

pub use journal::{Committed, Event};

/// The only migration there is.
const KNOWN_MIGRATION: i64 = 1;

/// A handle on a database in memory, as one process has it.
#[derive(Debug)]
pub struct Memory {
    database: Arc<Database>,
    closed: AtomicBool,
}

/// How revisions are given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// By a counter whose lock is held until the commit, as the engines do it: revisions are in the order of commits.
    Counter,
    /// By a sequence, which nobody holds: a bug, planted to see that tests find it. Commits come in another order than
    /// their revisions, and readers skip those that come late.
    Sequence,
}

/// The state of a database at one instant.
#[derive(Debug, Clone, Default)]
pub struct Copy {
    clusters: BTreeMap<String, Cluster>,
}

#[derive(Debug)]
struct Database {
    numbering: Numbering,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    migrated: bool,
    /// Raised when an older copy comes back: transactions begun before cannot commit.
    generation: u64,
    copy: Copy,
    locks: BTreeMap<String, Arc<tokio::sync::Mutex<()>>>,
    journal: Option<Vec<Event>>,
}

#[derive(Debug, Clone, Default)]
struct Cluster {
    head: Head,
    /// The last revision given out: ahead of the head where a [`Numbering::Sequence`] is at work.
    given: u64,
    rows: OrdMap<Key, Record>,
    by_revision: OrdMap<u64, Key>,
    tokens: OrdMap<u64, u64>,
}

/// A write transaction that has decided and holds its cluster's counter. Dropped, it is rolled back.
#[derive(Debug)]
pub struct Transaction {
    database: Arc<Database>,
    cluster: String,
    generation: u64,
    token: u64,
    rows: Vec<NewRow>,
    committed: Committed,
    written: Written,
    _counter: Option<OwnedMutexGuard<()>>,
}

impl Memory {
    /// A handle on an empty database that has not been migrated.
    pub fn new(numbering: Numbering) -> Self {
        Self::on(Arc::new(Database { numbering, state: Mutex::default(), changed: watch::Sender::new(0) }))
    }

    /// Another handle on this database, as another process has it.
    #[must_use]
    pub fn handle(&self) -> Self {
        Self::on(self.database.clone())
    }

    fn on(database: Arc<Database>) -> Self {
        Self { database, closed: AtomicBool::new(false) }
    }

    /// The database as it is now.
    pub fn copy(&self) -> Copy {
        self.database.lock().copy.clone()
    }

    /// A migrated database of its own that begins as `copy`: what a standby shows that has come this far.
    pub fn of(copy: &Copy) -> Self {
        let memory = Self::new(Numbering::Counter);
        let mut state = memory.database.lock();
        state.migrated = true;
        state.copy = copy.clone();
        drop(state);
        memory
    }

    /// Brings an older copy back and says so: every cluster's epoch is raised. Open transactions cannot commit.
    pub fn restore(&self, copy: &Copy) {
        let mut guard = self.database.lock();
        let state = &mut *guard;
        state.generation += 1;
        let lost = std::mem::replace(&mut state.copy, copy.clone());
        for (name, lost) in &lost.clusters {
            let cluster = state.copy.clusters.entry(name.clone()).or_default();
            cluster.head.epoch = lost.head.epoch + 1;
            let rows = cluster.rows.values().cloned().collect();
            let event = Event::Restored { cluster: name.clone(), head: cluster.head, rows };
            if let Some(journal) = &mut state.journal {
                journal.push(event);
            }
        }
        drop(guard);
        self.database.wake();
    }

    /// Notes from now on what happens to the database, for [`Memory::take_journal`].
    pub fn keep_journal(&self) {
        self.database.lock().journal.get_or_insert_default();
    }

    /// What has happened since the last time, in the order of commits.
    pub fn take_journal(&self) -> Vec<Event> {
        self.database.lock().journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Begins a write transaction: takes the cluster's counter, waiting for whoever holds it, and decides. `token` is
    /// stored with the batch.
    pub async fn begin(
        &self,
        cluster: &str,
        calls: &[Call],
        judge: &mut dyn Judge,
        token: u64,
    ) -> Result<Transaction, StoreError> {
        types::check_batch(cluster, calls)?;
        let counter = match self.database.numbering {
            Numbering::Counter => Some(self.counter(cluster).await),
            Numbering::Sequence => None,
        };
        let mut state = self.state()?;
        let generation = state.generation;
        let mut fresh = Cluster::default();
        let stored = state.copy.clusters.get_mut(cluster);
        let known = stored.is_some();
        let stored = stored.unwrap_or(&mut fresh);
        let head = stored.head;
        let base = if self.database.numbering == Numbering::Sequence { stored.given } else { head.revision };
        let keys = decide::keys(calls);
        let current =
            keys.iter().filter_map(|(key, is_put)| stored.rows.get(*key).map(|row| without_body(row, !is_put)));
        let current = current.collect();
        rows::check_missed(head, judge.known())?;
        judge.begin(head, &stored.since(judge.known(), judge.known(), usize::MAX));
        let mut recorder = journal::Recorder::new(judge);
        let Plan { revision, commits, rows } = decide::decide(base, current, calls, &mut recorder);
        let steps = recorder.into_steps(&stored.rows);
        stored.given = stored.given.max(revision);
        let given = stored.given;
        if !known && self.database.numbering == Numbering::Sequence {
            state.copy.clusters.insert(cluster.to_owned(), Cluster { given, ..Cluster::default() });
        }
        drop(state);
        let after = Head { revision, ..head };
        Ok(Transaction {
            database: self.database.clone(),
            cluster: cluster.to_owned(),
            generation,
            token,
            rows,
            committed: Committed { cluster: cluster.to_owned(), head: after, steps },
            written: Written { commits, head: after },
            _counter: counter,
        })
    }

    /// Takes a cluster's counter: whatever transaction held it is over.
    pub async fn counter(&self, cluster: &str) -> OwnedMutexGuard<()> {
        let lock = self.database.lock().locks.entry(cluster.to_owned()).or_default().clone();
        lock.lock_owned().await
    }

    /// Whether the batch of this token was written up to this revision. Only who holds the counter can rely on a no.
    pub fn is_written(&self, cluster: &str, revision: u64, token: u64) -> bool {
        let state = self.database.lock();
        state.copy.clusters.get(cluster).is_some_and(|cluster| cluster.tokens.get(&revision) == Some(&token))
    }

    /// The state, as long as the handle is open and the tables are there.
    fn state(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        self.open()?;
        let state = self.database.lock();
        if state.migrated { Ok(state) } else { Err(StoreError::NotMigrated) }
    }

    fn open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("the store has been closed".into()));
        }
        Ok(())
    }

    /// Reads a cluster; one that is not there is empty.
    fn read<T>(&self, cluster: &str, read: impl FnOnce(&Cluster) -> T) -> Result<T, StoreError> {
        types::check_cluster(cluster)?;
        let (state, absent) = (self.state()?, Cluster::default());
        Ok(read(state.copy.clusters.get(cluster).unwrap_or(&absent)))
    }
}

impl Database {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Cluster {
    /// Rows changed after a revision, without the bodies that a reader complete at `complete` has.
    fn since(&self, after: u64, complete: u64, limit: usize) -> Vec<Record> {
        let Some(first) = after.checked_add(1) else { return Vec::new() };
        let rows = self.by_revision.range(first..).filter_map(|(_, key)| self.rows.get(key));
        rows.take(limit).map(|row| without_body(row, row.body_is_known(complete))).collect()
    }

    /// Puts a row in the place of the one that was read; `false` when that one is no longer there.
    fn replace(&mut self, row: NewRow) -> bool {
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
            self.by_revision.remove(&before.revision);
        }
        self.by_revision.insert(record.revision, record.key.clone());
        self.rows.insert(record.key.clone(), record);
        true
    }
}

fn without_body(row: &Record, leave_it_out: bool) -> Record {
    let body = if leave_it_out { Bytes::new() } else { row.body.clone() };
    Record { body, ..row.clone() }
}

impl Transaction {
    /// What the batch will have come to when it is committed.
    pub fn written(&self) -> &Written {
        &self.written
    }

    /// Makes it durable and lets the counter go.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when an older copy of the database has come back meanwhile;
    /// [`StoreError::Aborted`] when another transaction was faster, without a counter. Nothing was written.
    pub fn commit(self) -> Result<Written, StoreError> {
        let mut state = self.database.lock();
        if state.generation != self.generation {
            return Err(StoreError::Unavailable("the connection to the database was lost".into()));
        }
        if self.rows.is_empty() {
            return Ok(self.written);
        }
        let mut cluster = state.copy.clusters.get(&self.cluster).cloned().unwrap_or_default();
        for row in self.rows {
            if !cluster.replace(row) {
                return Err(StoreError::Aborted("a row has changed since it was read".into()));
            }
        }
        let revision = self.written.head.revision;
        cluster.head.revision = cluster.head.revision.max(revision);
        cluster.given = cluster.given.max(revision);
        cluster.tokens.insert(revision, self.token);
        state.copy.clusters.insert(self.cluster, cluster);
        if let Some(journal) = &mut state.journal {
            journal.push(Event::Committed(self.committed));
        }
        drop(state);
        self.database.wake();
        Ok(self.written)
    }
}

#[async_trait]
impl Store for Memory {
    async fn write(&self, cluster: &str, calls: &[Call], judge: &mut dyn Judge) -> Result<Written, StoreError> {
        self.begin(cluster, calls, judge, 0).await?.commit()
    }

    async fn get(&self, cluster: &str, key: &Key) -> Result<Option<Record>, StoreError> {
        types::check_cluster(cluster)?;
        types::check_key(key)?;
        self.read(cluster, |cluster| cluster.rows.get(key).filter(|row| !row.deleted).cloned())
    }

    async fn list(&self, cluster: &str, query: &ListQuery) -> Result<List, StoreError> {
        types::check_query(cluster, query)?;
        let types::Range { start, end } = query.range();
        self.read(cluster, |cluster| {
            let first = Key::new(query.kind.clone(), start.0.clone(), start.1.clone());
            let mut rows = cluster
                .rows
                .range(first..)
                .map(|(_, row)| row)
                .take_while(|row| row.key.kind == query.kind && row.key.namespace < end)
                .filter(|row| !row.deleted && (&row.key.namespace, &row.key.name) > (&start.0, &start.1));
            let items: Vec<Record> = rows.by_ref().take(query.limit.unwrap_or(usize::MAX)).cloned().collect();
            let remaining = Some(rows.count() as u64).filter(|count| *count > 0);
            List { items, revision: cluster.head.revision, remaining }
        })
    }

    async fn changes(&self, cluster: &str, after: u64, complete: u64, limit: usize) -> Result<Changes, StoreError> {
        self.read(cluster, |cluster| {
            rows::check_compacted(cluster.head, after)?;
            let records = cluster.since(after, complete, limit);
            let reaches_head = records.len() < limit || cluster.head.revision <= after;
            Ok(Changes { records, head: cluster.head, complete: reaches_head })
        })?
    }

    async fn head(&self, cluster: &str) -> Result<Head, StoreError> {
        self.read(cluster, |cluster| cluster.head)
    }

    async fn clusters(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.state()?.copy.clusters.keys().cloned().collect())
    }

    fn hint(&self) -> watch::Receiver<u64> {
        self.database.changed.subscribe()
    }

    fn connections(&self) -> Connections {
        Connections { idle: 0, used: 0 }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.open()
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        self.open()?;
        self.database.lock().migrated = true;
        Ok(())
    }

    async fn migration_status(&self) -> Result<MigrationStatus, StoreError> {
        self.open()?;
        let applied = if self.database.lock().migrated { KNOWN_MIGRATION } else { 0 };
        Ok(MigrationStatus { applied, known: KNOWN_MIGRATION })
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}
