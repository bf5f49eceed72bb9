//! The live cache: takes the store's change feed in, gives snapshots out.
//!
//! Each cluster that is asked about has one follower task. It reads the feed from the last revision it has seen, applies
//! what changed to its working copy and publishes a new [`View`], atomically, once it has reached the store's head.
//! Readers load the newest view without a lock and keep it as long as their request lasts.
//!
//! The feed is the only way in: a write of this very process comes back through it like any other, so what a replica
//! decides on never depends on who wrote.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{sync::watch, task::AbortHandle, time::Instant};

use crate::store::{Store, StoreError};

mod follow;
pub mod upkeep;
mod view;

pub use view::{ActivePolicy, View};

/// The cluster that paths without a prefix mean.
pub const DEFAULT_CLUSTER: &str = "default";

/// All live clusters of one store. Clones are the same.
#[derive(Clone, Debug)]
pub struct Clusters {
    store: Arc<dyn Store>,
    poll: Duration,
    live: Arc<Mutex<HashMap<String, Arc<Cluster>>>>,
}

/// One cluster, kept up to date.
#[derive(Debug)]
pub struct Cluster {
    view: Arc<ArcSwap<View>>,
    progress: watch::Receiver<Progress>,
    follower: AbortHandle,
}

/// How far a follower has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The revision of the newest view.
    pub revision: u64,
    /// When the view was last known to be the store's head.
    pub synced: Instant,
}

impl Clusters {
    /// No cluster is followed until it is asked for. `poll` is how often the feed is read when nothing hints at a change.
    pub fn new(store: Arc<dyn Store>, poll: Duration) -> Self {
        Self { store, poll, live: Arc::default() }
    }

    /// The live cluster of this name, caught up with the store when it is first asked for. A cluster that the store does
    /// not know has nothing in it and is not followed until something is written to it.
    pub async fn get(&self, name: &str) -> Result<Arc<Cluster>, StoreError> {
        if let Some(cluster) = self.lock().get(name) {
            return Ok(cluster.clone());
        }
        if self.store.head(name).await?.revision == 0 && name != DEFAULT_CLUSTER {
            return Ok(Arc::new(Cluster::empty()));
        }
        let started = Arc::new(follow::start(self.store.clone(), name, self.poll).await?);
        // Two first questions at once both load; one of the two is kept, the other's follower ends with it.
        Ok(self.lock().entry(name.to_owned()).or_insert(started).clone())
    }

    /// The clusters that are followed.
    pub fn live(&self) -> Vec<Arc<Cluster>> {
        self.lock().values().cloned().collect()
    }

    /// How long ago the view that has waited longest was last known to be the store's head.
    pub fn staleness(&self) -> Duration {
        self.live().iter().map(|c| c.progress().synced.elapsed()).max().unwrap_or_default()
    }

    /// The live cluster of this name, if it was asked for before.
    pub fn followed(&self, name: &str) -> Option<Arc<Cluster>> {
        self.lock().get(name).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Cluster>>> {
        // The map is whole after any panic: each change of it is one call.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster {
    fn empty() -> Self {
        let (_, progress) = watch::channel(Progress { revision: 0, synced: Instant::now() });
        Self { view: Arc::default(), progress, follower: tokio::spawn(async {}).abort_handle() }
    }

    /// The newest view. A request takes one at the door and uses it to its end.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// How far the follower has come.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Waits until the view has reached a revision: a writer that then decides reads its own write. `false` when
    /// `within` has passed before.
    pub async fn reached(&self, revision: u64, within: Duration) -> bool {
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|p| p.revision >= revision);
        matches!(tokio::time::timeout(within, reached).await, Ok(Ok(_)))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{self, Atomicity, Change, Key, Precondition, Write};

    const WITHIN: Duration = Duration::from_secs(30);

    async fn store() -> Arc<dyn Store> {
        let store = store::open("sqlite::memory:", &store::Options::default()).await.expect("an empty database opens");
        store.migrate().await.expect("and migrates");
        store
    }

    fn write(kind: &str, namespace: &str, name: &str, change: Change) -> Write {
        Write { key: Key::new(kind, namespace, name), precondition: Precondition::default(), change }
    }

    fn put(body: &str) -> Change {
        Change::Put { body: body.to_owned().into(), uid: "1".into(), node: None }
    }

    async fn commit(store: &Arc<dyn Store>, writes: Vec<Write>) -> u64 {
        store.commit("prod", writes, Atomicity::AllOrNothing).await.expect("the store writes").revision
    }

    #[tokio::test]
    async fn what_is_committed_reaches_the_view_in_one_step_per_revision() {
        let store = store().await;
        let node = r#"{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"4","pods":"10"}}}"#;
        commit(&store, vec![write("nodes", "", "a", put(node))]).await;
        let clusters = Clusters::new(store.clone(), Duration::from_hours(1));
        let cluster = clusters.get("prod").await.expect("the cluster loads");
        assert_eq!(cluster.view().snapshot.node_count(), 1, "caught up before the first answer");

        let pod = r#"{"metadata":{"name":"p","namespace":"shop"},"spec":{"containers":[]}}"#;
        commit(&store, vec![write("pods", "shop", "p", put(pod))]).await;
        let bound = commit(&store, vec![write("pods", "shop", "p", Change::SetNode(Some("a".into())))]).await;
        assert!(cluster.reached(bound, WITHIN).await, "the hint wakes the follower; the poll is an hour away");
        let view = cluster.view();
        assert_eq!(view.snapshot.revision, bound);
        assert!(view.snapshot.node("a").is_some_and(|n| n.pods.len() == 1), "the column binds, not the body");

        let deleted = commit(&store, vec![write("pods", "shop", "p", Change::Delete)]).await;
        assert!(cluster.reached(deleted, WITHIN).await);
        assert_eq!(cluster.view().snapshot.pod_count(), 0);
        assert_eq!(view.snapshot.pod_count(), 1, "a view taken before stays as it was");
    }

    #[tokio::test]
    async fn a_cluster_that_nobody_wrote_to_is_empty_and_not_kept() {
        let clusters = Clusters::new(store().await, Duration::from_hours(1));
        let cluster = clusters.get("typo").await.expect("an unknown name is no error");
        assert_eq!(cluster.view().snapshot.node_count(), 0);
        assert!(clusters.live().is_empty());
    }

    #[tokio::test]
    async fn a_body_that_cannot_be_read_counts_as_absent() {
        let store = store().await;
        commit(&store, vec![write("nodes", "", "a", put("not json"))]).await;
        let clusters = Clusters::new(store, Duration::from_hours(1));
        assert_eq!(clusters.get("prod").await.expect("the cluster loads").view().snapshot.node_count(), 0);
    }
}
