//! Durable documents and revisions: one small trait, two engines, chosen by the URL's scheme.
//!
//! # How to use it
//!
//! ```no_run
//! # async fn example() -> Result<(), podberth_store::StoreError> {
//! use podberth_store::{self as store, Atomicity, Change, Cursor, Key, Precondition, Write};
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
//! let page = store.changes("prod", &Cursor::default(), 1_000).await?;
//! assert_eq!(page.head.revision, commit.revision);
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - A cluster's objects are the current ones plus a tombstone for each deleted one. Every change takes the next
//!   revision of its cluster's counter, and the order of revisions is the order of commits and the order every reader
//!   sees: a write transaction first locks the counter and holds it until it ends.
//! - [`Store::commit`] returns when the batch is durable. A write that changes nothing takes no revision.
//! - [`Store::changes`] misses nothing and is atomic: what one transaction wrote is read whole or not at all (over
//!   pages: once the page that is `complete` has been applied).
//! - Superseded versions are kept for a while if [`Options::history`] says so, written in the transaction that supersedes
//!   them: [`Store::state_at`] is then the whole cluster as it was.
//! - When an older copy of the database comes back, every reader is told ([`StoreError::HistoryLost`]), and no revision
//!   that was handed out before is used again.
//! - Reads see all that was committed before they began: they are of the primary, never of a standby.
//! - A cluster comes to be with its first write. Reading one that is not there finds nothing, at revision 0.
//! - Kind, namespace and name are opaque text, ordered by bytes; bodies are opaque bytes.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

// Public for an engine outside this crate (`crates/testkit`), which decides as those in it do.
pub mod decide;
pub mod keeping;
pub mod removal;
pub mod rows;
pub mod types;

mod error;
mod feed;
mod guard;
mod heads;
mod hint;
mod migrations;
mod postgres;
mod sqlite;

use self::guard::Guarded;

pub use error::StoreError;
pub use feed::{Changes, Cursor, Head};
pub use guard::Writable;
pub use heads::{Everywhere, Heads, Standing};
pub use hint::{Hint, Hints, Listener};
pub use keeping::{Compaction, Keep, Restore, Source, Visitor};
pub use types::{
    Atomicity, Call, Change, Commit, Judge, Key, List, ListQuery, MigrationStatus, Outcome, Place, Precondition,
    Record, Refusal, Unjudged, Write, Written,
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

    /// Those of some objects that are live, in any order and each as it was at some moment meanwhile.
    async fn find(&self, cluster: &str, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        let mut found = Vec::new();
        for key in keys {
            found.extend(self.get(cluster, key).await?);
        }
        Ok(found)
    }

    /// Live objects of a kind by (namespace, name), with the revision they were read at.
    async fn list(&self, cluster: &str, query: &ListQuery) -> Result<List, StoreError>;

    /// Objects and tombstones changed after the cursor, at most `limit`, ascending; bodies that its reader has are left out.
    /// The default cursor reads everything.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when the cursor is too far back, [`StoreError::HistoryLost`] when what its reader was last
    /// told is no part of the cluster's history any more.
    async fn changes(&self, cluster: &str, from: &Cursor, limit: usize) -> Result<Changes, StoreError>;

    /// Hands out all live objects as of a revision (`None`: the newest), from one transaction. No reader ever saw a
    /// revision in the midst of a batch: it means the batch before.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when the past is not kept that far.
    async fn state_at(&self, cluster: &str, revision: Option<u64>, visitor: &mut dyn Visitor)
    -> Result<(), StoreError>;

    /// One object as of a revision, as [`Store::state_at`] has it.
    async fn get_at(&self, cluster: &str, key: &Key, revision: u64) -> Result<Option<Record>, StoreError>;

    /// The revision that was the newest at a time, by the database's clock; `None` when that is not known any more.
    async fn revision_at(&self, cluster: &str, time: Timestamp) -> Result<Option<u64>, StoreError>;

    /// Writes a whole cluster at once, or nothing: to a cluster that holds no objects, or in place of what it holds.
    async fn restore(&self, cluster: &str, source: &mut dyn Source, how: Restore) -> Result<Head, StoreError>;

    /// Removes tombstones, tokens of batches and superseded versions that need not be kept any longer. The counter is held
    /// only for moments.
    async fn compact(&self, cluster: &str, keep: &Keep) -> Result<Compaction, StoreError>;

    /// Whether `holder` alone may do what `name` stands for, for so long by the database's clock: it was free, its holder's
    /// time was over, or it is the holder's already.
    async fn lease(&self, name: &str, holder: Uuid, ttl: Duration) -> Result<bool, StoreError>;

    /// To be told what was seen when [`Store::changes`] answers [`StoreError::HistoryLost`]. The first one to do so raises
    /// the epoch, and the counter above all that may have been handed out; every reader begins anew. `token` is random: it is
    /// stored as a batch's is, and chooses how far the counter moves. Answers where the cluster stands then.
    async fn begin_epoch(&self, cluster: &str, lost: &Head, token: Uuid) -> Result<Head, StoreError>;

    /// Where the cluster stands; a removed one is as one never written to.
    async fn head(&self, cluster: &str) -> Result<Head, StoreError> {
        let found = self.heads(&[cluster.to_owned()]).await?.clusters.pop();
        found.filter(|found| !found.removed).map_or(Ok(Head::default()), |found| found.head)
    }

    /// Where those of some clusters stand of which the database knows, in any order, and its time. One that cannot be
    /// read says so for itself and keeps none of the others.
    async fn heads(&self, clusters: &[String]) -> Result<Heads, StoreError>;

    /// The live objects of a kind in all clusters, and the database's time.
    async fn everywhere(&self, kind: &str) -> Result<Everywhere, StoreError>;

    /// The names of all clusters, sorted.
    async fn clusters(&self) -> Result<Vec<String>, StoreError>;

    /// Removes a cluster with all that is kept of it; whether it was there. When this is answered it is gone for good. Its
    /// objects are deleted in bounded transactions; [`Store::sweep`] goes on with them where this was interrupted. Its
    /// revisions are not given again to a cluster that is made under the name within the time that `sweep` keeps.
    async fn remove(&self, cluster: &str) -> Result<bool, StoreError>;

    /// Deletes what is left of removed clusters; their names are forgotten once they have been removed for `keep`.
    async fn sweep(&self, keep: Duration) -> Result<(), StoreError>;

    /// Tells when some cluster may have changed, by this process or another. Hints get lost with connections, so ask for
    /// the heads as well.
    fn hints(&self) -> Listener;

    /// Connections that are open at the moment.
    fn connections(&self) -> Connections;

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Whether the database takes writes, as far as is known: nobody is asked.
    fn writable(&self) -> Writable {
        Writable::Yes
    }

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

/// What can be chosen. None of it changes what the store means.
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
    /// How long superseded versions of objects are kept; `None` keeps none, and costs nothing. All processes on a database
    /// should agree.
    pub history: Option<Duration>,
    /// Whether a database file that is not there comes to be (SQLite).
    pub create: bool,
    /// How long to wait for a database that cannot be reached yet (PostgreSQL).
    pub wait: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 8,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            idle_in_transaction_timeout: Duration::from_secs(2),
            history: None,
            create: true,
            wait: Duration::ZERO,
        }
    }
}

/// Opens the database that `url` names: `postgres://…` (or `postgresql://…`), `sqlite:path`, or `sqlite::memory:`, which
/// forgets everything in the end. It connects at once, so that an error tells at the start what is wrong; it does not
/// migrate.
pub async fn open(url: &str, options: &Options) -> Result<Arc<dyn Store>, StoreError> {
    let store: Arc<dyn Store> = match url.split_once(':') {
        Some(("postgres" | "postgresql", _)) => Arc::new(Guarded::new(postgres::Postgres::open(url, options).await?)),
        Some(("sqlite", path)) => Arc::new(Guarded::new(sqlite::Sqlite::open(path, options).await?)),
        _ => {
            return Err(StoreError::Url(
                "the store's URL must begin with postgres://, postgresql:// or sqlite: (sqlite:path or sqlite::memory:)"
                    .into(),
            ));
        }
    };
    if let Err(error) = store.migration_status().await {
        store.close().await;
        return Err(error);
    }
    Ok(store)
}
