//! HTTP as clients of a replica speak it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy, rt::TokioExecutor};
use serde_json::Value;
use tokio::time::timeout;

/// How long a client waits for a reply.
const PATIENCE: Duration = Duration::from_secs(12);

/// A client with its own connections.
#[derive(Clone, Debug)]
pub(crate) struct Client(legacy::Client<legacy::connect::HttpConnector, Full<Bytes>>);

/// The reply.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A reply.
    Said(u16, Value),
    /// The connection could not be made: nothing was sent.
    Refused,
    /// The request was sent, and nothing came back.
    Silence,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self(legacy::Client::builder(TokioExecutor::new()).build_http())
    }

    pub(crate) async fn send(&self, method: &str, address: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = axum::http::Request::builder()
            .method(method)
            .uri(format!("http://{address}{path}"))
            .header("Content-Type", "application/json")
            .body(Full::from(body))
            .expect("a request");
        let exchange = async {
            let reply = self.0.request(request).await.map_err(|error| error.is_connect())?;
            let code = reply.status().as_u16();
            let body = reply.into_body().collect().await.map_err(|_| false)?.to_bytes();
            Ok::<_, bool>((code, serde_json::from_slice(&body).unwrap_or(Value::Null)))
        };
        match timeout(PATIENCE, exchange).await {
            Ok(Ok((code, body))) => Answer::Said(code, body),
            Ok(Err(true)) => Answer::Refused,
            Ok(Err(false)) | Err(_) => Answer::Silence,
        }
    }
}
