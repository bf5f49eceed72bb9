//! Why a node does not go.

/// Why a node does not go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the cluster autoscaler, and `message` says them in words")]
pub enum Reason {
    NotAutoscaled,
    NodeGroupMinSizeReached,
    CurrentlyBeingDeleted,
    ScaleDownDisabledAnnotation,
    ScaleDownDisabledNodeGroup,
    ScaleDownUnreadyDisabled,
    RecentlyUnremovable,
    NotUnderutilized,
    BlockedByPod,
    NoPlaceToMovePods,
    NotUnneededLongEnough,
    NotUnreadyLongEnough,
    MinimalResourceLimitExceeded,
    AtomicScaleDownFailed,
    BlockedByOnCompletionPod,
    UnexpectedError,
}

impl Reason {
    /// The name that the cluster autoscaler gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotAutoscaled => "NotAutoscaled",
            Self::NodeGroupMinSizeReached => "NodeGroupMinSizeReached",
            Self::CurrentlyBeingDeleted => "CurrentlyBeingDeleted",
            Self::ScaleDownDisabledAnnotation => "ScaleDownDisabledAnnotation",
            Self::ScaleDownDisabledNodeGroup => "ScaleDownDisabledNodeGroup",
            Self::ScaleDownUnreadyDisabled => "ScaleDownUnreadyDisabled",
            Self::RecentlyUnremovable => "RecentlyUnremovable",
            Self::NotUnderutilized => "NotUnderutilized",
            Self::BlockedByPod => "BlockedByPod",
            Self::NoPlaceToMovePods => "NoPlaceToMovePods",
            Self::NotUnneededLongEnough => "NotUnneededLongEnough",
            Self::NotUnreadyLongEnough => "NotUnreadyLongEnough",
            Self::MinimalResourceLimitExceeded => "MinimalResourceLimitExceeded",
            Self::AtomicScaleDownFailed => "AtomicScaleDownFailed",
            Self::BlockedByOnCompletionPod => "BlockedByOnCompletionPod",
            Self::UnexpectedError => "UnexpectedError",
        }
    }

    /// The reason in words.
    pub fn message(self) -> &'static str {
        match self {
            Self::NotAutoscaled => "no node group has it",
            Self::NodeGroupMinSizeReached => "its node group is at its smallest size",
            Self::CurrentlyBeingDeleted => "its deletion has begun",
            Self::ScaleDownDisabledAnnotation => {
                "its annotation cluster-autoscaler.kubernetes.io/scale-down-disabled is \"true\""
            }
            Self::ScaleDownDisabledNodeGroup => "its node group forbids the removal of nodes",
            Self::ScaleDownUnreadyDisabled => "it is not ready, and scaleDownUnreadyEnabled is false",
            Self::RecentlyUnremovable => "it was found unremovable a short time ago and is not looked at again yet",
            Self::NotUnderutilized => "its utilization is above the threshold",
            Self::BlockedByPod => "a pod keeps it",
            Self::NoPlaceToMovePods => "a pod fits on no other node",
            Self::NotUnneededLongEnough => "it is not unneeded for long enough",
            Self::NotUnreadyLongEnough => "it is not ready, and not unneeded for long enough for that",
            Self::MinimalResourceLimitExceeded => {
                "without it the cluster has less than minCoresTotal or minMemoryTotal"
            }
            Self::AtomicScaleDownFailed => "its node group goes as a whole, and not all of it may go",
            Self::BlockedByOnCompletionPod => "a pod on it runs to its end first",
            Self::UnexpectedError => "it reports no CPU or no memory",
        }
    }
}
