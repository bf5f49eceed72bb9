//! Placements on clusters that grow, that evict, that are behind, and requests that contradict themselves: in memory, since no engine matters.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use podberth::{
    store::{Atomicity, Change, Key, Precondition, Write},
    wire::source::{KindStatus, SyncStatus},
};
use serde_json::{Value, json};

use crate::{
    objects::NODES,
    server::{Server, Setup, memory},
};

const CLUSTERS: &str = "/apis/podberth.io/v1/clusters";

async fn empty() -> Server {
    Server::start(memory(&[]).await, Setup::default())
}

fn node(name: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "64Gi", "pods": "110"}}})
}

/// A pod that asks for so many CPUs.
fn template(cpu: &str) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
}

/// Replicas of a CPU each, on as few clusters as hold them.
fn asked(replicas: u64, more: &Value) -> Value {
    let mut request = json!({"template": template("1"), "replicas": replicas, "division": {"aggregated": {}}});
    request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    request
}

/// A cluster with one node of so many CPUs, and an object with this `spec`.
async fn cluster(server: &Server, name: &str, cpu: &str, spec: &Value) {
    server.post(CLUSTERS, &json!({"metadata": {"name": name}, "spec": spec})).await.is(201);
    server.post(&format!("/clusters/{name}{NODES}"), &node("n", cpu)).await.is(201);
}

/// The reasons against a cluster, each with its rule.
fn against<'r>(reply: &'r Value, cluster: &str) -> Vec<(&'r str, &'r str)> {
    let rejected = reply["rejected"].as_array().expect("a list").iter().find(|of| of["name"] == cluster);
    let reasons = rejected.and_then(|of| of["reasons"].as_array()).into_iter().flatten();
    reasons.filter_map(|of| Some((of["rule"].as_str()?, of["text"].as_str()?))).collect()
}

#[tokio::test]
async fn nodes_that_would_be_added_count_if_they_are_allowed_and_are_told_with_wait_and_cost() {
    let server = empty().await;
    let grown = |name: &str, cpu: &str, start: &str, cost: &str| {
        json!({"name": name, "max": 3, "startTime": start, "cost": cost,
            "template": {"status": {"allocatable": {"cpu": cpu, "memory": "64Gi", "pods": "110"}}}})
    };
    let spec = json!({"nodeTemplates": [grown("small", "2", "1m", "0.1"), grown("large", "4", "9m", "0.25")],
        "cost": {"perCpuHour": "0.04", "currency": "EUR"}});
    cluster(&server, "grows", "2", &spec).await;
    let refused = server.post("/placements", &asked(9, &json!({}))).await.is(200);
    assert_eq!((&refused["reason"], &refused["unplaced"]), (&json!("InsufficientReplicas"), &json!(9)));

    let grow = json!({"scaleUp": {"allowed": true}});
    let placed = server.post("/placements", &asked(9, &grow)).await.is(200)["clusters"][0].clone();
    // 2 on the node that is there; of the small ones three would take 6, of the large ones two take the other 7.
    assert_eq!((&placed["available"], &placed["onExisting"]), (&json!(9), &json!(2)));
    let added = json!({"template": "large", "replicas": 7, "count": 2, "waitSeconds": 540, "cost": 0.5});
    assert_eq!(placed["afterScaleUp"], added);
    // Large ones come too late: 2 and 6.
    let soon = asked(9, &json!({"scaleUp": {"allowed": true, "maxWait": "5m"}, "partial": true}));
    let reply = server.post("/placements", &soon).await.is(200);
    assert_eq!((&reply["unplaced"], &reply["clusters"][0]["afterScaleUp"]["template"]), (&json!(1), &json!("small")));

    // A promise is never committed.
    let bind = asked(9, &json!({"scaleUp": {"allowed": true}, "commit": "bind"}));
    let reply = server.post("/placements", &bind).await.is(200);
    assert_eq!((&reply["reason"], &reply["committed"]), (&json!("InsufficientReplicas"), &Value::Null));
    let pods = server.get("/clusters/grows/api/v1/pods").await.is(200);
    assert_eq!(pods["items"], json!([]));
}

#[tokio::test]
async fn room_that_evictions_would_make_is_told_apart_and_never_committed() {
    let server = empty().await;
    cluster(&server, "full", "4", &json!({})).await;
    cluster(&server, "free", "2", &json!({})).await;
    let mut low = template("3");
    low["metadata"] = json!({"name": "low"});
    (low["spec"]["nodeName"], low["spec"]["priority"]) = ("n".into(), 0.into());
    server.post("/clusters/full/api/v1/namespaces/default/pods", &low).await.is(201);
    let mut high = template("1");
    high["spec"]["priority"] = 1000.into();
    let request = asked(6, &json!({"template": high, "preemption": true}));
    let reply = server.post("/placements", &request).await.is(200);
    let of = |name: &str| {
        let placed = reply["clusters"].as_array().expect("a list").iter().find(|of| of["name"] == name);
        let placed = placed.expect("it takes some");
        [&placed["replicas"], &placed["onExisting"], &placed["byPreemption"]].map(|number| number.as_i64().unwrap_or(0))
    };
    // 1 beside the pod of 3 CPUs, and 3 in its place.
    assert_eq!((of("full"), of("free")), ([4, 1, 3], [2, 2, 0]));
    let mut request = request;
    request["commit"] = "bind".into();
    let reply = server.post("/placements", &request).await.is(200);
    assert_eq!((&reply["reason"], &reply["committed"]), (&json!("InsufficientReplicas"), &Value::Null));
    server.get("/clusters/full/api/v1/namespaces/default/pods/low").await.is(200);
}

#[tokio::test]
async fn components_are_placed_in_one_cluster_as_a_whole() {
    let server = empty().await;
    cluster(&server, "a", "4", &json!({})).await;
    cluster(&server, "b", "7", &json!({})).await;
    let components = json!([{"name": "leader", "template": template("2")}, {"name": "worker", "replicas": 2, "template": template("1")}]);
    let request = json!({"components": components, "replicas": 3, "division": {"weighted": {"dynamic": "AvailableReplicas"}}, "partial": true});
    let reply = server.post("/placements", &request).await.is(200);
    // A set of 4 CPUs in each: the 3 CPUs that are left in b hold no second one.
    let told: Vec<_> =
        reply["clusters"].as_array().expect("a list").iter().map(|of| (&of["name"], &of["nodes"])).collect();
    let three = json!([{"name": "n", "count": 3}]);
    assert_eq!((told, &reply["unplaced"]), (vec![(&json!("a"), &three), (&json!("b"), &three)], &json!(1)));
    let mut bind = request;
    (bind["replicas"], bind["commit"], bind["name"]) = (2.into(), "bind".into(), "set".into());
    server.post("/placements", &bind).await.is(200);
    for name in ["a", "b"] {
        let pods = server.get(&format!("/clusters/{name}/api/v1/pods")).await.is(200);
        let mut parts: Vec<String> =
            crate::names(&pods).into_iter().map(|name| name.split('-').take(2).collect::<Vec<_>>().join("-")).collect();
        parts.sort();
        assert_eq!(parts, ["set-leader", "set-worker", "set-worker"], "{name}");
    }
    for (field, value, told) in [
        ("template", template("1"), "components: Forbidden: may not be specified together with template"),
        ("components", json!([{"name": "leader"}]), "components[0].template: Required value"),
        ("components", json!([{"template": template("1"), "replicas": 0}]), "components[0].replicas: Invalid value: 0"),
    ] {
        let mut request = json!({"components": components, "replicas": 1});
        request[field] = value;
        let refusal = server.post("/placements", &request).await.refusal(400);
        assert!(refusal.contains(told), "{refusal}");
    }
}

#[tokio::test]
async fn max_skew_bounds_the_difference_between_groups() {
    let server = empty().await;
    for (name, cpu, region) in [("a", "8", "eu"), ("b", "8", "eu"), ("c", "3", "us")] {
        cluster(&server, name, cpu, &json!({"region": region})).await;
    }
    let spread = |by: &str, skew: u64| json!({"spread": [{"by": "cluster"}, {"by": by, "maxSkew": skew}]});
    let place = async |replicas, skew, partial: bool| {
        let mut request = asked(replicas, &spread("region", skew));
        request["partial"] = partial.into();
        let reply = server.post("/placements", &request).await.is(200);
        let replicas = |name: &str| {
            let placed = reply["clusters"].as_array().expect("a list").iter().find(|of| of["name"] == name);
            placed.map_or(0, |of| of["replicas"].as_i64().expect("a number"))
        };
        (replicas("a") + replicas("b"), replicas("c"), reply["message"].clone())
    };
    assert_eq!(place(6, 1, false).await, (3, 3, Value::Null));
    assert_eq!(place(7, 1, false).await, (4, 3, Value::Null));
    let (.., message) = place(9, 1, false).await;
    assert_eq!(
        message,
        "the clusters have room for 19 more replicas, but not within the maxSkew of 1; 9 have no place"
    );
    let (eu, us, _) = place(9, 1, true).await;
    assert_eq!((eu, us), (4, 3));
    assert_eq!(place(9, 3, false).await, (6, 3, Value::Null));
}

/// The status of a mirror that told something so many seconds ago.
fn status(seconds: i64) -> SyncStatus {
    let as_of: Timestamp = podberth::clock::now().checked_sub(SignedDuration::from_secs(seconds)).expect("an instant");
    let kind = KindStatus { as_of: Some(as_of), source_version: "7".into(), objects: 1, relists: 1, trouble: None };
    SyncStatus { kinds: [("nodes".to_owned(), kind)].into(), ..SyncStatus::default() }
}

#[tokio::test]
async fn mirrors_that_are_behind_get_nothing_new() {
    let server = empty().await;
    let source = json!({"source": {"kubeconfigFile": "/etc/podberth/prod.kubeconfig"}});
    server.put("/clusters/mirror", &source).await.is(201);
    let put = Change::Put { body: node("n", "4").to_string().into(), uid: "n".into(), node: None };
    let write = Write { key: Key::new("nodes", "", "n"), precondition: Precondition::default(), change: put };
    let store = Arc::clone(&server.state.store);
    store.commit("mirror", vec![write], Atomicity::AllOrNothing).await.expect("the store writes");
    let place = async |more: Value| server.post("/placements", &asked(2, &more)).await.is(200);

    // Nobody has told of it: it is not ready.
    let reply = place(json!({})).await;
    assert!(against(&reply, "mirror").iter().any(|(rule, _)| *rule == "ClusterReady"), "{reply}");
    server.state.sources.tell("mirror", status(60));
    assert_eq!(place(json!({})).await["clusters"][0]["replicas"], 2);
    let reply = place(json!({"maxLag": "30s"})).await;
    let [(rule, text)] = against(&reply, "mirror")[..] else { panic!("{reply}") };
    assert_eq!(rule, "ClusterReady");
    assert!(text.starts_with("its mirror is 6") && text.ends_with(" s behind, more than 30 s"), "{text}");
    // It keeps what it has.
    let kept = json!({"maxLag": "30s", "previous": [{"cluster": "mirror", "replicas": 2}]});
    assert_eq!(place(kept).await["clusters"][0]["replicas"], 2);
    server.state.sources.tell("mirror", status(1_000));
    let reply = place(json!({})).await;
    assert!(against(&reply, "mirror").iter().any(|(_, text)| text.starts_with("the cluster is not ready")), "{reply}");
    // Its pods are made by its live cluster, so a commit goes elsewhere.
    server.state.sources.tell("mirror", status(1));
    cluster(&server, "own", "4", &json!({})).await;
    let reply = place(json!({"commit": "bind"})).await;
    assert_eq!(reply["clusters"][0]["name"], "own");
    assert!(against(&reply, "mirror")[0].1.starts_with("it mirrors a live cluster"), "{reply}");
    let refusal = server.post("/placements", &asked(2, &json!({"maxLag": "soon"}))).await.refusal(400);
    assert!(refusal.starts_with("maxLag: Invalid value"), "{refusal}");
}

#[tokio::test]
async fn contradictions_are_refused_by_their_fields() {
    let server = empty().await;
    cluster(&server, "a", "4", &json!({"region": "eu"})).await;
    let by_cluster = json!({"by": "cluster"});
    for (more, told) in [
        (json!({"replicas": 0}), "replicas: Invalid value: 0: there is nothing to place"),
        (json!({"clusters": {"names": ["a", "b"]}}), "clusters.names[1]: Not found: \"b\": there is no such cluster"),
        (
            json!({"clusters": {"affinities": [{"name": "x", "names": ["a"]}, {"name": "y", "names": ["b"]}]}}),
            "clusters.affinities[1].names[0]: Not found: \"b\"",
        ),
        (
            json!({"spread": [{"by": "cluster", "minGroups": 3, "maxGroups": 2}]}),
            "spread[0].maxGroups: Invalid value: 2: must be greater than or equal to minGroups, which is 3",
        ),
        (json!({"spread": [by_cluster, {"by": "cluster"}]}), "spread[1].by: Duplicate value: \"cluster\""),
        (
            json!({"spread": [by_cluster, {"by": "region"}, {"by": "label:tier"}]}),
            "spread[2].by: Invalid value: \"label:tier\": groups are made by one of region and label",
        ),
        (json!({"spread": [{"by": "planet"}]}), "spread[0].by: Unsupported value: \"planet\""),
        (json!({"spread": [{"by": "region"}]}), "spread: Required value: one by \"cluster\" has to be among them"),
        (
            json!({"previous": [{"cluster": "a", "replicas": 1}, {"cluster": "a", "replicas": 2}]}),
            "previous[1].cluster: Duplicate value: \"a\"",
        ),
        (json!({"division": {"aggregated": {}, "weighted": {}}}), "division: Invalid value"),
        (
            json!({"spread": [{"by": "cluster", "maxGroups": 1}, {"by": "region", "minGroups": 2}]}),
            "spread[1].minGroups: Invalid value: 2: more groups than clusters",
        ),
        (json!({"spread": [{"by": "cluster", "maxSkew": 0}]}), "spread[0].maxSkew: Invalid value: 0: must be greater"),
        (
            json!({"spread": [by_cluster, {"by": "zone", "maxSkew": 1}]}),
            "spread[1].maxSkew: Forbidden: a cluster may span several zones",
        ),
        (
            json!({"spread": [{"by": "cluster", "maxSkew": 1}, {"by": "region", "maxSkew": 1}]}),
            "spread[1].maxSkew: Forbidden: another constraint has one",
        ),
        (
            json!({"spread": [{"by": "cluster", "maxSkew": 1}], "division": "Duplicated"}),
            "spread[0].maxSkew: Forbidden: with the division Duplicated",
        ),
        (
            json!({"spread": [{"by": "cluster", "maxSkew": 1}],
                "clusters": {"affinities": [{"name": "x", "overflow": [{"name": "y"}]}]}}),
            "clusters.affinities[0].overflow: Forbidden",
        ),
        (json!({"priorities": {"tree": ["Luck"]}}), "priorities.tree[0]: Unsupported value: \"Luck\""),
    ] {
        let refusal = server.post("/placements", &asked(2, &more)).await.refusal(400);
        assert!(refusal.contains(told), "{refusal}\nexpected: {told}");
    }
    // What the clusters cannot meet is an answer, with its reason.
    for (spread, reason) in [
        (json!([{"by": "cluster", "minGroups": 2}]), "TooFewClusters"),
        (json!([{"by": "cluster"}, {"by": "region", "minGroups": 2}]), "TooFewRegions"),
        (json!([{"by": "cluster", "minGroups": 2}, {"by": "region"}]), "RegionsTooSmall"),
    ] {
        let reply = server.post("/placements", &asked(2, &json!({"spread": spread}))).await.is(200);
        assert_eq!((&reply["reason"], &reply["clusters"]), (&json!(reason), &json!([])), "{reply}");
    }
}

#[tokio::test]
async fn the_decisions_of_a_commit_are_recorded_in_each_cluster_and_can_be_made_again() {
    let decisions = "binds".parse().expect("a share");
    let server = Server::start(memory(&[]).await, Setup { decisions, ..Setup::default() });
    cluster(&server, "a", "2", &json!({})).await;
    cluster(&server, "b", "1", &json!({})).await;
    server.post("/placements", &asked(2, &json!({}))).await.is(200);
    assert_eq!(server.get("/clusters/a/decisions").await.is(200)["items"], json!([]), "an answer alone is no decision");
    server.post("/placements", &asked(3, &json!({"commit": "bind"}))).await.is(200);
    for (name, pods) in [("a", 2), ("b", 1)] {
        let list = server.get(&format!("/clusters/{name}/decisions")).await.is(200);
        let items = list["items"].as_array().expect("items");
        assert!(items.iter().all(|of| of["call"] == "placement" && of["node"] == "n"), "{list}");
        assert_eq!(items.iter().filter(|of| of["outcome"] == "bound").count(), pods, "{list}");
        let replayed = server.post(&format!("/clusters/{name}/replay"), &json!({"all": true})).await.is(200);
        assert_eq!((&replayed["different"], &replayed["total"]), (&json!([]), &json!(items.len())), "{replayed}");
    }
}

async fn pods(server: &Server, cluster: &str) -> Vec<Value> {
    let list = server.get(&format!("/clusters/{cluster}/api/v1/pods")).await.is(200);
    list["items"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_commit_comes_to_its_end_or_to_nothing_though_its_client_leaves() {
    for patience in 0..24 {
        let server = empty().await;
        for name in ["a", "b", "c"] {
            cluster(&server, name, "4", &json!({})).await;
        }
        let request = asked(9, &json!({"commit": "bind"}));
        let asking = tokio::spawn({
            let server = server.clone();
            async move { server.post("/placements", &request).await }
        });
        for _ in 0..patience * 8 {
            tokio::task::yield_now().await;
        }
        asking.abort();
        let _ = asking.await;
        let is_whole = async || {
            let mut all = Vec::new();
            for name in ["a", "b", "c"] {
                all.extend(pods(&server, name).await);
            }
            let bound = all.iter().filter(|pod| pod["spec"]["nodeName"].is_string()).count();
            all.is_empty() || (all.len(), bound) == (9, 9)
        };
        let settles = async {
            while !is_whole().await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_mins(1), settles).await.expect("all, or none");
    }
}

#[tokio::test]
async fn pods_of_a_placement_have_names_that_are_free_in_all_its_clusters() {
    let server = empty().await;
    for name in ["a", "b"] {
        cluster(&server, name, "4", &json!({})).await;
    }
    let reply = server.post("/placements", &asked(6, &json!({"commit": "bind"}))).await.is(200);
    let label = reply["placement"].as_str().expect("its name");
    let mut names = std::collections::BTreeSet::new();
    for name in ["a", "b"] {
        for pod in pods(&server, name).await {
            assert_eq!(pod["metadata"]["labels"]["podberth.io/placement"], label);
            names.insert(pod["metadata"]["name"].to_string());
        }
    }
    assert_eq!(names.len(), 6, "{names:?}");
}
