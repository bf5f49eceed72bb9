//! # Rule
//! These keep a node before its pods are looked at, in this order: it is being deleted (taint `ToBeDeletedByClusterAutoscaler`, set less than five minutes
//! ago); its annotation `cluster-autoscaler.kubernetes.io/scale-down-disabled` is `true`, or its group says so; it was found unremovable within
//! `unremovableNodeRecheckTimeout` (five minutes); it is not ready and `scaleDownUnreadyEnabled` is `false`; it is not underutilized.
//!
//! Nodes of no group, and nodes of a group whose target size is not above its smallest size, are no candidates at all.
//!
//! # Reasons
//! `CurrentlyBeingDeleted`, `ScaleDownDisabledAnnotation`, `ScaleDownDisabledNodeGroup`, `RecentlyUnremovable`, `ScaleDownUnreadyDisabled`,
//! `NotUnderutilized`; `NotAutoscaled`, `NodeGroupMinSizeReached`
//!
//! # Source
//! `cluster-autoscaler/core/scaledown/eligibility/eligibility.go`, `processors/nodes/pre_filtering_processor.go`, `core/scaledown/actuation/delete_in_batch.go`
//! (`IsNodeBeingDeleted`), `utils/kubernetes/ready.go` (`GetNodeReadiness`)

use std::sync::Arc;

use super::{
    Input, Reason, SECOND, TO_BE_DELETED,
    utilization::{self, Ignored, Utilization},
};
use crate::{
    advise::groups::Group,
    model::{ConditionStatus, Node, Pod},
};

/// A deletion that was begun longer ago has failed.
const DELETION: i64 = 5 * 60 * SECOND;
/// Taints of nodes that are not ready.
const UNREADY_TAINTS: [&str; 3] =
    ["node.kubernetes.io/not-ready", "node.kubernetes.io/disk-pressure", "node.kubernetes.io/network-unavailable"];

/// Why a node is no candidate.
pub(super) fn kept_out(node: &str, input: &Input<'_>) -> Option<Reason> {
    let Some(group) = input.groups.of(node) else { return Some(Reason::NotAutoscaled) };
    (group.target <= group.min).then_some(Reason::NodeGroupMinSizeReached)
}

/// The reason that keeps a candidate, and its utilization where that was measured.
pub(super) fn judge(
    node: &Node,
    group: &Group,
    pods: &[Arc<Pod>],
    input: &Input<'_>,
) -> (Option<Reason>, Option<Utilization>) {
    let options = input.options;
    if input.state.unremovable_until.get(&node.name).is_some_and(|until| input.now < *until) {
        return (Some(Reason::RecentlyUnremovable), None);
    }
    if is_being_deleted(node, input.now) {
        return (Some(Reason::CurrentlyBeingDeleted), None);
    }
    if node.facts.as_ref().is_some_and(|facts| facts.scale_down_disabled) {
        return (Some(Reason::ScaleDownDisabledAnnotation), None);
    }
    if group.options.scale_down_disabled {
        return (Some(Reason::ScaleDownDisabledNodeGroup), None);
    }
    let ignored = Ignored {
        daemon_sets: group.options.ignore_daemon_sets.unwrap_or(options.ignore_daemon_sets_utilization),
        mirrors: options.ignore_mirror_pods_utilization,
    };
    let Some(utilization) = utilization::of(node, pods, &ignored, options, input.now) else {
        return (Some(Reason::UnexpectedError), None);
    };
    if !options.unready_enabled && !is_ready(node) {
        return (Some(Reason::ScaleDownUnreadyDisabled), None);
    }
    let (own, common) = if utilization.of_gpus {
        (group.options.gpu_utilization_threshold, options.gpu_utilization_threshold)
    } else {
        (group.options.utilization_threshold, options.utilization_threshold)
    };
    let threshold = own.map_or(common, crate::model::Quantity::approximate);
    let reason = (utilization.value > threshold).then_some(Reason::NotUnderutilized);
    (reason, Some(utilization))
}

/// `true` if the deletion of the node has begun and may still succeed.
fn is_being_deleted(node: &Node, now: i64) -> bool {
    let taint = node.taints.iter().find(|taint| *taint.key == *TO_BE_DELETED);
    let begun = taint.and_then(|taint| taint.value.parse::<i64>().ok());
    begun.is_some_and(|seconds| now.saturating_sub(seconds.saturating_mul(SECOND)) < DELETION)
}

/// `true` if the node is ready: its condition `Ready` is reported and neither `False` nor `Unknown`, and neither another condition nor a taint speaks
/// against it.
pub fn is_ready(node: &Node) -> bool {
    node.condition("Ready") == Some(ConditionStatus::True)
        && node.condition("DiskPressure") != Some(ConditionStatus::True)
        && node.condition("NetworkUnavailable") != Some(ConditionStatus::True)
        && !node.taints.iter().any(|taint| UNREADY_TAINTS.contains(&&*taint.key))
}
