//! Metrics in the shapes of `metrics.k8s.io`, `custom.metrics.k8s.io` and `external.metrics.k8s.io`.
//!
//! Source: `k8s.io/metrics/pkg/apis/{metrics/v1beta1,custom_metrics/v1beta2,external_metrics/v1beta1}/types.go`.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::amounts::milli;
use crate::{
    fault::{Faults, Path},
    objects::{
        meta::{LabelSelector, ObjectMeta, instant},
        quantity::QuantityText,
    },
};
use podberth_core::{
    advise::hpa::{CustomValue, ExternalValue, ObjectRef, PodUsage},
    model::{Labels, Name},
    work,
};

/// The measured use of a pod (`PodMetrics` of `metrics.k8s.io/v1beta1`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodMetrics {
    /// Name and namespace of the pod. Its labels select it; without any, those of the pod do.
    pub metadata: ObjectMeta,
    /// The end of the measured time, RFC 3339.
    pub timestamp: String,
    /// The length of the measured time, as in `30s`.
    #[schema(example = "30s")]
    pub window: String,
    /// The use of each container.
    pub containers: Vec<ContainerUsage>,
}

/// The measured use of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerUsage {
    /// The container.
    pub name: String,
    /// The use by resource.
    pub usage: BTreeMap<String, QuantityText>,
}

/// A measured value of an object (`MetricValue` of `custom.metrics.k8s.io/v1beta2`; `v1beta1` is read too).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricValue {
    /// The object.
    pub described_object: DescribedObject,
    /// The metric.
    pub metric: MetricName,
    /// The metric's name in `v1beta1`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metric_name: String,
    /// The time of the value, RFC 3339.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The value.
    pub value: QuantityText,
}

/// An object that a metric is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribedObject {
    /// Its group and version.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The name of a metric, and the labels of its series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricName {
    /// The name.
    pub name: String,
    /// The labels, as `matchLabels`.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// A measured value of something outside of the cluster (`ExternalMetricValue` of `external.metrics.k8s.io/v1beta1`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalMetricValue {
    /// The metric's name.
    pub metric_name: String,
    /// The labels of the series.
    pub metric_labels: BTreeMap<String, String>,
    /// The time of the value, RFC 3339.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The value.
    pub value: QuantityText,
}

/// The measured use of pods, checked. A namespace that is absent is `namespace`.
pub fn pod_usages(list: &[PodMetrics], namespace: &str, at: &Path<'_>, faults: &mut Faults) -> Vec<PodUsage> {
    work::spend_on(list.len().saturating_mul(8));
    let mut usages = Vec::with_capacity(list.len());
    for (i, pod) in list.iter().enumerate() {
        let at = at.index(i);
        named(&pod.metadata.name, &at.child("metadata").child("name"), faults);
        let labels = &pod.metadata.labels;
        usages.push(PodUsage {
            namespace: or(&pod.metadata.namespace, namespace),
            name: pod.metadata.name.as_str().into(),
            labels: (!labels.is_empty()).then(|| labels_of(labels)),
            timestamp: instant(&pod.timestamp, &at.child("timestamp"), faults).unwrap_or_default(),
            window: window(&pod.window, &at.child("window"), faults),
            containers: pod
                .containers
                .iter()
                .enumerate()
                .map(|(i, container)| {
                    let at = at.child("containers");
                    let at = at.index(i);
                    let at = at.child("usage");
                    let of = |(resource, text): (&String, &QuantityText)| {
                        Some((resource.as_str().into(), milli(text, &at.key(resource), faults)?))
                    };
                    (container.name.as_str().into(), container.usage.iter().filter_map(of).collect())
                })
                .collect(),
        });
    }
    usages
}

/// The measured values of objects, checked. A namespace that is absent is `namespace`.
pub fn custom_values(list: &[MetricValue], namespace: &str, at: &Path<'_>, faults: &mut Faults) -> Vec<CustomValue> {
    work::spend_on(list.len().saturating_mul(4));
    let mut values = Vec::with_capacity(list.len());
    for (i, value) in list.iter().enumerate() {
        let at = at.index(i);
        let MetricValue { described_object: of, metric, metric_name, timestamp, value } = value;
        let name = if metric.name.is_empty() { metric_name } else { &metric.name };
        named(name, &at.child("metric").child("name"), faults);
        let of_at = at.child("describedObject");
        named(&of.kind, &of_at.child("kind"), faults);
        named(&of.name, &of_at.child("name"), faults);
        timed(timestamp.as_deref(), &at, faults);
        let Some(milli) = milli(value, &at.child("value"), faults) else { continue };
        values.push(CustomValue {
            of: ObjectRef {
                group: group(&of.api_version),
                kind: of.kind.as_str().into(),
                name: of.name.as_str().into(),
            },
            namespace: or(&of.namespace, namespace),
            metric: name.as_str().into(),
            labels: metric.selector.as_ref().map(|selector| labels_of(&selector.match_labels)).unwrap_or_default(),
            milli,
        });
    }
    values
}

/// The measured values of things outside of the cluster, checked.
pub fn external_values(list: &[ExternalMetricValue], at: &Path<'_>, faults: &mut Faults) -> Vec<ExternalValue> {
    work::spend_on(list.len().saturating_mul(4));
    let mut values = Vec::with_capacity(list.len());
    for (i, value) in list.iter().enumerate() {
        let at = at.index(i);
        named(&value.metric_name, &at.child("metricName"), faults);
        timed(value.timestamp.as_deref(), &at, faults);
        let Some(milli) = milli(&value.value, &at.child("value"), faults) else { continue };
        let metric = value.metric_name.as_str().into();
        values.push(ExternalValue { metric, labels: labels_of(&value.metric_labels), milli });
    }
    values
}

/// The group of an API version (`networking.k8s.io/v1`, `v1`); `None` for an empty one.
pub(super) fn group(api_version: &str) -> Option<Name> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    (!api_version.is_empty()).then(|| group.into())
}

fn labels_of(labels: &BTreeMap<String, String>) -> Labels {
    labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

fn or(namespace: &str, other: &str) -> Name {
    if namespace.is_empty() { other } else { namespace }.into()
}

fn named(name: &str, at: &Path<'_>, faults: &mut Faults) {
    if name.is_empty() {
        faults.required(at, "");
    }
}

fn timed(timestamp: Option<&str>, at: &Path<'_>, faults: &mut Faults) {
    if let Some(text) = timestamp {
        instant(text, &at.child("timestamp"), faults);
    }
}

/// A length of time as Go writes it (`1m0s`), in nanoseconds; an empty text is none.
fn window(text: &str, at: &Path<'_>, faults: &mut Faults) -> i64 {
    if text.is_empty() {
        return 0;
    }
    match text.parse::<SignedDuration>() {
        Ok(window) if !window.is_negative() => i64::try_from(window.as_nanos()).unwrap_or(i64::MAX),
        _ => {
            faults.invalid(at, text, "must be a length of time that is not negative, as in 30s or 1m0s");
            0
        }
    }
}
