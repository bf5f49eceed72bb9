//! # Rule
//! The controller of a pod has to be there, for it is to make the pod again elsewhere: a ReplicationController, ReplicaSet or Job of the pod's
//! namespace, or a StatefulSet or DaemonSet of the group `apps`. A ReplicationController or ReplicaSet has at least `minReplicaCount` replicas. Other
//! kinds are not looked up. This rule comes before the annotation `safe-to-evict`: a pod without its controller blocks even if annotated.
//!
//! # Reasons
//! `ControllerNotFound`, `MinReplicasReached`
//!
//! # Source
//! `cluster-autoscaler/simulator/drainability/rules/replicacount/rule.go`; off with `skipNodesWithCustomControllerPods: false`

use super::{Drain, Outcome, PodReason};
use crate::model::{Pod, WorkloadKind};

pub(super) fn judge(drain: &Drain<'_>, pod: &Pod) -> Outcome {
    let Some(snapshot) = drain.snapshot else { return Outcome::Undecided };
    let Some(controller) = pod.controller.as_ref().filter(|_| drain.options.skip_custom_controller_pods) else {
        return Outcome::Undecided;
    };
    let mut parts = controller.api_version.split('/');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    if parts.next().is_some() {
        return Outcome::Undecided;
    }
    let group = if second.is_some() { first } else { "" };
    let kind = match &*controller.kind {
        "ReplicationController" => WorkloadKind::ReplicationController,
        "DaemonSet" if group == "apps" => WorkloadKind::DaemonSet,
        _ if super::is_daemon_set_pod(pod) => return Outcome::Undecided,
        "Job" => WorkloadKind::Job,
        "ReplicaSet" => WorkloadKind::ReplicaSet,
        "StatefulSet" if group == "apps" => WorkloadKind::StatefulSet,
        _ => return Outcome::Undecided,
    };
    let Some(found) = snapshot.workload(kind, &pod.namespace, &controller.name) else {
        return Outcome::Block(PodReason::ControllerNotFound);
    };
    let counts = matches!(kind, WorkloadKind::ReplicationController | WorkloadKind::ReplicaSet);
    if counts && found.replicas.is_some_and(|replicas| replicas < drain.options.min_replicas) {
        return Outcome::Block(PodReason::MinReplicasReached);
    }
    Outcome::Undecided
}
