//! One cluster: its feed into the index, and what is due out of it.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::{
    action,
    entry::Entry,
    index::{Index, Task},
    statuses::Statuses,
    volumes::{VolumeTask, Volumes},
};
use crate::store::{Atomicity, Changes, Cursor, Key, Outcome, Record, Store, StoreError, Write};

/// Records of the feed that are read at a time.
const PAGE: usize = 1_000;

/// Writes of one commit.
const AT_ONCE: usize = 500;

/// Commits of a turn: then it is another cluster's.
const COMMITS: usize = 10;

/// Follows a cluster.
#[derive(Debug)]
pub(super) struct Follower {
    cursor: Cursor,
    index: Index,
    volumes: Volumes,
    statuses: Statuses,
    /// Records read at a time.
    page: usize,
    /// Writes of one commit.
    at_once: usize,
}

impl Default for Follower {
    fn default() -> Self {
        Self::in_steps(PAGE, AT_ONCE)
    }
}

impl Follower {
    /// A follower that has read nothing, with pages and commits of these sizes.
    pub(super) fn in_steps(page: usize, at_once: usize) -> Self {
        let (cursor, index) = (Cursor::default(), Index::default());
        Self { cursor, index, volumes: Volumes::default(), statuses: Statuses::default(), page, at_once }
    }

    /// `true` if it has read all up to this revision, and nothing is due.
    pub(super) fn rests(&self, revision: u64, now: Timestamp) -> bool {
        self.cursor.after >= revision
            && self.cursor.after == self.cursor.complete
            && !self.index.has_work(now)
            && !self.volumes.has_work(now)
            && !self.statuses.has_work(now)
    }

    /// Time until something is due, if that is known and later than now.
    pub(super) fn rests_for(&self, now: Timestamp) -> Option<Duration> {
        let next = self.statuses.next().into_iter().chain(self.volumes.next()).min()?;
        Duration::try_from(next.duration_since(now)).ok()
    }

    /// Number of objects that it knows.
    pub(super) fn objects(&self) -> usize {
        self.index.len()
    }

    /// Reads up to the head and does what is due, some of it; returns the number of objects that were written.
    ///
    /// # Errors
    /// Those of the store. What was not done is due again.
    pub(super) async fn turn(&mut self, store: &dyn Store, cluster: &str, now: Timestamp) -> Result<usize, StoreError> {
        let mut written = self.bind_volumes(store, cluster, now).await?;
        for _ in 0..COMMITS {
            self.catch_up(store, cluster, now).await?;
            let tasks = self.index.due(now, self.at_once);
            if tasks.is_empty() {
                break;
            }
            let keys: Vec<Key> = tasks.iter().map(|task| task.key.clone()).collect();
            match carry_out(store, cluster, tasks, now).await {
                Ok(done) if done.is_empty() => {
                    self.index.again(keys);
                    break;
                }
                Ok(done) => {
                    written += done.len();
                    self.index.again(keys.into_iter().filter(|key| !done.contains(key)));
                }
                Err(error) => {
                    self.index.again(keys);
                    return Err(error);
                }
            }
        }
        Ok(written + self.statuses.turn(store, cluster, now).await?)
    }

    /// Writes what is due about volumes, some of it; returns the number of objects that were written.
    async fn bind_volumes(&mut self, store: &dyn Store, cluster: &str, now: Timestamp) -> Result<usize, StoreError> {
        self.catch_up(store, cluster, now).await?;
        let tasks = self.volumes.due(self.at_once, now);
        if tasks.is_empty() {
            return Ok(0);
        }
        let volumes: Vec<Key> = tasks.iter().map(|task| task.volume.0.clone()).collect();
        match carry_out_volumes(store, cluster, tasks).await {
            // The feed shows the objects that were not written changed.
            Ok(done) => Ok(done.len()),
            Err(error) => {
                self.volumes.again(volumes);
                Err(error)
            }
        }
    }

    /// Reads the feed up to the head.
    async fn catch_up(&mut self, store: &dyn Store, cluster: &str, now: Timestamp) -> Result<(), StoreError> {
        loop {
            let page = match store.changes(cluster, &self.cursor, self.page).await {
                Ok(page) => page,
                // The cluster's writer begins the new epoch; here all is read again.
                Err(StoreError::Compacted { .. } | StoreError::HistoryLost { .. }) => {
                    *self = Self::in_steps(self.page, self.at_once);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Changes { records, complete, next, .. } = page;
            let parsed = spawn_blocking(move || records.into_iter().map(parse).collect::<Vec<_>>()).await;
            for (record, entry) in parsed.map_err(|error| StoreError::Internal(error.to_string()))? {
                self.volumes.apply(&record, now);
                self.statuses.apply(&record, now);
                self.index.apply(&record, entry);
            }
            self.cursor = next;
            if complete {
                return Ok(());
            }
        }
    }
}

/// A record with its part of the index, if that may have changed.
fn parse(record: Record) -> (Record, Option<Entry>) {
    if record.deleted || record.body.is_empty() {
        return (record, None);
    }
    let entry = Entry::parse(&record).unwrap_or_else(|error| {
        // It ends when it is deleted, and no sooner.
        tracing::debug!(kind = %record.key.kind, name = record.key.name, %error, "the metadata cannot be read");
        Some(Entry { uid: record.uid.clone(), revision: record.revision, ..Entry::default() })
    });
    (record, entry)
}

/// Carries out tasks on the objects that are still as they were; returns those that were written.
async fn carry_out(store: &dyn Store, cluster: &str, tasks: Vec<Task>, now: Timestamp) -> Result<Vec<Key>, StoreError> {
    // Several tasks for one object: the later ones are due again.
    let mut first: HashMap<Key, Task> = HashMap::new();
    for task in tasks {
        first.entry(task.key.clone()).or_insert(task);
    }
    let keys: Vec<Key> = first.keys().cloned().collect();
    let stored = store.find(cluster, &keys).await?;
    let computed = spawn_blocking(move || -> Vec<Write> {
        let write = |record: Record| {
            let task = first.get(&record.key)?;
            if record.uid != task.uid || record.revision != task.revision {
                return None;
            }
            action::write(&record, &task.action, now)
        };
        stored.into_iter().filter_map(write).collect()
    });
    let writes = computed.await.map_err(|error| StoreError::Internal(error.to_string()))?;
    commit(store, cluster, writes).await
}

/// Carries out tasks about volumes; returns the objects that were written.
async fn carry_out_volumes(store: &dyn Store, cluster: &str, tasks: Vec<VolumeTask>) -> Result<Vec<Key>, StoreError> {
    let keys: Vec<Key> = tasks.iter().flat_map(VolumeTask::keys).collect();
    let stored = store.find(cluster, &keys).await?;
    let computed = spawn_blocking(move || tasks.iter().flat_map(|task| task.writes(&stored)).collect::<Vec<_>>());
    let writes = computed.await.map_err(|error| StoreError::Internal(error.to_string()))?;
    commit(store, cluster, writes).await
}

/// Commits each write for itself; returns the objects that were written.
async fn commit(store: &dyn Store, cluster: &str, writes: Vec<Write>) -> Result<Vec<Key>, StoreError> {
    if writes.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<Key> = writes.iter().map(|write| write.key.clone()).collect();
    let outcomes = store.commit(cluster, writes, Atomicity::Each).await?.outcomes;
    let done = keys
        .into_iter()
        .zip(outcomes)
        .filter(|(_, outcome)| matches!(outcome, Outcome::Written { .. } | Outcome::Deleted { .. }));
    Ok(done.map(|(key, _)| key).collect())
}
