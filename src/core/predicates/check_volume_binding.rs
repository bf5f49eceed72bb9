//! # Rule
//! Each claim of a pod, ephemeral volumes included, must be to be had on the node.
//!
//! A claim is *bound* when it names its volume and carries the annotation `pv.kubernetes.io/bind-completed`. Then the
//! volume must exist and the node be within its node affinity.
//!
//! An unbound claim whose class has `volumeBindingMode: WaitForFirstConsumer` needs one of these:
//! - an available volume of its class that can be reached from the node, is large enough, and agrees with the claim in
//!   volume mode, access modes, label selector and (1.34) volume attributes class. A volume kept for the claim
//!   (`claimRef`) is taken before any other; else the smallest one that fits. Small claims choose first, and no volume is
//!   chosen twice;
//! - a class whose provisioner makes volumes where the node is: not `kubernetes.io/no-provisioner`, and one of
//!   `allowedTopologies`, if there are any, holds for the node's labels.
//!
//! A claim with the annotation `volume.kubernetes.io/selected-node` is being made for that node, and fits no other.
//!
//! These rule out every node before any is asked: a claim that does not exist or is being deleted, an ephemeral volume's
//! claim that was not made for the pod, and an unbound claim of any other class, or one that names a volume: it should
//! have been bound by now.
//!
//! How much room storage pools have (CSIStorageCapacity objects) is not stored and so not checked.
//!
//! # Policy name and framework plugin
//! `CheckVolumeBinding`; plugin `VolumeBinding`. (Its score needs a feature gate that is off in 1.22 and in 1.34: no
//! priority.)
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/volumebinding/volume_binding.go` and `binder.go`,
//! `component-helpers/storage/volume/pv_helpers.go` (`FindMatchingVolume`); in 1.22 the latter two were
//! `pkg/controller/volume/scheduling/scheduler_binder.go` and `pkg/controller/volume/persistentvolume/util/util.go`.
//! - 1.6: not there yet; 1.7 to 1.9 had `NoVolumeNodeConflict`, 1.9 this one beside it.
//! - 1.22: in-tree Cinder volumes are reached as their CSI driver says (by its own zone label) on nodes whose CSINode lists
//!   the plugin as migrated.
//! - 1.34: the same goes for AWS EBS and GCE persistent disks; a claim whose volume was lost rules all nodes out; volumes
//!   must agree with the claim in volume attributes class; and some texts are others.
//!
//! # Reason text
//! - `node(s) didn't find available persistent volumes to bind`
//! - `node(s) had volume node affinity conflict`; 1.34: `node(s) didn't match PersistentVolume's node affinity`
//! - `pvc(s) bound to non-existent pv(s)`; 1.34: `node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)`
//! - `pod has unbound immediate PersistentVolumeClaims`
//! - `persistentvolumeclaim "<name>" not found`, of an ephemeral volume in 1.34: `waiting for ephemeral volume controller
//!   to create the persistentvolumeclaim "<name>"`
//! - `persistentvolumeclaim "<name>" is being deleted`
//! - `persistentvolumeclaim "<name>" was not created for the pod`; 1.34: `PVC <namespace>/<name> was not created for pod
//!   <namespace>/<name> (pod is not owner)`
//! - 1.34: `persistentvolumeclaim "<name>" bound to non-existent persistentvolume "<name>"`
//! - `VolumeBindingMode not set for StorageClass "<name>"`, `could not translate pv: …`
//!
//! # Can preemption help?
//! No: unresolvable.
//!
//! # Example
//! ```json
//! {"kind": "Policy", "apiVersion": "v1", "predicates": [{"name": "CheckVolumeBinding"}]}
//! ```
//! Class `local` has provisioner `kubernetes.io/no-provisioner` and waits for the first consumer. Node `a` has an available
//! local volume of 10Gi and node `b` one of 100Gi. A pod that claims 5Gi fits both, one that claims 50Gi fits `b` alone.

use super::{
    Build, Demand, Predicate, Registration, Standing,
    csi_migration::{InTreePlugin, csi_handle, csi_node_affinity},
    volumes::{
        MountedClaim, binding_mode_not_set, claim_not_found, class_name_of, class_name_of_volume, class_of,
        is_made_for, is_reached_by, not_owner, volume_of,
    },
};
use crate::core::{
    model::{
        BindingMode, ClaimRef, Labels, PersistentVolume, PersistentVolumeClaim, Pod, Quantity, StorageClass,
        TopologyRequirement, VolumePhase,
    },
    rule::{Identity, Release},
    snapshot::{NodeInfo, Snapshot},
    verdict::{Reason, Verdict},
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "CheckVolumeBinding",
        aliases: &[],
        plugin: "VolumeBinding",
        modern_plugin: Some("VolumeBinding"),
        source: include_str!("check_volume_binding.rs"),
    },
    standing: Standing::Default,
    build: Build::Rule(|arguments| Box::new(CheckVolumeBinding { release: arguments.release })),
};

const NOTHING_TO_BIND: &str = "node(s) didn't find available persistent volumes to bind";
const UNBOUND_IMMEDIATE: &str = "pod has unbound immediate PersistentVolumeClaims";
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

struct CheckVolumeBinding {
    release: Release,
}

impl Predicate for CheckVolumeBinding {
    fn prepare<'a>(&'a self, pod: &'a Pod, snapshot: &'a Snapshot) -> Demand<'a> {
        match Claims::of(pod, snapshot, self.release) {
            Err(fault) => Demand::Reject(Verdict::unresolvable(fault)),
            Ok(claims) if claims.bound.is_empty() && claims.unbound.is_empty() => Demand::Nothing,
            Ok(claims) => Demand::check(move |node| claims.check(node)),
        }
    }
}

/// A pod's claims, looked up once for all nodes.
struct Claims<'a> {
    release: Release,
    snapshot: &'a Snapshot,
    /// The volumes of the bound claims, where they exist.
    bound: Vec<Option<&'a PersistentVolume>>,
    /// The claims that wait for their pod, the smallest first.
    unbound: Vec<Unbound<'a>>,
}

/// A claim that waits for its pod.
struct Unbound<'a> {
    claim: &'a PersistentVolumeClaim,
    class: &'a StorageClass,
    /// Volumes that suit the claim wherever they can be reached from, and are kept for it.
    kept: Vec<&'a PersistentVolume>,
    /// The same, free for anyone, the smallest first.
    free: Vec<&'a PersistentVolume>,
}

impl<'a> Claims<'a> {
    /// Sorts the pod's claims; an error is what keeps it off every node.
    fn of(pod: &Pod, snapshot: &'a Snapshot, release: Release) -> Result<Self, String> {
        // What is wrong with any claim as such is told before anything about binding.
        let claims: Vec<&'a PersistentVolumeClaim> =
            MountedClaim::all(pod, snapshot).map(|mounted| usable(&mounted, pod, release)).collect::<Result<_, _>>()?;
        let mut sorted = Self { release, snapshot, bound: Vec::new(), unbound: Vec::new() };
        let mut overdue = false;
        for claim in claims {
            if !claim.volume_name.is_empty() && claim.annotations.has(BIND_COMPLETED) {
                sorted.bound.push(volume_of(claim, snapshot));
                continue;
            }
            match class_that_waits(claim, snapshot)? {
                Some(class) if claim.volume_name.is_empty() => {
                    sorted.unbound.push(Unbound::new(claim, class, snapshot, release));
                }
                _ => overdue = true,
            }
        }
        sorted.unbound.sort_by_key(|unbound| unbound.claim.request);
        if overdue { Err(UNBOUND_IMMEDIATE.into()) } else { Ok(sorted) }
    }

    fn check(&self, node: &NodeInfo) -> Verdict {
        let bound = match self.check_bound(node) {
            Ok(reason) => reason,
            Err(error) => return Verdict::unresolvable(error),
        };
        let unbound = (!self.can_bind(node)).then_some(NOTHING_TO_BIND);
        // kube-scheduler tells a conflict before, and a missing volume after, what cannot be bound.
        let (conflict, missing) = match bound {
            BoundVolumes::Reached => (None, None),
            BoundVolumes::OutOfReach => (Some(self.out_of_reach()), None),
            BoundVolumes::Missing => (None, Some(self.missing())),
        };
        let reasons: Vec<Reason> = [conflict, unbound, missing].into_iter().flatten().map(Reason::from).collect();
        if reasons.is_empty() { Verdict::Fits } else { Verdict::UnschedulableAndUnresolvable(reasons) }
    }

    fn out_of_reach(&self) -> &'static str {
        match self.release {
            Release::V1_22 => "node(s) had volume node affinity conflict",
            Release::V1_34 => "node(s) didn't match PersistentVolume's node affinity",
        }
    }

    fn missing(&self) -> &'static str {
        match self.release {
            Release::V1_22 => "pvc(s) bound to non-existent pv(s)",
            Release::V1_34 => "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
        }
    }

    /// What the first bound volume that is not in order comes to.
    fn check_bound(&self, node: &NodeInfo) -> Result<BoundVolumes, String> {
        let csi_node = self.snapshot.csi_node(node.name()).map(|csi_node| &**csi_node);
        for volume in &self.bound {
            let Some(volume) = volume else { return Ok(BoundVolumes::Missing) };
            let plugin = InTreePlugin::of(&volume.source);
            let reached = match plugin.filter(|plugin| plugin.is_migrated_on(csi_node, self.release)) {
                None => is_reached_by(volume.node_affinity.as_ref(), node.labels()),
                Some(plugin) => {
                    csi_handle(&volume.source, &volume.labels).map_err(|e| format!("could not translate pv: {e}"))?;
                    is_reached_by(csi_node_affinity(volume, plugin).as_ref(), node.labels())
                }
            };
            if !reached {
                return Ok(BoundVolumes::OutOfReach);
            }
        }
        Ok(BoundVolumes::Reached)
    }

    /// Whether each unbound claim finds a volume on the node or can have one made there.
    fn can_bind(&self, node: &NodeInfo) -> bool {
        let mut chosen: Vec<&PersistentVolume> = Vec::new();
        self.unbound.iter().all(|unbound| {
            if let Some(selected) = unbound.claim.annotations.get(SELECTED_NODE) {
                return selected == node.name() && unbound.class.makes_volumes_for(node.labels());
            }
            match unbound.choose(&chosen, node.labels()) {
                Some(volume) => {
                    chosen.push(volume);
                    true
                }
                None => unbound.class.makes_volumes_for(node.labels()),
            }
        })
    }
}

/// How a pod's bound volumes stand to a node.
enum BoundVolumes {
    Reached,
    OutOfReach,
    Missing,
}

impl<'a> Unbound<'a> {
    fn new(
        claim: &'a PersistentVolumeClaim,
        class: &'a StorageClass,
        snapshot: &'a Snapshot,
        release: Release,
    ) -> Self {
        let suits = |volume: &&PersistentVolume| {
            size_of(volume) >= claim.request
                && class_name_of_volume(volume) == class_name_of(claim)
                && volume.block == claim.block
                && (release == Release::V1_22
                    || volume.volume_attributes_class_name == claim.volume_attributes_class_name)
                && !volume.terminating
        };
        let (kept, free): (Vec<_>, Vec<_>) =
            snapshot.volumes().map(|volume| &**volume).filter(suits).partition(|volume| volume.claim_ref.is_some());
        let for_claim = |volume: &&PersistentVolume| volume.claim_ref.as_ref().is_some_and(|r| is_to(r, claim));
        let available = |volume: &&PersistentVolume| {
            volume.phase == VolumePhase::Available
                && claim.selector.as_ref().is_none_or(|selector| selector.matches(&volume.labels))
                && claim.access_modes.iter().all(|mode| volume.access_modes.contains(mode))
        };
        let kept = kept.into_iter().filter(for_claim).collect();
        let mut free: Vec<_> = free.into_iter().filter(available).collect();
        free.sort_by_key(|volume| size_of(volume));
        Self { claim, class, kept, free }
    }

    /// The volume that the claim would be bound to. One that is kept for it is the only choice.
    fn choose(&self, chosen: &[&PersistentVolume], labels: &Labels) -> Option<&'a PersistentVolume> {
        let left = |volume: &&&PersistentVolume| !chosen.iter().any(|taken| taken.name == volume.name);
        let reached = |volume: &&&PersistentVolume| is_reached_by(volume.node_affinity.as_ref(), labels);
        match self.kept.iter().find(left) {
            Some(kept) => Some(kept).filter(reached).copied(),
            None => self.free.iter().filter(left).find(reached).copied(),
        }
    }
}

impl StorageClass {
    /// Whether its provisioner makes volumes where nodes have these labels.
    fn makes_volumes_for(&self, labels: &Labels) -> bool {
        if self.provisioner.is_empty() || *self.provisioner == *NO_PROVISIONER {
            return false;
        }
        let holds = |term: &Vec<_>| {
            !term.is_empty()
                && term.iter().all(|r: &TopologyRequirement| labels.get(&r.key).is_some_and(|v| r.values.contains(v)))
        };
        self.allowed_topologies.is_empty() || self.allowed_topologies.iter().any(holds)
    }
}

fn size_of(volume: &PersistentVolume) -> Quantity {
    volume.capacity.get("storage").copied().unwrap_or_default()
}

/// Whether a volume's reference means the claim; without a uid, its name suffices.
fn is_to(reference: &ClaimRef, claim: &PersistentVolumeClaim) -> bool {
    reference.name == claim.name
        && reference.namespace == claim.namespace
        && (reference.uid.is_empty() || reference.uid == claim.uid)
}

/// The claim's class, if that waits for the first consumer.
fn class_that_waits<'a>(
    claim: &PersistentVolumeClaim,
    snapshot: &'a Snapshot,
) -> Result<Option<&'a StorageClass>, String> {
    let Some(class) = class_of(claim, snapshot) else { return Ok(None) };
    match class.binding_mode {
        Some(BindingMode::WaitForFirstConsumer) => Ok(Some(class)),
        Some(BindingMode::Immediate) => Ok(None),
        None => Err(binding_mode_not_set(class)),
    }
}

/// The claim, if the pod may use it at all.
fn usable<'a>(mounted: &MountedClaim<'a>, pod: &Pod, release: Release) -> Result<&'a PersistentVolumeClaim, String> {
    let name = &*mounted.name;
    let modern = release >= Release::V1_34;
    let Some(claim) = mounted.claim else {
        return Err(if modern && mounted.ephemeral {
            format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}")
        } else {
            claim_not_found(name)
        });
    };
    if modern && claim.phase == VolumePhase::Lost {
        let volume = &*claim.volume_name;
        Err(format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"))
    } else if claim.terminating {
        Err(format!("persistentvolumeclaim {name:?} is being deleted"))
    } else if !mounted.ephemeral || is_made_for(claim, pod) {
        Ok(claim)
    } else if modern {
        Err(not_owner(claim, pod))
    } else {
        Err(format!("persistentvolumeclaim {name:?} was not created for the pod"))
    }
}
