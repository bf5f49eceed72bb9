//! From a HorizontalPodAutoscaler as it is written to the one that the engine reads: its defaults, and what is wrong with it.
//!
//! Source: `pkg/apis/autoscaling/v2/defaults.go`, `pkg/apis/autoscaling/validation/validation.go`.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    amounts::{approximate, milli},
    metrics::group,
    spec::{
        Behavior, Condition, Identifier, Metric, Policy, Reference, ResourceSource, Rules, Source, Target, Written,
    },
};
use crate::{
    decode,
    fault::{Cause, Faults, Path},
    objects::{meta::instant, quantity::QuantityText},
};
use podberth_core::{
    advise::{hpa as core, plan::Workload},
    model::{Name, resources},
};

/// The group, version and kind that are read.
const API_VERSION: &str = "autoscaling/v2";
const KIND: &str = "HorizontalPodAutoscaler";

/// The most seconds of a policy's period (`MaxPeriodSeconds`).
const MAX_PERIOD: i32 = 1_800;
/// The most seconds of a stabilization window (`MaxStabilizationWindowSeconds`).
const MAX_WINDOW: i32 = 3_600;
/// The most metrics of an autoscaler, and policies of a direction. Kubernetes has no limit.
const MOST: usize = 100;

const METRIC_TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

/// The status of an object, as written.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WithStatus {
    status: Value,
}

/// A HorizontalPodAutoscaler that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Hpa {
    /// As the engine reads it.
    pub core: core::Autoscaler,
    /// The status before.
    pub before: core::Before,
    /// The status before, as written; null for none.
    pub status: Value,
    /// `status.lastScaleTime`, as written.
    pub last_scaled: Option<String>,
    /// The metrics as they are written, in the order of the engine's.
    pub(super) metrics: Vec<Metric>,
    /// The reference to the target.
    pub(super) target: Reference,
}

impl Hpa {
    /// Reads and checks the JSON of one.
    ///
    /// # Errors
    /// All faults, by their fields.
    pub fn parse(json: &RawValue) -> Result<Self, Vec<Cause>> {
        let read = decode::from_slice::<Written>(json.get().as_bytes());
        let written = read.map_err(|error| {
            let error = error.without_place();
            let reason = "FieldValueInvalid".to_owned();
            vec![Cause { field: error.field, reason, message: error.message, unreadable: true }]
        })?;
        let mut faults = Faults::default();
        let status = serde_json::from_str::<WithStatus>(json.get()).map(|of| of.status).unwrap_or_default();
        let hpa = Self { status, ..read_all(written, &mut faults) };
        if faults.count() == 0 { Ok(hpa) } else { Err(faults.into_causes()) }
    }

    /// The target.
    pub fn workload(&self) -> Workload {
        let core::Autoscaler { namespace, target, .. } = &self.core;
        Workload { kind: target.kind.clone(), namespace: namespace.clone(), name: target.name.clone() }
    }

    /// The API version of the target, its kind and its name.
    pub fn target(&self) -> (&str, &str, &str) {
        (&self.target.api_version, &self.target.kind, &self.target.name)
    }
}

fn read_all(written: Written, faults: &mut Faults) -> Hpa {
    let Written { api_version, kind, metadata, spec, status } = written;
    let root = Path::ROOT;
    if !api_version.is_empty() && api_version != API_VERSION {
        faults.not_supported(&root.child("apiVersion"), &api_version, &[API_VERSION]);
    }
    if !kind.is_empty() && kind != KIND {
        faults.not_supported(&root.child("kind"), &kind, &[KIND]);
    }
    let (metadata_at, at) = (root.child("metadata"), root.child("spec"));
    if metadata.name.is_empty() {
        faults.required(&metadata_at.child("name"), "");
    }
    let min = spec.min_replicas.unwrap_or(1);
    if min < 1 {
        faults.invalid(&at.child("minReplicas"), min, "must be greater than or equal to 1");
    }
    if spec.max_replicas == 0 {
        faults.required(&at.child("maxReplicas"), "must be set and greater than 0");
    } else if spec.max_replicas < 0 {
        faults.invalid(&at.child("maxReplicas"), spec.max_replicas, "must be greater than or equal to 1");
    } else if spec.max_replicas < min {
        faults.invalid(&at.child("maxReplicas"), spec.max_replicas, "must be greater than or equal to `minReplicas`");
    }
    reference(&spec.scale_target_ref, &at.child("scaleTargetRef"), faults);
    let metrics_at = at.child("metrics");
    let metrics = if spec.metrics.is_empty() { vec![default_metric()] } else { spec.metrics };
    if metrics.len() > MOST {
        faults.too_many(&metrics_at, format!("Too many: {}: must have at most {MOST} items", metrics.len()));
    }
    let read = metrics.iter().enumerate().filter_map(|(i, one)| metric(one, &metrics_at.index(i), faults)).collect();
    let behavior = spec.behavior.as_ref().map(|written| behavior(written, &at.child("behavior"), faults));
    let namespace = if metadata.namespace.is_empty() { "default" } else { &metadata.namespace };
    let status_at = root.child("status");
    let conditions_at = status_at.child("conditions");
    let conditions =
        status.conditions.iter().enumerate().filter_map(|(i, one)| condition(one, &conditions_at.index(i), faults));
    Hpa {
        before: core::Before { desired: status.desired_replicas, conditions: conditions.collect() },
        status: Value::Null,
        last_scaled: status.last_scale_time,
        core: core::Autoscaler {
            namespace: namespace.into(),
            name: metadata.name.as_str().into(),
            target: core::Target {
                kind: spec.scale_target_ref.kind.as_str().into(),
                name: spec.scale_target_ref.name.as_str().into(),
            },
            min,
            max: spec.max_replicas,
            metrics: read,
            behavior,
        },
        metrics,
        target: spec.scale_target_ref,
    }
}

fn reference(of: &Reference, at: &Path<'_>, faults: &mut Faults) {
    for (field, value) in [("kind", &of.kind), ("name", &of.name)] {
        if value.is_empty() {
            faults.required(&at.child(field), "");
        }
    }
    if of.api_version.matches('/').count() > 1 {
        let rule = format!("unexpected GroupVersion string: {}", of.api_version);
        faults.invalid(&at.child("apiVersion"), &of.api_version, rule);
    }
}

/// The metric of an autoscaler that names none.
fn default_metric() -> Metric {
    let target = Target { kind: "Utilization".into(), average_utilization: Some(80), ..Target::default() };
    let resource = ResourceSource { name: resources::CPU.into(), target, ..ResourceSource::default() };
    Metric { kind: "Resource".into(), resource: Some(resource), ..Metric::default() }
}

fn metric(of: &Metric, at: &Path<'_>, faults: &mut Faults) -> Option<core::Metric> {
    let present = [
        ("containerResource", of.container_resource.is_some()),
        ("external", of.external.is_some()),
        ("object", of.object.is_some()),
        ("pods", of.pods.is_some()),
        ("resource", of.resource.is_some()),
    ];
    let Some((field, _)) = present.iter().zip(METRIC_TYPES).find(|(_, name)| *name == of.kind).map(|(one, _)| one)
    else {
        if of.kind.is_empty() {
            faults.required(&at.child("type"), "must specify a metric source type");
        } else {
            faults.not_supported(&at.child("type"), &of.kind, &METRIC_TYPES);
        }
        return None;
    };
    for (other, is_there) in present {
        if is_there && other != *field {
            faults.forbidden(&at.child(other), "must populate the given metric source only");
        }
    }
    let at = at.child(field);
    let missing = || "must populate information for the given metric source";
    let metric = match of.kind.as_str() {
        "Resource" => of.resource.as_ref().map(|source| resource(source, false, &at, faults)),
        "ContainerResource" => of.container_resource.as_ref().map(|source| resource(source, true, &at, faults)),
        "Pods" => of.pods.as_ref().map(|source| pods(source, &at, faults)),
        "Object" => of.object.as_ref().map(|source| object(source, &at, faults)),
        _ => of.external.as_ref().map(|source| external(source, &at, faults)),
    };
    metric.unwrap_or_else(|| {
        faults.required(&at, missing());
        None
    })
}

fn resource(of: &ResourceSource, is_container: bool, at: &Path<'_>, faults: &mut Faults) -> Option<core::Metric> {
    if of.name.is_empty() {
        faults.required(&at.child("name"), "must specify a resource name");
    }
    if is_container && of.container.is_empty() {
        faults.required(&at.child("container"), "must specify a container");
    }
    let target_at = at.child("target");
    let amounts = target(&of.target, &target_at, faults);
    let target = match (amounts.utilization, amounts.average) {
        (Some(_), Some(_)) => {
            let why = "may not set both a target raw value and a target utilization";
            faults.forbidden(&target_at.child("averageValue"), why);
            return None;
        }
        (Some(percent), None) => core::ResourceTarget::Utilization(percent),
        (None, Some(average)) => core::ResourceTarget::Average(average),
        (None, None) => {
            if of.target.average_value.is_none() && of.target.average_utilization.is_none() {
                let why = "must set either a target raw value or a target utilization";
                faults.required(&target_at.child("averageUtilization"), why);
            }
            return None;
        }
    };
    let name = Name::from(of.name.as_str());
    Some(if is_container {
        core::Metric::ContainerResource { name, container: of.container.as_str().into(), target }
    } else {
        core::Metric::Resource { name, target }
    })
}

fn pods(of: &Source, at: &Path<'_>, faults: &mut Faults) -> Option<core::Metric> {
    let target_at = at.child("target");
    let metric = identifier(&of.metric, &at.child("metric"), faults);
    let average = target(&of.target, &target_at, faults).average;
    if of.target.average_value.is_none() {
        faults.required(&target_at.child("averageValue"), "must specify a positive target averageValue");
    }
    Some(core::Metric::Pods { metric: metric?, average: average? })
}

fn object(of: &Source, at: &Path<'_>, faults: &mut Faults) -> Option<core::Metric> {
    let target_at = at.child("target");
    let described = &of.described_object;
    reference(described, &at.child("describedObject"), faults);
    let metric = identifier(&of.metric, &at.child("metric"), faults);
    let amounts = target(&of.target, &target_at, faults);
    if of.target.value.is_none() && of.target.average_value.is_none() {
        faults.required(&target_at.child("averageValue"), "must set either a target value or averageValue");
    }
    let target = match (of.target.kind.as_str(), amounts.value, amounts.average) {
        ("Value", Some(value), _) => core::ValueTarget::Value(value),
        ("AverageValue", _, Some(average)) => core::ValueTarget::Average(average),
        _ => core::ValueTarget::Neither,
    };
    let object = core::ObjectRef {
        group: group(&described.api_version),
        kind: described.kind.as_str().into(),
        name: described.name.as_str().into(),
    };
    Some(core::Metric::Object { of: object, metric: metric?, target })
}

fn external(of: &Source, at: &Path<'_>, faults: &mut Faults) -> Option<core::Metric> {
    let target_at = at.child("target");
    let metric = identifier(&of.metric, &at.child("metric"), faults);
    let amounts = target(&of.target, &target_at, faults);
    match (&of.target.value, &of.target.average_value) {
        (None, None) => {
            let why = "must set either a target value for metric or a per-pod target";
            faults.required(&target_at.child("averageValue"), why);
        }
        (Some(_), Some(_)) => {
            let why = "may not set both a target value for metric and a per-pod target";
            faults.forbidden(&target_at.child("value"), why);
        }
        _ => {}
    }
    let target = match (amounts.average, amounts.value) {
        (Some(average), _) => core::ValueTarget::Average(average),
        (None, Some(value)) => core::ValueTarget::Value(value),
        (None, None) => core::ValueTarget::Neither,
    };
    Some(core::Metric::External { metric: metric?, target })
}

fn identifier(of: &Identifier, at: &Path<'_>, faults: &mut Faults) -> Option<core::MetricId> {
    if of.name.is_empty() {
        faults.required(&at.child("name"), "must specify a metric name");
    } else if let Err(rule) = crate::objects::names::path_segment(&of.name) {
        faults.invalid(&at.child("name"), &of.name, rule);
    }
    let selector = match &of.selector {
        None => None,
        Some(selector) => Some(selector.to_core(&at.child("selector"), faults)?),
    };
    Some(core::MetricId { name: of.name.as_str().into(), selector })
}

/// The amounts of a target.
struct Amounts {
    value: Option<i64>,
    average: Option<i64>,
    utilization: Option<i32>,
}

fn target(of: &Target, at: &Path<'_>, faults: &mut Faults) -> Amounts {
    if of.kind.is_empty() {
        faults.required(&at.child("type"), "must specify a metric target type");
    } else if !["Utilization", "Value", "AverageValue"].contains(&of.kind.as_str()) {
        faults.invalid(&at.child("type"), &of.kind, "must be either Utilization, Value, or AverageValue");
    }
    let positive = |text: &Option<QuantityText>, field: &str, faults: &mut Faults| {
        let (text, at) = (text.as_ref()?, at.child(field));
        let amount = milli(text, &at, faults)?;
        if amount == 0 {
            faults.invalid(&at, &text.0, "must be positive");
            return None;
        }
        Some(amount)
    };
    let utilization = of.average_utilization.filter(|percent| {
        if *percent < 1 {
            faults.invalid(&at.child("averageUtilization"), percent, "must be greater than 0");
        }
        *percent >= 1
    });
    Amounts {
        value: positive(&of.value, "value", faults),
        average: positive(&of.average_value, "averageValue", faults),
        utilization,
    }
}

fn behavior(of: &Behavior, at: &Path<'_>, faults: &mut Faults) -> core::Behavior {
    let policy = |kind, value| core::Policy { kind, value, period_seconds: 15 };
    let percent = policy(core::PolicyKind::Percent, 100);
    core::Behavior {
        up: rules(
            of.scale_up.as_ref(),
            Some(0),
            vec![policy(core::PolicyKind::Pods, 4), percent],
            &at.child("scaleUp"),
            faults,
        ),
        down: rules(of.scale_down.as_ref(), None, vec![percent], &at.child("scaleDown"), faults),
    }
}

/// The rules of a direction; a field that is absent has the default.
fn rules(
    of: Option<&Rules>,
    window: Option<i32>,
    policies: Vec<core::Policy>,
    at: &Path<'_>,
    faults: &mut Faults,
) -> core::Rules {
    let default = core::Rules { window_seconds: window, select: core::Select::Max, policies, tolerance: None };
    let Some(of) = of else { return default };
    if let Some(window) = of.stabilization_window_seconds {
        let at = at.child("stabilizationWindowSeconds");
        if window < 0 {
            faults.invalid(&at, window, "must be greater than or equal to zero");
        } else if window > MAX_WINDOW {
            faults.invalid(&at, window, format!("must be less than or equal to {MAX_WINDOW}"));
        }
    }
    let select = match of.select_policy.as_deref() {
        None | Some("Max") => core::Select::Max,
        Some("Min") => core::Select::Min,
        Some("Disabled") => core::Select::Disabled,
        Some(other) => {
            faults.not_supported(&at.child("selectPolicy"), other, &["Disabled", "Max", "Min"]);
            core::Select::Max
        }
    };
    let policies = match &of.policies {
        None => default.policies,
        Some(list) => {
            let at = at.child("policies");
            if list.is_empty() {
                faults.required(&at, "must specify at least one Policy");
            } else if list.len() > MOST {
                faults.too_many(&at, format!("Too many: {}: must have at most {MOST} items", list.len()));
            }
            list.iter().enumerate().filter_map(|(i, one)| policy(one, &at.index(i), faults)).collect()
        }
    };
    let tolerance = of.tolerance.as_ref().and_then(|text| {
        let at = at.child("tolerance");
        milli(text, &at, faults)?;
        approximate(&text.0)
    });
    let window_seconds = of.stabilization_window_seconds.or(default.window_seconds);
    core::Rules { window_seconds, select, policies, tolerance }
}

fn policy(of: &Policy, at: &Path<'_>, faults: &mut Faults) -> Option<core::Policy> {
    if of.value <= 0 {
        faults.invalid(&at.child("value"), of.value, "must be greater than zero");
    }
    if of.period_seconds <= 0 {
        faults.invalid(&at.child("periodSeconds"), of.period_seconds, "must be greater than zero");
    } else if of.period_seconds > MAX_PERIOD {
        let rule = format!("must be less than or equal to {MAX_PERIOD}");
        faults.invalid(&at.child("periodSeconds"), of.period_seconds, rule);
    }
    let kind = match of.kind.as_str() {
        "Pods" => core::PolicyKind::Pods,
        "Percent" => core::PolicyKind::Percent,
        other => {
            faults.not_supported(&at.child("type"), other, &["Percent", "Pods"]);
            return None;
        }
    };
    Some(core::Policy { kind, value: of.value, period_seconds: of.period_seconds })
}

/// A condition of the status before; those of other types are dropped.
fn condition(of: &Condition, at: &Path<'_>, faults: &mut Faults) -> Option<core::Condition> {
    let kind = core::ConditionKind::ALL.into_iter().find(|kind| kind.name() == of.kind)?;
    let since = of.last_transition_time.as_ref();
    let since = since.and_then(|text| instant(text, &at.child("lastTransitionTime"), faults)).unwrap_or_default();
    let (reason, message) = (of.reason.clone(), of.message.clone());
    Some(core::Condition { kind, status: of.status == "True", reason, message, since })
}
