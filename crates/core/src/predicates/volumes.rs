//! Shared parts of the volume predicates: from a pod's volumes to claims, classes and persistent volumes.

use std::sync::Arc;

use crate::{
    model::{
        Labels, Name, NodeSelector, PersistentVolume, PersistentVolumeClaim, Pod, StorageClass, Volume, VolumeSource,
    },
    snapshot::Snapshot,
    work,
};

/// kube-scheduler's message for a claim without a name.
pub(super) const NAMELESS_CLAIM: &str = "PersistentVolumeClaim had no name";

/// A claim that a pod mounts.
pub(super) struct MountedClaim<'a> {
    /// Its name.
    pub(super) name: Name,
    /// `true` if it is made for the pod and named after it.
    pub(super) ephemeral: bool,
    /// The claim, where it exists.
    pub(super) claim: Option<&'a Arc<PersistentVolumeClaim>>,
}

impl<'a> MountedClaim<'a> {
    /// The claim behind a volume of the pod; `None` where the volume is no claim.
    pub(super) fn of(pod: &Pod, volume: &Volume, snapshot: &'a Snapshot) -> Option<Self> {
        let (name, ephemeral) = match &volume.source {
            VolumeSource::PersistentVolumeClaim { claim_name, .. } => (claim_name.clone(), false),
            VolumeSource::Ephemeral => (format!("{}-{}", pod.name, volume.name).into(), true),
            _ => return None,
        };
        work::spend(1);
        let claim = snapshot.claim(&pod.namespace, &name);
        Some(Self { name, ephemeral, claim })
    }

    /// All of a pod's claims, in order of its volumes.
    pub(super) fn all(pod: &Pod, snapshot: &'a Snapshot) -> impl Iterator<Item = Self> {
        pod.volumes.iter().filter_map(move |volume| Self::of(pod, volume, snapshot))
    }

    /// The claims that a pod names itself, without those made for it.
    pub(super) fn named(pod: &Pod, snapshot: &'a Snapshot) -> impl Iterator<Item = Self> {
        Self::all(pod, snapshot).filter(|mounted| !mounted.ephemeral)
    }
}

/// `true` if the claim was made for the pod.
pub(super) fn is_made_for(claim: &PersistentVolumeClaim, pod: &Pod) -> bool {
    claim.owner_pod_uid.as_ref() == Some(&pod.uid)
}

/// The message, since 1.23, for a claim that has the name of a pod's ephemeral volume but was not made for the pod.
pub(super) fn not_owner(claim: &PersistentVolumeClaim, pod: &Pod) -> String {
    format!(
        "PVC {}/{} was not created for pod {}/{} (pod is not owner)",
        claim.namespace, claim.name, pod.namespace, pod.name
    )
}

/// The volume that a claim names, where it exists.
pub(super) fn volume_of<'a>(claim: &PersistentVolumeClaim, snapshot: &'a Snapshot) -> Option<&'a PersistentVolume> {
    snapshot.volume(&claim.volume_name).map(|volume| &**volume)
}

/// The name of a claim's storage class; empty for none.
pub(super) fn class_name_of(claim: &PersistentVolumeClaim) -> &str {
    claim.storage_class_name.as_ref().map_or("", |name| &**name)
}

/// A claim's storage class, where it has one that exists.
pub(super) fn class_of<'a>(claim: &PersistentVolumeClaim, snapshot: &'a Snapshot) -> Option<&'a StorageClass> {
    snapshot.storage_class(class_name_of(claim)).map(|class| &**class)
}

/// client-go's words for an object that is not there.
pub(super) fn not_found(resource: &str, name: &str) -> String {
    format!("{resource} {name:?} not found")
}

/// The message for a claim that does not exist.
pub(super) fn claim_not_found(name: &str) -> String {
    not_found("persistentvolumeclaim", name)
}

/// The message for a class without a volume binding mode.
pub(super) fn binding_mode_not_set(class: &StorageClass) -> String {
    format!("VolumeBindingMode not set for StorageClass {:?}", &*class.name)
}

/// `true` if nodes with these labels are within a volume's node affinity. Fields of the node, such as its name, are unknown here
/// (`component-helpers/storage/volume/helpers.go`, `CheckNodeAffinity`).
pub(super) fn is_reached_by(affinity: Option<&NodeSelector>, labels: &Labels) -> bool {
    affinity.is_none_or(|selector| selector.matches("", labels))
}
