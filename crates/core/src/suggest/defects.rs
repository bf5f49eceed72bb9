//! The obstacles between a pod and a node, read off the pod's demands.

use super::Change;
use crate::{
    model::{
        Effect, HostPort, Labels, Name, Node, NodeSelector, Operator, Pod, Resources, WhenUnsatisfiable, resources,
    },
    node_info::NodeInfo,
    rule::Release,
};

/// Lists of changes, each of which might make the pod fit the node; `None` if the node is full.
pub(super) fn ways(pod: &Pod, node: &NodeInfo, release: Release) -> Option<Vec<Vec<Change>>> {
    let mut changes = lower_requests(pod, node, release)?;
    if !pod.node_name.is_empty() && pod.node_name != *node.name() {
        changes.push(Change::DropNodeName);
    }
    let taken = |port: &&HostPort| node.used_ports.iter().any(|used| port.conflicts_with(used));
    changes.extend(pod.spec.host_ports.iter().filter(taken).cloned().map(Change::DropHostPort));
    if node.node.unschedulable {
        changes.push(Change::Uncordon(node.name().clone()));
    }
    let keeps_off = node.node.taints.iter().filter(|taint| taint.effect != Effect::PreferNoSchedule);
    let untolerated = keeps_off.filter(|taint| !pod.spec.tolerations.iter().any(|t| t.tolerates(taint)));
    changes.extend(untolerated.cloned().map(Change::Tolerate));

    let missing: Vec<(Name, Name)> = missing_labels(&pod.spec.node_selector, node.labels());
    let affinity = pod.spec.affinity.node_required.as_ref().filter(|r| !r.matches(node.name(), node.labels()));
    if missing.is_empty() && affinity.is_none() {
        return Some(vec![changes]);
    }
    let mut dropped = changes.clone();
    dropped.extend(missing.iter().map(|(key, _)| Change::DropNodeSelector(key.clone())));
    dropped.extend(affinity.map(|_| Change::DropNodeAffinity));
    let wanted = affinity.map_or(Some(Vec::new()), |required| labels_for(required, node.labels()));
    let labelled = wanted.map(|wanted| {
        let pairs = missing.iter().cloned().chain(wanted);
        let label = |(key, value)| Change::LabelNode { node: node.name().clone(), key, value };
        changes.into_iter().chain(pairs.map(label)).collect()
    });
    Some([Some(dropped), labelled].into_iter().flatten().collect())
}

/// The pod's rules about other pods, as changes that give them up.
pub(super) fn rules_about_pods(pod: &Pod) -> Vec<Change> {
    let hard = pod.spec.topology_spread.iter().filter(|c| c.when_unsatisfiable == WhenUnsatisfiable::DoNotSchedule);
    let spread = hard.map(|constraint| Change::DropSpread(constraint.topology_key.clone()));
    let affinity = pod.spec.affinity.pod_required.iter().map(|term| Change::DropPodAffinity(term.topology_key.clone()));
    let apart =
        pod.spec.affinity.anti_required.iter().map(|term| Change::DropPodAntiAffinity(term.topology_key.clone()));
    let mut changes: Vec<Change> = Vec::new();
    for change in spread.chain(affinity).chain(apart) {
        if !changes.contains(&change) {
            changes.push(change);
        }
    }
    changes
}

/// `true` if the node would have room for the pod if it were empty.
pub(super) fn is_large_enough(pod: &Pod, node: &Node) -> bool {
    node.allocatable.pods > 0 && amounts(&pod.spec.requests).all(|(name, amount)| amount <= node.allocatable.get(&name))
}

/// Lowers requests to the free amounts; `None` if nothing is free, or the node takes no more pods.
fn lower_requests(pod: &Pod, node: &NodeInfo, release: Release) -> Option<Vec<Change>> {
    let (offered, held) = (&node.node.allocatable, node.held(release));
    if node.pods.len() as i64 >= offered.pods {
        return None;
    }
    let mut changes = Vec::new();
    for (resource, from) in amounts(&pod.spec.requests) {
        let to = offered.get(&resource).saturating_sub(held.get(&resource));
        if from > to {
            if to <= 0 {
                return None;
            }
            changes.push(Change::LowerRequest { resource, from, to });
        }
    }
    Some(changes)
}

/// The requests of the pod by name, without those that are 0.
fn amounts(requests: &Resources) -> impl Iterator<Item = (Name, i64)> {
    let plain = [
        (resources::CPU, requests.milli_cpu),
        (resources::MEMORY, requests.memory),
        (resources::EPHEMERAL_STORAGE, requests.ephemeral_storage),
    ];
    let plain = plain.map(|(name, amount)| (Name::from(name), amount));
    let scalar = requests.scalar.iter().map(|(name, amount)| (name.clone(), *amount));
    plain.into_iter().chain(scalar).filter(|(_, amount)| *amount > 0)
}

fn missing_labels(wanted: &Labels, there: &Labels) -> Vec<(Name, Name)> {
    wanted.iter().filter(|(key, value)| there.get(key) != Some(value)).cloned().collect()
}

/// Labels with which a node would meet the first term for which labels are enough; `None` where none is.
fn labels_for(required: &NodeSelector, there: &Labels) -> Option<Vec<(Name, Name)>> {
    required.0.iter().filter(|term| term.match_fields.is_empty()).find_map(|term| {
        let unmet = term.match_expressions.iter().filter(|r| !r.matches_value(there.get(&r.key).map(|v| &**v)));
        let label = |requirement: &crate::model::Requirement| match &requirement.operator {
            Operator::In(values) => values.first().map(|value| (requirement.key.clone(), value.clone())),
            Operator::Exists => Some((requirement.key.clone(), Name::default())),
            _ => None,
        };
        unmet.map(label).collect::<Option<Vec<_>>>().filter(|labels| !labels.is_empty())
    })
}
