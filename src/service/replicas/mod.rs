//! Sharing clusters among replicas: each cluster has two owners among the replicas of a database, which keep it in memory; the others pass requests for
//! it on (`api::passing`).
//!
//! Any replica can load any cluster, and the database decides what is written, so a wrong belief about the owners costs memory and nothing else. A
//! replica shows itself by a lease whose name has its URL and the digest of its certificate. It renews the lease and reads those of the others every
//! second, and lets go of clusters that it does not own.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use metrics::gauge;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use uuid::Uuid;

use self::members::{LEASED_FOR, LEASES, Members, Replica};
use super::{Service, supervised::Supervised};
use crate::{
    clock::Elapsed,
    live::{SYSTEM_CLUSTER, fork},
    net::Pin,
    store::{Storage, StoreError},
    telemetry,
};

pub mod members;

/// Interval of renewing the lease and looking at those of the others.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

/// Least time between two looks, if somebody unknown asks.
const LOOKS_AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// Time without a request after which a cluster of others is let go.
const KEPT_UNOWNED_FOR: Duration = Duration::from_secs(5);

/// The replicas of a database as this process sees them. Clones share it. The default is a process that shares no clusters: all are its own.
#[derive(Clone, Debug, Default)]
pub struct Replicas(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    own: Replica,
    holder: Uuid,
    members: ArcSwap<Members>,
    /// The looks that have ended.
    looks: watch::Sender<u64>,
    /// The wish for another look.
    wanted: Notify,
    clock: Elapsed,
    running: Mutex<Option<Supervised>>,
}

impl Replicas {
    /// The replicas of which this process is `own`.
    pub fn of(own: Replica, holder: Uuid) -> Self {
        Self(Some(Arc::new(Shared {
            own,
            holder,
            members: ArcSwap::default(),
            looks: watch::Sender::new(0),
            wanted: Notify::new(),
            clock: Elapsed::default(),
            running: Mutex::default(),
        })))
    }

    /// The owners of a cluster, if this process is none: their URLs, in the order in which it asks them. None are known before the first look.
    pub fn others(&self, cluster: &str) -> Vec<Arc<str>> {
        let Some(shared) = &self.0 else { return Vec::new() };
        if cluster == SYSTEM_CLUSTER {
            return Vec::new();
        }
        let mut owners = shared.members.load().owners(fork::judged_in(cluster));
        if owners.iter().any(|owner| Some(owner) == shared.own.url.as_ref()) {
            return Vec::new();
        }
        // Each process begins with one of them, so that both are asked.
        if owners.len() > 1 && shared.own.pin.first().is_some_and(|byte| byte % 2 == 1) {
            owners.rotate_left(1);
        }
        owners
    }

    /// `true` if this process keeps a cluster: it is an owner, or there is none.
    pub fn keep(&self, cluster: &str) -> bool {
        self.others(cluster).is_empty()
    }

    /// `true` if a replica with this certificate is there. If it may have come just now, that is after another look.
    pub async fn know(&self, pin: &Pin) -> bool {
        let Some(shared) = &self.0 else { return false };
        let mut looks = shared.looks.subscribe();
        // A look that is under way may have begun before the other one came: the second to end did not.
        for _ in 0..2 {
            if self.knows(pin) {
                return true;
            }
            shared.wanted.notify_one();
            if timeout(LOOKS_EVERY, looks.changed()).await.is_err() {
                break;
            }
        }
        self.knows(pin)
    }

    /// `true` if a replica with this certificate was there at the last look.
    pub fn knows(&self, pin: &Pin) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.members.load().has(pin))
    }

    /// Shows this process to the others from now on, and follows them. They are known when this returns, if the database answers.
    pub async fn start(&self, service: &Service) {
        let Some(shared) = &self.0 else { return };
        if !matches!(timeout(LEASED_FOR, shared.look(&*service.store)).await, Ok(Ok(()))) {
            tracing::warn!("other replicas cannot be seen yet: this one answers for all clusters");
        }
        let (replicas, of) = (self.clone(), service.clone());
        let again = move || looking(replicas.clone(), of.clone());
        let running = Supervised::start("the look at other replicas", LOOKS_EVERY, again);
        *shared.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
    }

    /// Tells the others that this process goes.
    pub async fn end(&self, store: &dyn Storage) {
        let Some(shared) = &self.0 else { return };
        drop(shared.running.lock().unwrap_or_else(PoisonError::into_inner).take());
        let lease = shared.own.to_string();
        let given_back = timeout(LOOKS_EVERY, store.lease(&lease, shared.holder, Duration::ZERO)).await;
        if !matches!(given_back, Ok(Ok(_))) {
            tracing::debug!("the lease of this replica ends by itself");
        }
    }
}

impl Shared {
    /// Renews the lease, and takes in those that there are.
    async fn look(&self, store: &dyn Storage) -> Result<(), StoreError> {
        store.lease(&self.own.to_string(), self.holder, LEASED_FOR).await?;
        let held = store.leases(LEASES).await?;
        let mut members = Members::clone(&self.members.load());
        if members.look(self.clock.now(), held.iter().filter_map(|lease| Replica::parse(lease))) {
            tracing::info!(replicas = members.count(), "the replicas that share clusters are others than before");
        }
        gauge!(telemetry::REPLICAS).set(members.count() as f64);
        self.members.store(Arc::new(members));
        Ok(())
    }
}

async fn looking(replicas: Replicas, service: Service) {
    let Some(shared) = &replicas.0 else { return };
    loop {
        match timeout(LEASED_FOR, shared.look(&*service.store)).await {
            Ok(Ok(())) => service.clusters.let_go(KEPT_UNOWNED_FOR, |cluster| !replicas.keep(cluster)),
            Ok(Err(error)) => tracing::debug!(%error, "other replicas cannot be seen"),
            Err(_) => tracing::debug!("other replicas cannot be seen: the database does not answer"),
        }
        shared.looks.send_modify(|looks| *looks += 1);
        sleep(LOOKS_AT_MOST_EVERY).await;
        tokio::select! {
            () = sleep(LOOKS_EVERY.saturating_sub(LOOKS_AT_MOST_EVERY)) => {}
            () = shared.wanted.notified() => {}
        }
    }
}
