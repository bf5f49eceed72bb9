//! Scale-down as cluster-autoscaler 1.36.1 answered it (`tests/data/autoscale/scale-down.jsonl.gz`).

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;

use podberth_core::{
    advise::{
        groups::Groups,
        plan::{Broken, Pace, lint},
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
use serde_json::{Value, json};

fn profiles() -> Profiles {
    let text = r#"{"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}"#;
    policy::parse(text).and_then(|document| document.compile_all()).expect("the default profile")
}

fn is_safe_to_evict(snapshot: &Snapshot, pod: &str) -> bool {
    let (namespace, name) = pod.split_once('/').expect("a namespace");
    snapshot.pod(namespace, name).is_some_and(|pod| pod.facts().safe_to_evict.is_some())
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
    // The annotation goes before budgets (`drainability/rules/safetoevict`); the eviction API holds them all the same.
    let is_known = |broken: &Broken| matches!(broken, Broken::Budget { pod, .. } if is_safe_to_evict(&snapshot, pod));
    let mut broken = lint(&answer.plan(&snapshot, &groups), &snapshot, &groups, Pace::OneByOne);
    broken.retain(|broken| !is_known(broken));
    assert_eq!(broken, []);
    let report = ScaleDownReport::new(&answer, &groups, (&snapshot, now), PolicyUsed::default(), &mut Pod::full_name);
    serde_json::to_value(report).expect("JSON")
}

#[test]
fn faults_of_a_request_name_their_field_and_the_remedy() {
    let group = |id: &str| json!({"id": id, "minSize": 0, "maxSize": 3, "nodes": ["n1"]});
    let cases = [
        (json!({"nodeGroups": [group("a"), group("b")]}), "nodeGroups", "\"n1\" is in the node groups \"a\" and \"b\""),
        (json!({"nodeGroups": [group("a"), group("a")]}), "nodeGroups", "two node groups are called \"a\""),
        (json!({"nodeGroups": [{"maxSize": 1}]}), "nodeGroups[0].id", "needs a name"),
        (json!({"nodeGroups": [{"id": "a", "minSize": -1, "maxSize": 1}]}), "nodeGroups[0].minSize", "between 0 and"),
        (json!({"nodeGroups": [{"id": "a", "minSize": 2, "maxSize": 1}]}), "nodeGroups[0].maxSize", "minSize"),
        (
            json!({"nodeGroups": [{"id": "a", "options": {"scaleDownUtilizationThreshold": -0.5}}]}),
            "nodeGroups[0].options.scaleDownUtilizationThreshold",
            "greater than or equal to 0",
        ),
        (json!({"options": {"scaleDownUnneededTime": "-5m"}}), "options.scaleDownUnneededTime", "duration"),
        (json!({"options": {"scaleDownUnneededTime": "soon"}}), "options.scaleDownUnneededTime", "duration"),
        (json!({"options": {"scaleDownUtilizationThreshold": "NaN"}}), "options.scaleDownUtilizationThreshold", "NaN"),
        (json!({"options": {"maxScaleDownParallelism": -1}}), "options.maxScaleDownParallelism", "between 0 and"),
        (json!({"options": {"minReplicaCount": -2}}), "options.minReplicaCount", "greater than or equal to 0"),
        (json!({"options": {"minCoresTotal": "-3"}}), "options.minCoresTotal", "greater than or equal to 0"),
        (json!({"unneededSince": {"n1": "yesterday"}}), "unneededSince[n1]", "RFC 3339"),
        (json!({"now": "12:00"}), "now", "RFC 3339"),
    ];
    for (body, field, told) in cases {
        let request: ScaleDownRequest = serde_json::from_value(body.clone()).expect("a request");
        let causes = request.read().expect_err(&body.to_string());
        assert_eq!(causes[0].field, field, "{causes:?}");
        assert!(causes[0].message.contains(told), "{causes:?}");
    }
    for body in [json!({"options": {"unknown": 1}}), json!({"nodegroups": []}), json!({"nodeGroups": [{"size": 1}]})] {
        let refused = serde_json::from_value::<ScaleDownRequest>(body).expect_err("an unknown field");
        assert!(refused.to_string().contains("unknown field"), "{refused}");
    }
}

#[test]
fn extreme_numbers_and_times_give_an_answer() {
    let node = json!({"metadata": {"name": "n1"}, "spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler",
        "value": "-9223372036854775808", "effect": "NoSchedule"}]},
        "status": {"allocatable": {"cpu": "9E", "memory": "9E", "pods": "110"}, "capacity": {"cpu": "9E", "memory": "9E"}}});
    let pods: Vec<Value> = (0..3)
        .map(|at| {
            json!({"metadata": {"name": format!("p{at}"), "creationTimestamp": "0001-01-01T00:00:00Z"},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "resources": {"requests": {"cpu": "9E", "memory": "9E"}}}]}})
        })
        .collect();
    let body = json!({
        "now": "2262-01-01T00:00:00Z", "unneededSince": {"n1": "1970-01-01T00:00:00Z"},
        "nodeGroups": [{"id": "a", "minSize": 0, "maxSize": 100_000, "targetSize": 100_000, "nodes": ["n1", "gone"]}],
        "options": {"scaleDownUnneededTime": "2000000h", "scaleDownUtilizationThreshold": "1e9", "minCoresTotal": "9E",
            "blockingSystemPodDisruptionTimeout": "2000000h", "scanInterval": "0s", "maxScaleDownParallelism": 10_000},
        "cluster": {"nodes": [node], "pods": pods}
    });
    let got = answer(&body, &profiles());
    assert_eq!(got["nodes"]["n1"]["reason"], "BlockedByPod", "{got}");
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
