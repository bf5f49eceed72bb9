//! Extenders in `POST /explain`.

use axum::http::Request;
use podberth::extenders::Options;
use serde_json::{Value, json};

use super::{
    calling, options,
    peer::{Manner, Peer},
};
use crate::{
    check::{node, pod},
    server::Server,
};

fn policy(url: &str, more: &Value) -> Value {
    let mut extender = json!({"urlPrefix": url, "filterVerb": "filter", "prioritizeVerb": "prioritize", "weight": 3,
        "nodeCacheCapable": true, "httpTimeout": 300_000_000_000_u64});
    extender.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    json!({"kind": "Policy", "predicates": [{"name": "PodFitsResources"}], "priorities": [], "extenders": [extender]})
}

/// `small` has no room for the pods below; `a`, `b` and `c` have.
async fn server(options: Options) -> Server {
    let nodes = ["a", "b", "c"].map(|name| ("nodes", node(name, "4", "8Gi")));
    let objects = [&nodes[..], &[("nodes", node("small", "1", "1Gi")), ("pods", pod("stored", "2", "c"))]].concat();
    calling(&objects, options).await
}

fn of<'v>(answer: &'v Value, name: &str) -> &'v Value {
    let nodes = answer["nodes"].as_array().expect("nodes");
    nodes.iter().find(|node| node["name"] == name).expect("the node")
}

/// Rules `b` out and scores `c` best.
async fn peer() -> Peer {
    Peer::start(Manner::Says(Box::new(|asked| {
        let answer = match &*asked.path {
            "/filter" => json!({"NodeNames": ["a", "c"], "FailedAndUnresolvableNodes": {"b": "no licence"}}),
            _ => json!([{"Host": "a", "Score": 1}, {"Host": "c", "Score": 7}]),
        };
        (200, answer.to_string())
    })))
    .await
}

#[tokio::test]
async fn extenders_take_part_in_the_decision() {
    let (peer, server) = (peer().await, server(options()).await);
    let url = peer.url();
    let mut question = json!({"pod": pod("p", "2", ""), "policy": policy(&url, &json!({}))});
    question["pod"]["metadata"]["own"] = json!(1.50);
    let quiet = server.post("/explain", question.to_string()).await.json();
    assert!(peer.asked().is_empty() && of(&quiet, "b")["fits"] == true, "only when asked to");

    question["callExtenders"] = true.into();
    let answer = server.post("/explain", question.to_string()).await.json();
    assert_eq!((&answer["selected"], answer.get("extenderErrors")), (&"c".into(), None));
    assert_eq!(of(&answer, "b")["fits"], false);
    let said = json!({"predicate": url, "plugin": "Extender", "verdict": "UnschedulableAndUnresolvable",
        "reasons": ["no licence"]});
    assert_eq!(of(&answer, "b")["verdicts"].as_array().expect("verdicts").last(), Some(&said));
    let scores = json!([{"priority": url, "plugin": "Extender", "score": 70, "weight": 3}]);
    assert_eq!((&of(&answer, "c")["scores"], &of(&answer, "c")["rank"]), (&scores, &1.into()));
    let asked = peer.asked();
    assert_eq!(asked[0].body["NodeNames"], json!(["a", "b", "c"]), "who does not fit anyway is not asked about");
    assert_eq!(asked[1].body["NodeNames"], json!(["a", "c"]));
    assert_eq!(asked[0].body["Pod"]["metadata"]["own"], 1.5);

    question["pod"] = pod("p", "64", "");
    server.post("/explain", question.to_string()).await.json();
    assert_eq!(peer.asked().len(), 2, "no node is left to ask about");
}

#[tokio::test]
async fn stored_documents_go_out_in_full() {
    let (peer, server) = (peer().await, server(options()).await);
    let by_policy = policy(&peer.url(), &json!({"nodeCacheCapable": false})).to_string();
    let put = Request::put("/policy").header("Content-Type", "application/json").body(by_policy.into());
    assert_eq!(server.send(put.expect("a request")).await.code, 200);
    let question = json!({"podName": "stored", "callExtenders": true});
    let answer = server.post("/explain", question.to_string()).await.json();
    // It answers in names where nodes were sent, which kube-scheduler takes for none.
    assert_eq!(answer["selected"], Value::Null);
    let asked = &peer.asked()[0].body;
    assert_eq!(asked["Nodes"]["items"].as_array().map(Vec::len), Some(3), "{asked}");
    assert_eq!(asked["Nodes"]["items"][0]["status"]["allocatable"]["cpu"], "4");
    assert_eq!((&asked["Pod"]["metadata"]["name"], &asked["Pod"]["spec"]["nodeName"]), (&"stored".into(), &"".into()));

    let sent = json!({"cluster": {"nodes": [{"metadata": {"name": "x"}, "own": [1], "status": {"allocatable": {"cpu": 4, "pods": 9}}}]},
        "pod": pod("p", "2", ""), "callExtenders": true});
    server.post("/explain", sent.to_string()).await.json();
    assert_eq!(peer.asked().last().expect("asked").body["Nodes"]["items"][0]["own"], json!([1]));
}

#[tokio::test]
async fn a_failing_required_extender_fails_the_attempt() {
    let server = server(options()).await;
    let broken = Peer::saying(503, "").await;
    let ask = async |more: Value| {
        let question = json!({"pod": pod("p", "2", ""), "callExtenders": true, "policy": policy(&broken.url(), &more)});
        server.post("/explain", question.to_string()).await.json()
    };
    let needed = ask(json!({})).await;
    assert_eq!((&needed["selected"], &of(&needed, "a")["rank"]), (&Value::Null, &Value::Null));
    let message = format!("extender {:?} failed to filter: it answered with code 503", broken.url());
    assert_eq!(needed["message"], message);
    let error = |verb: &str| json!({"extender": broken.url(), "verb": verb, "message": "it answered with code 503"});
    assert_eq!(needed["extenderErrors"], json!([error("filter")]));

    let ignorable = ask(json!({"ignorable": true})).await;
    assert!(ignorable["selected"].is_string());
    assert_eq!(ignorable["extenderErrors"], json!([error("filter"), error("prioritize")]));
}

#[tokio::test]
async fn by_default_no_extender_is_called() {
    let (peer, server) = (peer().await, server(Options::default()).await);
    let question = json!({"pod": pod("p", "2", ""), "callExtenders": true, "policy": policy(&peer.url(), &json!({}))});
    let answer = server.post("/explain", question.to_string()).await.json();
    assert!(answer["message"].as_str().is_some_and(|text| text.contains("downstream-extenders")), "{answer}");
    assert!(peer.asked().is_empty());
}
