//! # Rule
//! A cordoned node (`spec.unschedulable`) takes only pods that tolerate the taint
//! `node.kubernetes.io/unschedulable:NoSchedule`, whether or not the node carries that taint as well.
//!
//! # Policy name and framework plugin
//! `CheckNodeUnschedulable`, under every policy even where it is not listed; plugin `NodeUnschedulable`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/nodeunschedulable/node_unschedulable.go`; the same in 1.22 and 1.34. In 1.6 there
//! was no such predicate: cordoned nodes were left out before any predicate was asked, whatever a pod tolerated
//! (`plugin/pkg/scheduler/factory/factory.go`, `getNodeConditionPredicate`).
//!
//! # Reason text
//! `node(s) were unschedulable`
//!
//! # Can preemption help?
//! No: unresolvable.
//!
//! # Example
//! After `kubectl cordon node-1` only pods of DaemonSets, which tolerate the taint, still go to `node-1`.

use super::{Build, Demand, Predicate, Registration, Standing};
use crate::{
    model::{Effect, Pod, Taint, UNSCHEDULABLE},
    node_info::NodeInfo,
    rule::{Identity, Reads},
    snapshot::Snapshot,
    verdict::Verdict,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "CheckNodeUnschedulable",
        aliases: &[],
        plugin: "NodeUnschedulable",
        modern_plugin: Some("NodeUnschedulable"),
        arguments: &[],
        source: include_str!("check_node_unschedulable.rs"),
    },
    standing: Standing::Mandatory,
    build: Build::Rule(|_| Box::new(CheckNodeUnschedulable)),
};

struct CheckNodeUnschedulable;

impl Predicate for CheckNodeUnschedulable {
    fn prepare<'a>(&'a self, pod: &'a Pod, _: &'a Snapshot) -> Demand<'a> {
        let cordon = Taint { key: UNSCHEDULABLE.into(), value: "".into(), effect: Effect::NoSchedule, added: None };
        if pod.spec.tolerations.iter().any(|t| t.tolerates(&cordon)) {
            return Demand::Nothing;
        }
        let verdict = |node: &NodeInfo| {
            Verdict::fits_if(!node.node.unschedulable, || Verdict::unresolvable("node(s) were unschedulable"))
        };
        Demand::sift(|block, asked| asked & !block.unschedulable, verdict)
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Node
    }
}

#[cfg(test)]
mod tests {
    use crate::rule::{Arguments, Release};
    use crate::testing::{node, pod, predicate, verdict_of};

    #[test]
    fn a_cordoned_node_takes_only_pods_that_tolerate_it() {
        let rule = predicate("CheckNodeUnschedulable", &Arguments::defaults(Release::V1_22));
        let cluster = [node("open"), node("cordoned").unschedulable()];
        assert!(verdict_of(&*rule, pod("p"), &cluster, "open").fits());
        let refused = verdict_of(&*rule, pod("p"), &cluster, "cordoned");
        assert_eq!(refused.reasons(), ["node(s) were unschedulable"]);
        assert!(refused.is_unresolvable());
        let daemon = pod("p").tolerates("node.kubernetes.io/unschedulable");
        assert!(verdict_of(&*rule, daemon, &cluster, "cordoned").fits());
        assert!(!verdict_of(&*rule, pod("p").tolerates("other"), &cluster, "cordoned").fits());
    }
}
