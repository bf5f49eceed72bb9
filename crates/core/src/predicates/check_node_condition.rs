//! # Rule
//! The node is `Ready`, its network is available (condition `NetworkUnavailable` is `False`) and it is not cordoned. A
//! condition that the node does not report is ignored; a condition that is `Unknown` counts as a fault.
//!
//! # Policy name and framework plugin
//! `CheckNodeCondition`; no plugin carried it. Since 1.12 nodes that are not ready are tainted, which
//! `PodToleratesNodeTaints` looks at.
//!
//! # Kubernetes source
//! 1.8 to 1.17, where it ran under every policy until taints took its place: `CheckNodeConditionPredicate` in
//! `pkg/scheduler/algorithm/predicates/predicates.go`. 1.6 left such nodes out before any predicate was asked.
//!
//! # Reason text
//! `node(s) were not ready`, `node(s) had unavailable network`, `node(s) were unschedulable`: all that apply, conditions in
//! the node's order.
//!
//! # Can preemption help?
//! No: unresolvable.
//!
//! # Example
//! A node whose kubelet has been silent for a while has `Ready: Unknown` and gets `node(s) were not ready`.

use super::{Build, Demand, Predicate, Registration, Standing};
use crate::{
    model::{ConditionStatus, Pod},
    rule::{Identity, Reads},
    snapshot::Snapshot,
    verdict::{Reason, Verdict},
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "CheckNodeCondition",
        aliases: &[],
        plugin: "CheckNodeCondition",
        modern_plugin: None,
        arguments: &[],
        source: include_str!("check_node_condition.rs"),
    },
    standing: Standing::Optional,
    build: Build::Rule(|_| Box::new(CheckNodeCondition)),
};

struct CheckNodeCondition;

impl Predicate for CheckNodeCondition {
    fn prepare<'a>(&'a self, _: &'a Pod, _: &'a Snapshot) -> Demand<'a> {
        Demand::check(|node| {
            let faults = node.node.conditions.iter().filter_map(|(kind, status)| match (&**kind, status) {
                ("Ready", ConditionStatus::False | ConditionStatus::Unknown) => Some("node(s) were not ready"),
                ("NetworkUnavailable", ConditionStatus::True | ConditionStatus::Unknown) => {
                    Some("node(s) had unavailable network")
                }
                _ => None,
            });
            let cordoned = node.node.unschedulable.then_some("node(s) were unschedulable");
            let reasons: Vec<Reason> = faults.chain(cordoned).map(Reason::from).collect();
            Verdict::fits_if(reasons.is_empty(), || Verdict::UnschedulableAndUnresolvable(reasons))
        })
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Node
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{node, pod, predicate, verdict_of};
    use crate::{
        model::ConditionStatus::{False, True, Unknown},
        rule::{Arguments, Release},
    };

    #[test]
    fn the_node_is_ready_and_reachable() {
        let rule = predicate("CheckNodeCondition", &Arguments::defaults(Release::V1_22));
        let cases: [(_, &[&str]); 5] = [
            (node("n"), &[]),
            (node("n").condition("Ready", True).condition("NetworkUnavailable", False), &[]),
            (node("n").condition("Ready", Unknown), &["node(s) were not ready"]),
            (
                node("n").condition("NetworkUnavailable", True).condition("Ready", False).unschedulable(),
                &["node(s) had unavailable network", "node(s) were not ready", "node(s) were unschedulable"],
            ),
            (node("n").condition("MemoryPressure", True), &[]),
        ];
        for (node, reasons) in cases {
            let verdict = verdict_of(&*rule, pod("p"), &[node], "n");
            assert_eq!(verdict.reasons(), reasons);
            assert_eq!(verdict.is_unresolvable(), !reasons.is_empty());
        }
    }
}
