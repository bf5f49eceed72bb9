//! # Rule
//! A pod with scheduling gates (`spec.schedulingGates`) fits no node until the last gate has been removed.
//!
//! # Policy name and framework plugin
//! `SchedulingGates` is no policy name: it came after policies and runs only in profiles of 1.34; plugin
//! `SchedulingGates`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/schedulinggates/scheduling_gates.go` (`PreEnqueue`), since 1.26. kube-scheduler does not
//! even try such a pod; a Podberth that is asked about it says why on every node. 1.22 and 1.6 know no gates.
//!
//! # Reason text
//! `waiting for scheduling gates: [<names>]`
//!
//! # Can preemption help?
//! No: unresolvable.
//!
//! # Example
//! A pod with the gate `example.com/quota` fits nowhere: `waiting for scheduling gates: [example.com/quota]`. Once the list
//! is empty it is judged like any other.

use super::{Build, Demand, Predicate, Registration, Standing};
use crate::{
    model::Pod,
    rule::{Identity, Reads},
    snapshot::Snapshot,
    verdict::Verdict,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "SchedulingGates",
        aliases: &[],
        plugin: "SchedulingGates",
        modern_plugin: Some("SchedulingGates"),
        arguments: &[],
        source: include_str!("scheduling_gates.rs"),
    },
    standing: Standing::ProfilesOnly,
    build: Build::Rule(|_| Box::new(SchedulingGates)),
};

struct SchedulingGates;

impl Predicate for SchedulingGates {
    fn prepare<'a>(&'a self, pod: &'a Pod, _: &'a Snapshot) -> Demand<'a> {
        if pod.spec.scheduling_gates.is_empty() {
            return Demand::Nothing;
        }
        Demand::Reject(Verdict::unresolvable(format!(
            "waiting for scheduling gates: [{}]",
            pod.spec.scheduling_gates.join(" ")
        )))
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Node
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{cluster, node, pod};
    use crate::{
        cycle,
        policy::{Configuration, Policy},
    };

    #[test]
    fn a_gated_pod_fits_nowhere_in_1_34_and_gates_are_unknown_in_1_22() {
        let snapshot = cluster([node("a").into(), node("b").into()]);
        let gated =
            pod("p").with(|p| p.spec_mut().scheduling_gates = vec!["example.com/quota".into(), "b".into()]).build();
        let modern = Configuration::default().compile(None).expect("the default profile compiles");
        let decision = cycle::decide(&modern, &gated, &snapshot, 0);
        assert_eq!(decision.message, "0/2 nodes are available: waiting for scheduling gates: [example.com/quota b].");
        assert!(decision.nodes.iter().all(|n| n.verdicts.len() == 1 && n.verdicts[0].verdict.is_unresolvable()));
        assert!(cycle::decide(&modern, &pod("free").build(), &snapshot, 0).selected.is_some());

        let legacy = Policy::default().compile().expect("the default policy compiles");
        assert!(cycle::decide(&legacy, &gated, &snapshot, 0).selected.is_some());
    }
}
