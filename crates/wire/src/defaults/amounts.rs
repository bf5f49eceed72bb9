//! Amounts of containers, and pod-level amounts.
//!
//! - A container with a limit of a resource and no request has the limit as its request.
//! - A pod with pod-level limits and no pod-level request requests the sum of its containers' requests of CPU and memory; for resources
//!   that no container requests, its limit.
//! - A pod with pod-level amounts is limited in huge pages to the sum of its containers' limits, if it has neither a request nor a limit of
//!   them.
//! - Requests and limits are whole thousandths: finer ones are rounded up.
//!
//! Source: `pkg/apis/core/v1/defaults.go` (`SetDefaults_Pod`, `defaultPodRequests`, `defaultHugePagePodLimits`,
//! `SetDefaults_ResourceList`).

use podberth_core::model::{PodRequests, ResourceList, may_stand_at_pod_level, resources};

/// Requests and limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Requests of the container or the pod.
    pub requests: ResourceList,
    /// Limits.
    pub limits: ResourceList,
}

/// Rounds each amount up to whole thousandths.
pub fn round(list: &mut ResourceList) {
    for amount in list.values_mut() {
        *amount = amount.rounded_to_milli();
    }
}

/// Fills in the requests of a container.
pub fn of_container(amounts: &mut Amounts) {
    for (name, limit) in &amounts.limits {
        amounts.requests.entry(name.clone()).or_insert(*limit);
    }
}

/// Fills in the amounts of a pod as a whole. `requests` and `limits` are those of its containers, filled in.
pub fn of_pod(pod: &mut Amounts, requests: &PodRequests, limits: &PodRequests) {
    if pod.limits.is_empty() && pod.requests.is_empty() {
        return;
    }
    for (name, limit) in limits.of_containers() {
        if name.starts_with(resources::HUGE_PAGES_PREFIX) && !pod.requests.contains_key(&name) {
            pod.limits.entry(name).or_insert(limit);
        }
    }
    if pod.limits.is_empty() {
        return;
    }
    for (name, request) in requests.of_containers() {
        if *name == *resources::CPU || *name == *resources::MEMORY {
            pod.requests.entry(name).or_insert(request);
        }
    }
    for (name, limit) in pod.limits.iter().filter(|(name, _)| may_stand_at_pod_level(name)) {
        pod.requests.entry(name.clone()).or_insert(*limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podberth_core::model::{ContainerRequests, Name};

    fn list(pairs: &[(&str, &str)]) -> ResourceList {
        pairs.iter().map(|(name, amount)| (Name::from(*name), amount.parse().unwrap())).collect()
    }

    fn containers(lists: &[&[(&str, &str)]]) -> PodRequests {
        let one = |pairs: &&[(&str, &str)]| ContainerRequests { requests: list(pairs), restartable: false };
        PodRequests { containers: lists.iter().map(one).collect(), ..PodRequests::default() }
    }

    type Pairs = &'static [(&'static str, &'static str)];
    /// Requests and limits of the pod; those of its containers; the pod's requests filled in.
    type Case = ([Pairs; 2], [&'static [Pairs]; 2], Pairs);

    #[test]
    fn pod_level_requests_come_from_the_containers_before_the_limits() {
        let cases: &[Case] = &[
            // 500m + 250m of the containers, not the limit
            ([&[], &[("cpu", "3")]], [&[&[("cpu", "500m")], &[("cpu", "250m")]], &[]], &[("cpu", "750m")]),
            // no container requests memory: the limit
            ([&[], &[("cpu", "3"), ("memory", "1Gi")]], [&[&[("cpu", "1")]], &[]], &[("cpu", "1"), ("memory", "1Gi")]),
            // a limit on memory alone makes a request of CPU too
            ([&[], &[("memory", "1Gi")]], [&[&[("cpu", "1")]], &[]], &[("cpu", "1"), ("memory", "1Gi")]),
            // what is said stays; without limits nothing is filled in
            ([&[("cpu", "2")], &[("cpu", "3")]], [&[&[("cpu", "1")]], &[]], &[("cpu", "2")]),
            ([&[("cpu", "2")], &[]], [&[&[("memory", "1Gi")]], &[]], &[("cpu", "2")]),
            ([&[], &[]], [&[&[("cpu", "1")]], &[]], &[]),
            // extended resources and storage cannot stand at pod level
            (
                [&[], &[("cpu", "3"), ("ephemeral-storage", "9Gi")]],
                [&[&[("example.com/foo", "1")]], &[]],
                &[("cpu", "3")],
            ),
            // huge pages: 4Mi + 2Mi of the containers' limits become the pod's limit, and that its request
            (
                [&[("cpu", "1")], &[]],
                [&[&[("hugepages-2Mi", "6Mi")]], &[&[("hugepages-2Mi", "4Mi")], &[("hugepages-2Mi", "2Mi")]]],
                &[("cpu", "1"), ("hugepages-2Mi", "6Mi")],
            ),
            // huge pages that the pod requests are not limited by the containers
            (
                [&[("hugepages-2Mi", "8Mi")], &[]],
                [&[&[("hugepages-2Mi", "6Mi")]], &[&[("hugepages-2Mi", "6Mi")]]],
                &[("hugepages-2Mi", "8Mi")],
            ),
        ];
        for ([requests, limits], [of_containers, limits_of_containers], expected) in cases {
            let mut pod = Amounts { requests: list(requests), limits: list(limits) };
            of_pod(&mut pod, &containers(of_containers), &containers(limits_of_containers));
            assert_eq!(pod.requests, list(expected), "{requests:?} {limits:?} {of_containers:?}");
        }
    }

    #[test]
    fn a_missing_request_equals_the_limit() {
        let mut amounts =
            Amounts { requests: list(&[("cpu", "1")]), limits: list(&[("cpu", "2"), ("example.com/foo", "1")]) };
        of_container(&mut amounts);
        assert_eq!(amounts.requests, list(&[("cpu", "1"), ("example.com/foo", "1")]));
    }
}
