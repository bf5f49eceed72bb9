//! # Rule
//! The pod tolerates every taint of the node whose effect is `NoExecute`.
//!
//! # Policy name and framework plugin
//! `PodToleratesNodeNoExecuteTaints`; no plugin carried it. `PodToleratesNodeTaints`, which runs under every policy,
//! looks at these taints and at `NoSchedule`.
//!
//! # Kubernetes source
//! 1.8 to 1.17: `PodToleratesNodeNoExecuteTaints` in `pkg/scheduler/algorithm/predicates/predicates.go`. Neither 1.6 nor
//! 1.22 knew it.
//!
//! # Reason text
//! `node(s) had taints that the pod didn't tolerate`
//!
//! # Can preemption help?
//! No: unresolvable.
//!
//! # Example
//! A node tainted `maintenance:NoExecute` takes only pods that tolerate `maintenance`; one tainted
//! `maintenance:NoSchedule` takes any, as far as this predicate goes.

use super::{Build, Demand, Predicate, Registration, Standing};
use crate::{
    model::{Effect, Pod, first_untolerated},
    rule::{Identity, Reads},
    snapshot::Snapshot,
    verdict::Verdict,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "PodToleratesNodeNoExecuteTaints",
        aliases: &[],
        plugin: "PodToleratesNodeNoExecuteTaints",
        modern_plugin: None,
        arguments: &[],
        source: include_str!("pod_tolerates_node_no_execute_taints.rs"),
    },
    standing: Standing::Optional,
    build: Build::Rule(|_| Box::new(PodToleratesNodeNoExecuteTaints)),
};

struct PodToleratesNodeNoExecuteTaints;

impl Predicate for PodToleratesNodeNoExecuteTaints {
    fn prepare<'a>(&'a self, pod: &'a Pod, _: &'a Snapshot) -> Demand<'a> {
        Demand::check(|node| {
            let found = first_untolerated(&node.node.taints, &pod.spec.tolerations, |e| e == Effect::NoExecute);
            Verdict::fits_if(found.is_none(), || {
                Verdict::unresolvable("node(s) had taints that the pod didn't tolerate")
            })
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
        model::Effect::{NoExecute, NoSchedule},
        rule::{Arguments, Release},
        verdict::Verdict,
    };

    #[test]
    fn only_no_execute_taints_count() {
        let rule = predicate("PodToleratesNodeNoExecuteTaints", &Arguments::defaults(Release::V1_22));
        let cluster = [node("a").taint("t", "", NoSchedule), node("b").taint("t", "", NoExecute)];
        assert!(verdict_of(&*rule, pod("p"), &cluster, "a").fits());
        let refused = Verdict::unresolvable("node(s) had taints that the pod didn't tolerate");
        assert_eq!(verdict_of(&*rule, pod("p"), &cluster, "b"), refused);
        assert!(verdict_of(&*rule, pod("p").tolerates("t"), &cluster, "b").fits());
    }
}
