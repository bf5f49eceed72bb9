//! `/schedule` over HTTP, without a socket.

#[path = "support/server.rs"]
mod server;

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{Request, header},
};
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use server::Server;

fn node(name: &str, cpu: &str) -> (&'static str, Value) {
    (
        "nodes",
        json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}}}),
    )
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]}})
}

fn pods(count: usize, cpu: &str) -> Vec<Value> {
    (0..count).map(|i| pod(&format!("web-{i}"), cpu)).collect()
}

async fn schedule(server: &Server, body: &Value) -> Value {
    server.post("/schedule", body.to_string()).await.json()
}

async fn stored(server: &Server) -> Value {
    let request = Request::get("/api/v1/pods").body(Body::empty()).expect("a request");
    server.send(request).await.json()
}

/// How many CPUs the stored pods ask for on each node; `-` for those that wait.
async fn load(server: &Server) -> BTreeMap<String, i64> {
    let list = stored(server).await;
    let mut load = BTreeMap::new();
    for pod in list["items"].as_array().expect("items") {
        let node = pod["spec"]["nodeName"].as_str().unwrap_or("-").to_owned();
        let cpu = pod["spec"]["containers"][0]["resources"]["requests"]["cpu"].as_str().expect("cpu");
        *load.entry(node).or_default() += cpu.parse::<i64>().expect("whole CPUs");
    }
    load
}

fn results(report: &Value) -> Vec<&str> {
    report["pods"].as_array().expect("pods").iter().filter_map(|pod| pod["result"].as_str()).collect()
}

#[tokio::test]
async fn pods_are_stored_and_bound_and_a_repeat_changes_nothing() {
    let server = Server::with(&[node("a", "4"), node("b", "4")]).await;
    let request = json!({"pods": pods(5, "2"), "suggestions": false});
    let first = schedule(&server, &request).await;
    assert_eq!(results(&first), ["Bound", "Bound", "Bound", "Bound", "Unschedulable"]);
    assert_eq!(first["pods"][4]["message"], "0/2 nodes are available: 2 Insufficient cpu.");
    assert_eq!((&first["summary"]["bound"], &first["summary"]["unschedulable"]), (&4.into(), &1.into()));
    assert_eq!(first["summary"]["policy"]["release"], "1.22");
    assert_eq!(load(&server).await, [("a".into(), 4), ("b".into(), 4)].into(), "what fits nowhere is not stored");

    let again = schedule(&server, &request).await;
    assert_eq!(results(&again)[..4], ["AlreadyBound"; 4]);
    assert!((0..4).all(|i| again["pods"][i]["node"] == first["pods"][i]["node"]));
    assert_eq!(again["summary"]["revision"], first["summary"]["revision"]);
}

#[tokio::test]
async fn pods_that_wait_are_found_by_name_label_namespace_and_scheduler() {
    let waiting = |name: &str, label: &str, scheduler: &str| {
        let mut pod = pod(name, "1");
        pod["metadata"]["labels"] = json!({"app": label});
        pod["spec"]["schedulerName"] = scheduler.into();
        ("pods", pod)
    };
    let objects =
        [node("a", "9"), waiting("x", "web", "podberth"), waiting("y", "db", "podberth"), waiting("z", "web", "other")];
    for (query, expected) in [
        (json!({"podNames": ["shop/y", "shop/none"]}), vec![("y", "WouldBind"), ("none", "Failed")]),
        (json!({"selector": "app=web"}), vec![("x", "WouldBind"), ("z", "WouldBind")]),
        (json!({"selector": "app=web", "schedulerName": "podberth"}), vec![("x", "WouldBind")]),
        (json!({"namespace": "shop"}), vec![("x", "WouldBind"), ("y", "WouldBind"), ("z", "WouldBind")]),
        (json!({"namespace": "none"}), vec![]),
    ] {
        let server = Server::with(&objects).await;
        let mut request = query.clone();
        request["dryRun"] = true.into();
        let report = schedule(&server, &request).await;
        let told: Vec<_> = report["pods"]
            .as_array()
            .expect("pods")
            .iter()
            .map(|pod| (pod["name"].as_str().expect("a name"), pod["result"].as_str().expect("a result")))
            .collect();
        assert_eq!(told, expected, "{query}");
        assert_eq!(load(&server).await, [("-".into(), 3)].into(), "nothing was bound");
        let bound = schedule(&server, &query).await;
        let placed = expected.iter().filter(|(_, result)| *result == "WouldBind").count();
        assert_eq!(bound["summary"]["bound"], placed, "{query}");
    }
}

#[tokio::test]
async fn a_gang_is_bound_whole_or_not_at_all() {
    let server = Server::with(&[node("a", "4")]).await;
    let gang = |count| json!({"pods": pods(count, "2"), "allOrNothing": true});
    let refused = schedule(&server, &gang(3)).await;
    assert_eq!(results(&refused), ["NotAttempted", "NotAttempted", "Unschedulable"]);
    assert_eq!(stored(&server).await["items"], json!([]));
    let bound = schedule(&server, &gang(2)).await;
    assert_eq!(results(&bound), ["Bound", "Bound"]);
    assert_eq!(load(&server).await, [("a".into(), 4)].into());
    assert_eq!(results(&schedule(&server, &gang(2)).await), ["AlreadyBound", "AlreadyBound"]);
}

#[tokio::test]
async fn important_pods_come_first_and_may_evict() {
    let with_priority = |name: &str, priority: i32| {
        let mut pod = pod(name, "3");
        pod["spec"]["priority"] = priority.into();
        pod
    };
    let server = Server::with(&[node("a", "4")]).await;
    let both = json!({"pods": [with_priority("low", 1), with_priority("middle", 5)], "preempt": false});
    assert_eq!(results(&schedule(&server, &both).await), ["Unschedulable", "Bound"]);
    let high = json!({"pods": [with_priority("high", 9)]});
    let trial = json!({"pods": [with_priority("high", 9)], "dryRun": true});
    assert_eq!(schedule(&server, &trial).await["pods"][0]["result"], "WouldBind");
    let report = schedule(&server, &high).await;
    let told = &report["pods"][0];
    assert_eq!((&told["result"], &told["nominatedNode"]), (&"Bound".into(), &"a".into()));
    assert_eq!(told["victims"], json!([{"namespace": "shop", "name": "middle"}]));
    assert_eq!(report["summary"]["evicted"], 1);
    let list = stored(&server).await;
    assert_eq!(
        (list["items"].as_array().map(Vec::len), &list["items"][0]["metadata"]["name"]),
        (Some(1), &"high".into())
    );
}

/// A cluster of `nodes` nodes, each full with a pod under a budget that allows `allowed` disruptions.
async fn guarded(nodes: usize, allowed: usize) -> Server {
    let mut objects: Vec<(&str, Value)> = Vec::new();
    for at in 0..nodes {
        objects.push(node(&format!("n{at}"), "1"));
        let mut low = pod(&format!("low-{at}"), "1");
        low["spec"]["nodeName"] = format!("n{at}").into();
        low["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        objects.push(("pods", low));
    }
    let status = json!({"disruptionsAllowed": allowed, "currentHealthy": nodes, "desiredHealthy": nodes - allowed});
    let budget = json!({"metadata": {"name": "web", "namespace": "shop"}, "status": status,
        "spec": {"minAvailable": nodes - allowed, "selector": {"matchLabels": {"app": "web"}}}});
    objects.push(("poddisruptionbudgets.policy", budget));
    Server::with(&objects).await
}

fn urgent(count: usize) -> Vec<Value> {
    let urgent = |i: usize| {
        let mut pod = pod(&format!("high-{i}"), "1");
        pod["metadata"]["labels"] = json!({"app": "batch"});
        pod["spec"]["priority"] = 9.into();
        pod
    };
    (0..count).map(urgent).collect()
}

async fn allowed(server: &Server) -> Value {
    let path = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/web";
    server.get(path).await.json()["status"]["disruptionsAllowed"].clone()
}

#[tokio::test]
async fn preemption_charges_budgets_as_an_eviction_does() {
    for gang in [false, true] {
        // Twelve victims of one budget in one request: each charge is written on top of the one before.
        let server = guarded(12, 12).await;
        let request = json!({"pods": urgent(10), "allOrNothing": gang});
        let report = schedule(&server, &request).await;
        assert_eq!(results(&report), ["Bound"; 10], "{report}");
        assert_eq!(report["summary"]["evicted"], 10);
        assert_eq!(allowed(&server).await, 2, "gang: {gang}");
    }
}

#[tokio::test]
async fn an_eviction_after_a_preemption_finds_the_budget_used_up() {
    let server = guarded(3, 1).await;
    let trial = json!({"pods": urgent(1), "dryRun": true});
    schedule(&server, &trial).await;
    assert_eq!(allowed(&server).await, 1, "a trial charges nothing");
    let report = schedule(&server, &json!({"pods": urgent(1)})).await;
    let victim = report["pods"][0]["victims"][0]["name"].as_str().expect("a victim").to_owned();
    assert_eq!(allowed(&server).await, 0);
    let left = (0..3).map(|at| format!("low-{at}")).find(|name| *name != victim).expect("two are left");
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": left, "namespace": "shop"}});
    let path = format!("/api/v1/namespaces/shop/pods/{left}/eviction");
    server.post(&path, eviction).await.fails(429, "TooManyRequests");
    // Preemption may break a budget as a last resort, and no allowance falls below 0.
    let more = json!({"pods": urgent(2)});
    assert_eq!(results(&schedule(&server, &more).await), ["AlreadyBound", "Bound"]);
    assert_eq!(allowed(&server).await, 0);
}

#[tokio::test]
async fn a_cluster_may_come_with_a_trial() {
    let server = Server::with(&[]).await;
    let cluster = json!({"nodes": [node("x", "2").1], "pods": [pod("waits", "1")]});
    let report = schedule(&server, &json!({"namespace": "shop", "dryRun": true, "cluster": cluster})).await;
    assert_eq!((&report["pods"][0]["node"], &report["summary"]["revision"]), (&"x".into(), &0.into()));
    let error = server.post("/schedule", json!({"podNames": [], "cluster": {}}).to_string()).await.refusal(400);
    assert_eq!(error, "cluster: a cluster that comes with the request takes dryRun: true");
}

#[tokio::test]
async fn nodes_may_be_reserved_first_and_bound_later() {
    let server = Server::with(&[node("a", "4"), ("pods", pod("web-0", "3")), ("pods", pod("web-1", "3"))]).await;
    let assumed = schedule(&server, &json!({"podNames": ["shop/web-0"], "assume": 60})).await;
    assert_eq!((&assumed["pods"][0]["result"], &assumed["pods"][0]["node"]), (&"Assumed".into(), &"a".into()));
    assert_eq!(load(&server).await, [("-".into(), 6)].into(), "it is not bound");
    let other = schedule(&server, &json!({"podNames": ["shop/web-1"]})).await;
    assert_eq!(results(&other), ["Unschedulable"], "the node is taken");
    let bound = schedule(&server, &json!({"podNames": ["shop/web-0"]})).await;
    assert_eq!((&bound["pods"][0]["result"], &bound["pods"][0]["node"]), (&"Bound".into(), &"a".into()));
    assert_eq!(load(&server).await, [("-".into(), 3), ("a".into(), 3)].into());
}

#[tokio::test]
async fn each_pod_has_its_own_line_and_the_summary_comes_last() {
    let server = Server::with(&[node("a", "4")]).await;
    let ask = |body: Value| {
        let request = Request::post("/schedule").header(header::CONTENT_TYPE, "application/json");
        request.header(header::ACCEPT, "application/x-ndjson").body(Body::from(body.to_string())).expect("a request")
    };
    let reply = server.send(ask(json!({"pods": pods(3, "2")}))).await;
    assert_eq!(reply.headers[header::CONTENT_TYPE], "application/x-ndjson");
    let lines: Vec<Value> = reply.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let kinds: Vec<_> = lines.iter().map(|l| l["pod"]["result"].as_str().unwrap_or("summary")).collect();
    assert_eq!(kinds, ["Bound", "Bound", "Unschedulable", "summary"]);
    assert_eq!(lines[3]["summary"]["bound"], 2);
    assert!(reply.text().ends_with('\n'));
    server.send(ask(json!({}))).await.refusal(400);
}

#[tokio::test]
async fn suggestions_go_to_the_first_pod_of_its_kind() {
    let server = Server::with(&[
        node("a", "4"),
        ("pods", {
            let mut running = pod("running", "3");
            running["spec"]["nodeName"] = "a".into();
            running
        }),
    ])
    .await;
    let report = schedule(&server, &json!({"pods": pods(2, "2"), "preempt": false})).await;
    let texts: Vec<Vec<&str>> = report["pods"]
        .as_array()
        .expect("pods")
        .iter()
        .map(|pod| pod["suggestions"].as_array().into_iter().flatten().filter_map(|s| s["text"].as_str()).collect())
        .collect();
    assert_eq!(texts, [vec!["lower the cpu request from 2 to 1", "add 1 node like a"], vec![]]);
    let request = json!({"pods": pods(2, "2"), "preempt": false, "suggestions": false});
    assert!(schedule(&server, &request).await["pods"][0]["suggestions"].is_null());
}

#[tokio::test]
async fn invalid_requests_are_refused() {
    let server = Server::with(&[node("a", "4")]).await;
    let one = "one of pods, podNames, selector, namespace or schedulerName is needed";
    let two = "pods, podNames and a query (selector, namespace, schedulerName) exclude each other";
    for (body, code, message) in [
        (json!({}), 400, one),
        (json!({"dryRun": true}), 400, one),
        (json!({"pods": [], "podNames": []}), 400, two),
        (json!({"pods": [], "selector": "a=b"}), 400, two),
        (json!({"selector": "=,=("}), 400, "selector: found '='"),
        (json!({"podNames": [], "assume": 0}), 400, "assume: Invalid value: 0"),
        (json!({"podNames": [], "assume": 90_000}), 400, "assume: Invalid value: 90000"),
        (json!({"podNames": [], "policy": {}, "profile": {}}), 400, "policy and profile exclude each other"),
        (json!({"podNames": [], "allornothing": true}), 400, "unknown field \"allornothing\""),
        (json!({"podNames": 3}), 400, "podNames"),
        (json!({"pods": [{"metadata": {"name": "UPPER"}}]}), 422, "pods[0].metadata.name"),
        (json!({"pods": [pod("a", "1"), {"kind": "Node"}]}), 422, "pods[1].kind: Invalid value: \"Node\": must be Pod"),
        (json!({"pods": [3]}), 422, "pods[0]"),
        (
            json!({"pods": [{"metadata": {"name": "p"}, "spec": {"nodeName": "a", "containers": [{"name": "c"}]}}]}),
            422,
            "pods[0].spec.nodeName: Forbidden",
        ),
    ] {
        let reply = server.post("/schedule", body.to_string()).await;
        let told = reply.refusal(code);
        assert!(told.contains(message), "{body}: {told}");
    }
    server.post("/schedule?policy=none", json!({"podNames": []}).to_string()).await.refusal(404);
    assert_eq!(schedule(&server, &json!({"podNames": []})).await["pods"], json!([]));
    assert_eq!(stored(&server).await["items"], json!([]), "nothing of it was stored");
}

#[tokio::test]
async fn a_pod_named_twice_or_with_another_uid_fails_alone() {
    let server = Server::with(&[node("a", "4")]).await;
    schedule(&server, &json!({"pods": [pod("web", "1")]})).await;
    let mut other = pod("web", "1");
    other["metadata"]["uid"] = "another".into();
    let report = schedule(&server, &json!({"pods": [other, pod("new", "1"), pod("new", "1")]})).await;
    assert_eq!(results(&report), ["Failed", "Bound", "Failed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_never_give_a_node_twice() {
    let nodes: Vec<_> = (0..5).map(|i| node(&format!("n{i}"), "4")).collect();
    let server = Server::with(&nodes).await;
    let mut racing = tokio::task::JoinSet::new();
    for racer in 0..4 {
        let server = server.clone();
        // Twelve pods each, six of which everybody schedules.
        let mine = (0..6).map(move |i| pod(&format!("mine-{racer}-{i}"), "1"));
        let request =
            json!({"pods": mine.chain(pods(6, "1")).collect::<Vec<_>>(), "seed": racer, "suggestions": false});
        racing.spawn(async move { schedule(&server, &request).await });
    }
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    while let Some(report) = racing.join_next().await {
        for pod in report.expect("it ends")["pods"].as_array().expect("pods") {
            assert!(matches!(pod["result"].as_str(), Some("Bound" | "AlreadyBound" | "Unschedulable")), "{pod}");
            let Some(node) = pod["node"].as_str() else { continue };
            let name = pod["name"].as_str().expect("a name").to_owned();
            let before = told.insert(name.clone(), node.into());
            assert!(before.is_none_or(|before| before == node), "{name} is on two nodes");
        }
    }
    let mut load = load(&server).await;
    load.remove("-");
    assert_eq!(load.values().sum::<i64>(), 20, "30 pods want 20 places, and all are taken: {load:?}");
    assert!(load.values().all(|cpus| *cpus <= 4), "{load:?}");
    assert_eq!(told.len(), 20);
}

/// Enough pods for several chunks, each decided while the one before it is bound.
const MANY: usize = 1_200;

fn places(report: &Value) -> BTreeMap<&str, &str> {
    let pods = report["pods"].as_array().expect("pods").iter();
    pods.map(|pod| (pod["name"].as_str().expect("a name"), pod["node"].as_str().unwrap_or("-"))).collect()
}

#[tokio::test]
async fn many_pods_go_where_they_would_go_one_by_one() {
    let nodes = (0..40).map(|i| node(&format!("n{i:02}"), "40"));
    let stored: Vec<_> = nodes.clone().chain(pods(MANY, "1").into_iter().map(|pod| ("pods", pod))).collect();
    let sent: Vec<_> = nodes.collect();
    for (objects, mut request) in
        [(stored, json!({"namespace": "shop", "seed": 7})), (sent, json!({"pods": pods(MANY, "1"), "seed": 7}))]
    {
        let server = Server::with(&objects).await;
        request["dryRun"] = true.into();
        let expected = schedule(&server, &request).await;
        request["dryRun"] = false.into();
        let report = schedule(&server, &request).await;
        assert_eq!(report["summary"]["bound"], MANY);
        assert_eq!(places(&report), places(&expected));
        let load = load(&server).await;
        assert!(load.values().all(|cpus| *cpus <= 40), "{load:?}");
        assert_eq!(load.values().sum::<i64>(), MANY as i64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_racing_callers_bind_each_pod_once() {
    let nodes = (0..40).map(|i| node(&format!("n{i:02}"), "25"));
    let objects: Vec<_> = nodes.chain(pods(MANY, "1").into_iter().map(|pod| ("pods", pod))).collect();
    let server = Server::with(&objects).await;
    let request = |seed| json!({"namespace": "shop", "seed": seed, "suggestions": false});
    let (one, other) = (request(1), request(2));
    let (one, other) = tokio::join!(schedule(&server, &one), schedule(&server, &other));
    let mut load = load(&server).await;
    assert_eq!(load.remove("-"), Some(200), "1,000 places for 1,200 pods");
    assert!(load.values().all(|cpus| *cpus == 25), "{load:?}");
    let (one, other) = (places(&one), places(&other));
    let told: Vec<&str> = one.iter().map(|(pod, node)| if *node == "-" { other[pod] } else { node }).collect();
    assert_eq!(told.iter().filter(|node| **node != "-").count(), 1_000, "who is bound is told where");
    assert!(one.iter().all(|(pod, node)| *node == "-" || [*node, "-"].contains(&other[pod])), "on one node each");
}

/// Anything, with the names that the request knows here and there.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z=,/()! ]{0,8}".prop_map(Value::from),
        Just(pod("p", "1")),
    ];
    let known = vec![
        "pods",
        "podNames",
        "selector",
        "namespace",
        "schedulerName",
        "dryRun",
        "allOrNothing",
        "preempt",
        "assume",
        "suggestions",
        "policy",
        "profile",
        "cluster",
        "seed",
        "nodes",
        "metadata",
        "spec",
        "name",
    ];
    leaf.prop_recursive(3, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((select(known.clone()), inner), 0..5)
                .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Value>()),
        ]
    })
}

#[test]
fn no_body_breaks_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let server = runtime.block_on(Server::with(&[]));
    let mut cases = TestRunner::new(Config { source_file: Some(file!()), ..Config::default() });
    let result = cases.run(&(anything(), any::<prop::sample::Index>()), |(body, cut)| {
        let text = body.to_string();
        let cut = text.get(..cut.index(text.len() + 1)).unwrap_or_default().to_owned();
        for text in [text, cut] {
            let reply = runtime.block_on(server.post("/schedule", text.clone()));
            prop_assert!(matches!(reply.code, 200 | 400 | 404 | 422), "{text}: {} {}", reply.code, reply.text());
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
