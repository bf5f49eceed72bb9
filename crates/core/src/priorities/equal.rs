//! # Rule
//! All nodes score the same, 1.
//!
//! # Policy name and framework plugin
//! `EqualPriority`; no plugin carries it. 1.22 takes the name and leaves it out of the sum; where a policy lists no other
//! priority, every node comes to 1.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/legacy_registry.go` of 1.22 (`ProcessPriorityPolicy`, `EqualPriority`) and
//! `pkg/scheduler/core/generic_scheduler.go` (`prioritizeNodes`). In 1.6 (`EqualPriorityMap` in
//! `plugin/pkg/scheduler/core/generic_scheduler.go`) it scored 1 for each node, times its weight, and also stood in for an
//! empty list. As all nodes get the same, the order of the nodes never depended on it.
//!
//! # Example
//! A policy with `priorities: [{name: EqualPriority, weight: 1}]` alone spreads pods over the nodes that fit by chance (here: by the
//! tie-break).

use super::{Priority, Registration, Scores};
use crate::{
    model::Pod,
    node_set::NodeSet,
    rule::{Identity, Reads},
    snapshot::Snapshot,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "EqualPriority",
        aliases: &[],
        plugin: "EqualPriority",
        modern_plugin: None,
        arguments: &[],
        source: include_str!("equal.rs"),
    },
    default_weight: None,
    build: |_| Box::new(Equal),
};

struct Equal;

impl Priority for Equal {
    fn score(&self, _: &Pod, _: &Snapshot, _: &NodeSet<'_>) -> Scores {
        Scores::Same(1)
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
    fn every_node_scores_one() {
        let rule = priority("EqualPriority", &Arguments::defaults(Release::V1_22));
        assert_eq!(scores_of(&*rule, pod("p").cpu("1"), &[node("a").cpu("1"), node("b")]), [1, 1]);
    }
}
