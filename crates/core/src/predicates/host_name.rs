//! # Rule
//! A pod that names a node (`spec.nodeName`) fits no other.
//!
//! # Policy name and framework plugin
//! `HostName`, also part of `GeneralPredicates`; plugin `NodeName`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/nodename/node_name.go`. In 1.6: `PodFitsHost` in
//! `plugin/pkg/scheduler/algorithm/predicates/predicates.go`. The rule never changed.
//!
//! # Reason text
//! `node(s) didn't match the requested node name`
//!
//! # Can preemption help?
//! No: unresolvable.
//!
//! # Example
//! `/explain` for a pod with `spec.nodeName: node-7` finds `node-7`, if all else lets it, and no other node.

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
        name: "HostName",
        aliases: &[],
        plugin: "NodeName",
        modern_plugin: Some("NodeName"),
        arguments: &[],
        source: include_str!("host_name.rs"),
    },
    standing: Standing::Optional,
    build: Build::Rule(|_| Box::new(HostName)),
};

struct HostName;

impl Predicate for HostName {
    fn prepare<'a>(&'a self, pod: &'a Pod, _: &'a Snapshot) -> Demand<'a> {
        if pod.node_name.is_empty() {
            return Demand::Nothing;
        }
        Demand::check(|node| {
            Verdict::fits_if(*node.name() == pod.node_name, || {
                Verdict::unresolvable("node(s) didn't match the requested node name")
            })
        })
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
    fn only_the_named_node_fits() {
        let rule = predicate("HostName", &Arguments::defaults(Release::V1_22));
        let cluster = [node("a"), node("b")];
        let verdict = |pod, on| verdict_of(&*rule, pod, &cluster, on);
        assert!(verdict(pod("free"), "a").fits());
        assert!(verdict(pod("bound").on("a"), "a").fits());
        let refused = verdict(pod("bound").on("a"), "b");
        assert_eq!(refused.reasons(), ["node(s) didn't match the requested node name"]);
        assert!(refused.is_unresolvable());
    }
}
