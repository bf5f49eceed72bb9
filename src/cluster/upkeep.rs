//! What has to be done now and then, by one process for all: each job is run by whoever holds its lease. Another process
//! takes over when the holder is gone, at the latest two turns later.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::{Clusters, CommitError};
use crate::store::{Keep, Store, StoreError};

/// The shortest lease: a holder that is slow for a while keeps it.
const SHORTEST_LEASE: Duration = Duration::from_secs(30);

/// Nothing is done more often.
const SHORTEST_TURN: Duration = Duration::from_secs(1);

/// Something to do now and then. Doing it twice at a time does no harm: a holder may take longer than its lease.
#[async_trait]
pub trait Job: Send + Sync {
    /// Names the lease, and the job in the log.
    fn name(&self) -> &'static str;

    /// How often.
    fn every(&self) -> Duration;

    /// Does it once.
    async fn run(&self, store: &dyn Store) -> Result<(), StoreError>;
}

/// Runs jobs until it is dropped.
#[derive(Debug)]
pub struct Upkeep {
    loops: Vec<AbortHandle>,
}

impl Upkeep {
    /// Starts a loop for each job. `holder` names this process.
    pub fn start(store: &Arc<dyn Store>, holder: Uuid, jobs: Vec<Box<dyn Job>>) -> Self {
        let start = |job: Box<dyn Job>| {
            let store = store.clone();
            let turns = async move {
                loop {
                    tokio::time::sleep(job.every().max(SHORTEST_TURN)).await;
                    if let Err(error) = turn(&*store, holder, &*job).await {
                        tracing::warn!(job = job.name(), %error, "upkeep could not be done; it is tried again");
                    }
                }
            };
            tokio::spawn(turns).abort_handle()
        };
        Self { loops: jobs.into_iter().map(start).collect() }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.loops.iter().for_each(AbortHandle::abort);
    }
}

/// Runs the job if this process has its lease; whether it has.
async fn turn(store: &dyn Store, holder: Uuid, job: &dyn Job) -> Result<bool, StoreError> {
    let ttl = job.every().saturating_mul(2).max(SHORTEST_LEASE);
    let ours = store.lease(job.name(), holder, ttl).await?;
    if ours {
        job.run(store).await?;
    }
    Ok(ours)
}

/// Removes from all clusters what need not be kept.
#[derive(Debug, Clone, Copy)]
pub struct Compact {
    /// How often.
    pub every: Duration,
    /// What is kept.
    pub keep: Keep,
}

#[async_trait]
impl Job for Compact {
    fn name(&self) -> &'static str {
        "compact"
    }

    fn every(&self) -> Duration {
        self.every
    }

    async fn run(&self, store: &dyn Store) -> Result<(), StoreError> {
        for cluster in store.clusters().await? {
            let done = store.compact(&cluster, &self.keep).await?;
            tracing::debug!(cluster, ?done, "compacted");
        }
        Ok(())
    }
}

/// Deletes the reservations whose time is over.
#[derive(Debug, Clone)]
pub struct Expire {
    /// How often.
    pub every: Duration,
    /// Whose reservations.
    pub clusters: Clusters,
    /// Tells the time.
    pub now: fn() -> Timestamp,
}

#[async_trait]
impl Job for Expire {
    fn name(&self) -> &'static str {
        "expire"
    }

    fn every(&self) -> Duration {
        self.every
    }

    async fn run(&self, _: &dyn Store) -> Result<(), StoreError> {
        match self.clusters.expire((self.now)()).await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "reservations have expired"),
            Err(CommitError::Store(error)) => return Err(error),
            Err(error @ CommitError::Overloaded { .. }) => return Err(StoreError::Busy(error.to_string())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::store::{self, Atomicity, Change, Key, Precondition, Write};

    async fn store() -> Arc<dyn Store> {
        let store = store::open("sqlite::memory:", &store::Options::default()).await.expect("an empty database opens");
        store.migrate().await.expect("and migrates");
        store
    }

    struct Count(Arc<AtomicUsize>);

    #[async_trait]
    impl Job for Count {
        fn name(&self) -> &'static str {
            "count"
        }

        fn every(&self) -> Duration {
            Duration::from_mins(1)
        }

        async fn run(&self, _: &dyn Store) -> Result<(), StoreError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }

    #[tokio::test]
    async fn the_holder_of_the_lease_does_the_job() {
        let count = Arc::new(AtomicUsize::new(0));
        let done = turn(&*store().await, Uuid::from_u128(1), &Count(count.clone())).await;
        assert_eq!((done, count.load(Ordering::SeqCst)), (Ok(true), 1));
    }

    #[tokio::test]
    async fn every_cluster_is_compacted() {
        let store = store().await;
        let write = |change| Write { key: Key::new("pods", "", "a"), precondition: Precondition::default(), change };
        for cluster in ["a", "b"] {
            let put = Change::Put { body: "1".into(), uid: "1".into(), node: None };
            let writes = vec![write(put), write(Change::Delete)];
            store.commit(cluster, writes, Atomicity::Each).await.expect("the store writes");
        }
        let keep = Keep { age: Duration::ZERO, revisions: 0 };
        Compact { every: Duration::ZERO, keep }.run(&*store).await.expect("compaction succeeds");
        for cluster in ["a", "b"] {
            assert_eq!(store.head(cluster).await.expect("the store answers").compact_revision, 2);
        }
    }
}
