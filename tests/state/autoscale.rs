//! The loop over node groups: groups grow for pods that wait, and nodes that are not needed go.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri},
    response::Response,
    routing::post,
};
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use jiff::{SignedDuration, Timestamp};
use podberth::{
    fetch::Fetcher,
    grpc::GrpcClient,
    live::DEFAULT_CLUSTER,
    service::{
        Service,
        autoscale::{
            hpa,
            machine::Rules,
            nodes::{self, Options},
            provider::Provider,
            webhook::{Action, Hands, Message, Webhook},
        },
        decisions::Log,
        lead::Leads,
    },
    wire::protobuf::{self, Encoder, Fields},
};
use ring::hmac;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};
use uuid::Uuid;

use crate::{scheduler::until, server::Server};

const PODS: &str = "/api/v1/namespaces/default/pods";
const GROUPS: &str = "/apis/autoscaling.podberth.io/v1/nodegroups";
const WITHIN: Duration = Duration::from_mins(1);
const KEY: &[u8] = b"a key";

/// A webhook that accepts, or does not.
struct Hook {
    url: String,
    messages: UnboundedReceiver<Value>,
    accepts: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Told {
    to: UnboundedSender<Value>,
    accepts: Arc<AtomicBool>,
}

async fn told(State(told): State<Told>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY);
    let signed = [text("x-podberth-timestamp").as_bytes(), b".", &body].concat();
    let digits = text("x-podberth-signature").strip_prefix("sha256=").expect("a signature");
    let bytes: Vec<u8> =
        (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("hex")).collect();
    hmac::verify(&key, &signed, &bytes).expect("it is signed with the key");
    let message: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(text("x-podberth-delivery"), message["id"]);
    let accepts = told.accepts.load(Ordering::Relaxed);
    // The test may be over.
    let _ = told.to.send(message);
    if accepts { StatusCode::NO_CONTENT } else { StatusCode::INTERNAL_SERVER_ERROR }
}

impl Hook {
    async fn start(accepts: bool) -> Self {
        let (to, messages) = unbounded_channel();
        let accepts = Arc::new(AtomicBool::new(accepts));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/scale", listener.local_addr().expect("an address"));
        let router = Router::new().route("/scale", post(told)).with_state(Told { to, accepts: accepts.clone() });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, messages, accepts }
    }

    async fn next(&mut self) -> Value {
        timeout(WITHIN, self.messages.recv()).await.expect("it is told").expect("the webhook goes on")
    }
}

fn start(service: &Service, hook: &Hook, acts: bool) -> Leads {
    let fetcher = Fetcher::with_http("").expect("a client");
    let options = Options {
        acts,
        interval: Duration::from_millis(20),
        hands: Some(Box::new(Webhook::new(hook.url.clone(), Some(KEY), fetcher))),
        rules: Rules { delay_after_add: SignedDuration::ZERO, ..Rules::default() },
    };
    nodes::start(service, Uuid::new_v4(), BTreeSet::from([DEFAULT_CLUSTER.into()]), options)
}

fn group(min: u32, target: u32) -> Value {
    json!({"metadata": {"name": "big"}, "spec": {"minSize": min, "maxSize": 3, "targetSize": target,
        "template": {"status": {"allocatable": {"cpu": "4", "memory": "16Gi", "pods": "110"}}},
        "scaleDown": {"unneededTime": "0s"}}})
}

fn node(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"autoscaling.podberth.io/node-group": "big"}},
        "status": {"allocatable": {"cpu": "4", "memory": "16Gi", "pods": "110"}, "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn pod(name: &str, cpu: &str) -> Value {
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true});
    json!({"metadata": {"name": name, "labels": {"app": "web"}, "ownerReferences": [owner]},
        "spec": {"containers": [{"name": "c", "image": "app:1", "resources": {"requests": {"cpu": cpu}}}]},
        "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}})
}

fn running(name: &str, on: &str) -> Value {
    let mut pod = pod(name, "100m");
    pod["spec"]["nodeName"] = json!(on);
    pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    pod
}

async fn add_replica_set(server: &Server) {
    let set = json!({"metadata": {"name": "web", "uid": "u"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}}});
    server.post("/apis/apps/v1/namespaces/default/replicasets", &set).await.is(201);
}

const NODE_GROUP: (&str, &str) = ("autoscaling.podberth.io", "nodegroups");

async fn status(server: &Server) -> Value {
    server.get("/autoscale/status").await.json()
}

pub(crate) async fn a_group_grows_for_pods_that_wait_and_the_webhook_is_told(server: Server) {
    let mut hook = Hook::start(true).await;
    add_replica_set(&server).await;
    server.post(GROUPS, &group(0, 0)).await.is(201);
    server.post(PODS, &pod("waits", "3")).await.is(201);
    server.post(PODS, &pod("too", "3")).await.is(201);
    // Two replicas, one acts.
    let loops = [start(&server.state, &hook, true), start(&server.state, &hook, true)];
    let message = hook.next().await;
    assert_eq!(
        (&message["action"], &message["group"], &message["targetSize"], &message["cluster"]),
        (&json!("setTargetSize"), &json!("big"), &json!(2), &json!("default")),
        "{message}"
    );
    assert!(message["reason"].as_str().is_some_and(|why| why.contains("2 pods fit on no node")), "{message}");
    let group = server.get(&format!("{GROUPS}/big")).await.json();
    assert_eq!(group["spec"]["targetSize"], 2);
    let told = status(&server).await;
    assert_eq!((&told["loop"], &told["groups"][0]["coming"]), (&json!("act"), &json!(2)), "{told}");
    // A turn later nothing is told again: the pods fit on the nodes that are coming.
    server.post("/api/v1/nodes", &node("n1")).await.is(201);
    for one in loops {
        one.end().await;
    }
    assert!(hook.messages.try_recv().is_err(), "it was told once");
}

pub(crate) async fn unneeded_nodes_are_drained_and_told_to_be_deleted_down_to_the_smallest_size(server: Server) {
    let mut hook = Hook::start(true).await;
    add_replica_set(&server).await;
    server.post(GROUPS, &group(1, 2)).await.is(201);
    for name in ["n1", "n2"] {
        server.post("/api/v1/nodes", &node(name)).await.is(201);
    }
    server.post(PODS, &running("a", "n1")).await.is(201);
    server.post(PODS, &running("b", "n2")).await.is(201);
    let decisions = Log::start("binds".parse().expect("a share"), server.state.store.clone());
    let service = Service { decisions: decisions.clone(), ..Service::clone(&server.state) };
    let running = start(&service, &hook, true);
    let message = hook.next().await;
    assert_eq!((&message["action"], &message["targetSize"]), (&json!("deleteNode"), &json!(1)), "{message}");
    let gone = message["node"].as_str().expect("a node");
    let closed = server.get(&format!("/api/v1/nodes/{gone}")).await.json();
    assert_eq!(
        (&closed["spec"]["unschedulable"], &closed["spec"]["taints"][0]["key"]),
        (&json!(true), &json!("ToBeDeletedByClusterAutoscaler"))
    );
    let left = server.get(PODS).await.json();
    assert_eq!(left["items"].as_array().map(Vec::len), Some(1), "the pod of {gone} was evicted: {left}");
    let drained = format!("node {gone} takes no more pods: it is not needed in big, and its pods are evicted");
    let steps = status(&server).await["steps"].as_array().expect("steps").clone();
    assert_eq!(steps.iter().filter(|step| **step == *drained).count(), 1, "{steps:?}");
    decisions.flush().await;
    let recorded = server.get("/decisions").await.json();
    let recorded = recorded["items"].as_array().expect("decisions");
    assert_eq!(recorded.iter().filter(|one| one.to_string().contains(&drained)).count(), 1, "{recorded:?}");
    let other = if gone == "n1" { "n2" } else { "n1" };
    server.delete(&format!("/api/v1/nodes/{gone}")).await.is(200);
    let group = until(&server, NODE_GROUP, |group| group["spec"]["targetSize"] == 1).await;
    assert_eq!(group["spec"]["minSize"], 1);
    let rest = server.get(&format!("/api/v1/nodes/{other}")).await.json();
    assert_eq!(rest["spec"]["unschedulable"], Value::Null, "the last node stays");
    running.end().await;
}

pub(crate) async fn a_loop_that_only_advises_changes_nothing(server: Server) {
    let mut hook = Hook::start(true).await;
    server.post(GROUPS, &group(0, 0)).await.is(201);
    server.post(PODS, &pod("waits", "3")).await.is(201);
    let before = server.get(&format!("{GROUPS}/big")).await.json();
    let running = start(&server.state, &hook, false);
    let told = async {
        loop {
            let told = status(&server).await;
            // Pods that are two seconds old may have more coming.
            if told["loop"] == "advise" && told["steps"] != json!([]) {
                return told;
            }
            tokio::task::yield_now().await;
        }
    };
    let told = timeout(WITHIN, told).await.expect("it is noted");
    assert_eq!(told["steps"], json!(["node group big: from 0 to 1 nodes: 1 pods fit on no node"]), "{told}");
    assert_eq!(server.get(&format!("{GROUPS}/big")).await.json(), before);
    running.end().await;
    assert!(hook.messages.try_recv().is_err());
}

pub(crate) async fn a_webhook_that_does_not_accept_is_told_again_under_the_same_id(server: Server) {
    let mut hook = Hook::start(false).await;
    server.post(GROUPS, &group(0, 0)).await.is(201);
    server.post(PODS, &pod("waits", "3")).await.is(201);
    let running = start(&server.state, &hook, true);
    let first = hook.next().await;
    assert_eq!(status(&server).await["messagesWaiting"], 1);
    hook.accepts.store(true, Ordering::Relaxed);
    assert_eq!(hook.next().await["id"], first["id"]);
    running.end().await;
}

/// A cloud provider of one group with two machines, as a gRPC server.
#[derive(Clone)]
struct Cloud {
    size: Arc<AtomicI32>,
    calls: UnboundedSender<String>,
}

async fn called(State(cloud): State<Cloud>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers["content-type"], "application/grpc");
    assert_eq!(headers["te"], "trailers");
    let (mut fields, mut told) = (Fields(&body[5..]), Vec::new());
    while let Some((number, value)) = fields.take_next().expect("a message") {
        told.push(match value {
            protobuf::Value::Varint(value) => format!("{number}={}", value.cast_signed()),
            protobuf::Value::Bytes(bytes) => format!("{number}={}", String::from_utf8_lossy(bytes).escape_debug()),
            other => panic!("{other:?}"),
        });
    }
    let method = uri.path().rsplit('/').next().expect("a method").to_owned();
    let reply = match &*method {
        "NodeGroupTargetSize" => Encoder::default().number(1, cloud.size.load(Ordering::Relaxed)),
        "NodeGroupNodes" => Encoder::default().message(1, &Encoder::default().text(1, "cloud:///m1")),
        _ => Encoder::default(),
    };
    let is_change = !matches!(&*method, "NodeGroupTargetSize" | "NodeGroupNodes");
    if is_change {
        // The test may be over.
        let _ = cloud.calls.send(format!("{method} {}", told.join(" ")));
    }
    let reply = reply.into_bytes();
    let frame = [&[0][..], &u32::try_from(reply.len()).expect("short").to_be_bytes(), &reply].concat();
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let frames = [Frame::data(Bytes::from(frame)), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
    Response::new(Body::new(StreamBody::new(stream::iter(frames))))
}

#[tokio::test]
async fn a_provider_is_asked_for_the_difference_and_for_machines_that_are_there() {
    let (calls, mut told) = unbounded_channel();
    let size = Arc::new(AtomicI32::new(1));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let router = Router::new().fallback(called).with_state(Cloud { size: size.clone(), calls });
    tokio::spawn(async move { axum::serve(listener, router).await });
    let tls = podberth::net::client_config(None, None).expect("authorities");
    let provider = Provider::new(GrpcClient::new(&url, tls).expect("a URL"));
    let message = |action, target_size, machine: Option<&str>| Message {
        id: "1".into(),
        cluster: "default".into(),
        group: "big".into(),
        action,
        target_size,
        provider_group: Some("asg".into()),
        node: machine.map(|_| "n1".into()),
        provider_id: machine.map(ToOwned::to_owned),
        reason: String::new(),
        time: Timestamp::UNIX_EPOCH,
    };
    for (message, expected) in [
        (message(Action::SetTargetSize, 3, None), Some("NodeGroupIncreaseSize 1=2 2=asg")),
        (message(Action::SetTargetSize, 1, None), None),
        (message(Action::SetTargetSize, 0, None), Some("NodeGroupDecreaseTargetSize 1=-1 2=asg")),
        (
            message(Action::DeleteNode, 0, Some("cloud:///m1")),
            Some(r"NodeGroupDeleteNodes 1=\n\u{b}cloud:///m1\u{12}\u{2}n1 2=asg"),
        ),
        (message(Action::DeleteNode, 0, Some("cloud:///gone")), None),
    ] {
        provider.carry_out(&message).await.expect("it is carried out");
        assert_eq!(told.try_recv().ok().as_deref(), expected, "{message:?}");
    }
    size.store(-1, Ordering::Relaxed);
    let nobody = GrpcClient::new("http://127.0.0.1:1", podberth::net::client_config(None, None).expect("authorities"));
    let nobody = Provider::new(nobody.expect("a URL"));
    nobody.carry_out(&message(Action::SetTargetSize, 3, None)).await.expect_err("there is nobody");
}

pub(crate) async fn of_two_processes_one_scales_replicas_and_the_other_goes_on(server: Server) {
    let labels = json!({"app": "web"});
    let deployment = json!({"metadata": {"name": "web"}, "spec": {"replicas": 3, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "web:1"}]}}},
        "status": {"replicas": 3}});
    server.post("/apis/apps/v1/namespaces/default/deployments", &deployment).await.is(201);
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let queue =
        json!({"metric": {"name": "depth", "selector": {}}, "target": {"type": "AverageValue", "averageValue": "30"}});
    let hpa = json!({"metadata": {"name": "web"}, "spec": {"scaleTargetRef": target, "maxReplicas": 9,
        "metrics": [{"type": "External", "external": queue}]}});
    server.post("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", &hpa).await.is(201);
    let send = async |value: &str| {
        let body = json!({"items": [{"metricName": "depth", "value": value}]});
        server.post("/apis/external.metrics.k8s.io/v1beta1/namespaces/default", &body).await.is(201);
    };
    let has = async |replicas: i32| {
        until(&server, ("apps", "deployments"), |deployment| deployment["spec"]["replicas"] == replicas).await;
    };
    let decisions = Log::start("binds".parse().expect("a share"), server.state.store.clone());
    let service = Service { decisions: decisions.clone(), ..Service::clone(&server.state) };
    let start = || {
        let settings = hpa::Settings {
            interval: Duration::from_secs(1),
            options: podberth::core::advise::hpa::Options::default(),
            prometheus: None,
        };
        hpa::start(&service, Uuid::new_v4(), BTreeSet::from([DEFAULT_CLUSTER.into()]), settings)
    };
    let recorded = async || {
        decisions.flush().await;
        let recorded = server.get("/decisions").await.json();
        let told = |of: &&Value| of.to_string().contains("replicas");
        recorded["items"].as_array().expect("decisions").iter().filter(told).cloned().collect::<Vec<Value>>()
    };
    let has_recorded = async |least: usize| {
        let found = async {
            while recorded().await.len() < least {
                tokio::task::yield_now().await;
            }
        };
        timeout(WITHIN, found).await.expect("it is recorded");
    };
    send("150").await;
    let [one, other] = [start(), start()];
    has(5).await;
    has_recorded(1).await;
    one.end().await;
    send("240").await;
    has(8).await;
    has_recorded(2).await;
    other.end().await;
    let recorded = recorded().await;
    assert_eq!(recorded.len(), 2, "each change was made once: {recorded:#?}");
}

pub(crate) async fn groups_that_share_a_node_are_left_alone_and_the_others_are_not(server: Server) {
    let mut hook = Hook::start(true).await;
    let label = "autoscaling.podberth.io/node-group";
    let named = |name: &str, of: &str| {
        let mut group = group(0, 0);
        group["metadata"]["name"] = json!(name);
        group["spec"]["nodeSelector"] = json!({label: of});
        group
    };
    for group in [named("big", "big"), named("other", "big"), named("third", "third")] {
        server.post(GROUPS, &group).await.is(201);
    }
    server.post("/api/v1/nodes", &node("n1")).await.is(201);
    server.post(PODS, &pod("waits", "3")).await.is(201);
    server.post(PODS, &pod("too", "3")).await.is(201);
    let running = start(&server.state, &hook, true);
    let message = hook.next().await;
    assert_eq!((&message["group"], &message["targetSize"]), (&json!("third"), &json!(1)), "{message}");
    let told = status(&server).await;
    let why = "node \"n1\" is in the node groups \"big\" and \"other\": a node belongs to one group at most";
    assert_eq!(told["faults"], json!([{"groups": ["big", "other"], "message": why}]), "{told}");
    assert_eq!(told["groups"].as_array().map(Vec::len), Some(1), "{told}");
    // Whoever asks for advice on them is told.
    let refusal = server.post("/autoscale/scale-up", &json!({})).await.refusal(422);
    assert!(refusal.ends_with(&format!("nodeGroups: Forbidden: {why}")), "{refusal}");
    running.end().await;
    let stays = server.get("/api/v1/nodes/n1").await.json();
    assert_eq!(stays["spec"]["unschedulable"], Value::Null, "{stays}");
}
