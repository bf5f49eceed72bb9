//! Questions to `/explain` and `/schedule`, in the forms in which people have them.

use serde_json::{Value, json};

use crate::server::Server;

fn node(name: &str, cpu: &str) -> Value {
    json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": name},
           "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}}})
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default"},
           "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]}})
}

fn configuration() -> Value {
    let fit = |strategy: &str| json!([{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": strategy, "resources": [{"name": "cpu", "weight": 1}]}}}]);
    json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "percentageOfNodesToScore": 30,
        "profiles": [{"schedulerName": "default-scheduler", "pluginConfig": fit("LeastAllocated")},
                     {"schedulerName": "bin", "pluginConfig": fit("MostAllocated")}]})
}

/// The score of a plugin for a node.
fn score(explanation: &Value, node: &str, plugin: &str) -> i64 {
    let nodes = explanation["nodes"].as_array().expect("nodes");
    let node = nodes.iter().find(|n| n["name"] == node).expect("the node");
    let scores = node["scores"].as_array().expect("scores");
    scores.iter().find(|s| s["plugin"] == plugin).expect("the plugin")["score"].as_i64().expect("a score")
}

#[tokio::test]
async fn a_cluster_is_taken_as_kubectl_prints_it() {
    let server = Server::with(&[]).await;
    let (node, secret) = (node("n", "4"), json!({"kind": "Secret", "metadata": {"name": "s"}}));
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": [node, secret]});
    for cluster in [list.clone(), json!({"items": [node]}), json!([node]), json!({"nodes": [node]})] {
        let asked = json!({"pod": pod("p", "1"), "cluster": cluster});
        let explanation = server.post("/explain", &asked).await.is(200);
        assert_eq!(explanation["selected"], "n", "{cluster}");
        let asked = json!({"pods": [pod("p", "1")], "cluster": cluster, "dryRun": true});
        assert_eq!(server.post("/schedule", &asked).await.is(200)["pods"][0]["node"], "n", "{cluster}");
    }
}

#[tokio::test]
async fn unknown_keys_of_a_request_are_refused_and_those_of_objects_reported() {
    let server = Server::with(&[]).await;
    let told = |status: &Value| status["message"].as_str().unwrap_or_default().to_owned();
    let misspelt = json!({"pood": pod("p", "1"), "cluster": {"nods": []}});
    let message = told(&server.post("/explain", &misspelt).await.fails(400, "BadRequest"));
    assert_eq!(
        message,
        r#"unknown field "pood"; did you mean "pod"?, unknown field "cluster.nods"; did you mean "nodes"?"#
    );
    let misspelt = json!({"pods": [], "podNmes": []});
    let message = told(&server.post("/schedule", &misspelt).await.fails(400, "BadRequest"));
    assert_eq!(message, r#"unknown field "podNmes"; did you mean "podNames"?"#);
    let mut odd = pod("p", "1");
    odd["spec"]["nodeselector"] = json!({"a": "b"});
    let asked = json!({"pod": odd, "cluster": [node("n", "4")]});
    let reply = server.post("/explain", &asked).await;
    assert_eq!(
        (reply.code, reply.header("warning")),
        (200, Some(r#"299 - "unknown field \"pod.spec.nodeselector\"""#))
    );
    server.post("/explain?fieldValidation=Strict", &asked).await.fails(400, "BadRequest");
    assert_eq!(server.post("/explain?fieldValidation=Ignore", &asked).await.header("warning"), None);
}

#[tokio::test]
async fn an_object_with_a_template_asks_for_its_pod() {
    let server = Server::with(&[]).await;
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": pod("", "900")["spec"]});
    let deployment = json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "web", "namespace": "shop"},
                            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    let asked = json!({"pod": deployment, "cluster": [node("n", "4")]});
    let explanation = server.post("/explain", &asked).await.is(200);
    assert_eq!(explanation["nodes"][0]["fits"], false, "its pods ask for 900 CPUs");
    assert_eq!(explanation["template"], json!({"kind": "Deployment", "namespace": "shop", "name": "web"}));
    assert_eq!(explanation["pod"], json!({"namespace": "shop", "name": "web"}));
    let service = json!({"pod": {"kind": "Service", "metadata": {"name": "s"}}, "cluster": []});
    server.post("/explain", &service).await.fails(422, "Invalid");
    let asked = json!({"pods": [deployment], "cluster": [node("n", "4")], "dryRun": true});
    assert_eq!(server.post("/schedule", &asked).await.is(200)["pods"][0]["result"], "Unschedulable");
    server.post("/schedule", &json!({"pods": [deployment]})).await.fails(422, "Invalid");
}

#[tokio::test]
async fn a_pod_picks_its_profile_by_the_schedulers_name() {
    let server = Server::with(&[("nodes", node("big", "8")), ("nodes", node("small", "2"))]).await;
    let put = server.put("/policy", &configuration()).await.is(200);
    assert!(put["warnings"].to_string().contains("percentageOfNodesToScore"), "{put}");
    let of = |scheduler: &str| {
        let mut pod = pod("p", "1");
        pod["spec"]["schedulerName"] = scheduler.into();
        pod
    };
    // Least: (8-1)/8 of 100; most: 1/8 of 100.
    for (scheduler, expected) in [("default-scheduler", 87), ("bin", 12)] {
        for more in [json!({}), json!({"profile": configuration()})] {
            let mut asked = json!({"pod": of(scheduler)});
            asked.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
            let explanation = server.post("/explain", &asked).await.is(200);
            assert_eq!(score(&explanation, "big", "NodeResourcesFit"), expected, "{scheduler}");
        }
    }
    let status = server.post("/explain", &json!({"pod": of("nosuch")})).await.fails(422, "Invalid");
    let message = status["message"].as_str().unwrap_or_default();
    assert!(message.contains(r#"there are "default-scheduler", "bin""#), "{message}");
    // kube-scheduler asks in its own name: what is not known is decided by the first.
    let asked = json!({"Pod": of("nosuch"), "NodeNames": ["big", "small"]});
    assert_eq!(server.post("/filter", &asked).await.is(200)["NodeNames"], json!(["big", "small"]));
    let best = |scheduler: &str| json!({"Pod": of(scheduler), "NodeNames": ["big", "small"]});
    let scores = server.post("/prioritize", &best("bin")).await.is(200);
    assert_eq!((&scores[0]["Score"], &scores[1]["Score"]), (&0.into(), &10.into()), "the fuller the better");
    let mut two = [of("bin"), of("default-scheduler")];
    two[1]["metadata"]["name"] = "q".into();
    let report = server.post("/schedule", &json!({"pods": two, "dryRun": true})).await.is(200);
    assert_eq!((&report["pods"][0]["node"], &report["pods"][1]["node"]), (&"small".into(), &"big".into()), "{report}");
    server.post("/schedule", &json!({"pods": [of("nosuch")], "dryRun": true})).await.fails(422, "Invalid");
}

#[tokio::test]
async fn explain_shows_the_node_of_a_bound_pod_and_if_it_is_best() {
    let mut bound = pod("web", "3");
    bound["spec"]["nodeName"] = "a".into();
    let server = Server::with(&[("nodes", node("a", "4")), ("pods", bound)]).await;
    let asked = json!({"podName": "web"});
    let explanation = server.post("/explain", &asked).await.is(200);
    let told = json!({"node": "a", "fits": true, "isBest": true, "rank": 1});
    assert_eq!(explanation["boundTo"], told, "it does not stand in its own way");
    let message = explanation["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("default/web runs on a, which is still the best node"), "{message}");
    server.post("/api/v1/nodes", &node("b", "64")).await.is(201);
    let explanation = server.post("/explain", &asked).await.is(200);
    assert_eq!((&explanation["boundTo"]["isBest"], &explanation["selected"]), (&false.into(), &"b".into()));
    let message = explanation["message"].as_str().unwrap_or_default();
    assert!(message.contains("number 2 of the 2 nodes that fit"), "{message}");
    let waiting = json!({"pod": pod("x", "1")});
    assert!(server.post("/explain", &waiting).await.is(200)["boundTo"].is_null());
}
