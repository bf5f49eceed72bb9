//! A metric that each pod has (`custom.metrics.k8s.io`), as a metric of a HorizontalPodAutoscaler.
//!
//! ```yaml
//! - type: Pods
//!   pods: {metric: {name: requests_per_second}, target: {type: AverageValue, averageValue: "100"}}
//! ```
//!
//! The average over the pods by the target. Pods without the metric count as exactly the target when the others ask for fewer replicas, and as
//! nothing when they ask for more. Pending pods are not ready; of others, readiness does not matter.
//!
//! Source: `pkg/controller/podautoscaler/replica_calculator.go` (`GetMetricReplicas`, `calcPlainMetricReplicas`), `metrics/client.go`
//! (`GetRawMetric`).

use super::{
    calculate::{Groups, Proposed, Sample, Samples, by_average},
    context::Context,
    spec::MetricId,
};
use crate::work;

/// The proposal of the metric.
pub(super) fn propose(of: &Context<'_>, metric: &MetricId, target: i64) -> Result<Proposed, String> {
    let found = of.customs(metric).filter(|value| {
        let is_pod = &*value.of.kind == "Pod" && value.of.group.as_deref().unwrap_or_default().is_empty();
        is_pod && value.namespace == *of.namespace && of.is_selected(&value.of.name, None)
    });
    work::spend_on(of.metrics.custom.len());
    let mut samples: Samples<'_> =
        found.map(|value| (&*value.of.name, Sample { milli: value.milli, timestamp: 0, window: 0 })).collect();
    if samples.is_empty() {
        return Err(format!("there are no values of the metric {} for pods of the target", metric.name));
    }
    let groups = Groups::of(of.pods()?, &mut samples, "", of.options, of.now);
    by_average(of.basis(), &groups, samples, target)
}
