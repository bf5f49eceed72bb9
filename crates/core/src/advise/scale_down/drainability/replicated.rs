//! # Rule
//! A pod has a controller that makes it again: a ReplicationController, Job, ReplicaSet or StatefulSet; with `skipNodesWithCustomControllerPods:
//! false`, one of any kind.
//!
//! # Reason
//! `NotReplicated`
//!
//! # Source
//! `cluster-autoscaler/simulator/drainability/rules/replicated/rule.go`

use super::{Drain, Outcome, PodReason};
use crate::model::Pod;

pub(super) fn judge(drain: &Drain<'_>, pod: &Pod) -> Outcome {
    let known = |kind: &str| matches!(kind, "ReplicationController" | "Job" | "ReplicaSet" | "StatefulSet");
    let replicated = pod
        .controller
        .as_ref()
        .is_some_and(|controller| !drain.options.skip_custom_controller_pods || known(&controller.kind));
    if replicated { Outcome::Undecided } else { Outcome::Block(PodReason::NotReplicated) }
}
