//! An immutable view of one cluster at one revision, with the indexes that decisions need.
//!
//! A `Snapshot` consists of persistent maps: a clone costs a few reference counts, and an edited copy (for a what-if, or for the next
//! revision) shares everything that did not change.
//!
//! Invariant: a snapshot built step by step, in any order of changes, equals one built at once from the same objects. There is one
//! exception: if nodes report different sizes for one image, the first to come counts, as in kube-scheduler.
//!
//! Source: `pkg/scheduler/framework/types.go` (`NodeInfo`), `pkg/scheduler/internal/cache/snapshot.go`.

use std::{borrow::Cow, cmp::Reverse, sync::Arc};

use imbl::{OrdMap, ordmap::DiffItem};

use super::attachments::Attachments;
use super::block::NodeRef;
use super::devices::DeviceIndex;
use super::directory::Directory;
use super::index::{ImageState, Index, Slot};
use super::model::{
    CsiDriver, CsiNode, CsiStorageCapacity, DeviceClass, Labels, Name, Namespace, Node, NodeGroup, PersistentVolume,
    PersistentVolumeClaim, Pod, PodDisruptionBudget, PreemptionPolicy, PriorityClass, ResourceClaim, ResourceSlice,
    RuntimeClass, StorageClass, VolumeAttachment, Workload, WorkloadKind,
};
use super::node_info::{NodeInfo, insert_sorted};
use super::node_set::NodeSet;
use super::node_table::NodeTable;

/// Namespace and name.
pub type NamespacedName = (Name, Name);

fn waits_nominated(pod: &Pod) -> bool {
    !pod.nominated_node_name.is_empty() && !pod.is_assigned() && !pod.terminal
}

/// The kinds of objects that decisions read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Kind {
    Node,
    Pod,
    Namespace,
    Workload(WorkloadKind),
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    CsiNode,
    CsiDriver,
    CsiStorageCapacity,
    VolumeAttachment,
    PodDisruptionBudget,
    PriorityClass,
    RuntimeClass,
    DeviceClass,
    ResourceClaim,
    ResourceSlice,
    NodeGroup,
}

/// A parsed object of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Object {
    Node(Node),
    Pod(Box<Pod>),
    Namespace(Namespace),
    Workload(Workload),
    PersistentVolume(PersistentVolume),
    PersistentVolumeClaim(PersistentVolumeClaim),
    StorageClass(StorageClass),
    CsiNode(CsiNode),
    CsiDriver(CsiDriver),
    CsiStorageCapacity(CsiStorageCapacity),
    VolumeAttachment(VolumeAttachment),
    PodDisruptionBudget(PodDisruptionBudget),
    PriorityClass(PriorityClass),
    RuntimeClass(RuntimeClass),
    DeviceClass(DeviceClass),
    ResourceClaim(ResourceClaim),
    ResourceSlice(ResourceSlice),
    NodeGroup(NodeGroup),
}

/// One cluster at one revision.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The store's revision that this is the state of; 0 for a cluster that was handed in with a request.
    pub revision: u64,
    /// The nodes and the pods on them.
    node_table: NodeTable,
    pods: OrdMap<NamespacedName, Arc<Pod>>,
    /// Pods that wait for a node on which preemption made room for them, by that node, in order of namespace and name.
    nominated: OrdMap<Name, Vec<Arc<Pod>>>,
    /// Counts over all of it.
    index: Index,
    namespaces: OrdMap<Name, Arc<Namespace>>,
    workloads: OrdMap<(WorkloadKind, NamespacedName), Arc<Workload>>,
    volumes: OrdMap<Name, Arc<PersistentVolume>>,
    claims: OrdMap<NamespacedName, Arc<PersistentVolumeClaim>>,
    storage_classes: OrdMap<Name, Arc<StorageClass>>,
    csi_nodes: OrdMap<Name, Arc<CsiNode>>,
    csi_drivers: OrdMap<Name, Arc<CsiDriver>>,
    storage_capacities: OrdMap<NamespacedName, Arc<CsiStorageCapacity>>,
    attachments: Attachments,
    disruption_budgets: OrdMap<NamespacedName, Arc<PodDisruptionBudget>>,
    priority_classes: OrdMap<Name, Arc<PriorityClass>>,
    runtime_classes: OrdMap<Name, Arc<RuntimeClass>>,
    devices: Arc<DeviceIndex>,
    node_groups: OrdMap<Name, Arc<NodeGroup>>,
}

static NO_LABELS: std::sync::LazyLock<Labels> = std::sync::LazyLock::new(Labels::default);

impl PartialEq for Snapshot {
    /// `true` if both have the same objects at the same revision.
    fn eq(&self, other: &Self) -> bool {
        self.revision == other.revision
            && self.node_table == other.node_table
            && self.pods == other.pods
            && self.nominated == other.nominated
            && self.namespaces == other.namespaces
            && self.workloads == other.workloads
            && self.volumes == other.volumes
            && self.claims == other.claims
            && self.storage_classes == other.storage_classes
            && self.csi_nodes == other.csi_nodes
            && self.csi_drivers == other.csi_drivers
            && self.storage_capacities == other.storage_capacities
            && self.attachments == other.attachments
            && self.disruption_budgets == other.disruption_budgets
            && self.priority_classes == other.priority_classes
            && self.runtime_classes == other.runtime_classes
            && self.devices == other.devices
            && self.node_groups == other.node_groups
    }
}

impl Eq for Snapshot {}

/// Reading.
impl Snapshot {
    /// Counts over the whole cluster.
    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// All nodes in order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<NodeInfo>> {
        self.node_refs().map(NodeRef::info)
    }

    /// All nodes in their places, in order of their names.
    pub fn node_refs(&self) -> impl Iterator<Item = NodeRef<'_>> {
        self.node_table.in_order()
    }

    /// All nodes, to be judged together.
    pub fn node_set(&self) -> NodeSet<'_> {
        self.node_table.all()
    }

    /// A node in its place, by name. It costs no more than hashing the name.
    pub fn node_ref(&self, name: &str) -> Option<NodeRef<'_>> {
        self.node_table.find(name)
    }

    /// The node in a slot; `None` where there is none.
    pub(super) fn node_ref_in(&self, slot: Slot) -> Option<NodeRef<'_>> {
        self.node_table.node_ref(slot)
    }

    /// The nodes that another snapshot has in other memory, each with its like there; `None` if they may have other names or places.
    pub(super) fn unlike<'a>(&'a self, other: &'a Self) -> Option<impl Iterator<Item = (NodeRef<'a>, NodeRef<'a>)>> {
        self.node_table.unlike(&other.node_table)
    }

    /// The names of the nodes.
    pub(super) fn directory(&self) -> &Arc<Directory> {
        self.node_table.directory()
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.node_table.len()
    }

    /// A node by name.
    pub fn node(&self, name: &str) -> Option<&Arc<NodeInfo>> {
        self.node_ref(name).map(NodeRef::info)
    }

    /// All pods, pending and finished ones too, in order of namespace and name.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.values()
    }

    /// How many pods there are.
    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }

    /// The pods that differ from those of another snapshot, each as it is there and here. Parts in the same memory are passed over.
    pub(super) fn pods_unlike<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (Option<&'a Arc<Pod>>, Option<&'a Arc<Pod>>)> {
        other.pods.diff(&self.pods).map(|difference| match difference {
            DiffItem::Add(_, here) => (None, Some(here)),
            DiffItem::Update { old: (_, there), new: (_, here) } => (Some(there), Some(here)),
            DiffItem::Remove(_, there) => (Some(there), None),
        })
    }

    /// A pod by namespace and name.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Arc<Pod>> {
        self.pods.get(&(namespace.into(), name.into()))
    }

    /// The pods that wait to go to a node since preemption made room for them there, in order of namespace and name.
    /// Source: `pkg/scheduler/internal/queue/scheduling_queue.go` (`NominatedPodsForNode`).
    pub fn nominated_to(&self, node: &str) -> &[Arc<Pod>] {
        self.nominated.get(node).map_or(&[], Vec::as_slice)
    }

    /// `true` if any pod waits for the node that it is nominated to.
    pub fn has_nominated_pods(&self) -> bool {
        !self.nominated.is_empty()
    }

    /// An image by one of its names; `None` where no node holds it.
    pub fn image(&self, name: &str) -> Option<&ImageState> {
        self.index.images.get(name)
    }

    /// The labels of a namespace; none where the namespace is not stored.
    pub fn namespace_labels(&self, namespace: &str) -> &Labels {
        self.namespaces.get(namespace).map_or(&NO_LABELS, |n| &n.labels)
    }

    /// `true` if a namespace of this name is stored.
    pub fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains_key(name)
    }

    /// `true` if a namespace of this name is being deleted.
    pub fn is_terminating(&self, name: &str) -> bool {
        self.namespaces.get(name).is_some_and(|namespace| namespace.is_terminating)
    }

    /// All namespaces stored.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<Namespace>> {
        self.namespaces.values()
    }

    /// A service or controller by kind, namespace and name.
    pub fn workload(&self, kind: WorkloadKind, namespace: &Name, name: &Name) -> Option<&Arc<Workload>> {
        self.workloads.get(&(kind, (namespace.clone(), name.clone())))
    }

    /// All controllers of a kind, in order of namespace and name.
    pub fn workloads_of(&self, kind: WorkloadKind) -> impl Iterator<Item = &Arc<Workload>> {
        let first = (kind, NamespacedName::default());
        self.workloads.range(first..).map(|(_, workload)| workload).take_while(move |workload| workload.kind == kind)
    }

    /// All node groups in order of their names.
    pub fn node_groups(&self) -> impl Iterator<Item = &Arc<NodeGroup>> {
        self.node_groups.values()
    }

    /// A node group by name.
    pub fn node_group(&self, name: &str) -> Option<&Arc<NodeGroup>> {
        self.node_groups.get(name)
    }

    /// All persistent volumes in order of their names.
    pub fn volumes(&self) -> impl Iterator<Item = &Arc<PersistentVolume>> {
        self.volumes.values()
    }

    /// A persistent volume by name.
    pub fn volume(&self, name: &str) -> Option<&Arc<PersistentVolume>> {
        self.volumes.get(name)
    }

    /// A claim by namespace and name.
    pub fn claim(&self, namespace: &Name, name: &Name) -> Option<&Arc<PersistentVolumeClaim>> {
        self.claims.get(&(namespace.clone(), name.clone()))
    }

    /// A storage class by name.
    pub fn storage_class(&self, name: &str) -> Option<&Arc<StorageClass>> {
        self.storage_classes.get(name)
    }

    /// The CSI drivers of a node.
    pub fn csi_node(&self, name: &str) -> Option<&Arc<CsiNode>> {
        self.csi_nodes.get(name)
    }

    /// A CSI driver by name.
    pub fn csi_driver(&self, name: &str) -> Option<&Arc<CsiDriver>> {
        self.csi_drivers.get(name)
    }

    /// The capacities that CSI drivers publish, in order of namespace and name.
    pub fn storage_capacities(&self) -> impl Iterator<Item = &Arc<CsiStorageCapacity>> {
        self.storage_capacities.values()
    }

    /// The volumes attached to a node, in order of the attachments' names.
    pub fn attached_to(&self, node: &str) -> &[Arc<VolumeAttachment>] {
        self.attachments.to(node)
    }

    /// All disruption budgets in order of namespace and name.
    pub fn disruption_budgets(&self) -> impl Iterator<Item = &Arc<PodDisruptionBudget>> {
        self.disruption_budgets.values()
    }

    /// A disruption budget by namespace and name.
    pub fn disruption_budget(&self, namespace: &Name, name: &Name) -> Option<&Arc<PodDisruptionBudget>> {
        self.disruption_budgets.get(&(namespace.clone(), name.clone()))
    }

    /// A priority class by name; the system's own ones are there without being stored.
    pub fn priority_class(&self, name: &str) -> Option<&Arc<PriorityClass>> {
        PriorityClass::system(name).or_else(|| self.priority_classes.get(name))
    }

    /// The class that a new pod gets which names none: of several, the one with the lowest value
    /// (`plugin/pkg/admission/priority/admission.go`, `getDefaultPriorityClass`).
    pub fn default_priority_class(&self) -> Option<&Arc<PriorityClass>> {
        self.priority_classes.values().filter(|class| class.global_default).min_by_key(|class| class.value)
    }

    /// The class that a new claim gets which names none: of several, the newest, and among those of one age the first by
    /// name (`pkg/volume/util/storageclass.go`, `GetDefaultClass`).
    pub fn default_storage_class(&self) -> Option<&Arc<StorageClass>> {
        self.storage_classes.values().filter(|class| class.is_default).min_by_key(|class| Reverse(class.created))
    }

    /// A runtime class by name.
    pub fn runtime_class(&self, name: &str) -> Option<&Arc<RuntimeClass>> {
        self.runtime_classes.get(name)
    }

    /// Claims to devices, their classes and the devices.
    pub(super) fn devices(&self) -> &DeviceIndex {
        &self.devices
    }

    /// A claim to devices by namespace and name.
    pub fn resource_claim(&self, namespace: &Name, name: &Name) -> Option<&Arc<ResourceClaim>> {
        self.devices.claim(namespace, name)
    }

    /// All claims to devices, in order of namespace and name.
    pub fn resource_claims(&self) -> impl Iterator<Item = &Arc<ResourceClaim>> {
        self.devices.claims()
    }

    /// `true` if everything but nodes and pods shares its memory with `other`, which is an edited copy of this snapshot or its origin.
    /// `false` does not mean that they differ.
    pub(super) fn shares_surroundings(&self, other: &Self) -> bool {
        self.index.images.ptr_eq(&other.index.images)
            && self.namespaces.ptr_eq(&other.namespaces)
            && self.workloads.ptr_eq(&other.workloads)
            && self.volumes.ptr_eq(&other.volumes)
            && self.claims.ptr_eq(&other.claims)
            && self.storage_classes.ptr_eq(&other.storage_classes)
            && self.csi_nodes.ptr_eq(&other.csi_nodes)
            && self.csi_drivers.ptr_eq(&other.csi_drivers)
            && self.storage_capacities.ptr_eq(&other.storage_capacities)
            && self.attachments.ptr_eq(&other.attachments)
            && self.disruption_budgets.ptr_eq(&other.disruption_budgets)
            && self.priority_classes.ptr_eq(&other.priority_classes)
            && self.runtime_classes.ptr_eq(&other.runtime_classes)
            && (Arc::ptr_eq(&self.devices, &other.devices) || self.devices.ptr_eq(&other.devices))
    }

    /// The priority of a pod: its own, which is written when it is created; else that of its class, else 0. The default class does not apply
    /// to existing pods.
    pub fn priority_of(&self, pod: &Pod) -> i32 {
        pod.spec.priority.or_else(|| self.class_of(pod).map(|class| class.value)).unwrap_or(0)
    }

    /// `true` if a pod may preempt others: by its own policy, else by the policy of its class.
    pub fn may_preempt(&self, pod: &Pod) -> bool {
        let policy = pod.spec.preemption_policy.or_else(|| self.class_of(pod).map(|class| class.preemption_policy));
        policy != Some(PreemptionPolicy::Never)
    }

    fn class_of(&self, pod: &Pod) -> Option<&Arc<PriorityClass>> {
        if pod.spec.priority_class_name.is_empty() { None } else { self.priority_class(&pod.spec.priority_class_name) }
    }
}

/// Changing. Each call leaves every other clone of the snapshot as it was.
impl Snapshot {
    /// Adds an object or puts it in the place of the one that had its name.
    pub fn apply(&mut self, object: Object) {
        match object {
            Object::Node(node) => self.apply_node(node),
            Object::Pod(pod) => self.apply_pod(*pod),
            Object::Namespace(o) => drop(self.namespaces.insert(o.name.clone(), Arc::new(o))),
            Object::Workload(o) => {
                let (key, new) = ((o.kind, (o.namespace.clone(), o.name.clone())), Arc::new(o));
                let old = self.workloads.insert(key, new.clone());
                self.index.replace_workload(old.as_deref(), Some(&new));
            }
            Object::PersistentVolume(o) => drop(self.volumes.insert(o.name.clone(), Arc::new(o))),
            Object::PersistentVolumeClaim(o) => {
                self.claims.insert((o.namespace.clone(), o.name.clone()), Arc::new(o));
            }
            Object::StorageClass(o) => drop(self.storage_classes.insert(o.name.clone(), Arc::new(o))),
            Object::CsiNode(o) => drop(self.csi_nodes.insert(o.name.clone(), Arc::new(o))),
            Object::CsiDriver(o) => drop(self.csi_drivers.insert(o.name.clone(), Arc::new(o))),
            Object::CsiStorageCapacity(o) => {
                self.storage_capacities.insert((o.namespace.clone(), o.name.clone()), Arc::new(o));
            }
            Object::VolumeAttachment(o) => self.attachments.insert(o),
            Object::PodDisruptionBudget(o) => {
                self.disruption_budgets.insert((o.namespace.clone(), o.name.clone()), Arc::new(o));
            }
            Object::PriorityClass(o) => drop(self.priority_classes.insert(o.name.clone(), Arc::new(o))),
            Object::RuntimeClass(o) => drop(self.runtime_classes.insert(o.name.clone(), Arc::new(o))),
            Object::DeviceClass(o) => Arc::make_mut(&mut self.devices).insert_class(o),
            Object::ResourceClaim(o) => Arc::make_mut(&mut self.devices).insert_claim(o),
            Object::ResourceSlice(o) => Arc::make_mut(&mut self.devices).insert_slice(o),
            Object::NodeGroup(o) => drop(self.node_groups.insert(o.name.clone(), Arc::new(o))),
        }
    }

    /// Takes an object out; nothing happens where it is not there. Kinds without namespaces ignore `namespace`.
    pub fn delete(&mut self, kind: Kind, namespace: &Name, name: &Name) {
        let namespaced = || (namespace.clone(), name.clone());
        match kind {
            Kind::Node => self.delete_node(name),
            Kind::Pod => self.delete_pod(&namespaced()),
            Kind::Namespace => drop(self.namespaces.remove(name)),
            Kind::Workload(workload) => {
                let old = self.workloads.remove(&(workload, namespaced()));
                self.index.replace_workload(old.as_deref(), None);
            }
            Kind::PersistentVolume => drop(self.volumes.remove(name)),
            Kind::PersistentVolumeClaim => drop(self.claims.remove(&namespaced())),
            Kind::StorageClass => drop(self.storage_classes.remove(name)),
            Kind::CsiNode => drop(self.csi_nodes.remove(name)),
            Kind::CsiDriver => drop(self.csi_drivers.remove(name)),
            Kind::CsiStorageCapacity => drop(self.storage_capacities.remove(&namespaced())),
            Kind::VolumeAttachment => self.attachments.remove(name),
            Kind::PodDisruptionBudget => drop(self.disruption_budgets.remove(&namespaced())),
            Kind::PriorityClass => drop(self.priority_classes.remove(name)),
            Kind::RuntimeClass => drop(self.runtime_classes.remove(name)),
            Kind::DeviceClass => Arc::make_mut(&mut self.devices).remove_class(name),
            Kind::ResourceClaim => Arc::make_mut(&mut self.devices).remove_claim(&namespaced()),
            Kind::ResourceSlice => Arc::make_mut(&mut self.devices).remove_slice(name),
            Kind::NodeGroup => drop(self.node_groups.remove(name)),
        }
    }

    /// The cluster as a decision about a pod sees it: without that pod, should it be on a node already (a decision asked
    /// for again, or a question about a running pod). A node that the pod names (`spec.nodeName`) is a demand and does
    /// not put it there: kube-scheduler never queues a pod that has a node, so no plugin meets the pod on it.
    pub fn asked_about(&self, pod: &Pod) -> Cow<'_, Self> {
        match self.pod(&pod.namespace, &pod.name) {
            Some(stored) if stored.is_assigned() => Cow::Owned(self.without_pod(&pod.namespace, &pod.name)),
            _ => Cow::Borrowed(self),
        }
    }

    /// A copy in which one pod was added, or moved to the node in its `node_name`.
    #[must_use]
    pub fn with_pod(&self, pod: Pod) -> Self {
        let mut copy = self.clone();
        copy.apply_pod(pod);
        copy
    }

    /// A copy without one pod.
    #[must_use]
    pub fn without_pod(&self, namespace: &Name, name: &Name) -> Self {
        let mut copy = self.clone();
        copy.delete_pod(&(namespace.clone(), name.clone()));
        copy
    }

    fn apply_node(&mut self, node: Node) {
        let old = self.node(&node.name).map(|info| info.node.clone());
        let slot = self.node_table.slot(&node.name).unwrap_or_else(|| self.index.take_slot());
        self.index.replace_node(slot, old.as_deref(), Some(&node));
        self.node_table.settle(slot, node);
    }

    fn delete_node(&mut self, name: &Name) {
        let Some((old, slot, is_free)) = self.node_table.unsettle(name) else { return };
        self.index.replace_node(slot, Some(&old), None);
        if is_free {
            self.index.give_back(slot);
        }
    }

    fn apply_pod(&mut self, mut pod: Pod) {
        let key = |pod: &Pod| (pod.namespace.clone(), pod.name.clone());
        // Most often a pod of the same workload: their names begin alike. Or the pod itself, as it was.
        if let Some((_, near)) = self.pods.get_prev(&key(&pod)) {
            pod.share(near);
        }
        if let Some(info) = self.node(&pod.node_name) {
            pod.node_name = info.node.name.clone();
        }
        let pod = Arc::new(pod);
        if let Some(old) = self.pods.insert(key(&pod), pod.clone()) {
            self.take_off(&old);
        }
        if pod.is_assigned() && !pod.terminal {
            let slot = self.node_table.slot(&pod.node_name).unwrap_or_else(|| {
                let slot = self.index.take_slot();
                self.node_table.expect(&pod.node_name, slot);
                slot
            });
            self.node_table.change(slot, |info| info.add(&pod));
            self.index.add_pod(slot, &pod);
        }
        if waits_nominated(&pod) {
            insert_sorted(self.nominated.entry(pod.nominated_node_name.clone()).or_default(), &pod);
        }
    }

    fn delete_pod(&mut self, key: &NamespacedName) {
        if let Some(old) = self.pods.remove(key) {
            self.take_off(&old);
        }
    }

    /// Forgets where a pod was that is no longer among the pods as it was.
    fn take_off(&mut self, old: &Pod) {
        if waits_nominated(old)
            && let Some(mut waiting) = self.nominated.remove(&old.nominated_node_name)
        {
            waiting.retain(|pod| !pod.is_same(old));
            if !waiting.is_empty() {
                self.nominated.insert(old.nominated_node_name.clone(), waiting);
            }
        }
        if !old.is_assigned() || old.terminal {
            return;
        }
        let Some(slot) = self.node_table.slot(&old.node_name) else { return };
        self.node_table.change(slot, |info| info.remove(old));
        self.index.remove_pod(slot, old);
        if self.node_table.forget_if_empty(&old.node_name, slot) {
            self.index.give_back(slot);
        }
    }
}

impl FromIterator<Object> for Snapshot {
    fn from_iter<I: IntoIterator<Item = Object>>(objects: I) -> Self {
        let mut snapshot = Self::default();
        objects.into_iter().for_each(|o| snapshot.apply(o));
        snapshot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod};

    #[test]
    fn pods_share_what_they_have_in_common() {
        let replica = |name: &str| {
            let built = pod(name).label("app", "web").cpu("1").owned_by("apps/v1", "ReplicaSet", "web");
            Object::from(built.on("n"))
        };
        let all = [Object::from(node("n")), replica("web-a"), replica("web-b"), pod("web-c").cpu("2").on("n").into()];
        let snapshot: Snapshot = all.into_iter().collect();
        let [a, b, c] = ["web-a", "web-b", "web-c"].map(|name| snapshot.pod("default", name).expect("it is there"));
        assert!(Arc::ptr_eq(&a.spec, &b.spec));
        assert!(Arc::ptr_eq(a.controller.as_ref().expect("its owner"), b.controller.as_ref().expect("its owner")));
        for (own, others) in [(&a.namespace, &c.namespace), (&a.node_name, &snapshot.node("n").expect("it").node.name)]
        {
            assert!(Arc::ptr_eq(own, others));
        }
        assert_eq!((a.spec.requests.milli_cpu, c.spec.requests.milli_cpu), (1_000, 2_000), "what differs is its own");

        let changed = snapshot.with_pod(Pod { start_time: Some(1), ..(**b).clone() });
        assert!(Arc::ptr_eq(&changed.pod("default", "web-b").expect("it").spec, &a.spec));
    }
}
