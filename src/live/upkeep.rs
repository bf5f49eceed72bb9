//! Periodic jobs, each run by one process for all: the one that holds the job's lease. If the holder is gone, another process takes
//! over, at the latest two turns later.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::{Clusters, PolicyHistory, delete};
use crate::{
    store::{Atomicity, Keep, ListQuery, Storage, StoreError},
    wire::policy::revision::{self, Made},
};

/// The shortest lease: a holder that is slow for a while keeps it.
const SHORTEST_LEASE: Duration = Duration::from_secs(30);

/// Nothing is done more often.
const SHORTEST_TURN: Duration = Duration::from_secs(1);

/// Something to do now and then. Doing it twice at a time does no harm: a holder may take longer than its lease.
pub trait Job: Send + Sync {
    /// Names the lease, and the job in the log.
    fn name(&self) -> &'static str;

    /// How often.
    fn every(&self) -> Duration;

    /// Does it once.
    fn run<'a>(&'a self, store: &'a dyn Storage) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// Runs jobs until it is dropped.
#[derive(Debug)]
pub struct Upkeep {
    loops: Vec<AbortHandle>,
}

impl Upkeep {
    /// Starts a loop for each job. `holder` names this process.
    pub fn start(store: &Arc<dyn Storage>, holder: Uuid, jobs: Vec<Box<dyn Job>>) -> Self {
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
async fn turn(store: &dyn Storage, holder: Uuid, job: &dyn Job) -> Result<bool, StoreError> {
    let ttl = job.every().saturating_mul(2).max(SHORTEST_LEASE);
    let ours = store.lease(job.name(), holder, ttl).await?;
    if ours {
        job.run(store).await?;
    }
    Ok(ours)
}

/// Compacts all clusters.
#[derive(Debug, Clone, Copy)]
pub struct Compact {
    /// How often.
    pub every: Duration,
    /// The bounds of the history.
    pub keep: Keep,
}

impl Job for Compact {
    fn name(&self) -> &'static str {
        "compact"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn run<'a>(&'a self, store: &'a dyn Storage) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            for cluster in store.compactable(&self.keep).await? {
                match store.compact(&cluster, &self.keep).await {
                    Ok(done) => tracing::debug!(cluster, ?done, "compacted"),
                    Err(error @ StoreError::Unavailable(_)) => return Err(error),
                    // The others are not to suffer for it.
                    Err(error) => tracing::error!(cluster, %error, "the cluster cannot be compacted"),
                }
            }
            store.sweep(self.keep.age).await
        })
    }
}

/// Deletes the reservations whose time is over.
#[derive(Debug, Clone)]
pub struct Expire {
    /// How often.
    pub every: Duration,
    /// Whose reservations.
    pub clusters: Clusters,
}

impl Job for Expire {
    fn name(&self) -> &'static str {
        "expire"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn run<'a>(&'a self, _: &'a dyn Storage) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let count = self.clusters.expire().await?;
            if count > 0 {
                tracing::debug!(count, "reservations have expired");
            }
            Ok(())
        })
    }
}

/// Revisions of policies read at a time: each may be as large as a policy.
const REVISIONS: usize = 8;

/// Deletes the revisions of policies that are too old.
#[derive(Debug, Clone)]
pub struct ForgetPolicies {
    /// How often.
    pub every: Duration,
    /// The bounds of policy histories.
    pub keep: PolicyHistory,
    /// Whose policies.
    pub clusters: Clusters,
}

impl ForgetPolicies {
    async fn forget(&self, store: &dyn Storage, cluster: &str) -> Result<(), StoreError> {
        let now = self.clusters.now().await?;
        let mut query = ListQuery { limit: Some(REVISIONS), ..ListQuery::all(revision::HISTORY) };
        loop {
            let page = store.list(cluster, &query).await?;
            let Some(last) = page.items.last() else { return Ok(()) };
            query.after = Some((last.key.namespace.clone(), last.key.name.clone()));
            let is_old = |made: Made| self.keep.is_too_old(&made.created_at, now);
            let old = page.items.into_iter().filter(|record| Made::parse(&record.body).is_ok_and(is_old));
            let writes: Vec<_> = old.map(delete).collect();
            if !writes.is_empty() {
                store.commit(cluster, writes, Atomicity::Each).await?;
            }
        }
    }
}

impl Job for ForgetPolicies {
    fn name(&self) -> &'static str {
        "forget policies"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn run<'a>(&'a self, store: &'a dyn Storage) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            for cluster in store.having(revision::HISTORY).await? {
                match self.forget(store, &cluster).await {
                    Ok(()) => {}
                    Err(error @ StoreError::Unavailable(_)) => return Err(error),
                    Err(error) => {
                        tracing::error!(cluster, %error, "the history of its policies cannot be gone through");
                    }
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::store::{self, Atomicity, Change, Key, Precondition, Write};

    async fn store() -> Arc<dyn Storage> {
        let store = store::open("sqlite::memory:", &store::Options::default()).await.expect("an empty database opens");
        store.migrate().await.expect("and migrates");
        store
    }

    struct Count(Arc<AtomicUsize>);

    impl Job for Count {
        fn name(&self) -> &'static str {
            "count"
        }

        fn every(&self) -> Duration {
            Duration::from_mins(1)
        }

        fn run<'a>(&'a self, _: &'a dyn Storage) -> BoxFuture<'a, Result<(), StoreError>> {
            Box::pin(async move {
                self.0.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
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
