//! The live cache: takes the store's change feed in, gives snapshots out, and commits what was decided on them.
//!
//! Each cluster that is asked about has one keeper task. It reads the feed from the last revision it has seen, applies
//! what changed to its working copy and publishes a new [`View`], atomically, once it has reached the store's head.
//! Readers load the newest view without a lock and keep it as long as their request lasts.
//!
//! Writes go through the keeper as well ([`Clusters::commit`]): it takes what is queued as one transaction, binds first,
//! and judges each bind at the commit by the whole filter on the state that it is written to, the earlier binds of the
//! batch included. Callers are answered when their write is durable and published here.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::{sync::watch, task::AbortHandle, time::Instant};

use self::queue::{Queue, Waiting};
use crate::{
    core::policy::Profile,
    store::{Atomicity, Call, Change, Commit, ListQuery, Outcome, Precondition, Store, StoreError, Write},
    wire::{
        extender::KnownNodes,
        reservation::{self, Stored},
    },
};

mod draft;
mod error;
mod follow;
mod in_flight;
mod keeper;
mod queue;
mod rehearsal;
mod reserved;
pub mod upkeep;
mod view;

pub use error::CommitError;
pub use in_flight::{InFlight, Remembering};
pub use queue::Judgement;
pub use view::{ActivePolicy, BUILT_IN, View};

/// The cluster that paths without a prefix mean.
pub const DEFAULT_CLUSTER: &str = "default";

/// How many calls may wait to be written to a cluster, unless told.
const MOST_WAITING: usize = 4_096;

/// All live clusters of one store. Clones are the same.
#[derive(Clone, Debug)]
pub struct Clusters {
    store: Arc<dyn Store>,
    poll: Duration,
    most_waiting: usize,
    remembering: Remembering,
    live: Arc<Mutex<BTreeMap<String, Arc<Cluster>>>>,
}

/// One cluster, kept up to date.
#[derive(Debug)]
pub struct Cluster {
    view: Arc<ArcSwap<View>>,
    progress: watch::Receiver<Progress>,
    queue: Arc<Queue>,
    keeper: AbortHandle,
    known_nodes: Arc<KnownNodes>,
    in_flight: Arc<InFlight>,
}

/// How far a keeper has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The revision of the newest view.
    pub revision: u64,
    /// When the view was last known to be the store's head.
    pub synced: Instant,
}

impl Clusters {
    /// No cluster is kept until it is asked for. `poll` is how often the feed is read when nothing hints at a change.
    pub fn new(store: Arc<dyn Store>, poll: Duration) -> Self {
        Self { store, poll, most_waiting: MOST_WAITING, remembering: Remembering::default(), live: Arc::default() }
    }

    /// The same with at most so many calls waiting to be written to each cluster.
    #[must_use]
    pub fn with_most_waiting(self, most_waiting: usize) -> Self {
        Self { most_waiting, ..self }
    }

    /// The same where the extender verbs remember this between calls.
    #[must_use]
    pub fn with_remembering(self, remembering: Remembering) -> Self {
        Self { remembering, ..self }
    }

    /// The database.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The live cluster of this name, caught up with the store when it is first asked for. A cluster that the store does
    /// not know has nothing in it and is not kept until something is written to it.
    pub async fn get(&self, name: &str) -> Result<Arc<Cluster>, StoreError> {
        if let Some(cluster) = self.followed(name) {
            return Ok(cluster);
        }
        if self.store.head(name).await?.revision == 0 && name != DEFAULT_CLUSTER {
            return Ok(Arc::new(Cluster::empty()));
        }
        self.keep(name).await
    }

    /// Writes a call, together with others that wait at the time. Resolves when it is durable and this replica's view
    /// shows it; a cluster that is not there comes to be. Binds are judged by `judged_by` or, where that is `None`, by
    /// the policy in force at the commit. When the future is dropped, the call may or may not be written.
    ///
    /// # Errors
    /// [`CommitError`]. A refused write is none: its [`Outcome`] tells.
    pub async fn commit(
        &self,
        cluster: &str,
        call: Call,
        judged_by: Option<Arc<Profile>>,
    ) -> Result<Commit, CommitError> {
        self.commit_judged(cluster, call, Judgement { profile: judged_by, ..Judgement::default() }).await
    }

    /// The same where more is known of the binds.
    ///
    /// # Errors
    /// As for [`Self::commit`].
    pub async fn commit_judged(&self, cluster: &str, call: Call, judgement: Judgement) -> Result<Commit, CommitError> {
        let kept = match self.followed(cluster) {
            Some(kept) => kept,
            None => self.keep(cluster).await?,
        };
        let commit = kept.commit(call, judgement).await?;
        if commit.revision == 0 && cluster != DEFAULT_CLUSTER {
            self.forget(cluster, &kept);
        }
        Ok(commit)
    }

    /// Deletes the reservations, of all clusters, whose time was over at `now`; how many there were. One replica at a
    /// time is enough.
    pub async fn expire(&self, now: Timestamp) -> Result<usize, CommitError> {
        let mut expired = 0;
        for cluster in self.store.clusters().await? {
            let reservations = self.store.list(&cluster, &ListQuery::all(reservation::KIND)).await?.items;
            let lapsed =
                reservations.into_iter().filter(|r| Stored::parse(&r.body).map_or(true, |s| s.has_lapsed(now)));
            let delete = |record: crate::store::Record| Write {
                precondition: Precondition::revision(record.revision),
                key: record.key,
                change: Change::Delete,
            };
            let writes: Vec<Write> = lapsed.map(delete).collect();
            if !writes.is_empty() {
                let commit = self.commit(&cluster, Call { writes, atomicity: Atomicity::Each }, None).await?;
                expired += commit.outcomes.iter().filter(|o| matches!(o, Outcome::Deleted { .. })).count();
            }
        }
        Ok(expired)
    }

    /// The clusters that are kept, by name.
    pub fn live(&self) -> Vec<Arc<Cluster>> {
        self.lock().values().cloned().collect()
    }

    /// How long ago the view that has waited longest was last known to be the store's head.
    pub fn staleness(&self) -> Duration {
        self.live().iter().map(|c| c.progress().synced.elapsed()).max().unwrap_or_default()
    }

    /// The live cluster of this name, if it is kept.
    pub fn followed(&self, name: &str) -> Option<Arc<Cluster>> {
        self.lock().get(name).filter(|cluster| cluster.is_kept()).cloned()
    }

    async fn keep(&self, name: &str) -> Result<Arc<Cluster>, StoreError> {
        let mut started = keeper::start(self.store.clone(), name, self.poll, self.most_waiting).await?;
        started.in_flight = Arc::new(InFlight::new(&self.remembering));
        let started = Arc::new(started);
        // Two first questions at once both load; one of the two is kept, the other's keeper ends with it.
        let mut live = self.lock();
        let kept = live.entry(name.to_owned()).or_insert_with(|| started.clone());
        if !kept.is_kept() {
            *kept = started;
        }
        Ok(kept.clone())
    }

    /// Keeps a cluster no longer in which nothing came to be, unless another caller has it as well: what that one writes
    /// is to be seen here.
    fn forget(&self, name: &str, kept: &Arc<Cluster>) {
        let mut live = self.lock();
        let is_kept = live.get(name).is_some_and(|known| Arc::ptr_eq(known, kept));
        // The map's and this caller's.
        if is_kept && Arc::strong_count(kept) == 2 {
            live.remove(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Cluster>>> {
        // The map is whole after any panic: each change of it is one call.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster {
    fn empty() -> Self {
        let (_, progress) = watch::channel(Progress { revision: 0, synced: Instant::now() });
        let keeper = tokio::spawn(async {}).abort_handle();
        let (known_nodes, in_flight) = (Arc::default(), Arc::default());
        Self { view: Arc::default(), progress, queue: Arc::new(Queue::new(0)), keeper, known_nodes, in_flight }
    }

    /// Whether its keeper has not ended.
    fn is_kept(&self) -> bool {
        !self.keeper.is_finished()
    }

    /// The newest view. A request takes one at the door and uses it to its end.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// How far the keeper has come.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// The nodes that clients have sent in full, which are no part of the cluster's state.
    pub fn known_nodes(&self) -> &Arc<KnownNodes> {
        &self.known_nodes
    }

    /// What the extender verbs remember between calls, which is no part of the cluster's state.
    pub fn in_flight(&self) -> &Arc<InFlight> {
        &self.in_flight
    }

    /// Tells of every newer view.
    pub fn subscribe(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Waits until the view has reached a revision, reading the feed at once if need be. `false` when `within` has
    /// passed before.
    pub async fn reached(&self, revision: u64, within: Duration) -> bool {
        if self.progress().revision >= revision {
            return true;
        }
        self.queue.nudge();
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|p| p.revision >= revision);
        matches!(tokio::time::timeout(within, reached).await, Ok(Ok(_)))
    }

    async fn commit(&self, call: Call, judgement: Judgement) -> Result<Commit, CommitError> {
        let (waiting, answer) = Waiting::new(call, judgement);
        self.queue.push(waiting)?;
        answer.await.unwrap_or_else(|_| Err(StoreError::OutcomeUnknown("the cluster's keeper ended".into()).into()))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.keeper.abort();
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
