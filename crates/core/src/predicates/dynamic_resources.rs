//! # Rule
//! A pod with resource claims (`spec.resourceClaims`) fits no node: Podberth does not know the free devices of nodes yet, and does not
//! guess. A pod without claims fits everywhere.
//!
//! If kube-scheduler handles the claims itself and Podberth is its extender, turn the plugin off in Podberth's profile
//! (`disabled: [{name: DynamicResources}]`). Claims then rule out no node here.
//!
//! # Policy name and framework plugin
//! `DynamicResources` is no policy name: it came after policies and runs only in profiles of 1.34; plugin
//! `DynamicResources`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/dynamicresources/dynamicresources.go`, which allocates devices to claims. 1.22 and 1.6
//! know no resource claims.
//!
//! # Reason text
//! `resource claims are not evaluated by this release of Podberth`
//!
//! # Can preemption help?
//! No: unresolvable.
//!
//! # Example
//! A pod with `resourceClaims: [{name: gpu, resourceClaimName: gpu-1}]` fits nowhere, with that reason. Without the list it
//! is judged like any other.

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
        name: "DynamicResources",
        aliases: &[],
        plugin: "DynamicResources",
        modern_plugin: Some("DynamicResources"),
        arguments: &[],
        source: include_str!("dynamic_resources.rs"),
    },
    standing: Standing::ProfilesOnly,
    build: Build::Rule(|_| Box::new(DynamicResources)),
};

const NOT_EVALUATED: &str = "resource claims are not evaluated by this release of Podberth";

struct DynamicResources;

impl Predicate for DynamicResources {
    fn prepare<'a>(&'a self, pod: &'a Pod, _: &'a Snapshot) -> Demand<'a> {
        if pod.claims_resources { Demand::Reject(Verdict::unresolvable(NOT_EVALUATED)) } else { Demand::Nothing }
    }

    fn reads(&self, pod: &Pod, _: &Snapshot) -> Reads {
        if pod.claims_resources { Reads::Node } else { Reads::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::NOT_EVALUATED;
    use crate::testing::{cluster, node, pod};
    use crate::{
        cycle,
        policy::{Configuration, Policy},
    };

    #[test]
    fn pods_with_resource_claims_are_given_a_reason_in_1_34_and_claims_are_unknown_in_1_22() {
        let snapshot = cluster([node("a").into()]);
        let claiming = pod("p").with(|p| p.claims_resources = true).build();
        let modern = Configuration::default().compile(None).expect("the default profile compiles");
        let decision = cycle::decide(&modern, &claiming, &snapshot, 0);
        assert_eq!(decision.message, format!("0/1 nodes are available: {NOT_EVALUATED}."));
        assert!(cycle::decide(&modern, &pod("free").build(), &snapshot, 0).selected.is_some());
        let legacy = Policy::default().compile().expect("the default policy compiles");
        assert!(cycle::decide(&legacy, &claiming, &snapshot, 0).selected.is_some());
    }
}
