//! Policies over HTTP, on SQLite in memory and on PostgreSQL. The router is called without a socket.
//! Run it with `scripts/test --test policy`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{body::Body, http::Request};
use podberth::{
    api::openapi::DOCUMENTS,
    cluster::{
        Clusters, Limits, PolicyHistory,
        upkeep::{ForgetPolicies, Job},
    },
    core::{predicates, priorities},
    store::{Key, ListQuery, Store},
    wire::policy::{self, revision},
};
use podberth_testkit::memory::{Memory, Numbering};
use serde_json::{Value, json};
use tower::ServiceExt;

#[path = "support/database.rs"]
#[allow(dead_code, reason = "SQLite files are for the suite of the store")]
mod database;
#[path = "support/server.rs"]
mod server;

use server::{JSON, LATE, Reply, Server, Setup};

/// Makes one test of each case and engine.
macro_rules! cases {
    ($($case:ident)*) => {
        cases!(@engine sqlite_memory SqliteMemory $($case)*);
        cases!(@engine postgres Postgres $($case)*);
    };
    (@engine $name:ident $engine:ident $($case:ident)*) => {
        mod $name {
            use crate::{server::Server, database::{Engine, with_database}};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    with_database(Engine::$engine, async |database| {
                        crate::$case(Server::replica(database.store().await)).await;
                    })
                    .await;
                }
            )*
        }
    };
}

cases! {
    without_a_policy_the_default_holds
    a_policy_is_stored_and_decides
    what_is_received_is_told
    a_decision_tree_is_kept_and_decides
    equal_text_is_no_revision
    every_fault_is_told_and_nothing_is_stored
    a_dry_run_stores_nothing
    conditions_hold_or_nothing_is_changed
    a_rollback_is_a_new_revision
    numbers_are_never_given_twice
    a_purge_forgets_the_history
    the_history_is_read_page_by_page
    named_policies_are_chosen_by_the_request
    clusters_are_apart
    another_replica_follows
    writers_at_once_get_numbers_of_their_own
    a_decision_sees_one_policy_whole
    configurations_are_taken_and_given
    requests_that_cannot_be_understood
    the_metric_tells_what_is_in_force
    plugins_are_those_of_the_registries
}

/// What is read off replies here.
trait Told {
    fn policy(&self) -> Value;
    fn etag(&self) -> &str;
}

impl Told for Reply {
    /// A policy, as the published document describes it.
    #[track_caller]
    fn policy(&self) -> Value {
        let state = self.is(200);
        let schema = json!({"$ref": "#/components/schemas/PolicyState", "components": DOCUMENTS.v3_1["components"]});
        let validator = jsonschema::validator_for(&schema).expect("the document's schemas are right");
        let problems: Vec<String> = validator.iter_errors(&state).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{problems:?} in {state:#}");
        state
    }

    fn etag(&self) -> &str {
        self.headers.get("etag").map(|value| value.to_str().expect("text")).unwrap_or_default()
    }
}

/// The node that `/explain` takes of one that is half full and one that is empty.
async fn choice(server: &Server, query: &str) -> String {
    let explanation = server.post(&format!("/explain{query}"), question()).await.is(200);
    explanation["selected"].as_str().expect("a node").to_owned()
}

/// `full` is the best node for who packs, `empty` for who spreads.
fn question() -> Value {
    let node = |name: &str| json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}});
    let spec = |node: Value| json!({"nodeName": node, "containers": [{"name": "main", "resources": {"requests": {"cpu": "1", "memory": "2Gi"}}}]});
    json!({
        "pod": {"metadata": {"name": "new"}, "spec": spec(Value::Null)},
        "cluster": {
            "nodes": [node("full"), node("empty")],
            "pods": [{"metadata": {"name": "old", "namespace": "default"}, "spec": spec("full".into())}],
        },
    })
}

fn packing() -> Value {
    json!({"kind": "Policy", "apiVersion": "v1", "priorities": [{"name": "MostRequestedPriority", "weight": 1}]})
}

fn spreading() -> Value {
    json!({"kind": "Policy", "apiVersion": "v1", "priorities": [{"name": "LeastRequestedPriority", "weight": 1}]})
}

fn weighing(weight: usize) -> Value {
    json!({"priorities": [{"name": "LeastRequestedPriority", "weight": weight}]})
}

async fn without_a_policy_the_default_holds(server: Server) {
    let reply = server.get("/policy").await;
    let state = reply.policy();
    assert_eq!((&state["name"], &state["revision"], reply.etag()), (&"default".into(), &0.into(), "\"0\""));
    assert_eq!(state["document"], json!({"kind": "Policy", "apiVersion": "v1"}));
    assert_eq!(state["active"]["release"], "1.22");
    assert_eq!(state["active"]["priorities"].as_array().expect("a list").len(), 9);
    assert!(state.get("text").is_none() && state.get("createdAt").is_none());
    assert_eq!(server.get("/policies/default").await.json(), state, "the same policy");
    assert_eq!(server.get("/policies").await.is(200), json!({"items": [{"name": "default", "revision": 0}]}));
    assert_eq!(server.get("/policy/revisions").await.is(200), json!({"items": [], "remaining": 0}));
    assert_eq!(server.delete("/policy").await.is(200)["status"], "Success");
    server.post("/policy/rollback", "").await.fails(404, "NotFound");
    server.get("/policies/absent").await.fails(404, "NotFound");
    server.get("/policies/absent/revisions").await.fails(404, "NotFound");
    server.delete("/policies/absent").await.fails(404, "NotFound");
    // What the default says, put in force, is the default.
    let put = server.put("/policy", &state["document"]).await.policy();
    assert_eq!((&put["active"], &put["revision"]), (&state["active"], &1.into()));
}

async fn a_policy_is_stored_and_decides(server: Server) {
    assert_eq!(choice(&server, "").await, "empty");
    let reply = server.put("/policy", packing()).await;
    let state = reply.policy();
    assert_eq!((&state["revision"], reply.etag()), (&1.into(), "\"1\""));
    assert_eq!(state["document"], packing());
    assert_eq!(
        state["active"]["priorities"],
        json!([{"name": "MostRequestedPriority", "plugin": "NodeResourcesMostAllocated", "weight": 1}])
    );
    assert_eq!(choice(&server, "").await, "full", "the next decision is made under it");
    assert_eq!(server.get("/policy").await.policy(), state);
    let explained = server.post("/explain", question()).await.is(200);
    assert_eq!(explained["policy"], json!({"name": "default", "revision": 1, "release": "1.22"}));

    assert_eq!(server.post("/policy", spreading()).await.policy()["revision"], 2, "POST means the same");
    assert_eq!(choice(&server, "").await, "empty");
    let removed = server.delete("/policy").await.is(200);
    assert_eq!((&removed["kind"], &removed["status"]), (&"Status".into(), &"Success".into()));
    assert_eq!(server.get("/policy").await.policy()["revision"], 0);
}

async fn what_is_received_is_told(server: Server) {
    let yaml = "# Pack.\npriorities:\n  - {name: MostRequestedPriority, weight: 200}\npredicates:\n  - name: CheckNodeCondition\n";
    let json = server.ask("PUT", "/policy", ("content-type", "application/yaml"), yaml).await.policy();
    assert_eq!(json["text"], yaml, "comments are kept");
    assert_eq!(
        json["document"],
        json!({
            "priorities": [{"name": "MostRequestedPriority", "weight": 200}],
            "predicates": [{"name": "CheckNodeCondition"}],
        })
    );
    let warned: Vec<_> = json["warnings"].as_array().expect("a list").iter().map(|w| &w["field"]).collect();
    assert!(warned.contains(&&json!("predicates[0].name")), "{warned:?}");
    assert_eq!(server.get("/policy").await.policy()["warnings"], json["warnings"]);
    // An empty file is a policy of defaults, as for kube-scheduler.
    assert_eq!(server.put("/policy", "").await.policy()["document"], json!({}));
    // 1.6 knew the older names.
    let old = json!({"predicates": [{"name": "PodFitsPorts"}], "priorities": [{"name": "ServiceSpreadingPriority", "weight": 1}]});
    assert_eq!(server.put("/policy", old).await.policy()["revision"], 3);
}

async fn a_decision_tree_is_kept_and_decides(server: Server) {
    let text = include_str!("../examples/policies/decision-tree.yaml");
    let state = server.put("/policy", text).await.policy();
    assert_eq!((&state["text"], &state["warnings"]), (&text.into(), &json!([])));
    assert_eq!(state["active"]["combination"], "Lexicographic");
    let level = |name, plugin, tolerance| json!({"name": name, "plugin": plugin, "weight": 1, "tolerance": tolerance});
    assert_eq!(
        state["active"]["priorities"],
        json!([
            level("TaintTolerationPriority", "TaintToleration", 0),
            level("LeastRequestedPriority", "NodeResourcesLeastAllocated", 10),
            level("Cheap", "NodeLabel", 0),
        ])
    );
    assert_eq!(server.get("/policy").await.policy(), state);
    assert_eq!(choice(&server, "").await, "empty");
    let converted = server.get("/policy?as=KubeSchedulerConfiguration").await;
    assert_eq!(converted.code, 200, "{}", converted.text());
    assert!(converted.text().contains("# scoring.strategy: levels have no counterpart"), "{}", converted.text());
    let bad = json!({"scoring": {"strategy": "Lexicographic", "levels": [{"priority": "Nope", "tolerance": -1}]}});
    let status = server.put("/policy", bad).await.fails(422, "Invalid");
    assert_eq!(status["details"]["causes"].as_array().map(Vec::len), Some(2), "{status}");
}

async fn equal_text_is_no_revision(server: Server) {
    let first = server.put("/policy", packing()).await.policy();
    let again = server.put("/policy", packing()).await;
    assert_eq!((again.policy(), again.etag()), (first, "\"1\""));
    assert_eq!(server.post("/policy", packing()).await.policy()["revision"], 1);
    assert_eq!(server.get("/policy/revisions").await.is(200)["items"].as_array().expect("a list").len(), 1);
}

async fn every_fault_is_told_and_nothing_is_stored(server: Server) {
    server.put("/policy", packing()).await.policy();
    let bad = json!({
        "predicates": [{"name": "NoSuchPredicate"}],
        "priorities": [{"name": "LeastRequestedPriority", "weight": 0}, {"name": "NoSuchPriority", "weight": 1}],
    });
    let status = server.put("/policy", bad).await.fails(422, "Invalid");
    let causes = status["details"]["causes"].as_array().expect("causes");
    let fields: BTreeSet<_> = causes.iter().filter_map(|cause| cause["field"].as_str()).collect();
    for field in ["predicates[0].name", "priorities[0].weight", "priorities[1].name"] {
        assert!(fields.contains(field), "{field} is not in {fields:?}");
    }
    server.put("/policy", "{").await.fails(422, "Invalid");
    assert_eq!(server.get("/policy").await.policy()["revision"], 1);
    assert_eq!(choice(&server, "").await, "full");
}

async fn a_dry_run_stores_nothing(server: Server) {
    let head = server.state.store.head("default").await.expect("the store answers").revision;
    let reply = server.put("/policy?dryRun=All", packing()).await;
    let tried = reply.policy();
    assert_eq!((&tried["revision"], reply.etag()), (&1.into(), ""));
    assert_eq!(tried["active"]["priorities"][0]["name"], "MostRequestedPriority");
    server.put("/policy?dryRun=All", "{").await.fails(422, "Invalid");
    server.put("/policy?dryRun=Some", packing()).await.fails(400, "BadRequest");
    assert_eq!(server.get("/policy").await.policy()["revision"], 0);
    assert_eq!(server.state.store.head("default").await.expect("the store answers").revision, head);

    server.put("/policy", packing()).await.policy();
    server.put("/policy", spreading()).await.policy();
    assert_eq!(server.post("/policy/rollback?dryRun=All", "").await.policy()["rollbackTo"], 1);
    assert_eq!(server.delete("/policy?dryRun=All").await.is(200)["status"], "Success");
    assert_eq!(server.get("/policy").await.policy()["revision"], 2);
}

async fn conditions_hold_or_nothing_is_changed(server: Server) {
    let send = async |method: &str, path: &str, header: (&str, &str), body: Value| {
        server.ask(method, path, header, body).await
    };
    send("PUT", "/policy", ("if-match", "*"), packing()).await.fails(412, "PreconditionFailed");
    send("PUT", "/policy", ("if-none-match", "*"), packing()).await.policy();
    let taken = send("PUT", "/policy", ("if-none-match", "*"), packing()).await;
    taken.fails(412, "PreconditionFailed");
    let tag = server.get("/policy").await.etag().to_owned();
    send("PUT", "/policy", ("if-match", &tag), spreading()).await.policy();
    let status = send("PUT", "/policy", ("if-match", &tag), packing()).await.fails(412, "PreconditionFailed");
    assert_eq!(status["message"], "If-Match does not hold: the revision in force is \"2\"");
    send("DELETE", "/policy", ("if-match", &tag), Value::Null).await.fails(412, "PreconditionFailed");
    send("POST", "/policy/rollback", ("if-match", &tag), json!({})).await.fails(412, "PreconditionFailed");
    send("PUT", "/policy?dryRun=All", ("if-match", &tag), packing()).await.fails(412, "PreconditionFailed");
    send("PUT", "/policy", ("if-match", "2"), packing()).await.fails(400, "BadRequest");
    assert_eq!(server.get("/policy").await.etag(), "\"2\"");
    send("DELETE", "/policy", ("if-match", "\"2\""), Value::Null).await.is(200);
    send("PUT", "/policy", ("if-match", "\"0\""), packing()).await.policy();
}

async fn a_rollback_is_a_new_revision(server: Server) {
    server.put("/policy", packing()).await.policy();
    server.put("/policy", spreading()).await.policy();
    let back = server.post("/policy/rollback", "").await.policy();
    assert_eq!((&back["revision"], &back["rollbackTo"], &back["document"]), (&3.into(), &1.into(), &packing()));
    assert_eq!(choice(&server, "").await, "full");
    let forth = server.post("/policy/rollback", json!({"revision": 2})).await.policy();
    assert_eq!((&forth["revision"], &forth["rollbackTo"]), (&4.into(), &2.into()));
    let same = server.post("/policy/rollback", json!({"revision": 4})).await.policy();
    assert_eq!(same["revision"], 4, "it is in force");
    for unknown in [0_u64, 5, u64::MAX] {
        let status = server.post("/policy/rollback", json!({"revision": unknown})).await.fails(404, "NotFound");
        assert_eq!(status["details"]["name"], format!("default/{unknown}"));
    }
    server.post("/policy/rollback", json!({"revison": 1})).await.fails(400, "BadRequest");
    server.delete("/policy").await.is(200);
    let last = server.post("/policy/rollback", "").await.policy();
    assert_eq!((&last["revision"], &last["rollbackTo"], &last["document"]), (&5.into(), &4.into(), &spreading()));
}

async fn numbers_are_never_given_twice(server: Server) {
    for (round, policy) in [packing(), packing(), spreading()].into_iter().enumerate() {
        assert_eq!(server.put("/policy", policy).await.policy()["revision"], round + 1);
        server.delete("/policy").await.is(200);
    }
    assert_eq!(server.get("/policy/revisions").await.is(200)["items"].as_array().expect("a list").len(), 3);
}

async fn a_purge_forgets_the_history(server: Server) {
    for weight in 1..=3 {
        server.put("/policies/p", weighing(weight)).await.policy();
    }
    server.delete("/policies/p?purge=true&dryRun=All").await.is(200);
    assert_eq!(server.get("/policies/p/revisions").await.is(200)["items"].as_array().expect("a list").len(), 3);
    server.delete("/policies/p").await.is(200);
    assert_eq!(server.get("/policies/p/revisions").await.is(200)["items"].as_array().expect("a list").len(), 3);
    server.delete("/policies/p").await.fails(404, "NotFound");
    server.delete("/policies/p?purge=true").await.is(200);
    server.get("/policies/p/revisions").await.fails(404, "NotFound");
    server.post("/policies/p/rollback", "").await.fails(404, "NotFound");
    server.delete("/policies/p?purge=true").await.fails(404, "NotFound");
    assert_eq!(server.put("/policies/p", weighing(1)).await.policy()["revision"], 1);
    server.delete("/policies/p?purge=true").await.is(200);
    assert_eq!(server.put("/policies/p", weighing(1)).await.policy()["revision"], 1, "in one go");
}

/// The numbers of a policy's revisions, and how many objects the store keeps for them.
async fn kept(server: &Server) -> (Vec<u64>, usize) {
    let list = server.get("/policies/p/revisions").await.is(200);
    let items = list["items"].as_array().expect("a list");
    let stored = server.state.store.list("default", &ListQuery::all(revision::HISTORY)).await;
    let numbers = items.iter().filter_map(|item| item["revision"].as_u64()).collect();
    (numbers, stored.expect("the store answers").items.len())
}

#[tokio::test]
async fn the_history_is_bounded_by_number_size_and_age() {
    let server = async |policies: PolicyHistory| {
        let clusters = Limits { policies, ..Setup::default().clusters };
        let server = Server::start(server::memory(&[]).await, Setup { clusters, ..Setup::default() });
        for weight in 1..=6 {
            server.put("/policies/p", weighing(weight)).await.policy();
        }
        server
    };
    let all = PolicyHistory::default();
    let by_number = server(PolicyHistory { revisions: 2, ..all }).await;
    assert_eq!(kept(&by_number).await, (vec![6, 5, 4], 2), "besides the one in force, which is kept once");
    by_number.delete("/policies/p").await.is(200);
    assert_eq!(kept(&by_number).await, (vec![6, 5], 2));
    let again = by_number.post("/policies/p/rollback", "").await.policy();
    assert_eq!((&again["revision"], &again["rollbackTo"]), (&7.into(), &6.into()));

    let key = Key::new(revision::IN_FORCE, "", "p");
    let stored = by_number.state.store.get("default", &key).await.expect("the store answers").expect("a policy");
    let by_size = server(PolicyHistory { bytes: stored.body.len() * 5 / 2, ..all }).await;
    assert_eq!(kept(&by_size).await, (vec![6, 5, 4], 2));
    let none = server(PolicyHistory { revisions: 0, ..all }).await;
    assert_eq!(kept(&none).await, (vec![6], 0));
    let by_age = server(PolicyHistory { age: Duration::ZERO, ..all }).await;
    assert!(kept(&by_age).await.1 <= 6);
}

#[tokio::test]
async fn a_revision_that_is_too_old_goes_without_a_change() {
    let memory = Arc::new(Memory::new(Numbering::Counter));
    memory.migrate().await.expect("it migrates");
    let store: Arc<dyn Store> = memory.clone();
    let server = Server::start(store.clone(), Setup::default());
    for weight in 1..=3 {
        server.put("/policies/p", weighing(weight)).await.policy();
    }
    let keep = PolicyHistory { age: Duration::from_hours(1), ..PolicyHistory::default() };
    let job = ForgetPolicies { every: Duration::ZERO, keep, clusters: Clusters::new(store.clone(), LATE) };
    job.run(&*store).await.expect("it is done");
    assert_eq!(kept(&server).await.1, 2, "they are young");
    memory.pass(Duration::from_hours(2));
    job.run(&*store).await.expect("it is done");
    assert_eq!(kept(&server).await, (vec![3], 0), "the one in force stays");
}

async fn the_history_is_read_page_by_page(server: Server) {
    for weight in 1..=5 {
        server.put("/policies/p", weighing(weight)).await.policy();
    }
    // A neighbour in the order of names is not counted.
    server.put("/policies/p-2", weighing(1)).await.policy();
    let page = async |query: &str| {
        let list = server.get(&format!("/policies/p/revisions{query}")).await.is(200);
        let items = list["items"].as_array().expect("a list").clone();
        let numbers: Vec<u64> = items.iter().filter_map(|item| item["revision"].as_u64()).collect();
        (numbers, list["remaining"].as_u64().expect("a number"))
    };
    assert_eq!(page("").await, (vec![5, 4, 3, 2, 1], 0));
    assert_eq!(page("?limit=2").await, (vec![5, 4], 3));
    assert_eq!(page("?limit=2&before=4").await, (vec![3, 2], 1));
    assert_eq!(page("?limit=2&before=2").await, (vec![1], 0));
    assert_eq!(page("?before=1").await, (vec![], 0));
    assert_eq!(page("?before=99&limit=1").await, (vec![5], 4));
    let newest = &server.get("/policies/p/revisions?limit=1").await.is(200)["items"][0];
    assert_eq!(newest["text"], weighing(5).to_string());
    server.get("/policies/p/revisions?limit=some").await.fails(400, "BadRequest");
}

async fn named_policies_are_chosen_by_the_request(server: Server) {
    server.put("/policies/packing", packing()).await.policy();
    assert_eq!(
        (choice(&server, "").await.as_str(), choice(&server, "?policy=packing").await.as_str()),
        ("empty", "full")
    );
    let named = server.get("/policies/packing").await.policy();
    assert_eq!((&named["name"], &named["revision"]), (&"packing".into(), &1.into()));
    let list = server.get("/policies").await.is(200);
    let names: Vec<_> = list["items"].as_array().expect("a list").iter().map(|item| &item["name"]).collect();
    assert_eq!(names, ["default", "packing"]);
    server.put("/policies/default", spreading()).await.policy();
    assert_eq!(server.get("/policy").await.policy()["revision"], 1);

    let mut strict = packing();
    strict["predicates"] =
        json!([{"name": "Labelled", "argument": {"labelsPresence": {"labels": ["x"], "presence": true}}}]);
    server.put("/policies/strict", strict).await.policy();
    let sent = json!({"Pod": question()["pod"], "Nodes": {"items": question()["cluster"]["nodes"]}});
    let fitting = async |query: &str| {
        let reply = server.post(&format!("/filter{query}"), &sent).await.is(200);
        (reply["Nodes"]["items"].as_array().map_or(0, Vec::len), reply["Error"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(fitting("").await, (2, String::new()));
    assert_eq!(fitting("?policy=strict").await, (0, String::new()));
    let (_, error) = fitting("?policy=absent").await;
    assert_eq!(error, "policies.podberth.io \"absent\" not found");
    server.post("/prioritize?policy=absent", &sent).await.fails(404, "NotFound");
    server.post("/explain?policy=absent", question()).await.fails(404, "NotFound");

    server.put("/policies/packing", spreading()).await.policy();
    assert_eq!(server.post("/policies/packing/rollback", "").await.policy()["rollbackTo"], 1);
    server.delete("/policies/packing").await.is(200);
    server.get("/policies/packing").await.fails(404, "NotFound");
    assert_eq!(server.get("/policies/packing/revisions").await.is(200)["items"].as_array().expect("a list").len(), 3);
}

async fn clusters_are_apart(server: Server) {
    server.put("/clusters/east/policy", packing()).await.policy();
    assert_eq!(server.get("/policy").await.policy()["revision"], 0);
    assert_eq!(server.get("/clusters/east/policy").await.policy()["revision"], 1);
    assert_eq!(server.get("/clusters/west/policy").await.policy()["revision"], 0);
    let explained = server.post("/clusters/east/explain", question()).await.is(200);
    assert_eq!(explained["selected"], "full");
}

async fn another_replica_follows(server: Server) {
    let other = Server::replica(server.state.store.clone());
    assert_eq!(other.get("/policy").await.policy()["revision"], 0);
    server.put("/policy", packing()).await.policy();
    // Putting what is in force waits until this replica has it too.
    assert_eq!(other.put("/policy", packing()).await.policy()["revision"], 1);
    assert_eq!(other.get("/policy").await.policy()["revision"], 1);
}

async fn writers_at_once_get_numbers_of_their_own(server: Server) {
    const WRITERS: usize = 8;
    let writers: Vec<_> = (1..=WRITERS)
        .map(|weight| {
            let server = server.clone();
            tokio::spawn(async move {
                let state = server.put("/policy", weighing(weight)).await.policy();
                (state["revision"].as_u64().expect("a number"), weight)
            })
        })
        .collect();
    let mut told = Vec::new();
    for writer in writers {
        told.push(writer.await.expect("no panic"));
    }
    told.sort_unstable();
    let numbers: Vec<u64> = told.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=WRITERS as u64).collect::<Vec<_>>());
    let list = server.get("/policy/revisions").await.is(200);
    for (item, (number, weight)) in list["items"].as_array().expect("a list").iter().rev().zip(&told) {
        assert_eq!((&item["revision"], &item["text"]), (&(*number).into(), &weighing(*weight).to_string().into()));
    }
    assert_eq!(server.get("/policy").await.policy()["revision"], WRITERS);

    // Of those that hold the same tag one wins.
    let racers: Vec<_> = (1..=WRITERS)
        .map(|weight| {
            let (server, tag) = (server.clone(), format!("\"{WRITERS}\""));
            let body = weighing(100 + weight).to_string();
            tokio::spawn(async move { server.ask("PUT", "/policy", ("if-match", &tag), body).await.code })
        })
        .collect();
    let mut codes = Vec::new();
    for racer in racers {
        codes.push(racer.await.expect("no panic"));
    }
    codes.sort_unstable();
    assert_eq!((codes[0], &codes[1..]), (200, &[412; WRITERS - 1][..]));

    // The same text from all sides is one revision.
    let same = (0..WRITERS).map(|_| {
        let server = server.clone();
        tokio::spawn(async move { server.put("/policies/same", packing()).await.policy()["revision"].clone() })
    });
    let same: Vec<_> = same.into_iter().collect();
    for writer in same {
        assert_eq!(writer.await.expect("no panic"), 1);
    }
}

/// While two policies take turns, every answer is that of one of them: its name, choice and weights belong together.
async fn a_decision_sees_one_policy_whole(server: Server) {
    let policies = [packing(), spreading()];
    server.put("/policy", &policies[0]).await.policy();
    let writer = {
        let (server, policies) = (server.clone(), policies.clone());
        tokio::spawn(async move {
            for turn in 1..=20 {
                server.put("/policy", &policies[turn % 2]).await.policy();
            }
        })
    };
    while !writer.is_finished() {
        let explained = server.post("/explain", question()).await.is(200);
        let odd = explained["policy"]["revision"].as_u64().expect("a number") % 2 == 1;
        assert_eq!(explained["selected"], if odd { "full" } else { "empty" }, "{}", explained["policy"]);
    }
    writer.await.expect("no panic");
}

async fn configurations_are_taken_and_given(server: Server) {
    let yaml = server.get("/policy?as=KubeSchedulerConfiguration").await;
    assert_eq!((yaml.code, &yaml.headers["content-type"]), (200, &"application/yaml".parse().expect("a header")));
    assert!(
        yaml.text().starts_with("# ") && yaml.text().contains("kind: KubeSchedulerConfiguration"),
        "{}",
        yaml.text()
    );
    policy::parse_configuration(yaml.text()).expect("what is given is taken");

    server.put("/policy", packing()).await.policy();
    let converted = server.get("/policy?as=KubeSchedulerConfiguration").await;
    let (code, configuration) = (converted.code, converted.text().to_owned());
    assert!(code == 200 && configuration.contains("MostAllocated"), "{configuration}");
    let taken = server.ask("PUT", "/policy", ("content-type", "application/yaml"), configuration).await.policy();
    assert_eq!(
        (&taken["active"]["release"], &taken["document"]["kind"]),
        (&"1.34".into(), &"KubeSchedulerConfiguration".into())
    );
    assert_eq!(choice(&server, "").await, "full", "the modern form decides alike");
    assert_eq!(server.get("/policy?as=KubeSchedulerConfiguration").await.code, 200);

    let profile = json!({"schedulerName": "mine", "plugins": {"score": {"disabled": [{"name": "*"}]}}});
    let taken = server.put("/policies/profile", profile).await.policy();
    assert_eq!(taken["active"]["priorities"], json!([]));
    let wrong = server.get("/policy?as=Policies").await.fails(400, "BadRequest");
    assert!(wrong["message"].as_str().expect("text").contains("KubeSchedulerConfiguration"), "{wrong}");
    server.get("/policies/absent?as=KubeSchedulerConfiguration").await.fails(404, "NotFound");
}

async fn requests_that_cannot_be_understood(server: Server) {
    for name in ["Upper", "under_score", "a%2Fb", "-a", "a..b", &"a".repeat(254)] {
        server.get(&format!("/policies/{name}")).await.fails(400, "BadRequest");
        server.put(&format!("/policies/{name}"), packing()).await.fails(400, "BadRequest");
    }
    let xml = server.ask("PUT", "/policy", ("content-type", "application/xml"), "<a/>").await;
    xml.fails(415, "UnsupportedMediaType");
    let large = server.put("/policy", " ".repeat(4 << 20)).await;
    large.fails(413, "RequestEntityTooLarge");
    server.post("/policy/rollback", "[").await.fails(400, "BadRequest");
    server.ask("PATCH", "/policy", JSON, "").await.fails(405, "MethodNotAllowed");
    let request = Request::builder().method("PUT").uri("/policy").body(Body::from(vec![0xff])).expect("a request");
    let response = server.router.clone().oneshot(request).await.expect("the router never fails");
    assert_eq!(response.status(), 400, "no text");
}

async fn the_metric_tells_what_is_in_force(server: Server) {
    let lines = async || {
        let text = server.get("/metrics").await.text().to_owned();
        let lines = text.lines().filter(|line| line.starts_with("podberth_policy_revision_info"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(lines().await.is_empty(), "nobody has asked yet");
    server.put("/policies/other", packing()).await.policy();
    server.put("/policies/other", spreading()).await.policy();
    let expected = [("default", 0), ("other", 2)].map(|(policy, revision)| {
        format!("podberth_policy_revision_info{{policy=\"{policy}\",revision=\"{revision}\"}} 1")
    });
    assert_eq!(lines().await, expected, "and none of the revisions before");
}

async fn plugins_are_those_of_the_registries(server: Server) {
    let catalog = server.get("/plugins").await.is(200);
    let names = |list: &str| -> Vec<String> {
        let items = catalog[list].as_array().expect("a list").iter();
        items.map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names("predicates"), predicates::ALL.iter().map(|r| r.identity.name).collect::<Vec<_>>());
    assert_eq!(names("priorities"), priorities::ALL.iter().map(|r| r.identity.name).collect::<Vec<_>>());
    let of = |list: &str, name: &str| {
        let items = catalog[list].as_array().expect("a list");
        items.iter().find(|item| item["name"] == name).expect("it is listed").clone()
    };
    for item in ["predicates", "priorities"].into_iter().flat_map(|list| catalog[list].as_array().expect("a list")) {
        assert!(item["documentation"].as_str().is_some_and(|text| text.starts_with("# Rule")), "{item}");
    }
    let general = of("predicates", "GeneralPredicates");
    assert_eq!(general["members"], json!(["PodFitsResources", "HostName", "PodFitsHostPorts", "MatchNodeSelector"]));
    assert_eq!((&general["standing"], &general["kind"]), (&"Default".into(), &"Predicate".into()));
    assert_eq!(of("predicates", "PodFitsHostPorts")["aliases"], json!(["PodFitsPorts"]));
    assert_eq!(of("predicates", "PodToleratesNodeTaints")["standing"], "Mandatory");
    assert!(
        of("predicates", "CheckNodeCondition")["retired"].as_str().is_some_and(|text| text.starts_with("until 1.17"))
    );
    assert_eq!(of("priorities", "NodePreferAvoidPodsPriority")["defaultWeight"], 10_000);
    let most = of("priorities", "MostRequestedPriority");
    assert_eq!((&most["standing"], most.get("defaultWeight")), (&"Optional".into(), None));
}
