//! Predicates. Each rules nodes out and has its own file; [`ALL`] lists them.
//!
//! A predicate is prepared once for a pod and a snapshot, which gives a check. The check is then asked which nodes of a block fit, or
//! why a node does not fit. Since preparation returns the check, nothing untyped passes between the two. To add a predicate, write a
//! file and add a line to [`ALL`]. A rule that most pods use answers for a block in a few passes over its columns
//! ([`Check::sift`]); other rules only say why a node does not fit.

mod attach_limit;
mod check_node_condition;
mod check_node_disk_pressure;
pub(crate) mod check_node_label_presence;
mod check_node_memory_pressure;
mod check_node_pid_pressure;
mod check_node_unschedulable;
pub(crate) mod check_service_affinity;
mod check_volume_binding;
mod csi_migration;
mod dynamic_resources;
mod even_pods_spread;
mod general_predicates;
mod host_name;
mod match_inter_pod_affinity;
mod match_node_selector;
mod max_azure_disk_volume_count;
mod max_cinder_volume_count;
mod max_csi_volume_count;
mod max_ebs_volume_count;
mod max_gce_pd_volume_count;
mod no_disk_conflict;
mod no_volume_node_conflict;
mod no_volume_zone_conflict;
mod pod_fits_host_ports;
pub(crate) mod pod_fits_resources;
mod pod_tolerates_node_no_execute_taints;
mod pod_tolerates_node_taints;
mod scheduling_gates;
mod storage_room;
mod volumes;

use super::{
    block::{Block, pick},
    claim_choice::ClaimChoice,
    model::{Name, Pod},
    node_info::NodeInfo,
    overlay::NodeOverlay,
    rule::{Arguments, Identity, Reads},
    snapshot::Snapshot,
    verdict::Verdict,
};

/// A rule that rules nodes out.
pub trait Predicate: Send + Sync {
    /// Compiles what the pod demands against the snapshot.
    fn prepare<'a>(&'a self, pod: &'a Pod, snapshot: &'a Snapshot) -> Demand<'a>;

    /// The inputs of its verdict on a node. `Nothing`: the demand is [`Demand::Nothing`].
    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Cluster
    }

    /// The choices for those of the pod's claims that are not settled yet, should the pod go to the node, on which it fits; empty
    /// where nothing is to be chosen. Source: `pkg/scheduler/framework/interface.go` (`ReservePlugin`).
    fn choose(&self, _: &Pod, _: &Snapshot, _: &NodeInfo) -> Vec<ClaimChoice> {
        Vec::new()
    }
}

/// The demand of a pod under one predicate.
pub enum Demand<'a> {
    /// No demand: every node fits, with any pods.
    Nothing,
    /// A check of each node.
    Check(Box<dyn Check + 'a>),
    /// A check of each node, and only the named nodes can meet it (1.34's `PreFilterResult`). Names are in order.
    OnlyNodes(Vec<Name>, Box<dyn Check + 'a>),
    /// A demand that no node can meet: it rules out all nodes before any other predicate runs.
    Reject(Verdict),
}

impl<'a> Demand<'a> {
    /// A demand that checks each node.
    pub fn check(check: impl Fn(&NodeInfo) -> Verdict + Sync + 'a) -> Self {
        Self::Check(Box::new(check))
    }

    /// Like [`Self::check`], for a check whose fitting nodes in a block can be seen without it: `sift` marks them among those marked.
    pub fn sift(
        sift: impl Fn(&Block, u64) -> u64 + Sync + 'a,
        verdict: impl Fn(&NodeInfo) -> Verdict + Sync + 'a,
    ) -> Self {
        Self::Check(Box::new(Sieve { sift, verdict }))
    }
}

/// A demand that can check many nodes at once.
struct Sieve<S, V> {
    sift: S,
    verdict: V,
}

impl<S: Fn(&Block, u64) -> u64 + Sync, V: Fn(&NodeInfo) -> Verdict + Sync> Check for Sieve<S, V> {
    fn check(&self, node: &NodeInfo) -> Verdict {
        (self.verdict)(node)
    }

    fn sift(&self, block: &Block, asked: u64) -> u64 {
        (self.sift)(block, asked)
    }
}

/// A prepared demand.
pub trait Check: Sync {
    /// The verdict on the node.
    fn check(&self, node: &NodeInfo) -> Verdict;

    /// The asked nodes that meet it: those that [`Self::check`] accepts. Both are masks of the block. Implement it if that is cheaper than to
    /// find the reasons.
    fn sift(&self, block: &Block, asked: u64) -> u64 {
        pick(asked, |at| self.check(block.node_ref(at).info()).fits())
    }

    /// The verdict on the node with other pods on it. Implement it if the check knows more of the cluster's pods than those on the node
    /// that it judges.
    fn check_overlay(&self, node: &NodeOverlay) -> Verdict {
        self.check(node.info())
    }
}

impl<F: Fn(&NodeInfo) -> Verdict + Sync> Check for F {
    fn check(&self, node: &NodeInfo) -> Verdict {
        self(node)
    }
}

/// The condition under which a predicate runs without being listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Under every policy.
    Mandatory,
    /// Where a policy lists no predicates.
    Default,
    /// Only where a policy lists it.
    Optional,
    /// Never in a policy, by default in profiles of 1.34.
    ProfilesOnly,
}

/// The rule behind a name.
pub enum Build {
    /// A rule, made from a policy's arguments.
    Rule(fn(&Arguments) -> Box<dyn Predicate>),
    /// Several registered predicates, by name, in order of evaluation.
    Group(&'static [&'static str]),
}

/// A line of the registry.
pub struct Registration {
    /// Names and documentation.
    pub identity: Identity,
    /// The condition under which it runs without being listed.
    pub standing: Standing,
    /// Its rule.
    pub build: Build,
}

/// Every predicate, in kube-scheduler 1.22's order of evaluation
/// (`pkg/scheduler/framework/plugins/legacy_registry.go`, `PredicateOrdering`). Those that only older releases knew have their place of
/// 1.16 (`pkg/scheduler/algorithm/predicates/predicates.go`, `predicatesOrdering`).
pub static ALL: &[Registration] = &[
    scheduling_gates::REGISTRATION,
    check_node_condition::REGISTRATION,
    check_node_unschedulable::REGISTRATION,
    general_predicates::REGISTRATION,
    host_name::REGISTRATION,
    pod_fits_host_ports::REGISTRATION,
    match_node_selector::REGISTRATION,
    pod_fits_resources::REGISTRATION,
    no_disk_conflict::REGISTRATION,
    pod_tolerates_node_taints::REGISTRATION,
    pod_tolerates_node_no_execute_taints::REGISTRATION,
    check_node_label_presence::REGISTRATION,
    check_service_affinity::REGISTRATION,
    max_ebs_volume_count::REGISTRATION,
    max_gce_pd_volume_count::REGISTRATION,
    max_csi_volume_count::REGISTRATION,
    max_azure_disk_volume_count::REGISTRATION,
    max_cinder_volume_count::REGISTRATION,
    check_volume_binding::REGISTRATION,
    no_volume_node_conflict::REGISTRATION,
    no_volume_zone_conflict::REGISTRATION,
    even_pods_spread::REGISTRATION,
    match_inter_pod_affinity::REGISTRATION,
    dynamic_resources::REGISTRATION,
    check_node_memory_pressure::REGISTRATION,
    check_node_pid_pressure::REGISTRATION,
    check_node_disk_pressure::REGISTRATION,
];

/// The registration that users call so, by its name or an alias.
pub fn find(name: &str) -> Option<&'static Registration> {
    ALL.iter().find(|r| r.identity.is_called(name))
}
