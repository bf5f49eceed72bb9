//! Scale-up, held against the recorded answers of cluster-autoscaler 1.36.1.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use podberth_core::{advise::scale_up::scale_up, policy::Configuration};
use podberth_testkit::answers;
use podberth_wire::{
    autoscale::{
        groups,
        scale_up::{ScaleUpReport, ScaleUpRequest},
    },
    fault::Faults,
};
use serde_json::Value;

fn answer(request: &Value) -> Value {
    let request: ScaleUpRequest = serde_json::from_value(request.clone()).expect("a request");
    let snapshot = request.cluster.expect("a cluster").0.to_snapshot().expect("a cluster");
    let mut faults = Faults::default();
    let groups = groups::read(&request.node_groups.expect("groups"), &mut faults);
    assert_eq!(faults.into_causes(), []);
    let options = request.options.to_core(request.seed).expect("options");
    let now: jiff::Timestamp = request.now.expect("a time").parse().expect("a time");
    let now = i64::try_from(now.as_nanosecond()).expect("a time");
    let profiles = Configuration::default().compile_all().expect("the default configuration");
    let answer = scale_up(&snapshot, &profiles, &groups, &options, now);
    serde_json::to_value(ScaleUpReport::from(&answer)).expect("JSON")
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
