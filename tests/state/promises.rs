//! A placement promises no more than `/schedule` then binds: random small clusters and requests, in memory.

use std::collections::BTreeMap;

use proptest::{collection::vec, option::of, prelude::*, sample::select};
use serde_json::{Value, json};

use crate::server::{Server, Setup, memory};

/// The nodes of a cluster, each with CPUs, zone and taint, and the pods that run there, each with its node and CPUs.
type Content = (Vec<(i64, usize, bool)>, Vec<(usize, i64)>);

fn content() -> impl Strategy<Value = Content> {
    (vec((1_i64..7, 0_usize..3, prop::bool::weighted(0.1)), 0..5), vec((0_usize..5, 1_i64..4), 0..5))
}

fn division() -> impl Strategy<Value = Value> {
    select(vec![
        json!("Duplicated"),
        json!({"aggregated": {}}),
        json!({"weighted": {"dynamic": "AvailableReplicas"}}),
        json!({"weighted": {}}),
    ])
}

fn spread() -> impl Strategy<Value = Value> {
    let by =
        |by: &str, min: usize, max: Option<usize>| json!({"by": by, "minGroups": min, "maxGroups": max.unwrap_or(0)});
    prop_oneof![
        2 => Just(json!([])),
        1 => (1_usize..3, of(2_usize..4)).prop_map(move |(min, max)| json!([by("cluster", min, max)])),
        1 => (1_usize..3, of(2_usize..4)).prop_map(move |(min, max)| json!([by("cluster", 1, None), by("region", min, max)])),
    ]
}

/// A pod of `app=web` that asks for so many CPUs, and spreads or keeps apart from its like.
fn template(cpu: i64, sort: u8) -> Value {
    let selector = json!({"matchLabels": {"app": "web"}});
    let mut pod = json!({"metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu.to_string()}}}]}});
    let apart = |key: &str| json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": key, "labelSelector": selector}]}});
    match sort {
        0 => {}
        1 => {
            pod["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1, "topologyKey": "zone",
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}]);
        }
        2 => pod["spec"]["affinity"] = apart("kubernetes.io/hostname"),
        _ => pod["spec"]["affinity"] = apart("zone"),
    }
    pod
}

/// The objects of a cluster as an import takes them.
fn list((nodes, pods): &Content) -> Value {
    let node = |(at, (cpu, zone, is_tainted)): (usize, &(i64, usize, bool))| {
        let taints = if *is_tainted { json!([{"key": "k", "effect": "NoSchedule"}]) } else { json!([]) };
        let name = format!("n{at}");
        json!({"kind": "Node", "apiVersion": "v1", "spec": {"taints": taints},
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "zone": format!("z{zone}")}},
            "status": {"allocatable": {"cpu": cpu.to_string(), "memory": "64Gi", "pods": "110"}}})
    };
    let running = |(at, (on, cpu)): (usize, &(usize, i64))| {
        let mut pod = template(*cpu, 0);
        (pod["kind"], pod["apiVersion"]) = ("Pod".into(), "v1".into());
        (pod["metadata"]["name"], pod["metadata"]["namespace"]) = (format!("r{at}").into(), "shop".into());
        pod["spec"]["nodeName"] = format!("n{on}").into();
        pod
    };
    let namespace = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "shop"}});
    let pods = pods.iter().enumerate().filter(|(_, (on, _))| *on < nodes.len());
    let items = nodes.iter().enumerate().map(node).chain(pods.map(running)).chain([namespace]);
    json!({"kind": "List", "apiVersion": "v1", "items": items.collect::<Vec<_>>()})
}

/// Binds so many pods of a template in a cluster, all by one request or each by its own: how many have found a node.
async fn bound(server: &Server, cluster: &str, template: &Value, count: i64, seed: u64, is_alone: bool) -> i64 {
    let pod = |number| {
        let mut pod = template.clone();
        (pod["metadata"]["name"], pod["metadata"]["namespace"]) = (format!("web-{number}").into(), "shop".into());
        pod
    };
    let pods: Vec<Value> = (0..count).map(pod).collect();
    let mut bound = 0;
    for pods in pods.chunks(if is_alone { 1 } else { pods.len().max(1) }) {
        let body = json!({"pods": pods, "seed": seed, "preempt": false, "suggestions": false});
        let report = server.post(&format!("/clusters/{cluster}/schedule"), &body).await.is(200);
        bound += report["pods"].as_array().expect("pods").iter().filter(|pod| pod["result"] == "Bound").count() as i64;
    }
    bound
}

/// Of each cluster with a share: the new replicas that it was promised, and its room.
fn promised(reply: &Value, previous: &BTreeMap<String, i64>) -> Vec<(String, i64, i64)> {
    let clusters = reply["clusters"].as_array().expect("clusters").iter();
    let of = |of: &Value| {
        let number = |field: &str| of[field].as_i64().expect("a number");
        let name = of["name"].as_str().expect("a name").to_owned();
        let new = number("replicas") - previous.get(&name).unwrap_or(&0);
        (name, new.max(0), number("available"))
    };
    clusters.map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Each cluster binds the replicas that it was promised, and exactly as many as it has room for: with one more, that one finds no node.
    #[test]
    fn no_answer_promises_more_than_schedule_binds(
        clusters in vec(content(), 1..4), regions in vec(0_usize..2, 3), cpu in 1_i64..5, sort in 0_u8..4, replicas in 1_i64..14,
        division in division(), spread in spread(), partial in any::<bool>(), had in vec(0_i64..3, 3), seed in 0_u64..3, is_alone in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let server = Server::start(memory(&[]).await, Setup { is_searched: false, ..Setup::default() });
            for (at, content) in clusters.iter().enumerate() {
                let object = json!({"metadata": {"name": format!("c{at}")}, "spec": {"region": format!("r{}", regions[at])}});
                server.post("/apis/podberth.io/v1/clusters", &object).await.is(201);
                server.post(&format!("/clusters/c{at}/import"), &list(content)).await.is(200);
            }
            let names = (0..clusters.len()).map(|at| format!("c{at}"));
            let previous: BTreeMap<String, i64> = names.zip(had).filter(|(_, had)| *had > 0).collect();
            let template = template(cpu, sort);
            let told: Vec<Value> = previous.iter().map(|(cluster, replicas)| json!({"cluster": cluster, "replicas": replicas})).collect();
            let request = json!({"template": template, "namespace": "shop", "replicas": replicas, "division": division,
                "spread": spread, "partial": partial, "previous": told, "seed": seed});
            let reply = server.post("/placements", &request).await.is(200);
            for (cluster, new, available) in promised(&reply, &previous) {
                assert!(new <= available, "{cluster}: {reply}");
                // Counting ends at the number of replicas.
                let asked = if available < replicas { available + 1 } else { new };
                let found = bound(&server, &cluster, &template, asked, seed, is_alone).await;
                assert_eq!(found, asked.min(available), "{cluster} of {request}: {reply}");
            }
        });
    }
}
