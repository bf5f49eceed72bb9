//! Groups that are alike, among which new nodes are spread evenly.
//!
//! Two groups are similar if their nodes have equal capacity but for memory within 1.5 %, allocatable and free amounts within 5 %, and equal
//! labels but for host, zone, region and the ignored ones.
//!
//! Source: `cluster-autoscaler/processors/nodegroupset/compare_nodegroups.go`,
//! `cluster-autoscaler/processors/nodegroupset/balancing_processor.go`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Group, limits::capacity, room, template::Template};
use crate::model::{Labels, Name, Resources, topology::HOSTNAME};

/// Labels that need not be equal.
const IGNORED: [&str; 7] = [
    HOSTNAME,
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "beta.kubernetes.io/fluentd-ds-ready",
    "kops.k8s.io/instancegroup",
];

/// The part by which the memory of two nodes may differ.
const MEMORY_CAPACITY: f64 = 0.015;
/// The part by which allocatable and free amounts of two nodes may differ.
const OFFERED: f64 = 0.05;

/// `true` if nodes of both groups are alike.
pub(super) fn are_similar(a: &Template, b: &Template, ignored: &[Name]) -> bool {
    let (all_a, all_b) = (amounts(capacity(&a.node)), amounts(capacity(&b.node)));
    let same_capacity = all_a.len() == all_b.len()
        && all_a.iter().zip(&all_b).all(|((name, a), (other, b))| {
            name == other && if *name == "memory" { is_within(*a, *b, MEMORY_CAPACITY) } else { a == b }
        });
    let same_share = |a: &BTreeMap<&str, i64>, b: &BTreeMap<&str, i64>| {
        let within =
            |((name, a), (other, b)): ((&&str, &i64), (&&str, &i64))| name == other && is_within(*a, *b, OFFERED);
        a.len() == b.len() && a.iter().zip(b).all(within)
    };
    same_capacity
        && same_share(&amounts(&a.node.allocatable), &amounts(&b.node.allocatable))
        && same_share(&free(a), &free(b))
        && counted_labels(&a.node.labels, ignored).eq(counted_labels(&b.node.labels, ignored))
}

fn counted_labels<'l>(labels: &'l Labels, ignored: &'l [Name]) -> impl Iterator<Item = &'l (Name, Name)> {
    labels.iter().filter(move |(key, _)| !IGNORED.contains(&&**key) && !ignored.contains(key))
}

/// The amounts that are not 0, by name.
fn amounts(resources: &Resources) -> BTreeMap<&str, i64> {
    let Resources { milli_cpu, memory, ephemeral_storage, pods, scalar } = resources;
    let plain = [("cpu", *milli_cpu), ("memory", *memory), ("ephemeral-storage", *ephemeral_storage), ("pods", *pods)];
    let scalar = scalar.iter().map(|(name, amount)| (&**name, *amount));
    plain.into_iter().chain(scalar).filter(|(_, amount)| *amount != 0).collect()
}

/// Amounts that are left on a new node. Only those that every node has, and those that its own pods ask for, count.
fn free(template: &Template) -> BTreeMap<&str, i64> {
    let offered = &template.node.allocatable;
    let mut requested = Resources::default();
    let mut named = BTreeSet::from(["cpu", "memory", "ephemeral-storage", "pods"]);
    for pod in &template.pods {
        requested.add(&pod.spec.requests);
        named.extend(pod.spec.requests.scalar.keys().map(|name| &**name));
    }
    named.into_iter().map(|name| (name, offered.get(name).saturating_sub(requested.get(name)))).collect()
}

fn is_within(a: i64, b: i64, part: f64) -> bool {
    let (larger, smaller) = (a.max(b) as f64, a.min(b) as f64);
    larger - smaller <= larger * part
}

/// Spreads so many new nodes over groups, each to the smallest one. Returns how many each gets.
pub(super) fn balance(groups: &[&Group], new_nodes: usize) -> Vec<(Name, usize)> {
    let mut sizes: Vec<(&Group, usize)> =
        groups.iter().filter(|group| room(group) > 0).map(|group| (*group, group.target as usize)).collect();
    sizes.sort_by_key(|(_, size)| *size);
    let room_of_all = sizes.iter().map(|(group, _)| room(group)).fold(0, usize::saturating_add);
    let (mut start, mut current) = (0, 0);
    let mut left = new_nodes.min(room_of_all);
    while left > 0 {
        crate::work::spend(1);
        if sizes[current].1 < sizes[current].0.max as usize {
            sizes[current].1 += 1;
            left -= 1;
        } else {
            sizes.swap(start, current);
            start += 1;
        }
        let is_larger = sizes.get(current + 1).is_some_and(|(_, next)| sizes[current].1 > *next);
        current = if is_larger { current + 1 } else { start };
    }
    let grown = sizes.into_iter().filter(|(group, size)| *size > group.target as usize);
    grown.map(|(group, size)| (group.id.clone(), size - group.target as usize)).collect()
}
