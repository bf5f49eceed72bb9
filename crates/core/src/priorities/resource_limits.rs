//! # Rule
//! A node that could hold the pod's CPU limit, or its memory limit, when empty scores 1, else 0:
//!
//! ```text
//! holds(r) = limit ≠ 0 and limit ≤ allocatable
//! score    = 1 where holds(cpu) or holds(memory), else 0
//! ```
//!
//! A pod is limited to the sum of its containers or, if that is higher, to its largest init container. The score is deliberately not
//! scaled: 1 of 100 decides between nodes that are otherwise equal.
//!
//! # Policy name and framework plugin
//! `ResourceLimitsPriority`; plugin `NodeResourceLimits`, which is gone in 1.22.
//!
//! # Kubernetes source
//! 1.9 to 1.19, where the feature gate `ResourceLimitsPriorityFunction` was on:
//! `pkg/scheduler/algorithm/priorities/resource_limits.go` (`ResourceLimitsPriorityMap`), from 1.17
//! `pkg/scheduler/framework/plugins/noderesources/resource_limits.go`. 1.6 did not know it.
//!
//! # Example
//! A pod that may use up to 4 CPUs: a node of 8 CPUs scores 1, one of 2 CPUs scores 0.

use super::{Priority, Registration, Scores};
use crate::{
    block::NodeRef,
    model::Pod,
    node_set::NodeSet,
    rule::{Identity, Reads},
    snapshot::Snapshot,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "ResourceLimitsPriority",
        aliases: &[],
        plugin: "NodeResourceLimits",
        modern_plugin: None,
        arguments: &[],
        source: include_str!("resource_limits.rs"),
    },
    default_weight: None,
    build: |_| Box::new(ResourceLimits),
};

struct ResourceLimits;

impl Priority for ResourceLimits {
    fn score(&self, pod: &Pod, _: &Snapshot, candidates: &NodeSet<'_>) -> Scores {
        let holds = |limit: i64, allocatable: i64| limit != 0 && limit <= allocatable;
        let score = |node: NodeRef<'_>| {
            let offered = &node.node.allocatable;
            i64::from(
                holds(pod.spec.limits.milli_cpu, offered.milli_cpu) || holds(pod.spec.limits.memory, offered.memory),
            )
        };
        Scores::of_each(candidates, score)
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Node
    }
}

#[cfg(test)]
mod tests {
    use crate::rule::{Arguments, Release};
    use crate::testing::{node, pod, priority, scores_of};

    #[test]
    fn one_limit_that_the_node_can_hold_is_enough() {
        let rule = priority("ResourceLimitsPriority", &Arguments::defaults(Release::V1_22));
        let nodes = [node("a").cpu("8").memory("1Gi"), node("b").cpu("2").memory("16Gi"), node("c").cpu("2")];
        assert_eq!(scores_of(&*rule, pod("p").limits(&[("cpu", "4")]), &nodes), [1, 0, 0]);
        assert_eq!(scores_of(&*rule, pod("p").limits(&[("cpu", "4"), ("memory", "2Gi")]), &nodes), [1, 1, 0]);
        assert_eq!(scores_of(&*rule, pod("p").limits(&[("cpu", "2")]), &nodes), [1, 1, 1]);
        assert_eq!(scores_of(&*rule, pod("p"), &nodes), [0, 0, 0]);
    }
}
