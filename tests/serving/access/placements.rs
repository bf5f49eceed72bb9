//! Placements over clusters of which the caller may ask about some.

use serde_json::{Value, json};

use super::{ROOT, ask, bind, closed};
use crate::server::Server;

/// A ClusterRole of one rule of `podberth.io`, and others, in a cluster.
async fn role(server: &Server, cluster: &str, name: &str, rules: Value) {
    let path = format!("/clusters/{cluster}/apis/rbac.authorization.k8s.io/v1/clusterroles");
    ask(server, ROOT, "POST", &path, json!({"metadata": {"name": name}, "rules": rules})).await.is(201);
}

fn names<'r>(reply: &'r Value, list: &str) -> Vec<&'r str> {
    reply[list].as_array().expect("a list").iter().filter_map(|of| of["name"].as_str()).collect()
}

#[tokio::test]
async fn clusters_that_the_caller_may_not_ask_are_left_out_of_placements() {
    let server = closed(&["ann", "bob"]).await;
    let own = |resources: &[&str]| json!({"apiGroups": ["podberth.io"], "resources": resources, "verbs": ["create"]});
    let pods = json!({"apiGroups": [""], "resources": ["pods", "pods/binding"], "verbs": ["create"]});
    role(&server, "podberth-system", "asks", json!([own(&["placements/clusters"])])).await;
    bind(&server, "podberth-system", "", "asks", "ann").await;
    let node = json!({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "4", "pods": "110"}}});
    for cluster in ["a", "b", "c", "d"] {
        ask(&server, ROOT, "POST", &format!("/clusters/{cluster}/api/v1/nodes"), node.clone()).await.is(201);
    }
    // She may try in a and b, and place in b. Of c she learns nothing; nor of d, whose pods she may not know.
    for (cluster, rules) in [
        ("a", json!([own(&["simulations"]), {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}])),
        ("b", json!([own(&["simulations", "placements"]), pods])),
        ("c", json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}])),
        ("d", json!([own(&["simulations"])])),
    ] {
        role(&server, cluster, "here", rules).await;
        bind(&server, cluster, "", "here", "ann").await;
    }
    let request = |more: Value| {
        let container = json!({"name": "c", "resources": {"requests": {"cpu": "1"}}});
        let mut request = json!({"template": {"spec": {"containers": [container]}}, "replicas": 3,
            "division": {"weighted": {"dynamic": "AvailableReplicas"}}});
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        request
    };
    let place = async |more: Value| ask(&server, "token-of-ann", "POST", "/placements", request(more)).await;

    let reply = place(json!({})).await.is(200);
    assert_eq!((names(&reply, "clusters"), names(&reply, "rejected")), (vec!["a", "b"], vec![]), "{reply}");
    assert_eq!(reply["snapshotRevisions"].as_object().expect("revisions").len(), 2);
    // One that is named is as unknown as one that does not exist.
    let told = async |name: &str| {
        place(json!({"clusters": {"names": [name]}})).await.refusal(400).replace(&format!("{name:?}"), "NAME")
    };
    assert_eq!(told("c").await, told("typo").await);
    assert!(told("c").await.starts_with("clusters.names[0]: Not found: NAME"));

    let reply = place(json!({"commit": "bind"})).await.is(200);
    assert_eq!((names(&reply, "clusters"), &reply["committed"]), (vec!["b"], &json!("bind")));
    place(json!({"commit": "bind", "clusters": {"names": ["a"]}})).await.refusal(400);
    // Who may not ask at all is told so.
    ask(&server, "token-of-bob", "POST", "/placements", request(json!({}))).await.fails(403, "Forbidden");
}
