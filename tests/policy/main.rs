//! Policies over HTTP, on SQLite in memory and on PostgreSQL. The router is called without a socket.
//! Run it with `scripts/test --test policy`.

use podberth::api::published::DOCUMENTS;
use serde_json::{Value, json};

#[path = "../support/database.rs"]
#[allow(dead_code, reason = "SQLite files are for the suite of the store")]
mod database;
#[macro_use]
#[path = "../support/engines.rs"]
mod engines;
#[path = "../support/server.rs"]
mod server;

mod content;
mod diff;
mod history;
mod named;
mod together;

use server::{Reply, Server};

cases! {
    content:
        without_a_policy_the_default_holds
        a_policy_is_stored_and_decides
        a_policy_comes_back_as_it_was_sent
        a_decision_tree_is_kept_and_decides
        every_fault_is_reported_and_nothing_is_stored
        a_dry_run_stores_nothing
        configurations_are_taken_and_given
        requests_that_cannot_be_understood;
    history:
        equal_text_is_no_revision
        a_rollback_is_a_new_revision
        numbers_are_never_given_twice
        a_purge_forgets_the_history
        the_history_is_read_page_by_page;
    together:
        conditions_hold_or_nothing_is_changed
        another_replica_follows
        writers_at_once_get_numbers_of_their_own
        a_decision_sees_one_policy_whole;
    named:
        named_policies_are_chosen_by_the_request
        clusters_are_apart
        the_metric_shows_the_revision_in_force
        plugins_are_those_of_the_registries;
    diff:
        pods_that_wait_are_placed_under_both_policies
        pods_are_named_or_sent_and_leave_their_nodes
        faults_of_the_candidate_and_of_the_request_name_their_fields;
}

/// Shortcuts for reading replies.
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
