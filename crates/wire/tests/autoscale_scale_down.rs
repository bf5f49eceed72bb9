//! Scale-down as cluster-autoscaler 1.36.1 answered it (`tests/data/autoscale/scale-down.jsonl.gz`).

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;

use podberth_core::{
    advise::{
        groups::Groups,
        scale_down::{self, Input},
    },
    model::Pod,
    policy::Profiles,
    snapshot::Snapshot,
};
use podberth_testkit::answers;
use podberth_wire::{
    autoscale::scale_down::{Asked, ScaleDownReport, ScaleDownRequest},
    cluster::Brought,
    explanation::PolicyUsed,
    policy,
};
use serde_json::Value;

fn profiles() -> Profiles {
    let text = r#"{"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}"#;
    policy::parse(text).and_then(|document| document.compile_all()).expect("the default profile")
}

fn answer(body: &Value, profiles: &Profiles) -> Value {
    let request: ScaleDownRequest = serde_json::from_value(body.clone()).expect("a request");
    let asked = request.read().unwrap_or_else(|causes| panic!("{causes:?}"));
    let Some(Brought(cluster)) = &request.cluster else { panic!("no cluster") };
    let snapshot: Snapshot = cluster.to_snapshot().unwrap_or_else(|causes| panic!("{causes:?}"));
    let Asked { groups, options, state, now, node_order } = asked;
    let now = now.expect("the time");
    let groups: Groups = groups.expect("groups");
    let input = Input {
        snapshot: &snapshot,
        groups: &groups,
        profiles,
        options: &options,
        state: &state,
        node_order: &node_order,
        counts_ended_pods: true,
        now,
    };
    let answer = scale_down::plan(&input);
    let report = ScaleDownReport::new(&answer, 0, PolicyUsed::default(), now, &mut Pod::full_name);
    serde_json::to_value(report).expect("JSON")
}

#[test]
fn scale_down_answers_as_the_cluster_autoscaler() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/autoscale/scale-down.jsonl.gz");
    let profiles = profiles();
    let (mut count, mut different) = (0, Vec::new());
    for case in answers::cases(&path) {
        let id = case["id"].as_str().unwrap_or_default().to_owned();
        count += 1;
        let got = answer(&answers::request(&case), &profiles);
        if let Some(difference) = answers::difference_of_any(&case["expect"], &got) {
            different.push(format!("{id} ({}): {difference}", case["suite"]));
        }
    }
    assert!(count > 0 && different.is_empty(), "{} of {count} differ:\n{}", different.len(), different.join("\n"));
}
