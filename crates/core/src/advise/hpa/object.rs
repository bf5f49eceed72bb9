//! A metric of another object, such as the requests of an Ingress, as a metric of a HorizontalPodAutoscaler.
//!
//! ```yaml
//! - type: Object
//!   object:
//!     describedObject: {apiVersion: networking.k8s.io/v1, kind: Ingress, name: front}
//!     metric: {name: hits}
//!     target: {type: Value, value: "1k"}
//! ```
//!
//! `Value`: the ratio of value and target, times the pods that run and are ready. `AverageValue`: the value divided by the target, whatever
//! the pods do; the tolerance is that of the value per replica.
//!
//! Source: `pkg/controller/podautoscaler/replica_calculator.go` (`GetObjectMetricReplicas`, `GetObjectPerPodMetricReplicas`).

use super::{
    calculate::{Proposed, by_share, by_value},
    context::Context,
    spec::{CustomValue, MetricId, ObjectRef, ValueTarget},
};
use crate::work;

/// The reason for a target whose type and value do not agree.
pub(super) const NO_TARGET: &str = "the target has neither the value nor the averageValue that its type asks for";

/// The proposal of the metric.
pub(super) fn propose(
    of: &Context<'_>,
    object: &ObjectRef,
    metric: &MetricId,
    target: ValueTarget,
) -> Result<Proposed, String> {
    let usage = || value(of, object, metric);
    match target {
        ValueTarget::Neither => Err(NO_TARGET.into()),
        ValueTarget::Value(target) => by_value(of.basis(), usage()?, target, || of.ready()),
        ValueTarget::Average(target) => Ok(by_share(of.tolerances, usage()?, target, of.observed_replicas)),
    }
}

/// The one value of the metric.
fn value(of: &Context<'_>, object: &ObjectRef, metric: &MetricId) -> Result<i64, String> {
    work::spend_on(of.metrics.custom.len());
    let mut found = of.customs(metric).filter(|value| is_of(value, object, of.namespace));
    let what = || format!("the metric {} of {} {}/{}", metric.name, object.kind, of.namespace, object.name);
    let value = found.next().ok_or_else(|| format!("there is no value of {}", what()))?;
    if found.next().is_some() {
        return Err(format!("there is more than one value of {}: select one by its labels", what()));
    }
    Ok(value.milli)
}

fn is_of(value: &CustomValue, object: &ObjectRef, namespace: &str) -> bool {
    let is_group = match (&value.of.group, &object.group) {
        (Some(found), Some(wanted)) => found == wanted,
        _ => true,
    };
    if value.of.kind != object.kind || !is_group {
        return false;
    }
    if &*object.kind == "Namespace" && object.group.as_deref().unwrap_or_default().is_empty() {
        // Always that of the autoscaler: a reference does not leave the namespace.
        return *value.of.name == *namespace;
    }
    value.of.name == object.name && (value.namespace.is_empty() || *value.namespace == *namespace)
}
