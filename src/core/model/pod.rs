//! Pods.
//!
//! Source: `api/core/v1/types.go` (`Pod`), `component-helpers/resource/helpers.go` (`PodRequests`).

use super::{
    Affinity, ControllerRef, HostPort, Labels, Name, Node, PreemptionPolicy, ResourceList, Resources, Toleration,
    TopologySpreadConstraint, Volume, resources,
};

/// A pod, as far as scheduling reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Its uid.
    pub uid: Name,
    /// Its labels.
    pub labels: Labels,
    /// The controller that owns it.
    pub controller: Option<ControllerRef>,
    /// The node it is bound to, or asks for by name (`spec.nodeName`); empty for none.
    pub node_name: Name,
    /// The node on which preemption made room for it (`status.nominatedNodeName`); empty for none.
    pub nominated_node_name: Name,
    /// The scheduler it asks for.
    pub scheduler_name: Name,
    /// Whether it ran to its end (`Succeeded` or `Failed`) and so holds nothing any more.
    pub terminal: bool,
    /// Whether it is being deleted (`metadata.deletionTimestamp`).
    pub terminating: bool,
    /// `spec.priority`; `None` where the object does not say and its class decides.
    pub priority: Option<i32>,
    /// `spec.priorityClassName`; empty for none.
    pub priority_class_name: Name,
    /// Whether it may make room for itself.
    pub preemption_policy: Option<PreemptionPolicy>,
    /// `status.startTime`, in nanoseconds since 1970; `None` where it has not started.
    pub start_time: Option<i64>,
    /// What it asks for, all containers and overhead together.
    pub requests: Resources,
    /// CPU (thousandths) and memory (bytes) as scoring counts them: a container that asks for none counts as the
    /// default request.
    pub non_zero_requests: Resources,
    /// What it is limited to (`ResourceLimitsPriority` reads it).
    pub limits: Resources,
    /// `spec.overhead`, also within `requests`.
    pub overhead: ResourceList,
    /// The images of its containers.
    pub images: Vec<Name>,
    /// The images of its init containers.
    pub init_images: Vec<Name>,
    /// The host ports it takes.
    pub host_ports: Vec<HostPort>,
    /// `spec.nodeSelector`: labels that the node must have.
    pub node_selector: Labels,
    /// Its affinities.
    pub affinity: Affinity,
    /// What it puts up with.
    pub tolerations: Vec<Toleration>,
    /// How it and its like are to be spread.
    pub topology_spread: Vec<TopologySpreadConstraint>,
    /// Its volumes.
    pub volumes: Vec<Volume>,
    /// What holds it back from being scheduled at all.
    pub scheduling_gates: Vec<Name>,
}

impl Pod {
    /// Its priority where the object says it, else 0.
    pub fn priority_or_default(&self) -> i32 {
        self.priority.unwrap_or(0)
    }

    /// Whether its node selector and its required node affinity let it on a node.
    pub fn selects_node(&self, node: &Node) -> bool {
        self.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
            && self.affinity.node_required.as_ref().is_none_or(|required| required.matches(&node.name, &node.labels))
    }

    /// Whether it is on a node.
    pub fn is_assigned(&self) -> bool {
        !self.node_name.is_empty()
    }
}

/// What one container asks for, and how it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerRequests {
    /// `resources.requests`.
    pub requests: ResourceList,
    /// An init container with `restartPolicy: Always` (a sidecar): it goes on beside the others.
    pub restartable: bool,
}

/// What a whole pod asks for: the sum of its containers and sidecars or, where it is higher, the largest step of its
/// initialisation; then pod-level amounts instead where they are given, and the overhead.
///
/// `count` turns one container's list into amounts, so that scoring can put defaults for what is missing.
pub fn pod_requests(
    containers: &[ContainerRequests],
    init_containers: &[ContainerRequests],
    pod_level: &ResourceList,
    overhead: &ResourceList,
    count: impl Fn(&ResourceList) -> Resources,
) -> Resources {
    let mut total = Resources::default();
    for container in containers {
        total.add(&count(&container.requests));
    }
    let (mut sidecars, mut peak) = (Resources::default(), Resources::default());
    for init in init_containers {
        let own = count(&init.requests);
        if init.restartable {
            total.add(&own);
            sidecars.add(&own);
            peak.raise_to(&sidecars);
        } else {
            let mut step = sidecars.clone();
            step.add(&own);
            peak.raise_to(&step);
        }
    }
    total.raise_to(&peak);
    for (name, quantity) in pod_level.iter().filter(|(name, _)| resources::may_stand_at_pod_level(name)) {
        total.set(name, *quantity);
    }
    total.add(&Resources::from_list(overhead));
    total
}

/// One container's CPU and memory as scoring counts them.
pub fn non_zero(list: &ResourceList) -> Resources {
    let named = Resources::from_list(list);
    Resources {
        milli_cpu: if list.contains_key(resources::CPU) {
            named.milli_cpu
        } else {
            resources::DEFAULT_MILLI_CPU_REQUEST
        },
        memory: if list.contains_key(resources::MEMORY) { named.memory } else { resources::DEFAULT_MEMORY_REQUEST },
        ..Resources::default()
    }
}
