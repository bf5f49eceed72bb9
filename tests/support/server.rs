//! The whole server but for its socket, on a database of its own that is gone with it.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Request},
};
use podberth::{
    api::{middleware::Limits, router, state::AppState},
    cluster::Clusters,
    downstream::{self, Downstream},
    store::{self, Atomicity, Change, Key, Outcome, Precondition, Store, Write},
    telemetry,
};
use serde_json::Value;
use tower::ServiceExt;

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
        Self::limited(objects, 64 * 1024 * 1024).await
    }

    /// The same, with a limit on the bytes of a body that takes a whole cluster.
    pub(crate) async fn limited(objects: &[(&str, Value)], bulk_body_bytes: usize) -> Self {
        Self::start(objects, bulk_body_bytes, Downstream::default()).await
    }

    /// A server that calls the extenders of its policies.
    #[allow(dead_code, reason = "not every suite has extenders")]
    pub(crate) async fn calling(objects: &[(&str, Value)], extenders: downstream::Options) -> Self {
        Self::start(objects, 64 * 1024 * 1024, Downstream::new(extenders)).await
    }

    async fn start(objects: &[(&str, Value)], bulk_body_bytes: usize, downstream: Downstream) -> Self {
        let store = store::open("sqlite::memory:", &store::Options::default()).await.expect("an empty database opens");
        store.migrate().await.expect("and migrates");
        put(&store, objects).await;
        let clusters = Clusters::new(store.clone(), Duration::from_hours(1));
        let metrics = telemetry::recorder().expect("a recorder");
        let limits = Limits { request_timeout: Duration::from_mins(1), body_bytes: 1024 * 1024, bulk_body_bytes };
        Self(router(AppState::with_downstream(store, clusters, Vec::new(), metrics, downstream), limits))
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

async fn put(store: &Arc<dyn Store>, objects: &[(&str, Value)]) {
    let write = |(kind, object): &(&str, Value)| {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let node = Some(text("/spec/nodeName")).filter(|node| !node.is_empty());
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let change = Change::Put { body: object.to_string().into(), uid: name.clone(), node };
        Write { key: Key::new(*kind, &namespace, &name), precondition: Precondition::default(), change }
    };
    let writes: Vec<Write> = objects.iter().map(write).collect();
    if !writes.is_empty() {
        let commit = store.commit("default", writes, Atomicity::AllOrNothing).await.expect("the store writes");
        assert!(commit.outcomes.iter().all(|o| matches!(o, Outcome::Written { .. })), "{:?}", commit.outcomes);
    }
}
