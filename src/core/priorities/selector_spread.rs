//! # Rule
//! Spreads the pods that belong together over nodes and zones. They are the pods of the namespace, not being deleted,
//! that are selected by all services that select the incoming pod and by the ReplicationController, ReplicaSet or
//! StatefulSet that owns it. Over the nodes that fit:
//!
//! - by node: `100 × (most on any node − those on the node) / most on any node`, or 100 where there are none;
//! - by zone (region and zone together): the same with the pods on all nodes of the zone;
//! - `score = ⌊by node / 3 + by zone × 2 / 3⌋`; of a node without a zone, what it is by node.
//!
//! All score 0 for a pod with topology spread constraints of its own.
//!
//! # Policy name and framework plugin
//! `SelectorSpreadPriority`, also called `ServiceSpreadingPriority`; plugin `SelectorSpread`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/selectorspread/selector_spread.go`. With the feature gate `DefaultPodTopologySpread`,
//! on by default in 1.22, the name stood for `PodTopologySpread` with kube-scheduler's own constraints instead
//! (`pkg/scheduler/framework/plugins/legacy_registry.go`); Podberth keeps the rule that the name was made for. In 1.6
//! (`plugin/pkg/scheduler/algorithm/priorities/selector_spreading.go`) pods counted that **any** of the selectors selected,
//! all controllers with a matching selector counted as owners, the score went to 10, zones were known by the labels
//! `failure-domain.beta.kubernetes.io/…` only, and `ServiceSpreadingPriority` looked at services alone. Gone since 1.23,
//! in favour of topology spreading.
//!
//! # Example
//! Nodes `a` and `b` in `az1`, `c` in `az2`; 2 pods of the service on `a`, 1 on `c`. `a`: 0 / 3 + 0 × 2 / 3 = 0;
//! `b`: 100 / 3 + 0 = 33; `c`: 50 / 3 + 50 × 2 / 3 = 50.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{MAX_NODE_SCORE, Priority, Registration};
use crate::core::{
    grouping,
    model::{Pod, topology::zone_key},
    rule::Identity,
    snapshot::{NodeInfo, Snapshot},
};

/// How much of the score is the zone's.
const ZONE_WEIGHT: f64 = 2.0 / 3.0;

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "SelectorSpreadPriority",
        aliases: &["ServiceSpreadingPriority"],
        plugin: "SelectorSpread",
        modern_plugin: None,
        source: include_str!("selector_spread.rs"),
    },
    default_weight: Some(1),
    build: |_| Box::new(SelectorSpread),
};

struct SelectorSpread;

impl Priority for SelectorSpread {
    fn score(&self, pod: &Pod, snapshot: &Snapshot, candidates: &[Arc<NodeInfo>]) -> Vec<i64> {
        if !pod.topology_spread.is_empty() {
            return vec![0; candidates.len()];
        }
        let selector = grouping::default_selector(pod, snapshot);
        let count = |node| {
            if selector.is_empty() { 0 } else { grouping::count_selected(node, &pod.namespace, &selector) }
        };
        let counts: Vec<i64> = candidates.iter().map(|node| count(node)).collect();
        let mut by_zone = FxHashMap::default();
        for (node, count) in candidates.iter().zip(&counts) {
            if let Some(zone) = zone_key(node.labels()) {
                *by_zone.entry(zone).or_default() += count;
            }
        }
        let most_by_node = counts.iter().copied().max().unwrap_or(0);
        let most_by_zone = by_zone.values().copied().max().unwrap_or(0);
        let score = |(node, count): (&Arc<NodeInfo>, &i64)| {
            let by_node = free(*count, most_by_node);
            match zone_key(node.labels()).and_then(|zone| by_zone.get(&zone)) {
                Some(in_zone) => by_node * (1.0 - ZONE_WEIGHT) + ZONE_WEIGHT * free(*in_zone, most_by_zone),
                None => by_node,
            }
        };
        candidates.iter().zip(&counts).map(|pair| score(pair) as i64).collect()
    }
}

fn free(count: i64, most: i64) -> f64 {
    let share = if most > 0 { (most - count) as f64 / most as f64 } else { 1.0 };
    MAX_NODE_SCORE as f64 * share
}
