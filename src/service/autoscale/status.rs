//! The whole picture of the loop over node groups.

use std::sync::Arc;

use super::{
    machine::{Leaving, Mood},
    nodes::{Stored, stored},
};
use crate::{
    clock::rfc3339,
    core::{advise::groups::Groups, snapshot::Snapshot},
    live::View,
    service::{Service, compute::compute_long, error::Result},
    wire::autoscale::status::{AutoscaleStatus, GroupFault, GroupStatus, LeavingNode, UnneededNode},
};

/// The picture of a cluster.
///
/// # Errors
/// Those of the store.
pub async fn status(service: &Service, cluster: &str, view: &Arc<View>) -> Result<AutoscaleStatus> {
    let (stored, record) = stored(service, cluster).await?;
    let running = match &record {
        None => "off",
        Some(_) if stored.acts => "act",
        Some(_) => "advise",
    };
    let snapshot = view.snapshot.clone();
    let work = move || {
        let (groups, faults) = Groups::stored(&snapshot);
        let faults = faults.iter().map(|fault| GroupFault {
            groups: fault.groups().into_iter().map(ToString::to_string).collect(),
            message: fault.to_string(),
        });
        let faults = faults.collect();
        AutoscaleStatus { running, faults, ..picture(&snapshot, &groups, stored) }
    };
    compute_long(false, work).await
}

fn picture(snapshot: &Snapshot, groups: &Groups, stored: Stored) -> AutoscaleStatus {
    let memory = &stored.memory;
    let group_of = |node: &str| groups.of(node).map(|group| group.id.to_string());
    let group = |group: &crate::core::advise::groups::Group| {
        let here: Vec<bool> =
            group.nodes.iter().filter_map(|node| snapshot.node(node)).map(|info| info.node.may_be_ready()).collect();
        let count = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
        let leaving = memory.draining.values().chain(memory.removing.values());
        let removing = memory.removing.values().filter(|leaving| *leaving.group == *group.id).count();
        let pause = memory.groups.get(&*group.id).and_then(|memory| memory.backoff);
        GroupStatus {
            name: group.id.to_string(),
            min_size: group.min,
            max_size: group.max,
            target_size: group.target,
            ready: count(here.iter().filter(|ready| **ready).count()),
            unready: count(here.iter().filter(|ready| !**ready).count()),
            coming: group.target.saturating_sub(count(here.len() - removing.min(here.len()))),
            leaving: count(leaving.filter(|leaving| *leaving.group == *group.id).count()),
            pauses_until: pause.map(|pause| rfc3339(pause.until)),
        }
    };
    let leaving = |of: (&String, &Leaving), state| LeavingNode {
        node: of.0.clone(),
        group: of.1.group.clone(),
        state,
        since: rfc3339(of.1.since),
    };
    let (mood, until) = match &stored.mood {
        None => (None, None),
        Some(Mood::Watching) => (Some("watching"), None),
        Some(Mood::Unhealthy) => (Some("unhealthy"), None),
        Some(Mood::Cooldown(until)) => (Some("cooldown"), Some(rfc3339(*until))),
    };
    AutoscaleStatus {
        running: "",
        faults: Vec::new(),
        mood,
        until,
        revision: snapshot.revision,
        waiting_pods: snapshot.pods().filter(|pod| pod.waits()).count(),
        groups: groups.all().iter().map(group).collect(),
        nodes_without_group: snapshot.nodes().filter(|info| groups.of(info.name()).is_none()).count(),
        unneeded: memory
            .unneeded
            .iter()
            .map(|(node, since)| UnneededNode { node: node.clone(), group: group_of(node), since: rfc3339(*since) })
            .collect(),
        leaving: memory
            .draining
            .iter()
            .map(|of| leaving(of, "draining"))
            .chain(memory.removing.iter().map(|of| leaving(of, "removing")))
            .collect(),
        messages_waiting: stored.messages.len(),
        steps: stored.steps,
    }
}
