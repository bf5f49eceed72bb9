//! The recorded answers of Karmada's estimator, where the request says what its messages can say.

use std::{
    fs::File,
    io::{BufRead, BufReader},
};

use flate2::read::GzDecoder;
use podberth::wire::protobuf::Encoder;
use serde_json::{Value, json};

use crate::client::{REPLICAS, Running, component, replicas};

/// Cases about nodes, without quotas.
const SUITES: [&str; 6] = ["resources", "mixed", "taints", "affinity", "assumed", "empty"];

fn of_kind(list: &Value, kind: &str) -> Vec<Value> {
    let mut items = list.as_array().cloned().unwrap_or_default();
    for item in &mut items {
        (item["kind"], item["apiVersion"]) = (kind.into(), "v1".into());
    }
    items
}

/// `true` if requirements say all of a template: one container, and nothing besides it that takes resources.
fn is_said(template: &Value) -> bool {
    let spec = &template["spec"];
    let has_one = spec["containers"].as_array().is_some_and(|containers| containers.len() == 1);
    has_one && spec["initContainers"].is_null() && spec["overhead"].is_null()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_karmada_and_of_an_estimate() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/federation/estimate.jsonl.gz");
    let file = BufReader::new(GzDecoder::new(File::open(path).expect("the cases")));
    let running = Running::start().await;
    let client = running.client().await;
    let mut count = 0;
    for line in file.lines() {
        let case: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        let (id, request) = (case["id"].as_str().expect("an id"), &case["request"]);
        if !SUITES.contains(&case["suite"].as_str().expect("a suite")) || !is_said(&request["template"]) {
            continue;
        }
        // It makes the cluster, also without nodes.
        let namespace = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": request["namespace"]}});
        let objects = [vec![namespace], of_kind(&request["nodes"], "Node"), of_kind(&request["pods"], "Pod")].concat();
        running.import(id, &objects).await;
        let mut template = request["template"].clone();
        template["metadata"]["namespace"] = request["namespace"].clone();
        let mut message = replicas(id, &template);
        for assumed in request["assumed"].as_array().into_iter().flatten() {
            let workload = Encoder::default().text(1, assumed["namespace"].as_str().unwrap_or_default());
            let components = assumed["components"].as_array().expect("components").iter();
            let workload = components.fold(workload, |workload, one| {
                let count = i32::try_from(one["replicas"].as_i64().unwrap_or(1)).expect("few");
                workload.message(2, &component(&one["template"], count))
            });
            message = message.message(3, &workload);
        }
        let expected = case["expect"]["maxReplicas"].as_u64().expect("a number");
        assert_eq!(client.call(REPLICAS, message).await.number(), expected, "{id}");
        let estimate = running.server.post("/placements/estimate", request).await.is(200);
        assert_eq!(estimate["maxReplicas"], expected, "{id}");
        count += 1;
    }
    assert_eq!(count, 156);
}
