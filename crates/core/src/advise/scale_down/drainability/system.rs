//! # Rule
//! A pod in `kube-system` that no disruption budget covers blocks its node until it is `blockingSystemPodDisruptionTimeout` old (an hour). From then on
//! it moves, and the rules after this one are not asked.
//!
//! # Reason
//! `UnmovableKubeSystemPod`
//!
//! # Source
//! `cluster-autoscaler/simulator/drainability/rules/system/rule.go`; off with `skipNodesWithSystemPods: false`

use super::{Drain, Outcome, PodReason};
use crate::model::Pod;

/// The namespace of the system's pods.
const NAMESPACE: &str = "kube-system";

pub(super) fn judge(drain: &Drain<'_>, pod: &Pod) -> Outcome {
    if !drain.options.skip_system_pods || &*pod.namespace != NAMESPACE || drain.budgets.cover(pod) {
        return Outcome::Undecided;
    }
    let timeout = drain.options.system_pod_timeout;
    let is_old = pod.created.is_some_and(|created| created.saturating_add(timeout) < drain.now);
    if is_old { Outcome::Move } else { Outcome::Block(PodReason::UnmovableKubeSystemPod) }
}
