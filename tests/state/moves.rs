//! Failover between clusters: proposals, their order of steps, and a cluster that is taken away and brought back.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    documents::conforms,
    objects::{node, pod},
    server::{Server, Setup},
};

const CLUSTERS: &str = "/apis/podberth.io/v1/clusters";
const MOVES: &str = "/evictions?scope=clusters";
const LONG_AGO: &str = "2020-01-01T00:00:00Z";

/// A cluster with one node of 4 CPUs.
async fn cluster(server: &Server, name: &str) {
    server.post(CLUSTERS, &json!({"metadata": {"name": name}})).await.is(201);
    server.post(&format!("/clusters/{name}/api/v1/nodes"), &node("n")).await.is(201);
}

/// Tells if a cluster is ready, since long ago.
async fn ready(server: &Server, name: &str, is_ready: bool) {
    let status = if is_ready { "True" } else { "False" };
    let status =
        json!({"status": {"conditions": [{"type": "Ready", "status": status, "lastTransitionTime": LONG_AGO}]}});
    let merge = ("content-type", "application/merge-patch+json");
    server.ask("PATCH", &format!("{CLUSTERS}/{name}/status"), merge, status.to_string()).await.is(200);
}

/// A pod of 1 CPU that the placement `web` has placed in a cluster.
async fn placed(server: &Server, cluster: &str, name: &str) {
    let mut pod = pod(name);
    pod["metadata"]["labels"]["podberth.io/placement"] = "web".into();
    pod["spec"]["nodeName"] = "n".into();
    pod["spec"]["containers"][0]["image"] = "web".into();
    pod["status"] =
        json!({"phase": "Running", "startTime": LONG_AGO, "conditions": [{"type": "Ready", "status": "True"}]});
    server.post(&format!("/clusters/{cluster}/api/v1/namespaces/shop/pods"), &pod).await.is(201);
}

async fn pods(server: &Server, cluster: &str) -> Vec<String> {
    let list = server.get(&format!("/clusters/{cluster}/api/v1/pods")).await.is(200);
    crate::names(&list).into_iter().map(str::to_owned).collect()
}

/// The pace starts anew: as if the last move had been made long ago.
async fn rested(server: &Server, cluster: &str) {
    let patch = json!({"metadata": {"annotations": {"podberth.io/moved-at": LONG_AGO}}});
    let merge = ("content-type", "application/merge-patch+json");
    server.ask("PATCH", &format!("{CLUSTERS}/{cluster}"), merge, patch.to_string()).await.is(200);
}

fn told(list: &Value) -> Vec<(&str, bool, Option<&str>, Option<&str>)> {
    let items = list["items"].as_array().expect("items").iter();
    let of = |item: &'_ Value| -> _ { item["due"].as_bool().unwrap_or_default() };
    items
        .map(|item| {
            (item["pod"]["name"].as_str().expect("a name"), of(item), item["to"].as_str(), item["held"].as_str())
        })
        .collect()
}

pub async fn a_cluster_that_is_taken_away_loses_nothing(server: Server) {
    for name in ["down", "too", "up"] {
        cluster(&server, name).await;
    }
    for name in ["a", "b"] {
        placed(&server, "down", name).await;
    }
    // One that no placement has placed, and is left alone.
    server.post("/clusters/down/api/v1/namespaces/shop/pods", &pod("other")).await.is(201);
    assert_eq!(told(&server.get(MOVES).await.is(200)), []);
    ready(&server, "down", false).await;
    let list = server.get(MOVES).await.is(200);
    conforms("EvictionList", &list);
    assert_eq!(told(&list), [("a", true, Some("too"), None), ("b", false, Some("too"), None)]);
    assert_eq!((&list["items"][0]["placement"], &list["items"][0]["cluster"]), (&"web".into(), &"down".into()));
    // A dry run moves nothing; a call moves one, and the next one waits for its turn.
    server.post(&format!("{MOVES}&dryRun=All"), &Value::Null).await.is(200);
    assert_eq!((pods(&server, "down").await.len(), pods(&server, "too").await.len()), (3, 0));
    let report = server.post(MOVES, &Value::Null).await.is(200);
    conforms("EvictionReport", &report);
    assert_eq!((&report["items"][0]["outcome"], &report["items"][0]["to"]), (&"Moved".into(), &"too".into()));
    assert_eq!(
        (pods(&server, "down").await, pods(&server, "too").await),
        (vec!["b".into(), "other".into()], vec!["a".into()])
    );
    assert_eq!(told(&server.get(MOVES).await.is(200)), [("b", false, Some("too"), None)]);
    assert_eq!(server.post(MOVES, &Value::Null).await.is(200)["items"], json!([]), "it is paced");
    // It comes back: what was not moved stays, what was moved is not moved back.
    ready(&server, "down", true).await;
    rested(&server, "down").await;
    assert_eq!(server.post(MOVES, &Value::Null).await.is(200)["items"], json!([]));
    ready(&server, "down", false).await;
    assert_eq!(server.post(MOVES, &Value::Null).await.is(200)["items"][0]["pod"]["name"], "b");
    ready(&server, "down", true).await;
    rested(&server, "down").await;
    server.post(MOVES, &Value::Null).await.is(200);
    assert_eq!(
        (pods(&server, "down").await, pods(&server, "too").await),
        (vec!["other".to_owned()], vec!["a".into(), "b".into()])
    );
    let moved = server.get("/clusters/too/api/v1/namespaces/shop/pods/a").await.is(200);
    assert_eq!((&moved["spec"]["nodeName"], &moved["status"]), (&"n".into(), &Value::Null));
    assert!(moved["metadata"]["labels"]["podberth.io/moved-from"].is_string(), "{moved}");
}

pub async fn a_copy_whose_original_stays_is_released(server: Server) {
    for name in ["down", "too", "up"] {
        cluster(&server, name).await;
    }
    placed(&server, "down", "a").await;
    ready(&server, "down", false).await;
    // As a process leaves it that dies after the reservation.
    let uid = server.get("/clusters/down/api/v1/namespaces/shop/pods/a").await.is(200)["metadata"]["uid"].clone();
    let mut copy = pod("a");
    copy["metadata"]["labels"] = json!({"podberth.io/placement": "web", "podberth.io/moved-from": uid});
    copy["spec"]["nodeName"] = "n".into();
    server.post("/clusters/up/api/v1/namespaces/shop/pods", &copy).await.is(201);
    assert_eq!(told(&server.get(MOVES).await.is(200)), [("a", true, Some("up"), None)], "no second one is made");
    ready(&server, "down", true).await;
    server.post(MOVES, &Value::Null).await.is(200);
    assert_eq!((pods(&server, "down").await, pods(&server, "up").await), (vec!["a".to_owned()], vec![]));
    // And as the next call goes on with it where the cluster stays away.
    ready(&server, "down", false).await;
    server.post("/clusters/up/api/v1/namespaces/shop/pods", &copy).await.is(201);
    assert_eq!(server.post(MOVES, &Value::Null).await.is(200)["items"][0]["outcome"], "Moved");
    assert_eq!(
        (pods(&server, "down").await, pods(&server, "too").await, pods(&server, "up").await),
        (vec![], vec![], vec!["a".to_owned()])
    );
}

pub async fn a_copy_whose_cluster_goes_away_is_made_elsewhere(server: Server) {
    for name in ["down", "too", "up"] {
        cluster(&server, name).await;
    }
    placed(&server, "down", "a").await;
    ready(&server, "down", false).await;
    // A process died after the reservation, and then the other cluster went away.
    let uid = server.get("/clusters/down/api/v1/namespaces/shop/pods/a").await.is(200)["metadata"]["uid"].clone();
    let mut copy = pod("a");
    copy["metadata"]["labels"] = json!({"podberth.io/placement": "web", "podberth.io/moved-from": uid});
    copy["spec"]["nodeName"] = "n".into();
    server.post("/clusters/up/api/v1/namespaces/shop/pods", &copy).await.is(201);
    ready(&server, "up", false).await;
    let held = Some("no other cluster has room for it");
    assert_eq!(
        told(&server.get(MOVES).await.is(200)),
        [("a", false, None, held)],
        "half of a move is not moved itself"
    );
    assert_eq!(server.post(MOVES, &Value::Null).await.is(200)["items"], json!([]));
    assert_eq!((pods(&server, "down").await, pods(&server, "up").await), (vec!["a".to_owned()], vec![]));
    assert_eq!(server.post(MOVES, &Value::Null).await.is(200)["items"][0]["outcome"], "Moved");
    assert_eq!((pods(&server, "down").await, pods(&server, "too").await), (vec![], vec!["a".to_owned()]));
}

/// Many callers at two servers at once; the names of the pods that were moved.
async fn moved_by_many(servers: &[Server; 2]) -> Vec<String> {
    let mut calls = JoinSet::new();
    for number in 0..8 {
        let server = servers[number % 2].clone();
        calls.spawn(async move { server.post(MOVES, &Value::Null).await.is(200) });
    }
    let reports = calls.join_all().await;
    let items = reports.iter().flat_map(|report| report["items"].as_array().expect("items"));
    let moved = items.filter(|item| item["outcome"] == "Moved");
    moved.map(|item| item["pod"]["name"].as_str().expect("a name").to_owned()).collect()
}

pub async fn callers_at_once_move_each_pod_once_though_its_cluster_comes_back(server: Server) {
    let servers = [server.clone(), Server::replica(server.state.store.clone())];
    for name in ["down", "too", "up"] {
        cluster(&server, name).await;
    }
    for name in ["a", "b", "c", "d"] {
        placed(&server, "down", name).await;
    }
    ready(&server, "down", false).await;
    let mut moved = Vec::new();
    for round in 0..4 {
        if round == 2 {
            ready(&server, "down", true).await;
            let before = pods(&server, "down").await;
            let here = [server.clone(), server.clone()];
            assert_eq!(moved_by_many(&here).await, Vec::<String>::new(), "it is back: nothing leaves it");
            assert_eq!(pods(&server, "down").await, before);
            ready(&server, "down", false).await;
        }
        // The pace starts anew, each time from another instant.
        let annotation =
            json!({"metadata": {"annotations": {"podberth.io/moved-at": format!("2020-01-01T00:00:0{round}Z")}}});
        let merge = ("content-type", "application/merge-patch+json");
        server.ask("PATCH", &format!("{CLUSTERS}/down"), merge, annotation.to_string()).await.is(200);
        let now = moved_by_many(&servers).await;
        assert!(now.len() <= 1, "one at a time: {now:?}");
        moved.extend(now);
    }
    moved.sort();
    let unique = moved.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert!(!moved.is_empty() && unique == moved.len(), "moved twice: {moved:?}");
    // What went is in one other cluster, and what did not is where it was.
    let mut all = Vec::new();
    for name in ["down", "too", "up"] {
        all.extend(pods(&server, name).await);
    }
    all.sort();
    assert_eq!(all, ["a", "b", "c", "d"]);
    assert_eq!(pods(&server, "down").await.len(), 4 - moved.len());
}

pub async fn budgets_that_forbid_all_are_told(server: Server) {
    for name in ["down", "too", "up"] {
        cluster(&server, name).await;
    }
    for name in ["a", "b"] {
        placed(&server, "down", name).await;
    }
    let budget = json!({"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}}, "status": {"disruptionsAllowed": 0}});
    server.post("/clusters/down/apis/policy/v1/namespaces/shop/poddisruptionbudgets", &budget).await.is(201);
    ready(&server, "down", false).await;
    let list = server.get(MOVES).await.is(200);
    let held = Some("the disruption budget web allows no more disruptions");
    assert_eq!(told(&list), [("a", false, None, held), ("b", false, None, held)]);
    assert_eq!(list["message"], "disruption budgets forbid all 2 moves");
    let report = server.post(MOVES, &Value::Null).await.is(200);
    assert_eq!((&report["items"], &report["message"]), (&json!([]), &list["message"]));
    assert_eq!(pods(&server, "down").await, ["a", "b"]);
    // All clusters at once: the fault is most likely here.
    for name in ["too", "up"] {
        ready(&server, name, false).await;
    }
    // One of which nothing is known, as `default` is, is none of them.
    server.get("/clusters/default/api/v1/nodes").await.is(200);
    let list = server.get(MOVES).await.is(200);
    assert!(list["message"].as_str().is_some_and(|text| text.contains("all 3 clusters are not ready")), "{list}");
    server.get("/evictions?scope=pods").await.fails(400, "BadRequest");
}

pub async fn no_pod_leaves_without_room_elsewhere(server: Server) {
    for name in ["down", "too", "up"] {
        cluster(&server, name).await;
    }
    placed(&server, "down", "a").await;
    for name in ["too", "up"] {
        let mut full = pod("full");
        full["spec"]["nodeName"] = "n".into();
        full["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "4".into();
        server.post(&format!("/clusters/{name}/api/v1/namespaces/shop/pods"), &full).await.is(201);
    }
    ready(&server, "down", false).await;
    let message = "no other cluster has room for 1 of the pods";
    let list = server.get(MOVES).await.is(200);
    let held = Some("no other cluster has room for it");
    assert_eq!((told(&list), &list["message"]), (vec![("a", false, None, held)], &message.into()));
    let report = server.post(MOVES, &Value::Null).await.is(200);
    assert_eq!((&report["items"], &report["message"]), (&json!([]), &message.into()));
    assert_eq!(pods(&server, "down").await, ["a"]);
}

pub async fn copies_stand_for_those_that_go_and_for_no_others(server: Server) {
    // Finalizers hold deletions up.
    let server = Server::start(server.state.store.clone(), Setup::strict());
    for name in ["down", "too", "up"] {
        cluster(&server, name).await;
        let namespaces = format!("/clusters/{name}/api/v1/namespaces");
        server.post(&namespaces, &json!({"metadata": {"name": "shop"}})).await.is(201);
    }
    placed(&server, "down", "a").await;
    let merge = ("content-type", "application/merge-patch+json");
    let pod_a = "/clusters/down/api/v1/namespaces/shop/pods/a";
    let finalizers = json!({"metadata": {"finalizers": ["a.example/x"]}});
    let uid = server.ask("PATCH", pod_a, merge, finalizers.to_string()).await.is(200)["metadata"]["uid"].clone();
    // A pod of another name says that it is the copy.
    let mut decoy = pod("decoy");
    decoy["metadata"]["labels"] = json!({"podberth.io/placement": "web", "podberth.io/moved-from": uid});
    decoy["spec"]["nodeName"] = "n".into();
    decoy["spec"]["containers"][0]["image"] = "web".into();
    server.post("/clusters/up/api/v1/namespaces/shop/pods", &decoy).await.is(201);
    // A cluster that is being deleted takes nothing.
    server.ask("PATCH", &format!("{CLUSTERS}/too"), merge, finalizers.to_string()).await.is(200);
    server.delete(&format!("{CLUSTERS}/too")).await.is(200);
    ready(&server, "down", false).await;
    assert_eq!(server.post(MOVES, &Value::Null).await.is(200)["items"][0]["outcome"], "Moved");
    assert_eq!(pods(&server, "too").await, Vec::<String>::new());
    assert_eq!(pods(&server, "up").await, ["a", "decoy"]);
    // The original goes, though its cluster is back: its copy stays.
    ready(&server, "down", true).await;
    rested(&server, "down").await;
    server.post(MOVES, &Value::Null).await.is(200);
    assert_eq!(
        (pods(&server, "down").await, pods(&server, "up").await),
        (vec!["a".into()], vec!["a".into(), "decoy".into()])
    );
}
