//! A store for tests that can be held up, taken away, and cut off within the feed.

use std::collections::BTreeMap;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

use crate::store::{
    self, Call, Changes, Compaction, Connections, Cursor, Entry, Everywhere, Head, Heads, Hints, Judge, Keep, Key,
    Ledger, List, ListQuery, Listener, MigrationStatus, Page, Past, Reach, Record, Restore, Retain, Rewind, Scan,
    Schema, Source, Storage, Store, StoreError, Undone, Upkeep, Visitor, Writable, Written,
};

/// SQLite in memory behind a gate.
#[derive(Debug)]
pub(super) struct Gated {
    pub(super) inner: Arc<dyn Storage>,
    /// One permit admits one batch.
    pub(super) gate: Semaphore,
    pub(super) away: AtomicBool,
    /// It takes no writes.
    pub(super) full: AtomicBool,
    /// How many of the next batches find their judge behind.
    pub(super) behind: AtomicUsize,
    /// The names that the calls of each batch are about.
    pub(super) batches: Mutex<Vec<Vec<String>>>,
    /// How many more pages of the feed are read before one meets the fault.
    fault: Mutex<Option<(usize, Fault)>>,
    /// How often the heads were read, and how many pages of each cluster's feed.
    pub(super) heads_read: AtomicUsize,
    pub(super) pages: Mutex<BTreeMap<String, usize>>,
    /// A cluster whose feed cannot be read, while others can.
    pub(super) damaged: Mutex<Option<String>>,
    /// A cluster that cannot be written to, while others can.
    pub(super) unwritable: Mutex<Option<String>>,
    /// Those who listen from now on hear only what `silence` tells.
    pub(super) deaf: AtomicBool,
    pub(super) silence: Hints,
    /// A page waits for ever.
    pub(super) hangs: Notify,
}

/// A fault while a page is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// The connection is cut.
    Cut,
    /// No answer comes.
    Silence,
    /// The reader panics.
    Panic,
}

pub(super) const EVER: usize = Semaphore::MAX_PERMITS / 2;

impl Gated {
    pub(super) async fn open() -> Arc<Self> {
        Self::over(store::open("sqlite::memory:", &store::Options::default()).await.expect("a database in memory"))
            .await
    }

    pub(super) async fn over(inner: Arc<dyn Storage>) -> Arc<Self> {
        inner.migrate().await.expect("it migrates");
        Arc::new(Self {
            inner,
            gate: Semaphore::new(EVER),
            away: AtomicBool::new(false),
            full: AtomicBool::new(false),
            behind: AtomicUsize::new(0),
            batches: Mutex::default(),
            fault: Mutex::default(),
            heads_read: AtomicUsize::new(0),
            pages: Mutex::default(),
            damaged: Mutex::default(),
            unwritable: Mutex::default(),
            hangs: Notify::new(),
            deaf: AtomicBool::new(false),
            silence: Hints::new(Reach::Process),
        })
    }

    pub(super) fn close_gate(&self) {
        self.gate.forget_permits(EVER);
    }

    pub(super) fn batches(&self) -> Vec<Vec<String>> {
        self.batches.lock().expect("no test has panicked").clone()
    }

    /// Makes the reading of one page of the feed fail, after `after` others.
    pub(super) fn fail_page(&self, after: usize, fault: Fault) {
        *self.fault.lock().expect("no test has panicked") = Some((after, fault));
    }

    fn next_fault(&self) -> Option<Fault> {
        let mut fault = self.fault.lock().expect("no test has panicked");
        match fault.take() {
            Some((0, fault)) => Some(fault),
            other => {
                *fault = other.map(|(after, what)| (after - 1, what));
                None
            }
        }
    }

    fn answers(&self) -> Result<(), StoreError> {
        if self.away.load(Ordering::SeqCst) { Err(StoreError::Unavailable("away".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Store for Gated {
    async fn write(&self, cluster: &str, calls: &[Call], judge: &mut dyn Judge) -> Result<Written, StoreError> {
        if self.unwritable.lock().expect("no test has panicked").as_deref() == Some(cluster) {
            return Err(StoreError::Corrupt("a row is damaged".into()));
        }
        let name = |call: &Call| call.writes.first().map(|write| write.key.name.clone()).unwrap_or_default();
        self.batches.lock().expect("no test has panicked").push(calls.iter().map(name).collect());
        self.gate.acquire().await.expect("the gate stays").forget();
        self.answers()?;
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Unwritable("full".into()));
        }
        let behind = self.behind.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if behind.is_ok() {
            return Err(StoreError::Behind { known: judge.known(), revision: 9_999 });
        }
        self.inner.write(cluster, calls, judge).await
    }

    async fn get(&self, cluster: &str, key: &Key) -> Result<Option<Record>, StoreError> {
        self.inner.get(cluster, key).await
    }

    async fn list(&self, cluster: &str, query: &ListQuery) -> Result<List, StoreError> {
        self.inner.list(cluster, query).await
    }

    async fn changes(&self, cluster: &str, from: &Cursor, limit: usize) -> Result<Changes, StoreError> {
        self.answers()?;
        match self.next_fault() {
            Some(Fault::Cut) => return Err(StoreError::Unavailable("the connection was cut".into())),
            Some(Fault::Panic) => panic!("planted"),
            Some(Fault::Silence) => {
                self.hangs.notify_one();
                std::future::pending::<()>().await;
            }
            None => {}
        }
        if self.damaged.lock().expect("no test has panicked").as_deref() == Some(cluster) {
            return Err(StoreError::Corrupt("a batch's token is not 16 bytes long".into()));
        }
        *self.pages.lock().expect("no test has panicked").entry(cluster.to_owned()).or_default() += 1;
        self.inner.changes(cluster, from, limit).await
    }

    async fn begin_epoch(&self, cluster: &str, lost: &Head, token: Uuid) -> Result<Head, StoreError> {
        self.inner.begin_epoch(cluster, lost, token).await
    }

    async fn heads(&self, clusters: &[String]) -> Result<Heads, StoreError> {
        self.answers()?;
        self.heads_read.fetch_add(1, Ordering::SeqCst);
        self.inner.heads(clusters).await
    }

    async fn clusters(&self) -> Result<Vec<String>, StoreError> {
        self.inner.clusters().await
    }

    fn hints(&self) -> Listener {
        if self.deaf.load(Ordering::SeqCst) { self.silence.listen() } else { self.inner.hints() }
    }

    fn writable(&self) -> Writable {
        if self.full.load(Ordering::SeqCst) { Writable::No("full".into()) } else { Writable::Yes }
    }
}

#[async_trait]
impl Past for Gated {
    async fn state_at(&self, cluster: &str, at: Option<u64>, visitor: &mut dyn Visitor) -> Result<(), StoreError> {
        self.inner.state_at(cluster, at, visitor).await
    }

    async fn get_at(&self, cluster: &str, key: &Key, revision: u64) -> Result<Option<Record>, StoreError> {
        self.inner.get_at(cluster, key, revision).await
    }

    async fn list_at(&self, cluster: &str, query: &ListQuery, revision: u64) -> Result<List, StoreError> {
        self.inner.list_at(cluster, query, revision).await
    }

    async fn find_at(&self, cluster: &str, keys: &[Key], revision: u64) -> Result<Vec<Record>, StoreError> {
        self.answers()?;
        self.inner.find_at(cluster, keys, revision).await
    }

    async fn rows(&self, cluster: &str, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        self.answers()?;
        self.inner.rows(cluster, keys).await
    }

    async fn adopt(&self, cluster: &str, records: Vec<Record>) -> Result<u64, StoreError> {
        self.answers()?;
        self.inner.adopt(cluster, records).await
    }

    async fn rewind(&self, cluster: &str, rewind: &Rewind, limit: usize) -> Result<Undone, StoreError> {
        self.inner.rewind(cluster, rewind, limit).await
    }

    async fn revision_at(&self, cluster: &str, time: Timestamp) -> Result<Option<u64>, StoreError> {
        self.inner.revision_at(cluster, time).await
    }

    async fn restore(&self, cluster: &str, source: &mut dyn Source, how: Restore) -> Result<Head, StoreError> {
        self.inner.restore(cluster, source, how).await
    }
}

#[async_trait]
impl Upkeep for Gated {
    async fn compact_holding(&self, cluster: &str, keep: &Keep, hold: Option<u64>) -> Result<Compaction, StoreError> {
        self.inner.compact_holding(cluster, keep, hold).await
    }

    async fn lease(&self, name: &str, holder: Uuid, ttl: Duration) -> Result<bool, StoreError> {
        self.inner.lease(name, holder, ttl).await
    }

    async fn compactable(&self, keep: &Keep) -> Result<Vec<String>, StoreError> {
        self.inner.compactable(keep).await
    }

    async fn leases(&self, beginning: &str) -> Result<Vec<String>, StoreError> {
        self.inner.leases(beginning).await
    }

    async fn everywhere(&self, kind: &str) -> Result<Everywhere, StoreError> {
        self.answers()?;
        self.inner.everywhere(kind).await
    }

    async fn remove(&self, cluster: &str) -> Result<bool, StoreError> {
        if self.unwritable.lock().expect("no test has panicked").as_deref() == Some(cluster) {
            return Err(StoreError::Corrupt("a row is damaged".into()));
        }
        self.inner.remove(cluster).await
    }

    async fn sweep(&self, keep: Duration) -> Result<(), StoreError> {
        self.inner.sweep(keep).await
    }
}

#[async_trait]
impl Schema for Gated {
    async fn migrate(&self) -> Result<(), StoreError> {
        self.inner.migrate().await
    }

    async fn migration_status(&self) -> Result<MigrationStatus, StoreError> {
        self.inner.migration_status().await
    }
}

#[async_trait]
impl Storage for Gated {
    fn connections(&self) -> Connections {
        self.inner.connections()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.answers()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl Ledger for Gated {
    async fn append(&self, entries: &[Entry]) -> Result<(), StoreError> {
        self.inner.append(entries).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        self.inner.scan(scan).await
    }

    async fn prune(&self, cluster: &str, kind: &str, retain: &Retain) -> Result<u64, StoreError> {
        self.inner.prune(cluster, kind, retain).await
    }

    async fn books(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.inner.books().await
    }
}
