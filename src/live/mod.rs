//! The live cache: takes the store's change feed in, gives snapshots out, and commits decisions.
//!
//! Each cluster in use has one writer task. It reads the feed from the last revision it has seen, applies the changes to its working copy and
//! publishes a new [`View`], atomically, once it has reached the store's head. Readers load the newest view without a lock and keep it for
//! their request. One watcher for all clusters wakes a writer when its cluster's head has moved, and releases unused clusters.
//!
//! Writes go through the writer as well ([`Clusters::commit`]). It takes the queued calls as one transaction, binds first, and judges each bind
//! at the commit by the whole filter on the state that it is written to, including the earlier binds of the batch. A caller gets the reply when
//! its write is durable and published here.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinHandle},
    time::{Instant, sleep},
};

use self::{
    fleet::Place,
    forked::Forked,
    journal::{Journal, Watch, WatchError},
    queue::{Queue, Waiting},
    registry::Registry,
    status::Status,
};
use crate::{
    clock,
    core::policy::Profile,
    store::{
        Atomicity, Call, Change, Commit, Everywhere, Head, Outcome, Precondition, Record, Storage, StoreError, Write,
    },
    wire::{
        extender::KnownNodes,
        fork::Stored as Fork,
        reservation::{self, Stored},
    },
};

pub mod access;
mod draft;
mod error;
pub mod fleet;
pub mod follow;
pub mod fork;
mod forked;
#[cfg(test)]
mod gated;
mod in_flight;
pub mod journal;
mod judgement;
mod pace;
mod parsed;
pub mod past;
mod queue;
mod reader;
mod registry;
mod rehearsal;
mod reserved;
mod status;
pub mod upkeep;
mod view;
mod writer;

pub use error::CommitError;
pub use in_flight::{InFlight, Remembering};
pub use judgement::Judgement;
pub use pace::SLOWEST as SLOWEST_POLL;
pub use parsed::{Validated, validate};
pub use status::Progress;
pub use view::{ActivePolicy, BUILT_IN, View};

/// The cluster that paths without a prefix mean.
pub const DEFAULT_CLUSTER: &str = "default";

/// The cluster whose roles and bindings count in all clusters, and which has the tokens.
pub const SYSTEM_CLUSTER: &str = "podberth-system";

/// The default interval of reading the heads of all clusters.
const POLL: Duration = Duration::from_millis(250);

/// Delay before a panicked writer is replaced if no request comes sooner, and between two attempts.
const REPLACED_AFTER: Duration = Duration::from_secs(1);

/// All live clusters of one store. Clones share them.
#[derive(Clone, Debug)]
pub struct Clusters {
    store: Arc<dyn Storage>,
    limits: Limits,
    remembering: Remembering,
    registry: Arc<Registry>,
}

/// The bounds of the clusters in memory.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Interval of reading the heads of all clusters, besides hints.
    pub poll: Duration,
    /// The longest such interval while hints tell of all changes.
    pub longest_poll: Duration,
    /// How many calls may wait to be written to a cluster.
    pub most_waiting: usize,
    /// Time without requests after which a cluster is released; the default one stays.
    pub release_after: Duration,
    /// How many clusters are kept in memory, besides those in use.
    pub most_live: usize,
    /// The clusters that may be made; `None`: any.
    pub names: Option<Arc<BTreeSet<String>>>,
    /// The bounds of each policy's past revisions.
    pub policies: PolicyHistory,
    /// The bounds of watches.
    pub watches: Watches,
}

/// The bounds of watches.
#[derive(Clone, Copy, Debug)]
pub struct Watches {
    /// Watches at once.
    pub most: usize,
    /// Events kept of each kind in each cluster.
    pub kept: journal::Bounds,
}

impl Default for Watches {
    fn default() -> Self {
        Self { most: 10_000, kept: journal::Bounds::default() }
    }
}

/// The bounds of a policy's past revisions, besides the one in force.
#[derive(Clone, Copy, Debug)]
pub struct PolicyHistory {
    /// Revisions at most.
    pub revisions: usize,
    /// Their texts together, in bytes.
    pub bytes: usize,
    /// For how long after a revision came into force.
    pub age: Duration,
}

impl Default for PolicyHistory {
    fn default() -> Self {
        Self { revisions: 20, bytes: 4 << 20, age: Duration::from_hours(90 * 24) }
    }
}

impl PolicyHistory {
    /// `true` if a time, RFC 3339, is too long ago; `false` if it cannot be read.
    pub fn is_too_old(&self, created_at: &str, now: Timestamp) -> bool {
        let age = created_at.parse::<Timestamp>().map(|then| now.duration_since(then));
        age.is_ok_and(|age| Duration::try_from(age).is_ok_and(|age| age > self.age))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            poll: POLL,
            longest_poll: POLL * pace::SLOWEST,
            most_waiting: 4_096,
            release_after: Duration::from_hours(1),
            most_live: 1_000,
            names: None,
            policies: PolicyHistory::default(),
            watches: Watches::default(),
        }
    }
}

/// One cluster, kept up to date.
#[derive(Debug)]
pub struct Cluster {
    view: Arc<ArcSwap<View>>,
    status: Arc<Status>,
    queue: Arc<Queue>,
    /// `None`: nothing is to be kept.
    writer: Option<AbortHandle>,
    /// `None`: nothing is to be kept.
    journal: Option<Arc<Journal>>,
    known_nodes: Arc<KnownNodes>,
    in_flight: Arc<InFlight>,
    /// `None` for a cluster that is no fork.
    fork: Option<Fork>,
}

impl Clusters {
    /// No cluster is loaded until the first request for it.
    pub fn new(store: Arc<dyn Storage>, poll: Duration) -> Self {
        Self::limited(store, Limits { poll, ..Limits::default() })
    }

    /// Like [`Self::new`], with limits.
    pub fn limited(store: Arc<dyn Storage>, limits: Limits) -> Self {
        let store = Arc::new(Forked::new(store));
        Self { store, limits, remembering: Remembering::default(), registry: Arc::default() }
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Sets the times for which the extender verbs keep victims and assumed pods.
    #[must_use]
    pub fn with_remembering(self, remembering: Remembering) -> Self {
        Self { remembering, ..self }
    }

    /// The database, with the forks that are kept in it.
    pub fn store(&self) -> &Arc<dyn Storage> {
        &self.store
    }

    /// The live cluster of this name, caught up with the store at the first request. A cluster that the store does not have is empty, and is not
    /// kept until something is written to it.
    pub async fn get(&self, name: &str) -> Result<Arc<Cluster>, StoreError> {
        if let Some(cluster) = self.followed(name) {
            return Ok(cluster);
        }
        if self.store.head(name).await?.revision == 0 && !stays(name) {
            return Ok(Arc::new(Cluster::empty(&Place::new(name, self.registry.fleet()))));
        }
        self.keep(name).await
    }

    /// Commits a call, in one batch with others that are queued. Resolves when it is durable and this replica's view shows it; a missing cluster is
    /// created. Binds are judged by `judged_by` or, if that is `None`, by the policy in force at the commit. If the future is dropped, the call may
    /// or may not be written.
    ///
    /// # Errors
    /// [`CommitError`]. A refused write is not an error: its [`Outcome`] has the reason.
    pub async fn commit(
        &self,
        cluster: &str,
        call: Call,
        judged_by: Option<Arc<Profile>>,
    ) -> Result<Commit, CommitError> {
        self.commit_judged(cluster, call, Judgement { profile: judged_by, ..Judgement::default() }).await
    }

    /// Like [`Self::commit`], if more is known of the binds.
    ///
    /// # Errors
    /// As for [`Self::commit`].
    pub async fn commit_judged(&self, cluster: &str, call: Call, judgement: Judgement) -> Result<Commit, CommitError> {
        let kept = if let Some(kept) = self.followed(cluster) {
            kept
        } else {
            self.check_may_be_made(cluster).await?;
            self.keep(cluster).await?
        };
        let commit = kept.commit(call, judgement).await.map_err(|error| self.of_fork(cluster, &kept, error))?;
        if commit.revision == 0 && !stays(cluster) {
            self.registry.forget_unused(cluster, &kept);
        }
        Ok(commit)
    }

    /// The error of a commit. A fork that is not there any more, or another one by now, begins anew with the next request for it.
    fn of_fork(&self, cluster: &str, kept: &Arc<Cluster>, error: CommitError) -> CommitError {
        let Some((_, name)) = fork::split(cluster) else { return error };
        let error = match error {
            CommitError::Store(StoreError::HistoryLost { .. }) => {
                StoreError::Gone(format!("the fork {name:?} was made again meanwhile: try again")).into()
            }
            error @ CommitError::Store(StoreError::Gone(_)) => error,
            error => return error,
        };
        self.registry.remove_if(cluster, |found| Arc::ptr_eq(found, kept));
        error
    }

    /// Refuses to create a cluster that is not allowed. An existing cluster may have any name.
    ///
    /// # Errors
    /// [`CommitError::NotAllowed`], and those of the store.
    pub async fn check_may_be_made(&self, name: &str) -> Result<(), CommitError> {
        let Some(names) = &self.limits.names else { return Ok(()) };
        let is_own = matches!(name, DEFAULT_CLUSTER | SYSTEM_CLUSTER);
        let may = is_own || names.contains(name) || self.store.head(name).await?.revision > 0;
        if may { Ok(()) } else { Err(CommitError::NotAllowed { cluster: name.to_owned() }) }
    }

    /// Begins a watch. A cluster that the store does not have is kept for as long as it is watched.
    ///
    /// # Errors
    /// [`WatchError`]
    pub async fn watch(&self, name: &str, ask: journal::Ask) -> Result<Watch, WatchError> {
        let (permit, stop) = self.registry.admit_watch(self.limits.watches.most)?;
        let cluster = match self.followed(name) {
            Some(cluster) => cluster,
            None => self.keep(name).await?,
        };
        match ask.from {
            journal::From::State(revision) | journal::From::Now(revision) => {
                cluster.reached(revision, ask.within).await;
            }
            // The feed is read at once; the watch itself waits for it.
            journal::From::After(revision) => cluster.nudge(revision),
        }
        Watch::begin(cluster, &*self.store, ask, stop, permit).await
    }

    /// Ends all watches, and those that begin later at once: the server stops.
    pub fn end_watches(&self) {
        self.registry.end_watches();
    }

    /// Releases clusters of others that were not asked for in a time; their watches end first.
    pub fn let_go(&self, after: Duration, is_of_others: impl Fn(&str) -> bool) {
        self.registry.let_go(after, is_of_others);
    }

    /// Removes a cluster with everything that is kept of it, and its forks; whether it was there.
    pub async fn remove(&self, name: &str) -> Result<bool, StoreError> {
        let removed = self.store.remove(name).await?;
        self.registry.remove_if(name, |_| true);
        self.remove_forks_of(name).await?;
        Ok(removed)
    }

    /// Deletes the reservations, of all clusters, whose time is over by the database's clock, and the forks; how many reservations there were. One
    /// replica at a time is enough. A cluster of which this cannot be done keeps no other's.
    pub async fn expire(&self) -> Result<usize, StoreError> {
        let Everywhere { now, found } = self.store.everywhere(reservation::KIND).await?;
        let mut lapsed = BTreeMap::<String, Vec<Write>>::new();
        for (cluster, record) in found {
            match record {
                Ok(record) if Stored::parse(&record.body).map_or(true, |stored| stored.has_lapsed(now)) => {
                    lapsed.entry(cluster).or_default().push(delete(record));
                }
                Ok(_) => {}
                Err(error) => tracing::error!(cluster, %error, "a reservation cannot be read"),
            }
        }
        let mut expired = 0;
        for (cluster, writes) in lapsed {
            match self.store.commit(&cluster, writes, Atomicity::Each).await {
                Ok(Commit { outcomes, .. }) => {
                    expired += outcomes.iter().filter(|o| matches!(o, Outcome::Deleted { .. })).count();
                }
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                Err(error) => tracing::error!(cluster, %error, "reservations whose time is over cannot be deleted"),
            }
        }
        self.remove_expired_forks(now).await?;
        Ok(expired)
    }

    /// The database's time, which measures all periods: the clocks of replicas may be wrong.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        match self.registry.time() {
            Some(time) => Ok(time),
            None => Ok(self.store.heads(&[]).await?.now),
        }
    }

    /// The fork that a cluster in memory is. It is there as long as its record: a replica that did not remove it lets go of it soon after.
    pub fn fork_in_memory(&self, name: &str) -> Option<Fork> {
        self.followed(name)?.fork.clone()
    }

    /// The database's time as it was last read, and the time since: also while the database is away.
    pub fn time_by_last_contact(&self) -> Timestamp {
        self.registry.time_by_last_contact().unwrap_or_else(clock::now)
    }

    /// The clusters that are kept, by name.
    pub fn live(&self) -> Vec<Arc<Cluster>> {
        self.registry.all()
    }

    /// Time since the database last reported the heads; for one cluster, see [`Cluster::progress`].
    pub fn staleness(&self) -> Duration {
        self.registry.staleness()
    }

    /// The live cluster of this name, if it is kept.
    pub fn followed(&self, name: &str) -> Option<Arc<Cluster>> {
        self.registry.get(name).filter(|cluster| cluster.is_kept())
    }

    /// Like [`Self::followed`], but it does not count as a request for the cluster, which may be released all the same.
    pub fn peek(&self, name: &str) -> Option<Arc<Cluster>> {
        self.registry.peek(name).filter(|cluster| cluster.is_kept())
    }

    async fn keep(&self, name: &str) -> Result<Arc<Cluster>, StoreError> {
        self.registry.watch(&self.store, &self.limits);
        let turn = self.registry.turn(name);
        let _turn = turn.lock().await;
        if let Some(kept) = self.followed(name) {
            return Ok(kept);
        }
        let origin = self.origin(name).await?;
        let bounds = (self.limits.most_waiting, self.limits.watches.kept);
        let fork = origin.as_ref().map(|origin| origin.fork.clone());
        let (mut started, running) =
            writer::start(self.store.clone(), name, origin, Place::new(name, self.registry.fleet()), bounds).await?;
        started.fork = fork;
        started.in_flight = Arc::new(InFlight::new(&self.remembering));
        let started = Arc::new(started);
        self.registry.insert(name, &started, self.limits.most_live);
        // Hints during the load had no receiver.
        started.nudge(u64::MAX);
        self.supervise(name, running);
        Ok(started)
    }

    /// Replaces a writer that panics, even without a request for its cluster.
    fn supervise(&self, name: &str, running: JoinHandle<()>) {
        let (registry, name) = (Arc::downgrade(&self.registry), name.to_owned());
        let (store, limits, remembering) = (self.store.clone(), self.limits.clone(), self.remembering.clone());
        tokio::spawn(async move {
            if !writer::has_panicked(&name, running).await {
                return;
            }
            // What it panicked at may be there still.
            sleep(REPLACED_AFTER).await;
            while let Some(registry) = registry.upgrade() {
                let clusters =
                    Self { store: store.clone(), limits: limits.clone(), remembering: remembering.clone(), registry };
                match clusters.get_boxed(&name).await {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(cluster = name, %error, "the cluster cannot be loaded again yet"),
                }
                drop(clusters);
                sleep(REPLACED_AFTER).await;
            }
        });
    }

    /// [`Self::get`] as a boxed future, so that it can call itself.
    fn get_boxed<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>> {
        Box::pin(async move { self.get(name).await.map(drop) })
    }
}

/// `true` for clusters that are kept without requests, and before anything is written to them.
fn stays(name: &str) -> bool {
    matches!(name, DEFAULT_CLUSTER | SYSTEM_CLUSTER)
}

/// Deletes an object as it was read.
fn delete(record: Record) -> Write {
    let precondition = Precondition::revision(record.revision);
    Write { key: record.key, precondition, change: Change::Delete }
}

impl Cluster {
    fn empty(place: &Place) -> Self {
        let status = Arc::new(Status::new(Head::default()));
        let (known_nodes, in_flight) = (Arc::default(), Arc::default());
        let queue = Arc::new(Queue::new(0));
        let view = Arc::new(ArcSwap::from_pointee(View::default().at(place)));
        Self { view, status, queue, writer: None, journal: None, known_nodes, in_flight, fork: None }
    }

    /// `true` if its writer has not ended.
    fn is_kept(&self) -> bool {
        !self.has_ended()
    }

    /// The newest view. A request takes one at the door and uses it to its end.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The recent changes; `None` for a cluster that is not kept.
    pub fn journal(&self) -> Option<&Arc<Journal>> {
        self.journal.as_ref()
    }

    /// How far the writer has come.
    pub fn progress(&self) -> Progress {
        *self.status.progress.borrow()
    }

    /// Why the cluster cannot be read at the moment, if so.
    pub fn trouble(&self) -> Option<StoreError> {
        self.status.trouble()
    }

    /// How many changes wait to be written: binds, others.
    pub fn waiting(&self) -> (usize, usize) {
        self.queue.lengths()
    }

    /// The nodes that clients have sent in full, which are no part of the cluster's state.
    pub fn known_nodes(&self) -> &Arc<KnownNodes> {
        &self.known_nodes
    }

    /// Victims and assumed pods of the extender verbs, which are no part of the cluster's state.
    pub fn in_flight(&self) -> &Arc<InFlight> {
        &self.in_flight
    }

    /// A receiver that is notified of every newer view.
    pub fn subscribe(&self) -> watch::Receiver<Progress> {
        self.status.progress.subscribe()
    }

    /// Waits until the view has reached a revision, reading the feed at once if need be. `false` when `within` has
    /// passed before.
    pub async fn reached(&self, revision: u64, within: Duration) -> bool {
        if self.progress().revision >= revision {
            return true;
        }
        self.nudge(revision);
        let mut progress = self.subscribe();
        let reached = progress.wait_for(|p| p.revision >= revision);
        matches!(tokio::time::timeout(within, reached).await, Ok(Ok(_)))
    }

    async fn commit(&self, call: Call, judgement: Judgement) -> Result<Commit, CommitError> {
        let (waiting, answer) = Waiting::new(call, judgement);
        self.queue.push(waiting)?;
        answer.await.unwrap_or_else(|_| Err(StoreError::OutcomeUnknown("the cluster's writer ended".into()).into()))
    }
}

/// For the watcher.
impl Cluster {
    /// Makes the writer read the feed unless the view has reached a revision; `u64::MAX`: in any case.
    fn nudge(&self, revision: u64) {
        self.queue.nudge(revision);
    }

    /// The view was the store's head at a time.
    fn in_step(&self, head: &Head, at: Instant) {
        self.status.in_step(head, at);
    }

    /// Where it cannot be read: whether it is to be tried again.
    fn is_to_be_tried(&self) -> Option<bool> {
        self.status.is_to_be_tried()
    }

    /// Marks this cluster as unreadable, while others are readable.
    fn lose(&self, name: &str, error: &StoreError) {
        self.status.lose(&self.queue, Some(name), error);
    }

    /// Marks this cluster as unreadable together with all others, which is logged once for all.
    fn lose_with_all(&self, error: &StoreError) {
        self.status.lose(&self.queue, None, error);
    }

    /// `true` if its writer has ended, which it does only by a fault.
    fn has_ended(&self) -> bool {
        self.writer.as_ref().is_some_and(AbortHandle::is_finished)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.writer.iter().for_each(AbortHandle::abort);
    }
}

#[cfg(test)]
mod tests;
