//! Volume sources of pods and of persistent volumes.
//!
//! Source: `api/core/v1/types.go` (`VolumeSource`, `PersistentVolumeSource`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use podberth_core::model;

/// One volume of a pod. Sources that scheduling does not read are passed over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Its name within the pod.
    pub name: String,
    /// A claim of the pod's namespace.
    #[schema(nullable = false)]
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,
    /// A claim that is made for the pod and named `<pod>-<volume>`.
    #[schema(nullable = false, value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub ephemeral: Option<EphemeralVolumeSource>,
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
    /// A folder of the node.
    #[schema(nullable = false, value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub host_path: Option<HostPath>,
    /// A folder that lives as long as the pod.
    #[schema(nullable = false)]
    pub empty_dir: Option<EmptyDir>,
}

/// A folder of the node. Only its presence is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostPath {}

/// A folder that lives as long as its pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct EmptyDir {
    /// `Memory` for one in memory; empty for one on the node's disk.
    pub medium: String,
}

/// A claim that a pod mounts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PersistentVolumeClaimVolumeSource {
    /// The claim, in the pod's namespace.
    pub claim_name: String,
    /// Mounted for reading only.
    pub read_only: bool,
}

/// A claim that is created together with the pod. Only its presence is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EphemeralVolumeSource {}

/// A Google persistent disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GcePersistentDisk {
    /// The disk.
    pub pd_name: String,
    /// Mounted for reading only.
    pub read_only: bool,
}

/// A disk known by its id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeId {
    /// The disk.
    #[serde(rename = "volumeID")]
    pub volume_id: String,
    /// Mounted for reading only.
    pub read_only: bool,
}

/// An Azure data disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AzureDisk {
    /// The disk.
    pub disk_name: String,
    /// The disk's address, by which its CSI driver knows it.
    #[serde(rename = "diskURI")]
    pub data_disk_uri: String,
}

/// A Ceph block device image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Rbd {
    /// The monitors of the Ceph cluster.
    pub monitors: Vec<String>,
    /// The pool; `rbd` where none is named.
    pub pool: String,
    /// The image.
    pub image: String,
    /// Mounted for reading only.
    pub read_only: bool,
}

/// An iSCSI target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Iscsi {
    /// The target's qualified name.
    pub iqn: String,
    /// Mounted for reading only.
    pub read_only: bool,
}

/// A CSI volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Csi {
    /// The driver.
    pub driver: String,
    /// The volume in the driver's words; pods' inline volumes have none.
    pub volume_handle: String,
}

impl Volume {
    pub(super) fn to_core(&self) -> model::Volume {
        let source = if let Some(claim) = &self.persistent_volume_claim {
            model::VolumeSource::PersistentVolumeClaim {
                claim_name: claim.claim_name.as_str().into(),
                read_only: claim.read_only,
            }
        } else if self.ephemeral.is_some() {
            model::VolumeSource::Ephemeral
        } else {
            Disk {
                gce: self.gce_persistent_disk.as_ref(),
                ebs: self.aws_elastic_block_store.as_ref(),
                azure: self.azure_disk.as_ref(),
                cinder: self.cinder.as_ref(),
                portworx: self.portworx_volume.as_ref(),
                rbd: self.rbd.as_ref(),
                iscsi: self.iscsi.as_ref(),
                csi: self.csi.as_ref(),
            }
            .to_core()
        };
        model::Volume { name: self.name.as_str().into(), source }
    }
}

/// The sources that volumes of pods and persistent volumes share.
pub(super) struct Disk<'a> {
    pub gce: Option<&'a GcePersistentDisk>,
    pub ebs: Option<&'a VolumeId>,
    pub azure: Option<&'a AzureDisk>,
    pub cinder: Option<&'a VolumeId>,
    pub portworx: Option<&'a VolumeId>,
    pub rbd: Option<&'a Rbd>,
    pub iscsi: Option<&'a Iscsi>,
    pub csi: Option<&'a Csi>,
}

impl Disk<'_> {
    /// The first source that is set.
    pub(super) fn to_core(&self) -> model::VolumeSource {
        use model::VolumeSource as Source;
        if let Some(disk) = self.gce {
            Source::GcePersistentDisk { pd_name: disk.pd_name.as_str().into(), read_only: disk.read_only }
        } else if let Some(disk) = self.ebs {
            Source::AwsElasticBlockStore { volume_id: disk.volume_id.as_str().into(), read_only: disk.read_only }
        } else if let Some(disk) = self.azure {
            Source::AzureDisk {
                disk_name: disk.disk_name.as_str().into(),
                data_disk_uri: disk.data_disk_uri.as_str().into(),
            }
        } else if let Some(disk) = self.cinder {
            Source::Cinder { volume_id: disk.volume_id.as_str().into() }
        } else if let Some(disk) = self.portworx {
            Source::Portworx { volume_id: disk.volume_id.as_str().into() }
        } else if let Some(image) = self.rbd {
            Source::Rbd {
                monitors: image.monitors.iter().map(|m| m.as_str().into()).collect(),
                pool: if image.pool.is_empty() { "rbd".into() } else { image.pool.as_str().into() },
                image: image.image.as_str().into(),
                read_only: image.read_only,
            }
        } else if let Some(target) = self.iscsi {
            Source::Iscsi { iqn: target.iqn.as_str().into(), read_only: target.read_only }
        } else if let Some(volume) = self.csi {
            Source::Csi { driver: volume.driver.as_str().into(), handle: volume.volume_handle.as_str().into() }
        } else {
            Source::Other
        }
    }
}
