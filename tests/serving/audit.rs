//! Audit: the events of requests, when they are recorded, and who may read them.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    body::{Body, Bytes},
    http::{Request, header},
};
use futures_util::stream;
use podberth::{
    service::{
        access::authenticate::Authenticator,
        audit::{Audit, Recorder, Sinks},
    },
    store::{Entry, Ledger, Page, Retain, Scan, Storage, StoreError},
    wire::{
        access::{token, token_file},
        audit::policy,
    },
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use tower::ServiceExt;

use crate::server::{Reply, Server, Setup, memory};

const ROOT: &str = "pbt_the-token-of-the-first-user-of-all-these-tests";

/// All of every request.
const EVERYTHING: &str =
    "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: RequestResponse}], omitManagedFields: true}";

/// A server that asks everybody, and records by a policy into a ledger: that of its store if none is given.
async fn server(policy: &str, ledger: Option<Arc<dyn Ledger>>) -> Server {
    let store = memory(&[]).await;
    let ledger = ledger.unwrap_or_else(|| store.clone());
    let policy = policy::parse(policy).expect("a policy");
    let audit = Some(Audit::new(
        policy,
        Recorder::start(Sinks { ledger: Some(ledger), file: None }, podberth::service::audit::AUDIT),
    ));
    let mut fixed = token_file::parse("token-of-jane,jane,\ntoken-of-ann,ann,\n").expect("tokens");
    fixed.insert(token::digest(ROOT), Arc::new(Authenticator::first_user()));
    let authenticator = Some(Authenticator::new(fixed));
    Server::start(store, Setup { authenticator, audit, ..Setup::default() })
}

fn request(token: &str, method: &str, path: &str, body: &Value) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    request.header("user-agent", "tests").body(body).expect("a request")
}

async fn ask(server: &Server, token: &str, method: &str, path: &str, body: Value) -> Reply {
    server.send(request(token, method, path, &body)).await
}

/// The recorded events, the oldest first.
async fn events(server: &Server, query: &str) -> Vec<Value> {
    server.state.manner.audit.as_ref().expect("audit").flush().await;
    let list = ask(server, ROOT, "GET", &format!("/audit?limit=500&{query}"), Value::Null).await.json();
    let mut items = list["items"].as_array().expect("items").clone();
    items.reverse();
    items
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns"}, "spec": {"containers": [{"name": "c"}]}})
}

#[tokio::test]
async fn a_change_has_an_event_with_its_sender_its_object_and_its_outcome() {
    let server = server(policy::DEFAULT, None).await;
    let path = "/clusters/prod/api/v1/namespaces/ns/pods?fieldManager=x";
    let mut impersonated = request(ROOT, "POST", path, &pod("a"));
    impersonated.headers_mut().insert("audit-id", "my-id".parse().expect("a value"));
    impersonated.headers_mut().insert("impersonate-user", "admin".parse().expect("a value"));
    impersonated.headers_mut().insert("impersonate-group", "system:masters".parse().expect("a value"));
    let created = server.send(impersonated).await;
    assert_eq!((created.code, created.header("audit-id")), (201, Some("my-id")));
    let refused = ask(&server, "token-of-jane", "DELETE", "/api/v1/nodes/n", Value::Null).await;
    refused.fails(403, "Forbidden");
    ask(&server, "token-of-jane", "GET", "/api/v1/nodes", Value::Null).await.fails(403, "Forbidden");
    ask(&server, "wrong", "POST", "/api/v1/nodes", json!({})).await.fails(401, "Unauthorized");
    ask(&server, "", "POST", "/api/v1/nodes", json!({})).await.fails(403, "Forbidden");

    let events = events(&server, "").await;
    let [event, denied, unknown] = events.as_slice() else { panic!("{events:#?}") };
    for (pointer, expected) in [
        ("/kind", json!("Event")),
        ("/apiVersion", json!("audit.k8s.io/v1")),
        ("/level", json!("Metadata")),
        ("/auditID", json!("my-id")),
        ("/stage", json!("ResponseComplete")),
        ("/requestURI", json!(path)),
        ("/verb", json!("create")),
        ("/user/username", json!("system:bootstrap")),
        ("/impersonatedUser/username", json!("admin")),
        ("/userAgent", json!("tests")),
        ("/objectRef", json!({"resource": "pods", "namespace": "ns", "name": "a", "apiVersion": "v1"})),
        ("/responseStatus", json!({"metadata": {}, "code": 201})),
        ("/annotations/authorization.k8s.io~1decision", json!("allow")),
        ("/annotations/podberth.io~1cluster", json!("prod")),
    ] {
        assert_eq!(event.pointer(pointer), Some(&expected), "{pointer}: {event:#}");
    }
    assert!(event.get("requestObject").is_none(), "{event:#}");
    assert_eq!(denied["user"]["username"], "jane");
    assert_eq!(denied["auditID"].as_str(), refused.header("audit-id"));
    assert_eq!(denied["auditID"].as_str(), refused.header("x-request-id"));
    assert_eq!(denied["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(
        (&denied["responseStatus"]["code"], &denied["responseStatus"]["reason"]),
        (&json!(403), &json!("Forbidden"))
    );
    assert!(
        denied["responseStatus"]["message"].as_str().is_some_and(|told| told.contains("cannot delete")),
        "{denied:#}"
    );
    assert_eq!((&unknown["user"], &unknown["responseStatus"]["code"]), (&json!({}), &json!(401)));
}

#[tokio::test]
async fn an_event_has_the_bodies_and_stages_that_the_policy_asks_for() {
    let server = server(EVERYTHING, None).await;
    let created = ask(&server, ROOT, "POST", "/api/v1/namespaces/ns/pods", pod("a")).await;
    assert_eq!(created.code, 201);
    let yaml = Request::post("/api/v1/namespaces/ns/pods")
        .header(header::AUTHORIZATION, format!("Bearer {ROOT}"))
        .header("content-type", "application/yaml")
        .body("metadata: {name: b}\nspec: {containers: [{name: c}]}\n".into());
    assert_eq!(server.send(yaml.expect("a request")).await.code, 201);
    let mut large = pod("c");
    large["metadata"]["annotations"] = json!({"x": "y".repeat(100_000)});
    assert_eq!(ask(&server, ROOT, "POST", "/api/v1/namespaces/ns/pods", large).await.code, 201);
    ask(&server, ROOT, "POST", "/bind", json!({"PodName": "a", "PodNamespace": "ns", "PodUID": "", "Node": "n"})).await;

    let events = events(&server, "namespace=ns").await;
    let shown: Vec<(&str, &str)> = events
        .iter()
        .map(|event| {
            (event["stage"].as_str().unwrap_or_default(), event["objectRef"]["name"].as_str().unwrap_or_default())
        })
        .collect();
    let [received, complete] = ["RequestReceived", "ResponseComplete"];
    let expected = [
        (received, ""),
        (complete, "a"),
        (received, ""),
        (complete, "b"),
        (received, ""),
        (complete, "c"),
        (complete, "a"),
    ];
    assert_eq!(shown, expected, "{events:#?}");
    assert_eq!(events[1]["requestObject"], pod("a"));
    assert_eq!(events[1]["responseObject"]["metadata"]["name"], "a");
    assert!(events[1]["responseObject"]["metadata"].get("managedFields").is_none());
    assert_eq!(events[3]["requestObject"]["metadata"]["name"], "b");
    assert_eq!(events[5]["annotations"]["audit.k8s.io/truncated"], "true");
    assert!(events[5].get("requestObject").is_none() && events[5].get("responseObject").is_none());
    assert_eq!(events[6]["annotations"]["podberth.io/policy-revision"], "default/0");
}

#[tokio::test]
async fn no_event_has_a_secret() {
    let server = server(EVERYTHING, None).await;
    let made = ask(&server, ROOT, "POST", "/tokens", json!({"name": "sched", "kind": "extender"})).await.is(201);
    let token = made["token"].as_str().expect("a token").to_owned();
    let wrong = token::from_random([9; 32]);
    let filter = json!({"Pod": {"metadata": {"name": "p"}, "spec": {"containers": []}}, "NodeNames": []});
    for path in
        [format!("/key/{token}/filter"), format!("/clusters/default/key/{token}/filter"), format!("/key/{wrong}/bind")]
    {
        ask(&server, "", "POST", &path, filter.clone()).await;
    }
    ask(&server, &token, "GET", "/tokens", Value::Null).await;
    ask(&server, &wrong, "GET", "/tokens", Value::Null).await;
    let review = json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": token}});
    ask(&server, ROOT, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", review).await;
    let secret = json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s", "namespace": "ns"}, "stringData": {"k": token}});
    ask(&server, ROOT, "POST", "/api/v1/namespaces/ns/secrets", secret.clone()).await;
    ask(&server, ROOT, "POST", "/import", secret).await;
    let events = events(&server, "").await;
    assert!(events.len() > 14, "{}", events.len());
    let text = Value::from(events).to_string();
    for secret in [&*token, &*wrong, ROOT] {
        assert!(!text.contains(secret));
    }
    assert!(text.contains("\"sched\""), "but the name of the token that was made");
}

/// A ledger whose appends wait for a permit each, and report that they do.
#[derive(Debug)]
struct Slow {
    ledger: Arc<dyn Storage>,
    asked: mpsc::UnboundedSender<usize>,
    may: Semaphore,
}

impl Slow {
    async fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<usize>) {
        let (asked, appends) = mpsc::unbounded_channel();
        (Arc::new(Self { ledger: memory(&[]).await, asked, may: Semaphore::new(0) }), appends)
    }

    async fn count(&self) -> usize {
        self.ledger.scan(&Scan::all("", "audit")).await.expect("it reads").entries.len()
    }
}

#[async_trait]
impl Ledger for Slow {
    async fn append(&self, entries: &[Entry]) -> Result<(), StoreError> {
        self.asked.send(entries.len()).expect("the test listens");
        self.may.acquire().await.expect("it is open").forget();
        self.ledger.append(entries).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        self.ledger.scan(scan).await
    }

    async fn prune(&self, cluster: &str, kind: &str, retain: &Retain) -> Result<u64, StoreError> {
        self.ledger.prune(cluster, kind, retain).await
    }

    async fn books(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.ledger.books().await
    }
}

#[tokio::test]
async fn a_change_is_answered_when_its_event_is_in_the_ledger() {
    let (ledger, mut appends) = Slow::new().await;
    let server = server(policy::DEFAULT, Some(ledger.clone())).await;
    let changing = |name: &str| {
        let (server, request) = (server.clone(), request(ROOT, "POST", "/api/v1/namespaces/ns/pods", &pod(name)));
        tokio::spawn(async move { server.send(request).await.code })
    };
    let first = changing("a");
    assert_eq!(appends.recv().await, Some(1));
    // Those that come meanwhile share the next append.
    let others = [changing("b"), changing("c")];
    let stored = async |name: &str| {
        let path = format!("/api/v1/namespaces/ns/pods/{name}");
        while ask(&server, ROOT, "GET", &path, Value::Null).await.code != 200 {
            tokio::task::yield_now().await;
        }
    };
    for name in ["a", "b", "c"] {
        stored(name).await;
    }
    assert!(
        !first.is_finished() && !others.iter().any(tokio::task::JoinHandle::is_finished) && ledger.count().await == 0
    );
    ledger.may.add_permits(1);
    assert_eq!(first.await.expect("no panic"), 201);
    assert_eq!(ledger.count().await, 1);
    ledger.may.add_permits(2);
    for other in others {
        assert_eq!(other.await.expect("no panic"), 201);
    }
    assert_eq!(ledger.count().await, 3);
    assert_eq!(
        ask(&server, ROOT, "GET", "/api/v1/namespaces/ns/pods", Value::Null).await.code,
        200,
        "reads do not wait"
    );
}

#[tokio::test]
async fn a_client_that_goes_before_the_answer_leaves_an_event() {
    let server = server(policy::DEFAULT, None).await;
    let (read, mut is_read) = mpsc::unbounded_channel();
    let body = stream::poll_fn(move |_| {
        read.send(()).expect("the test listens");
        std::task::Poll::<Option<Result<Bytes, std::io::Error>>>::Pending
    });
    let request = Request::post("/api/v1/namespaces/ns/pods").header(header::AUTHORIZATION, format!("Bearer {ROOT}"));
    let request = request.body(Body::from_stream(body)).expect("a request");
    let asking = tokio::spawn(server.router.clone().oneshot(request));
    is_read.recv().await.expect("the handler reads its body");
    asking.abort();
    assert!(asking.await.is_err());
    let events = events(&server, "").await;
    let [event] = events.as_slice() else { panic!("{events:#?}") };
    assert_eq!(
        (&event["responseStatus"]["code"], &event["user"]["username"]),
        (&json!(504), &json!("system:bootstrap"))
    );
}

#[tokio::test]
async fn a_watch_has_an_event_at_its_beginning_and_at_its_end() {
    let server = server(EVERYTHING, None).await;
    let watch = request(ROOT, "GET", "/api/v1/nodes?watch=1", &Value::Null);
    let response = server.router.clone().oneshot(watch).await.expect("the router never fails");
    let stages = async || -> Vec<String> {
        let events = events(&server, "verb=watch").await;
        events.iter().map(|event| event["stage"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(stages().await, ["RequestReceived", "ResponseStarted"]);
    drop(response);
    assert_eq!(stages().await, ["RequestReceived", "ResponseStarted", "ResponseComplete"]);
}

#[tokio::test]
async fn who_may_list_audits_sees_the_events_of_all_or_of_one_cluster() {
    let server = server(policy::DEFAULT, None).await;
    let bind = async |cluster: &str, role: &str, user: &str| {
        let path = format!("/clusters/{cluster}/apis/rbac.authorization.k8s.io/v1/clusterrolebindings");
        let body = json!({"metadata": {"name": user},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
        ask(&server, ROOT, "POST", &path, body).await.is(201);
    };
    bind("podberth-system", "podberth:auditor", "ann").await;
    bind("tenant", "cluster-admin", "jane").await;
    ask(&server, "token-of-jane", "POST", "/clusters/tenant/api/v1/namespaces/ns/pods", pod("a")).await.is(201);
    let get = async |token: &str, path: &str| ask(&server, token, "GET", path, Value::Null).await;
    get("token-of-jane", "/audit").await.fails(403, "Forbidden");
    get("token-of-jane", "/clusters/default/audit").await.fails(403, "Forbidden");
    get("token-of-jane", "/clusters/podberth-system/audit").await.fails(403, "Forbidden");
    get("token-of-jane", "/clusters/tenant/audit?cluster=default").await.fails(400, "BadRequest");
    let clusters = |list: Value| -> Vec<String> {
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .map(|item| item["annotations"]["podberth.io/cluster"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(clusters(get("token-of-jane", "/clusters/tenant/audit").await.json()), ["tenant", "tenant"]);
    assert_eq!(clusters(get("token-of-ann", "/audit").await.json()), ["tenant", "tenant", "podberth-system"]);
    assert_eq!(clusters(get("token-of-ann", "/audit?cluster=podberth-system").await.json()), ["podberth-system"]);
    let first = get("token-of-ann", "/audit?limit=1&user=system:bootstrap").await.json();
    let next = first["metadata"]["continue"].as_str().expect("there is more");
    let second = get("token-of-ann", &format!("/audit?limit=1&user=system:bootstrap&continue={next}")).await.json();
    assert_eq!([clusters(first.clone()), clusters(second)].concat(), ["tenant", "podberth-system"]);
    for wrong in ["since=soon", "continue=x", "limit=x"] {
        get("token-of-ann", &format!("/audit?{wrong}")).await.fails(400, "BadRequest");
    }
}
