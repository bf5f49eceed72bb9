//! Recommendations held against those of the vertical pod autoscaler 1.8.0, and requests that are refused.

use std::path::Path;

use podberth_testkit::answers;
use podberth_wire::{autoscale::vpa::VpaRequest, decode};
use serde_json::{Value, json};

/// 2026-01-05T12:00:00Z
const NOW: i64 = 1_767_614_400_000_000_000;

fn answer(request: &Value) -> Result<Value, String> {
    let text = serde_json::to_vec(request).unwrap();
    let request: VpaRequest = decode::from_slice(&text).map_err(|error| error.to_string())?;
    let question = request.to_core(NOW).map_err(|causes| {
        let told: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        told.join("; ")
    })?;
    Ok(serde_json::to_value(question.answer()).unwrap())
}

fn cases() -> Vec<Value> {
    answers::cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/autoscale/vpa.jsonl.gz"))
}

#[test]
fn recommendations_equal_those_of_the_vertical_pod_autoscaler() {
    let cases = cases();
    assert_eq!(cases.len(), 180);
    let mut wrong = Vec::new();
    for case in &cases {
        let got = answer(&answers::request(case));
        let difference = match &got {
            Ok(got) => answers::difference(&case["expect"], got),
            Err(error) => Some(error.clone()),
        };
        wrong.extend(difference.map(|difference| format!("{} ({}): {difference}", case["id"], case["suite"])));
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn checkpoints_continue_where_a_request_ended() {
    for case in cases().iter().filter(|case| case["suite"] == "pods" || case["suite"] == "containers") {
        let request = answers::request(case);
        let whole = answer(&request).unwrap();
        // The same usage again, with nothing new: the checkpoints alone give the same recommendation.
        let mut later = request.clone();
        later["pods"] = json!([]);
        later["checkpoints"] = whole["checkpoints"].clone();
        let again = answer(&later).unwrap();
        let mut expected = whole["containerRecommendations"].clone();
        assert_eq!(again["containerRecommendations"], expected, "{}", case["id"]);
        // Without the exact weights it is nearly so, as after a restart of the vertical pod autoscaler.
        for checkpoint in later["checkpoints"].as_array_mut().unwrap() {
            checkpoint["metadata"]["annotations"] = json!({});
        }
        let rounded = answer(&later).unwrap();
        for of in expected.as_array_mut().unwrap() {
            for amounts in ["target", "lowerBound", "upperBound", "uncappedTarget"] {
                of[amounts] = json!({});
            }
        }
        assert_eq!(
            answers::difference(&json!({"list": expected}), &json!({"list": rounded["containerRecommendations"]})),
            None
        );
        assert_eq!(rounded["history"], whole["history"], "{}", case["id"]);
    }
}

fn asked() -> Value {
    json!({
        "vpa": {"metadata": {"name": "web", "namespace": "prod"}, "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}},
        "selector": {"app": "web"},
        "pods": [{"name": "web-0", "labels": {"app": "web"}, "containers": [{
            "name": "app", "requests": {"cpu": "100m", "memory": "64Mi"},
            "series": [{"start": "2026-01-05T10:00:00Z", "everySeconds": 60, "count": 60, "cpuMilli": [100, 120], "memoryBytes": [50_000_000]}]
        }]}]
    })
}

/// The request with another value at a place.
fn with(place: &str, value: Value) -> Value {
    let mut request = asked();
    let (parent, key) = place.rsplit_once('/').unwrap();
    let parent = if parent.is_empty() { &mut request } else { request.pointer_mut(parent).unwrap() };
    match parent {
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        parent => parent[key] = value,
    }
    request
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of faults")]
fn bad_input_is_refused_by_its_field() {
    let container = "/pods/0/containers/0";
    let series = "/pods/0/containers/0/series/0";
    let policies = "/vpa/spec/resourcePolicy";
    let policy = |policy: Value| json!({"containerPolicies": [policy]});
    let cases = [
        ("/vpa", Value::Null, "vpa: Required value"),
        ("/selector", Value::Null, "selector: Required value"),
        ("/now", json!("noon"), "now: Invalid value: \"noon\": must be an RFC 3339 date and time"),
        ("/selector", json!({"app": "not a label!"}), "selector.matchLabels: Invalid value"),
        ("/pods/0/name", json!(""), "pods[0].name: Required value"),
        ("/config", json!({"margin": 1}), "config.margin: unknown field `margin`"),
        ("/config", json!({"safetyMarginFraction": -0.1}), "config.safetyMarginFraction: Invalid value: -0.1"),
        (
            "/config",
            json!({"targetCPUPercentile": 90}),
            "config.targetCPUPercentile: Invalid value: 90.0: must be from 0 to 1",
        ),
        ("/config", json!({"memoryAggregationInterval": "soon"}), "config.memoryAggregationInterval: Invalid value"),
        ("/config", json!({"cpuHistogramDecayHalfLife": "1ms"}), "must be at least 1s"),
        ("/config", json!({"roundMemoryBytes": 0}), "config.roundMemoryBytes: Invalid value: 0"),
        ("/globalMaxAllowed", json!({"cpu": "-1"}), "globalMaxAllowed[cpu]: Invalid value"),
        (&format!("{container}/name"), json!(""), "pods[0].containers[0].name: Required value"),
        (
            &format!("{container}/requests"),
            json!({"memory": "-1"}),
            "requests[memory]: Invalid value: \"-1\": must be greater",
        ),
        (&format!("{container}/requests"), json!({"memory": "much"}), "requests[memory]: Invalid value: \"much\""),
        (&format!("{container}/ooms"), json!([{"time": "x"}]), "ooms[0].time: Invalid value"),
        (
            &format!("{container}/ooms"),
            json!([{"time": "2026-01-05T10:00:00Z", "requestedBytes": -1}]),
            "ooms[0].requestedBytes: Invalid value: -1",
        ),
        (
            &format!("{container}/samples"),
            json!([{"timestamp": "2026-01-05T10:00:00Z", "usage": {"cpu": "-5m"}}]),
            "samples[0].usage[cpu]: Invalid value: \"-5m\"",
        ),
        (&format!("{series}/start"), json!("x"), "series[0].start: Invalid value"),
        (&format!("{series}/everySeconds"), json!(0), "everySeconds: Invalid value: 0: must be greater than 0"),
        (&format!("{series}/everySeconds"), json!(-60), "everySeconds: Invalid value: -60"),
        (&format!("{series}/count"), json!(10_000_000_000_u64), "Too many: a request has at most 5000000 samples"),
        (
            &format!("{series}/cpuMilli"),
            json!([1, -5]),
            "cpuMilli[1]: Invalid value: -5: a sample must be a number that is not negative",
        ),
        (&format!("{series}/cpuMilli"), json!([1, "NaN"]), "cpuMilli[1]: Invalid value: \"NaN\": a sample must be"),
        (&format!("{series}/memoryBytes"), json!([null]), "memoryBytes[0]: Invalid value: null"),
        (&format!("{series}/memoryBytes"), json!([-0.5]), "memoryBytes[0]: Invalid value: -0.5"),
        (
            policies,
            policy(json!({"containerName": "app", "minAllowed": {"cpu": "2"}, "maxAllowed": {"cpu": "1"}})),
            "vpa.spec.resourcePolicy.containerPolicies[0].maxAllowed[cpu]: Invalid value: \"1\": max resource for cpu is lower than min of \"2\"",
        ),
        (
            policies,
            policy(json!({"containerName": "app", "minAllowed": {"cpu": "100u"}})),
            "minAllowed[cpu]: Invalid value: \"100u\": must be a whole number of milli CPUs",
        ),
        (
            policies,
            policy(json!({"containerName": "app", "maxAllowed": {"memory": "500m"}})),
            "maxAllowed[memory]: Invalid value",
        ),
        (policies, policy(json!({"containerName": "app", "mode": "Never"})), "mode: Unsupported value: \"Never\""),
        (policies, policy(json!({"mode": "Off"})), "containerName: Required value"),
        (policies, policy(json!({"containerName": "app", "oomBumpUpRatio": "0.5"})), "oomBumpUpRatio: Invalid value"),
        (
            policies,
            json!({"containerPolicies": [{"containerName": "app"}, {"containerName": "app"}]}),
            "containerPolicies[1].containerName: Duplicate value",
        ),
        (
            "/vpa/spec/updatePolicy",
            json!({"updateMode": "Sometimes"}),
            "vpa.spec.updatePolicy.updateMode: Unsupported value",
        ),
        (
            "/checkpoints",
            json!([{"spec": {"containerName": "app"}, "status": {"version": "v2"}}]),
            "checkpoints[0].status.version: Unsupported value: \"v2\"",
        ),
        (
            "/checkpoints",
            json!([{"spec": {"containerName": "app"}, "status": {"version": "v3", "cpuHistogram": {"totalWeight": -1.0}}}]),
            "cpuHistogram.totalWeight: Invalid value: -1",
        ),
        (
            "/checkpoints",
            json!([{"spec": {"containerName": "app"}, "status": {"version": "v3", "cpuHistogram": {"totalWeight": 1.0, "bucketWeights": {"176": 1}}}}]),
            "cpuHistogram.bucketWeights: Invalid value: 176",
        ),
        (
            "/checkpoints",
            json!([{"spec": {"containerName": "app", "vpaObjectName": "api"}, "status": {"version": "v3"}}]),
            "vpaObjectName: Invalid value: \"api\"",
        ),
    ];
    for (place, value, told) in cases {
        let got = answer(&with(place, value.clone())).expect_err(place);
        assert!(got.contains(told), "{place} {value}: {got}");
    }
    assert!(answer(&asked()).is_ok());
}

#[test]
fn extreme_numbers_are_cut() {
    let series = "/pods/0/containers/0/series/0";
    for (place, value) in [
        (format!("{series}/cpuMilli"), json!([u64::MAX, 1e300, 0.5])),
        (format!("{series}/memoryBytes"), json!([u64::MAX, 1e300])),
        (format!("{series}/everySeconds"), json!(i64::MAX)),
        (format!("{series}/start"), json!("2262-04-11T23:47:00Z")),
        (format!("{series}/start"), json!("1700-01-01T00:00:00Z")),
        ("/pods/0/containers/0/ooms".into(), json!([{"time": "2262-04-11T23:47:00Z", "requestedBytes": u64::MAX}])),
        ("/config".into(), json!({"podMinCPUMillicores": 1e12, "podMinMemoryMb": 1e12, "safetyMarginFraction": 1.0})),
        ("/config".into(), json!({"memoryHistogramDecayHalfLife": "2500000h", "confidenceIntervalCPU": "1s"})),
    ] {
        let got = answer(&with(&place, value.clone())).unwrap_or_else(|error| panic!("{place} {value}: {error}"));
        assert_eq!(got["containerRecommendations"].as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn status_is_that_of_the_recommender() {
    let got = answer(&asked()).unwrap();
    let conditions =
        json!([{"type": "RecommendationProvided", "status": "True", "lastTransitionTime": "2026-01-05T12:00:00Z"}]);
    assert_eq!(got["status"]["conditions"], conditions);
    assert_eq!(got["status"]["recommendation"]["containerRecommendations"], got["containerRecommendations"]);
    let mut none = with("/selector", json!({"app": "other"}));
    none["vpa"]["status"] = got["status"].clone();
    let got = answer(&none).unwrap();
    let types: Vec<_> =
        got["status"]["conditions"].as_array().unwrap().iter().map(|of| (&of["type"], &of["status"])).collect();
    assert_eq!(types, [(&json!("NoPodsMatched"), &json!("True")), (&json!("RecommendationProvided"), &json!("False"))]);
}

#[test]
fn pods_get_the_recommended_requests() {
    let mut request = asked();
    request["vpa"]["spec"]["resourcePolicy"] = json!({"containerPolicies": [{"containerName": "app", "minAllowed": {"cpu": "2"}, "controlledValues": "RequestsOnly"}]});
    let request: VpaRequest = serde_json::from_value(request).unwrap();
    let question = request.to_core(NOW).unwrap();
    let report = question.answer();
    let resizing = question.resizing(&report);
    let pod = |limit: &str| {
        json!({"kind": "Pod", "metadata": {"name": "web-0", "namespace": "prod", "labels": {"app": "web"}}, "spec": {"containers": [
            {"name": "app", "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": limit}}}, {"name": "other", "resources": {"requests": {"cpu": "50m"}}}]}})
    };
    let cpu = |pod: &Value| resizing.of_stored(pod.to_string().as_bytes()).map(|pod| pod.spec.requests.get("cpu"));
    assert_eq!(cpu(&pod("4")), Some(2050));
    assert_eq!(cpu(&pod("1")), Some(1050), "the limit stays");
    let mut other = pod("4");
    other["metadata"]["namespace"] = json!("test");
    assert_eq!(cpu(&other), None, "of another namespace");
    let cluster = serde_json::from_value(json!({"kind": "List", "items": [pod("4"), other]})).unwrap();
    assert_eq!(resizing.of_cluster(&cluster).len(), 1);
}
