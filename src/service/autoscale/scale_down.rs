//! Scale-down: which nodes a cluster can do without. Nothing is stored.

use super::{asked_about, fault, name, newest, refused, stored_groups};
use crate::{
    clock,
    core::advise::scale_down::{self, Input},
    live::View,
    service::{access::sight::Sight, decide::decided_under, error::Result},
    wire::autoscale::scale_down::{Asked, ScaleDownReport, ScaleDownRequest},
};

/// The name of the request.
const KIND: &str = "ScaleDownRequest";

/// Nodes of a cluster that comes with a request, or has groups that select them.
pub const MOST_NODES: usize = 20_000;

/// Answers a request. `sight`: the stored pods that the caller may name.
///
/// # Errors
/// The faults of the request, by their fields, and groups that contradict each other.
pub fn scale_down(
    request: &ScaleDownRequest,
    policy: Option<&str>,
    view: &View,
    is_there: Result<()>,
    mut sight: Sight,
) -> Result<ScaleDownReport> {
    let Asked { groups, options, state, now: told, node_order } = request.read().map_err(refused(KIND))?;
    let snapshot = asked_about(request.cluster.as_ref(), view, is_there, &mut sight)?;
    if snapshot.node_count() > MOST_NODES {
        let (have, at) = (snapshot.node_count(), if request.cluster.is_some() { "cluster.nodes" } else { "cluster" });
        let why = format!("Too many: scale-down is worked out for at most {MOST_NODES} nodes; these are {have}");
        return Err(fault(KIND, at, |faults, at| faults.too_many(at, why)));
    }
    let groups = groups.map_or_else(|| stored_groups(&snapshot, KIND), Ok)?;
    let chosen = decided_under(request.policy.as_deref(), request.profile.as_deref(), policy, view)?;
    let chosen = newest(chosen, request.cluster.is_some());
    let now = told.unwrap_or_else(clock::now_nanoseconds);
    let answer = scale_down::plan(&Input {
        snapshot: &snapshot,
        groups: &groups,
        profiles: &chosen.profiles(),
        options: &options,
        state: &state,
        node_order: &node_order,
        counts_ended_pods: request.cluster.is_some(),
        now,
    });
    Ok(ScaleDownReport::new(&answer, &groups, (&snapshot, now), chosen.used(), &mut |pod| name(pod, &mut sight)))
}
