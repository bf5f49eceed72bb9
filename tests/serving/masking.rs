//! Names of pods that a caller may not know: no reply has them.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Request, header},
};
use podberth::{
    api::published::DOCUMENTS,
    service::access::authenticate::Authenticator,
    wire::access::{token, token_file},
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::server::{Reply, Server, Setup, memory};

const ROOT: &str = "pbt_the-token-of-the-first-user-of-all-these-tests";
const LIMITED: &str = "token-of-limited";

/// Part of the names and uids of all pods that the caller may not know.
const HIDDEN: &str = "zebra";

fn pod(namespace: &str, name: &str, node: &str, priority: i32) -> (&'static str, Value) {
    let mut pod = json!({"metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}")},
        "spec": {"priority": priority, "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}});
    if !node.is_empty() {
        pod["spec"]["nodeName"] = node.into();
    }
    ("pods", pod)
}

/// A server where a limited user may use all of Podberth's own operations, but may list pods of the namespace `open` alone.
async fn server() -> Server {
    let node = |name: &str, taints: Value| {
        let of = json!({"cpu": "2", "memory": "4Gi", "pods": "110"});
        ("nodes", json!({"metadata": {"name": name}, "spec": {"taints": taints}, "status": {"allocatable": of}}))
    };
    let taint = json!([{"key": "k", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}]);
    let objects = [
        node("full", json!([])),
        node("emptied", taint),
        pod("hidden", "zebra-full", "full", 0),
        pod("open", "seen", "full", 0),
        pod("hidden", "zebra-emptied", "emptied", 0),
        pod("open", "seen-emptied", "emptied", 0),
        pod("hidden", "zebra-waiting", "", 0),
        pod("open", "waiting", "", 0),
    ];
    let mut fixed = token_file::parse("token-of-limited,limited,\n").expect("a file of tokens");
    fixed.insert(token::digest(ROOT), Arc::new(Authenticator::first_user()));
    let authenticator = Some(Authenticator::new(fixed));
    let decisions = "all".parse().expect("a share");
    let server = Server::start(memory(&objects).await, Setup { authenticator, decisions, ..Setup::default() });
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let own = json!([{"verbs": ["*"], "apiGroups": ["podberth.io"], "resources": ["*"]}, {"verbs": ["get"], "nonResourceURLs": ["*"]}]);
    let open = json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]);
    for (name, rules) in [("own", own), ("open", open)] {
        let role = json!({"metadata": {"name": name}, "rules": rules});
        ask(&server, ROOT, "POST", &format!("{rbac}/clusterroles"), "", &role).await.is(201);
    }
    let binding = |name: &str| {
        json!({"metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "User", "name": "limited", "apiGroup": "rbac.authorization.k8s.io"}]})
    };
    ask(&server, ROOT, "POST", &format!("{rbac}/clusterrolebindings"), "", &binding("own")).await.is(201);
    ask(&server, ROOT, "POST", &format!("{rbac}/namespaces/open/rolebindings"), "", &binding("open")).await.is(201);
    for (namespace, name) in [("hidden", "zebra-waiting"), ("open", "waiting")] {
        let path = format!("/reservations/{namespace}/{name}");
        ask(&server, ROOT, "PUT", &path, "", &json!({"node": "full", "kind": "Nominated", "ttlSeconds": 3600}))
            .await
            .is(200);
    }
    server
}

async fn ask(server: &Server, token: &str, method: &str, path: &str, accept: &str, body: &Value) -> Reply {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    let request = if accept.is_empty() { request } else { request.header("accept", accept) };
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    server.send(request.body(body).expect("a request")).await
}

fn important() -> Value {
    json!({"metadata": {"name": "new", "namespace": "open"}, "spec": {"priority": 1000,
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]}})
}

#[tokio::test]
async fn explanations_and_lists_number_the_pods_that_the_caller_may_not_list() {
    let server = server().await;
    let limited = async |method: &str, path: &str, accept: &str, body: Value| {
        let reply = ask(&server, LIMITED, method, path, accept, &body).await;
        assert!(!reply.text().contains(HIDDEN), "{method} {path}: {}", reply.text());
        reply
    };
    let everything = async |method: &str, path: &str, body: Value| {
        let reply = ask(&server, ROOT, method, path, "", &body).await;
        assert!(reply.text().contains(HIDDEN), "{method} {path} hides from those who may know: {}", reply.text());
        reply.json()
    };
    let question = json!({"pod": important(), "preempt": true});
    let told = limited("POST", "/explain", "", question.clone()).await.json();
    let all = everything("POST", "/explain", question.clone()).await;
    let victims = |of: &Value| of["preemption"]["candidates"][0]["victims"].as_array().expect("victims").clone();
    assert_eq!(victims(&told).len(), victims(&all).len(), "amounts stay");
    let hidden = json!({"uid": "", "namespace": "namespace-hidden", "name": "pod 1", "priority": 0});
    assert!(victims(&told).contains(&hidden), "{told}");
    assert!(victims(&told).iter().any(|victim| victim["name"] == "seen"), "{told}");
    let table = limited("POST", "/explain", "text/plain", question).await;
    assert!(table.text().contains("namespace-hidden/pod 1"), "{}", table.text());

    let candidate = json!({"kind": "Policy", "apiVersion": "v1", "predicates": [], "priorities": []});
    let question = json!({"candidate": candidate, "over": {"pending": true}});
    let told = limited("POST", "/policy/diff", "", question.clone()).await;
    assert!(told.text().contains("\"name\":\"pod 1\"") && told.text().contains("\"waiting\""), "{}", told.text());
    everything("POST", "/policy/diff", question).await;

    for accept in ["", "application/x-ndjson"] {
        let trial = json!({"pods": [important()], "dryRun": true});
        let told = limited("POST", "/schedule", accept, trial.clone()).await;
        assert!(told.text().contains("\"name\":\"pod 1\"") && told.text().contains("\"evicted\":2"), "{}", told.text());
        everything("POST", "/schedule", trial).await;
        let waiting = json!({"selector": "", "dryRun": true});
        let told = limited("POST", "/schedule", accept, waiting.clone()).await;
        assert!(told.text().contains("\"waiting\""), "{}", told.text());
        everything("POST", "/schedule", waiting).await;
    }
    let told = limited("GET", "/pending", "", Value::Null).await;
    assert!(told.text().contains("\"name\":\"pod 1\"") && told.text().contains("\"waiting\""), "{}", told.text());
    everything("GET", "/pending", Value::Null).await;
    assert_eq!(limited("GET", "/pending?namespace=hidden", "", Value::Null).await.json()["pods"], 0);
    assert_eq!(limited("GET", "/pending?namespace=open", "", Value::Null).await.json()["pods"], 1);
    let overview = "/overview?podSelector=!label";
    assert_eq!(limited("GET", overview, "", Value::Null).await.json()["nodes"]["matching"], json!([1, 1]));
    assert_eq!(ask(&server, ROOT, "GET", overview, "", &Value::Null).await.json()["nodes"]["matching"], json!([2, 2]));
    let told = limited("GET", "/evictions", "", Value::Null).await.json();
    assert_eq!(
        (
            told["items"].as_array().map(Vec::len),
            everything("GET", "/evictions", Value::Null).await["items"].as_array().map(Vec::len)
        ),
        (Some(2), Some(2))
    );
    let told = limited("POST", "/evictions?dryRun=All", "", Value::Null).await.json();
    assert_eq!(told["items"].as_array().map(Vec::len), Some(2));
    everything("POST", "/evictions?dryRun=All", Value::Null).await;
    let told = limited("GET", "/reservations", "", Value::Null).await.json();
    assert!(
        told["items"]
            .as_array()
            .is_some_and(|items| items.len() == 2 && items.iter().any(|item| item["pod"] == "pod 1"))
    );
    everything("GET", "/reservations", Value::Null).await;
}

#[tokio::test]
async fn replies_do_not_tell_if_a_hidden_pod_exists() {
    let server = server().await;
    let alike = async |path: &str, body: &dyn Fn(&str) -> Value| {
        let mut told = Vec::new();
        for name in ["zebra-full", "zebra-nothing"] {
            let reply = ask(&server, LIMITED, "POST", path, "", &body(name)).await;
            let text = reply.text().replace(name, "NAME");
            // The seed decides between equal nodes by the name of the pod.
            let status = (reply.code, text.contains("forbidden"), text.contains("AlreadyBound"), text.contains("uid-"));
            told.push((status, reply.code == 403 || text.contains("\"failed\":1")).1.then_some(text).ok_or(status));
        }
        assert_eq!(told[0], told[1], "{path}");
    };
    for name in ["zebra-full", "zebra-nothing"] {
        let fit = format!("/nodes/full/fit?pod=hidden/{name}");
        ask(&server, LIMITED, "GET", &fit, "", &Value::Null).await.fails(403, "Forbidden");
    }
    let sent = |name: &str| {
        let mut pod = important();
        pod["metadata"] = json!({"name": name, "namespace": "hidden"});
        pod
    };
    alike("/explain", &|name| json!({"podName": format!("hidden/{name}")})).await;
    alike("/policy/diff", &|name| json!({"candidate": {}, "over": {"podNames": [format!("hidden/{name}")]}})).await;
    alike("/schedule", &|name| json!({"podNames": [format!("hidden/{name}")], "dryRun": true})).await;
    alike("/schedule", &|name| json!({"podNames": [format!("hidden/{name}")]})).await;
    alike("/schedule", &|name| json!({"pods": [sent(name)], "dryRun": true})).await;
    alike("/schedule", &|name| json!({"pods": [sent(name)]})).await;
}

/// Every route that can be read, as a caller who may do all but list the hidden pods.
#[tokio::test]
async fn no_route_that_is_read_names_a_hidden_pod() {
    let server = server().await;
    let paths = DOCUMENTS.v3_1["paths"].as_object().expect("paths");
    let mut seen = 0;
    for (path, item) in paths.iter().filter(|(_, item)| item.get("get").is_some()) {
        let _ = item;
        for namespace in ["open", "hidden"] {
            let filled = path.replace("{namespace}", namespace).replace(['{', '}'], "");
            let request = Request::get(&filled).header(header::AUTHORIZATION, format!("Bearer {LIMITED}"));
            let request = request.body(Body::empty()).expect("a request");
            let response = server.router.clone().oneshot(request).await.expect("the router never fails");
            if response.status().as_u16() == 403 {
                continue;
            }
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
            assert!(!String::from_utf8_lossy(&body).contains(HIDDEN), "{filled}");
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} routes were read");
}

#[tokio::test]
async fn recorded_decisions_number_the_pods_that_the_caller_may_not_list() {
    let server = server().await;
    // It has victims of both namespaces, and is itself in the open.
    ask(&server, ROOT, "POST", "/schedule", "", &json!({"pods": [important()]})).await.is(200);
    let hidden =
        json!({"metadata": {"name": "zebra-new", "namespace": "hidden"}, "spec": {"containers": [{"name": "zebra"}]}});
    ask(&server, ROOT, "POST", "/schedule", "", &json!({"pods": [hidden]})).await.is(200);
    ask(&server, ROOT, "POST", "/filter", "", &json!({"Pod": hidden, "NodeNames": ["full"]})).await.is(200);
    let all = ask(&server, ROOT, "GET", "/decisions", "", &Value::Null).await;
    assert!(all.text().contains(HIDDEN), "{}", all.text());
    let told = ask(&server, LIMITED, "GET", "/decisions", "", &Value::Null).await;
    assert!(!told.text().contains(HIDDEN), "{}", told.text());
    let items = told.json()["items"].as_array().expect("items").clone();
    assert_eq!(items.len(), 3, "amounts stay");
    assert_eq!(items[2]["pod"]["name"], "new");
    assert_eq!(items[1]["pod"]["namespace"], "namespace-hidden");
    assert!(items[2]["victims"].as_array().is_some_and(|victims| !victims.is_empty()), "{}", items[2]);
    for item in &items {
        let id = item["id"].as_str().expect("an id");
        for path in [format!("/decisions/{id}"), format!("/decisions/{id}/explain"), format!("/decisions/{id}/bundle")]
        {
            let reply = ask(&server, LIMITED, "GET", &path, "", &Value::Null).await;
            assert!(!reply.text().contains(HIDDEN), "{path}: {}", reply.text());
        }
        let bundle = ask(&server, LIMITED, "GET", &format!("/decisions/{id}/bundle"), "", &Value::Null).await;
        assert!(matches!(bundle.code, 403 | 410), "{}", bundle.text());
    }
    let replayed = ask(&server, LIMITED, "POST", "/replay", "", &json!({"all": true})).await;
    assert!(!replayed.text().contains(HIDDEN), "{}", replayed.text());
    let of_hidden = ask(&server, LIMITED, "GET", "/decisions?pod=hidden/zebra-new", "", &Value::Null).await;
    assert_eq!(of_hidden.code, 403, "{}", of_hidden.text());
}
