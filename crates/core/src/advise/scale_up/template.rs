//! The node that a group would make, with the pods that come with it.
//!
//! The group's first ready node serves as the example: it keeps its labels and taints, but for those that tell of its present state, and the
//! pods of `DaemonSets` and mirror pods. A group without such a node uses its template, with a pod of each `DaemonSet` that would run there. The
//! last resort is a node that is not ready.
//!
//! Source: `cluster-autoscaler/processors/nodeinfosprovider/mixed_nodeinfos_processor.go`,
//! `cluster-autoscaler/simulator/node_info_utils.go`, `cluster-autoscaler/utils/taints/taints.go` (`SanitizeTaints`),
//! `pkg/controller/daemon/daemon_controller.go` (`NodeShouldRunDaemonPod`).

use std::sync::Arc;

use super::{Group, pending::is_daemon};
use crate::{
    advise::scale_down::is_ready,
    model::{
        CsiNode, Effect, Labels, Name, Node, Pod, PreemptionPolicy, Toleration, TolerationOperator, first_untolerated,
        topology::HOSTNAME,
    },
    node_info::NodeInfo,
    snapshot::{Object, Snapshot},
};

/// The label of nodes that are not there.
const TEMPLATE: &str = "cluster-autoscaler.kubernetes.io/template-node";

/// The taint of a node that is about to be deleted.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// Taints that tell of the present state of a node.
const PASSING: [&str; 12] = [
    TO_BE_DELETED,
    "DeletionCandidateOfClusterAutoscaler",
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/network-unavailable",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/out-of-service",
    "node.cloudprovider.kubernetes.io/uninitialized",
    "node.cloudprovider.kubernetes.io/shutdown",
];

/// Beginnings of the names of such taints.
const PASSING_PREFIXES: [&str; 3] = [
    "startup-taint.cluster-autoscaler.kubernetes.io/",
    "status-taint.cluster-autoscaler.kubernetes.io/",
    "ignore-taint.cluster-autoscaler.kubernetes.io/",
];

/// Labels, and the older name of each.
const OLDER_NAMES: [(&str, &str); 3] = [
    ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type"),
    ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
];

/// Nanoseconds for which a node is to be ready before it serves as an example.
const STABLE: i64 = 60_000_000_000;

/// Nanoseconds within which a new node that is not ready counts as on its way.
const STARTUP: i64 = 15 * 60_000_000_000;

/// A node that is not there, with its pods.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) node: Node,
    pub(super) pods: Vec<Arc<Pod>>,
    csi: Option<CsiNode>,
}

impl Template {
    /// The template of a group; `None` if it has neither a node nor a template.
    pub(super) fn of(group: &Group, snapshot: &Snapshot, daemons: &[Arc<Pod>], now: i64) -> Option<Self> {
        let nodes = || group.nodes.iter().filter_map(|name| snapshot.node(name));
        if let Some(example) = nodes().find(|info| is_example(&info.node, now)) {
            return Some(Self::from_node(group, example, snapshot, daemons));
        }
        if let Some(node) = &group.template {
            return Some(Self::from_template(group, node, daemons));
        }
        nodes().next().map(|example| Self::from_node(group, example, snapshot, daemons))
    }

    fn from_node(group: &Group, example: &NodeInfo, snapshot: &Snapshot, daemons: &[Arc<Pod>]) -> Self {
        let node = sanitized(group, &example.node, false);
        let stays = |pod: &&Arc<Pod>| !pod.terminating && (is_daemon(pod) || pod.facts().mirror);
        let pods: Vec<Arc<Pod>> = example.pods.iter().filter(stays).cloned().collect();
        let runs = |daemon: &Pod| {
            pods.iter().any(|pod| is_daemon(pod) && pod.controller.as_ref().map(|c| &c.uid) == daemon_uid(daemon))
        };
        let missing = daemons.iter().filter(|daemon| is_critical(daemon) && !runs(daemon) && should_run(daemon, &node));
        let pods = pods.iter().chain(missing).cloned().collect();
        Self { csi: snapshot.csi_node(example.name()).map(|csi| (**csi).clone()), node, pods }
    }

    fn from_template(group: &Group, node: &Node, daemons: &[Arc<Pod>]) -> Self {
        let node = sanitized(group, node, true);
        let pods = daemons.iter().filter(|daemon| should_run(daemon, &node)).cloned().collect();
        Self { node, pods, csi: None }
    }

    /// Adds a node like this one to a cluster, under a name that is free, and returns the name.
    pub(super) fn add_to(&self, snapshot: &mut Snapshot, suffix: &str) -> Name {
        let names = (0..).map(|again| match again {
            0 => Name::from(format!("{}-{suffix}", self.node.name)),
            again => Name::from(format!("{}-{suffix}-{again}", self.node.name)),
        });
        let mut free = names.filter(|name| snapshot.node(name).is_none());
        let name = free.next().unwrap_or_default();
        drop(free);
        snapshot.apply(Object::Node(self.node.renamed(name.clone())));
        if let Some(csi) = &self.csi {
            snapshot.apply(Object::CsiNode(CsiNode { name: name.clone(), ..csi.clone() }));
        }
        for pod in &self.pods {
            let own = Name::from(format!("{}-{name}", pod.name));
            let pod = Pod { uid: own.clone(), name: own, node_name: name.clone(), ..(**pod).clone() };
            snapshot.apply(Object::Pod(Box::new(pod)));
        }
        name
    }
}

/// `true` if a node is not ready since it is new: it counts as on its way.
pub(super) fn is_starting(node: &Node, now: i64) -> bool {
    let created = node.facts.as_ref().and_then(|facts| facts.created);
    !is_ready(node) && created.is_some_and(|created| created.saturating_add(STARTUP) > now)
}

fn is_example(node: &Node, now: i64) -> bool {
    let since = node.facts.as_ref().and_then(|facts| facts.ready_changed);
    is_ready(node)
        && since.is_none_or(|since| since.saturating_add(STABLE) < now)
        && !node.unschedulable
        && !node.taints.iter().any(|taint| &*taint.key == TO_BE_DELETED)
}

/// A new node of a group, like this one.
fn sanitized(group: &Group, node: &Node, with_older_names: bool) -> Node {
    let name = Name::from(format!("template-node-for-{}", group.id));
    let mut labels: Vec<(Name, Name)> = node.labels.iter().cloned().collect();
    labels.push((HOSTNAME.into(), name.clone()));
    labels.push((TEMPLATE.into(), "true".into()));
    if with_older_names {
        let older =
            OLDER_NAMES.iter().filter_map(|(key, older)| Some(((*older).into(), node.labels.get(key)?.clone())));
        labels.extend(older);
    }
    let passes = |key: &str| PASSING.contains(&key) || PASSING_PREFIXES.iter().any(|prefix| key.starts_with(prefix));
    let mut node = Node { name, labels: labels.into_iter().collect::<Labels>(), ..node.clone() };
    node.taints.retain(|taint| !passes(&taint.key));
    node
}

fn daemon_uid(daemon: &Pod) -> Option<&Name> {
    daemon.controller.as_ref().map(|controller| &controller.uid)
}

/// `true` for a pod of the highest class, which others leave the node for.
fn is_critical(pod: &Pod) -> bool {
    &*pod.spec.priority_class_name == "system-node-critical"
        && pod.spec.preemption_policy != Some(PreemptionPolicy::Never)
}

/// `true` if the controller of `DaemonSets` would make this pod on a node.
fn should_run(daemon: &Pod, node: &Node) -> bool {
    let always = [
        ("node.kubernetes.io/not-ready", Effect::NoExecute),
        ("node.kubernetes.io/unreachable", Effect::NoExecute),
        ("node.kubernetes.io/disk-pressure", Effect::NoSchedule),
        ("node.kubernetes.io/memory-pressure", Effect::NoSchedule),
        ("node.kubernetes.io/pid-pressure", Effect::NoSchedule),
        ("node.kubernetes.io/unschedulable", Effect::NoSchedule),
    ];
    let added = always.map(|(key, effect)| Toleration {
        key: key.into(),
        operator: TolerationOperator::Exists,
        value: Name::default(),
        effect: Some(effect),
        seconds: None,
    });
    let tolerations: Vec<Toleration> = daemon.spec.tolerations.iter().cloned().chain(added).collect();
    let counts = |effect| matches!(effect, Effect::NoSchedule | Effect::NoExecute);
    daemon.selects_node(node) && first_untolerated(&node.taints, &tolerations, counts).is_none()
}
