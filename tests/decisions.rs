//! The record of decisions: what is recorded, how it is read, and that each decision can be made again.

#[path = "support/server.rs"]
mod server;

use std::time::Duration;

use podberth::{
    api::middleware::Limits,
    live::upkeep::Job,
    service::decisions::{KIND, Prune, Retention},
    store::{self, Entry, EntryId, Options, Retain, Scan},
    wire::decision::{Share, WHOLE},
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};
use server::{Server, Setup, memory};

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

async fn server(share: &str, objects: &[(&'static str, Value)]) -> Server {
    let decisions: Share = share.parse().expect("a share");
    Server::start(memory(objects).await, Setup { decisions, ..Setup::default() })
}

async fn list(server: &Server, query: &str) -> Value {
    server.get(&format!("/decisions?{query}")).await.is(200)
}

fn texts<'v>(list: &'v Value, field: &str) -> Vec<&'v str> {
    list["items"].as_array().expect("items").iter().map(|item| item[field].as_str().unwrap_or("-")).collect()
}

#[tokio::test]
async fn decisions_that_bind_are_recorded_with_why() {
    let server = server("binds", &[node("a", "2"), node("b", "4")]).await;
    let request = json!({"pods": [pod("p0", "3"), pod("p1", "2"), pod("p2", "2")], "seed": 7});
    server.post("/schedule", request.to_string()).await.is(200);
    let all = list(&server, "").await;
    assert_eq!(texts(&all, "outcome"), ["unschedulable", "bound", "bound"], "the newest first: {all}");
    assert_eq!(texts(&all, "node"), ["-", "a", "b"]);
    let (last, first) = (&all["items"][0], &all["items"][2]);
    assert_eq!((&last["batch"]["place"], &first["batch"]["place"]), (&2.into(), &0.into()));
    assert_eq!(last["batch"]["id"], first["id"], "a batch is called by its first decision");
    assert_eq!(last["message"], "0/2 nodes are available: 2 Insufficient cpu.");
    assert_eq!(last["verdicts"], json!([{"reason": "Insufficient cpu", "nodes": 2}]));
    assert_eq!(first["verdicts"], json!([{"reason": "Insufficient cpu", "nodes": 1}]));
    assert_eq!(first["scores"][0]["node"], "b");
    assert_eq!(first["scores"][0]["total"], first["total"]);
    assert_eq!(
        (&first["seed"], &first["call"], &first["policy"]["name"]),
        (&7.into(), &"schedule".into(), &"default".into())
    );
    assert_eq!(first["pod"]["body"]["spec"]["containers"][0]["name"], "main", "a pod that was sent is there in full");
    assert_eq!(first["by"]["user"], "system:admin");
    assert!(first["revision"].as_u64().is_some_and(|revision| revision > 0));
    let id = first["id"].as_str().expect("an id");
    assert_eq!(server.get(&format!("/decisions/{id}")).await.is(200), *first);
}

#[tokio::test]
async fn decisions_are_found_by_pod_node_outcome_and_time_and_come_in_pages() {
    let server = server("binds", &[node("a", "2"), node("b", "2")]).await;
    let request =
        json!({"pods": (0..5).map(|at| pod(&format!("p{at}"), "1")).collect::<Vec<_>>(), "suggestions": false});
    server.post("/schedule", request.to_string()).await.is(200);
    assert_eq!(texts(&list(&server, "pod=shop/p4").await, "outcome"), ["unschedulable"]);
    assert_eq!(texts(&list(&server, "node=a").await, "node"), ["a", "a"]);
    assert_eq!(texts(&list(&server, "outcome=bound").await, "node").len(), 4);
    assert_eq!(texts(&list(&server, "since=2100-01-01T00:00:00Z").await, "node").len(), 0);
    let mut pages = 0;
    let (mut after, mut found) = (String::new(), Vec::new());
    loop {
        let page = list(&server, &format!("limit=2&continue={after}")).await;
        found.extend(texts(&page, "id").iter().map(|id| (*id).to_owned()));
        pages += 1;
        match page["continue"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((pages, found.len()), (3, 5));
    assert!(found.is_sorted_by(|a, b| a > b), "{found:?}");
    for (query, told) in [("outcome=good", "outcome"), ("since=then", "since"), ("continue=x", "continue")] {
        let refusal = server.get(&format!("/decisions?{query}")).await.refusal(400);
        assert!(refusal.contains(told), "{refusal}");
    }
    server.get("/decisions/none").await.is(404);
    server.get("/decisions/0198e3f0-2b1c-7a41-8000-1b2c3d400000").await.is(404);
}

#[tokio::test]
async fn trials_and_servers_that_record_nothing_have_no_decisions() {
    let off = server("none", &[node("a", "2")]).await;
    off.post("/schedule", json!({"pods": [pod("p", "1")]}).to_string()).await.is(200);
    assert_eq!(list(&off, "").await["items"], json!([]));
    let trial = server("binds", &[node("a", "2")]).await;
    trial.post("/schedule", json!({"pods": [pod("p", "1")], "dryRun": true}).to_string()).await.is(200);
    assert_eq!(list(&trial, "").await["items"], json!([]));
}

#[tokio::test]
async fn decisions_of_a_removed_cluster_do_not_land_in_the_next_of_its_name() {
    let server = server("binds", &[]).await;
    let make = async |name: &str| {
        let (_, node) = node(name, "2");
        server.post("/clusters/t/api/v1/nodes", &node).await.is(201);
    };
    make("old").await;
    server.post("/clusters/t/schedule", json!({"pods": [pod("secret", "1")]})).await.is(200);
    server.delete("/clusters/t").await.is(200);
    make("new").await;
    server.post("/clusters/t/schedule", json!({"pods": [pod("own", "1")]})).await.is(200);
    let found = server.get("/clusters/t/decisions").await.is(200);
    assert_eq!(texts(&found, "node"), ["new"], "{found}");
}

#[tokio::test]
async fn recorded_requests_have_no_secrets() {
    let server = server("all", &[node("a", "9")]).await;
    let mut sent = pod("p", "1");
    sent["spec"]["containers"][0]["env"] = json!([{"name": "PASSWORD", "value": "secret"}]);
    let policy = json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "extenders": [
        {"urlPrefix": "https://ext.example/key/secret", "filterVerb": "filter", "ignorable": true, "nodeCacheCapable": true}]});
    server.post("/schedule", json!({"pods": [sent], "policy": policy})).await.is(200);
    sent["metadata"]["name"] = "q".into();
    server.post("/filter", json!({"Pod": sent, "NodeNames": ["a"]})).await.is(200);
    let all = list(&server, "").await;
    assert_eq!(texts(&all, "call"), ["filter", "schedule"]);
    assert!(!all.to_string().contains("secret"), "{all}");
    let resources = |at: usize| &all["items"][at]["pod"]["body"]["spec"]["containers"][0]["resources"];
    assert_eq!((&resources(0)["requests"]["cpu"], &resources(1)["requests"]["cpu"]), (&"1".into(), &"1".into()));
}

fn entry(number: u64, body: &Value) -> Entry {
    let (id, body) = (EntryId::new(jiff::Timestamp::UNIX_EPOCH, number), body.to_string().into());
    Entry { cluster: "default".into(), kind: KIND.into(), id, subject: String::new(), object: String::new(), body }
}

#[tokio::test]
async fn records_of_an_unknown_form_are_left_out_and_counted() {
    let store = memory(&[node("a", "2")]).await;
    let server = Server::start(store.clone(), Setup { decisions: Share::Binds, ..Setup::default() });
    let odd = entry(1, &json!({"call": "dance", "outcome": "bound"}));
    let id = odd.id;
    store.append(&[odd, entry(2, &"odd".into())]).await.expect("entries");
    server.post("/schedule", json!({"pods": [pod("p", "1")]})).await.is(200);
    for (query, unreadable) in [("", 2), ("outcome=bound", 2), ("outcome=stale", 1)] {
        let found = list(&server, query).await;
        assert_eq!(found["unreadable"], unreadable, "{query}: {found}");
        assert_eq!(texts(&found, "node").len(), usize::from(query != "outcome=stale"), "{found}");
    }
    assert!(server.get(&format!("/decisions/{id}")).await.refusal(410).contains("form"));
}

#[tokio::test]
async fn a_page_ends_where_too_much_was_looked_through() {
    let store = memory(&[]).await;
    let long = "x".repeat(200 << 10);
    for at in 0..8 {
        let number = |more: u64| entry(at * 20 + more, &json!({"outcome": "bound", "x": long}));
        store.append(&(0..20).map(number).collect::<Vec<_>>()).await.expect("entries");
    }
    let server = Server::start(store, Setup::default());
    let (mut after, mut pages) = (String::new(), 0);
    loop {
        let page = list(&server, &format!("outcome=stale&continue={after}")).await;
        assert_eq!(page["items"], json!([]));
        pages += 1;
        match page["continue"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(pages, 2, "32 MiB are more than one request looks through");
}

#[tokio::test]
async fn a_call_is_recorded_however_long_it_is() {
    let limits = Limits { body_bytes: 64 << 20, ..Setup::default().limits };
    let setup = Setup { decisions: Share::Of(WHOLE), limits, ..Setup::default() };
    let server = Server::start(memory(&[]).await, setup);
    let (_, mut node) = node("a", "2");
    node["metadata"]["annotations"] = json!({"a": "x".repeat(200 << 10)});
    let nodes: Vec<Value> = (0..60)
        .map(|at| {
            node["metadata"]["name"] = format!("n{at}").into();
            node.clone()
        })
        .collect();
    server.post("/filter", json!({"Pod": pod("p", "1"), "Nodes": {"items": nodes}})).await.is(200);
    assert_eq!(list(&server, "").await["items"][0]["fitting"], 60);
}

#[tokio::test]
async fn a_share_of_the_calls_of_extender_verbs_is_recorded_and_made_again() {
    let server = server("all", &[node("a", "2"), node("b", "4")]).await;
    let ask = json!({"Pod": pod("p", "3"), "NodeNames": ["a", "b"]});
    server.post("/filter", &ask).await.is(200);
    server.post("/prioritize", json!({"Pod": pod("q", "1"), "NodeNames": ["b"]})).await.is(200);
    let all = list(&server, "").await;
    assert_eq!(texts(&all, "call"), ["prioritize", "filter"]);
    assert_eq!(all["items"][0]["candidates"], json!(["b"]));
    assert_eq!(all["items"][0]["node"], "b");
    assert_eq!(all["items"][1].get("candidates"), None, "all nodes");
    assert_eq!((&all["items"][1]["fitting"], &all["items"][1]["outcome"]), (&1.into(), &"answered".into()));
    assert_eq!(all["items"][1]["verdicts"], json!([{"reason": "Insufficient cpu", "nodes": 1}]));
    let again = server.post("/replay", json!({"all": true})).await.is(200);
    assert_eq!((&again["identical"], &again["total"]), (&2.into(), &2.into()), "{again}");
    let id = texts(&all, "id")[1].to_owned();
    let explained = server.get(&format!("/decisions/{id}/explain")).await.is(200);
    assert_eq!((&explained["selected"], &explained["snapshotRevision"]), (&json!("b"), &all["items"][1]["revision"]));
}

#[tokio::test]
async fn a_share_of_half_the_calls_is_every_second_one() {
    let server = server("0.5", &[node("a", "2")]).await;
    for at in 0..6 {
        server.post("/filter", json!({"Pod": pod(&format!("p{at}"), "1"), "NodeNames": ["a"]})).await.is(200);
    }
    assert_eq!(texts(&list(&server, "").await, "call").len(), 3);
}

#[tokio::test]
async fn binds_of_the_extender_verb_are_recorded_and_judged_again() {
    let mut stored = pod("p", "1");
    stored["metadata"]["uid"] = "u".into();
    let server = server("binds", &[node("a", "2"), ("pods", stored)]).await;
    let bind = json!({"PodName": "p", "PodNamespace": "shop", "PodUID": "u", "Node": "a"});
    assert_eq!(server.post("/bind", &bind).await.is(200)["Error"], "");
    server.post("/bind", &bind).await.is(200);
    let all = list(&server, "").await;
    assert_eq!((texts(&all, "call"), texts(&all, "node")), (vec!["bind"], vec!["a"]), "a repeat is no bind: {all}");
}

#[tokio::test]
async fn a_decision_is_explained_on_the_state_on_which_it_was_made() {
    let server = server("binds", &[node("a", "2"), node("b", "4")]).await;
    server.post("/schedule", json!({"pods": [pod("p0", "3"), pod("p1", "2"), pod("p2", "2")]})).await.is(200);
    let all = list(&server, "").await;
    let revision = all["items"][0]["revision"].as_u64().expect("a revision");
    for item in all["items"].as_array().expect("items") {
        let reply = server.get(&format!("/decisions/{}/explain", item["id"].as_str().expect("an id"))).await;
        // Without a history the state is gone, and the error tells that.
        assert!(reply.refusal(410).contains("cannot be explained"), "{}", reply.text());
    }
    let again = server.post("/replay", json!({"all": true})).await.is(200);
    assert_eq!((&again["total"], &again["identical"]), (&3.into(), &0.into()));
    let why = again["skipped"][0]["why"].as_str().expect("why");
    assert!(why.contains(&format!("revision {revision}")) && why.contains("left"), "{why}");
    for (body, told) in [
        (json!({}), "one of decisions, since and all"),
        (json!({"all": true, "since": "2026-01-01T00:00:00Z"}), "one of decisions, since and all"),
        (json!({"since": "then"}), "since"),
        (json!({"decisions": vec!["x"; 10_001]}), "10000"),
    ] {
        let refusal = server.post("/replay", body).await.refusal(400);
        assert!(refusal.contains(told), "{refusal}");
    }
    let unknown = server.post("/replay", json!({"decisions": ["x"]})).await.is(200);
    assert_eq!(unknown["skipped"][0]["id"], "x");
}

/// A server whose past can be read.
async fn with_history(objects: &[(&'static str, Value)]) -> Server {
    let options = Options { history: Some(Duration::from_hours(1)), ..Options::default() };
    let store = store::open("sqlite::memory:", &options).await.expect("an empty database opens");
    store.migrate().await.expect("and migrates");
    server::seed(&store, objects, store::Atomicity::AllOrNothing).await;
    Server::start(store, Setup { decisions: Share::Binds, ..Setup::default() })
}

/// A pod with demands by its number.
fn demanding(name: &str, number: u8) -> Value {
    let mut pod = pod(name, if number.is_multiple_of(2) { "1" } else { "2" });
    let app = format!("secret-app-{}", number % 3);
    pod["metadata"]["labels"]["app"] = app.clone().into();
    let selector = json!({"matchLabels": {"app": app}});
    match number / 2 % 6 {
        0 => pod["spec"]["nodeSelector"] = json!({"disk": "secret-disk"}),
        1 => pod["spec"]["tolerations"] = json!([{"key": "team", "value": "secret-team", "effect": "NoSchedule"}]),
        2 => {
            pod["spec"]["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}]}});
        }
        3 => {
            pod["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}]);
        }
        4 => {
            pod["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "size", "operator": "Gt", "values": ["3"]}]}]}}});
        }
        _ => pod["spec"]["priority"] = 7.into(),
    }
    pod
}

/// A bundle is asked about as any case is, and gives the answer of its decision; renamed it gives the renamed answer.
async fn reproduces(nodes: &[u8], pods: &[u8], seed: u64) {
    let labelled = |(at, number): (usize, &u8)| {
        let name = format!("secret-node-{at}");
        let (kind, mut node) = node(&name, &(1 + number % 6).to_string());
        node["metadata"]["labels"] = json!({"kubernetes.io/hostname": name, "zone": format!("secret-zone-{}", number % 2), "size": (number % 6).to_string(),
            "disk": if number % 3 == 0 { "secret-disk" } else { "other" }});
        if number % 5 == 0 {
            node["spec"] = json!({"taints": [{"key": "team", "value": "secret-team", "effect": "NoSchedule"}]});
        }
        (kind, node)
    };
    let nodes: Vec<_> = nodes.iter().enumerate().map(labelled).collect();
    let server = with_history(&nodes).await;
    let pods: Vec<Value> =
        pods.iter().enumerate().map(|(at, number)| demanding(&format!("secret-pod-{at}"), *number)).collect();
    server.post("/schedule", json!({"pods": pods, "seed": seed, "suggestions": false})).await.is(200);
    for item in list(&server, "").await["items"].as_array().expect("items") {
        let path = format!("/decisions/{}/bundle", item["id"].as_str().expect("an id"));
        let bundle = server.get(&path).await.is(200);
        let explained = server.post("/explain", &bundle).await.is(200);
        assert_eq!(explained["selected"], bundle["answer"]["selected"], "{item}");
        if item["victims"].is_null() {
            assert_eq!(explained["selected"], item["node"], "{item}");
        }
        let renamed = server.get(&format!("{path}?hashNames=true")).await.is(200);
        assert!(!renamed.to_string().contains("secret"), "{renamed}");
        let again = server.post("/explain", &renamed).await.is(200);
        assert_eq!(again["selected"], renamed["answer"]["selected"]);
        let fitting = |of: &Value| {
            let nodes = of["nodes"].as_array().expect("nodes").iter();
            nodes.map(|node| (node["fits"].clone(), node["total"].clone())).collect::<Vec<_>>()
        };
        assert_eq!(fitting(&again), fitting(&explained), "names are in their order, and the matrix is the same");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_bundle_gives_the_answer_of_its_decision(nodes in vec(any::<u8>(), 0..6), pods in vec(any::<u8>(), 1..8), seed in 0_u64..9) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(reproduces(&nodes, &pods, seed));
    }
}

#[tokio::test]
async fn a_bundle_is_a_case_of_the_command_line_and_a_scenario() {
    let server = with_history(&[node("a", "2"), node("b", "4")]).await;
    server
        .post("/schedule", json!({"pods": [pod("p0", "3"), pod("p1", "2"), pod("p2", "2")], "seed": 3}))
        .await
        .is(200);
    let folder = tempfile::tempdir().expect("a folder");
    for (at, item) in list(&server, "").await["items"].as_array().expect("items").iter().enumerate() {
        for query in ["", "?hashNames=true"] {
            let path = format!("/decisions/{}/bundle{query}", item["id"].as_str().expect("an id"));
            let bundle = server.get(&path).await.is(200);
            let file = folder.path().join(format!("bundle-{at}.json"));
            std::fs::write(&file, bundle.to_string()).expect("it is written");
            let run = |arguments: &[&str]| {
                let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_podberth"));
                let output = command.args(arguments).arg(&file).env_clear().output().expect("the binary starts");
                let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
                (output.status.success(), text(output.stdout), text(output.stderr))
            };
            let (is_good, explained, warnings) = run(&["explain", "--json", "-f"]);
            assert!(is_good && warnings.is_empty(), "{warnings}");
            let explained: Value = serde_json::from_str(&explained).expect("JSON");
            assert_eq!(explained["selected"], bundle["answer"]["selected"]);
            let (is_good, told, _) = run(&["test"]);
            assert!(is_good, "{told}");
        }
    }
}

#[tokio::test]
async fn bad_requests_for_bundles_tell_why() {
    let server = with_history(&[node("a", "2")]).await;
    let mut stored = pod("p", "1");
    stored["metadata"]["uid"] = "u".into();
    server.post("/api/v1/namespaces/shop/pods", &stored).await.is(201);
    let uid = server.get("/api/v1/namespaces/shop/pods/p").await.is(200)["metadata"]["uid"].clone();
    let bind = json!({"PodName": "p", "PodNamespace": "shop", "PodUID": uid, "Node": "a"});
    assert_eq!(server.post("/bind", &bind).await.is(200)["Error"], "");
    let all = list(&server, "").await;
    let id = all["items"][0]["id"].as_str().expect("an id");
    assert!(server.get(&format!("/decisions/{id}/bundle")).await.refusal(400).contains("a bind"));
    let again = server.post("/replay", json!({"all": true})).await.is(200);
    assert_eq!((&again["identical"], &again["total"]), (&1.into(), &1.into()), "the bind is judged again: {again}");
    server.get("/decisions/none/bundle").await.is(404);
    server.get("/decisions/none/explain").await.is(404);
}

#[tokio::test]
async fn decisions_that_are_too_old_or_too_many_are_removed() {
    let server = server("binds", &[node("a", "4")]).await;
    for name in ["p0", "p1", "p2"] {
        server.post("/schedule", json!({"pods": [pod(name, "1")]})).await.is(200);
    }
    let all = list(&server, "").await;
    let newest = all["items"][0].to_string().len() as u64;
    let prune = async |age: Duration, bytes: u64| {
        let job = Prune { every: Duration::from_secs(1), keep: Retention { age, bytes } };
        job.run(&*server.state.store).await.expect("it is pruned");
        texts(&list(&server, "").await, "node").len()
    };
    assert_eq!(prune(Duration::from_hours(1), u64::MAX >> 1).await, 3);
    assert_eq!(prune(Duration::from_hours(1), newest + newest / 2).await, 1, "the newest are kept");
    assert_eq!(prune(Duration::ZERO, u64::MAX >> 1).await, 0);
}

/// Replaces the records by others.
async fn rewritten(server: &Server, change: impl Fn(usize, &mut Value)) {
    let ledger: &dyn store::Storage = &*server.state.store;
    let mut entries = ledger
        .scan(&Scan { order: store::Order::OldestFirst, ..Scan::all("default", "decision") })
        .await
        .expect("read")
        .entries;
    let none = Retain { entries: Some(0), ..Retain::default() };
    ledger.prune("default", "decision", &none).await.expect("they are removed");
    for (at, entry) in entries.iter_mut().enumerate() {
        let mut record = serde_json::from_slice(&entry.body).expect("JSON");
        change(at, &mut record);
        entry.body = record.to_string().into();
    }
    let entries: Vec<Entry> = entries.into_iter().filter(|entry| !entry.body.starts_with(b"null")).collect();
    ledger.append(&entries).await.expect("they are written");
}

async fn replay(server: &Server) -> Value {
    server.post("/replay", json!({"all": true})).await.is(200)
}

/// Two pods that are placed, and one that fits nowhere, with one that was placed in between.
async fn three_decisions() -> Server {
    let server = with_history(&[node("a", "2"), node("b", "4")]).await;
    let pods = [pod("p0", "3"), pod("p1", "2"), pod("p2", "2")];
    server.post("/schedule", json!({"pods": pods, "seed": 3, "suggestions": false})).await.is(200);
    let report = replay(&server).await;
    assert_eq!((&report["identical"], &report["total"]), (&3.into(), &3.into()), "{report}");
    server
}

#[tokio::test]
async fn each_recorded_field_of_an_answer_is_compared() {
    let fields = [
        (0, "outcome", json!("unschedulable")),
        (2, "outcome", json!("bound")),
        (0, "node", json!("a")),
        (0, "total", json!(1)),
        (0, "fitting", json!(77)),
        (0, "message", json!("because")),
        (2, "message", json!("because")),
        (0, "victims", json!([{"namespace": "shop", "name": "x"}])),
        (0, "effects", json!({"cleared": [{"namespace": "shop", "name": "x"}]})),
        (1, "verdicts", json!([{"reason": "lies", "nodes": 9}])),
        (1, "scores", json!([])),
        (2, "digest", json!("abcd")),
    ];
    for (place, field, value) in fields {
        let server = three_decisions().await;
        rewritten(&server, |at, record| {
            if at == place {
                record[field] = value.clone();
            }
        })
        .await;
        let report = replay(&server).await;
        let different = report["different"].as_array().expect("a list");
        let found = different.iter().flat_map(|one| one["fields"].as_array().expect("fields"));
        assert!(found.clone().any(|one| one["field"] == field), "{field} of {place}: {report}");
        if field == "effects" {
            let told: Vec<_> = found.filter(|one| one["field"] == "effects").collect();
            assert_eq!(told[0]["recorded"], r#"{"cleared":[{"namespace":"shop","name":"x"}]}"#, "JSON");
        }
        // Those after a decision that differs are made again on what was recorded.
        let is_on_its_node = !matches!(field, "outcome" | "node" | "victims" | "effects");
        assert!(!is_on_its_node || report["identical"] == 2, "{field} of {place}: {report}");
    }
}

#[tokio::test]
async fn a_decision_that_cannot_be_made_again_ends_its_batch_at_once() {
    for (why, told) in [("missing", "not recorded"), ("unrepeatable", "for a reason")] {
        let server = three_decisions().await;
        rewritten(&server, |at, record| match why {
            "missing" if at == 0 => *record = Value::Null,
            "unrepeatable" if at == 0 => record["unrepeatable"] = "for a reason".into(),
            _ => {}
        })
        .await;
        let report = replay(&server).await;
        let skipped = report["skipped"].as_array().expect("a list");
        assert_eq!((&report["identical"], skipped.is_empty()), (&0.into(), false), "{why}: {report}");
        for skipped in skipped {
            assert!(skipped["why"].as_str().is_some_and(|why| why.contains(told)), "{skipped}");
        }
    }
}

#[tokio::test]
async fn odd_records_are_skipped_with_why() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 6] = [
        ("call", |record| record["call"] = "preempt".into()),
        ("place", |record| record["batch"]["place"] = (1_u64 << 63).into()),
        ("carried", |record| {
            let id = record["id"].clone();
            record["batch"]["carried"] = json!({"batch": id, "from": u64::MAX, "count": u64::MAX});
        }),
        ("count", |record| record["batch"]["carried"] = json!({"batch": "zz", "from": 0, "count": 5})),
        ("revision", |record| record["revision"] = u64::MAX.into()),
        ("policy", |record| record["policy"] = json!({"name": "(request)", "revision": 7, "release": "1.10"})),
    ];
    for (name, change) in changes {
        for place in [0, 2] {
            let server = three_decisions().await;
            rewritten(&server, |at, record| {
                if at == place {
                    change(record);
                }
            })
            .await;
            let report = replay(&server).await;
            let skipped = report["skipped"].as_array().expect("a list").len() as u64;
            assert!(skipped >= 1, "{name} of {place}: {report}");
            assert_eq!(report["identical"].as_u64().expect("a count") + skipped, 3, "{name} of {place}: {report}");
            let ids: Vec<&Value> = report["skipped"].as_array().expect("a list").iter().map(|one| &one["id"]).collect();
            let named = server.post("/replay", json!({"decisions": ids})).await.is(200);
            assert_eq!(named["total"].as_u64(), Some(skipped), "{named}");
        }
    }
}

#[tokio::test]
async fn decisions_are_replayed_in_parts_that_continue() {
    let server = three_decisions().await;
    server.post("/schedule", json!({"pods": [pod("p3", "1")]})).await.is(200);
    let all = list(&server, "").await;
    let ids: Vec<&str> = texts(&all, "id");
    for request in [json!({"all": true}), json!({"decisions": ids})] {
        let (mut request, mut seen) = (request, 0);
        for part in 0.. {
            request["limit"] = 1.into();
            let report = server.post("/replay", &request).await.is(200);
            assert_eq!(report["identical"], report["total"], "{report}");
            seen += report["total"].as_u64().expect("a count");
            match report["continue"].as_str() {
                Some(next) => request["continue"] = next.into(),
                None => break,
            }
            assert!(part < 4, "{report}");
        }
        assert_eq!(seen, 4);
    }
    let refusal = server.post("/replay", json!({"all": true, "continue": "zz"})).await.refusal(400);
    assert!(refusal.contains("continue"), "{refusal}");
    let last = server.post("/replay", json!({"decisions": [ids[1]]})).await.is(200);
    assert_eq!(last["identical"], 1, "what lies before it is read: {last}");
}
