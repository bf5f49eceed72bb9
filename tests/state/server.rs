//! A server without a socket, and shorthand for its requests.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, header},
};
use podberth::{
    api::{
        self,
        middleware::Limits,
        state::{AppState, Freshness},
    },
    cluster::Clusters,
    store::Store,
    telemetry,
};
use serde_json::Value;
use tower::ServiceExt;

/// The server of one test.
#[derive(Clone)]
pub struct Server {
    router: Router,
    pub state: AppState,
}

/// A reply.
#[derive(Debug)]
pub struct Reply {
    pub code: u16,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The body of a success of this code.
    #[track_caller]
    pub fn is(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.text);
        self.json()
    }

    /// The `Status` of a failure.
    #[track_caller]
    pub fn fails(self, code: u16, reason: &str) -> Value {
        let status = self.is(code);
        assert_eq!((&status["kind"], &status["status"]), (&"Status".into(), &"Failure".into()), "{status}");
        assert_eq!(status["reason"], reason, "{status}");
        assert_eq!(status["code"], code, "{status}");
        status
    }
}

impl Server {
    pub fn start(store: Arc<dyn Store>) -> Self {
        let clusters = Clusters::new(store, Duration::from_millis(50));
        let metrics = telemetry::recorder().expect("a recorder");
        let state = AppState::new(clusters, Freshness::default(), Vec::new(), metrics);
        let limits = Limits {
            request_timeout: Duration::from_mins(5),
            body_bytes: 3 << 20,
            bulk_body_bytes: 256 << 20,
            bodies_bytes: 1 << 30,
            body_wait: Duration::from_mins(1),
        };
        Self { router: api::router(state.clone(), limits), state }
    }

    pub async fn send(&self, method: &str, path: &str, media_type: &str, body: impl Into<Body>) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if !media_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        let request = request.body(body.into()).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("the router never fails");
        let code = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        Reply { code, text: String::from_utf8(body.to_vec()).expect("text") }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "", Body::empty()).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, "", Body::empty()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, "application/json", body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send("PUT", path, "application/json", body.to_string()).await
    }
}

/// The names of a list's items in their order.
pub fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().expect("items").iter().filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

/// The fields of a refusal's causes in their order.
pub fn fields(status: &Value) -> Vec<&str> {
    let causes = status["details"]["causes"].as_array().expect("causes");
    causes.iter().filter_map(|cause| cause["field"].as_str()).collect()
}
