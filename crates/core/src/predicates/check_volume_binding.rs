//! # Rule
//! The node must have the volume of each claim of the pod, ephemeral volumes included, or be able to get it.
//!
//! A claim is *bound* when it names its volume and carries the annotation `pv.kubernetes.io/bind-completed`. Then the volume must
//! exist, and its node affinity must accept the node.
//!
//! An unbound claim whose class has `volumeBindingMode: WaitForFirstConsumer` needs one of these:
//! - an available volume of its class that can be reached from the node, is large enough, and agrees with the claim in
//!   volume mode, access modes, label selector and (1.34) volume attributes class. A volume kept for the claim
//!   (`claimRef`) is taken before any other; else the smallest one that fits. Small claims choose first, and no volume is
//!   chosen twice;
//! - a class whose provisioner makes volumes where the node is: not `kubernetes.io/no-provisioner`, and one of
//!   `allowedTopologies`, if there are any, holds for the node's labels.
//!
//! If the driver publishes its free capacity (`storageCapacity: true` in its CSIDriver), a CSIStorageCapacity of the class that the
//! node has access to must also be large enough for the claim: by `maximumVolumeSize`, else `capacity`.
//!
//! A claim with the annotation `volume.kubernetes.io/selected-node` gets its volume on that node, and fits no other.
//!
//! These faults rule out every node before any is checked: a claim that does not exist or is being deleted; a claim of an ephemeral
//! volume that was not made for the pod; an unbound claim of any other class; an unbound claim that names a volume, since it should
//! have been bound by now.
//!
//! The commit that binds the pod also writes the choices for its claims: it binds the volume to the claim, or writes the node's name to
//! `volume.kubernetes.io/selected-node` of the claim. So no volume is chosen twice, and later pods with the claim follow it.
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
//! - `node(s) did not have enough free storage`
//! - `node(s) had volume node affinity conflict`; 1.34: `node(s) didn't match PersistentVolume's node affinity`
//! - `pvc(s) bound to non-existent pv(s)`; 1.34: `node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)`
//! - `pod has unbound immediate PersistentVolumeClaims`
//! - `persistentvolumeclaim "<name>" not found`, of an ephemeral volume in 1.34: `waiting for ephemeral volume controller
//!   to create the persistentvolumeclaim "<name>"`
//! - `persistentvolumeclaim "<name>" is being deleted`
//! - `persistentvolumeclaim "<name>" was not created for the pod`; 1.34: `PVC <namespace>/<name> was not created for pod
//!   <namespace>/<name> (pod is not owner)`
//! - 1.34: `persistentvolumeclaim "<name>" bound to non-existent persistentvolume "<name>"`
//! - `VolumeBindingMode not set for StorageClass "<name>"`, `could not translate pv: <error>`
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

use std::sync::Arc;

use super::{
    Build, Demand, Predicate, Registration, Standing,
    csi_migration::{InTreePlugin, csi_handle, csi_node_affinity},
    storage_room::Room,
    volumes::{
        MountedClaim, binding_mode_not_set, claim_not_found, class_name_of, class_of, is_made_for, is_reached_by,
        not_owner, volume_of,
    },
};
use crate::{
    claim_choice::{BIND_COMPLETED, ClaimChoice, SELECTED_NODE, is_kept_for},
    model::{
        BindingMode, Labels, PersistentVolume, PersistentVolumeClaim, Pod, Quantity, StorageClass, TopologyRequirement,
        VolumePhase,
    },
    node_info::NodeInfo,
    rule::{Identity, Reads, Release},
    snapshot::Snapshot,
    verdict::{Reason, Verdict},
    work,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "CheckVolumeBinding",
        aliases: &[],
        plugin: "VolumeBinding",
        modern_plugin: Some("VolumeBinding"),
        arguments: &[],
        source: include_str!("check_volume_binding.rs"),
    },
    standing: Standing::Default,
    build: Build::Rule(|arguments| Box::new(CheckVolumeBinding { release: arguments.release })),
};

const NOTHING_TO_BIND: &str = "node(s) didn't find available persistent volumes to bind";
const NO_ROOM: &str = "node(s) did not have enough free storage";
const UNBOUND_IMMEDIATE: &str = "pod has unbound immediate PersistentVolumeClaims";
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

    fn reads(&self, pod: &Pod, _: &Snapshot) -> Reads {
        if pod.volumes.is_empty() { Reads::Nothing } else { Reads::Cluster }
    }

    fn choose(&self, pod: &Pod, snapshot: &Snapshot, node: &NodeInfo) -> Vec<ClaimChoice> {
        let claims = Claims::of(pod, snapshot, self.release);
        claims.ok().and_then(|claims| claims.choices(node).ok()).unwrap_or_default()
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
    claim: &'a Arc<PersistentVolumeClaim>,
    class: &'a StorageClass,
    /// Volumes that suit the claim wherever they can be reached from, and are kept for it.
    kept: Vec<&'a Arc<PersistentVolume>>,
    /// Unclaimed volumes, the smallest first.
    free: Vec<&'a Arc<PersistentVolume>>,
    /// Where its driver has room; `None` where that is not known.
    room: Option<Room<'a>>,
}

impl<'a> Claims<'a> {
    /// Sorts the pod's claims; an error is what keeps it off every node.
    fn of(pod: &Pod, snapshot: &'a Snapshot, release: Release) -> Result<Self, String> {
        // Faults of any claim itself come before those of binding.
        let claims: Vec<&'a Arc<PersistentVolumeClaim>> =
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
        let unbound = self.choices(node).err();
        // kube-scheduler reports a conflict before, and a missing volume after, claims that cannot be bound.
        let (conflict, missing) = match bound {
            BoundVolumes::Reached => (None, None),
            BoundVolumes::OutOfReach => (Some(self.out_of_reach()), None),
            BoundVolumes::Missing => (None, Some(self.missing())),
        };
        let reasons: Vec<Reason> = [conflict, unbound, missing].into_iter().flatten().map(Reason::from).collect();
        if reasons.is_empty() { Verdict::Fits } else { Verdict::UnschedulableAndUnresolvable(reasons) }
    }

    fn out_of_reach(&self) -> &'static str {
        self.release.facts().volume_out_of_reach
    }

    fn missing(&self) -> &'static str {
        self.release.facts().bound_volume_missing
    }

    /// The result for the first bound volume with a fault.
    fn check_bound(&self, node: &NodeInfo) -> Result<BoundVolumes, String> {
        let csi_node = self.snapshot.csi_node(node.name()).map(|csi_node| &**csi_node);
        for volume in &self.bound {
            work::spend(2);
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

    /// Where each unbound claim gets its volume from on the node; of claims whose volume is being made, nothing. Else why
    /// one of them gets none.
    fn choices(&self, node: &NodeInfo) -> Result<Vec<ClaimChoice>, &'static str> {
        let selected = |unbound: &&Unbound<'a>| unbound.claim.annotations.get(SELECTED_NODE);
        if self.unbound.iter().filter_map(|unbound| selected(&unbound)).any(|selected| selected != node.name()) {
            return Err(NOTHING_TO_BIND);
        }
        let (being_made, open): (Vec<_>, Vec<_>) = self.unbound.iter().partition(|unbound| selected(unbound).is_some());
        let (mut taken, mut choices): (Vec<&PersistentVolume>, Vec<ClaimChoice>) = (Vec::new(), Vec::new());
        let mut to_make = being_made;
        for unbound in open {
            let Some(volume) = unbound.choose(&taken, node.labels()) else {
                to_make.push(unbound);
                continue;
            };
            taken.push(volume);
            choices.push(ClaimChoice::Bind { volume: volume.clone(), claim: unbound.claim.clone() });
        }
        for unbound in to_make {
            if !unbound.class.makes_volumes_for(node.labels()) {
                return Err(NOTHING_TO_BIND);
            }
            if unbound.room.as_ref().is_some_and(|room| !room.is_reached_by(node.labels())) {
                return Err(NO_ROOM);
            }
            if selected(&unbound).is_none() {
                choices.push(ClaimChoice::Make { claim: unbound.claim.clone(), node: node.name().clone() });
            }
        }
        Ok(choices)
    }
}

/// The relation of a pod's bound volumes to a node.
enum BoundVolumes {
    Reached,
    OutOfReach,
    Missing,
}

impl<'a> Unbound<'a> {
    fn new(
        claim: &'a Arc<PersistentVolumeClaim>,
        class: &'a StorageClass,
        snapshot: &'a Snapshot,
        release: Release,
    ) -> Self {
        let suits = |volume: &&Arc<PersistentVolume>| {
            work::spend(1);
            size_of(volume) >= claim.request
                && *volume.storage_class_name == *class_name_of(claim)
                && volume.block == claim.block
                && (!release.facts().matches_volume_attributes_classes
                    || volume.volume_attributes_class_name == claim.volume_attributes_class_name)
                && !volume.terminating
        };
        let (kept, free): (Vec<_>, Vec<_>) =
            snapshot.volumes().filter(suits).partition(|volume| volume.claim_ref.is_some());
        let available = |volume: &&Arc<PersistentVolume>| {
            volume.phase == VolumePhase::Available
                && claim.selector.as_ref().is_none_or(|selector| selector.matches(&volume.labels))
                && claim.access_modes.iter().all(|mode| volume.access_modes.contains(mode))
        };
        let kept = kept.into_iter().filter(|volume| is_kept_for(volume, claim)).collect();
        let mut free: Vec<_> = free.into_iter().filter(available).collect();
        free.sort_by_key(|volume| size_of(volume));
        Self { claim, class, kept, free, room: Room::of(claim, class, snapshot) }
    }

    /// The volume that the claim would be bound to. One that is kept for it is the only choice.
    fn choose(&self, taken: &[&PersistentVolume], labels: &Labels) -> Option<&'a Arc<PersistentVolume>> {
        let left = |volume: &&&Arc<PersistentVolume>| {
            work::spend_on(1 + taken.len() / 4);
            !taken.iter().any(|taken| taken.name == volume.name)
        };
        let reached = |volume: &&&Arc<PersistentVolume>| is_reached_by(volume.node_affinity.as_ref(), labels);
        match self.kept.iter().find(left) {
            Some(kept) => Some(kept).filter(reached).copied(),
            None => self.free.iter().filter(left).find(reached).copied(),
        }
    }
}

impl StorageClass {
    /// `true` if its provisioner makes volumes for nodes with these labels.
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
fn usable<'a>(
    mounted: &MountedClaim<'a>,
    pod: &Pod,
    release: Release,
) -> Result<&'a Arc<PersistentVolumeClaim>, String> {
    let name = &*mounted.name;
    let facts = release.facts();
    let Some(claim) = mounted.claim else {
        return Err(if facts.explains_ephemeral_claims && mounted.ephemeral {
            format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}")
        } else {
            claim_not_found(name)
        });
    };
    if facts.refuses_lost_claims && claim.phase == VolumePhase::Lost {
        let volume = &*claim.volume_name;
        Err(format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"))
    } else if claim.terminating {
        Err(format!("persistentvolumeclaim {name:?} is being deleted"))
    } else if !mounted.ephemeral || is_made_for(claim, pod) {
        Ok(claim)
    } else if facts.explains_ephemeral_claims {
        Err(not_owner(claim, pod))
    } else {
        Err(format!("persistentvolumeclaim {name:?} was not created for the pod"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        PodBuilder, VolumeBuilder, csi_node, node, pod, predicate, pv, pvc, storage_class, verdict_of,
    };
    use crate::{
        model::{AccessMode, ClaimRef, Selector, VolumeSource, topology},
        rule::Arguments,
        snapshot::Object,
    };

    const BOTH: [Release; 2] = [Release::V1_22, Release::V1_34];

    fn verdict(release: Release, more: &[Object], new: PodBuilder, on: &str) -> Verdict {
        let rule = predicate("CheckVolumeBinding", &Arguments::defaults(release));
        let nodes = [node("a").zone("az1").into(), node("b").zone("az2").into()];
        let cluster: Vec<Object> = nodes.into_iter().chain(more.iter().cloned()).collect();
        verdict_of(&*rule, new, &cluster, on)
    }

    fn local() -> Object {
        storage_class("local").provisioner(NO_PROVISIONER).into()
    }

    fn local_pv(name: &str, node: &str) -> VolumeBuilder {
        pv(name).class("local").reached_by(topology::HOSTNAME, node)
    }

    #[test]
    fn a_bound_claim_ties_the_pod_to_where_its_volume_is() {
        let tied = [pvc("data").bound_to("v").into(), local_pv("v", "a").into()];
        let gone = [pvc("data").bound_to("v").into()];
        let texts = [
            (Release::V1_22, "node(s) had volume node affinity conflict", "pvc(s) bound to non-existent pv(s)"),
            (
                Release::V1_34,
                "node(s) didn't match PersistentVolume's node affinity",
                "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
            ),
        ];
        for (release, conflict, missing) in texts {
            let new = || pod("p").claim("data");
            assert!(verdict(release, &tied, new(), "a").fits());
            assert_eq!(verdict(release, &tied, new(), "b"), Verdict::unresolvable(conflict));
            assert_eq!(verdict(release, &gone, new(), "a"), Verdict::unresolvable(missing));
        }
    }

    #[test]
    fn an_unbound_claim_takes_a_volume_that_suits_it() {
        let suits = || local_pv("v", "a").size("10Gi").label("disk", "ssd");
        let claim = || pvc("data").class("local").size("5Gi").into();
        let cases: [(&str, Object, VolumeBuilder, bool); 9] = [
            ("the volume suits", claim(), suits(), true),
            ("too small", pvc("data").class("local").size("11Gi").into(), suits(), false),
            ("another class", claim(), suits().class("other"), false),
            ("a block device", claim(), suits().with(|v| v.block = true), false),
            ("mounted otherwise", claim(), suits().with(|v| v.access_modes = vec![AccessMode::ReadOnlyMany]), false),
            ("not available yet", claim(), suits().with(|v| v.phase = VolumePhase::Pending), false),
            ("going away", claim(), suits().with(|v| v.terminating = true), false),
            (
                "labels are asked for",
                pvc("data").class("local").with(|c| c.selector = Some(Selector::from_map([("disk", "hdd")]))).into(),
                suits(),
                false,
            ),
            ("kept for another claim", claim(), suits().with(|v| v.claim_ref = Some(reference("other"))), false),
        ];
        for release in BOTH {
            for (why, claim, volume, fits) in &cases {
                let cluster = [local(), claim.clone(), volume.clone().into()];
                let on = |node| verdict(release, &cluster, pod("p").claim("data"), node);
                assert_eq!(on("a").fits(), *fits, "{why}");
                assert_eq!(on("b"), Verdict::unresolvable(NOTHING_TO_BIND), "out of reach: {why}");
            }
        }
        let gold = [local(), claim(), suits().with(|v| v.volume_attributes_class_name = "gold".into()).into()];
        assert!(verdict(Release::V1_22, &gold, pod("p").claim("data"), "a").fits(), "not yet known");
        assert!(
            !verdict(Release::V1_34, &gold, pod("p").claim("data"), "a").fits(),
            "the claim asks for no such class"
        );
    }

    fn reference(claim: &str) -> ClaimRef {
        ClaimRef { namespace: "default".into(), name: claim.into(), uid: "".into() }
    }

    #[test]
    fn a_volume_kept_for_the_claim_is_the_only_choice() {
        let kept = |node| local_pv("kept", node).with(|v| v.claim_ref = Some(reference("data"))).into();
        let claim = || pvc("data").class("local").into();
        let here = [local(), claim(), kept("a")];
        assert!(BOTH.into_iter().all(|r| verdict(r, &here, pod("p").claim("data"), "a").fits()));
        let elsewhere = [local(), claim(), kept("b"), local_pv("free", "a").into()];
        assert!(BOTH.into_iter().all(|r| !verdict(r, &elsewhere, pod("p").claim("data"), "a").fits()));
    }

    #[test]
    fn small_claims_choose_first_and_no_volume_twice() {
        let claims =
            [local(), pvc("big").class("local").size("8Gi").into(), pvc("small").class("local").size("2Gi").into()];
        let with = |sizes: &[&str]| -> Vec<Object> {
            let volumes = sizes.iter().map(|size| local_pv(&format!("pv-{size}"), "a").size(size).into());
            claims.iter().cloned().chain(volumes).collect()
        };
        let fits =
            |cluster: &[Object]| verdict(Release::V1_22, cluster, pod("p").claim("big").claim("small"), "a").fits();
        assert!(fits(&with(&["10Gi", "3Gi"])), "small takes 3Gi and leaves 10Gi to big");
        assert!(!fits(&with(&["10Gi"])), "one volume, two claims");
        assert!(!fits(&with(&["10Gi", "1Gi"])), "1Gi suits neither, and 10Gi goes to small");
    }

    #[test]
    fn else_a_volume_is_made_where_the_class_allows_it() {
        let cluster = [
            storage_class("anywhere").into(),
            storage_class("az1").only_in(topology::ZONE, &["az1", "az9"]).into(),
            local(),
            pvc("any").class("anywhere").into(),
            pvc("zonal").class("az1").into(),
            pvc("static").class("local").into(),
            pvc("chosen").class("anywhere").annotation(SELECTED_NODE, "b").into(),
        ];
        let cases =
            [("any", [true, true]), ("zonal", [true, false]), ("static", [false, false]), ("chosen", [false, true])];
        for (claim, fits) in cases {
            let on = |node| verdict(Release::V1_34, &cluster, pod("p").claim(claim), node).fits();
            assert_eq!([on("a"), on("b")], fits, "{claim}");
        }
    }

    #[test]
    fn a_claim_fault_has_the_text_of_the_release() {
        let ephemeral = || pod("p").mounts(VolumeSource::Ephemeral);
        let plain = || pod("p").claim("data");
        let late = UNBOUND_IMMEDIATE;
        let going = "persistentvolumeclaim \"data\" is being deleted";
        let cases: [(PodBuilder, Vec<Object>, [&str; 2]); 8] = [
            (plain(), vec![], ["persistentvolumeclaim \"data\" not found"; 2]),
            (plain(), vec![pvc("data").with(|c| c.terminating = true).into()], [going; 2]),
            (plain(), vec![pvc("data").into()], [late; 2]),
            (plain(), vec![pvc("data").class("now").into(), storage_class("now").immediate().into()], [late; 2]),
            (plain(), vec![local(), pvc("data").class("local").with(|c| c.volume_name = "v".into()).into()], [late; 2]),
            (
                plain(),
                vec![
                    pvc("data").class("mute").into(),
                    storage_class("mute").with(|class| class.binding_mode = None).into(),
                ],
                ["VolumeBindingMode not set for StorageClass \"mute\""; 2],
            ),
            (
                ephemeral(),
                vec![],
                [
                    "persistentvolumeclaim \"p-v0\" not found",
                    "waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-v0\"",
                ],
            ),
            (
                ephemeral(),
                vec![pvc("p-v0").made_for("other").into()],
                [
                    "persistentvolumeclaim \"p-v0\" was not created for the pod",
                    "PVC default/p-v0 was not created for pod default/p (pod is not owner)",
                ],
            ),
        ];
        for (new, cluster, texts) in cases {
            for (release, text) in BOTH.into_iter().zip(texts) {
                assert_eq!(verdict(release, &cluster, new.clone(), "a"), Verdict::unresolvable(text));
            }
        }
        let lost = [pvc("data").bound_to("v").with(|c| c.phase = VolumePhase::Lost).into(), pv("v").into()];
        let text = "persistentvolumeclaim \"data\" bound to non-existent persistentvolume \"v\"";
        assert!(verdict(Release::V1_22, &lost, plain(), "a").fits(), "1.22 looks for the volume alone");
        assert_eq!(verdict(Release::V1_34, &lost, plain(), "a"), Verdict::unresolvable(text));
    }

    #[test]
    fn on_a_node_whose_plugin_has_moved_the_drivers_zone_label_counts() {
        let disk = VolumeSource::AwsElasticBlockStore { volume_id: "vol-1".into(), read_only: false };
        let cluster = [
            csi_node("a").migrated("kubernetes.io/aws-ebs").into(),
            pvc("data").bound_to("v").into(),
            pv("v").source(disk).label(topology::ZONE, "az1").into(),
        ];
        let fits = |release, on| verdict(release, &cluster, pod("p").claim("data"), on).fits();
        assert!(fits(Release::V1_22, "a"), "migration of EBS is off");
        assert!(!fits(Release::V1_34, "a"), "the node lacks topology.ebs.csi.aws.com/zone");
        assert!(fits(Release::V1_34, "b"), "node b says nothing of migration");
    }
}
