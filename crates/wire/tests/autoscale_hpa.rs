//! The answers of Kubernetes' HorizontalPodAutoscaler controller, held against ours.

use std::path::Path;

use podberth_testkit::answers;
use podberth_wire::autoscale::hpa::{HpaReport, HpaRequest, answer};
use serde_json::{Value, json};

fn ask(request: &Value) -> Result<HpaReport, String> {
    let request: HpaRequest = serde_json::from_value(request.clone()).map_err(|error| error.to_string())?;
    answer(&request, 0).map_err(|causes| {
        causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect::<Vec<_>>().join("; ")
    })
}

#[test]
fn every_recorded_answer_is_ours() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/autoscale/hpa.jsonl.gz");
    let cases = answers::cases(&path);
    assert!(cases.len() >= 480, "{} cases", cases.len());
    let differences: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let difference = match ask(&answers::request(case)) {
                Ok(report) => answers::difference(&case["expect"], &serde_json::to_value(&report).expect("JSON")),
                Err(error) => Some(error),
            };
            difference.map(|difference| format!("{} ({}): {difference}", case["id"], case["suite"]))
        })
        .collect();
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

/// A request with one metric and two pods that use 150 % of their request of CPU; the metric's target is 100 %.
fn request() -> Value {
    let pod = |name: &str| {
        json!({"metadata": {"name": name, "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "app", "resources": {"requests": {"cpu": "100m"}}}]},
            "status": {"phase": "Running", "startTime": "2026-01-05T10:00:00Z",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-05T10:00:10Z"}]}})
    };
    let usage = |name: &str| {
        json!({"metadata": {"name": name}, "timestamp": "2026-01-05T11:59:50Z", "window": "30s",
            "containers": [{"name": "app", "usage": {"cpu": "150m"}}]})
    };
    json!({"now": "2026-01-05T12:00:00Z",
        "hpa": {"metadata": {"name": "web"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 9,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 100}}}]}},
        "scale": {"spec": {"replicas": 2}, "status": {"replicas": 2, "selector": "app=web"}},
        "pods": [pod("web-0"), pod("web-1")], "podMetrics": [usage("web-0"), usage("web-1")]})
}

fn with(pointer: &str, value: Value) -> Value {
    let mut request = request();
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
    let parent = request.pointer_mut(parent).expect("the parent is there");
    match parent {
        Value::Array(list) => list[field.parse::<usize>().expect("an index")] = value,
        parent => parent[field] = value,
    }
    request
}

#[test]
fn bad_input_is_refused_by_its_field() {
    let target = |value: Value| with("/hpa/spec/metrics/0/resource/target", value);
    let behavior = |up: Value| with("/hpa/spec/behavior", json!({"scaleUp": up}));
    let cases = [
        (with("/hpa", Value::Null), "hpa: Required value"),
        (with("/scale", Value::Null), "scale: Required value"),
        (with("/scale/spec/replicas", json!(-1)), "scale.spec.replicas: Invalid value: -1"),
        (with("/now", json!("noon")), "now: Invalid value: \"noon\""),
        (with("/hpa/apiVersion", json!("autoscaling/v1")), "hpa.apiVersion: Unsupported value: \"autoscaling/v1\""),
        (with("/hpa/spec/maxReplicas", json!(0)), "hpa.spec.maxReplicas: Required value"),
        (
            with("/hpa/spec/minReplicas", json!(10)),
            "hpa.spec.maxReplicas: Invalid value: 9: must be greater than or equal",
        ),
        (with("/hpa/spec/metrics/0/type", json!("Dice")), "hpa.spec.metrics[0].type: Unsupported value: \"Dice\""),
        (with("/hpa/spec/metrics/0/type", json!("Pods")), "hpa.spec.metrics[0].resource: Forbidden"),
        (
            target(json!({"type": "Utilization", "averageUtilization": 0})),
            "target.averageUtilization: Invalid value: 0",
        ),
        (target(json!({"type": "AverageValue", "averageValue": "-1"})), "target.averageValue: Invalid value: \"-1\""),
        (target(json!({"type": "AverageValue", "averageValue": "NaN"})), "target.averageValue: Invalid value: \"NaN\""),
        (
            target(json!({"type": "Utilization", "averageUtilization": 5, "averageValue": "1"})),
            "target.averageValue: Forbidden",
        ),
        (target(json!({"type": "Utilization"})), "target.averageUtilization: Required value"),
        (behavior(json!({"policies": []})), "hpa.spec.behavior.scaleUp.policies: Required value"),
        (behavior(json!({"stabilizationWindowSeconds": 3601})), "stabilizationWindowSeconds: Invalid value: 3601"),
        (behavior(json!({"selectPolicy": "Any"})), "selectPolicy: Unsupported value: \"Any\""),
        (
            behavior(json!({"policies": [{"type": "Pods", "value": 0, "periodSeconds": 1801}]})),
            "policies[0].value: Invalid value: 0: must be greater than zero; hpa.spec.behavior.scaleUp.policies[0].periodSeconds",
        ),
        (
            with("/podMetrics/0/containers/0/usage/cpu", json!("-5m")),
            "podMetrics[0].containers[0].usage[cpu]: Invalid value: \"-5m\": must not be negative",
        ),
        (with("/podMetrics/1/window", json!("-1s")), "podMetrics[1].window: Invalid value"),
        (with("/customMetrics", json!([{"value": "1"}])), "customMetrics[0].metric.name: Required value"),
        (
            with("/externalMetrics", json!([{"metricName": "q", "value": "many"}])),
            "externalMetrics[0].value: Invalid value",
        ),
        (with("/controller", json!({"tolerance": -0.5})), "controller.tolerance: Invalid value: -0.5"),
        (
            with("/history", json!({"scaleUpEvents": [{"time": "2026-01-05T12:00:00Z", "change": -1}]})),
            "change: Invalid",
        ),
        (with("/steps", json!([{"afterSeconds": -1}])), "steps[0].afterSeconds: Invalid value: -1"),
    ];
    for (request, expected) in cases {
        let error = ask(&request).err().unwrap_or_default();
        assert!(error.contains(expected), "{error}\nexpected: {expected}");
    }
}

#[test]
fn the_reply_tells_why() {
    let report = serde_json::to_value(ask(&request()).expect("an answer")).expect("JSON");
    assert_eq!(report["replicas"], 3, "{report}");
    assert_eq!(report["reason"], "the use of cpu is above its target");
    assert_eq!(report["metrics"][0]["ratio"], 1.5);
    assert_eq!(report["metrics"][0]["ready"], 2);
    assert_eq!((&report["proposed"], &report["stabilized"]), (&json!(3), &json!(3)));
    assert_eq!(report["history"]["recommendations"][1], json!({"time": "2026-01-05T12:00:00Z", "replicas": 3}));
}

#[test]
fn a_pod_whose_containers_have_only_limits_requests_them() {
    let limits = json!({"limits": {"cpu": "100m"}});
    let mut request = with("/pods/0/spec/containers/0/resources", limits.clone());
    request["pods"][1]["spec"]["containers"][0]["resources"] = limits;
    assert_eq!(ask(&request).expect("an answer").last.replicas, 3);
}

#[test]
fn requests_of_the_pod_as_a_whole_stand_in_for_those_of_its_containers() {
    let mut request = request();
    for pod in 0..2 {
        request["pods"][pod]["spec"]["resources"] = json!({"requests": {"cpu": "50m"}});
    }
    assert_eq!(ask(&request).expect("an answer").last.replicas, 4, "the ratio is 3, and the number at most doubles");
}

/// Numbers that look random: a linear congruence.
struct Load(u64);

impl Load {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

#[test]
fn a_target_never_shrinks_below_a_proposal_of_the_window() {
    let mut load = Load(7);
    let mut request = with(
        "/hpa/spec/metrics",
        json!([{"type": "External", "external": {"metric": {"name": "depth", "selector": {}},
        "target": {"type": "AverageValue", "averageValue": "30"}}}]),
    );
    request["hpa"]["spec"]["maxReplicas"] = json!(40);
    request["pods"] = json!([]);
    let (mut hours, mut recent, mut changes) = (0, Vec::new(), 0);
    while hours < 1_000 {
        let depths = (0..9_000).map(|_| json!([{"metricName": "depth", "value": load.next(1_200).to_string()}]));
        let steps: Vec<Value> = depths.map(|depth| json!({"afterSeconds": 60, "externalMetrics": depth})).collect();
        request["steps"] = steps.into();
        request["externalMetrics"] = json!([{"metricName": "depth", "value": "90"}]);
        let report = ask(&request).expect("an answer");
        for step in report.steps.iter().flatten() {
            let now = seconds(&step.time);
            recent.retain(|(time, _)| now - time <= 300);
            recent.push((now, step.proposed.expect("a proposal")));
            let highest = recent.iter().map(|(_, replicas)| *replicas).max().unwrap_or_default();
            let is_smaller = step.replicas < step.current_replicas;
            assert!(!is_smaller || step.replicas >= highest, "{} shrinks to {}", step.time, step.replicas);
            changes += u32::from(step.rescaled);
        }
        // The next request goes on where this one ended.
        let last = &report.last;
        request["now"] = last.time.clone().into();
        request["history"] = serde_json::to_value(&report.history).expect("JSON");
        request["scale"]["spec"]["replicas"] = last.replicas.into();
        request["scale"]["status"]["replicas"] = last.replicas.into();
        hours += 150;
    }
    assert!(changes > 100, "{changes}");
}

/// Seconds since 1970 of a time in the reply.
fn seconds(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().expect("a time").as_second()
}
