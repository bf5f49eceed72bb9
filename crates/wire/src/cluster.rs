//! A whole cluster handed in with a request: a list for each kind, or objects as kubectl prints them.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    allowance,
    decode::{self, DecodeError},
    defaults,
    fault::Cause,
    kinds::{self, StoredKind},
    objects::{
        Converted, csi, device, disruption, meta::ObjectMeta, node, node_group, pod, runtime_class, storage, workload,
    },
    yaml,
};
use podberth_core::{
    snapshot::{Kind, Object, Snapshot},
    work,
};

/// Steps of work that reading one object takes.
const ITEM: u64 = 256;

/// Memory of a fault besides its texts, up to the reply that lists it.
const FAULT: usize = 512;

/// The state of a cluster: one optional list per kind; or a `List` as kubectl prints it, with `items` of any kind; or an array of objects.
/// The order of a list is the order in which the objects were created.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Cluster {
    /// Nodes.
    pub nodes: Vec<node::Node>,
    /// Pods, running and pending.
    pub pods: Vec<pod::Pod>,
    /// Services.
    pub services: Vec<workload::Service>,
    /// Replication controllers.
    pub replication_controllers: Vec<workload::ReplicationController>,
    /// Replica sets.
    pub replica_sets: Vec<workload::ReplicaSet>,
    /// Stateful sets.
    pub stateful_sets: Vec<workload::StatefulSet>,
    /// Daemon sets.
    pub daemon_sets: Vec<workload::DaemonSet>,
    /// Jobs.
    pub jobs: Vec<workload::Job>,
    /// Node groups.
    pub node_groups: Vec<node_group::NodeGroup>,
    /// Persistent volumes.
    pub persistent_volumes: Vec<storage::PersistentVolume>,
    /// Persistent volume claims.
    pub persistent_volume_claims: Vec<storage::PersistentVolumeClaim>,
    /// Storage classes.
    pub storage_classes: Vec<storage::StorageClass>,
    /// CSI drivers of nodes.
    pub csi_nodes: Vec<storage::CsiNode>,
    /// CSI drivers.
    pub csi_drivers: Vec<csi::CsiDriver>,
    /// Free capacities that CSI drivers publish.
    pub csi_storage_capacities: Vec<csi::CsiStorageCapacity>,
    /// Volumes attached to nodes.
    pub volume_attachments: Vec<csi::VolumeAttachment>,
    /// Claims to devices.
    pub resource_claims: Vec<device::ResourceClaim>,
    /// Templates of claims to devices. Taken, and not read: pods name the claims that were made.
    pub resource_claim_templates: Vec<NamedObject>,
    /// Devices.
    pub resource_slices: Vec<device::ResourceSlice>,
    /// Classes of devices.
    pub device_classes: Vec<device::DeviceClass>,
    /// Namespaces.
    pub namespaces: Vec<workload::Namespace>,
    /// Disruption budgets.
    pub pod_disruption_budgets: Vec<disruption::PodDisruptionBudget>,
    /// Priority classes.
    pub priority_classes: Vec<disruption::PriorityClass>,
    /// Runtime classes.
    pub runtime_classes: Vec<runtime_class::RuntimeClass>,
    /// Of a list as kubectl prints it: `List`, `NodeList`, …
    #[serde(skip_serializing)]
    #[schema(ignore)]
    pub kind: String,
    /// Of a list as kubectl prints it.
    #[serde(skip_serializing)]
    #[schema(ignore)]
    pub api_version: String,
    /// Objects of any kind, as kubectl prints them. Kinds that decisions do not read are passed over.
    #[serde(skip_serializing)]
    #[schema(value_type = Vec<std::collections::BTreeMap<String, serde_json::Value>>)]
    pub items: Vec<AnyObject>,
}

/// An object of which nothing but its name is known here.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub struct NamedObject {
    /// Its name.
    pub metadata: ObjectMeta,
}

/// An object of any kind, unread.
#[derive(Clone, Debug, Deserialize)]
pub struct AnyObject(Box<RawValue>);

impl AnyObject {
    /// Its JSON.
    pub(crate) fn text(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for AnyObject {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// A cluster in any of its forms.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Brought(pub Cluster);

impl<'de> Deserialize<'de> for Brought {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Brought;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a cluster: an object with a list for each kind, a List as kubectl prints it, or an array")
            }

            fn visit_unit<E>(self) -> Result<Brought, E> {
                Ok(Brought::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Brought, A::Error> {
                Cluster::deserialize(MapAccessDeserializer::new(entries)).map(Brought)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Brought, A::Error> {
                let items = Vec::deserialize(SeqAccessDeserializer::new(elements))?;
                Ok(Brought(Cluster { items, ..Cluster::default() }))
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

impl Cluster {
    /// Reads a cluster.
    ///
    /// # Errors
    /// When the text is no JSON, or a field has the wrong type.
    pub fn parse(json: &[u8]) -> Result<Self, DecodeError> {
        decode::from_slice(json)
    }

    /// The cluster as the core sees it.
    ///
    /// # Errors
    /// The faults with which an object cannot be read at all; other faults pass, as they do with kube-scheduler. The
    /// fields begin with the list's name: `nodes[3].status.allocatable[cpu]`.
    pub fn to_snapshot(&self) -> Result<Snapshot, Vec<Cause>> {
        let mut into = Gathering::default();
        let items = into.items(self);
        // Others are filled in from these, wherever they stand.
        into.list("runtimeClasses", &self.runtime_classes, |o| o.to_core().map(Object::RuntimeClass));
        into.list("storageClasses", &self.storage_classes, |o| o.to_core().map(Object::StorageClass));
        into.list("priorityClasses", &self.priority_classes, |o| o.to_core().map(Object::PriorityClass));
        let is_class = |item: &&TypedItem| {
            matches!(item.kind.core(), Some(Kind::RuntimeClass | Kind::StorageClass | Kind::PriorityClass))
        };
        items.iter().filter(is_class).for_each(|item| into.item(item, &Snapshot::default()));
        let classes = into.snapshot.clone();
        into.list("nodes", &self.nodes, |o| o.to_core().map(Object::Node));
        into.list("pods", &self.pods, |o| filled_pod(Cow::Borrowed(o), &classes));
        into.list("services", &self.services, |o| o.to_core().map(Object::Workload));
        into.list("replicationControllers", &self.replication_controllers, |o| o.to_core().map(Object::Workload));
        into.list("replicaSets", &self.replica_sets, |o| o.to_core().map(Object::Workload));
        into.list("statefulSets", &self.stateful_sets, |o| o.to_core().map(Object::Workload));
        into.list("daemonSets", &self.daemon_sets, |o| o.to_core().map(Object::Workload));
        into.list("jobs", &self.jobs, |o| o.to_core().map(Object::Workload));
        into.list("nodeGroups", &self.node_groups, |o| o.to_core().map(Object::NodeGroup));
        into.list("persistentVolumes", &self.persistent_volumes, |o| o.to_core().map(Object::PersistentVolume));
        into.list("persistentVolumeClaims", &self.persistent_volume_claims, |o| filled_claim(o, &classes));
        into.list("csiNodes", &self.csi_nodes, |o| o.to_core().map(Object::CsiNode));
        into.list("csiDrivers", &self.csi_drivers, |o| o.to_core().map(Object::CsiDriver));
        into.list("csiStorageCapacities", &self.csi_storage_capacities, |o| {
            o.to_core().map(Object::CsiStorageCapacity)
        });
        into.list("volumeAttachments", &self.volume_attachments, |o| o.to_core().map(Object::VolumeAttachment));
        into.list("deviceClasses", &self.device_classes, |o| o.to_core().map(Object::DeviceClass));
        into.list("resourceSlices", &self.resource_slices, |o| o.to_core().map(Object::ResourceSlice));
        into.list("resourceClaims", &self.resource_claims, |o| o.to_core().map(Object::ResourceClaim));
        into.list("namespaces", &self.namespaces, |o| o.to_core().map(Object::Namespace));
        into.list("podDisruptionBudgets", &self.pod_disruption_budgets, |o| {
            o.to_core().map(Object::PodDisruptionBudget)
        });
        items.iter().filter(|item| !is_class(item)).for_each(|item| into.item(item, &classes));
        if into.causes.is_empty() { Ok(into.snapshot) } else { Err(into.causes) }
    }
}

/// A pod with the API server's defaults.
fn filled_pod(mut pod: Cow<'_, pod::Pod>, classes: &Snapshot) -> Converted<Object> {
    if pod.spec.runtime_class_name.is_some() {
        defaults::in_cluster(&mut pod.to_mut().spec, classes);
    }
    pod.to_core().map(|mut pod| {
        defaults::fill_new(&mut pod, classes);
        Object::Pod(Box::new(pod))
    })
}

/// A claim, with the class that the API server would have filled in.
fn filled_claim(claim: &storage::PersistentVolumeClaim, classes: &Snapshot) -> Converted<Object> {
    claim.to_core().map(|mut claim| {
        defaults::fill_claim(&mut claim, classes);
        Object::PersistentVolumeClaim(claim)
    })
}

/// An item of a list, of a kind that decisions read.
struct TypedItem {
    at: String,
    kind: &'static StoredKind,
    json: String,
}

impl TypedItem {
    fn convert(&self, classes: &Snapshot) -> Result<Converted<Object>, DecodeError> {
        let json = self.json.as_bytes();
        match self.kind.core() {
            Some(Kind::Pod) => Ok(filled_pod(Cow::Owned(decode::from_slice(json)?), classes)),
            Some(Kind::PersistentVolumeClaim) => Ok(filled_claim(&decode::from_slice(json)?, classes)),
            _ => self.kind.parse(json),
        }
    }
}

#[derive(Default)]
struct Gathering {
    snapshot: Snapshot,
    causes: Vec<Cause>,
    /// Number of pods so far.
    pods: u32,
}

/// A fault of the text of an item.
fn unreadable(at: &str, error: DecodeError) -> Cause {
    let DecodeError { field, message } = error.without_place().within(at);
    Cause { field, reason: "FieldValueTypeInvalid".into(), message, unreadable: true }
}

impl Gathering {
    /// The items of a list and of lists within it. Kinds that decisions do not read are passed over.
    fn items(&mut self, list: &Cluster) -> Vec<TypedItem> {
        let mut found = Vec::new();
        for (i, item) in list.items.iter().enumerate() {
            work::spend(ITEM);
            let at = format!("items[{i}]");
            let items = match yaml::parse_items(item.0.get().as_bytes(), false) {
                Ok(items) => items,
                Err(error) => {
                    self.tell(unreadable(&at, error));
                    continue;
                }
            };
            for item in items {
                let dot = if item.at.is_empty() { "" } else { "." };
                let at = format!("{at}{dot}{}", item.at);
                let typed = list.kind.strip_suffix("List").filter(|kind| item.kind.is_empty() && !kind.is_empty());
                let kind = typed.unwrap_or(&item.kind);
                let version = if typed.is_some() { &list.api_version } else { &item.api_version };
                if kind.is_empty() {
                    let (field, message) = (format!("{at}.kind"), "Required value: what kind of object it is".into());
                    self.tell(Cause { field, reason: "FieldValueRequired".into(), message, unreadable: true });
                    continue;
                }
                if let Some(kind) = kinds::of_object(version, kind).filter(|kind| kind.core().is_some()) {
                    found.push(TypedItem { at, kind, json: item.json });
                }
            }
        }
        found
    }

    fn item(&mut self, item: &TypedItem, classes: &Snapshot) {
        work::spend(ITEM);
        match item.convert(classes) {
            Ok(converted) => self.take(format_args!("{}", item.at), converted),
            Err(error) => self.tell(unreadable(&item.at, error)),
        }
    }

    /// Notes a fault, as far as there is memory for it: where there is none the request is refused for that.
    fn tell(&mut self, cause: Cause) {
        if allowance::charge(FAULT + cause.field.len() + cause.message.len()).is_ok() {
            self.causes.push(cause);
        }
    }

    fn list<T>(&mut self, name: &str, items: &[T], convert: impl Fn(&T) -> Converted<Object>) {
        for (i, item) in items.iter().enumerate() {
            work::spend(ITEM);
            self.take(format_args!("{name}[{i}]"), convert(item));
        }
    }

    fn take(&mut self, at: fmt::Arguments<'_>, converted: Converted<Object>) {
        match converted.bounded() {
            Ok(mut object) => {
                if let Object::Pod(pod) = &mut object {
                    self.pods = self.pods.saturating_add(1);
                    pod.arrival = self.pods;
                }
                self.snapshot.apply(object);
            }
            Err(causes) => {
                let within = |cause: Cause| Cause { field: format!("{at}.{}", cause.field), ..cause };
                self.causes.extend(causes.into_iter().map(within));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_a_snapshot_and_nulls_are_absences() {
        let cluster = Cluster::parse(
            br#"{"nodes": [{"metadata": {"name": "n", "creationTimestamp": null, "labels": null},
                            "spec": {"taints": null}, "status": {"allocatable": {"cpu": 2, "memory": "1Gi"}}}],
                 "pods": [{"metadata": {"name": "p", "managedFields": [{"x": 1}]},
                           "spec": {"nodeName": "n", "affinity": null,
                                    "containers": [{"name": "c", "resources": {"limits": {"cpu": "500m"}}}]}}],
                 "services": null, "csiNodes": []}"#,
        )
        .unwrap();
        let snapshot = cluster.to_snapshot().unwrap();
        let node = snapshot.node("n").unwrap();
        assert_eq!(node.node.allocatable.milli_cpu, 2000);
        assert_eq!(node.requested.milli_cpu, 500, "a limit without a request is a request");
        assert!(snapshot.pod("default", "p").is_some(), "the namespace is default where none is named");
    }

    #[test]
    fn a_cluster_may_be_a_list_as_kubectl_prints_it() {
        let (node, pod) = (
            r#"{"kind":"Node","apiVersion":"v1","metadata":{"name":"n"},"status":{"allocatable":{"cpu":"2"}}}"#,
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"},"spec":{"nodeName":"n","containers":[{"name":"c"}]}}"#,
        );
        for body in [
            format!(r#"{{"kind":"List","apiVersion":"v1","metadata":{{}},"items":[{pod},{node}]}}"#),
            format!(
                r#"{{"items":[{node},{{"kind":"PodList","apiVersion":"v1","items":[{pod}]}},{{"kind":"Secret"}}]}}"#
            ),
            format!(r"[{node},{pod},null]"),
            format!(r#"{{"nodes":[{node}],"items":[{pod}]}}"#),
        ] {
            let Brought(cluster) = decode::from_slice(body.as_bytes()).unwrap_or_else(|e| panic!("{body}: {e}"));
            let snapshot = cluster.to_snapshot().unwrap_or_else(|e| panic!("{body}: {e:?}"));
            assert_eq!(snapshot.node("n").map(|node| node.pods.len()), Some(1), "{body}");
        }
        let typed = r#"{"kind":"NodeList","apiVersion":"v1","items":[{"metadata":{"name":"a"}}]}"#;
        let Brought(cluster) = decode::from_slice(typed.as_bytes()).unwrap();
        assert!(cluster.to_snapshot().unwrap().node("a").is_some());
        for (body, field) in [
            (r#"[{"metadata":{"name":"a"}}]"#, "items[0].kind"),
            (r#"{"items":[{"kind":"Pod","spec":{"priority":"high"}}]}"#, "items[0].spec.priority"),
            (
                r#"{"items":[{"kind":"Node","status":{"allocatable":{"cpu":"lots"}}}]}"#,
                "items[0].status.allocatable[cpu]",
            ),
        ] {
            let Brought(cluster) = decode::from_slice(body.as_bytes()).unwrap();
            assert_eq!(cluster.to_snapshot().unwrap_err()[0].field, field, "{body}");
        }
        assert!(decode::from_slice::<Brought>(b"7").is_err());
    }

    #[test]
    fn unreadable_objects_are_named_with_their_list() {
        let cluster = Cluster::parse(br#"{"nodes": [{}, {"status": {"allocatable": {"cpu": "2 cores"}}}]}"#).unwrap();
        let causes = cluster.to_snapshot().unwrap_err();
        assert_eq!(causes.len(), 1, "a missing name passes");
        assert_eq!(causes[0].field, "nodes[1].status.allocatable[cpu]");
        let error = Cluster::parse(br#"{"pods": [{"spec": {"priority": "high"}}]}"#).unwrap_err();
        assert_eq!(error.field, "pods[0].spec.priority");
    }
}
