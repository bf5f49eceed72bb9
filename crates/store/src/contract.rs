//! The contract of a store, one trait per kind of caller: readers and writers of objects use [`Store`], exports use [`Past`], background jobs use
//! [`Upkeep`], logs use [`Ledger`], and the opener has all of it as [`Storage`].

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::ledger::Ledger;
use super::{
    Atomicity, Call, Changes, Commit, Compaction, Cursor, Everywhere, Head, Heads, Judge, Keep, Key, List, ListQuery,
    Listener, MigrationStatus, Record, Restore, Rewind, Source, StoreError, Undone, Unjudged, Visitor, Writable, Write,
    Written,
};

/// The objects of clusters: writing, reading and following them. See the [crate](crate) for its guarantees.
#[async_trait]
pub trait Store: Debug + Send + Sync {
    /// Writes a batch in one transaction and returns when it is durable. The calls, and the writes of each, behave as if carried out in order. While
    /// the cluster's counter is held, the judge gets all changes that it missed and then judges. If the future is dropped, the batch may or may not
    /// be written.
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

    /// Objects and tombstones changed after the cursor, at most `limit`, ascending; bodies that the reader has or does not read are left out. The
    /// default cursor reads everything.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] if the cursor is too far back, [`StoreError::HistoryLost`] if the last revision of its reader is no part of the
    /// cluster's history any more.
    async fn changes(&self, cluster: &str, from: &Cursor, limit: usize) -> Result<Changes, StoreError>;

    /// Begins an epoch after [`StoreError::HistoryLost`] of [`Store::changes`]; `lost` is the head that was seen. The first caller raises the epoch,
    /// and the counter above all revisions that may have been given out; every reader begins again. `token` is random: it is stored like that of a
    /// batch, and decides how far the counter moves. Returns the head then.
    async fn begin_epoch(&self, cluster: &str, lost: &Head, token: Uuid) -> Result<Head, StoreError>;

    /// The head of the cluster; a removed one is like one never written to.
    async fn head(&self, cluster: &str) -> Result<Head, StoreError> {
        let found = self.heads(&[cluster.to_owned()]).await?.clusters.pop();
        found.filter(|found| !found.removed).map_or(Ok(Head::default()), |found| found.head)
    }

    /// The heads of those clusters that the database has, in any order, and its time. A cluster that cannot be read has an error of its own and does
    /// not affect the others.
    async fn heads(&self, clusters: &[String]) -> Result<Heads, StoreError>;

    /// The names of all clusters, sorted.
    async fn clusters(&self) -> Result<Vec<String>, StoreError>;

    /// Reports possible changes of clusters, by this process or another. Hints get lost with connections, so read the heads as well.
    fn hints(&self) -> Listener;

    /// Tells if the database takes writes, from the last known state, without a query.
    fn writable(&self) -> Writable {
        Writable::Yes
    }
}

/// A whole cluster at one revision, out and in.
#[async_trait]
pub trait Past: Debug + Send + Sync {
    /// Passes all live objects as of a revision (`None`: the newest) to `visitor`, from one transaction. A revision within a batch stands for the
    /// batch before, since no reader ever saw it.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] if the history does not reach that far.
    async fn state_at(&self, cluster: &str, revision: Option<u64>, visitor: &mut dyn Visitor)
    -> Result<(), StoreError>;

    /// One object as of a revision, as [`Past::state_at`] has it.
    async fn get_at(&self, cluster: &str, key: &Key, revision: u64) -> Result<Option<Record>, StoreError>;

    /// Those of some objects that were live at a revision, as [`Past::state_at`] has them, in any order.
    async fn find_at(&self, cluster: &str, keys: &[Key], revision: u64) -> Result<Vec<Record>, StoreError>;

    /// Objects of a kind as of a revision, as [`Past::state_at`] has them, by (namespace, name). [`List::revision`] is the revision that was read.
    async fn list_at(&self, cluster: &str, query: &ListQuery, revision: u64) -> Result<List, StoreError>;

    /// A window of at most `limit` revisions of a part of the history that is undone.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] if the history does not reach that far.
    async fn rewind(&self, cluster: &str, rewind: &Rewind, limit: usize) -> Result<Undone, StoreError>;

    /// The rows that there are for some keys, in any order: live objects and tombstones.
    async fn rows(&self, cluster: &str, keys: &[Key]) -> Result<Vec<Record>, StoreError>;

    /// Adds objects of another cluster as they are, but for those whose keys have a row, tombstones included. Their revisions must be free, and up to
    /// the newest one, which does not change: readers must know the objects already. Returns the number of rows that the cluster has then.
    async fn adopt(&self, cluster: &str, records: Vec<Record>) -> Result<u64, StoreError>;

    /// The revision that was the newest at a time, by the database's clock; `None` when that is not known any more.
    async fn revision_at(&self, cluster: &str, time: Timestamp) -> Result<Option<u64>, StoreError>;

    /// Writes a whole cluster at once, or nothing: to a cluster without objects, or in place of its objects.
    async fn restore(&self, cluster: &str, source: &mut dyn Source, how: Restore) -> Result<Head, StoreError>;
}

/// Work that one process does for all: jobs over many clusters, their leases, and the removal of what is no longer needed.
#[async_trait]
pub trait Upkeep: Debug + Send + Sync {
    /// The live objects of a kind in all clusters, and the database's time.
    async fn everywhere(&self, kind: &str) -> Result<Everywhere, StoreError>;

    /// The clusters that have live objects of a kind, in any order: a job that goes through such objects leaves the others alone.
    async fn having(&self, kind: &str) -> Result<Vec<String>, StoreError> {
        let found = self.everywhere(kind).await?.found;
        let names: BTreeSet<String> = found.into_iter().map(|(cluster, _)| cluster).collect();
        Ok(names.into_iter().collect())
    }

    /// The clusters of which compaction may remove something, in any order.
    async fn compactable(&self, keep: &Keep) -> Result<Vec<String>, StoreError>;

    /// Removes tombstones, tokens of batches and superseded versions that need not be kept any longer. The counter is held
    /// only for moments.
    async fn compact(&self, cluster: &str, keep: &Keep) -> Result<Compaction, StoreError> {
        self.compact_holding(cluster, keep, None).await
    }

    /// Like [`Upkeep::compact`]; superseded versions that are needed to read the revision `hold` stay, however old they are.
    async fn compact_holding(&self, cluster: &str, keep: &Keep, hold: Option<u64>) -> Result<Compaction, StoreError>;

    /// Takes the lease `name` for `ttl` by the database's clock. `true` if it was free, its time was over, or `holder` has it already.
    async fn lease(&self, name: &str, holder: Uuid, ttl: Duration) -> Result<bool, StoreError>;

    /// The names of the leases that begin with a text and whose time is not over by the database's clock, sorted.
    async fn leases(&self, beginning: &str) -> Result<Vec<String>, StoreError>;

    /// Removes a cluster with all its data, including its entries in the ledger; `true` if it existed. It is gone for good when this returns. Its
    /// objects are deleted in bounded transactions; after an interruption [`Upkeep::sweep`] continues. A cluster created under the name within the
    /// time that `sweep` keeps does not get its revisions again.
    async fn remove(&self, cluster: &str) -> Result<bool, StoreError>;

    /// Deletes the rest of removed clusters; their names are dropped `keep` after their removal, leases `keep` after their end.
    async fn sweep(&self, keep: Duration) -> Result<(), StoreError>;
}

/// The tables.
#[async_trait]
pub trait Schema: Debug + Send + Sync {
    /// Brings the schema up to date. Several processes may do so at once.
    async fn migrate(&self) -> Result<(), StoreError>;

    /// How far the schema is.
    ///
    /// # Errors
    /// [`StoreError::SchemaTooNew`] when a newer binary has migrated the database.
    async fn migration_status(&self) -> Result<MigrationStatus, StoreError>;
}

/// An open database with all that it can do. It coerces to each of its parts.
#[async_trait]
pub trait Storage: Store + Past + Upkeep + Schema + Ledger {
    /// Connections that are open at the moment.
    fn connections(&self) -> Connections;

    /// Checks that the database answers.
    async fn ping(&self) -> Result<(), StoreError>;

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
