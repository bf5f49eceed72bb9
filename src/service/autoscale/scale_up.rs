//! Scale-up: which node groups are to grow for the pods that fit nowhere. Nothing is stored.

use jiff::Timestamp;

use super::{asked_about, newest, refused};
use crate::{
    core::{
        advise::{
            groups::Groups,
            scale_up::{exact::exact, scale_up as by_one_loop},
        },
        model::Pod,
        snapshot::Snapshot,
    },
    live::View,
    service::{
        access::sight::Sight,
        decide::decided_under,
        error::{Error, Result},
    },
    wire::autoscale::scale_up::{Asked, Engine, ScaleUpReport, ScaleUpRequest},
};

/// Nodes of a cluster, with those that its groups await.
pub const MOST_NODES: usize = 20_000;

/// Answers a request. `sight`: the stored pods that the caller may name. `now`: the time where the request has none.
///
/// # Errors
/// The faults of the request, by their fields, and groups that contradict each other.
pub fn scale_up(
    request: &ScaleUpRequest,
    policy: Option<&str>,
    view: &View,
    is_there: Result<()>,
    mut sight: Sight,
    now: Timestamp,
) -> Result<ScaleUpReport> {
    let Asked { groups, options, search, now: told } = request.read().map_err(|causes| refused(&causes))?;
    let snapshot = asked_about(request.cluster.as_deref(), view, is_there, &mut sight)?;
    let groups = match groups {
        Some(groups) => groups,
        None => Groups::stored(&snapshot).map_err(|error| Error::BadRequest(format!("nodeGroups: {error}")))?,
    };
    bounded(&snapshot, &groups)?;
    let chosen = decided_under(request.policy.as_deref(), request.profile.as_deref(), policy, view)?;
    let chosen = newest(chosen, request.cluster.is_some());
    let profiles = chosen.profiles();
    let now = told.unwrap_or_else(|| i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX));
    let answer = match request.engine {
        Engine::ClusterAutoscaler => by_one_loop(&snapshot, &profiles, &groups, &options, now),
        Engine::Exact => exact(&snapshot, &profiles, &groups, &options, search, now),
    };
    let mut name = |pod: &Pod| {
        let (mut namespace, mut name) = (pod.namespace.to_string(), pod.name.to_string());
        sight.mask(&mut namespace, &mut name, None);
        format!("{namespace}/{name}")
    };
    Ok(ScaleUpReport::new(&answer, snapshot.revision, chosen.used(), &mut name))
}

/// Refuses clusters that are too large.
fn bounded(snapshot: &Snapshot, groups: &Groups) -> Result<()> {
    let awaited = groups.all().iter().map(|group| (group.target as usize).saturating_sub(group.nodes.len()));
    let nodes = awaited.fold(snapshot.node_count(), usize::saturating_add);
    if nodes > MOST_NODES {
        return Err(Error::BadRequest(format!(
            "nodeGroups: Too many: scale-up is worked out for at most {MOST_NODES} nodes; the cluster and the nodes that its groups await are {nodes}"
        )));
    }
    Ok(())
}
