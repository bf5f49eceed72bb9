//! The loop of Podberth's own scheduler (`--loop`): pods that name it are placed as they come, with no kube-scheduler beside.
//!
//! Watches of a cluster ([`cluster`]) feed the queue of pods that wait ([`crate::core::waiting`]). A batch of them goes the way of `/schedule`;
//! what came of it is written as kube-scheduler does, as conditions and events ([`report`]). One process runs the loops: the one that holds the
//! lease. A bind is committed only if the pod waits and the node has room, so a process that lost the lease unnoticed does no harm.
//!
//! Source: `pkg/scheduler/{scheduler,schedule_one,eventhandlers}.go`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::{Service, supervised::Supervised};
use crate::{
    core::{model::Name, waiting::Loops},
    live::DEFAULT_CLUSTER,
};

mod cluster;
mod report;

/// Names the lease.
const LEASE: &str = "scheduler";

/// Time that the lease lasts, and after which it is renewed (`LeaseDuration`, `RenewDeadline` of client-go).
const LEASED_FOR: Duration = Duration::from_secs(15);
const RENEWED_AFTER: Duration = Duration::from_secs(5);

/// Time between two attempts to get the lease, and after an error.
const AGAIN: Duration = Duration::from_secs(2);

/// The loops; they end when this is dropped.
#[derive(Debug)]
pub struct Scheduler {
    _running: Supervised,
}

impl Scheduler {
    /// Starts them. `holder` names this process.
    pub fn start(service: &Service, holder: Uuid, loops: &Loops) -> Self {
        let service = service.clone();
        let mut clusters: BTreeMap<Arc<str>, Vec<Name>> = BTreeMap::new();
        for (cluster, name) in &loops.0 {
            let cluster = cluster.as_deref().unwrap_or(DEFAULT_CLUSTER);
            clusters.entry(cluster.into()).or_default().push(name.clone());
        }
        let run = move || lead(service.clone(), holder, clusters.clone());
        Self { _running: Supervised::start("the scheduler's loop", AGAIN, run) }
    }
}

/// Runs the loops, each of a cluster and the names of its schedulers, while this process has the lease.
async fn lead(service: Service, holder: Uuid, loops: BTreeMap<Arc<str>, Vec<Name>>) {
    loop {
        match service.store.lease(LEASE, holder, LEASED_FOR).await {
            Ok(true) => {
                tracing::info!(clusters = loops.len(), "this process schedules");
                let start = |(name, schedulers): (&Arc<str>, &Vec<Name>)| {
                    let (service, name, schedulers) = (service.clone(), name.clone(), schedulers.clone());
                    let run = move || follow(service.clone(), name.clone(), schedulers.clone());
                    Supervised::start("the scheduler's loop over a cluster", AGAIN, run)
                };
                let running: Vec<Supervised> = loops.iter().map(start).collect();
                renewed(&service, holder).await;
                drop(running);
                tracing::info!("another process may schedule");
            }
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "the scheduler's lease cannot be had"),
        }
        sleep(AGAIN).await;
    }
}

/// Renews the lease; ends when it is lost, or could not be renewed before its end.
async fn renewed(service: &Service, holder: Uuid) {
    let mut ends = Instant::now() + LEASED_FOR;
    loop {
        sleep(RENEWED_AFTER.min(ends.saturating_duration_since(Instant::now()))).await;
        let asked = Instant::now();
        match timeout_at(ends, service.store.lease(LEASE, holder, LEASED_FOR)).await {
            Ok(Ok(true)) => ends = asked + LEASED_FOR,
            Ok(Ok(false)) | Err(_) => return,
            Ok(Err(_)) => sleep(AGAIN).await,
        }
    }
}

/// Schedules the pods of a cluster until its watches end.
async fn follow(service: Service, name: Arc<str>, schedulers: Vec<Name>) {
    if let Err(error) = cluster::run(&service, &name, &schedulers).await {
        tracing::warn!(cluster = &*name, %error, "pods cannot be scheduled; it is tried again");
    }
}
