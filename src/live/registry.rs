//! The clusters in memory, and the one watcher task for them.
//!
//! A hint of the store names its cluster and wakes that cluster's writer. Because hints get lost, one statement reads the heads of all clusters
//! in memory from time to time, at a [`Pace`] that slows down while hints tell of all changes. A writer reads its feed only when its head has
//! moved. The reply to that statement also shows that the database is reachable.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use metrics::{counter, gauge};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch as channel},
    task::{AbortHandle, JoinError},
    time::{Instant, sleep},
};

use super::{
    Cluster, Limits, SYSTEM_CLUSTER,
    fleet::Fleet,
    fork,
    journal::WatchError,
    pace::{Pace, Round, Untold},
    past::Pasts,
    status::is_same,
    stays,
};
use crate::{
    store::{Head, Heads, Hint, Listener, Reach, Standing, Storage, Store, StoreError},
    telemetry,
};

/// Time for which the database's clock is extrapolated without asking it.
const TIME_HOLDS: Duration = Duration::from_secs(10);

/// Before a watcher that has ended is started again.
const RESTART: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Registry {
    kept: Mutex<BTreeMap<String, Kept>>,
    /// By name: the turn of those that load a cluster.
    loading: Mutex<BTreeMap<String, Weak<tokio::sync::Mutex<()>>>>,
    contact: Mutex<Contact>,
    watcher: OnceLock<AbortHandle>,
    watches: OnceLock<Arc<Semaphore>>,
    pasts: Pasts,
    fleet: Fleet,
    /// `true` once watches are to end.
    watches_end: channel::Sender<bool>,
}

#[derive(Debug)]
struct Kept {
    cluster: Arc<Cluster>,
    /// Time of the last request for it.
    asked: Instant,
    /// The newest revision that a hint has told of.
    told: u64,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(journal) = self.cluster.journal() {
            journal.close();
        }
    }
}

/// A kept cluster, and the head of its view at a moment. It may be released meanwhile.
struct Shown {
    name: String,
    cluster: Weak<Cluster>,
    head: Head,
}

/// The time of the last reply with the heads of all clusters, and the database's clock then.
#[derive(Clone, Copy, Debug)]
struct Contact {
    at: Instant,
    time: Option<Timestamp>,
}

impl Default for Registry {
    fn default() -> Self {
        let contact = Contact { at: Instant::now(), time: None };
        Self {
            kept: Mutex::default(),
            loading: Mutex::default(),
            contact: Mutex::new(contact),
            watcher: OnceLock::new(),
            watches: OnceLock::new(),
            pasts: Pasts::default(),
            fleet: Fleet::default(),
            watches_end: channel::Sender::new(false),
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.get() {
            watcher.abort();
        }
    }
}

// What the locks hold is whole after any panic: each change of it is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// The cluster of this name, if it is in memory. Counts as a request for it.
    pub(super) fn get(&self, name: &str) -> Option<Arc<Cluster>> {
        let mut kept = lock(&self.kept);
        let found = kept.get_mut(name)?;
        found.asked = Instant::now();
        Some(found.cluster.clone())
    }

    /// Like [`Self::get`], but no request.
    pub(super) fn peek(&self, name: &str) -> Option<Arc<Cluster>> {
        lock(&self.kept).get(name).map(|kept| kept.cluster.clone())
    }

    /// All that are kept.
    pub(super) fn all(&self) -> Vec<Arc<Cluster>> {
        lock(&self.kept).values().map(|kept| kept.cluster.clone()).collect()
    }

    /// The Cluster objects.
    pub(super) fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// The past views.
    pub(super) fn pasts(&self) -> &Pasts {
        &self.pasts
    }

    /// A place among the watches, and the signal for their end.
    pub(super) fn admit_watch(
        &self,
        most: usize,
    ) -> Result<(OwnedSemaphorePermit, channel::Receiver<bool>), WatchError> {
        let places = self.watches.get_or_init(|| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))));
        let place = places.clone().try_acquire_owned().map_err(|_| WatchError::TooMany { most })?;
        Ok((place, self.watches_end.subscribe()))
    }

    /// Ends all watches.
    pub(super) fn end_watches(&self) {
        self.watches_end.send_replace(true);
        self.all().iter().filter_map(|cluster| cluster.journal()).for_each(|journal| journal.end_watches());
    }

    /// Adds a cluster. If there are too many, the unused one with the oldest request is released.
    pub(super) fn insert(&self, name: &str, cluster: &Arc<Cluster>, most: usize) {
        let mut released = Vec::new(); // Dropped last, without the lock: it may be large.
        let mut kept = lock(&self.kept);
        let is_idle = |(name, kept): &(&String, &Kept)| !stays(name) && Arc::strong_count(&kept.cluster) == 1;
        // The one that has the Cluster objects is there besides.
        while kept.len() - usize::from(kept.contains_key(SYSTEM_CLUSTER)) >= most.max(1) {
            let oldest = kept.iter().filter(is_idle).min_by_key(|(_, kept)| kept.asked).map(|(name, _)| name.clone());
            let Some(oldest) = oldest else { break };
            tracing::debug!(cluster = oldest, "released, to make room for another");
            released.extend(kept.remove(&oldest));
        }
        kept.insert(name.to_owned(), Kept { cluster: cluster.clone(), asked: Instant::now(), told: 0 });
    }

    /// Removes an empty cluster, unless another caller uses it too: that one's writes must be visible here.
    pub(super) fn forget_unused(&self, name: &str, cluster: &Arc<Cluster>) {
        // The map's and this caller's.
        self.remove_if(name, |kept| Arc::ptr_eq(kept, cluster) && Arc::strong_count(kept) == 2);
    }

    /// Keeps a cluster no longer.
    pub(super) fn remove_if(&self, name: &str, is_to_go: impl FnOnce(&Arc<Cluster>) -> bool) {
        let mut kept = lock(&self.kept);
        let gone = if kept.get(name).is_some_and(|kept| is_to_go(&kept.cluster)) { kept.remove(name) } else { None };
        drop(kept);
        drop(gone); // Without the lock: it may be large.
    }

    /// A lock for loading a cluster, so that concurrent requests load it once.
    pub(super) fn turn(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut loading = lock(&self.loading);
        loading.retain(|_, turn| turn.strong_count() > 0);
        let waiting = loading.get(name).and_then(Weak::upgrade);
        waiting.unwrap_or_else(|| {
            let turn = Arc::default();
            loading.insert(name.to_owned(), Arc::downgrade(&turn));
            turn
        })
    }

    /// Time since the database last reported the heads; zero if there is no cluster.
    pub(super) fn staleness(&self) -> Duration {
        if lock(&self.kept).is_empty() { Duration::ZERO } else { lock(&self.contact).at.elapsed() }
    }

    /// The database's time, if it was read recently.
    pub(super) fn time(&self) -> Option<Timestamp> {
        let at = lock(&self.contact).at;
        self.time_by_last_contact().filter(|_| at.elapsed() <= TIME_HOLDS)
    }

    /// The database's time by the last reply and the time since; `None` before the first reply.
    pub(super) fn time_by_last_contact(&self) -> Option<Timestamp> {
        let Contact { at, time } = *lock(&self.contact);
        time?.checked_add(SignedDuration::try_from(at.elapsed()).ok()?).ok()
    }

    /// Starts the watcher, if it does not run yet. Hints from here on are not missed.
    pub(super) fn watch(self: &Arc<Self>, store: &Arc<dyn Storage>, limits: &Limits) {
        self.watcher.get_or_init(|| {
            lock(&self.contact).at = Instant::now();
            let (registry, store, limits, hints) = (Arc::downgrade(self), store.clone(), limits.clone(), store.hints());
            tokio::spawn(supervise(registry, store, limits, hints)).abort_handle()
        });
    }

    /// Releases clusters without requests for `after`, and those whose writer has ended.
    fn release(&self, after: Duration) {
        let is_idle = |name: &str, kept: &Kept| {
            !stays(name) && kept.asked.elapsed() >= after && Arc::strong_count(&kept.cluster) == 1
        };
        self.pasts.release(Instant::now());
        let mut kept = lock(&self.kept);
        let gone: Vec<_> = kept.extract_if(.., |name, kept| kept.cluster.has_ended() || is_idle(name, kept)).collect();
        drop(kept);
        for (cluster, kept) in gone {
            if kept.cluster.has_ended() {
                tracing::error!(cluster, "the cluster's writer has ended");
            } else {
                tracing::debug!(cluster, "released: nobody has asked for it");
            }
        }
    }

    /// Releases clusters of others without requests for `after`. One with watches is released after they have ended.
    pub(super) fn let_go(&self, after: Duration, is_of_others: impl Fn(&str) -> bool) {
        let mut kept = lock(&self.kept);
        let is_to_go = |name: &String, kept: &Kept| kept.asked.elapsed() >= after && is_of_others(name);
        for (_, kept) in kept.iter().filter(|(name, kept)| is_to_go(name, kept)) {
            kept.cluster.journal().into_iter().for_each(|journal| journal.end_watches());
        }
        let is_unused = |kept: &Kept| Arc::strong_count(&kept.cluster) == 1;
        let gone: Vec<_> = kept.extract_if(.., |name, kept| is_unused(kept) && is_to_go(name, kept)).collect();
        drop(kept);
        for (cluster, _) in &gone {
            tracing::debug!(cluster, "released: other replicas own it");
        }
    }

    fn hinted(&self, name: &str, revision: u64) {
        if let Some(kept) = lock(&self.kept).get_mut(name) {
            // A hint of an earlier release tells no revision.
            kept.told = kept.told.max(if revision == u64::MAX { 0 } else { revision });
            kept.cluster.nudge(revision);
        }
    }

    /// `true` if a hint has told of a change by now, or its cluster is not kept any more.
    fn is_told(&self, change: &Untold) -> bool {
        lock(&self.kept).get(&change.cluster).is_none_or(|kept| kept.told >= change.revision)
    }

    /// Each cluster with the head of its view before the heads are read.
    fn shown(&self) -> Vec<Shown> {
        let kept = lock(&self.kept);
        let shown = |(name, kept): (&String, &Kept)| Shown {
            name: name.clone(),
            cluster: Arc::downgrade(&kept.cluster),
            head: kept.cluster.progress().head,
        };
        kept.iter().map(shown).collect()
    }

    /// Compares the heads of the database with the published views.
    fn compare(&self, shown: Vec<Shown>, heads: Heads, asked_at: Instant) -> Round {
        let mut round = Round::default();
        *lock(&self.contact) = Contact { at: asked_at, time: Some(heads.now) };
        let found: BTreeMap<String, Standing> = heads.clusters.into_iter().map(|c| (c.name.clone(), c)).collect();
        let mut lag = 0;
        for Shown { name, cluster, head: before } in shown {
            let Some(cluster) = cluster.upgrade() else { continue };
            let head = match found.get(&name) {
                // One that was loaded since waits for its watches to be made again. The map and this round have it besides them.
                Some(Standing { removed: true, head, .. })
                    if Arc::strong_count(&cluster) <= 2 || !head.as_ref().is_ok_and(|head| is_same(head, &before)) =>
                {
                    tracing::info!(cluster = name, "the cluster was removed");
                    self.remove_if(&name, |kept| Arc::ptr_eq(kept, &cluster));
                    continue;
                }
                // It begins anew with the next request for it: it was removed and made again, or an older copy of the database came back.
                Some(Standing { head: Ok(head), .. })
                    if fork::split(&name).is_some()
                        && (head.epoch != before.epoch
                            || matches!(cluster.trouble(), Some(StoreError::HistoryLost { .. }))) =>
                {
                    tracing::info!(cluster = name, "the fork has another history");
                    self.remove_if(&name, |kept| Arc::ptr_eq(kept, &cluster));
                    continue;
                }
                Some(Standing { head: Err(error), .. }) => {
                    cluster.lose(&name, error);
                    round.has_trouble = true;
                    continue;
                }
                Some(Standing { head: Ok(head), .. }) => *head,
                None => Head::default(),
            };
            lag = lag.max(head.revision.saturating_sub(before.revision));
            let is_to_be_tried = cluster.is_to_be_tried();
            round.has_trouble |= is_to_be_tried.is_some();
            match is_to_be_tried {
                Some(true) => cluster.nudge(u64::MAX),
                Some(false) => {}
                None if is_same(&head, &before) => cluster.in_step(&head, asked_at),
                None => {
                    let goes_on = head.epoch == before.epoch && head.revision > before.revision;
                    let revision = if goes_on { head.revision } else { u64::MAX };
                    cluster.nudge(revision);
                    let change = Untold { cluster: name, revision };
                    if !self.is_told(&change) {
                        round.untold.push(change);
                    }
                }
            }
        }
        gauge!(telemetry::FEED_LAG).set(lag as f64);
        round
    }
}

/// Keeps a watcher running for as long as there is something to watch.
async fn supervise(registry: Weak<Registry>, store: Arc<dyn Store>, limits: Limits, hints: Listener) {
    let mut hints = Some(hints);
    loop {
        let hints = hints.take().unwrap_or_else(|| store.hints());
        let watching = watch(registry.clone(), store.clone(), limits.clone(), hints);
        match Aborting(tokio::spawn(watching)).await {
            Ok(()) => return,
            Err(error) => {
                counter!(telemetry::WATCHER_RESTARTS).increment(1);
                tracing::error!(%error, "the watcher of the clusters has ended; it is started again");
                sleep(RESTART).await;
            }
        }
    }
}

/// A task that is aborted when its waiter is dropped.
struct Aborting(tokio::task::JoinHandle<()>);

impl Future for Aborting {
    type Output = Result<(), JoinError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx)
    }
}

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Passes hints on and reads the heads, until the store or the clusters are gone.
async fn watch(registry: Weak<Registry>, store: Arc<dyn Store>, limits: Limits, mut hints: Listener) {
    let mut is_away = false;
    let mut pace = Pace::new(limits.poll, limits.longest_poll);
    let mut round = Box::pin(read_heads(&registry, &*store, pace.interval()));
    loop {
        let read = tokio::select! {
            biased;
            hint = hints.next() => {
                let Some(kept) = registry.upgrade() else { return };
                match hint {
                    Some(Hint::Cluster { name, revision }) => kept.hinted(&name, revision),
                    Some(Hint::Any) => {
                        pace.hurry();
                        round.set(read_heads(&registry, &*store, Duration::ZERO));
                    }
                    None => return,
                }
                continue;
            }
            read = &mut round => read,
        };
        let Some(kept) = registry.upgrade() else { return };
        let Some((shown, heads, asked_at)) = read else { return };
        match heads {
            Ok(heads) => {
                if std::mem::take(&mut is_away) {
                    tracing::info!("the database answers again");
                }
                let found = kept.compare(shown, heads, asked_at);
                pace.end_round(found, hints.reach() == Reach::Everyone, |change| kept.is_told(change));
            }
            Err(error) => {
                if !std::mem::replace(&mut is_away, true) {
                    tracing::warn!(%error, "the database does not answer; deciding on from the last snapshots");
                }
                pace.hurry();
                let kept = shown.iter().filter_map(|shown| shown.cluster.upgrade());
                kept.for_each(|cluster| cluster.lose_with_all(&error));
            }
        }
        kept.release(limits.release_after);
        round.set(read_heads(&registry, &*store, pace.interval()));
    }
}

type Read = (Vec<Shown>, Result<Heads, StoreError>, Instant);

/// Reads the heads of all clusters in memory, after a while. `None`: there is nothing left to watch.
async fn read_heads(registry: &Weak<Registry>, store: &dyn Store, after: Duration) -> Option<Read> {
    sleep(after).await;
    let shown = registry.upgrade()?.shown();
    let names: Vec<String> = shown.iter().map(|shown| shown.name.clone()).collect();
    let asked_at = Instant::now();
    let heads = store.heads(&names).await;
    Some((shown, heads, asked_at))
}

#[cfg(test)]
mod tests;
