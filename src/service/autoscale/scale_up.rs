//! Scale-up: which node groups are to grow for the pods that fit nowhere. Nothing is stored.

use super::{asked_about, fault, name, newest, refused, stored_groups};
use crate::{
    clock,
    core::{
        advise::{
            groups::Groups,
            scale_up::{exact::exact, scale_up as by_one_loop},
        },
        snapshot::Snapshot,
    },
    live::View,
    service::{access::sight::Sight, decide::decided_under, error::Result},
    wire::autoscale::scale_up::{Asked, Engine, ScaleUpReport, ScaleUpRequest},
};

/// The name of the request.
const KIND: &str = "ScaleUpRequest";

/// Nodes of a cluster, with those that its groups await.
pub const MOST_NODES: usize = 20_000;

/// Answers a request. `sight`: the stored pods that the caller may name.
///
/// # Errors
/// The faults of the request, by their fields, and groups that contradict each other.
pub fn scale_up(
    request: &ScaleUpRequest,
    policy: Option<&str>,
    view: &View,
    is_there: Result<()>,
    mut sight: Sight,
) -> Result<ScaleUpReport> {
    let Asked { groups, options, search, now: told } = request.read().map_err(refused(KIND))?;
    let snapshot = asked_about(request.cluster.as_deref(), view, is_there, &mut sight)?;
    let groups = groups.map_or_else(|| stored_groups(&snapshot, KIND), Ok)?;
    bounded(&snapshot, &groups)?;
    let chosen = decided_under(request.policy.as_deref(), request.profile.as_deref(), policy, view)?;
    let chosen = newest(chosen, request.cluster.is_some());
    let profiles = chosen.profiles();
    let now = told.unwrap_or_else(clock::now_nanoseconds);
    let answer = match request.engine {
        Engine::ClusterAutoscaler => by_one_loop(&snapshot, &profiles, &groups, &options, now),
        Engine::Exact => exact(&snapshot, &profiles, &groups, &options, search, now),
    };
    Ok(ScaleUpReport::new(&answer, &groups, snapshot.revision, chosen.used(), &mut |pod| name(pod, &mut sight)))
}

/// Refuses clusters that are too large.
fn bounded(snapshot: &Snapshot, groups: &Groups) -> Result<()> {
    let awaited = groups.all().iter().map(|group| (group.target as usize).saturating_sub(group.nodes.len()));
    let nodes = awaited.fold(snapshot.node_count(), usize::saturating_add);
    if nodes > MOST_NODES {
        let why = format!(
            "Too many: scale-up is worked out for at most {MOST_NODES} nodes; the cluster and the nodes that its groups await are {nodes}"
        );
        return Err(fault(KIND, "nodeGroups", |faults, at| faults.too_many(at, why)));
    }
    Ok(())
}
