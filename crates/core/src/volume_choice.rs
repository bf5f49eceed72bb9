//! Volumes for claims that waited for their pod.
//!
//! A choice is made when a pod is placed, and written in the commit that binds the pod. kube-scheduler writes one side and waits for the
//! volume controller to write the other; here both sides are written at once.
//!
//! Source: `pkg/scheduler/framework/plugins/volumebinding/binder.go` (`AssumePodVolumes`, `BindPodVolumes`),
//! `component-helpers/storage/volume/pv_helpers.go` (`GetBindVolumeToClaim`),
//! `pkg/controller/volume/persistentvolume/pv_controller.go` (`bindClaimToVolume`).

use std::sync::Arc;

use super::{
    model::{ClaimRef, Labels, Name, PersistentVolume, PersistentVolumeClaim, Pod, VolumePhase},
    policy::Profile,
    snapshot::{Object, Snapshot},
};

/// The annotation of a claim that is bound to the volume that it names.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// The annotation of a claim or a volume that was not bound by its user.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// The annotation by which a claim names the node that its volume is made for.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// The value of annotations that only need to exist.
pub const YES: &str = "yes";

/// Where one claim gets its volume from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeChoice {
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
}

impl VolumeChoice {
    /// The claim.
    pub fn claim(&self) -> &Arc<PersistentVolumeClaim> {
        match self {
            Self::Bind { claim, .. } | Self::Make { claim, .. } => claim,
        }
    }

    /// How many objects change.
    pub fn outcome_count(&self) -> usize {
        match self {
            Self::Bind { .. } => 2,
            Self::Make { .. } => 1,
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
        }
    }
}

/// The volumes to choose for the pod's claims if it goes to the node, on which it fits; each claim once. Pods without volumes cost
/// nothing.
pub fn choices(profile: &Profile, pod: &Pod, snapshot: &Snapshot, node: &str) -> Vec<VolumeChoice> {
    if pod.volumes.is_empty() {
        return Vec::new();
    }
    let Some(node) = snapshot.node(node) else { return Vec::new() };
    let mut choices: Vec<VolumeChoice> = Vec::new();
    for choice in profile.predicates.iter().flat_map(|p| p.rule.choose_volumes(pod, snapshot, node)) {
        if choices.iter().all(|other| other.claim().name != choice.claim().name) {
            choices.push(choice);
        }
    }
    choices
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use crate::testing::{PodBuilder, cluster, node, pod, pv, pvc, storage_class};

    fn told(pod: PodBuilder, on: &str) -> Vec<String> {
        let objects = [
            node("a").into(),
            node("b").into(),
            storage_class("local").provisioner("kubernetes.io/no-provisioner").into(),
            storage_class("made").into(),
            pv("small").class("local").size("2Gi").into(),
            pv("large").class("local").size("8Gi").into(),
            pvc("one").class("local").into(),
            pvc("two").class("local").size("3Gi").into(),
            pvc("new").class("made").into(),
            pvc("for-a").class("made").annotation(SELECTED_NODE, "a").into(),
            pvc("bound").class("local").bound_to("small").into(),
        ];
        let snapshot = cluster(objects);
        let profile = Policy::default().compile().expect("the default policy compiles");
        let told = |choice: VolumeChoice| match choice {
            VolumeChoice::Bind { volume, claim } => format!("{} to {}", volume.name, claim.name),
            VolumeChoice::Make { claim, node } => format!("{} on {node}", claim.name),
        };
        choices(&profile, &pod.build(), &snapshot, on).into_iter().map(told).collect()
    }

    #[test]
    fn each_claim_that_waits_gets_one_choice() {
        assert_eq!(told(pod("p").claim("one").claim("two"), "a"), ["small to one", "large to two"]);
        assert_eq!(told(pod("p").claim("new"), "b"), ["new on b"]);
        assert_eq!(told(pod("p").claim("one").claim("new").claim("for-a"), "a"), ["small to one", "new on a"]);
        assert_eq!(told(pod("p").claim("one").claim("one"), "a"), ["small to one"], "mounted twice");
    }

    #[test]
    fn what_is_settled_or_does_not_fit_is_not_chosen() {
        let none: [&str; 0] = [];
        assert_eq!(told(pod("p").claim("bound"), "a"), none);
        assert_eq!(told(pod("p").claim("for-a"), "a"), none);
        assert_eq!(told(pod("p").claim("for-a").claim("one"), "b"), none, "another claim keeps the pod off");
        assert_eq!(told(pod("p").claim("one"), "gone"), none);
        assert_eq!(told(pod("p"), "a"), none);
    }
}
