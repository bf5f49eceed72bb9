//! Objects that CSI drivers publish besides their nodes: themselves, their free capacity, their attached volumes.
//!
//! Source: `api/storage/v1/types.go`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Converted, converted,
    meta::{LabelSelector, ObjectMeta},
    names,
    quantity::{QuantityText, amount},
};
use crate::fault::{Faults, Path};
use podberth_core::model;

/// A CSI driver of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = CSIDriver)]
pub struct CsiDriver {
    /// The driver's name, which is also its provisioner's.
    pub metadata: ObjectMeta,
    /// Properties of the driver.
    pub spec: CsiDriverSpec,
}

/// Properties of a CSI driver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = CSIDriverSpec)]
pub struct CsiDriverSpec {
    /// Volumes are made only where a CSIStorageCapacity shows enough capacity.
    pub storage_capacity: bool,
}

/// How much room a CSI driver has for volumes of one class in one topology.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = CSIStorageCapacity)]
pub struct CsiStorageCapacity {
    /// Name and namespace.
    pub metadata: ObjectMeta,
    /// The storage class.
    pub storage_class_name: String,
    /// The nodes that have access: absent for none, empty for all.
    #[schema(nullable = false)]
    pub node_topology: Option<LabelSelector>,
    /// The room that is left.
    #[schema(nullable = false)]
    pub capacity: Option<QuantityText>,
    /// The largest volume that can be made; absent: as large as the room that is left.
    #[schema(nullable = false)]
    pub maximum_volume_size: Option<QuantityText>,
}

/// A volume that is attached to a node, or is being attached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeAttachment {
    /// Name.
    pub metadata: ObjectMeta,
    /// The attached volume and its node.
    pub spec: VolumeAttachmentSpec,
}

/// An attached volume and its node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeAttachmentSpec {
    /// The CSI driver.
    pub attacher: String,
    /// The node.
    pub node_name: String,
    /// The volume.
    pub source: VolumeAttachmentSource,
}

/// The volume of an attachment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeAttachmentSource {
    /// A persistent volume.
    pub persistent_volume_name: String,
    /// A volume in a pod. Only its presence is read.
    #[schema(nullable = false, value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub inline_volume_spec: Option<InlineVolume>,
}

/// A volume in a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InlineVolume {}

impl CsiDriver {
    /// The driver, and its faults.
    pub fn to_core(&self) -> Converted<model::CsiDriver> {
        converted(|faults| model::CsiDriver {
            name: self.metadata.cluster_scoped(names::dns_subdomain, faults),
            storage_capacity: self.spec.storage_capacity,
        })
    }
}

impl CsiStorageCapacity {
    /// The capacity, and its faults.
    pub fn to_core(&self) -> Converted<model::CsiStorageCapacity> {
        converted(|faults| {
            let key = self.metadata.namespaced(names::dns_subdomain, faults);
            required(&self.storage_class_name, &Path::ROOT.child("storageClassName"), faults);
            let topology_at = Path::ROOT.child("nodeTopology");
            let mut size = |field: &'static str, text: &Option<QuantityText>| {
                text.as_ref().and_then(|text| amount(&text.0, &Path::ROOT.child(field), faults))
            };
            let capacity = size("capacity", &self.capacity);
            let maximum = size("maximumVolumeSize", &self.maximum_volume_size);
            model::CsiStorageCapacity {
                namespace: key.namespace,
                name: key.name,
                storage_class_name: self.storage_class_name.as_str().into(),
                node_topology: self.node_topology.as_ref().and_then(|s| s.to_core(&topology_at, faults)),
                largest_volume: maximum.or(capacity),
            }
        })
    }
}

impl VolumeAttachment {
    /// The attachment, and its faults.
    pub fn to_core(&self) -> Converted<model::VolumeAttachment> {
        converted(|faults| {
            let at = Path::ROOT.child("spec");
            required(&self.spec.attacher, &at.child("attacher"), faults);
            required(&self.spec.node_name, &at.child("nodeName"), faults);
            let source = &self.spec.source;
            if source.persistent_volume_name.is_empty() == source.inline_volume_spec.is_none() {
                let message = "exactly one of inlineVolumeSpec and persistentVolumeName must be specified";
                faults.required(&at.child("source"), message);
            }
            model::VolumeAttachment {
                name: self.metadata.cluster_scoped(names::dns_subdomain, faults),
                attacher: self.spec.attacher.as_str().into(),
                node_name: self.spec.node_name.as_str().into(),
                volume_name: source.persistent_volume_name.as_str().into(),
            }
        })
    }
}

fn required(text: &str, at: &Path<'_>, faults: &mut Faults) {
    if text.is_empty() {
        faults.required(at, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(json: &str) -> Converted<model::CsiStorageCapacity> {
        serde_json::from_str::<CsiStorageCapacity>(json).unwrap().to_core()
    }

    #[test]
    fn the_largest_volume_wins_over_the_room_that_is_left() {
        let largest = |rest: &str| {
            let json = format!(r#"{{"metadata":{{"name":"c"}},"storageClassName":"fast"{rest}}}"#);
            capacity(&json).strict().unwrap().largest_volume
        };
        let gi = |n: i64| Some(model::Quantity::from_units(n << 30));
        assert_eq!(largest(""), None);
        assert_eq!(largest(r#","capacity":"5Gi""#), gi(5));
        assert_eq!(largest(r#","capacity":"5Gi","maximumVolumeSize":"1Gi""#), gi(1));
    }

    #[test]
    fn without_a_topology_no_node_has_access_and_with_an_empty_one_all_have() {
        let topology = |json: &str| {
            let json = format!(r#"{{"metadata":{{"name":"c"}},"storageClassName":"fast"{json}}}"#);
            capacity(&json).strict().unwrap().node_topology
        };
        assert_eq!(topology(""), None);
        assert_eq!(topology(r#","nodeTopology":{}"#), Some(model::Selector::default()));
    }

    #[test]
    fn fields_that_decisions_read_are_required() {
        let fields = |causes: Vec<crate::fault::Cause>| causes.into_iter().map(|c| c.field).collect::<Vec<_>>();
        assert_eq!(fields(capacity(r#"{"metadata":{"name":"c"}}"#).causes), ["storageClassName"]);
        let attachment: VolumeAttachment = serde_json::from_str(r#"{"metadata":{"name":"a"}}"#).unwrap();
        assert_eq!(fields(attachment.to_core().causes), ["spec.attacher", "spec.nodeName", "spec.source"]);
    }
}
