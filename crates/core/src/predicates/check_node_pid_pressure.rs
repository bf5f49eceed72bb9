//! # Rule
//! The node does not report the condition `PIDPressure: True`.
//!
//! # Policy name and framework plugin
//! `CheckNodePIDPressure`; no plugin carried it. Since 1.12 such a node is tainted
//! `node.kubernetes.io/pid-pressure:NoSchedule`, which `PodToleratesNodeTaints` looks at.
//!
//! # Kubernetes source
//! 1.10 to 1.17: `CheckNodePIDPressurePredicate` in `pkg/scheduler/algorithm/predicates/predicates.go`. 1.6 did not know
//! the condition.
//!
//! # Reason text
//! `node(s) had pid pressure`
//!
//! # Can preemption help?
//! No: unresolvable.
//!
//! # Example
//! A node that reports `PIDPressure: True` takes no new pod until processes have ended.

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
        name: "CheckNodePIDPressure",
        aliases: &[],
        plugin: "CheckNodePIDPressure",
        modern_plugin: None,
        arguments: &[],
        source: include_str!("check_node_pid_pressure.rs"),
    },
    standing: Standing::Optional,
    build: Build::Rule(|_| Box::new(CheckNodePidPressure)),
};

struct CheckNodePidPressure;

impl Predicate for CheckNodePidPressure {
    fn prepare<'a>(&'a self, _: &'a Pod, _: &'a Snapshot) -> Demand<'a> {
        Demand::check(|node| {
            let pressed = node.node.condition("PIDPressure") == Some(ConditionStatus::True);
            Verdict::fits_if(!pressed, || Verdict::unresolvable("node(s) had pid pressure"))
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
    fn a_node_under_pid_pressure_takes_no_pod() {
        let rule = predicate("CheckNodePIDPressure", &Arguments::defaults(Release::V1_22));
        let verdict = |node| verdict_of(&*rule, pod("p"), &[node], "n");
        assert!(verdict(node("n")).fits());
        assert!(verdict(node("n").condition("PIDPressure", False)).fits());
        assert!(verdict(node("n").condition("PIDPressure", Unknown)).fits());
        let pressed = verdict(node("n").condition("PIDPressure", True));
        assert_eq!(pressed, Verdict::unresolvable("node(s) had pid pressure"));
    }
}
