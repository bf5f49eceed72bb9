//! The standing of a cluster in memory: the revision of its view, and if the database confirms it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{gauge, histogram};
use tokio::sync::watch;
use tokio::time::Instant;

use super::queue::Queue;
use crate::{
    store::{Head, StoreError},
    telemetry,
};

/// Interval of trying again to read a cluster that cannot be read though the database is reachable.
const RETRY: Duration = Duration::from_secs(5);

/// How far a cluster's view has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The revision of the newest view.
    pub revision: u64,
    /// When the view was last known to be the store's head.
    pub synced: Instant,
    /// That head.
    pub(super) head: Head,
}

impl Progress {
    /// The part of the cluster's history that the view belongs to. It is another one once the cluster was removed and made again.
    pub fn epoch(&self) -> u64 {
        self.head.epoch
    }

    pub(super) fn at(head: Head) -> Self {
        Self { revision: head.revision, synced: Instant::now(), head }
    }
}

/// `true` if two heads are the same point of the same history; compaction makes no difference.
pub(super) fn is_same(one: &Head, other: &Head) -> bool {
    (one.epoch, one.revision, one.token) == (other.epoch, other.revision, other.token)
}

/// The standing of a cluster, shared by its writer, its watcher and its readers.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) progress: watch::Sender<Progress>,
    away: Mutex<Option<Away>>,
}

/// The cluster cannot be read.
#[derive(Debug)]
struct Away {
    since: Instant,
    /// When it was last tried.
    tried: Instant,
    error: StoreError,
    /// The log has it for this cluster by name.
    told: bool,
}

impl Status {
    pub(super) fn new(head: Head) -> Self {
        Self { progress: watch::Sender::new(Progress::at(head)), away: Mutex::default() }
    }

    /// Why the cluster cannot be read, if so.
    pub(super) fn trouble(&self) -> Option<StoreError> {
        self.lock().as_ref().map(|away| away.error.clone())
    }

    /// The view was the store's head at a time.
    pub(super) fn in_step(&self, head: &Head, at: Instant) {
        self.progress.send_if_modified(|progress| {
            let news = is_same(&progress.head, head) && progress.synced < at;
            if news {
                progress.synced = at;
            }
            news
        });
    }

    /// Of a cluster that cannot be read: whether it is to be tried again, now that the database answers.
    pub(super) fn is_to_be_tried(&self) -> Option<bool> {
        self.lock().as_ref().map(|away| away.error.is_transient() || away.tried.elapsed() >= RETRY)
    }

    /// Marks the cluster as unreadable: until it is readable, calls fail at once. `name` is given if the log must report it.
    pub(super) fn lose(&self, queue: &Queue, name: Option<&str>, error: &StoreError) {
        let mut away = self.lock();
        if away.is_none() {
            gauge!(telemetry::CLUSTERS_AWAY).increment(1.0);
        }
        let told = away.as_ref().is_some_and(|away| away.told);
        if let Some(cluster) = name.filter(|_| !told) {
            if error.is_transient() {
                tracing::warn!(cluster, %error, "the database cannot be used; deciding on from the last snapshot");
            } else {
                tracing::error!(cluster, %error, "the cluster cannot be read; deciding on from its last snapshot");
            }
        }
        let now = Instant::now();
        let since = away.as_ref().map_or(now, |away| away.since);
        *away = Some(Away { since, tried: now, error: error.clone(), told: told || name.is_some() });
        drop(away);
        queue.refuse(error);
    }

    /// The cluster can be read.
    pub(super) fn recover(&self, queue: &Queue, name: &str) {
        if let Some(away) = self.lock().take() {
            queue.admit();
            gauge!(telemetry::CLUSTERS_AWAY).decrement(1.0);
            histogram!(telemetry::OUTAGE_DURATION).record(away.since.elapsed());
            if away.told {
                tracing::info!(cluster = name, "the cluster can be read again");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Away>> {
        // It is whole after any panic: each change of it is one assignment.
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        if self.lock().is_some() {
            gauge!(telemetry::CLUSTERS_AWAY).decrement(1.0);
        }
    }
}
