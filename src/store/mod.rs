//! Durable documents and revisions: one small trait, two engines, chosen by the URL's scheme.
//!
//! # How to use it
//!
//! ```no_run
//! # async fn example() -> Result<(), podberth::store::StoreError> {
//! use podberth::store::{self, Atomicity, Change, Key, Precondition, Write};
//!
//! let store = store::open("sqlite:podberth.db", &store::Options::default()).await?;
//! store.migrate().await?;
//! let commit = store
//!     .commit(
//!         "prod",
//!         vec![Write {
//!             key: Key::new("pods", "default", "web"),
//!             precondition: Precondition::absent(),
//!             change: Change::Put { body: "{}".into(), uid: "1".into(), node: None },
//!         }],
//!         Atomicity::Each,
//!     )
//!     .await?;
//! let page = store.changes("prod", 0, 0, 1_000).await?;
//! assert_eq!(page.head.revision, commit.revision);
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - A cluster's objects are the current ones plus a tombstone for each deleted one. Every change takes the next
//!   revision of its cluster's counter, and the order of revisions is the order of commits and the order every reader
//!   sees: a write transaction first bumps the counter and so holds its row until it ends.
//! - [`Store::commit`] returns when the batch is durable. A write that changes nothing takes no revision.
//! - [`Store::changes`] misses nothing and is atomic: what one transaction wrote is read whole or not at all (over
//!   pages: once the page that is `complete` has been applied).
//! - Reads see all that was committed before they began: they are of the primary, never of a standby.
//! - A cluster comes to be with its first write. Reading one that is not there finds nothing, at revision 0.
//! - Kind, namespace and name are opaque text, ordered by bytes; bodies are opaque bytes.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

mod decide;
mod error;
pub mod memory;
mod postgres;
mod rows;
mod sqlite;
mod types;

pub use error::StoreError;
pub use types::{
    Atomicity, Call, Change, Changes, Commit, Head, Judge, Key, List, ListQuery, MigrationStatus, Outcome,
    Precondition, Record, Refusal, Unjudged, Write, Written,
};

/// A database of clusters. See the [module](self) for what it promises.
#[async_trait]
pub trait Store: Debug + Send + Sync {
    /// Writes a batch in one transaction and returns when it is durable. The calls, and the writes of each, behave as if
    /// carried out in order. While the cluster's counter is held, the judge is given all that it missed and then asked.
    /// When the future is dropped, the batch may or may not be written.
    async fn write(&self, cluster: &str, calls: &[Call], judge: &mut dyn Judge) -> Result<Written, StoreError>;

    /// Writes one call's batch without a judge.
    async fn commit(&self, cluster: &str, writes: Vec<Write>, atomicity: Atomicity) -> Result<Commit, StoreError> {
        let mut written = self.write(cluster, &[Call { writes, atomicity }], &mut Unjudged).await?;
        written.commits.pop().ok_or_else(|| StoreError::Internal("the store did not answer a call".into()))
    }

    /// One live object.
    async fn get(&self, cluster: &str, key: &Key) -> Result<Option<Record>, StoreError>;

    /// Live objects of a kind by (namespace, name), with the revision they were read at.
    async fn list(&self, cluster: &str, query: &ListQuery) -> Result<List, StoreError>;

    /// Objects and tombstones changed after a revision, at most `limit`, ascending. 0 reads everything. `complete` is the
    /// last revision at which the reader's state was that of the cluster (0: never): bodies that have not changed since
    /// are left out. A head below `after`, or one of another epoch, means that history was lost.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when `after` is too long ago.
    async fn changes(&self, cluster: &str, after: u64, complete: u64, limit: usize) -> Result<Changes, StoreError>;

    /// Where the cluster stands.
    async fn head(&self, cluster: &str) -> Result<Head, StoreError>;

    /// The names of all clusters, sorted.
    async fn clusters(&self) -> Result<Vec<String>, StoreError>;

    /// Wakes when some cluster may have changed, by this process or another. The number is only a counter of wake-ups.
    /// It is a hint: wake-ups get lost with connections, so poll as well.
    fn hint(&self) -> watch::Receiver<u64>;

    /// Connections that are open at the moment.
    fn connections(&self) -> Connections;

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Brings the schema up to date. Several processes may do so at once.
    async fn migrate(&self) -> Result<(), StoreError>;

    /// How far the schema is.
    ///
    /// # Errors
    /// [`StoreError::SchemaTooNew`] when a newer binary has migrated the database.
    async fn migration_status(&self) -> Result<MigrationStatus, StoreError>;

    /// Ends all connections; calls after this fail. SQLite's file is free for another process then.
    async fn close(&self);
}

/// Open connections to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Waiting for work.
    pub idle: usize,
    /// At work.
    pub used: usize,
}

/// What can be chosen about the connections. None of it changes what the store means.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections at most (SQLite: readers; the writer is one).
    pub max_connections: u32,
    /// How long to wait for a connection: a new one to be made, or a used one to become free.
    pub acquire_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// How long to wait for another transaction's lock.
    pub lock_timeout: Duration,
    /// How long a transaction may stand idle before the server ends it (PostgreSQL): frees the counter row from a
    /// process that has stopped while holding it.
    pub idle_in_transaction_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 8,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            idle_in_transaction_timeout: Duration::from_secs(2),
        }
    }
}

/// Opens the database that `url` names: `postgres://…` (or `postgresql://…`), `sqlite:path`, or `sqlite::memory:`, which
/// forgets everything in the end. It connects at once, so that an error tells at the start what is wrong; it does not
/// migrate.
pub async fn open(url: &str, options: &Options) -> Result<Arc<dyn Store>, StoreError> {
    let store: Arc<dyn Store> = match url.split_once(':') {
        Some(("postgres" | "postgresql", _)) => Arc::new(postgres::Postgres::open(url, options).await?),
        Some(("sqlite", path)) => Arc::new(sqlite::Sqlite::open(path, options).await?),
        _ => {
            return Err(StoreError::Url(
                "the store's URL must begin with postgres://, postgresql:// or sqlite: (sqlite:path or sqlite::memory:)"
                    .into(),
            ));
        }
    };
    store.migration_status().await?;
    Ok(store)
}
