//! # Rule
//! The four predicates that every node's own kubelet checks again, under one name: `PodFitsResources`, `HostName`,
//! `PodFitsHostPorts` and `MatchNodeSelector`.
//!
//! # Policy name and framework plugin
//! `GeneralPredicates`; plugins `NodeResourcesFit`, `NodeName`, `NodePorts` and `NodeAffinity`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/legacy_registry.go` (`registerPredicateConfigProducer(GeneralPred, …)`). In 1.6:
//! `GeneralPredicates` in `plugin/pkg/scheduler/algorithm/predicates/predicates.go`.
//!
//! # Reason text
//! Those of its parts.
//!
//! # Can preemption help?
//! As its parts say.
//!
//! # Example
//! A policy with `predicates: [{name: GeneralPredicates}]` alone keeps a pod that requests 2 CPUs and host port 80 off nodes
//! with less than 2 CPUs free (`Insufficient cpu`) and off those where port 80 is taken, and looks at nothing else.

use super::{Build, Registration, Standing};
use crate::rule::Identity;

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "GeneralPredicates",
        aliases: &[],
        plugin: "NodeResourcesFit",
        modern_plugin: Some("NodeResourcesFit"),
        arguments: &[],
        source: include_str!("general_predicates.rs"),
    },
    standing: Standing::Default,
    build: Build::Group(&["PodFitsResources", "HostName", "PodFitsHostPorts", "MatchNodeSelector"]),
};

#[cfg(test)]
mod tests {
    use crate::policy::{Policy, PredicateEntry};

    #[test]
    fn the_four_parts_run_under_the_groups_name_in_its_place() {
        let entry = PredicateEntry { name: "GeneralPredicates".into(), argument: None };
        let policy = Policy { predicates: Some(vec![entry]), ..Policy::default() };
        let profile = policy.compile().expect("it compiles");
        let parts: Vec<_> = profile.predicates.iter().filter(|p| p.name == "GeneralPredicates").collect();
        assert_eq!(
            parts.iter().map(|p| p.plugin).collect::<Vec<_>>(),
            ["NodeResourcesFit", "NodeName", "NodePorts", "NodeAffinity"]
        );
    }
}
