//! Contents of policies, and the faults and warnings reported for them.

use std::collections::BTreeSet;

use axum::{body::Body, http::Request};
use podberth::wire::policy;
use serde_json::json;
use tower::ServiceExt;

use super::{
    Told, choice, packing, question,
    server::{JSON, Server},
    spreading,
};

pub(crate) async fn without_a_policy_the_default_holds(server: Server) {
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
    // The document of the default policy, stored as a policy, decides as the default does.
    let put = server.put("/policy", &state["document"]).await.policy();
    assert_eq!((&put["active"], &put["revision"]), (&state["active"], &1.into()));
}

pub(crate) async fn a_policy_is_stored_and_decides(server: Server) {
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

pub(crate) async fn a_policy_comes_back_as_it_was_sent(server: Server) {
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

pub(crate) async fn a_decision_tree_is_kept_and_decides(server: Server) {
    let text = include_str!("../../examples/policies/decision-tree.yaml");
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

pub(crate) async fn every_fault_is_reported_and_nothing_is_stored(server: Server) {
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

pub(crate) async fn a_dry_run_stores_nothing(server: Server) {
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

pub(crate) async fn configurations_are_taken_and_given(server: Server) {
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

pub(crate) async fn requests_that_cannot_be_understood(server: Server) {
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
