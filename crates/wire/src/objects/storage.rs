//! Persistent volumes, claims, storage classes, CSI nodes.
//!
//! Source: `api/core/v1/types.go`, `api/storage/v1/types.go`, `component-helpers/storage/volume/helpers.go`
//! (`GetPersistentVolumeClaimClass`, `GetPersistentVolumeClass`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Converted,
    affinity::NodeSelector,
    converted,
    meta::{LabelSelector, ObjectMeta},
    names,
    quantity::{QuantityText, resource_list},
    volume::{AzureDisk, Csi, Disk, GcePersistentDisk, Iscsi, Rbd, VolumeId},
};
use crate::fault::{Faults, Path};
use podberth_core::model::{self, AccessMode, BindingMode, ClaimRef, TopologyRequirement, VolumePhase};

/// The annotations that volume binding reads.
const READ_ANNOTATIONS: &[&str] = &["volume.", "pv.kubernetes.io/"];
/// Where objects of old name their storage class; it wins over the field.
pub(crate) const BETA_STORAGE_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// Annotations that mark the default class (`pkg/volume/util/storageclass.go`, `IsDefaultAnnotation`).
const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// Where a CSINode names the in-tree plugins that have moved to CSI.
const MIGRATED_PLUGINS: &str = "storage.alpha.kubernetes.io/migrated-plugins";

/// A piece of storage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PersistentVolume {
    /// Name, labels, annotations.
    pub metadata: ObjectMeta,
    /// Its properties.
    pub spec: PersistentVolumeSpec,
    /// How far it has come.
    pub status: VolumeStatus,
}

/// Properties of a persistent volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PersistentVolumeSpec {
    /// Its size: `storage`.
    pub capacity: BTreeMap<String, QuantityText>,
    /// `ReadWriteOnce`, `ReadOnlyMany`, `ReadWriteMany`, `ReadWriteOncePod`.
    pub access_modes: Vec<String>,
    /// Its storage class; empty for none.
    pub storage_class_name: String,
    /// `Filesystem` (default) or `Block`.
    pub volume_mode: String,
    /// The volume attributes class.
    pub volume_attributes_class_name: String,
    /// The claim it is bound to or kept for.
    #[schema(nullable = false)]
    pub claim_ref: Option<ObjectReference>,
    /// The nodes that reach it.
    pub node_affinity: VolumeNodeAffinity,
    /// A Google persistent disk.
    #[schema(nullable = false)]
    pub gce_persistent_disk: Option<GcePersistentDisk>,
    /// An AWS elastic block store volume.
    #[schema(nullable = false)]
    pub aws_elastic_block_store: Option<VolumeId>,
    /// An Azure data disk.
    #[schema(nullable = false)]
    pub azure_disk: Option<AzureDisk>,
    /// An OpenStack Cinder volume.
    #[schema(nullable = false)]
    pub cinder: Option<VolumeId>,
    /// A Portworx volume.
    #[schema(nullable = false)]
    pub portworx_volume: Option<VolumeId>,
    /// A Ceph block device image.
    #[schema(nullable = false)]
    pub rbd: Option<Rbd>,
    /// An iSCSI target.
    #[schema(nullable = false)]
    pub iscsi: Option<Iscsi>,
    /// A CSI volume.
    #[schema(nullable = false)]
    pub csi: Option<Csi>,
}

/// A reference to another object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectReference {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// The nodes that reach a volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeNodeAffinity {
    /// Absent means all nodes.
    #[schema(nullable = false)]
    pub required: Option<NodeSelector>,
}

/// How far a volume or a claim has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeStatus {
    /// `Pending`, `Available`, `Bound`, `Released`, `Failed` or `Lost`.
    pub phase: String,
}

/// A claim to a piece of storage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PersistentVolumeClaim {
    /// Name, namespace, annotations, owner.
    pub metadata: ObjectMeta,
    /// Its demands.
    pub spec: PersistentVolumeClaimSpec,
    /// How far it has come.
    pub status: VolumeStatus,
}

/// Demands of a claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PersistentVolumeClaimSpec {
    /// `ReadWriteOnce`, `ReadOnlyMany`, `ReadWriteMany`, `ReadWriteOncePod`.
    pub access_modes: Vec<String>,
    /// Its size: `requests.storage`.
    pub resources: VolumeResourceRequirements,
    /// Labels that the volume must have.
    #[schema(nullable = false)]
    pub selector: Option<LabelSelector>,
    /// Its storage class: absent for the default one, empty for none.
    #[schema(nullable = false)]
    pub storage_class_name: Option<String>,
    /// `Filesystem` (default) or `Block`.
    pub volume_mode: String,
    /// The volume attributes class.
    pub volume_attributes_class_name: String,
    /// The volume it is bound to.
    pub volume_name: String,
}

/// The size of a claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeResourceRequirements {
    /// At least: `storage`.
    pub requests: BTreeMap<String, QuantityText>,
}

/// A kind of storage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageClass {
    /// Name.
    pub metadata: ObjectMeta,
    /// The provisioner of its volumes.
    pub provisioner: String,
    /// `Immediate` (default) or `WaitForFirstConsumer`.
    pub volume_binding_mode: String,
    /// Where volumes can be made; empty means everywhere.
    pub allowed_topologies: Vec<TopologySelectorTerm>,
}

/// A topology: all its conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TopologySelectorTerm {
    /// The conditions.
    pub match_label_expressions: Vec<TopologySelectorLabelRequirement>,
}

/// A condition on a node label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TopologySelectorLabelRequirement {
    /// The label's key.
    pub key: String,
    /// The values allowed.
    pub values: Vec<String>,
}

/// CSI drivers of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = CSINode)]
pub struct CsiNode {
    /// The node's name.
    pub metadata: ObjectMeta,
    /// Its drivers.
    pub spec: CsiNodeSpec,
}

/// The drivers of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = CSINodeSpec)]
pub struct CsiNodeSpec {
    /// The drivers.
    pub drivers: Vec<CsiNodeDriver>,
}

/// A driver on a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = CSINodeDriver)]
pub struct CsiNodeDriver {
    /// The driver.
    pub name: String,
    /// The node in the driver's words.
    #[serde(rename = "nodeID")]
    pub node_id: String,
    /// The node labels that define the driver's topology.
    pub topology_keys: Vec<String>,
    /// How many volumes the node takes.
    pub allocatable: VolumeNodeResources,
}

/// How many volumes a node takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeNodeResources {
    /// Absent means any number.
    #[schema(nullable = false)]
    pub count: Option<i32>,
}

impl PersistentVolume {
    /// The volume, and its faults.
    pub fn to_core(&self) -> Converted<model::PersistentVolume> {
        converted(|faults| {
            let spec = &self.spec;
            let at = Path::ROOT.child("spec");
            let class = self.metadata.annotations.get(BETA_STORAGE_CLASS).unwrap_or(&spec.storage_class_name);
            let affinity_at = at.child("nodeAffinity");
            let disk = Disk {
                gce: spec.gce_persistent_disk.as_ref(),
                ebs: spec.aws_elastic_block_store.as_ref(),
                azure: spec.azure_disk.as_ref(),
                cinder: spec.cinder.as_ref(),
                portworx: spec.portworx_volume.as_ref(),
                rbd: spec.rbd.as_ref(),
                iscsi: spec.iscsi.as_ref(),
                csi: spec.csi.as_ref(),
            };
            model::PersistentVolume {
                name: self.metadata.cluster_scoped(names::dns_subdomain, faults),
                labels: self.metadata.labels(faults),
                annotations: self.metadata.annotations_of(READ_ANNOTATIONS),
                capacity: resource_list(&spec.capacity, &at.child("capacity"), faults),
                access_modes: access_modes(&spec.access_modes, &at.child("accessModes"), faults),
                storage_class_name: class.as_str().into(),
                block: is_block(&spec.volume_mode, &at.child("volumeMode"), faults),
                volume_attributes_class_name: spec.volume_attributes_class_name.as_str().into(),
                claim_ref: spec.claim_ref.as_ref().map(|claim| ClaimRef {
                    namespace: claim.namespace.as_str().into(),
                    name: claim.name.as_str().into(),
                    uid: claim.uid.as_str().into(),
                }),
                node_affinity: spec
                    .node_affinity
                    .required
                    .as_ref()
                    .map(|s| s.to_core(&affinity_at.child("required"), faults)),
                source: disk.to_core(),
                phase: self.status.to_core(),
                terminating: self.metadata.terminating(faults),
            }
        })
    }
}

impl PersistentVolumeClaim {
    /// The claim, and its faults.
    pub fn to_core(&self) -> Converted<model::PersistentVolumeClaim> {
        converted(|faults| {
            let spec = &self.spec;
            let at = Path::ROOT.child("spec");
            let key = self.metadata.namespaced(names::dns_subdomain, faults);
            let class = self.metadata.annotations.get(BETA_STORAGE_CLASS).or(spec.storage_class_name.as_ref());
            let resources_at = at.child("resources");
            let requests = resource_list(&spec.resources.requests, &resources_at.child("requests"), faults);
            model::PersistentVolumeClaim {
                namespace: key.namespace,
                name: key.name,
                uid: self.metadata.uid.as_str().into(),
                annotations: self.metadata.annotations_of(READ_ANNOTATIONS),
                access_modes: access_modes(&spec.access_modes, &at.child("accessModes"), faults),
                storage_class_name: class.map(|c| c.as_str().into()),
                block: is_block(&spec.volume_mode, &at.child("volumeMode"), faults),
                volume_attributes_class_name: spec.volume_attributes_class_name.as_str().into(),
                selector: spec.selector.as_ref().and_then(|s| s.to_core(&at.child("selector"), faults)),
                request: requests.get("storage").copied().unwrap_or_default(),
                volume_name: spec.volume_name.as_str().into(),
                phase: self.status.to_core(),
                owner_pod_uid: self.metadata.controller().map(|c| c.uid),
                terminating: self.metadata.terminating(faults),
            }
        })
    }
}

impl StorageClass {
    /// The class, and its faults.
    pub fn to_core(&self) -> Converted<model::StorageClass> {
        converted(|faults| {
            let binding_at = Path::ROOT.child("volumeBindingMode");
            if self.provisioner.is_empty() {
                faults.required(&Path::ROOT.child("provisioner"), "");
            }
            let requirement = |r: &TopologySelectorLabelRequirement| TopologyRequirement {
                key: r.key.as_str().into(),
                values: r.values.iter().map(|v| v.as_str().into()).collect(),
            };
            model::StorageClass {
                name: self.metadata.cluster_scoped(names::dns_subdomain, faults),
                provisioner: self.provisioner.as_str().into(),
                binding_mode: match self.volume_binding_mode.as_str() {
                    "" => None,
                    "Immediate" => Some(BindingMode::Immediate),
                    "WaitForFirstConsumer" => Some(BindingMode::WaitForFirstConsumer),
                    other => {
                        faults.not_supported(&binding_at, other, &["Immediate", "WaitForFirstConsumer"]);
                        None
                    }
                },
                allowed_topologies: self
                    .allowed_topologies
                    .iter()
                    .map(|term| term.match_label_expressions.iter().map(requirement).collect())
                    .collect(),
                is_default: DEFAULT_CLASS
                    .iter()
                    .any(|key| self.metadata.annotations.get(*key).is_some_and(|v| v == "true")),
                created: self.metadata.created(),
            }
        })
    }
}

impl CsiNode {
    /// The drivers, and their faults.
    pub fn to_core(&self) -> Converted<model::CsiNode> {
        converted(|faults| {
            let migrated = self.metadata.annotations.get(MIGRATED_PLUGINS).map_or("", String::as_str);
            let at = Path::ROOT.child("spec");
            let drivers_at = at.child("drivers");
            for (i, driver) in self.spec.drivers.iter().enumerate() {
                let at = drivers_at.index(i);
                if driver.name.is_empty() {
                    faults.required(&at.child("name"), "");
                }
                if let Some(count) = driver.allocatable.count.filter(|c| *c < 0) {
                    let at = at.child("allocatable");
                    faults.invalid(&at.child("count"), count, "must be greater than or equal to 0");
                }
            }
            model::CsiNode {
                name: self.metadata.cluster_scoped(names::dns_subdomain, faults),
                migrated_plugins: migrated.split(',').filter(|p| !p.is_empty()).map(Into::into).collect(),
                drivers: self
                    .spec
                    .drivers
                    .iter()
                    .map(|driver| model::CsiNodeDriver {
                        name: driver.name.as_str().into(),
                        allocatable_count: driver.allocatable.count,
                        node_id: driver.node_id.as_str().into(),
                        topology_keys: driver.topology_keys.iter().map(|k| k.as_str().into()).collect(),
                    })
                    .collect(),
            }
        })
    }
}

impl VolumeStatus {
    fn to_core(&self) -> VolumePhase {
        match self.phase.as_str() {
            "Available" => VolumePhase::Available,
            "Bound" => VolumePhase::Bound,
            "Released" => VolumePhase::Released,
            "Failed" => VolumePhase::Failed,
            "Lost" => VolumePhase::Lost,
            _ => VolumePhase::Pending,
        }
    }
}

fn access_modes(names: &[String], at: &Path<'_>, faults: &mut Faults) -> Vec<AccessMode> {
    const ALL: [(&str, AccessMode); 4] = [
        ("ReadWriteOnce", AccessMode::ReadWriteOnce),
        ("ReadOnlyMany", AccessMode::ReadOnlyMany),
        ("ReadWriteMany", AccessMode::ReadWriteMany),
        ("ReadWriteOncePod", AccessMode::ReadWriteOncePod),
    ];
    let mut modes = Vec::new();
    for name in names {
        match ALL.iter().find(|(n, _)| n == name) {
            Some((_, mode)) => modes.push(*mode),
            None => faults.not_supported(at, name, &ALL.map(|(n, _)| n)),
        }
    }
    modes
}

fn is_block(mode: &str, at: &Path<'_>, faults: &mut Faults) -> bool {
    if !matches!(mode, "" | "Filesystem" | "Block") {
        faults.not_supported(at, mode, &["Block", "Filesystem"]);
    }
    mode == "Block"
}
