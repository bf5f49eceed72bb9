//! # Rule
//! If the node reports the condition `MemoryPressure: True`, it takes only pods with a request or limit of CPU or memory: pods of quality
//! of service `BestEffort` are kept off.
//!
//! # Policy name and framework plugin
//! `CheckNodeMemoryPressure`; no plugin carried it. Since 1.12 such a node is tainted
//! `node.kubernetes.io/memory-pressure:NoSchedule`, which `PodToleratesNodeTaints` looks at.
//!
//! # Kubernetes source
//! 1.4 to 1.17: `CheckNodeMemoryPressurePredicate` in `pkg/scheduler/algorithm/predicates/predicates.go`,
//! `pkg/apis/core/v1/helper/qos/qos.go`. The same in 1.6, where it was a default predicate.
//!
//! # Reason text
//! `node(s) had memory pressure`
//!
//! # Can preemption help?
//! No: unresolvable.
//!
//! # Example
//! A node that reports `MemoryPressure: True` takes a pod that requests 10m of CPU, but none that requests nothing.

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
        name: "CheckNodeMemoryPressure",
        aliases: &[],
        plugin: "CheckNodeMemoryPressure",
        modern_plugin: None,
        arguments: &[],
        source: include_str!("check_node_memory_pressure.rs"),
    },
    standing: Standing::Optional,
    build: Build::Rule(|_| Box::new(CheckNodeMemoryPressure)),
};

struct CheckNodeMemoryPressure;

impl Predicate for CheckNodeMemoryPressure {
    fn prepare<'a>(&'a self, pod: &'a Pod, _: &'a Snapshot) -> Demand<'a> {
        if !pod.is_best_effort() {
            return Demand::Nothing;
        }
        Demand::check(|node| {
            let pressed = node.node.condition("MemoryPressure") == Some(ConditionStatus::True);
            Verdict::fits_if(!pressed, || Verdict::unresolvable("node(s) had memory pressure"))
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
        model::ConditionStatus::{False, True},
        rule::{Arguments, Release},
        verdict::Verdict,
    };

    #[test]
    fn only_best_effort_pods_are_kept_off() {
        let rule = predicate("CheckNodeMemoryPressure", &Arguments::defaults(Release::V1_22));
        let verdict = |pod, status| verdict_of(&*rule, pod, &[node("n").condition("MemoryPressure", status)], "n");
        let refused = Verdict::unresolvable("node(s) had memory pressure");
        assert_eq!(verdict(pod("p"), True), refused);
        assert_eq!(verdict(pod("p").cpu("0").requests("nvidia.com/gpu", "1"), True), refused);
        assert_eq!(verdict(pod("p").overhead(&[("cpu", "50m")]), True), refused);
        assert!(verdict(pod("p"), False).fits());
        assert!(verdict(pod("p").cpu("10m"), True).fits());
        assert!(verdict(pod("p").limits(&[("memory", "1Gi")]), True).fits());
    }
}
