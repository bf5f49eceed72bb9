//! Revisions: their numbers, rollbacks, and the bound of the history.

use std::{sync::Arc, time::Duration};

use podberth::{
    live::{
        Clusters, Limits, PolicyHistory,
        upkeep::{ForgetPolicies, Job},
    },
    store::{Key, ListQuery, Schema, Storage},
    wire::policy::revision,
};
use podberth_testkit::memory::{Memory, Numbering};
use serde_json::json;

use super::{
    Told, choice, packing,
    server::{self, LATE, Server, Setup},
    spreading, weighing,
};

pub(crate) async fn equal_text_is_no_revision(server: Server) {
    let first = server.put("/policy", packing()).await.policy();
    let again = server.put("/policy", packing()).await;
    assert_eq!((again.policy(), again.etag()), (first, "\"1\""));
    assert_eq!(server.post("/policy", packing()).await.policy()["revision"], 1);
    assert_eq!(server.get("/policy/revisions").await.is(200)["items"].as_array().expect("a list").len(), 1);
}

pub(crate) async fn a_rollback_is_a_new_revision(server: Server) {
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

pub(crate) async fn numbers_are_never_given_twice(server: Server) {
    for (round, policy) in [packing(), packing(), spreading()].into_iter().enumerate() {
        assert_eq!(server.put("/policy", policy).await.policy()["revision"], round + 1);
        server.delete("/policy").await.is(200);
    }
    assert_eq!(server.get("/policy/revisions").await.is(200)["items"].as_array().expect("a list").len(), 3);
}

pub(crate) async fn a_purge_forgets_the_history(server: Server) {
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
async fn a_revision_beyond_its_age_is_removed_without_a_change() {
    let memory = Arc::new(Memory::new(Numbering::Counter));
    memory.migrate().await.expect("it migrates");
    let store: Arc<dyn Storage> = memory.clone();
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

pub(crate) async fn the_history_is_read_page_by_page(server: Server) {
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
