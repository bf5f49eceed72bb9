//! The use of a resource by one container of each pod, as a metric of a HorizontalPodAutoscaler. Sidecars then do not count.
//!
//! ```yaml
//! - type: ContainerResource
//!   containerResource: {name: cpu, container: app, target: {type: Utilization, averageUtilization: 60}}
//! ```
//!
//! All is as for `Resource`, with the use and the request of the container alone. Requests of the pod as a whole do not matter. A pod without
//! such a container makes a target in percent fail.
//!
//! Source: `pkg/controller/podautoscaler/replica_calculator.go` (`calculatePodRequestsFromContainers`), `metrics/client.go`
//! (`getContainerMetrics`).

use super::{
    calculate::Proposed,
    context::Context,
    resource::{by_use, container_request},
    spec::ResourceTarget,
};

/// The proposal of the metric.
pub(super) fn propose(
    of: &Context<'_>,
    resource: &str,
    container: &str,
    target: ResourceTarget,
) -> Result<Proposed, String> {
    by_use(
        of,
        resource,
        target,
        |usage| usage.containers.iter().find(|(name, _)| **name == *container)?.1.get(resource).copied(),
        |pod| {
            let found = pod.containers.iter().find(|(name, _)| **name == *container);
            let (name, requests) = found.ok_or_else(|| format!("pod {} has no container {container}", pod.name))?;
            container_request(pod, name, requests, resource)
        },
    )
}
