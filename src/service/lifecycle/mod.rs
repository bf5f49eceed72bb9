//! The loop that ends what deletions leave to be ended, under `--admission=kubernetes`. In a cluster of Kubernetes the garbage collector, the
//! namespace controller and the kubelets do this; here nobody else would.
//!
//! - Objects whose owners are all deleted go; dependents that are to be orphaned lose their owner; an owner that is deleted in the foreground
//!   waits for those that block it.
//! - A namespace that is deleted is emptied, and goes last.
//! - Disruption budgets and quotas get the status that is counted from the objects of their namespace ([`statuses`]), unless another client
//!   writes it.
//! - A running pod goes when its grace is over: no kubelet confirms here that it has stopped.
//! - A volume without a claim is available, and a bind that kube-scheduler began is completed ([`volumes`]): there is no volume controller.
//!
//! Clusters that mirror live ones are left alone: there the live cluster's own controllers do it.
//!
//! One process does it for all: the one that holds the lease. It follows the feed of every cluster ([`follower`]) into an [`index`], whose rules
//! need no I/O, and writes at most a few hundred objects of a cluster at a time. A crash between two writes loses nothing: all that is due
//! follows from what is stored.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use self::follower::Follower;
use super::{source::mirrored, supervised::Supervised};
use crate::{
    live::fork,
    store::{Hint, Listener, Storage, StoreError},
};

mod action;
mod entry;
pub mod events;
mod follower;
mod gone;
mod index;
mod statuses;
mod volumes;

/// Names the lease.
const LEASE: &str = "lifecycle";

/// Time that the lease lasts, and after which it is renewed.
const LEASED_FOR: Duration = Duration::from_secs(30);
const RENEWED_AFTER: Duration = Duration::from_secs(10);

/// Time between two turns in which nothing was due, unless the store hints at a change.
const IDLE: Duration = Duration::from_secs(1);

/// Time between a hint and the turn: the turn takes in all changes of this time at once.
const SETTLES: Duration = Duration::from_millis(20);

/// Time between two attempts to get the lease, and after an error.
const AGAIN: Duration = Duration::from_secs(5);

/// The loop; it ends when this is dropped.
#[derive(Debug)]
pub struct Lifecycle {
    _running: Supervised,
}

impl Lifecycle {
    /// Starts the loop. `holder` names this process. A panic ends a run, and another one begins from the store.
    pub fn start(store: &Arc<dyn Storage>, holder: Uuid) -> Self {
        let store = store.clone();
        let run = move || Turns::new(&store, holder).run();
        Self { _running: Supervised::start("the loop that ends objects", AGAIN, run) }
    }
}

/// The turns of the loop.
#[derive(Debug)]
pub struct Turns {
    store: Arc<dyn Storage>,
    holder: Uuid,
    followers: HashMap<String, Follower>,
    /// The clusters that mirror live ones, as of the last turn over all.
    mirrors: HashSet<String>,
    renewed: Option<Instant>,
}

impl Turns {
    /// Turns that know nothing yet. `holder` names this process.
    pub fn new(store: &Arc<dyn Storage>, holder: Uuid) -> Self {
        Self { store: store.clone(), holder, followers: HashMap::new(), mirrors: HashSet::new(), renewed: None }
    }

    async fn run(mut self) {
        let (mut hints, mut told, mut all_at) = (self.store.hints(), Told::All, Instant::now());
        loop {
            let turn = match &told {
                // Where nothing changes, time may have come for something.
                Told::Some(clusters) if all_at.elapsed() < IDLE => self.turn_of(clusters).await,
                _ => {
                    all_at = Instant::now();
                    self.turn().await
                }
            };
            let pause = turn.unwrap_or_else(|error| {
                tracing::warn!(%error, "objects that are to end cannot be ended; it is tried again");
                AGAIN
            });
            // Hints are for the process that has the lease, while the store can be reached.
            told = if pause > IDLE { sleep_as(pause, Told::All).await } else { hinted(&mut hints, pause).await };
        }
    }

    /// One turn over all clusters; returns the time until the next, zero if more may be due.
    ///
    /// # Errors
    /// Those of the store. What was not done is done in a later turn.
    pub async fn turn(&mut self) -> Result<Duration, StoreError> {
        if !self.has_lease().await? {
            return Ok(AGAIN);
        }
        let names = self.store.clusters().await?;
        self.mirrors = mirrored::names(&*self.store).await?.into_iter().collect();
        self.followers.retain(|name, _| names.contains(name));
        self.turn_of(&names).await
    }

    /// `true` if this process does the work. Another one that does it knows the clusters.
    async fn has_lease(&mut self) -> Result<bool, StoreError> {
        if self.renewed.is_none_or(|at| at.elapsed() >= RENEWED_AFTER) {
            if !self.store.lease(LEASE, self.holder, LEASED_FOR).await? {
                (self.followers, self.renewed) = (HashMap::new(), None);
                return Ok(false);
            }
            self.renewed = Some(Instant::now());
        }
        Ok(true)
    }

    /// One turn over some clusters.
    async fn turn_of(&mut self, names: &[String]) -> Result<Duration, StoreError> {
        if !self.has_lease().await? {
            return Ok(AGAIN);
        }
        // In a fork nothing happens by itself.
        let names: Vec<String> = names.iter().filter(|name| fork::split(name).is_none()).cloned().collect();
        let heads = self.store.heads(&names).await?;
        let (mut is_busy, mut pause) = (false, IDLE);
        for standing in &heads.clusters {
            if !self.followers.contains_key(&standing.name) && mirrored::is_mirror(&*self.store, &standing.name).await?
            {
                self.mirrors.insert(standing.name.clone());
            }
            if standing.removed || self.mirrors.contains(&standing.name) {
                self.followers.remove(&standing.name);
                continue;
            }
            let follower = self.followers.entry(standing.name.clone()).or_default();
            if follower.rests(standing.revision, heads.now) {
                pause = pause.min(follower.rests_for(heads.now).unwrap_or(IDLE));
                continue;
            }
            match follower.turn(&*self.store, &standing.name, heads.now).await {
                Ok(0) => pause = pause.min(follower.rests_for(heads.now).unwrap_or(IDLE)),
                Ok(written) => {
                    is_busy = true;
                    tracing::debug!(
                        cluster = standing.name,
                        written,
                        objects = follower.objects(),
                        "objects have ended"
                    );
                }
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                // Other clusters are not to suffer for it.
                Err(error) => tracing::warn!(cluster = standing.name, %error, "objects of the cluster cannot be ended"),
            }
        }
        Ok(if is_busy { Duration::ZERO } else { pause })
    }
}

/// The clusters of the next turn.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    All,
    /// Those that have changed.
    Some(Vec<String>),
}

async fn sleep_as(pause: Duration, then: Told) -> Told {
    sleep(pause).await;
    then
}

/// The clusters that hints name until nothing more is told for a moment; all of them if there is no hint within the time.
async fn hinted(hints: &mut Listener, pause: Duration) -> Told {
    let mut names = Vec::new();
    let mut until = Instant::now() + pause;
    loop {
        let named = match timeout_at(until, hints.next()).await {
            Ok(Some(Hint::Cluster { name, .. })) => name,
            Ok(Some(Hint::Any)) => return sleep_as(SETTLES, Told::All).await,
            // Without a store there is nothing to follow; the next turn says so.
            Ok(None) => return sleep_as(pause, Told::All).await,
            Err(_) if names.is_empty() => return Told::All,
            Err(_) => return Told::Some(names),
        };
        if names.is_empty() {
            until = Instant::now() + SETTLES;
        }
        if !names.iter().any(|known| **known == *named) {
            names.push(named.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
