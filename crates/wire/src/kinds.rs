//! The kinds that can be stored, as data: to add one, add a row.

use utoipa::{PartialSchema, ToSchema, openapi::RefOr};

use super::{
    decode::{self, DecodeError},
    objects::{Converted, csi, disruption, node, pod, runtime_class, storage, workload},
    validation,
};
use podberth_core::{
    model::WorkloadKind,
    snapshot::{Kind, Object},
};

/// One stored kind.
#[derive(Debug)]
pub struct StoredKind {
    /// Its API group; empty for the core group.
    pub group: &'static str,
    /// The version in which we serve it.
    pub version: &'static str,
    /// Its name in objects: `Node`.
    pub kind: &'static str,
    /// Its name in paths: `nodes`.
    pub plural: &'static str,
    /// Its name for one: `node`.
    pub singular: &'static str,
    /// Short names for kubectl, as `no`.
    pub short_names: &'static [&'static str],
    /// `true` if its objects are in namespaces.
    pub namespaced: bool,
    /// Its kind in the core.
    pub core: Kind,
    /// How its objects are written.
    wire: Wire,
}

/// Functions of the struct that reads the objects of a row.
#[derive(Debug)]
struct Wire {
    parse: fn(&[u8]) -> Result<Converted<Object>, DecodeError>,
    validate: fn(&[u8]) -> Result<Converted<Object>, DecodeError>,
    schemas: fn() -> Vec<Schema>,
}

/// A named schema of the published document.
pub type Schema = (String, RefOr<utoipa::openapi::Schema>);

impl StoredKind {
    /// `v1`, or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.into() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods`, or `replicasets.apps`: the kind's own name among all, under which its objects are stored.
    pub fn key(&self) -> String {
        if self.group.is_empty() { self.plural.into() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Parses an object of this kind, and reports all its faults.
    ///
    /// # Errors
    /// If the text is not JSON, or a field has the wrong type.
    pub fn parse(&self, json: &[u8]) -> Result<Converted<Object>, DecodeError> {
        (self.wire.parse)(json)
    }

    /// Parses an object of this kind as [`Self::parse`] does, and also reports the faults for which the API server would refuse it.
    ///
    /// # Errors
    /// If the text is not JSON, or a field has the wrong type.
    pub fn validate(&self, json: &[u8]) -> Result<Converted<Object>, DecodeError> {
        (self.wire.validate)(json)
    }

    /// The schema of its objects, under its own name, and those that it refers to.
    pub fn schemas(&self) -> Vec<Schema> {
        (self.wire.schemas)()
    }
}

/// Writes the functions of a row's struct.
macro_rules! wire {
    ($wire:ty => $object:expr) => {
        Wire {
            parse: |json| Ok(decode::from_slice::<$wire>(json)?.to_core().map($object)),
            validate: |json| {
                let object: $wire = decode::from_slice(json)?;
                let mut converted = object.to_core().map($object);
                converted.causes.extend(validation::faults(&object, json)?);
                Ok(converted)
            },
            schemas: || {
                let mut schemas = Vec::new();
                <$wire as ToSchema>::schemas(&mut schemas);
                schemas.push((<$wire as ToSchema>::name().into(), <$wire as PartialSchema>::schema()));
                schemas
            },
        }
    };
}

/// Every stored kind, in the order in which an import applies them: objects that others refer to come first.
pub static ALL: &[StoredKind] = &[
    StoredKind {
        group: "",
        version: "v1",
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        short_names: &["ns"],
        namespaced: false,
        core: Kind::Namespace,
        wire: wire!(workload::Namespace => Object::Namespace),
    },
    StoredKind {
        group: "scheduling.k8s.io",
        version: "v1",
        kind: "PriorityClass",
        plural: "priorityclasses",
        singular: "priorityclass",
        short_names: &["pc"],
        namespaced: false,
        core: Kind::PriorityClass,
        wire: wire!(disruption::PriorityClass => Object::PriorityClass),
    },
    StoredKind {
        group: "node.k8s.io",
        version: "v1",
        kind: "RuntimeClass",
        plural: "runtimeclasses",
        singular: "runtimeclass",
        short_names: &[],
        namespaced: false,
        core: Kind::RuntimeClass,
        wire: wire!(runtime_class::RuntimeClass => Object::RuntimeClass),
    },
    StoredKind {
        group: "storage.k8s.io",
        version: "v1",
        kind: "StorageClass",
        plural: "storageclasses",
        singular: "storageclass",
        short_names: &["sc"],
        namespaced: false,
        core: Kind::StorageClass,
        wire: wire!(storage::StorageClass => Object::StorageClass),
    },
    StoredKind {
        group: "storage.k8s.io",
        version: "v1",
        kind: "CSIDriver",
        plural: "csidrivers",
        singular: "csidriver",
        short_names: &[],
        namespaced: false,
        core: Kind::CsiDriver,
        wire: wire!(csi::CsiDriver => Object::CsiDriver),
    },
    StoredKind {
        group: "",
        version: "v1",
        kind: "PersistentVolume",
        plural: "persistentvolumes",
        singular: "persistentvolume",
        short_names: &["pv"],
        namespaced: false,
        core: Kind::PersistentVolume,
        wire: wire!(storage::PersistentVolume => Object::PersistentVolume),
    },
    StoredKind {
        group: "",
        version: "v1",
        kind: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        singular: "persistentvolumeclaim",
        short_names: &["pvc"],
        namespaced: true,
        core: Kind::PersistentVolumeClaim,
        wire: wire!(storage::PersistentVolumeClaim => Object::PersistentVolumeClaim),
    },
    StoredKind {
        group: "",
        version: "v1",
        kind: "Service",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        namespaced: true,
        core: Kind::Workload(WorkloadKind::Service),
        wire: wire!(workload::Service => Object::Workload),
    },
    StoredKind {
        group: "",
        version: "v1",
        kind: "ReplicationController",
        plural: "replicationcontrollers",
        singular: "replicationcontroller",
        short_names: &["rc"],
        namespaced: true,
        core: Kind::Workload(WorkloadKind::ReplicationController),
        wire: wire!(workload::ReplicationController => Object::Workload),
    },
    StoredKind {
        group: "apps",
        version: "v1",
        kind: "ReplicaSet",
        plural: "replicasets",
        singular: "replicaset",
        short_names: &["rs"],
        namespaced: true,
        core: Kind::Workload(WorkloadKind::ReplicaSet),
        wire: wire!(workload::ReplicaSet => Object::Workload),
    },
    StoredKind {
        group: "apps",
        version: "v1",
        kind: "StatefulSet",
        plural: "statefulsets",
        singular: "statefulset",
        short_names: &["sts"],
        namespaced: true,
        core: Kind::Workload(WorkloadKind::StatefulSet),
        wire: wire!(workload::StatefulSet => Object::Workload),
    },
    StoredKind {
        group: "policy",
        version: "v1",
        kind: "PodDisruptionBudget",
        plural: "poddisruptionbudgets",
        singular: "poddisruptionbudget",
        short_names: &["pdb"],
        namespaced: true,
        core: Kind::PodDisruptionBudget,
        wire: wire!(disruption::PodDisruptionBudget => Object::PodDisruptionBudget),
    },
    StoredKind {
        group: "",
        version: "v1",
        kind: "Node",
        plural: "nodes",
        singular: "node",
        short_names: &["no"],
        namespaced: false,
        core: Kind::Node,
        wire: wire!(node::Node => Object::Node),
    },
    StoredKind {
        group: "storage.k8s.io",
        version: "v1",
        kind: "CSINode",
        plural: "csinodes",
        singular: "csinode",
        short_names: &[],
        namespaced: false,
        core: Kind::CsiNode,
        wire: wire!(storage::CsiNode => Object::CsiNode),
    },
    StoredKind {
        group: "storage.k8s.io",
        version: "v1",
        kind: "CSIStorageCapacity",
        plural: "csistoragecapacities",
        singular: "csistoragecapacity",
        short_names: &[],
        namespaced: true,
        core: Kind::CsiStorageCapacity,
        wire: wire!(csi::CsiStorageCapacity => Object::CsiStorageCapacity),
    },
    StoredKind {
        group: "storage.k8s.io",
        version: "v1",
        kind: "VolumeAttachment",
        plural: "volumeattachments",
        singular: "volumeattachment",
        short_names: &[],
        namespaced: false,
        core: Kind::VolumeAttachment,
        wire: wire!(csi::VolumeAttachment => Object::VolumeAttachment),
    },
    StoredKind {
        group: "",
        version: "v1",
        kind: "Pod",
        plural: "pods",
        singular: "pod",
        short_names: &["po"],
        namespaced: true,
        core: Kind::Pod,
        wire: wire!(pod::Pod => |pod| Object::Pod(Box::new(pod))),
    },
];

/// The kind of this group and plural, as in a path.
pub fn by_plural(group: &str, plural: &str) -> Option<&'static StoredKind> {
    ALL.iter().find(|k| k.group == group && k.plural == plural)
}

/// The kind whose [`StoredKind::key`] this is.
pub fn by_key(key: &str) -> Option<&'static StoredKind> {
    let (plural, group) = key.split_once('.').unwrap_or((key, ""));
    by_plural(group, plural)
}

/// The kind of an object. Any version of the group will do (`policy/v1beta1`, `apps/v1beta2`), since the fields that scheduling reads have
/// not changed between them.
pub fn by_api_version(api_version: &str, kind: &str) -> Option<&'static StoredKind> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    // Before 1.9 replica sets were served in a group of their own.
    let group = if group == "extensions" { "apps" } else { group };
    ALL.iter().find(|k| k.group == group && k.kind == kind)
}

/// The kind of this name, for an object without an API version.
pub fn by_kind(api_version: &str, kind: &str) -> Option<&'static StoredKind> {
    ALL.iter().find(|k| api_version.is_empty() && k.kind == kind)
}

/// The kind that was meant by a name that is none: its plural (`nodes`), a short name (`po`), or other letters (`pod`).
pub fn meant(name: &str) -> Option<&'static StoredKind> {
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    let row = ALL.iter().find(|k| is(k.kind) || is(k.plural) || k.short_names.iter().any(|short| is(short)));
    // What is written as a kind is is one, of a group that is not stored.
    row.filter(|row| row.kind != name)
}

/// The kind that is this to the core.
pub fn by_core(kind: Kind) -> Option<&'static StoredKind> {
    ALL.iter().find(|k| k.core == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_every_name() {
        for row in ALL {
            assert_eq!(by_plural(row.group, row.plural).unwrap().kind, row.kind);
            assert_eq!(by_api_version(&row.api_version(), row.kind).unwrap().plural, row.plural);
            assert_eq!(by_key(&row.key()).unwrap().kind, row.kind);
            assert_eq!(by_core(row.core).unwrap().kind, row.kind);
            let object = row.parse(br#"{"metadata":{"name":"x"}}"#).unwrap().object;
            assert_eq!(object_kind(&object), row.core, "the row's parse function gives the row's kind");
        }
        for (old, kind, version) in [
            ("policy/v1beta1", "PodDisruptionBudget", "policy/v1"),
            ("extensions/v1beta1", "ReplicaSet", "apps/v1"),
            ("apps/v1beta2", "StatefulSet", "apps/v1"),
            ("storage.k8s.io/v1beta1", "CSINode", "storage.k8s.io/v1"),
        ] {
            assert_eq!(by_api_version(old, kind).unwrap().api_version(), version);
        }
        assert!(by_api_version("apps/v1", "Pod").is_none() && by_api_version("v1", "Secret").is_none());
        assert!(by_api_version("", "").is_none() && by_plural("apps", "pods").is_none());
    }

    fn object_kind(object: &Object) -> Kind {
        match object {
            Object::Node(_) => Kind::Node,
            Object::Pod(_) => Kind::Pod,
            Object::Namespace(_) => Kind::Namespace,
            Object::Workload(w) => Kind::Workload(w.kind),
            Object::PersistentVolume(_) => Kind::PersistentVolume,
            Object::PersistentVolumeClaim(_) => Kind::PersistentVolumeClaim,
            Object::StorageClass(_) => Kind::StorageClass,
            Object::CsiNode(_) => Kind::CsiNode,
            Object::CsiDriver(_) => Kind::CsiDriver,
            Object::CsiStorageCapacity(_) => Kind::CsiStorageCapacity,
            Object::VolumeAttachment(_) => Kind::VolumeAttachment,
            Object::PodDisruptionBudget(_) => Kind::PodDisruptionBudget,
            Object::PriorityClass(_) => Kind::PriorityClass,
            Object::RuntimeClass(_) => Kind::RuntimeClass,
        }
    }
}
