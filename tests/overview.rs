//! The calls that pages need, over HTTP, without a socket: `/overview`, `/pending`, `/nodes/{name}/fit`, explanations by columns, places of faults.

#[path = "support/server.rs"]
mod server;
#[path = "support/watch.rs"]
mod watch;

use podberth::store::{self, Atomicity, Options};
use serde_json::{Value, json};
use server::{LATE, Server, Setup, seed};
use watch::Lines;

fn node(name: &str, cpu: &str, zone: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"zone": zone}}, "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}}})
}

fn pod(name: &str, cpu: &str, node: &str) -> Value {
    let mut pod = json!({"metadata": {"name": name, "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]}});
    if !node.is_empty() {
        pod["spec"]["nodeName"] = json!(node);
    }
    pod
}

async fn shop() -> Server {
    let mut gpu = node("c", "8", "y");
    gpu["spec"] = json!({"unschedulable": true, "taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]});
    gpu["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
    let options = Options { history: Some(LATE), ..Options::default() };
    let store = store::open("sqlite::memory:", &options).await.expect("an empty database opens");
    store.migrate().await.expect("and migrates");
    let objects = [
        ("nodes", node("a", "2", "x")),
        ("nodes", node("b", "4", "y")),
        ("nodes", gpu),
        ("pods", pod("one", "1", "a")),
        ("pods", pod("two", "500m", "b")),
        ("pods", pod("waits", "6", "")),
        ("pods", pod("waits-too", "5", "")),
        ("pods", pod("fits", "1", "")),
    ];
    seed(&store, &objects, Atomicity::AllOrNothing).await;
    Server::start(store, Setup::default())
}

#[tokio::test]
async fn an_overview_has_the_nodes_by_columns_and_sums_by_label() {
    let server = shop().await;
    let overview = server.get("/overview?group=zone&podSelector=app%3Dweb").await.json();
    let nodes = &overview["nodes"];
    assert_eq!(nodes["name"], json!(["a", "b", "c"]));
    assert_eq!(nodes["group"], json!([0, 1, 1]));
    assert_eq!((&nodes["ready"], &nodes["unschedulable"]), (&json!([true, true, false]), &json!([false, false, true])));
    assert_eq!(nodes["taints"], json!([[], [], ["gpu=yes:NoSchedule"]]));
    assert_eq!(nodes["allocatable"]["cpu"], json!([2000, 4000, 8000]));
    assert_eq!(nodes["requested"]["cpu"], json!([1000, 500, 0]));
    assert_eq!((&nodes["requested"]["pods"], &nodes["matching"]), (&json!([1, 1, 0]), &json!([1, 1, 0])));
    let zone = &overview["groups"][1];
    assert_eq!((&zone["name"], &zone["nodes"], &zone["ready"]), (&json!("y"), &json!(2), &json!(1)));
    assert_eq!((&zone["allocatable"]["cpu"], &zone["requested"]["cpu"]), (&json!(12000), &json!(500)));
    let totals = &overview["totals"];
    assert_eq!(
        (&totals["pods"], &totals["pending"], &totals["allocatable"]["cpu"]),
        (&json!(2), &json!(3), &json!(14000))
    );
    assert_eq!(overview["labels"], json!([{"key": "zone", "values": 2}]));
    assert_eq!(overview["resources"], json!(["cpu", "memory", "ephemeral-storage", "pods"]));

    let some = server.get("/overview?labelSelector=zone%3Dy").await.json();
    assert_eq!((&some["nodes"]["name"], &some["groups"][0]["name"]), (&json!(["b", "c"]), &json!("")));
    assert_eq!(some["nodes"]["matching"], Value::Null);

    server.delete("/api/v1/nodes/b").await.is(200);
    let (past, present) = (server.get("/overview?revision=8").await.json(), server.get("/overview").await.json());
    assert_eq!((&past["totals"]["nodes"], &present["totals"]["nodes"]), (&json!(3), &json!(2)));
}

#[tokio::test]
async fn a_long_overview_is_compressed_for_clients_that_take_it_so() {
    let nodes: Vec<_> = (0..300).map(|at| ("nodes", node(&format!("node-{at}"), "2", "x"))).collect();
    let server = Server::with(&nodes).await;
    let whole = server.get("/overview").await;
    let reply = server.ask("GET", "/overview", ("accept-encoding", "gzip"), "").await;
    assert_eq!((reply.header("content-encoding"), whole.header("content-encoding")), (Some("gzip"), None));
    assert!(reply.body.len() * 5 < whole.body.len(), "{} of {}", reply.body.len(), whole.body.len());
    let lines = server.ask("GET", "/overview?watch=1&timeoutSeconds=1", ("accept-encoding", "gzip"), "").await;
    assert_eq!(lines.header("content-encoding"), None, "lines are sent as they come");
}

#[tokio::test]
async fn faults_of_an_overview_name_the_field() {
    let server = shop().await;
    for (path, code, part) in [
        ("/overview?labelSelector=a%3D%3D%3D", 400, "labelSelector: Invalid value"),
        ("/overview?podSelector=%21%21", 400, "podSelector: Invalid value"),
        ("/overview?since=1", 400, "since and timeoutSeconds go with watch=1"),
        ("/overview?watch=1&revision=1", 400, "watch excludes revision and at"),
        ("/overview?watch=1&timeoutSeconds=x", 400, "invalid syntax"),
        ("/overview?grup=zone", 400, "did you mean group?"),
        ("/clusters/nowhere/overview", 404, "nowhere"),
        ("/clusters/nowhere/overview?watch=1", 404, "nowhere"),
    ] {
        let message = server.get(path).await.refusal(code);
        assert!(message.contains(part), "{path}: {message}");
    }
}

#[tokio::test]
async fn an_overview_goes_on_with_the_nodes_that_differ() {
    let server = shop().await;
    let mut lines = Lines::begin(&server, "/overview?group=zone&watch=1").await;
    let whole = lines.next().await.expect("the whole");
    assert_eq!((&whole["nodes"]["pods"], &whole["totals"]["pending"]), (&json!([1, 1, 0]), &json!(3)));

    server.post("/api/v1/namespaces/shop/pods", &pod("three", "2", "b")).await.is(201);
    let line = lines.next().await.expect("a change");
    assert_eq!(line["changed"]["index"], json!([1]));
    assert_eq!((&line["changed"]["requested"]["cpu"], &line["changed"]["pods"]), (&json!([2500]), &json!([2])));
    assert_eq!(line["groups"].as_array().map(Vec::len), Some(1));
    assert_eq!((&line["groups"][0]["index"], &line["groups"][0]["requested"]["cpu"]), (&json!(1), &json!(2500)));
    assert_eq!(line["totals"]["pods"], 3);
    let known = line["revision"].as_u64().expect("a revision");

    server.post("/api/v1/namespaces/shop/pods", &pod("four", "9", "")).await.is(201);
    let line = lines.next().await.expect("a change of sums alone");
    assert_eq!((&line["changed"]["index"], &line["totals"]["pending"]), (&json!([]), &json!(4)));

    server.post("/api/v1/nodes", &node("aa", "1", "x")).await.is(201);
    let whole = lines.next().await.expect("the whole again");
    assert_eq!(whole["nodes"]["name"], json!(["a", "aa", "b", "c"]));

    server.delete("/api/v1/nodes/aa").await.is(200);
    let mut again = Lines::begin(&server, &format!("/overview?group=zone&watch=1&since={known}")).await;
    let line = again.next().await.expect("a change");
    assert_eq!((&line["changed"]["index"], &line["totals"]["pending"]), (&json!([]), &json!(4)), "{line}");
    let mut unknown = Lines::begin(&server, "/overview?watch=1&since=1000000").await;
    assert!(unknown.next().await.expect("the whole")["nodes"].is_object());

    server.state.clusters.end_watches();
    while let Some(line) = lines.next().await {
        assert!(line["error"].is_null(), "{line}");
    }
    assert_eq!((again.next().await, unknown.next().await), (None, None));
}

#[tokio::test]
async fn an_overview_that_goes_on_ends_in_time() {
    let server = shop().await;
    let mut lines = Lines::begin(&server, "/overview?watch=1&timeoutSeconds=1").await;
    assert!(lines.next().await.is_some());
    assert_eq!(lines.next().await, None);
}

#[tokio::test]
async fn pods_that_wait_for_equal_reasons_are_one_line() {
    let server = shop().await;
    let page = server.get("/pending").await.json();
    assert_eq!((&page["pods"], &page["nodes"], &page["unjudged"]), (&json!(3), &json!(3), &json!(0)));
    let groups = page["groups"].as_array().expect("groups");
    assert_eq!(groups.len(), 2, "{page}");
    let large = &groups[0];
    assert_eq!(
        (&large["count"], &large["fitting"], &large["resolvable"]),
        (&json!(2), &json!(0), &json!(2)),
        "{large}"
    );
    assert_eq!(large["reasons"][0], json!({"text": "Insufficient cpu", "nodes": 2}));
    assert_eq!(large["pods"][0], json!({"namespace": "shop", "name": "waits"}));
    assert!(large["message"].as_str().is_some_and(|text| text.starts_with("0/3 nodes are available: ")), "{large}");
    assert_eq!((&groups[1]["fitting"], &groups[1]["reasons"]), (&json!(2), &json!([])));

    let first = server.get("/pending?limit=1").await.json();
    assert_eq!(first["groups"].as_array().map(Vec::len), Some(1));
    let next = first["continue"].as_str().expect("there is more");
    let second = server.get(&format!("/pending?limit=1&continue={next}")).await.json();
    assert_eq!((&second["groups"][0], &second["continue"]), (&groups[1], &Value::Null));
    assert_eq!(server.get("/pending?namespace=other").await.json()["pods"], 0);
    assert!(server.get("/pending?continue=x").await.refusal(400).contains("continue"));
    assert!(server.get("/pending?policy=none").await.refusal(404).contains("none"));

    server.delete("/api/v1/namespaces/shop/pods/waits").await.is(200);
    assert_eq!(server.get("/pending").await.json()["pods"], 2, "the groups are those of the newest state");
}

#[tokio::test]
async fn the_fit_of_a_pod_on_a_node_has_amounts_and_the_margin_to_the_best() {
    let server = shop().await;
    let short = server.get("/nodes/b/fit?pod=shop/waits").await.json();
    assert_eq!((&short["fits"], &short["selected"], &short["margin"]), (&json!(false), &Value::Null, &Value::Null));
    let cpu =
        json!({"name": "cpu", "requested": 6000, "allocatable": 4000, "used": 500, "free": 3500, "missing": 2500});
    assert_eq!(short["resources"][0], cpu);
    assert_eq!((&short["resources"][1]["name"], &short["resources"][1]["missing"]), (&json!("pods"), &json!(0)));

    let explained = server.post("/explain", &json!({"podName": "shop/fits"})).await.json();
    let behind = server.get("/nodes/a/fit?pod=shop/fits").await.json();
    assert_eq!((&behind["selected"], &behind["rank"]), (&explained["selected"], &json!(2)));
    assert_eq!(behind["verdicts"], explained["nodes"][0]["verdicts"]);
    assert_eq!(behind["scores"], explained["nodes"][0]["scores"]);
    let total = |at: usize| explained["nodes"][at]["total"].as_i64().expect("a total");
    assert_eq!(behind["margin"]["total"], json!(total(1) - total(0)));
    let parts = behind["margin"]["scores"].as_array().expect("scores");
    let sum: i64 = parts.iter().filter_map(|part| part["behind"].as_i64()).sum();
    assert_eq!(sum, total(1) - total(0), "the parts of a weighted sum make up its margin");

    let running = server.get("/nodes/a/fit?pod=shop/one").await.json();
    assert_eq!(
        (&running["fits"], &running["resources"][0]["used"]),
        (&json!(true), &json!(0)),
        "it does not count itself"
    );
    assert!(server.get("/nodes/z/fit?pod=shop/fits").await.refusal(404).contains("\"z\""));
    assert!(server.get("/nodes/a/fit?pod=shop/nobody").await.refusal(404).contains("nobody"));
    server.get("/nodes/a/fit").await.refusal(400);
}

/// The matrix of an explanation by columns, node by node.
fn by_node(columns: &Value) -> Vec<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut next = vec![0; list(&columns["why"]).len()];
    list(&columns["nodes"])
        .into_iter()
        .enumerate()
        .map(|(at, name)| {
            let mut verdicts = Vec::new();
            for (predicate, texts) in list(&columns["verdicts"]).iter().enumerate() {
                let verdict = match texts.as_str().expect("a text").as_bytes()[at] {
                    b'.' => "Fits",
                    b'u' => "Unschedulable",
                    b'x' => "UnschedulableAndUnresolvable",
                    _ => continue,
                };
                let mut reasons = json!([]);
                if verdict != "Fits" {
                    let place = columns["why"][predicate][next[predicate]].as_u64().expect("a place");
                    reasons = columns["reasons"][usize::try_from(place).expect("small")].clone();
                    next[predicate] += 1;
                }
                let of = &columns["predicates"][predicate];
                verdicts.push(json!({"predicate": of["name"], "plugin": of["plugin"], "verdict": verdict, "reasons": reasons}));
            }
            let scores: Vec<Value> = list(&columns["priorities"])
                .iter()
                .zip(list(&columns["scores"]))
                .filter(|(_, scores)| !scores[at].is_null())
                .map(|(of, scores)| json!({"priority": of["name"], "plugin": of["plugin"], "score": scores[at], "weight": of["weight"]}))
                .collect();
            let mut node = json!({"name": name, "fits": !scores.is_empty(), "total": columns["total"][at], "verdicts": verdicts, "scores": scores});
            if !columns["rank"][at].is_null() {
                node["rank"] = columns["rank"][at].clone();
            }
            node
        })
        .collect()
}

#[tokio::test]
async fn columns_have_what_the_explanation_has() {
    let server = shop().await;
    for name in ["waits", "fits", "one"] {
        let question = json!({"podName": format!("shop/{name}"), "preempt": true, "suggestions": true});
        let mut whole = server.post("/explain", &question).await.json();
        let reply = server.post("/explain?view=columns", &question).await;
        assert_eq!(reply.header("content-type"), Some("application/vnd.podberth.columns+json"));
        let mut columns = reply.json();
        assert_eq!(by_node(&columns), *whole["nodes"].as_array().expect("nodes"), "{name}");
        let patterns = columns["patterns"].as_array().expect("patterns");
        assert_eq!(patterns.iter().filter_map(|pattern| pattern["count"].as_u64()).sum::<u64>(), 3);
        let own =
            ["nodes", "predicates", "verdicts", "reasons", "why", "priorities", "scores", "total", "rank", "patterns"];
        for field in own {
            columns.as_object_mut().expect("an object").remove(field);
            whole.as_object_mut().expect("an object").remove(field);
        }
        assert_eq!(columns, whole, "all else is equal");
    }
    let refused = server.post("/explain?view=rows", &json!({"podName": "shop/fits"})).await.refusal(400);
    assert!(refused.contains("supported values"), "{refused}");
}

#[tokio::test]
async fn faults_of_a_policy_have_their_places_in_the_text() {
    let server = Server::with(&[]).await;
    let refused = async |media: &str, text: &str| {
        let reply = server.ask("PUT", "/policy?dryRun=All", ("content-type", media), text).await.is(422);
        let causes = reply["details"]["causes"].as_array().expect("causes").clone();
        causes
            .into_iter()
            .map(|cause| {
                (cause["field"].as_str().unwrap_or_default().to_owned(), cause["line"].clone(), cause["column"].clone())
            })
            .collect::<Vec<_>>()
    };
    let yaml = "kind: Policy\napiVersion: v1\npriorities:\n- name: LeastRequestedPriority\n  weight: -1\n";
    assert_eq!(refused("application/yaml", yaml).await, [("priorities[0].weight".to_owned(), json!(5), json!(3))]);
    let text = "{\n  \"kind\": \"Policy\",\n  \"predicates\": [\n    {\"name\": \"Nothing\"}\n  ]\n}";
    let causes = refused("application/json", text).await;
    assert_eq!((&*causes[0].0, &causes[0].1), ("predicates[0].name", &json!(4)), "{causes:?}");
    let causes = refused("application/yaml", "kind: Policy\npriorities: [\n").await;
    assert_eq!((&*causes[0].0, causes[0].1.is_u64()), ("", true), "{causes:?}");
}
