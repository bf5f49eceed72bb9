//! Builders that make tests and benches read like the rule they check.

use std::sync::Arc;

use podberth_core::{
    model::{
        Affinity, ConditionStatus, ContainerHolds, ContainerRequests, ControllerRef, Effect, HostPort, Labels, Name,
        Namespace, Node, Pod, PodAffinityTerm, PodDisruptionBudget, PodRequests, Protocol, Quantity, ResourceList,
        Resources, Selector, Taint, Toleration, TolerationOperator, TopologySpreadConstraint, Volume, VolumeSource,
        WeightedPodAffinityTerm, WhenUnsatisfiable, Workload, WorkloadKind,
    },
    predicates::{self, Build, Demand, Predicate},
    priorities::{self, Priority},
    rule::Arguments,
    snapshot::{Object, Snapshot},
    verdict::Verdict,
};

mod devices;
mod volumes;

pub use devices::{ResourceClaimBuilder, SliceBuilder, device_class, resource_claim, resource_slice, wants};
pub use volumes::{
    ClaimBuilder, ClassBuilder, CsiNodeBuilder, VolumeBuilder, attachment, csi_driver, csi_node, pv, pvc, room,
    storage_class,
};

/// A pod in namespace `default` with one container without requests.
pub fn pod(name: &str) -> PodBuilder {
    PodBuilder {
        pod: Pod {
            namespace: "default".into(),
            name: name.into(),
            uid: format!("uid-{name}").into(),
            ..Pod::default()
        },
        requests: ResourceList::new(),
        others: PodRequests::default(),
        resized: None,
        labels: Vec::new(),
    }
}

/// A node that offers 110 pods and nothing else.
pub fn node(name: &str) -> NodeBuilder {
    let node =
        Node { name: name.into(), allocatable: Resources { pods: 110, ..Resources::default() }, ..Node::default() };
    NodeBuilder { node, labels: vec![("kubernetes.io/hostname".into(), name.into())] }
}

/// Builds a [`Pod`].
#[derive(Clone, Debug)]
pub struct PodBuilder {
    pod: Pod,
    /// Requests of the first container.
    requests: ResourceList,
    /// Requests of the other parts.
    others: PodRequests,
    /// Resources in the status of the first container, if it is resized in place.
    resized: Option<ContainerHolds>,
    labels: Vec<(String, String)>,
}

/// Builds a [`Node`].
#[derive(Clone)]
pub struct NodeBuilder {
    node: Node,
    labels: Vec<(String, String)>,
}

fn quantity(text: &str) -> Quantity {
    text.parse().unwrap_or_else(|e| panic!("{text:?} in a test: {e}"))
}

fn list(amounts: &[(&str, &str)]) -> ResourceList {
    amounts.iter().map(|(resource, amount)| ((*resource).into(), quantity(amount))).collect()
}

impl PodBuilder {
    /// Requests an amount of any resource, by its first container.
    #[must_use]
    pub fn requests(mut self, resource: &str, amount: &str) -> Self {
        self.requests.insert(resource.into(), quantity(amount));
        self
    }

    /// Requests CPU.
    #[must_use]
    pub fn cpu(self, amount: &str) -> Self {
        self.requests("cpu", amount)
    }

    /// Requests memory.
    #[must_use]
    pub fn memory(self, amount: &str) -> Self {
        self.requests("memory", amount)
    }

    /// Adds a container that requests these amounts.
    #[must_use]
    pub fn container(mut self, amounts: &[(&str, &str)]) -> Self {
        self.others.containers.push(ContainerRequests { requests: list(amounts), restartable: false });
        self
    }

    /// Adds an init container that requests these amounts.
    #[must_use]
    pub fn init(mut self, amounts: &[(&str, &str)]) -> Self {
        self.others.init_containers.push(ContainerRequests { requests: list(amounts), restartable: false });
        self
    }

    /// Adds a sidecar that requests these amounts.
    #[must_use]
    pub fn sidecar(mut self, amounts: &[(&str, &str)]) -> Self {
        self.others.init_containers.push(ContainerRequests { requests: list(amounts), restartable: true });
        self
    }

    /// Sets pod-level requests.
    #[must_use]
    pub fn pod_level(mut self, amounts: &[(&str, &str)]) -> Self {
        self.others.pod_level = list(amounts);
        self
    }

    /// Costs these amounts on top.
    #[must_use]
    pub fn overhead(mut self, amounts: &[(&str, &str)]) -> Self {
        self.others.overhead = list(amounts);
        self
    }

    /// Is resized in place: its first container runs with these amounts.
    #[must_use]
    pub fn resized(mut self, actual: &[(&str, &str)]) -> Self {
        self.resized = Some(ContainerHolds { actual: list(actual), ..ContainerHolds::default() });
        self
    }

    /// Is limited to these amounts.
    #[must_use]
    pub fn limits(mut self, amounts: &[(&str, &str)]) -> Self {
        self.pod.spec_mut().limits = Resources::from_list(&list(amounts));
        self
    }

    /// Sets the namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.pod.namespace = namespace.into();
        self
    }

    /// Carries a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.push((key.into(), value.into()));
        self
    }

    /// Binds it to a node, or names the node.
    #[must_use]
    pub fn on(mut self, node: &str) -> Self {
        self.pod.node_name = node.into();
        self
    }

    /// Takes a TCP host port on all addresses.
    #[must_use]
    pub fn host_port(mut self, port: u16) -> Self {
        self.pod.spec_mut().host_ports.push(HostPort { ip: HostPort::ANY_IP.into(), protocol: Protocol::Tcp, port });
        self
    }

    /// Mounts a claim of its namespace.
    #[must_use]
    pub fn claim(self, name: &str) -> Self {
        self.mounts(VolumeSource::PersistentVolumeClaim { claim_name: name.into(), read_only: false })
    }

    /// Mounts a volume, named `v0`, `v1`… in their order.
    #[must_use]
    pub fn mounts(mut self, source: VolumeSource) -> Self {
        let name = format!("v{}", self.pod.volumes.len()).into();
        self.pod.volumes.push(Volume { name, source });
        self
    }

    /// Tolerates every taint with this key.
    #[must_use]
    pub fn tolerates(mut self, key: &str) -> Self {
        self.pod.spec_mut().tolerations.push(Toleration {
            key: key.into(),
            operator: TolerationOperator::Exists,
            value: "".into(),
            effect: None,
            seconds: None,
        });
        self
    }

    /// Requires the company of pods that carry these labels, in one domain of a node label.
    #[must_use]
    pub fn affinity(mut self, labels: &str, topology_key: &str) -> Self {
        self.pod.spec_mut().affinity.pod_required.push(term(labels, topology_key));
        self
    }

    /// Requires to be apart from pods that carry these labels, by domain of a node label.
    #[must_use]
    pub fn anti_affinity(mut self, labels: &str, topology_key: &str) -> Self {
        self.pod.spec_mut().affinity.anti_required.push(term(labels, topology_key));
        self
    }

    /// Prefers the company of pods that carry these labels; with a weight below 0, to be apart from them.
    #[must_use]
    pub fn prefers(mut self, weight: i32, labels: &str, topology_key: &str) -> Self {
        let wish = WeightedPodAffinityTerm { weight: weight.abs(), term: term(labels, topology_key) };
        let Affinity { pod_preferred, anti_preferred, .. } = &mut self.pod.spec_mut().affinity;
        if weight < 0 { anti_preferred } else { pod_preferred }.push(wish);
        self
    }

    /// Is to be spread with the pods that carry these labels over the domains of a node label.
    #[must_use]
    pub fn spread(mut self, max_skew: i32, topology_key: &str, when: WhenUnsatisfiable, labels: &str) -> Self {
        self.pod.spec_mut().topology_spread.push(TopologySpreadConstraint {
            max_skew,
            topology_key: topology_key.into(),
            when_unsatisfiable: when,
            selector: Some(selector(labels)),
            min_domains: None,
            node_affinity_policy: None,
            node_taints_policy: None,
            match_label_keys: Vec::new(),
        });
        self
    }

    /// Is owned by a controller: `("apps/v1", "ReplicaSet", "web")`.
    #[must_use]
    pub fn owned_by(mut self, api_version: &str, kind: &str, name: &str) -> Self {
        self.pod.controller = Some(Arc::new(ControllerRef {
            api_version: api_version.into(),
            kind: kind.into(),
            name: name.into(),
            uid: format!("uid-{name}").into(),
        }));
        self
    }

    /// Has a priority.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.pod.spec_mut().priority = Some(priority);
        self
    }

    /// Started at this second.
    #[must_use]
    pub fn started(mut self, second: i64) -> Self {
        self.pod.start_time = Some(second * 1_000_000_000);
        self
    }

    /// Waits for a node on which preemption made room for it.
    #[must_use]
    pub fn nominated(mut self, node: &str) -> Self {
        self.pod.nominated_node_name = node.into();
        self
    }

    /// Is being deleted.
    #[must_use]
    pub fn terminating(mut self) -> Self {
        self.pod.terminating = true;
        self
    }

    /// Changes anything else.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Pod)) -> Self {
        change(&mut self.pod);
        self
    }

    /// The pod.
    pub fn build(self) -> Pod {
        let mut pod = self.pod;
        let namespace = pod.namespace.clone();
        let Affinity { pod_required, anti_required, pod_preferred, anti_preferred, .. } = &mut pod.spec_mut().affinity;
        let preferred = pod_preferred.iter_mut().chain(anti_preferred).map(|wish| &mut wish.term);
        for term in pod_required.iter_mut().chain(anti_required).chain(preferred) {
            if term.namespaces.is_empty() && term.namespace_selector.is_none() {
                term.namespaces.push(namespace.clone());
            }
        }
        pod.labels = self.labels.into_iter().collect();
        let mut asked = self.others;
        let others = asked.clone();
        asked.containers.push(ContainerRequests { requests: self.requests.clone(), restartable: false });
        pod.set_requests(asked);
        if let Some(holds) = self.resized {
            let mut running = others;
            let requests = holds.counted(&self.requests, false);
            running.containers.push(ContainerRequests { requests, restartable: false });
            pod.held = Some(Box::new(running.held()));
        }
        pod
    }
}

impl NodeBuilder {
    /// Offers an amount of any resource.
    #[must_use]
    pub fn offers(mut self, resource: &str, amount: &str) -> Self {
        self.node.allocatable.set(&resource.into(), quantity(amount));
        self
    }

    /// Offers CPU.
    #[must_use]
    pub fn cpu(self, amount: &str) -> Self {
        self.offers("cpu", amount)
    }

    /// Offers memory.
    #[must_use]
    pub fn memory(self, amount: &str) -> Self {
        self.offers("memory", amount)
    }

    /// Carries a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.push((key.into(), value.into()));
        self
    }

    /// Sets the zone.
    #[must_use]
    pub fn zone(self, zone: &str) -> Self {
        self.label("topology.kubernetes.io/zone", zone)
    }

    /// Carries a taint.
    #[must_use]
    pub fn taint(mut self, key: &str, value: &str, effect: Effect) -> Self {
        self.node.taints.push(Taint { key: key.into(), value: value.into(), effect, added: None });
        self
    }

    /// Reports a condition.
    #[must_use]
    pub fn condition(mut self, kind: &str, status: ConditionStatus) -> Self {
        self.node.conditions.push((kind.into(), status));
        self
    }

    /// Is cordoned.
    #[must_use]
    pub fn unschedulable(mut self) -> Self {
        self.node.unschedulable = true;
        self
    }

    /// Changes anything else.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Node)) -> Self {
        change(&mut self.node);
        self
    }

    /// The node.
    pub fn build(self) -> Node {
        let mut node = self.node;
        node.labels = self.labels.into_iter().collect::<Labels>();
        node
    }
}

/// A selector of the pods that carry all of these labels: `selector("app=web,tier=front")`; empty text selects all.
pub fn selector(labels: &str) -> Selector {
    let pair = |text: &str| text.split_once('=').map(|(key, value)| (Name::from(key), Name::from(value)));
    Selector::from_map(labels.split(',').filter_map(pair))
}

fn term(labels: &str, topology_key: &str) -> PodAffinityTerm {
    PodAffinityTerm {
        selector: Some(selector(labels)),
        topology_key: topology_key.into(),
        ..PodAffinityTerm::default()
    }
}

/// A service in namespace `default` of the pods that carry these labels.
pub fn service(name: &str, labels: &str) -> Object {
    workload(WorkloadKind::Service, name, labels)
}

/// A service or a controller in namespace `default` of the pods that carry these labels.
pub fn workload(kind: WorkloadKind, name: &str, labels: &str) -> Object {
    Object::Workload(Workload {
        kind,
        namespace: "default".into(),
        name: name.into(),
        uid: format!("uid-{name}").into(),
        selector: Some(selector(labels)),
        replicas: None,
        template: None,
    })
}

/// A disruption budget in namespace `default` that allows this number of evictions of the pods with these labels.
pub fn budget(name: &str, labels: &str, disruptions_allowed: i32) -> Object {
    Object::PodDisruptionBudget(PodDisruptionBudget {
        namespace: "default".into(),
        name: name.into(),
        selector: Some(selector(labels)),
        disruptions_allowed,
        disrupted_pods: Vec::new(),
        spares_unready: false,
    })
}

/// A namespace with one label.
pub fn namespace(name: &str, key: &str, value: &str) -> Object {
    Object::Namespace(Namespace {
        name: name.into(),
        labels: [(key, value)].into_iter().collect(),
        is_terminating: false,
    })
}

impl From<PodBuilder> for Object {
    fn from(builder: PodBuilder) -> Self {
        Object::Pod(Box::new(builder.build()))
    }
}

impl From<NodeBuilder> for Object {
    fn from(builder: NodeBuilder) -> Self {
        Object::Node(builder.build())
    }
}

/// A snapshot of these objects: `cluster([node("a").into(), pod("p").on("a").into()])`.
pub fn cluster(objects: impl IntoIterator<Item = Object>) -> Snapshot {
    objects.into_iter().collect()
}

/// A registered predicate by name.
///
/// # Panics
/// When there is none, or it is a group: the test is wrong.
pub fn predicate(name: &str, arguments: &Arguments) -> Box<dyn Predicate> {
    match predicates::find(name).map(|r| &r.build) {
        Some(Build::Rule(build)) => build(arguments),
        _ => panic!("no predicate {name:?}"),
    }
}

/// A registered priority by name.
///
/// # Panics
/// When there is none: the test is wrong.
pub fn priority(name: &str, arguments: &Arguments) -> Box<dyn Priority> {
    let registration = priorities::find(name).unwrap_or_else(|| panic!("no priority {name:?}"));
    (registration.build)(arguments)
}

/// The verdict of a predicate on a pod and one node of a cluster.
///
/// # Panics
/// If the cluster has no such node: the test is wrong.
pub fn verdict_of<T: Clone + Into<Object>>(rule: &dyn Predicate, pod: PodBuilder, objects: &[T], on: &str) -> Verdict {
    let snapshot = cluster(objects.iter().cloned().map(Into::into));
    let pod = pod.build();
    let node = snapshot.node(on).unwrap_or_else(|| panic!("no node {on:?} in the test's cluster"));
    match rule.prepare(&pod, &snapshot) {
        Demand::Nothing => Verdict::Fits,
        Demand::Check(check) | Demand::OnlyNodes(_, check) => check.check(node),
        Demand::Reject(verdict) => verdict,
    }
}

/// A priority's scores for a pod on all nodes of a cluster, in order of their names.
pub fn scores_of<T: Clone + Into<Object>>(rule: &dyn Priority, pod: PodBuilder, objects: &[T]) -> Vec<i64> {
    let snapshot = cluster(objects.iter().cloned().map(Into::into));
    let candidates = snapshot.node_set();
    let scores = rule.score(&pod.build(), &snapshot, &candidates);
    snapshot.node_refs().filter_map(|node_ref| Some(scores.of(candidates.position(node_ref)?))).collect()
}
