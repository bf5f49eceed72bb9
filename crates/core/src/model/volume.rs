//! Volumes, claims, storage classes and what a CSI driver says of a node.
//!
//! Source: `api/core/v1/types.go`, `api/storage/v1/types.go`.

use super::{Labels, Name, NodeSelector, Quantity, ResourceList, Selector};

/// One volume of a pod: only the sources that scheduling reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name within the pod.
    pub name: Name,
    /// The mounted source.
    pub source: VolumeSource,
}

/// The source of a pod's volume or of a persistent volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeSource {
    /// A claim of the pod's namespace.
    PersistentVolumeClaim {
        /// The claim's name.
        claim_name: Name,
        /// Mounted for reading only.
        read_only: bool,
    },
    /// A claim made for the pod and named `<pod>-<volume>`.
    Ephemeral,
    /// A Google persistent disk.
    GcePersistentDisk {
        /// The disk.
        pd_name: Name,
        /// Mounted for reading only.
        read_only: bool,
    },
    /// An AWS elastic block store volume.
    AwsElasticBlockStore {
        /// The volume.
        volume_id: Name,
        /// Mounted for reading only.
        read_only: bool,
    },
    /// An Azure data disk.
    AzureDisk {
        /// The disk.
        disk_name: Name,
        /// The disk's address, by which its CSI driver knows it.
        data_disk_uri: Name,
    },
    /// An OpenStack Cinder volume.
    Cinder {
        /// The volume.
        volume_id: Name,
    },
    /// A Ceph block device image.
    Rbd {
        /// The monitors; two volumes that share one are on the same Ceph cluster.
        monitors: Vec<Name>,
        /// The pool.
        pool: Name,
        /// The image.
        image: Name,
        /// Mounted for reading only.
        read_only: bool,
    },
    /// An iSCSI target.
    Iscsi {
        /// The target's qualified name.
        iqn: Name,
        /// Mounted for reading only.
        read_only: bool,
    },
    /// A Portworx volume.
    Portworx {
        /// The volume.
        volume_id: Name,
    },
    /// A CSI volume.
    Csi {
        /// The driver.
        driver: Name,
        /// The volume's handle; empty in a pod's inline volume.
        handle: Name,
    },
    /// Anything that scheduling does not read.
    Other,
}

/// How a volume may be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum AccessMode {
    ReadWriteOnce,
    ReadOnlyMany,
    ReadWriteMany,
    ReadWriteOncePod,
}

/// How far a persistent volume or a claim has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum VolumePhase {
    #[default]
    Pending,
    Available,
    Bound,
    Released,
    Failed,
    Lost,
}

/// A reference to a claim by a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRef {
    /// The claim's namespace.
    pub namespace: Name,
    /// The claim's name.
    pub name: Name,
    /// The claim's uid; empty where it is not yet known.
    pub uid: Name,
}

/// A persistent volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersistentVolume {
    /// Its name.
    pub name: Name,
    /// Its labels; zone and region are read.
    pub labels: Labels,
    /// Its annotations of the `volume.beta.kubernetes.io/…` and `pv.kubernetes.io/…` families.
    pub annotations: Labels,
    /// Offered amounts; only `storage` is read.
    pub capacity: ResourceList,
    /// How it may be mounted.
    pub access_modes: Vec<AccessMode>,
    /// Its storage class, by the annotation of older days or the field; empty for none.
    pub storage_class_name: Name,
    /// `true` for a raw block device (`volumeMode: Block`).
    pub block: bool,
    /// Its volume attributes class; empty for none. Read since 1.34.
    pub volume_attributes_class_name: Name,
    /// The claim it is bound to or kept for.
    pub claim_ref: Option<ClaimRef>,
    /// The nodes that reach it; `None` means all.
    pub node_affinity: Option<NodeSelector>,
    /// The source.
    pub source: VolumeSource,
    /// How far it has come.
    pub phase: VolumePhase,
    /// `true` if it is being deleted.
    pub terminating: bool,
}

/// A claim to a persistent volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersistentVolumeClaim {
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Its uid.
    pub uid: Name,
    /// Its annotations of the `volume.kubernetes.io/…`, `volume.beta.kubernetes.io/…` and `pv.kubernetes.io/…` families.
    pub annotations: Labels,
    /// How it is to be mounted.
    pub access_modes: Vec<AccessMode>,
    /// Its storage class, by the annotation of older days or the field: `None` where both are absent, empty where it asks
    /// for none.
    pub storage_class_name: Option<Name>,
    /// `true` if it requests a raw block device.
    pub block: bool,
    /// The volume attributes class it asks for; empty for none. Read since 1.34.
    pub volume_attributes_class_name: Name,
    /// The labels demanded of the volume; `None` demands nothing.
    pub selector: Option<Selector>,
    /// The size asked for (`spec.resources.requests.storage`).
    pub request: Quantity,
    /// The volume it is bound to; empty for none.
    pub volume_name: Name,
    /// How far it has come.
    pub phase: VolumePhase,
    /// The pod that owns it (controller reference), for ephemeral volumes.
    pub owner_pod_uid: Option<Name>,
    /// `true` if it is being deleted.
    pub terminating: bool,
}

/// When claims of a class are bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingMode {
    /// At once, before a pod that uses it is scheduled.
    Immediate,
    /// When a pod that uses it is scheduled.
    WaitForFirstConsumer,
}

/// A storage class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageClass {
    /// Its name.
    pub name: Name,
    /// The provisioner of its volumes; `kubernetes.io/no-provisioner` for none.
    pub provisioner: Name,
    /// The time at which its claims are bound; `None` if absent.
    pub binding_mode: Option<BindingMode>,
    /// The topologies in which volumes can be made; empty means all.
    pub allowed_topologies: Vec<Vec<TopologyRequirement>>,
    /// `true` if claims without a class name get this class.
    pub is_default: bool,
    /// `metadata.creationTimestamp`, in nanoseconds since 1970; `None` if absent.
    pub created: Option<i64>,
}

/// One condition of an allowed topology: the node's label has one of the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyRequirement {
    /// The node label.
    pub key: Name,
    /// The values allowed.
    pub values: Vec<Name>,
}

/// CSI drivers of one node, as they report themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsiNode {
    /// The node's name.
    pub name: Name,
    /// The in-tree plugins that have moved to CSI on that node (`storage.alpha.kubernetes.io/migrated-plugins`).
    pub migrated_plugins: Vec<Name>,
    /// The drivers on the node.
    pub drivers: Vec<CsiNodeDriver>,
}

/// A CSI driver of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsiDriver {
    /// Its name, which is also its provisioner's.
    pub name: Name,
    /// `true` if the driver publishes its free capacity (`spec.storageCapacity`), so that volumes are made only where there is enough.
    pub storage_capacity: bool,
}

/// How much room there is for volumes of one class in one topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsiStorageCapacity {
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// The class that it is about.
    pub storage_class_name: Name,
    /// The nodes that have access; `None` for none of them.
    pub node_topology: Option<Selector>,
    /// The largest volume that can be made (`maximumVolumeSize`, else `capacity`); `None` if absent.
    pub largest_volume: Option<Quantity>,
}

/// A volume that is attached to a node, or on its way there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeAttachment {
    /// Its name.
    pub name: Name,
    /// The CSI driver.
    pub attacher: Name,
    /// The node.
    pub node_name: Name,
    /// The persistent volume; empty for a volume in a pod.
    pub volume_name: Name,
}

/// One driver on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsiNodeDriver {
    /// The driver.
    pub name: Name,
    /// How many of its volumes the node takes; `None` for no bound.
    pub allocatable_count: Option<i32>,
    /// The node's name in the driver's own words.
    pub node_id: Name,
    /// The node labels that define the driver's topology.
    pub topology_keys: Vec<Name>,
}
