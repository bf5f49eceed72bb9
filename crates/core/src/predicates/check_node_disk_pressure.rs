//! # Rule
//! The node does not report the condition `DiskPressure: True`.
//!
//! # Policy name and framework plugin
//! `CheckNodeDiskPressure`; no plugin carried it. Since 1.12 such a node is tainted
//! `node.kubernetes.io/disk-pressure:NoSchedule`, which `PodToleratesNodeTaints` looks at.
//!
//! # Kubernetes source
//! 1.4 to 1.17: `CheckNodeDiskPressurePredicate` in `pkg/scheduler/algorithm/predicates/predicates.go`. The same in 1.6, where it was a
//! default predicate.
//!
//! # Reason text
//! `node(s) had disk pressure`
//!
//! # Can preemption help?
//! No: unresolvable.
//!
//! # Example
//! A node that reports `DiskPressure: True` takes no new pod until it has freed space.

use super::{Build, Demand, Predicate, Registration, Standing};
use crate::{
    model::{ConditionStatus, Pod},
    rule::{Identity, Reads},
    snapshot::Snapshot,
    verdict::Verdict,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "CheckNodeDiskPressure",
        aliases: &[],
        plugin: "CheckNodeDiskPressure",
        modern_plugin: None,
        arguments: &[],
        source: include_str!("check_node_disk_pressure.rs"),
    },
    standing: Standing::Optional,
    build: Build::Rule(|_| Box::new(CheckNodeDiskPressure)),
};

struct CheckNodeDiskPressure;

impl Predicate for CheckNodeDiskPressure {
    fn prepare<'a>(&'a self, _: &'a Pod, _: &'a Snapshot) -> Demand<'a> {
        Demand::check(|node| {
            let pressed = node.node.condition("DiskPressure") == Some(ConditionStatus::True);
            Verdict::fits_if(!pressed, || Verdict::unresolvable("node(s) had disk pressure"))
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
        verdict::Verdict,
    };

    #[test]
    fn a_node_under_disk_pressure_takes_no_pod() {
        let rule = predicate("CheckNodeDiskPressure", &Arguments::defaults(Release::V1_22));
        let verdict = |node| verdict_of(&*rule, pod("p"), &[node], "n");
        assert!(verdict(node("n")).fits());
        assert!(verdict(node("n").condition("DiskPressure", False)).fits());
        assert!(verdict(node("n").condition("DiskPressure", Unknown)).fits());
        let pressed = verdict(node("n").condition("DiskPressure", True));
        assert_eq!(pressed, Verdict::unresolvable("node(s) had disk pressure"));
    }
}
