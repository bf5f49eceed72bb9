//! From a pod as it is written to the pod that decisions read.

use std::sync::Arc;

use super::{
    Container, ContainerPort, Pod, PodResourceClaim, PodSpec, PodStatus, ResourceRequirements, preemption_policy,
};
use crate::{
    defaults::{
        amounts::{self, Amounts},
        host_ports,
    },
    fault::{Faults, Path},
    objects::{
        Converted,
        affinity::Owner,
        bounds, converted,
        meta::{instant, labels},
        names,
        quantity::resource_list,
        volume::Volume,
    },
};
use podberth_core::model::{
    self, ContainerHolds, ContainerRequests, HostPort, PodClaim, PodClaimSource, PodRequests, Protocol, ResourceList,
};

/// The scheduler that pods ask for when they name none.
const DEFAULT_SCHEDULER: &str = "default-scheduler";

impl PodStatus {
    /// `true` if its node reports that it is ready.
    fn is_ready(&self) -> bool {
        self.conditions.iter().any(|condition| condition.kind == "Ready" && condition.status == "True")
    }

    /// `true` if its node reports that it can never be resized to its spec (`IsPodResizeInfeasible`): the first such condition counts, with
    /// any status.
    fn is_resize_infeasible(&self) -> bool {
        let pending = self.conditions.iter().find(|condition| condition.kind == "PodResizePending");
        pending.is_some_and(|condition| condition.reason == "Infeasible")
    }

    /// Amounts that count for the container of that name, which requests `asked`; `None` if its status does not say. Of two statuses of one
    /// name, that of an init container counts, and of those the last.
    fn counted(&self, name: &str, asked: &ResourceList, faults: &mut Faults) -> Option<ResourceList> {
        let lists =
            [("initContainerStatuses", &self.init_container_statuses), ("containerStatuses", &self.container_statuses)];
        let (list, i, status) = lists.into_iter().find_map(|(list, statuses)| {
            let (i, status) = statuses.iter().enumerate().rfind(|(_, status)| status.name == name)?;
            Some((list, i, status))
        })?;
        let resources = status.resources.as_ref()?;
        let root = Path::ROOT.child("status");
        let (list_at, resources_at) = (root.child(list), "resources");
        let at = list_at.index(i);
        let holds = ContainerHolds {
            actual: resource_list(&resources.requests, &at.child(resources_at).child("requests"), faults),
            allocated: resource_list(&status.allocated_resources, &at.child("allocatedResources"), faults),
        };
        Some(holds.counted(asked, self.is_resize_infeasible()))
    }

    /// `true` if kube-scheduler preempted it (`podTerminatingByPreemption`): the first such condition counts.
    fn is_preempted(&self) -> bool {
        let disruption = self.conditions.iter().find(|condition| condition.kind == "DisruptionTarget");
        disruption.is_some_and(|c| c.status == "True" && c.reason == "PreemptionByScheduler")
    }
}

impl PodSpec {
    /// The amounts of the pod as a whole, with those that follow from its containers. There are none if it has none of its own.
    pub(crate) fn pod_level_amounts(&self) -> Amounts {
        let (at, mut faults) = (Path::ROOT, Faults::default());
        let of = |list: &[Container], faults: &mut Faults| amounts_of(list, &at, faults);
        let (containers, init_containers) = (of(&self.containers, &mut faults), of(&self.init_containers, &mut faults));
        let all = |containers, init_containers| PodRequests { containers, init_containers, ..PodRequests::default() };
        let mut pod = self.resources.read(&at, &mut faults);
        let requests = all(containers.requests, init_containers.requests);
        amounts::of_pod(&mut pod, &requests, &all(containers.limits, init_containers.limits));
        pod
    }
}

impl Pod {
    /// The pod, and what is wrong with it.
    pub fn to_core(&self) -> Converted<model::Pod> {
        converted(|faults| self.convert(faults))
    }

    fn convert(&self, faults: &mut Faults) -> model::Pod {
        let key = self.metadata.namespaced(names::dns_subdomain, faults);
        let own_labels = self.metadata.labels(faults);
        let terminating = self.metadata.terminating(faults);
        let excess = bounds::check(self, faults);
        let spec = &self.spec;
        let at = Path::ROOT.child("spec");
        if spec.containers.is_empty() {
            faults.required(&at.child("containers"), "");
        }
        if !spec.node_name.is_empty()
            && let Err(rule) = names::dns_subdomain(&spec.node_name)
        {
            faults.invalid(&at.child("nodeName"), &spec.node_name, rule);
        }
        let containers = amounts_of(&spec.containers, &at.child("containers"), faults);
        let init_containers = amounts_of(&spec.init_containers, &at.child("initContainers"), faults);
        let mut pod_level = spec.resources.read(&at.child("resources"), faults);
        let mut overhead = resource_list(&spec.overhead, &at.child("overhead"), faults);
        amounts::round(&mut overhead);
        let limits = PodRequests {
            containers: containers.limits,
            init_containers: init_containers.limits,
            ..PodRequests::default()
        };
        let mut requests = PodRequests {
            containers: containers.requests,
            init_containers: init_containers.requests,
            overhead: overhead.clone(),
            ..PodRequests::default()
        };
        amounts::of_pod(&mut pod_level, &requests, &limits);
        requests.pod_level = pod_level.requests;
        let held = self.resized(&requests, faults).map(|running| Box::new(running.held()));
        let affinity = spec.affinity.to_core(
            Owner { namespace: &key.namespace, labels: &own_labels },
            &at.child("affinity"),
            faults,
        );
        let (tolerations_at, spread_at) = (at.child("tolerations"), at.child("topologySpreadConstraints"));
        let status_at = Path::ROOT.child("status");
        let scheduler = if spec.scheduler_name.is_empty() { DEFAULT_SCHEDULER } else { &spec.scheduler_name };
        let asked = model::PodSpec {
            scheduler_name: scheduler.into(),
            priority: spec.priority,
            priority_class_name: spec.priority_class_name.as_str().into(),
            preemption_policy: preemption_policy(
                spec.preemption_policy.as_deref(),
                &at.child("preemptionPolicy"),
                faults,
            ),
            requests: requests.total(),
            non_zero_requests: requests.non_zero(),
            scored_requests: requests.scored(),
            overhead,
            limits: limits.total(),
            images: spec.containers.iter().map(|c| c.image.as_str().into()).collect(),
            init_images: spec.init_containers.iter().map(|c| c.image.as_str().into()).collect(),
            host_ports: self.host_ports(&at, faults),
            node_selector: labels(&spec.node_selector, &at.child("nodeSelector"), faults),
            affinity,
            tolerations: spec
                .tolerations
                .iter()
                .enumerate()
                .filter_map(|(i, toleration)| toleration.to_core(&tolerations_at.index(i), faults))
                .collect(),
            topology_spread: spec
                .topology_spread_constraints
                .iter()
                .enumerate()
                .filter_map(|(i, constraint)| constraint.to_core(&spread_at.index(i), faults))
                .collect(),
            scheduling_gates: spec.scheduling_gates.iter().map(|g| g.name.as_str().into()).collect(),
        };
        let start_time = self.status.start_time.as_ref();
        model::Pod {
            uid: self.metadata.uid.as_str().into(),
            controller: self.metadata.controller().map(Arc::new),
            node_name: spec.node_name.as_str().into(),
            nominated_node_name: self.status.nominated_node_name.as_str().into(),
            terminal: matches!(self.status.phase.as_str(), "Succeeded" | "Failed"),
            terminating,
            pending: self.status.phase == "Pending",
            ready: self.status.is_ready(),
            preempted: self.status.is_preempted(),
            created: self.metadata.created(),
            arrival: 0,
            start_time: start_time.and_then(|text| instant(text, &status_at.child("startTime"), faults)),
            spec: Arc::new(asked),
            held,
            volumes: spec.volumes.iter().map(Volume::to_core).collect(),
            resource_claims: self.resource_claims(),
            excess,
            facts: self.facts(),
            labels: own_labels,
            namespace: key.namespace,
            name: key.name,
        }
    }

    /// Its claims to devices, with those made from templates.
    fn resource_claims(&self) -> Vec<PodClaim> {
        let made = |name: &str| self.status.resource_claim_statuses.iter().find(|status| status.name == name);
        let source = |claim: &PodResourceClaim| match (&claim.resource_claim_name, &claim.resource_claim_template_name)
        {
            (Some(name), _) => PodClaimSource::Claim(name.as_str().into()),
            (None, None) => PodClaimSource::Unknown,
            (None, Some(_)) => match made(&claim.name).map(|status| &status.resource_claim_name) {
                None => PodClaimSource::NotMade,
                Some(None) => PodClaimSource::Needless,
                Some(Some(name)) => PodClaimSource::Made(name.as_str().into()),
            },
        };
        let claims = self.spec.resource_claims.iter();
        claims.map(|claim| PodClaim { name: claim.name.as_str().into(), source: source(claim) }).collect()
    }

    /// Its parts with what they hold while they are resized in place; `None` where that is what they ask for. Of init
    /// containers only sidecars are resized.
    fn resized(&self, asked: &PodRequests, faults: &mut Faults) -> Option<PodRequests> {
        if self.status.container_statuses.is_empty() && self.status.init_container_statuses.is_empty() {
            return None;
        }
        let mut running: Option<PodRequests> = None;
        for (i, container) in self.spec.containers.iter().enumerate() {
            let asks = &asked.containers[i].requests;
            if let Some(holds) = self.status.counted(&container.name, asks, faults).filter(|holds| holds != asks) {
                running.get_or_insert_with(|| asked.clone()).containers[i].requests = holds;
            }
        }
        for (i, container) in self.spec.init_containers.iter().enumerate().filter(|(_, c)| c.restart_policy == "Always")
        {
            let asks = &asked.init_containers[i].requests;
            if let Some(holds) = self.status.counted(&container.name, asks, faults).filter(|holds| holds != asks) {
                running.get_or_insert_with(|| asked.clone()).init_containers[i].requests = holds;
            }
        }
        running
    }

    /// The ports that it takes as long as it runs: not those of init containers which come to an end.
    fn host_ports(&self, at: &Path<'_>, faults: &mut Faults) -> Vec<HostPort> {
        let mut taken = Vec::new();
        for (list, containers) in
            [("initContainers", &self.spec.init_containers), ("containers", &self.spec.containers)]
        {
            let list_at = at.child(list);
            for (i, container) in containers.iter().enumerate() {
                let container_at = list_at.index(i);
                let ports_at = container_at.child("ports");
                let stays = list == "containers" || container.restart_policy == "Always";
                for (j, port) in container.ports.iter().enumerate() {
                    taken.extend(port.to_core(self.spec.host_network, &ports_at.index(j), faults).filter(|_| stays));
                }
            }
        }
        taken
    }
}

/// Sums of requests and limits of a list of containers.
struct ContainerAmounts {
    requests: Vec<ContainerRequests>,
    limits: Vec<ContainerRequests>,
}

fn amounts_of(containers: &[Container], at: &Path<'_>, faults: &mut Faults) -> ContainerAmounts {
    let (requests, limits) = containers
        .iter()
        .enumerate()
        .map(|(i, container)| {
            let at = at.index(i);
            let restartable = container.restart_policy == "Always";
            let resources_at = at.child("resources");
            let mut resources = container.resources.read(&resources_at, faults);
            amounts::of_container(&mut resources);
            (
                ContainerRequests { requests: resources.requests, restartable },
                ContainerRequests { requests: resources.limits, restartable },
            )
        })
        .unzip();
    ContainerAmounts { requests, limits }
}

impl ResourceRequirements {
    fn read(&self, at: &Path<'_>, faults: &mut Faults) -> Amounts {
        let mut requests = resource_list(&self.requests, &at.child("requests"), faults);
        let mut limits = resource_list(&self.limits, &at.child("limits"), faults);
        amounts::round(&mut requests);
        amounts::round(&mut limits);
        Amounts { requests, limits }
    }
}

impl ContainerPort {
    fn to_core(&self, on_host_network: bool, at: &Path<'_>, faults: &mut Faults) -> Option<HostPort> {
        let protocol = match self.protocol.as_str() {
            "" | "TCP" => Some(Protocol::Tcp),
            "UDP" => Some(Protocol::Udp),
            "SCTP" => Some(Protocol::Sctp),
            other => {
                faults.not_supported(&at.child("protocol"), other, &["SCTP", "TCP", "UDP"]);
                None
            }
        };
        let port = host_ports::host_port(self.host_port, self.container_port, on_host_network);
        let Ok(port) = u16::try_from(port) else {
            faults.invalid(&at.child("hostPort"), self.host_port, "must be between 1 and 65535, inclusive");
            return None;
        };
        let ip = if self.host_ip.is_empty() { HostPort::ANY_IP } else { &self.host_ip };
        (port > 0).then_some(HostPort { ip: ip.into(), protocol: protocol?, port })
    }
}
