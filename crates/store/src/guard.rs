//! The guard around each engine: it knows if the database takes writes, and keeps trying until it does again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    Call, Change, Changes, Compaction, Connections, Cursor, Entry, Everywhere, Head, Heads, Judge, Keep, Key, Ledger,
    List, ListQuery, Listener, MigrationStatus, Page, Past, Record, Restore, Retain, Rewind, Scan, Schema, Source,
    Storage, Store, StoreError, Undone, Upkeep, Visitor, Written,
};

/// How often a database that takes no writes is tried.
const TRIAL: Duration = Duration::from_millis(250);

/// The ability of the database to take writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Writable {
    /// Nothing is known against it.
    #[default]
    Yes,
    /// It was away, and has taken no write since.
    Unknown(String),
    /// It answers and takes none: why, in one line.
    No(String),
}

/// A database engine, with the further operations that [`Guarded`] needs.
#[async_trait]
pub(super) trait Engine: Storage {
    /// A cheap check that the database is still the opened one; fit for each request.
    fn look(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// A thorough check, before data is read or written.
    async fn vet(&self) -> Result<(), StoreError> {
        self.look()
    }

    /// Draws conclusions from an error.
    fn blame(&self, error: StoreError) -> StoreError {
        error
    }

    /// Makes an invisible write durable, of at least `bytes` bytes if that matters.
    async fn prove(&self, bytes: usize) -> Result<(), StoreError>;
}

/// An engine that is watched.
#[derive(Debug)]
pub(super) struct Guarded<E> {
    engine: Arc<E>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    known: Mutex<Known>,
    /// Size of the largest batch that found no room.
    wanted: AtomicUsize,
}

#[derive(Debug, Default)]
struct Known {
    writable: Writable,
    /// `true` while a task tries to write.
    on_trial: bool,
    closed: bool,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // It is whole after any panic: each change of it is one assignment.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Engine + 'static> Guarded<E> {
    pub(super) fn new(engine: E) -> Self {
        Self { engine: Arc::new(engine), state: Arc::default() }
    }

    /// Passes a call on, and learns from its error.
    async fn pass<T>(&self, call: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        let result = match self.engine.vet().await {
            Ok(()) => call.await.map_err(|error| self.engine.blame(error)),
            Err(error) => Err(error),
        };
        if let Err(error) = &result {
            self.learn(error);
        }
        result
    }

    /// Passes a writing call on, only if the database is still the opened one.
    async fn pass_write<T>(&self, call: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        let written = self.pass(call).await?;
        if let Err(error) = self.engine.look() {
            self.learn(&error);
            return Err(StoreError::OutcomeUnknown(error.to_string()));
        }
        Ok(written)
    }

    fn learn(&self, error: &StoreError) {
        let mut known = self.state.lock();
        match error {
            StoreError::Unwritable(why) => known.writable = Writable::No(why.clone()),
            StoreError::Unavailable(why) | StoreError::Busy(why) if known.writable == Writable::Yes => {
                known.writable = Writable::Unknown(why.clone());
            }
            _ => return,
        }
        if !(known.on_trial || known.closed) {
            known.on_trial = true;
            tokio::spawn(try_until_written(Arc::downgrade(&self.engine), self.state.clone()));
        }
    }
}

/// Tries to write until that succeeds or the database is not wanted any more.
async fn try_until_written<E: Engine>(engine: Weak<E>, state: Arc<State>) {
    loop {
        sleep(TRIAL).await;
        let Some(engine) = engine.upgrade() else { return };
        let tried = match engine.vet().await {
            Ok(()) => engine.prove(state.wanted.load(Ordering::Relaxed)).await,
            Err(error) => Err(error),
        };
        let mut known = state.lock();
        match tried {
            Err(StoreError::Unwritable(why)) => known.writable = Writable::No(why),
            Err(error) if error.is_transient() => {}
            // It takes writes, or refuses this one for a reason of its own: whoever writes is told that.
            Ok(()) | Err(_) => {
                known.writable = Writable::Yes;
                state.wanted.store(0, Ordering::Relaxed);
            }
        }
        if known.closed || known.writable == Writable::Yes {
            known.on_trial = false;
            return;
        }
    }
}

#[async_trait]
impl<E: Engine + 'static> Store for Guarded<E> {
    async fn write(&self, cluster: &str, calls: &[Call], judge: &mut dyn Judge) -> Result<Written, StoreError> {
        let written = self.pass_write(self.engine.write(cluster, calls, judge)).await;
        if matches!(written, Err(StoreError::Unwritable(_))) {
            let body = |change: &Change| if let Change::Put { body, .. } = change { body.len() } else { 0 };
            let bytes = calls.iter().flat_map(|call| &call.writes).map(|write| body(&write.change)).sum();
            self.state.wanted.fetch_max(bytes, Ordering::Relaxed);
        }
        written
    }

    async fn get(&self, cluster: &str, key: &Key) -> Result<Option<Record>, StoreError> {
        self.pass(self.engine.get(cluster, key)).await
    }

    async fn find(&self, cluster: &str, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        self.pass(self.engine.find(cluster, keys)).await
    }

    async fn list(&self, cluster: &str, query: &ListQuery) -> Result<List, StoreError> {
        self.pass(self.engine.list(cluster, query)).await
    }

    async fn changes(&self, cluster: &str, from: &Cursor, limit: usize) -> Result<Changes, StoreError> {
        self.pass(self.engine.changes(cluster, from, limit)).await
    }

    async fn begin_epoch(&self, cluster: &str, lost: &Head, token: Uuid) -> Result<Head, StoreError> {
        self.pass_write(self.engine.begin_epoch(cluster, lost, token)).await
    }

    async fn heads(&self, clusters: &[String]) -> Result<Heads, StoreError> {
        self.pass(self.engine.heads(clusters)).await
    }

    async fn clusters(&self) -> Result<Vec<String>, StoreError> {
        self.pass(self.engine.clusters()).await
    }

    fn hints(&self) -> Listener {
        self.engine.hints()
    }

    fn writable(&self) -> Writable {
        if let Err(error) = self.engine.look() {
            self.learn(&error);
        }
        self.state.lock().writable.clone()
    }
}

#[async_trait]
impl<E: Engine + 'static> Past for Guarded<E> {
    async fn state_at(
        &self,
        cluster: &str,
        revision: Option<u64>,
        visitor: &mut dyn Visitor,
    ) -> Result<(), StoreError> {
        self.pass(self.engine.state_at(cluster, revision, visitor)).await
    }

    async fn get_at(&self, cluster: &str, key: &Key, revision: u64) -> Result<Option<Record>, StoreError> {
        self.pass(self.engine.get_at(cluster, key, revision)).await
    }

    async fn find_at(&self, cluster: &str, keys: &[Key], revision: u64) -> Result<Vec<Record>, StoreError> {
        self.pass(self.engine.find_at(cluster, keys, revision)).await
    }

    async fn list_at(&self, cluster: &str, query: &ListQuery, revision: u64) -> Result<List, StoreError> {
        self.pass(self.engine.list_at(cluster, query, revision)).await
    }

    async fn rows(&self, cluster: &str, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        self.pass(self.engine.rows(cluster, keys)).await
    }

    async fn adopt(&self, cluster: &str, records: Vec<Record>) -> Result<u64, StoreError> {
        self.pass_write(self.engine.adopt(cluster, records)).await
    }

    async fn rewind(&self, cluster: &str, rewind: &Rewind, limit: usize) -> Result<Undone, StoreError> {
        self.pass(self.engine.rewind(cluster, rewind, limit)).await
    }

    async fn revision_at(&self, cluster: &str, time: Timestamp) -> Result<Option<u64>, StoreError> {
        self.pass(self.engine.revision_at(cluster, time)).await
    }

    async fn restore(&self, cluster: &str, source: &mut dyn Source, how: Restore) -> Result<Head, StoreError> {
        self.pass_write(self.engine.restore(cluster, source, how)).await
    }
}

#[async_trait]
impl<E: Engine + 'static> Upkeep for Guarded<E> {
    async fn compact_holding(&self, cluster: &str, keep: &Keep, hold: Option<u64>) -> Result<Compaction, StoreError> {
        self.pass(self.engine.compact_holding(cluster, keep, hold)).await
    }

    async fn lease(&self, name: &str, holder: Uuid, ttl: Duration) -> Result<bool, StoreError> {
        self.pass(self.engine.lease(name, holder, ttl)).await
    }

    async fn leases(&self, beginning: &str) -> Result<Vec<String>, StoreError> {
        self.pass(self.engine.leases(beginning)).await
    }

    async fn everywhere(&self, kind: &str) -> Result<Everywhere, StoreError> {
        self.pass(self.engine.everywhere(kind)).await
    }

    async fn having(&self, kind: &str) -> Result<Vec<String>, StoreError> {
        self.pass(self.engine.having(kind)).await
    }

    async fn compactable(&self, keep: &Keep) -> Result<Vec<String>, StoreError> {
        self.pass(self.engine.compactable(keep)).await
    }

    async fn remove(&self, cluster: &str) -> Result<bool, StoreError> {
        self.pass_write(self.engine.remove(cluster)).await
    }

    async fn sweep(&self, keep: Duration) -> Result<(), StoreError> {
        self.pass(self.engine.sweep(keep)).await
    }
}

#[async_trait]
impl<E: Engine + 'static> Schema for Guarded<E> {
    async fn migrate(&self) -> Result<(), StoreError> {
        self.pass(self.engine.migrate()).await
    }

    async fn migration_status(&self) -> Result<MigrationStatus, StoreError> {
        self.pass(self.engine.migration_status()).await
    }
}

#[async_trait]
impl<E: Engine + 'static> Storage for Guarded<E> {
    fn connections(&self) -> Connections {
        self.engine.connections()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.pass(self.engine.ping()).await
    }

    async fn close(&self) {
        self.state.lock().closed = true;
        self.engine.close().await;
    }
}

#[async_trait]
impl<E: Engine + 'static> Ledger for Guarded<E> {
    async fn append(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let appended = self.pass_write(self.engine.append(entries)).await;
        if matches!(appended, Err(StoreError::Unwritable(_))) {
            let bytes = entries.iter().map(|entry| entry.body.len()).sum();
            self.state.wanted.fetch_max(bytes, Ordering::Relaxed);
        }
        appended
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        self.pass(self.engine.scan(scan)).await
    }

    async fn prune(&self, cluster: &str, kind: &str, retain: &Retain) -> Result<u64, StoreError> {
        self.pass(self.engine.prune(cluster, kind, retain)).await
    }

    async fn books(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.pass(self.engine.books()).await
    }
}
