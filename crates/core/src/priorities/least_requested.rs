//! # Rule
//! The larger the unrequested share of a node, the higher its score. For each resource, with the requests of the pods on the node and of
//! the incoming pod:
//!
//! ```text
//! score(r) = (allocatable − requested) × 100 / allocatable      rounded down; 0 where requested > allocatable
//! score    = Σ score(r) × weight(r) / Σ weight(r)               rounded down
//! ```
//!
//! A container that names no CPU request counts as 100m, one that names no memory request as 200Mi. A resource that the
//! node does not offer is left out, as is a scalar resource that the pod does not request.
//!
//! # Policy name and framework plugin
//! `LeastRequestedPriority`, by default with weight 1; plugin `NodeResourcesLeastAllocated`. In 1.34: `NodeResourcesFit`
//! with the scoring strategy `LeastAllocated`, which is the default.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/noderesources/least_allocated.go`, `resource_allocation.go`. For the incoming pod 1.22
//! adds the CPU of `spec.overhead` in whole cores where thousandths are meant (250m count as 1m); 1.34 adds it in full,
//! and looks at its containers alone, not at amounts given for the pod as a whole. 1.6 (`least_requested.go` in
//! `plugin/pkg/scheduler/algorithm/priorities`) scored 0 to 10 from CPU and memory, without init containers and overhead.
//!
//! # Arguments
//! A profile says which resources count and how much (`scoringStrategy.resources`). Under a policy it is CPU and memory,
//! each with weight 1.
//!
//! # Example
//! A pod that requests 1 CPU and 1Gi, on a node of 4 CPUs and 8Gi where 1 CPU and 3Gi are taken: CPU (4−2)×100/4 = 50,
//! memory (8−4)×100/8 = 50; score 50.

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
        name: "LeastRequestedPriority",
        aliases: &[],
        plugin: "NodeResourcesLeastAllocated",
        modern_plugin: Some("NodeResourcesFit"),
        arguments: &[&STRATEGY],
        source: include_str!("least_requested.rs"),
    },
    default_weight: Some(1),
    build: |arguments| Box::new(LeastRequested(ResourceScoring::of_requests(arguments))),
};

struct LeastRequested(ResourceScoring);

impl Priority for LeastRequested {
    fn score(&self, pod: &Pod, _: &Snapshot, candidates: &NodeSet<'_>) -> Scores {
        self.0.mean(pod, candidates, unrequested)
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Node
    }
}

fn unrequested(share: &Share) -> i64 {
    if share.requested > share.allocatable {
        return 0;
    }
    percent(share.allocatable.saturating_sub(share.requested), share.allocatable)
}

#[cfg(test)]
mod tests {
    use super::STRATEGY;
    use crate::argument::ScoringStrategy;
    use crate::testing::{node, pod, priority, scores_of};
    use crate::{
        rule::{Arguments, Release, ResourceWeight},
        snapshot::Object,
    };

    fn nodes() -> [Object; 4] {
        [
            node("a").cpu("4").memory("8Gi").into(),
            node("b").cpu("4").into(),
            node("c").cpu("500m").memory("8Gi").into(),
            pod("there").cpu("1").memory("3Gi").on("a").into(),
        ]
    }

    #[test]
    fn the_emptier_node_scores_higher() {
        let asks = pod("p").cpu("1").memory("1Gi");
        for release in [Release::V1_22, Release::V1_34] {
            let rule = priority("LeastRequestedPriority", &Arguments::defaults(release));
            // a: cpu (4000-2000)×100/4000 = 50, memory (8-4)×100/8 = 50
            // b: cpu (4000-1000)×100/4000 = 75; no memory offered
            // c: cpu 1000 > 500 → 0, memory (8-1)×100/8 = 87.5 → 87; 87/2 = 43.5 → 43
            assert_eq!(scores_of(&*rule, asks.clone(), &nodes()), [50, 75, 43]);
        }
    }

    #[test]
    fn a_profile_weighs_the_resources() {
        let mut arguments = Arguments::defaults(Release::V1_34);
        let resources =
            [("cpu", 1), ("memory", 3)].map(|(name, weight)| ResourceWeight { name: name.into(), weight }).to_vec();
        arguments.set(&STRATEGY, ScoringStrategy { kind: "LeastAllocated".into(), resources, shape: None });
        let rule = priority("LeastRequestedPriority", &arguments);
        // a: (50 + 3×50)/4; b: 75/1; c: (0 + 3×87)/4 = 65.25 → 65
        assert_eq!(scores_of(&*rule, pod("p").cpu("1").memory("1Gi"), &nodes()), [50, 75, 65]);
    }
}
