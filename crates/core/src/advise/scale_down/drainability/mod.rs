//! The fate of a pod when its node goes: rules in a fixed order, the first that decides.
//!
//! Source: `cluster-autoscaler/simulator/drainability/rules/rules.go` (`Default`), `simulator/drain.go` (`GetPodsToMove`).

use std::sync::Arc;

use super::{Options, budgets::Budgets};
use crate::{model::Pod, snapshot::Snapshot, work};

mod daemon_set;
mod local_storage;
pub(super) mod long_terminating;
mod mirror;
mod not_safe_to_evict;
mod on_completion;
mod pdb;
mod replica_count;
mod replicated;
mod safe_to_evict;
mod system;
mod terminal;

/// Facts that rules look at besides the pod.
pub(super) struct Drain<'a> {
    /// Where controllers are looked up; `None` where they count as there.
    pub(super) snapshot: Option<&'a Snapshot>,
    pub(super) budgets: &'a Budgets,
    pub(super) options: &'a Options,
    pub(super) now: i64,
}

/// The outcome of a rule for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The rules after it decide.
    Undecided,
    /// The pod is not looked at.
    Skip,
    /// It is to be placed elsewhere.
    Move,
    /// It goes with the node.
    GoesWithNode,
    /// It is waited for.
    WaitForCompletion,
    /// It stays, and the node with it.
    Block(PodReason),
}

/// Why a pod keeps its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the cluster autoscaler, and `message` says them in words")]
pub enum PodReason {
    ControllerNotFound,
    MinReplicasReached,
    NotReplicated,
    UnmovableKubeSystemPod,
    NotSafeToEvictAnnotation,
    LocalStorageRequested,
    NotEnoughPdb,
}

impl PodReason {
    /// The name that the cluster autoscaler gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ControllerNotFound => "ControllerNotFound",
            Self::MinReplicasReached => "MinReplicasReached",
            Self::NotReplicated => "NotReplicated",
            Self::UnmovableKubeSystemPod => "UnmovableKubeSystemPod",
            Self::NotSafeToEvictAnnotation => "NotSafeToEvictAnnotation",
            Self::LocalStorageRequested => "LocalStorageRequested",
            Self::NotEnoughPdb => "NotEnoughPdb",
        }
    }

    /// The reason in words, with the remedy.
    pub fn message(self) -> &'static str {
        match self {
            Self::ControllerNotFound => {
                "its controller is gone, so nothing makes the pod again: delete the pod, or run it under a controller"
            }
            Self::MinReplicasReached => "its controller has fewer replicas than minReplicaCount: add replicas",
            Self::NotReplicated => {
                "no controller makes it again: run it under one, or annotate it with \
                 cluster-autoscaler.kubernetes.io/safe-to-evict: \"true\""
            }
            Self::UnmovableKubeSystemPod => {
                "it is in kube-system without a disruption budget: give it one, or wait until it is older than \
                 blockingSystemPodDisruptionTimeout"
            }
            Self::NotSafeToEvictAnnotation => {
                "its annotation cluster-autoscaler.kubernetes.io/safe-to-evict is \"false\": take it off"
            }
            Self::LocalStorageRequested => {
                "it keeps data on its node (hostPath or emptyDir): name the volumes in the annotation \
                 cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes if they may be lost"
            }
            Self::NotEnoughPdb => "its disruption budget allows no disruption at the moment: add replicas, or wait",
        }
    }
}

/// The rules, in the order in which they are asked.
const RULES: [fn(&Drain<'_>, &Pod) -> Outcome; 12] = [
    mirror::judge,
    long_terminating::judge,
    replica_count::judge,
    daemon_set::judge,
    safe_to_evict::judge,
    terminal::judge,
    on_completion::judge,
    replicated::judge,
    system::judge,
    not_safe_to_evict::judge,
    local_storage::judge,
    pdb::judge,
];

/// The pods of a node by what becomes of them.
#[derive(Debug, Default)]
pub(super) struct PodsOfNode {
    /// To be placed elsewhere, in their order.
    pub(super) to_move: Vec<Arc<Pod>>,
    /// Waited for.
    pub(super) on_completion: Vec<Arc<Pod>>,
}

/// A pod that keeps its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockingPod {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Why.
    pub reason: PodReason,
}

impl Drain<'_> {
    /// The fate of the pods of a node.
    ///
    /// # Errors
    /// The first pod that keeps the node.
    pub(super) fn sort(&self, pods: &[Arc<Pod>]) -> Result<PodsOfNode, BlockingPod> {
        work::spend_on(pods.len() * RULES.len());
        let mut sorted = PodsOfNode::default();
        for pod in pods {
            match self.outcome(pod) {
                Outcome::Skip | Outcome::GoesWithNode => {}
                Outcome::Undecided | Outcome::Move if is_daemon_set_pod(pod) => {}
                Outcome::Undecided | Outcome::Move => sorted.to_move.push(pod.clone()),
                Outcome::WaitForCompletion => sorted.on_completion.push(pod.clone()),
                Outcome::Block(reason) => return Err(BlockingPod { pod: pod.clone(), reason }),
            }
        }
        Ok(sorted)
    }

    fn outcome(&self, pod: &Pod) -> Outcome {
        let decided = RULES.iter().map(|judge| judge(self, pod)).find(|outcome| *outcome != Outcome::Undecided);
        decided.unwrap_or(Outcome::Undecided)
    }
}

/// `true` if a DaemonSet makes the pod, or the pod says that it counts as one of a DaemonSet.
pub(super) fn is_daemon_set_pod(pod: &Pod) -> bool {
    pod.controller.as_ref().is_some_and(|controller| &*controller.kind == "DaemonSet") || pod.facts().daemon_set_pod
}

fn safe_to_evict(pod: &Pod) -> Option<&str> {
    pod.facts().safe_to_evict.as_deref()
}
