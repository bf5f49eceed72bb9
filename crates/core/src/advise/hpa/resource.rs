//! The use of a resource (`cpu`, `memory`) by whole pods, as a metric of a HorizontalPodAutoscaler.
//!
//! ```yaml
//! - type: Resource
//!   resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}
//! ```
//!
//! The use of a pod is the sum of its containers; a pod has the metric only if all of its containers report the resource. The target is a use
//! in percent of the requests (`Utilization`) or an average per pod (`AverageValue`).
//!
//! # Utilization
//!
//! The use of all pods in percent of their requests, cut to a whole number, by the target. A container without a request for the resource
//! makes the metric fail, sidecars included; plain init containers do not count. Requests of the pod as a whole stand in for those of its
//! containers.
//!
//! # Pods that do not count
//!
//! - Pods that are being deleted or failed never do. Pending pods are not ready.
//! - The CPU of a pod counts, in the first five minutes, if the pod is ready and a full window was measured since it became so; later, unless it
//!   never was ready.
//! - A pod without metrics is taken to use all of its request when the others ask for fewer replicas, and nothing when they ask for more. So
//!   is a pod that is not ready when the others ask for more. If the answer would turn around by that, nothing changes.
//!
//! Source: `pkg/controller/podautoscaler/replica_calculator.go` (`GetResourceReplicas`, `GetRawResourceReplicas`, `calculateRequests`),
//! `metrics/client.go` (`getPodMetrics`).

use std::collections::BTreeMap;

use super::{
    calculate::{Groups, Proposed, Sample, Samples, by_average, by_utilization, clamped},
    context::Context,
    spec::{PodState, PodUsage, ResourceTarget},
};
use crate::{model::Name, work};

/// The proposal of the metric.
pub(super) fn propose(of: &Context<'_>, resource: &str, target: ResourceTarget) -> Result<Proposed, String> {
    by_use(of, resource, target, |usage| pod_use(usage, resource), |pod| pod_request(pod, resource))
}

/// The proposal by the use of a resource: that of a pod, or of a part of it.
pub(super) fn by_use(
    of: &Context<'_>,
    resource: &str,
    target: ResourceTarget,
    usage: impl Fn(&PodUsage) -> Option<i64>,
    request: impl Fn(&PodState) -> Result<i64, String>,
) -> Result<Proposed, String> {
    let found = of.usages();
    if found.is_empty() {
        return Err(format!("there are no metrics of the resource {resource} for pods of the target"));
    }
    work::spend_on(found.len());
    let mut samples = Samples::new();
    for pod in found {
        if let Some(milli) = usage(pod) {
            samples.insert(&pod.name, Sample { milli, timestamp: pod.timestamp, window: pod.window });
        }
    }
    let pods = of.pods()?;
    let groups = Groups::of(pods, &mut samples, resource, of.options, of.now);
    match target {
        ResourceTarget::Average(target) => by_average(of.basis(), &groups, samples, target),
        ResourceTarget::Utilization(target) => {
            let requests = || pods.iter().map(|pod| Ok((pod.name.clone(), request(pod)?))).collect();
            by_utilization(of.basis(), &groups, samples, requests, target)
        }
    }
}

/// The sum over the containers; `None` unless all of them report the resource.
fn pod_use(usage: &PodUsage, resource: &str) -> Option<i64> {
    let each = || usage.containers.iter().map(|(_, used)| used.get(resource).copied());
    let total: i128 = each().map(|used| used.map(i128::from)).sum::<Option<i128>>()?;
    (!usage.containers.is_empty()).then(|| clamped(total))
}

fn pod_request(pod: &PodState, resource: &str) -> Result<i64, String> {
    if let Some(requests) = &pod.pod_level {
        let request = requests.get(resource).copied();
        return request.ok_or_else(|| format!("pod {} as a whole has no request for {resource}", pod.name));
    }
    let each = pod.containers.iter().map(|(name, requests)| container_request(pod, name, requests, resource));
    each.map(|request| request.map(i128::from)).sum::<Result<i128, String>>().map(clamped)
}

/// The request of one container.
pub(super) fn container_request(
    pod: &PodState,
    container: &str,
    requests: &BTreeMap<Name, i64>,
    resource: &str,
) -> Result<i64, String> {
    requests.get(resource).copied().ok_or_else(|| {
        format!(
            "container {container} of pod {} has no request for {resource}: set one, or use another metric",
            pod.name
        )
    })
}
