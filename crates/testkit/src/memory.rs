//! A store in memory for tests and benches. Any number of handles share one database, and its transactions are exposed, so that a test can stop
//! one half-way, lose its reply, or bring an older copy of the database back.
//!
//! [`open`](podberth_store::open) has no URL for it. It keeps the contract of the two SQL engines by the same decisions (`decide`), and the
//! same suite (`tests/store/`) tests it. Its callers determine everything that it does, and its clock stands still unless they advance it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use cluster::{Cluster, without_body};
use podberth_store::decide::{self, NewRow, Plan};
use podberth_store::{Call, Cursor, Head, Hint, Hints, Judge, Reach, StoreError, Written, check, keeping, rows};

mod cluster;
mod engine;
mod journal;
mod ledger;

pub use journal::{Committed, Event};

/// When the clock begins: microseconds since 1970.
const START: i64 = 1_000_000;

/// A handle on a database in memory, as one process has it.
#[derive(Debug)]
pub struct Memory {
    database: Arc<Database>,
    /// How long superseded versions are kept.
    history: Option<Duration>,
    closed: AtomicBool,
}

/// How revisions are given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// By a counter whose lock is held until the commit, as the engines do it: revisions are in the order of commits.
    Counter,
    /// By a sequence, without a lock: a planted bug that tests must find. Commits come in another order than their revisions, and readers miss the
    /// late ones.
    Sequence,
}

/// How an older copy of a database comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// No error is reported: readers of the lost history must find out.
    Silent,
    /// A new epoch of every cluster is begun for those who stood at its head.
    Declared,
}

/// The state of a database at one instant.
#[derive(Debug, Clone, Default)]
pub struct Copy {
    clusters: BTreeMap<String, Cluster>,
    ledger: ledger::Entries,
}

#[derive(Debug)]
struct Database {
    numbering: Numbering,
    state: Mutex<State>,
    hints: Hints,
}

#[derive(Debug, Default)]
struct State {
    migrated: bool,
    /// Raised when an older copy comes back: transactions begun before cannot commit.
    generation: u64,
    copy: Copy,
    locks: BTreeMap<String, Arc<tokio::sync::Mutex<()>>>,
    /// By name: the holder, and until when by the clock.
    leases: BTreeMap<String, (Uuid, i64)>,
    /// Time by which the clock was advanced.
    elapsed: Duration,
    /// How many tokens were given to batches that brought none.
    tokens: u128,
    journal: Option<Vec<Event>>,
}

/// A write transaction that has decided and holds its cluster's counter. Dropped, it is rolled back.
#[derive(Debug)]
pub struct Transaction {
    database: Arc<Database>,
    cluster: String,
    generation: u64,
    /// Where the cluster stood before.
    before: u64,
    keeps_superseded: bool,
    rows: Vec<NewRow>,
    committed: Committed,
    written: Written,
    _counter: Option<OwnedMutexGuard<()>>,
}

impl Memory {
    /// A handle on an empty database that has not been migrated.
    pub fn new(numbering: Numbering) -> Self {
        Self::on(Arc::new(Database { numbering, state: Mutex::default(), hints: Hints::new(Reach::Everyone) }))
    }

    /// Another handle on this database, as another process has it.
    #[must_use]
    pub fn handle(&self) -> Self {
        Self::on(self.database.clone())
    }

    fn on(database: Arc<Database>) -> Self {
        Self { database, history: None, closed: AtomicBool::new(false) }
    }

    /// Keeps superseded versions for this time.
    #[must_use]
    pub fn keeping(self, history: Option<Duration>) -> Self {
        Self { history, ..self }
    }

    /// Advances the database's clock.
    pub fn pass(&self, time: Duration) {
        let mut state = self.database.lock();
        state.elapsed = state.elapsed.saturating_add(time);
    }

    /// The database as it is now.
    pub fn copy(&self) -> Copy {
        self.database.lock().copy.clone()
    }

    /// A migrated database of its own with the content of `copy`: a standby that has come this far.
    pub fn of(copy: &Copy) -> Self {
        let memory = Self::new(Numbering::Counter);
        let mut state = memory.database.lock();
        state.migrated = true;
        state.copy = copy.clone();
        drop(state);
        memory
    }

    /// Brings an older copy back. Open transactions cannot commit.
    pub fn bring_back(&self, copy: &Copy, how: Return) {
        let mut guard = self.database.lock();
        let state = &mut *guard;
        state.generation += 1;
        let lost = std::mem::replace(&mut state.copy, copy.clone());
        for (name, lost) in &lost.clusters {
            let found = state.copy.clusters.get(name).cloned().unwrap_or_default();
            state.note(|| journal::restored(name, &found));
            if how == Return::Declared {
                let token = state.new_token();
                state.raise_epoch(name, found, &lost.head, false, token);
            }
        }
        drop(guard);
        self.database.hints.tell(Hint::Any);
    }

    /// Records from now on the events of the database, for [`Memory::take_journal`].
    pub fn keep_journal(&self) {
        self.database.lock().journal.get_or_insert_default();
    }

    /// The events since the last call, in the order of commits.
    pub fn take_journal(&self) -> Vec<Event> {
        self.database.lock().journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Begins a write transaction: waits for the cluster's counter, takes it, and decides. `token` is stored with the batch.
    pub async fn begin(
        &self,
        cluster: &str,
        calls: &[Call],
        judge: &mut dyn Judge,
        token: Uuid,
    ) -> Result<Transaction, StoreError> {
        check::batch(cluster, calls)?;
        let counter = match self.database.numbering {
            Numbering::Counter => Some(self.counter(cluster).await),
            Numbering::Sequence => None,
        };
        let mut state = self.state()?;
        let generation = state.generation;
        let mut fresh = Cluster::default();
        let stored = state.copy.clusters.get_mut(cluster);
        let exists = stored.is_some();
        let stored = stored.unwrap_or(&mut fresh);
        let (known, seen) = (judge.known(), judge.seen());
        let mut head = stored.head;
        rows::check_missed(head, known)?;
        if known == u64::MAX {
            head.token = Uuid::nil(); // Nobody asked.
        } else {
            head = rows::check_seen(head, known, seen, seen.and_then(|seen| stored.token(seen.revision)))?;
        }
        let base = if self.database.numbering == Numbering::Sequence { stored.given } else { head.revision };
        let keys = decide::keys(calls);
        let current =
            keys.iter().filter_map(|(key, is_put)| stored.rows().get(*key).map(|row| without_body(row, !is_put)));
        let current = current.collect();
        let from = Cursor { complete: known, bodies: judge.bodies(), ..Cursor::after(known) };
        judge.begin(head, &stored.since(&from, usize::MAX));
        let mut recorder = journal::Recorder::new(judge);
        let Plan { revision, commits, rows } = decide::decide(base, current, calls, &mut recorder);
        let steps = recorder.into_steps(stored.rows());
        stored.given = stored.given.max(revision);
        let given = stored.given;
        if !exists && self.database.numbering == Numbering::Sequence {
            state.copy.clusters.entry(cluster.to_owned()).or_default().given = given;
        }
        drop(state);
        let after = if rows.is_empty() { head } else { Head { revision, token, ..head } };
        Ok(Transaction {
            database: self.database.clone(),
            cluster: cluster.to_owned(),
            generation,
            before: head.revision,
            keeps_superseded: self.history.is_some(),
            rows,
            committed: Committed { cluster: cluster.to_owned(), head: after, steps },
            written: Written { commits, head: after },
            _counter: counter,
        })
    }

    /// Takes a cluster's counter: the transaction that held it has ended.
    pub async fn counter(&self, cluster: &str) -> OwnedMutexGuard<()> {
        let lock = self.database.lock().locks.entry(cluster.to_owned()).or_default().clone();
        lock.lock_owned().await
    }

    /// Tells if the batch of this token was written up to this revision; `None` if compaction may have removed the evidence. Only the
    /// holder of the counter can rely on `Some(false)`.
    pub fn is_written(&self, cluster: &str, revision: u64, token: Uuid) -> Option<bool> {
        let state = self.database.lock();
        let Some(cluster) = state.copy.clusters.get(cluster) else { return Some(false) };
        cluster.head.was_written(revision, cluster.token(revision) == Some(token))
    }

    /// The state, while the handle is open and the tables exist.
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
        check::cluster(cluster)?;
        let (state, absent) = (self.state()?, Cluster::default());
        Ok(read(state.copy.clusters.get(cluster).unwrap_or(&absent)))
    }
}

impl Database {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The database's time, in microseconds.
    fn now(&self) -> i64 {
        START.saturating_add(rows::micros(self.elapsed))
    }

    fn instant(&self) -> Result<Timestamp, StoreError> {
        Timestamp::from_microsecond(self.now()).map_err(|error| StoreError::Internal(error.to_string()))
    }

    /// The time `age` ago.
    fn ago(&self, age: Duration) -> i64 {
        self.now().saturating_sub(rows::micros(age))
    }

    /// A token that no batch has had, also none that was lost.
    fn new_token(&mut self) -> Uuid {
        self.tokens += 1;
        Uuid::from_u128(self.tokens)
    }

    fn note(&mut self, event: impl FnOnce() -> Event) {
        if let Some(journal) = &mut self.journal {
            journal.push(event());
        }
    }

    /// Begins an epoch of a cluster as found, unless the loss has been handled. Returns the head then.
    fn raise_epoch(&mut self, name: &str, mut found: Cluster, lost: &Head, goes_on: bool, token: Uuid) -> Head {
        let Some(raised) = keeping::next_epoch(found.head, lost, goes_on, token) else { return found.head };
        found.kept = keeping::Kept { from: raised.revision, to: raised.revision };
        found.put_head(raised, self.now());
        self.copy.clusters.insert(name.to_owned(), found);
        self.note(|| Event::Epoch { cluster: name.to_owned(), head: raised });
        raised
    }
}

impl Transaction {
    /// The result of the batch when it is committed.
    pub fn written(&self) -> &Written {
        &self.written
    }

    /// Makes it durable and releases the counter.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if an older copy of the database has come back meanwhile;
    /// [`StoreError::Aborted`] if another transaction was faster, without a counter. Nothing was written.
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
            if !cluster.replace(row, self.keeps_superseded) {
                return Err(StoreError::Aborted("a row has changed since it was read".into()));
            }
        }
        let Head { revision, token, .. } = self.written.head;
        if self.keeps_superseded {
            cluster.kept = cluster.kept.with(self.before, revision);
        }
        if revision > cluster.head.revision {
            cluster.put_head(Head { revision, token, ..cluster.head }, state.now());
        } else {
            cluster.note_batch(revision, token, state.now()); // Out of the order of a sequence.
        }
        state.copy.clusters.insert(self.cluster.clone(), cluster);
        state.note(|| Event::Committed(self.committed));
        drop(state);
        self.database.hints.changed(&self.cluster, self.written.head.revision);
        Ok(self.written)
    }
}
