//! The rescheduling loop (`--reschedule`): under a lease, one process of a cluster looks from time to time which pods should leave their nodes.
//!
//! Each turn takes one round of [`best`]: the fewest moves after which nothing is worse and something is better. With
//! `propose` it notes them in the record of decisions, once for as long as they stay the same; with `act` it evicts the pods, within their disruption budgets.
//! Before the next turn the scheduler has placed them again. A controller's pods are left on a node to which one came back ([`super::comebacks`]).

use std::{collections::BTreeSet, fs, path::Path, sync::Arc, time::Duration};

use metrics::gauge;
use tokio::time::sleep;
use uuid::Uuid;

use super::{act::On, comebacks::Comebacks};
use crate::{
    clock,
    core::advise::reschedule::{Bounds, Charging, Move, Policy, Scheduling, best},
    live::View,
    service::{
        Service,
        compute::compute_long,
        context::{self, Fresh},
        error::{Error, Result},
        lead::{self, Lead, Leads},
        source::mirrored,
    },
    telemetry::{self, labels, seldom::Texts},
    wire::{autoscale::reschedule::DeschedulerPolicy, decode, fault::Cause, yaml},
};

/// The name of the duty.
const DUTY: &str = "reschedule";

/// Moves of a turn at most, where the policy has no limit.
const MOST_MOVES: u64 = 1_000;

/// Oldest mirror of a live cluster that is acted on.
const LONGEST_LAG: Duration = Duration::from_mins(1);

/// Why turns fail, by cluster.
static TROUBLE: Texts = Texts::new();

/// The settings of the loop.
#[derive(Clone, Debug)]
pub struct Rescheduling {
    /// Strategies and limits.
    pub policy: Arc<Policy>,
    /// `true` if pods are evicted, `false` if moves are only noted.
    pub acts: bool,
    /// The clusters.
    pub clusters: BTreeSet<Arc<str>>,
    /// Time between two turns.
    pub interval: Duration,
}

/// The policy in a file, JSON or YAML.
///
/// # Errors
/// In one line.
pub fn read(file: &Path) -> std::result::Result<Policy, String> {
    let text = fs::read(file).map_err(|error| error.to_string())?;
    let json = yaml::to_json(&text, true).map_err(|error| error.to_string())?;
    let policy: DeschedulerPolicy = decode::from_slice(&json).map_err(|error| error.to_string())?;
    let told = |causes: Vec<Cause>| {
        let told: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        told.join("; ")
    };
    policy.to_core().map_err(told)
}

/// Starts the loop. `holder` names this process.
pub fn start(service: &Service, holder: Uuid, settings: Rescheduling) -> Leads {
    let settings = Arc::new(settings);
    let (clusters, of) = (settings.clusters.clone(), service.clone());
    let wanted = move |_: Service| {
        let clusters = clusters.clone();
        async move { Ok(clusters) }
    };
    let run = move |lead: Lead| follow(of.clone(), settings.clone(), lead);
    lead::lead(service, holder, DUTY, wanted, run)
}

/// Reschedules a cluster for as long as this process leads.
async fn follow(service: Service, settings: Arc<Rescheduling>, lead: Lead) {
    let mut memory = Noted::default();
    loop {
        let cluster = lead.cluster();
        match turn(&service, &settings, cluster, &mut memory).await {
            Ok(()) => {}
            Err(error) => {
                let why = error.for_log();
                if TROUBLE.is_new(cluster, &why) {
                    tracing::warn!(cluster = &**cluster, why, "pods cannot be rescheduled; it is tried again");
                }
            }
        }
        sleep(settings.interval).await;
    }
}

/// Memory of the loop.
#[derive(Debug, Default)]
struct Noted {
    /// The moves that were proposed last.
    proposed: Vec<(String, String)>,
    /// Pods that came back to their nodes.
    comebacks: Comebacks,
}

/// One turn.
async fn turn(service: &Service, settings: &Arc<Rescheduling>, cluster: &Arc<str>, memory: &mut Noted) -> Result<()> {
    let context = context::take(service, cluster, Fresh { min_revision: None, is_newest: true }).await?;
    let now = clock::now();
    if context.view.source().is_some() {
        mirrored::is_whole(service, cluster, now, LONGEST_LAG).map_err(Error::internal)?;
    }
    let now = clock::nanoseconds(now);
    let policy = memory.comebacks.policy(&settings.policy, &context.view.snapshot, now);
    let of = context.view.clone();
    let moves = compute_long(true, move || moves(&of, &policy, now)).await??;
    gauge!(telemetry::RESCHEDULE_PROPOSED, "cluster" => labels::CLUSTERS.of(cluster)).set(moves.len() as f64);
    let on = On { service, cluster, revision: context.view.snapshot.revision, epoch: context.epoch };
    if settings.acts {
        memory.comebacks.note(&moves, now);
        return on.evict_all(&settings.policy, &moves).await;
    }
    let proposed: Vec<(String, String)> = moves.iter().map(named).collect();
    if proposed != memory.proposed {
        for one in &moves {
            on.note(one, "proposed");
        }
        memory.proposed = proposed;
    }
    Ok(())
}

fn named(one: &Move) -> (String, String) {
    (one.eviction.pod.full_name(), one.eviction.pod.node_name.to_string())
}

/// The moves of one round.
fn moves(view: &View, policy: &Policy, now: i64) -> Result<Vec<Move>> {
    let chosen = context::chosen(view, None)?;
    let scheduling = Scheduling { profiles: chosen.profiles(), seed: view.snapshot.revision };
    let policy = Policy { charging: Charging::AsApiServer, ..policy.clone() };
    let bounds = Bounds { rounds: 1, moves: MOST_MOVES };
    let plan = best(&view.snapshot, &policy, &scheduling, bounds, now).map_err(|error| super::unsuited(&error))?;
    Ok(plan.rounds.into_iter().next().unwrap_or_default())
}

#[cfg(test)]
mod tests;
