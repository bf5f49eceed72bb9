//! The whole server but for its socket, on a database of its own that is gone with it.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Request},
};
use podberth::{
    api::{
        Diagnostics,
        middleware::Limits,
        router_watched,
        state::{AppState, Freshness},
    },
    cluster::Clusters,
    downstream::{self, Downstream},
    store::{self, Atomicity, Change, Key, Outcome, Precondition, Store, Write},
    telemetry,
};
use serde_json::Value;
use tower::ServiceExt;

/// The largest body that takes a whole cluster.
const BULK_BODY_BYTES: usize = 64 * 1024 * 1024;

/// A server in this process.
#[derive(Clone)]
pub(crate) struct Server(Router);

/// What it said.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Server {
    /// A server whose default cluster holds these objects, each with the store's name of its kind.
    pub(crate) async fn with(objects: &[(&str, Value)]) -> Self {
        Self::limited(objects, BULK_BODY_BYTES).await
    }

    /// The same, with a limit on the bytes of a body that takes a whole cluster.
    pub(crate) async fn limited(objects: &[(&str, Value)], bulk_body_bytes: usize) -> Self {
        let freshness = Freshness { max_staleness: Duration::MAX, ..Freshness::default() };
        Self::start(memory(objects).await, 4_096, freshness, bulk_body_bytes, Downstream::default())
    }

    /// A server that calls the extenders of its policies.
    #[allow(dead_code, reason = "not every suite has extenders")]
    pub(crate) async fn calling(objects: &[(&str, Value)], extenders: downstream::Options) -> Self {
        let freshness = Freshness { max_staleness: Duration::MAX, ..Freshness::default() };
        Self::start(memory(objects).await, 4_096, freshness, BULK_BODY_BYTES, Downstream::new(extenders))
    }

    /// A server under closer observation.
    #[allow(dead_code, reason = "one suite watches")]
    pub(crate) async fn watched(objects: &[(&str, Value)], diagnostics: Diagnostics) -> Self {
        let freshness = Freshness { max_staleness: Duration::MAX, ..Freshness::default() };
        let (store, downstream) = (memory(objects).await, Downstream::default());
        Self::start_watched(store, 4_096, freshness, BULK_BODY_BYTES, downstream, diagnostics)
    }

    /// A server over a database, with so many changes waiting at most.
    #[allow(dead_code, reason = "not every suite changes something")]
    pub(crate) fn over(store: Arc<dyn Store>, most_waiting: usize, freshness: Freshness) -> Self {
        Self::start(store, most_waiting, freshness, BULK_BODY_BYTES, Downstream::default())
    }

    fn start(
        store: Arc<dyn Store>,
        most_waiting: usize,
        freshness: Freshness,
        bulk_body_bytes: usize,
        downstream: Downstream,
    ) -> Self {
        Self::start_watched(store, most_waiting, freshness, bulk_body_bytes, downstream, Diagnostics::default())
    }

    fn start_watched(
        store: Arc<dyn Store>,
        most_waiting: usize,
        freshness: Freshness,
        bulk_body_bytes: usize,
        downstream: Downstream,
        diagnostics: Diagnostics,
    ) -> Self {
        let clusters = Clusters::new(store, Duration::from_hours(1)).with_most_waiting(most_waiting);
        let metrics = telemetry::recorder().expect("a recorder");
        let limits = Limits {
            request_timeout: Duration::from_mins(1),
            body_bytes: 1024 * 1024,
            bulk_body_bytes,
            bodies_bytes: 1 << 30,
            body_wait: Duration::from_mins(1),
        };
        let state = AppState::with_downstream(clusters, freshness, Vec::new(), metrics, downstream);
        Self(router_watched(state, limits, diagnostics))
    }

    /// POSTs JSON.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Reply {
        let request = Request::post(path).header("Content-Type", "application/json").body(body.into());
        self.send(request.expect("a request")).await
    }

    /// Sends any request.
    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.0.clone().oneshot(request).await.expect("the router never fails");
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        Reply { code: head.status.as_u16(), headers: head.headers, body }
    }
}

impl Reply {
    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("replies are UTF-8")
    }

    /// The body of a success.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 200, "{}", self.text());
        serde_json::from_slice(&self.body).expect("replies are JSON")
    }

    /// The message of a refusal, whose body must be a `Status` of the same code.
    pub(crate) fn refusal(&self, code: u16) -> String {
        assert_eq!(self.code, code, "{}", self.text());
        let status: Value = serde_json::from_slice(&self.body).expect("refusals are JSON");
        assert_eq!((&status["kind"], &status["code"]), (&Value::from("Status"), &Value::from(code)));
        status["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// A database in memory whose default cluster holds these objects.
pub(crate) async fn memory(objects: &[(&str, Value)]) -> Arc<dyn Store> {
    let store = store::open("sqlite::memory:", &store::Options::default()).await.expect("an empty database opens");
    store.migrate().await.expect("and migrates");
    if !objects.is_empty() {
        seed(&store, objects, Atomicity::AllOrNothing).await;
    }
    store
}

/// Stores objects in the default cluster behind every server's back. The uid is the object's, or its name.
pub(crate) async fn seed(store: &Arc<dyn Store>, objects: &[(&str, Value)], atomicity: Atomicity) {
    let write = |(kind, object): &(&str, Value)| {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let node = Some(text("/spec/nodeName")).filter(|node| !node.is_empty());
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let uid = Some(text("/metadata/uid")).filter(|uid| !uid.is_empty()).unwrap_or_else(|| name.clone());
        let change = Change::Put { body: object.to_string().into(), uid, node };
        Write { key: Key::new(*kind, &namespace, &name), precondition: Precondition::default(), change }
    };
    let writes: Vec<Write> = objects.iter().map(write).collect();
    let commit = store.commit("default", writes, atomicity).await.expect("the store writes");
    assert!(commit.outcomes.iter().all(|o| matches!(o, Outcome::Written { .. })), "{:?}", commit.outcomes);
}
