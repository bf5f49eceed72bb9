//! HorizontalPodAutoscalers: bounds, the workload, exactly one source for each metric, targets, and rules of behaviour.
//!
//! Fewer replicas than one are refused, since the feature `HPAScaleToZero` is off by default.
//!
//! Source: `pkg/apis/autoscaling/validation/validation.go`, `pkg/registry/autoscaling/horizontalpodautoscaler/strategy.go`.

use super::part::Part;
use crate::{
    fault::Faults,
    objects::names,
    validation::resources::{Owner, resource_name},
};

/// The longest period of a policy, in seconds (`MaxPeriodSeconds`).
const LONGEST_PERIOD: i64 = 1800;

/// The longest window of stabilization, in seconds (`MaxStabilizationWindowSeconds`).
const LONGEST_WINDOW: i64 = 3600;

/// The types of metrics, and the fields of their sources, in the order in which they are looked at.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

/// The types as messages list them.
const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

pub(super) fn autoscaler(object: &Part<'_>, faults: &mut Faults) {
    let spec = object.get("spec");
    let (least, most) = (spec.get("minReplicas"), spec.get("maxReplicas"));
    if let Some(count) = least.int().filter(|count| *count < 1) {
        faults.invalid(&least.at, count, "must be greater than or equal to 1");
    }
    let count = most.int().unwrap_or_default();
    if count < 1 {
        faults.invalid(&most.at, count, "must be greater than 0");
    }
    if least.int().is_some_and(|least| least > count) {
        faults.invalid(&most.at, count, "must be greater than or equal to `minReplicas`");
    }
    let target = spec.get("scaleTargetRef");
    // The only kind of the group without a name that can be scaled.
    reference(&target, target.get("kind").text() == "ReplicationController", faults);
    let metrics = spec.get("metrics");
    let mut reaches_zero = false;
    for metric in metrics.items() {
        source(&metric, faults);
        reaches_zero |= matches!(metric.get("type").text(), "Object" | "External");
    }
    if least.int() == Some(0) && !reaches_zero {
        let why = "must specify at least one Object or External metric to support scaling to zero replicas";
        faults.forbidden(&metrics.at, why);
    }
    let behavior = spec.get("behavior");
    for direction in ["scaleUp", "scaleDown"] {
        rules(&behavior.get(direction), faults);
    }
}

/// An object that is named by kind and name, and by the version of its API.
fn reference(of: &Part<'_>, may_lack_group: bool, faults: &mut Faults) {
    for field in ["kind", "name"] {
        let part = of.get(field);
        if part.required(faults) {
            part.named(names::path_segment, faults);
        }
    }
    let version = of.get("apiVersion");
    let (text, slashes) = (version.text(), version.text().matches('/').count());
    if slashes > 1 {
        faults.invalid(&version.at, text, format_args!("unexpected GroupVersion string: {text}"));
    } else if !may_lack_group && text.split_once('/').is_none_or(|(group, _)| group.is_empty()) {
        faults.invalid(&version.at, text, "apiVersion must specify API group");
    }
}

/// A metric: its type, and the source of that type alone.
fn source(metric: &Part<'_>, faults: &mut Faults) {
    let of = metric.get("type");
    let expected = SOURCES.iter().find(|(name, _)| *name == of.text()).map(|(_, field)| *field);
    if of.text().is_empty() {
        faults.required(&of.at, "must specify a metric source type");
    }
    if expected.is_none() {
        faults.not_supported(&of.at, of.text(), &TYPES);
    }
    let present = || SOURCES.iter().map(|(_, field)| *field).filter(|field| !metric.get(field).is_absent());
    if let Some(first) = present().next() {
        of_source(first, &metric.get(first), faults);
    }
    if let Some(field) = expected.filter(|field| metric.get(field).is_absent()) {
        faults.required(&metric.get(field).at, "must populate information for the given metric source");
    }
    if present().count() > 1 {
        for field in present().filter(|field| Some(*field) != expected) {
            faults.forbidden(&metric.get(field).at, "must populate the given metric source only");
        }
    }
}

fn of_source(field: &str, source: &Part<'_>, faults: &mut Faults) {
    if field == "object" {
        reference(&source.get("describedObject"), true, faults);
    }
    if matches!(field, "resource" | "containerResource") {
        if source.get("name").text().is_empty() {
            faults.required(&source.get("name").at, "must specify a resource name");
        }
    } else {
        let metric = source.get("metric");
        let name = metric.get("name");
        if name.text().is_empty() {
            faults.required(&name.at, "must specify a metric name");
        } else {
            name.named(names::path_segment, faults);
        }
    }
    if field == "containerResource" {
        container(source, faults);
    }
    let goal = source.get("target");
    target(&goal, faults);
    let is_set = |field: &str| !goal.get(field).is_absent();
    let value = goal.get("value");
    let average = goal.get("averageValue");
    let has_average = !average.is_absent();
    match field {
        "object" if !has_average && !is_set("value") => {
            faults.required(&average.at, "must set either a target value or averageValue");
        }
        "external" if !has_average && !is_set("value") => {
            faults.required(&average.at, "must set either a target value for metric or a per-pod target");
        }
        "external" if has_average && is_set("value") => {
            faults.forbidden(&value.at, "may not set both a target value for metric and a per-pod target");
        }
        "pods" if !has_average => faults.required(&average.at, "must specify a positive target averageValue"),
        "resource" | "containerResource" => match (is_set("averageUtilization"), has_average) {
            (false, false) => {
                let utilization = goal.get("averageUtilization");
                faults.required(&utilization.at, "must set either a target raw value or a target utilization");
            }
            (true, true) => {
                faults.forbidden(&average.at, "may not set both a target raw value and a target utilization");
            }
            _ => {}
        },
        _ => {}
    }
}

/// The names of a resource of a container.
fn container(source: &Part<'_>, faults: &mut Faults) {
    let resource = source.get("name");
    if !resource.text().is_empty() {
        resource_name(resource.text(), Owner::Container, &resource.at, faults);
    }
    let container = source.get("container");
    if container.text().is_empty() {
        faults.required(&container.at, "must specify a container");
    } else {
        container.named(names::dns_label, faults);
    }
}

/// The value that a metric is to have.
fn target(goal: &Part<'_>, faults: &mut Faults) {
    let of = goal.get("type");
    if of.text().is_empty() {
        faults.required(&of.at, "must specify a metric target type");
    }
    if !matches!(of.text(), "Utilization" | "Value" | "AverageValue") {
        faults.invalid(&of.at, of.text(), "must be either Utilization, Value, or AverageValue");
    }
    for field in ["value", "averageValue"] {
        let amount = goal.get(field);
        if amount.quantity().is_some_and(|quantity| quantity.is_negative() || quantity.is_zero()) {
            faults.invalid(&amount.at, amount.text(), "must be positive");
        }
    }
    goal.get("averageUtilization").positive(faults);
}

/// The rules of one direction.
fn rules(rules: &Part<'_>, faults: &mut Faults) {
    if rules.is_absent() {
        return;
    }
    let window = rules.get("stabilizationWindowSeconds");
    match window.int() {
        Some(seconds) if seconds < 0 => {
            faults.invalid(&window.at, seconds, "must be greater than or equal to zero");
        }
        Some(seconds) if seconds > LONGEST_WINDOW => {
            faults.invalid(&window.at, seconds, format_args!("must be less than or equal to {LONGEST_WINDOW}"));
        }
        _ => {}
    }
    rules.get("selectPolicy").one_of(&["Disabled", "Max", "Min"], faults);
    let policies = rules.get("policies");
    if policies.items().next().is_none() {
        faults.required(&policies.at, "must specify at least one Policy");
    }
    for policy in policies.items() {
        let of = policy.get("type");
        if !matches!(of.text(), "Pods" | "Percent") {
            faults.not_supported(&of.at, of.text(), &["Percent", "Pods"]);
        }
        for field in ["value", "periodSeconds"] {
            let number = policy.get(field);
            let count = number.int().unwrap_or_default();
            if count <= 0 {
                faults.invalid(&number.at, count, "must be greater than zero");
            } else if field == "periodSeconds" && count > LONGEST_PERIOD {
                faults.invalid(&number.at, count, format_args!("must be less than or equal to {LONGEST_PERIOD}"));
            }
        }
    }
    let tolerance = rules.get("tolerance");
    if tolerance.quantity().is_some_and(podberth_core::model::Quantity::is_negative) {
        faults.invalid(&tolerance.at, tolerance.text(), "must be greater than or equal to 0");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{defaults, document::Document, kinds};

    /// The faults of an autoscaler that has these fields besides those that it needs, as `field: message`.
    fn told(fields: &Value) -> Vec<String> {
        let mut spec =
            json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 9});
        for (field, value) in fields.as_object().expect("fields") {
            spec[field] = value.clone();
        }
        let object = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": "shop"}, "spec": spec});
        let kind = kinds::by_plural("autoscaling", "horizontalpodautoscalers").expect("a stored kind");
        let document = Document::parse(object.to_string().as_bytes()).expect("an object");
        let document = defaults::normalized(kind, &document).expect("it is read");
        let causes = super::super::faults(kind, &document).expect("it is read");
        let one = |cause: &crate::fault::Cause| {
            format!("{}: {}", cause.field.strip_prefix("spec.").unwrap_or(&cause.field), cause.message)
        };
        causes.iter().map(one).collect()
    }

    fn of_metric(metric: &Value) -> Vec<String> {
        told(&json!({"metrics": [metric]}))
    }

    #[test]
    fn sizes_and_the_workload_are_held_to_their_bounds() {
        assert_eq!(told(&json!({})), [""; 0]);
        let sizes = told(&json!({"minReplicas": 0, "maxReplicas": -1}));
        assert_eq!(
            sizes,
            [
                "minReplicas: Invalid value: 0: must be greater than or equal to 1",
                "maxReplicas: Invalid value: -1: must be greater than 0",
                "maxReplicas: Invalid value: -1: must be greater than or equal to `minReplicas`",
                "metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
            ]
        );
        let workload = |target: Value| told(&json!({"scaleTargetRef": target}));
        assert_eq!(
            workload(json!({"kind": "a/b", "apiVersion": "a/b/c"})),
            [
                r#"scaleTargetRef.kind: Invalid value: "a/b": may not contain '/'"#,
                "scaleTargetRef.name: Required value",
                r#"scaleTargetRef.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c"#,
            ]
        );
        let group = |version: &str, kind: &str| workload(json!({"apiVersion": version, "kind": kind, "name": "web"}));
        let lacks = |version: &str| {
            vec![format!("scaleTargetRef.apiVersion: Invalid value: {version:?}: apiVersion must specify API group")]
        };
        assert_eq!(group("v1", "Deployment"), lacks("v1"));
        assert_eq!(group("", "Deployment"), lacks(""));
        assert_eq!(group("v1", "ReplicationController"), [""; 0]);
    }

    #[test]
    fn a_metric_has_the_one_source_of_its_type() {
        let types = r#"supported values: "ContainerResource", "External", "Object", "Pods", "Resource""#;
        assert_eq!(
            of_metric(&json!({"type": ""})),
            [
                "metrics[0].type: Required value: must specify a metric source type".to_owned(),
                format!(r#"metrics[0].type: Unsupported value: "": {types}"#),
            ]
        );
        let cpu = json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}});
        assert_eq!(
            of_metric(&json!({"type": "Pods", "resource": cpu})),
            ["metrics[0].pods: Required value: must populate information for the given metric source"]
        );
        let pods = json!({"metric": {"name": "a%b"}, "target": {"type": "AverageValue"}});
        assert_eq!(
            of_metric(&json!({"type": "Resource", "resource": cpu, "pods": pods})),
            [
                "metrics[0].pods.metric.name: Invalid value: \"a%b\": may not contain '%'",
                "metrics[0].pods.target.averageValue: Required value: must specify a positive target averageValue",
                "metrics[0].pods: Forbidden: must populate the given metric source only",
            ]
        );
    }

    #[test]
    fn a_source_has_one_target_above_zero() {
        let of = |field: &str, kind: &str, mut source: Value, target: Value| {
            source["target"] = target;
            let told = of_metric(&json!({"type": kind, field: source}));
            let prefix = format!("metrics[0].{field}.");
            told.into_iter().map(|one| one.strip_prefix(&prefix).unwrap_or(&one).to_owned()).collect::<Vec<_>>()
        };
        let queue = || json!({"metric": {"name": "depth"}});
        assert_eq!(
            of("external", "External", queue(), json!({"type": "Value", "value": "0", "averageValue": "-1"})),
            [
                r#"target.value: Invalid value: "0": must be positive"#,
                r#"target.averageValue: Invalid value: "-1": must be positive"#,
                "target.value: Forbidden: may not set both a target value for metric and a per-pod target",
            ]
        );
        assert_eq!(
            of("external", "External", queue(), json!({"type": "Often"})),
            [
                r#"target.type: Invalid value: "Often": must be either Utilization, Value, or AverageValue"#,
                "target.averageValue: Required value: must set either a target value for metric or a per-pod target",
            ]
        );
        let standard = "cpu, memory, ephemeral-storage, hugepages-<size>";
        let both = json!({"type": "Utilization", "averageUtilization": 0, "averageValue": "1"});
        assert_eq!(
            of("containerResource", "ContainerResource", json!({"name": "pods", "container": "A"}), both),
            [
                format!("name: Invalid value: \"pods\": must be a standard resource for containers: {standard}"),
                format!("container: Invalid value: \"A\": {}", crate::objects::names::dns_label("A").unwrap_err()),
                "target.averageUtilization: Invalid value: 0: must be greater than 0".to_owned(),
                "target.averageValue: Forbidden: may not set both a target raw value and a target utilization"
                    .to_owned(),
            ]
        );
        let object = json!({"describedObject": {"kind": "Service", "name": "web", "apiVersion": "v1"}, "metric": {"name": "hits"}});
        assert_eq!(
            of("object", "Object", object, json!({"type": "Value"})),
            ["target.averageValue: Required value: must set either a target value or averageValue"]
        );
        assert_eq!(
            of("resource", "Resource", json!({}), json!({"type": "Utilization"})),
            [
                "name: Required value: must specify a resource name",
                "target.averageUtilization: Required value: must set either a target raw value or a target utilization",
            ]
        );
    }

    #[test]
    fn rules_of_behaviour_have_bounds() {
        let policy = json!({"type": "Nodes", "value": 0, "periodSeconds": 1801});
        let up = json!({"stabilizationWindowSeconds": 3601, "selectPolicy": "Most", "policies": [policy], "tolerance": "-1m"});
        assert_eq!(
            told(&json!({"behavior": {"scaleUp": up, "scaleDown": {"stabilizationWindowSeconds": -1}}})),
            [
                "behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
                r#"behavior.scaleUp.selectPolicy: Unsupported value: "Most": supported values: "Disabled", "Max", "Min""#,
                r#"behavior.scaleUp.policies[0].type: Unsupported value: "Nodes": supported values: "Percent", "Pods""#,
                "behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
                "behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
                r#"behavior.scaleUp.tolerance: Invalid value: "-1m": must be greater than or equal to 0"#,
                "behavior.scaleDown.stabilizationWindowSeconds: Invalid value: -1: must be greater than or equal to zero",
            ]
        );
        assert_eq!(told(&json!({"behavior": {"scaleUp": {}}})), [""; 0], "the defaults are filled in");
    }
}
