//! The loop of Podberth's own scheduler (`--loop`, and `loop` of a mirrored cluster): pods that name it are placed as they come, with no kube-scheduler
//! beside.
//!
//! Watches of a cluster ([`cluster`]) feed the queue of pods that wait ([`crate::core::waiting`]). A batch of them goes the way of `/schedule`;
//! what came of it is written as kube-scheduler does, as conditions and events ([`report`]). One process runs the loop of a cluster: the one that leads it.
//! A bind is committed only if the pod waits and the node has room, so a process that lost the lead unnoticed does no harm.
//!
//! In a cluster that mirrors a live one all writes go to its API server. The loop then waits until the mirror is whole, and for the Lease in the live
//! cluster if the source names one.
//!
//! Source: `pkg/scheduler/{scheduler,schedule_one,eventhandlers}.go`.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    sync::Arc,
};

use uuid::Uuid;

use self::cluster::Scope;
use super::{
    Service,
    error::{Error, Result},
    lead::{self, Lead, Leads},
    source::{
        lease::{Held, Lease},
        mirrored,
    },
};
use crate::{
    core::{model::Name, waiting::Loops},
    live::DEFAULT_CLUSTER,
    telemetry::seldom::Texts,
    wire::source::{BindMode, ClusterSource},
};

mod cluster;
mod report;
mod resting;

/// The name of the duty.
const DUTY: &str = "loop";

/// Why loops end, by cluster.
static TROUBLE: Texts = Texts::new();

/// The names of schedulers that a setting gives, by cluster.
type Named = Arc<BTreeMap<Arc<str>, Vec<Name>>>;

/// The loops; they end when this is dropped.
#[derive(Debug)]
pub struct Scheduler {
    leads: Leads,
}

impl Scheduler {
    /// Starts them. `holder` names this process.
    pub fn start(service: &Service, holder: Uuid, loops: &Loops) -> Self {
        let mut named: BTreeMap<Arc<str>, Vec<Name>> = BTreeMap::new();
        for (cluster, name) in &loops.0 {
            let cluster = cluster.as_deref().unwrap_or(DEFAULT_CLUSTER);
            named.entry(cluster.into()).or_default().push(name.clone());
        }
        let named = Arc::new(named);
        let (of, asked) = (service.clone(), named.clone());
        let wanted = move |service: Service| wanted(service, asked.clone());
        let run = move |lead: Lead| follow(of.clone(), named.clone(), holder, lead);
        Self { leads: lead::lead(service, holder, DUTY, wanted, run) }
    }

    /// Ends them, so that other processes go on at once.
    pub async fn end(self) {
        self.leads.end().await;
    }
}

/// The clusters that have a loop.
async fn wanted(service: Service, named: Named) -> Result<BTreeSet<Arc<str>>> {
    let mut clusters: BTreeSet<Arc<str>> = named.keys().cloned().collect();
    if service.sources.are_reached() {
        let sources = mirrored::all(&service).await?;
        clusters.extend(sources.into_iter().filter(|(_, source)| !source.schedulers.is_empty()).map(|(name, _)| name));
    }
    Ok(clusters)
}

/// Schedules the pods of a cluster until its watches end, or it mirrors another live one.
async fn follow(service: Service, named: Named, holder: Uuid, lead: Lead) {
    let cluster = lead.cluster().clone();
    let Err(error) = Box::pin(run(&service, &named, holder, lead)).await else { return };
    let (cluster, why) = (&*cluster, error.for_log());
    if TROUBLE.is_new(cluster, &why) {
        tracing::warn!(cluster, why, "pods cannot be scheduled; it is tried again");
    }
}

/// Schedules for as long as the cluster has the source of now, whatever the loop waits for.
async fn run(service: &Service, named: &Named, holder: Uuid, lead: Lead) -> Result<()> {
    let cluster = lead.cluster().clone();
    let source = mirrored::of(service, &cluster).await?;
    let schedulers = named.get(&cluster).cloned().unwrap_or_default();
    let from = source.clone();
    tokio::select! {
        ended = run_from(service, source, schedulers, holder, lead) => ended,
        () = mirrored::changed(service, &cluster, from.as_ref()) => Ok(()),
    }
}

async fn run_from(
    service: &Service,
    source: Option<Arc<ClusterSource>>,
    mut schedulers: Vec<Name>,
    holder: Uuid,
    lead: Lead,
) -> Result<()> {
    let cluster = lead.cluster().clone();
    let Some(source) = source else {
        if schedulers.is_empty() {
            // Its source is not seen yet, or was removed.
            return pending().await;
        }
        let scope = Scope { service, cluster: &cluster, schedulers: &schedulers, source: None, server: None, lead };
        return cluster::run(scope).await;
    };
    schedulers.extend(source.schedulers.iter().map(|name| Name::from(&**name)));
    if let Some(why) = cannot_run(&source) {
        tracing::warn!(cluster = &*cluster, why, "pods are not scheduled");
        return pending().await;
    }
    let asked = service.sources.server(&cluster, &source).await;
    let server = asked.map_err(|why| Error::internal(format!("the API server cannot be asked: {why}")))?;
    let lease = source.lease.as_ref().map(|named| Lease::new(server.clone(), named, format!("podberth_{holder}")));
    let lease = lease.transpose().map_err(Error::internal)?;
    let (source, server) = (Some(source), Some(server));
    let keeper = lead.clone();
    let scope = Scope { service, cluster: &cluster, schedulers: &schedulers, source, server, lead };
    let Some(lease) = lease else { return cluster::run(scope).await };
    let mut held = Held::new(lease, keeper);
    held.lease.acquired().await;
    tokio::select! {
        ended = cluster::run(scope) => ended,
        () = held.lease.kept() => Ok(()),
    }
}

/// Why the loop of a mirrored cluster cannot run, if so.
fn cannot_run(source: &ClusterSource) -> Option<&'static str> {
    (source.bind == BindMode::Record).then_some("its binds are only noted: set bind to apiserver, or take the loop out")
}
