//! Scale-up, held against the recorded answers of cluster-autoscaler 1.36.1.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use podberth_core::{
    advise::{
        plan::{Pace, lint},
        scale_up::scale_up,
    },
    policy::Configuration,
};
use podberth_testkit::answers;
use podberth_wire::{
    autoscale::scale_up::{Asked, ScaleUpReport, ScaleUpRequest},
    explanation::PolicyUsed,
};
use serde_json::{Value, json};

fn answer(request: &Value) -> Value {
    let request: ScaleUpRequest = serde_json::from_value(request.clone()).expect("a request");
    let Asked { groups, options, now, .. } = request.read().expect("a request");
    let snapshot = request.cluster.expect("a cluster").0.to_snapshot().expect("a cluster");
    let (groups, now) = (groups.expect("groups"), now.expect("a time"));
    let profiles = Configuration::default().compile_all().expect("the default configuration");
    let answer = scale_up(&snapshot, &profiles, &groups, &options, now);
    assert_eq!(lint(&answer.plan(&groups, 0), &snapshot, &groups, Pace::AtOnce), []);
    let report = ScaleUpReport::new(&answer, &groups, 0, PolicyUsed::default(), &mut |pod| pod.full_name());
    serde_json::to_value(report).expect("JSON")
}

#[test]
fn scale_up_answers_as_cluster_autoscaler_does() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/autoscale/scale-up.jsonl.gz");
    let cases = answers::cases(&file);
    assert!(cases.len() >= 269);
    let mut differences = Vec::new();
    for case in &cases {
        let got = answer(&answers::request(case));
        if let Some(difference) = answers::difference_of_any(&case["expect"], &got) {
            differences.push(format!("{} ({}): {difference}", case["id"], case["suite"]));
        }
    }
    assert!(differences.is_empty(), "{} of {} differ:\n{}", differences.len(), cases.len(), differences.join("\n"));
}

#[test]
fn requests_that_contradict_are_refused_with_the_field() {
    let faults = |request: Value| -> Vec<String> {
        let request: ScaleUpRequest = serde_json::from_value(request).expect("a request");
        request.read().err().unwrap_or_default().into_iter().map(|cause| cause.field).collect()
    };
    let node = |cores: &str| json!({"status": {"allocatable": {"cpu": cores, "memory": "1Gi", "pods": "10"}}});
    let group = |id: &str| json!({"id": id, "maxSize": 3, "nodes": ["n"], "template": node("2")});
    assert_eq!(faults(json!({"nodeGroups": [group("a")], "now": "2026-01-05T12:00:00Z"})), [""; 0]);
    assert_eq!(faults(json!({"nodeGroups": [group("a"), group("b")]})), ["nodeGroups"], "they share a node");
    let without_capacity = json!([{"id": "a", "maxSize": 3, "template": {"status": {"allocatable": {"pods": "10"}}}}]);
    assert_eq!(faults(json!({"nodeGroups": without_capacity})), ["nodeGroups[0].template.status.allocatable"]);
    let negative =
        json!([{"id": "a", "maxSize": 3, "template": {"status": {"allocatable": {"cpu": "1", "memory": "-1Gi"}}}}]);
    assert_eq!(faults(json!({"nodeGroups": negative})), ["nodeGroups[0].template.status.allocatable[memory]"]);
    assert_eq!(faults(json!({"now": "yesterday"})), ["now"]);
    assert_eq!(faults(json!({"exact": {"maxSteps": u64::MAX}})), ["exact.maxSteps"]);
}
