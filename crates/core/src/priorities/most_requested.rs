//! # Rule
//! The larger the requested share of a node, the higher its score, so that pods are packed onto few nodes. For each resource, with the
//! requests of the pods on the node and of the incoming pod:
//!
//! ```text
//! score(r) = min(requested, allocatable) × 100 / allocatable    rounded down
//! score    = Σ score(r) × weight(r) / Σ weight(r)               rounded down
//! ```
//!
//! Requests count as in `LeastRequestedPriority`.
//!
//! # Policy name and framework plugin
//! `MostRequestedPriority`; plugin `NodeResourcesMostAllocated`. In 1.34: `NodeResourcesFit` with the scoring strategy
//! `MostAllocated`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/noderesources/most_allocated.go`, `resource_allocation.go`; 1.22 and 1.34 differ as in
//! `LeastRequestedPriority`. 1.6 (`most_requested.go` in `plugin/pkg/scheduler/algorithm/priorities`) scored 0 to 10 and
//! gave 0 where more was requested than there is, which the defaults can bring about on a full node.
//!
//! # Arguments
//! A profile says which resources count and how much (`scoringStrategy.resources`). Under a policy it is CPU and memory,
//! each with weight 1.
//!
//! # Example
//! A pod that requests 1 CPU and 1Gi, on a node of 4 CPUs and 8Gi where 1 CPU and 3Gi are taken: CPU 2×100/4 = 50,
//! memory 4×100/8 = 50; score 50. On an empty node of that size: 25 and 12; score 18.

use super::{
    Priority, Registration, Scores,
    arithmetic::percent,
    resource_scoring::{ResourceScoring, STRATEGY, Share},
};
use crate::{
    model::Pod,
    node_set::NodeSet,
    rule::{Identity, Reads},
    snapshot::Snapshot,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "MostRequestedPriority",
        aliases: &[],
        plugin: "NodeResourcesMostAllocated",
        modern_plugin: Some("NodeResourcesFit"),
        arguments: &[&STRATEGY],
        source: include_str!("most_requested.rs"),
    },
    default_weight: None,
    build: |arguments| Box::new(MostRequested(ResourceScoring::of_requests(arguments))),
};

struct MostRequested(ResourceScoring);

impl Priority for MostRequested {
    fn score(&self, pod: &Pod, _: &Snapshot, candidates: &NodeSet<'_>) -> Scores {
        self.0.mean(pod, candidates, requested)
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Node
    }
}

fn requested(share: &Share) -> i64 {
    percent(share.requested.min(share.allocatable), share.allocatable)
}

#[cfg(test)]
mod tests {
    use crate::testing::{node, pod, priority, scores_of};
    use crate::{
        rule::{Arguments, Release},
        snapshot::Object,
    };

    #[test]
    fn the_fuller_node_scores_higher() {
        let objects: [Object; 4] = [
            node("a").cpu("4").memory("8Gi").into(),
            node("b").cpu("4").memory("8Gi").into(),
            node("c").cpu("50m").memory("8Gi").into(),
            pod("there").cpu("1").memory("3Gi").on("a").into(),
        ];
        for release in [Release::V1_22, Release::V1_34] {
            let rule = priority("MostRequestedPriority", &Arguments::defaults(release));
            // a: cpu 2000×100/4000 = 50, memory 4×100/8 = 50
            // b: cpu 25, memory 12.5 → 12; 37/2 = 18.5 → 18
            // c: cpu capped 100, memory 12; 112/2 = 56
            assert_eq!(scores_of(&*rule, pod("p").cpu("1").memory("1Gi"), &objects), [50, 18, 56]);
        }
        let rule = priority("MostRequestedPriority", &Arguments::defaults(Release::V1_34));
        // defaults 100m and 200Mi: a: cpu 27, memory (3072+200)×100/8192 = 39; 66/2 = 33
        // b: cpu 2, memory 2; c: cpu 100 > 50 → 100, memory 2; 102/2 = 51
        assert_eq!(scores_of(&*rule, pod("p"), &objects), [33, 2, 51]);
    }
}
