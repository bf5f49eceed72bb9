//! The whole server without its socket, and shorthand for requests. Suites and benches share it.

#![allow(dead_code, reason = "each takes of it what it needs")]

#[cfg(test)]
pub(crate) mod secrets;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Request, Response},
};
use podberth::{
    api::{
        Diagnostics,
        middleware::Limits,
        pace::Pace,
        router,
        state::{AppState, Manner},
    },
    extenders::Extenders,
    live::{self, Clusters, Remembering},
    service::{
        Freshness, Service, access::authenticate::Authenticator, audit::Audit, decisions::Log, objects::AdmissionMode,
    },
    store::{self, Atomicity, Change, Key, Outcome, Precondition, Storage, Write},
    telemetry,
    wire::decision::Share,
};
use serde_json::Value;
use tower::ServiceExt;

/// A server in this process.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) state: AppState,
}

/// The setup of a server. By default nothing is late and nothing is too large.
pub(crate) struct Setup {
    /// The bounds of the clusters in memory, and the interval of polling.
    pub(crate) clusters: live::Limits,
    /// The times for which the extender verbs keep victims and assumed pods.
    pub(crate) remembering: Remembering,
    pub(crate) freshness: Freshness,
    pub(crate) admission: AdmissionMode,
    pub(crate) limits: Limits,
    pub(crate) extenders: Extenders,
    pub(crate) diagnostics: Diagnostics,
    /// The ways by which users are known; by default nobody is asked.
    pub(crate) authenticator: Option<Authenticator>,
    /// The record of requests; by default there is none.
    pub(crate) audit: Option<Audit>,
    /// The decisions that are recorded; by default none.
    pub(crate) decisions: Share,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            clusters: live::Limits { poll: LATE, ..live::Limits::default() },
            remembering: Remembering { victims_for: Duration::from_mins(2), ..Remembering::default() },
            freshness: Freshness { max_staleness: Duration::MAX, ..Freshness::default() },
            admission: AdmissionMode::None,
            limits: Limits {
                request_timeout: LATE,
                body_bytes: 3 << 20,
                bulk_body_bytes: 256 << 20,
                bodies_bytes: 1 << 30,
                decoded_bytes: 1 << 30,
                body_wait: LATE,
                body_pace: Pace { grace: LATE, bytes_per_second: 1 },
                reads: 10_000,
                writes: 10_000,
                watches_of_user: 10_000,
                compress_from_bytes: None,
            },
            extenders: Extenders::default(),
            diagnostics: Diagnostics::default(),
            authenticator: None,
            audit: None,
            decisions: Share::None,
        }
    }
}

impl Setup {
    /// Writes are as the API server does them (`--admission=kubernetes`).
    pub(crate) fn strict() -> Self {
        Self { admission: AdmissionMode::Kubernetes, ..Self::default() }
    }
}

/// Later than any test, also under valgrind.
pub(crate) const LATE: Duration = Duration::from_hours(1);

/// A body to send.
pub(crate) trait Sent {
    fn body(self) -> Body;
}

impl Sent for &Value {
    fn body(self) -> Body {
        self.to_string().into()
    }
}

impl Sent for Value {
    fn body(self) -> Body {
        (&self).body()
    }
}

impl Sent for &str {
    fn body(self) -> Body {
        self.to_owned().into()
    }
}

impl Sent for String {
    fn body(self) -> Body {
        self.into()
    }
}

impl Sent for Vec<u8> {
    fn body(self) -> Body {
        self.into()
    }
}

impl Sent for Bytes {
    fn body(self) -> Body {
        self.into()
    }
}

/// A reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Server {
    /// A server over a database.
    pub(crate) fn start(store: Arc<dyn Storage>, setup: Setup) -> Self {
        #[cfg(test)]
        secrets::search_log();
        let decisions = Log::start(setup.decisions, store.clone());
        let clusters = Clusters::limited(store, setup.clusters).with_remembering(setup.remembering);
        let metrics = telemetry::recorder().expect("a recorder");
        let service = Service::new(clusters, setup.freshness, setup.extenders);
        let service = Service { admission: setup.admission, decisions, ..service };
        let manner = Manner { authenticator: setup.authenticator, audit: setup.audit, ..Manner::default() };
        let state = AppState::asked(manner, service, Vec::new(), metrics);
        Self { router: router(state.clone(), setup.limits, setup.diagnostics), state }
    }

    /// One of several servers over a database, which polls often for the writes of the others.
    pub(crate) fn replica(store: Arc<dyn Storage>) -> Self {
        let clusters = live::Limits { poll: Duration::from_millis(50), ..live::Limits::default() };
        Self::start(store, Setup { clusters, ..Setup::default() })
    }

    /// A server whose default cluster holds these objects, each with the store's name of its kind.
    pub(crate) async fn with(objects: &[(&str, Value)]) -> Self {
        Self::start(memory(objects).await, Setup::default())
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Request::delete(path).body(Body::empty()).expect("a request")).await
    }

    /// POSTs JSON.
    pub(crate) async fn post(&self, path: &str, body: impl Sent) -> Reply {
        self.ask("POST", path, JSON, body).await
    }

    /// PUTs JSON.
    pub(crate) async fn put(&self, path: &str, body: impl Sent) -> Reply {
        self.ask("PUT", path, JSON, body).await
    }

    /// Sends a request with one header.
    pub(crate) async fn ask(&self, method: &str, path: &str, header: (&str, &str), body: impl Sent) -> Reply {
        let request = Request::builder().method(method).uri(path).header(header.0, header.1);
        self.send(request.body(body.body()).expect("a request")).await
    }

    /// Sends any request, and reads no more of the reply than its head.
    pub(crate) async fn open(&self, request: Request<Body>) -> Response<Body> {
        #[cfg(test)]
        secrets::carried(request.uri(), request.headers());
        self.router.clone().oneshot(request).await.expect("the router never fails")
    }

    /// Sends any request.
    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let (head, body) = self.open(request).await.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        #[cfg(test)]
        secrets::replied(&head.headers, &body);
        Reply { code: head.status.as_u16(), headers: head.headers, body }
    }
}

/// The header of most bodies.
pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

impl Reply {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("replies are UTF-8")
    }

    /// The body of a reply of this code.
    #[track_caller]
    pub(crate) fn is(&self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        self.is(200)
    }

    /// The `Status` of a failure.
    #[track_caller]
    pub(crate) fn fails(&self, code: u16, reason: &str) -> Value {
        let status = self.is(code);
        assert_eq!((&status["kind"], &status["status"]), (&"Status".into(), &"Failure".into()), "{status}");
        assert_eq!((&status["code"], &status["reason"]), (&code.into(), &reason.into()), "{status}");
        status
    }

    /// The message of a refusal, whose body must be a `Status` with this code.
    #[track_caller]
    pub(crate) fn refusal(&self, code: u16) -> String {
        let status = self.is(code);
        assert_eq!((&status["kind"], &status["code"]), (&Value::from("Status"), &Value::from(code)));
        status["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// A database in memory whose default cluster holds these objects.
pub(crate) async fn memory(objects: &[(&str, Value)]) -> Arc<dyn Storage> {
    let store = store::open("sqlite::memory:", &store::Options::default()).await.expect("an empty database opens");
    store.migrate().await.expect("and migrates");
    if !objects.is_empty() {
        seed(&store, objects, Atomicity::AllOrNothing).await;
    }
    store
}

/// Stores objects in the default cluster behind every server's back. The uid is the object's, or its name.
pub(crate) async fn seed(store: &Arc<dyn Storage>, objects: &[(&str, Value)], atomicity: Atomicity) {
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
