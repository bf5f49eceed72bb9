//! Requests of a pod, computed from its containers.
//!
//! Source: `component-helpers/resource/helpers.go` (`PodRequests`, `AggregateContainerRequests`),
//! `pkg/scheduler/framework/types.go` (`PodInfo.CalculateResource`; 1.22: `calculateResource`).
//!
//! The sums are those of 1.34. 1.22 had neither sidecars nor pod-level amounts, so both releases agree on the objects that 1.22
//! could read, with one exception. 1.22 rounded each container's amount up to a whole unit before it summed, while 1.34 rounds the
//! sum. That shows only with fractions of a byte (the API server keeps `cpu` in whole thousandths).
//!
//! A running pod whose containers are resized in place holds other amounts than its spec requests: [`Held`]. 1.34 counts those on
//! the node (`UseStatusResources`, `determineContainerReqs`); 1.22 reads the spec alone. Neither release reads the status of the
//! pod to be placed, and 1.34.1 does not handle the resizing of pod-level amounts.
//! the status where the pod is the one to be placed, nor does 1.34.1 know of resizing pod-level amounts.

use super::{Name, Quantity, ResourceList, Resources, resources};

/// Requests of one container, and its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerRequests {
    /// `resources.requests`.
    pub requests: ResourceList,
    /// An init container with `restartPolicy: Always` (a sidecar): it keeps running beside the others.
    pub restartable: bool,
}

/// Requests of a whole pod, part by part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodRequests {
    /// The containers.
    pub containers: Vec<ContainerRequests>,
    /// The init containers, in their order.
    pub init_containers: Vec<ContainerRequests>,
    /// `spec.resources.requests` (since 1.32): it replaces the containers' requests of CPU, memory and huge pages.
    pub pod_level: ResourceList,
    /// `spec.overhead`: comes on top.
    pub overhead: ResourceList,
}

/// Amounts that a pod holds on its node while it is resized in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// All of it together, as in [`PodRequests::total`].
    pub requests: Resources,
    /// CPU and memory as scoring counts them, as in [`PodRequests::non_zero`].
    pub non_zero_requests: Resources,
}

/// Resources in the status of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerHolds {
    /// `resources.requests`: the amounts that it runs with.
    pub actual: ResourceList,
    /// `allocatedResources`: what its node has set aside for it.
    pub allocated: ResourceList,
}

impl ContainerHolds {
    /// Amounts that the container counts as, per resource: the highest of its request, its running amount and its allocated amount. Its
    /// request does not count if the node declared the resize impossible (`PodResizePending`, reason `Infeasible`).
    pub fn counted(&self, asked: &ResourceList, is_infeasible: bool) -> ResourceList {
        let mut counted = if is_infeasible { ResourceList::new() } else { asked.clone() };
        raise_to(&mut counted, &self.actual);
        raise_to(&mut counted, &self.allocated);
        counted
    }
}

impl PodRequests {
    /// Amounts that the pod holds on its node, and those that scoring counts there.
    pub fn held(&self) -> Held {
        Held { requests: self.total(), non_zero_requests: self.non_zero() }
    }

    /// Sum of the containers' requests, without pod-level amounts and overhead.
    pub fn of_containers(&self) -> ResourceList {
        self.containers_with(&ResourceList::new())
    }

    /// Amounts that the pod holds on its node.
    pub fn total(&self) -> Resources {
        self.sum(&ResourceList::new(), true)
    }

    /// Amounts that the scoring of other pods counts. A container without a CPU or memory request counts as
    /// [`resources::DEFAULT_MILLI_CPU_REQUEST`] or [`resources::DEFAULT_MEMORY_REQUEST`], unless there are pod-level amounts and any
    /// part of the pod requests that resource.
    pub fn non_zero(&self) -> Resources {
        let mut defaults = default_requests();
        if self.pod_level.keys().any(|name| may_stand_at_pod_level(name)) {
            let all = || self.containers.iter().chain(&self.init_containers).map(|c| &c.requests);
            defaults
                .retain(|name, _| !all().chain([&self.pod_level, &self.overhead]).any(|list| list.contains_key(name)));
        }
        let Resources { milli_cpu, memory, .. } = self.sum(&defaults, true);
        Resources { milli_cpu, memory, ..Resources::default() }
    }

    /// Amounts that the pod's own scoring counts: with these defaults, and without pod-level amounts, which `NodeResourcesFit` ignores
    /// when it scores.
    pub fn scored(&self) -> Resources {
        self.sum(&default_requests(), false)
    }

    /// The containers; then the pod-level amounts and the overhead.
    fn sum(&self, defaults: &ResourceList, with_pod_level: bool) -> Resources {
        let mut total = self.containers_with(defaults);
        if with_pod_level {
            let counted = self.pod_level.iter().filter(|(name, _)| may_stand_at_pod_level(name));
            total.extend(counted.map(|(name, amount)| (name.clone(), *amount)));
        }
        add(&mut total, &self.overhead);
        Resources::from_list(&total)
    }

    /// The sum of the containers and sidecars or, where it is higher, the largest step of the initialisation.
    fn containers_with(&self, defaults: &ResourceList) -> ResourceList {
        let own = |container: &ContainerRequests| {
            let mut list = container.requests.clone();
            for (name, amount) in defaults {
                list.entry(name.clone()).or_insert(*amount);
            }
            list
        };
        let mut total = ResourceList::new();
        for container in &self.containers {
            add(&mut total, &own(container));
        }
        let (mut sidecars, mut peak) = (ResourceList::new(), ResourceList::new());
        for init in &self.init_containers {
            let own = own(init);
            if init.restartable {
                add(&mut total, &own);
                add(&mut sidecars, &own);
                raise_to(&mut peak, &sidecars);
            } else {
                let mut step = sidecars.clone();
                add(&mut step, &own);
                raise_to(&mut peak, &step);
            }
        }
        raise_to(&mut total, &peak);
        total
    }
}

/// `true` if the amount of a resource may be set at the pod level (`IsSupportedPodLevelResource`).
pub fn may_stand_at_pod_level(name: &str) -> bool {
    name == resources::CPU || name == resources::MEMORY || name.starts_with(resources::HUGE_PAGES_PREFIX)
}

fn default_requests() -> ResourceList {
    [
        (Name::from(resources::CPU), Quantity::from_milli(resources::DEFAULT_MILLI_CPU_REQUEST)),
        (Name::from(resources::MEMORY), Quantity::from_units(resources::DEFAULT_MEMORY_REQUEST)),
    ]
    .into()
}

fn add(list: &mut ResourceList, other: &ResourceList) {
    for (name, amount) in other {
        let slot = list.entry(name.clone()).or_default();
        *slot = slot.saturating_add(*amount);
    }
}

fn raise_to(list: &mut ResourceList, other: &ResourceList) {
    for (name, amount) in other {
        list.entry(name.clone()).and_modify(|a| *a = (*a).max(*amount)).or_insert(*amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MI: i64 = 1024 * 1024;

    fn list(pairs: &[(&str, &str)]) -> ResourceList {
        pairs.iter().map(|(name, amount)| (Name::from(*name), amount.parse().unwrap())).collect()
    }

    fn container(pairs: &[(&str, &str)]) -> ContainerRequests {
        ContainerRequests { requests: list(pairs), restartable: false }
    }

    fn sidecar(pairs: &[(&str, &str)]) -> ContainerRequests {
        ContainerRequests { requests: list(pairs), restartable: true }
    }

    #[test]
    fn the_highest_step_of_initialisation_counts_where_it_exceeds_the_sum() {
        let pod = PodRequests {
            containers: vec![container(&[("cpu", "2"), ("memory", "1Gi")]), container(&[("cpu", "1")])],
            init_containers: vec![container(&[("cpu", "2"), ("memory", "3Gi"), ("example.com/foo", "1")])],
            overhead: list(&[("cpu", "250m")]),
            ..PodRequests::default()
        };
        let total = pod.total();
        // cpu max(2+1, 2) + 0.25, memory max(1Gi, 3Gi), foo max(0, 1)
        assert_eq!((total.milli_cpu, total.memory, total.get("example.com/foo")), (3250, 3 << 30, 1));
    }

    #[test]
    fn sidecars_add_to_later_containers() {
        let pod = PodRequests {
            containers: vec![container(&[("cpu", "1")])],
            init_containers: vec![
                container(&[("cpu", "4")]),
                sidecar(&[("cpu", "500m")]),
                container(&[("cpu", "3800m")]),
                sidecar(&[("cpu", "200m")]),
            ],
            ..PodRequests::default()
        };
        // running: 1 + 0.5 + 0.2; steps: 4, 0.5, 0.5+3.8, 0.7
        assert_eq!(pod.total().milli_cpu, 4300);
    }

    #[test]
    fn sums_are_rounded_once() {
        let pod = PodRequests {
            containers: vec![container(&[("memory", "100m")]), container(&[("memory", "100m")])],
            ..PodRequests::default()
        };
        // 0.1 + 0.1 bytes → 1
        assert_eq!(pod.total().memory, 1);
    }

    #[test]
    fn missing_requests_count_with_defaults() {
        let pod = PodRequests {
            containers: vec![container(&[("cpu", "0")]), container(&[("memory", "1Mi")])],
            init_containers: vec![container(&[])],
            overhead: list(&[("cpu", "50m")]),
            ..PodRequests::default()
        };
        // cpu max(0+100, 100) + 50, memory max(200Mi+1Mi, 200Mi)
        assert_eq!((pod.non_zero().milli_cpu, pod.non_zero().memory), (150, 201 * MI));
        assert_eq!(pod.scored(), pod.non_zero());
        assert_eq!((pod.total().milli_cpu, pod.total().memory), (50, MI));
    }

    #[test]
    fn resized_container_counts_its_highest_amount_of_each_resource() {
        let holds = ContainerHolds {
            actual: list(&[("cpu", "3"), ("memory", "1Gi")]),
            allocated: list(&[("cpu", "2"), ("memory", "2Gi")]),
        };
        let asked = list(&[("cpu", "4"), ("memory", "1Gi"), ("example.com/foo", "1")]);
        // cpu max(4, 3, 2), memory max(1, 1, 2), foo is only asked for
        let expected = list(&[("cpu", "4"), ("memory", "2Gi"), ("example.com/foo", "1")]);
        assert_eq!(holds.counted(&asked, false), expected);
        // without what is asked for: cpu max(3, 2), memory max(1, 2)
        assert_eq!(holds.counted(&asked, true), list(&[("cpu", "3"), ("memory", "2Gi")]));
    }

    #[test]
    fn pod_level_amounts_replace_those_of_containers() {
        let pod = PodRequests {
            containers: vec![container(&[("cpu", "1"), ("ephemeral-storage", "1Gi")]), container(&[])],
            pod_level: list(&[("cpu", "500m"), ("ephemeral-storage", "9Gi"), ("hugepages-2Mi", "4Mi")]),
            overhead: list(&[("cpu", "100m")]),
            ..PodRequests::default()
        };
        let total = pod.total();
        // 500 + 100; ephemeral storage cannot stand at pod level
        assert_eq!((total.milli_cpu, total.ephemeral_storage, total.get("hugepages-2Mi")), (600, 1 << 30, 4 * MI));
        // cpu is asked for, so no default; memory nowhere, so 200Mi for each of the two containers
        assert_eq!((pod.non_zero().milli_cpu, pod.non_zero().memory), (600, 400 * MI));
        // the pod's own score looks at containers alone: 1000 + 100 (default) + 100
        assert_eq!((pod.scored().milli_cpu, pod.scored().get("hugepages-2Mi")), (1200, 0));
    }
}
