//! The reply for an answer over the server's own clusters.

use std::collections::BTreeMap;

use super::{
    commit::Done,
    own::{Answer, Member},
};
use crate::{
    core::{
        federation::{Ranking, Reason},
        model::Name,
    },
    wire::federation::{
        reply::{ClusterPlacementReport, NewNodesReport, NodeCount, RejectedCluster, RejectedReason, RoomReport},
        request::Commit,
    },
};

/// The rule whose reasons are those of nodes.
const CAPACITY: &str = "Capacity";

/// The reply.
pub(super) fn report(answer: &Answer) -> ClusterPlacementReport {
    let outcome = &answer.outcome;
    let mut report = ClusterPlacementReport::new(outcome);
    for placed in &mut report.clusters {
        let Some(member) = answer.member(&placed.name) else { continue };
        placed.room = room(member, answer.new_replicas(&placed.name, placed.replicas));
    }
    for rejected in &mut report.rejected {
        let Some(member) = answer.member(&rejected.name) else { continue };
        // In place of the number of replicas the reasons of the nodes.
        if rejected.reasons.iter().any(|reason| reason.rule == CAPACITY) {
            let nodes = member.counted.reasons.iter().map(|(text, nodes)| RejectedReason {
                rule: CAPACITY.into(),
                text: text.clone(),
                nodes: Some(*nodes),
            });
            rejected.reasons.extend(nodes);
        }
    }
    let is_left_out = |name: &&Name| !outcome.selected.is_empty() && !outcome.selected.contains(*name);
    for name in outcome.ranked.iter().map(|of| &of.cluster).filter(is_left_out) {
        report.rejected.push(rejected(name, "ClusterSpread", "the spread selects other clusters"));
    }
    for name in &answer.mirrors {
        let why = "it mirrors a live cluster, where pods are made: leave out commit to be told how many fit";
        report.rejected.push(rejected(name, "ClusterReady", why));
    }
    report.rejected.sort_by(|one, other| one.name.cmp(&other.name));
    report.decided_by = match &answer.request.ranking {
        Ranking::Weights(weights) => weights.iter().map(|(name, _)| name.to_string()).collect(),
        Ranking::Tree(names) => names.iter().map(ToString::to_string).collect(),
    };
    report.snapshot_revisions =
        answer.members.iter().map(|member| (member.name.to_string(), member.view.snapshot.revision)).collect();
    report.message = answer.outcome.reason.map(|reason| sentence(reason, answer));
    report
}

fn rejected(name: &Name, rule: &str, text: &str) -> RejectedCluster {
    let reason = RejectedReason { rule: rule.into(), text: text.into(), nodes: None };
    RejectedCluster { name: name.to_string(), reasons: vec![reason] }
}

/// The reply with what a commit did. The nodes are those on which the pods are by then.
pub(super) fn committed(mut report: ClusterPlacementReport, done: &Done, commit: Commit) -> ClusterPlacementReport {
    report.placement = Some(done.placement.clone());
    for (cluster, pods) in &done.pods {
        let Some(placed) = report.clusters.iter_mut().find(|placed| *placed.name == **cluster) else { continue };
        let room = &mut placed.room;
        let mut nodes: BTreeMap<&str, usize> = BTreeMap::new();
        for node in pods.iter().filter_map(|pod| pod.node.as_deref()) {
            *nodes.entry(node).or_default() += 1;
        }
        room.nodes = nodes.into_iter().map(|(name, count)| NodeCount { name: name.into(), count }).collect();
        room.pods = pods.iter().map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect();
    }
    report.committed = Some(if commit == Commit::Bind { "bind" } else { "reserve" });
    report
}

/// The room of a cluster that gets so many new replicas.
fn room(member: &Member, new: usize) -> RoomReport {
    let counted = &member.counted;
    let of = counted.room;
    let (on_existing, by_preemption) = (of.on_existing.unwrap_or(0), of.by_preemption);
    let mut nodes: BTreeMap<&str, usize> = BTreeMap::new();
    for node in counted.copies.iter().take(new).flatten() {
        *nodes.entry(node).or_default() += 1;
    }
    let after_scale_up = counted.scale_up.as_ref().map(|scale_up| {
        let count = scale_up.nodes.iter().filter(|name| nodes.contains_key(&***name)).count();
        NewNodesReport {
            template: scale_up.template.name.to_string(),
            replicas: of.after_scale_up,
            count,
            wait_seconds: scale_up.template.start / 1_000_000_000,
            cost: scale_up.template.cost.map(|cost| cost.approximate() * count as f64),
        }
    });
    RoomReport {
        available: Some(on_existing + by_preemption + of.after_scale_up),
        on_existing: Some(on_existing),
        by_preemption,
        after_scale_up,
        nodes: nodes.into_iter().map(|(name, count)| NodeCount { name: name.into(), count }).collect(),
        pods: Vec::new(),
    }
}

/// A reason in a sentence.
fn sentence(reason: Reason, answer: &Answer) -> String {
    let outcome = &answer.outcome;
    let (fitting, rejected) = (outcome.ranked.len(), outcome.rejected.len());
    match reason {
        Reason::NoClusterFits => {
            format!("none of {rejected} clusters passes the rules: rejected tells why each does not")
        }
        Reason::TooFewClusters => {
            format!("{fitting} clusters pass the rules, fewer than minGroups of the spread by cluster")
        }
        Reason::TooFewRegions => format!(
            "the {fitting} clusters that pass the rules are in fewer regions than minGroups of the spread by region"
        ),
        Reason::TooFewGroups => format!(
            "the {fitting} clusters that pass the rules have fewer values of the label than minGroups of the spread by it"
        ),
        Reason::RegionsTooSmall | Reason::GroupsTooSmall => {
            format!("no allowed set of groups of the {fitting} clusters that pass the rules has minGroups clusters")
        }
        Reason::InsufficientReplicas => {
            // Without a selection those that passed the rules.
            let ranked = outcome.ranked.iter().map(|of| &of.cluster).filter(|_| outcome.selected.is_empty());
            let chosen = outcome.selected.iter().chain(ranked).filter_map(|name| answer.member(name));
            let room: i64 = chosen.map(|member| member.counted.copies.len() as i64).sum();
            let skew = answer.request.by_skew().filter(|_| room >= outcome.unplaced);
            let skew = skew.map_or_else(String::new, |(_, skew)| format!(", but not within the maxSkew of {skew}"));
            format!("the clusters have room for {room} more replicas{skew}; {} have no place", outcome.unplaced)
        }
    }
}
