//! A metric of something outside of the cluster, such as the length of a queue, as a metric of a HorizontalPodAutoscaler.
//!
//! ```yaml
//! - type: External
//!   external:
//!     metric: {name: queue_depth, selector: {matchLabels: {queue: orders}}}
//!     target: {type: AverageValue, averageValue: "30"}
//! ```
//!
//! The values of all selected series are added. `AverageValue`: the sum divided by the target, whatever the pods do; the tolerance is that of
//! the sum per replica. `Value`: the ratio of sum and target, times the pods that run and are ready. A metric without a selector selects
//! nothing, so that it fails.
//!
//! Source: `pkg/controller/podautoscaler/replica_calculator.go` (`GetExternalMetricReplicas`, `GetExternalPerPodMetricReplicas`),
//! `apimachinery/pkg/apis/meta/v1/helpers.go` (`LabelSelectorAsSelector`).

use super::{
    calculate::{Proposed, by_share, by_value},
    context::Context,
    object::NO_TARGET,
    spec::{MetricId, ValueTarget},
};
use crate::work;

/// The proposal of the metric.
pub(super) fn propose(of: &Context<'_>, metric: &MetricId, target: ValueTarget) -> Result<Proposed, String> {
    match target {
        ValueTarget::Neither => Err(NO_TARGET.into()),
        ValueTarget::Value(target) => by_value(of.basis(), sum(of, metric)?, target, || of.ready()),
        ValueTarget::Average(target) => Ok(by_share(of.tolerances, sum(of, metric)?, target, of.observed_replicas)),
    }
}

/// The sum over the selected series, cut at the largest amount.
fn sum(of: &Context<'_>, metric: &MetricId) -> Result<i64, String> {
    let name = &metric.name;
    let Some(selector) = &metric.selector else {
        return Err(format!("the external metric {name} has no selector, which selects nothing: set metric.selector"));
    };
    work::spend_on(of.metrics.external.len());
    let found = of.metrics.external.iter().filter(|value| value.metric == *name && selector.matches(&value.labels));
    found
        .map(|value| value.milli)
        .reduce(i64::saturating_add)
        .ok_or_else(|| format!("there are no values of the external metric {name} whose labels are selected"))
}
