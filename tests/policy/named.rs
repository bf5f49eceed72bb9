//! Policies by name and by cluster, their metric, and the catalog of plugins.

use podberth::core::{predicates, priorities};
use serde_json::json;

use super::{Told, choice, packing, question, server::Server, spreading};

pub(crate) async fn named_policies_are_chosen_by_the_request(server: Server) {
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

pub(crate) async fn clusters_are_apart(server: Server) {
    server.put("/clusters/east/policy", packing()).await.policy();
    assert_eq!(server.get("/policy").await.policy()["revision"], 0);
    assert_eq!(server.get("/clusters/east/policy").await.policy()["revision"], 1);
    assert_eq!(server.get("/clusters/west/policy").await.policy()["revision"], 0);
    let explained = server.post("/clusters/east/explain", question()).await.is(200);
    assert_eq!(explained["selected"], "full");
}

pub(crate) async fn the_metric_shows_the_revision_in_force(server: Server) {
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

pub(crate) async fn plugins_are_those_of_the_registries(server: Server) {
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
