//! Volumes and devices for claims that waited for their pod.
//!
//! A choice is made when a pod is placed, and written in the commit that binds the pod. kube-scheduler writes one side and waits for the
//! volume controller to write the other; here both sides are written at once. A claim to devices gets them, and is reserved for the pod.
//!
//! Source: `pkg/scheduler/framework/plugins/volumebinding/binder.go` (`AssumePodVolumes`, `BindPodVolumes`),
//! `component-helpers/storage/volume/pv_helpers.go` (`GetBindVolumeToClaim`),
//! `pkg/controller/volume/persistentvolume/pv_controller.go` (`bindClaimToVolume`),
//! `pkg/scheduler/framework/plugins/dynamicresources/dynamicresources.go` (`bindClaim`).

use std::sync::Arc;

use super::{
    model::{
        ClaimRef, DeviceAllocation, Labels, Name, PersistentVolume, PersistentVolumeClaim, ResourceClaim, VolumePhase,
    },
    snapshot::{Kind, Object},
};

/// The annotation of a claim that is bound to the volume that it names.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// The annotation of a claim or a volume that was not bound by its user.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// The annotation by which a claim names the node that its volume is made for.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// The value of annotations that only need to exist.
pub const YES: &str = "yes";

/// The volume or the devices that one claim of a pod gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimChoice {
    /// This volume is bound to the claim.
    Bind {
        /// The volume, as it was when it was chosen.
        volume: Arc<PersistentVolume>,
        /// The claim, as it was then.
        claim: Arc<PersistentVolumeClaim>,
    },
    /// The claim's provisioner is to make one for the node.
    Make {
        /// The claim, as it was when the node was chosen.
        claim: Arc<PersistentVolumeClaim>,
        /// The node.
        node: Name,
    },
    /// The claim gets devices and is reserved for the pod.
    Devices {
        /// The claim, as it was when they were chosen.
        claim: Arc<ResourceClaim>,
        /// The devices; `None` if it has devices already.
        allocation: Option<DeviceAllocation>,
        /// The pod's name.
        pod: Name,
        /// Its uid.
        pod_uid: Name,
    },
}

impl ClaimChoice {
    /// Kind, namespace and name of the claim.
    pub fn claim(&self) -> (Kind, &Name, &Name) {
        match self {
            Self::Bind { claim, .. } | Self::Make { claim, .. } => {
                (Kind::PersistentVolumeClaim, &claim.namespace, &claim.name)
            }
            Self::Devices { claim, .. } => (Kind::ResourceClaim, &claim.namespace, &claim.name),
        }
    }

    /// How many objects change.
    pub fn outcome_count(&self) -> usize {
        match self {
            Self::Bind { .. } => 2,
            Self::Make { .. } | Self::Devices { .. } => 1,
        }
    }

    /// The changed objects, in their new state.
    pub fn outcome(&self) -> Vec<Object> {
        match self {
            Self::Bind { volume, claim } => {
                vec![
                    Object::PersistentVolume(bound(volume, claim)),
                    Object::PersistentVolumeClaim(settled(claim, volume)),
                ]
            }
            Self::Make { claim, node } => {
                let annotations = with(&claim.annotations, &[(SELECTED_NODE, node)]);
                vec![Object::PersistentVolumeClaim(PersistentVolumeClaim { annotations, ..(**claim).clone() })]
            }
            Self::Devices { claim, allocation, pod_uid, .. } => {
                let mut after = (**claim).clone();
                after.allocation = allocation.clone().or(after.allocation);
                after.reserved_for.push(pod_uid.clone());
                vec![Object::ResourceClaim(after)]
            }
        }
    }
}

/// `true` if a volume is bound to or kept for the claim; without a uid its name suffices (`IsVolumeBoundToClaim`).
pub fn is_kept_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    volume.claim_ref.as_ref().is_some_and(|reference| {
        reference.name == claim.name
            && reference.namespace == claim.namespace
            && (reference.uid.is_empty() || reference.uid == claim.uid)
    })
}

fn bound(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> PersistentVolume {
    let (namespace, name, uid) = (claim.namespace.clone(), claim.name.clone(), claim.uid.clone());
    let annotations = if is_kept_for(volume, claim) {
        volume.annotations.clone()
    } else {
        with(&volume.annotations, &[(BOUND_BY_CONTROLLER, YES)])
    };
    let claim_ref = Some(ClaimRef { namespace, name, uid });
    PersistentVolume { annotations, claim_ref, phase: VolumePhase::Bound, ..volume.clone() }
}

fn settled(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        annotations: with(&claim.annotations, &[(BIND_COMPLETED, YES), (BOUND_BY_CONTROLLER, YES)]),
        volume_name: volume.name.clone(),
        phase: VolumePhase::Bound,
        ..claim.clone()
    }
}

fn with(annotations: &Labels, more: &[(&str, &str)]) -> Labels {
    let kept = annotations.iter().map(|(key, value)| (&**key, &**value));
    kept.chain(more.iter().copied()).collect()
}
