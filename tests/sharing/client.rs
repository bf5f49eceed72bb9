//! A client of replicas.

use std::time::Duration;

use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::time::timeout;

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A client with its own connections.
#[derive(Clone, Debug)]
pub(crate) struct Client(legacy::Client<HttpConnector, Full<Bytes>>);

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    /// The body of a reply of this code.
    #[track_caller]
    pub(crate) fn is(&self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.text);
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// A watch in progress.
#[derive(Debug)]
pub(crate) struct Watch {
    body: Incoming,
    unread: Vec<u8>,
}

impl Watch {
    /// The next event; `None` at its end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("a line is JSON"));
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.expect("an event comes")?.ok()?;
            self.unread.extend(frame.into_data().unwrap_or_default());
        }
    }
}

impl Client {
    pub(crate) fn new() -> Self {
        Self(legacy::Client::builder(TokioExecutor::new()).build_http())
    }

    /// Sends a request; `None` if there is no reply.
    pub(crate) async fn ask(&self, method: &str, url: &str, headers: &[(&str, &str)], body: &Value) -> Option<Reply> {
        let exchange = async {
            let (head, body) = self.open(method, url, headers, body).await?.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            let text = String::from_utf8_lossy(&body).into_owned();
            Some(Reply { code: head.status.as_u16(), headers: head.headers, text })
        };
        timeout(PATIENCE, exchange).await.expect("a reply comes")
    }

    async fn open(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Option<axum::http::Response<Incoming>> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut request = Request::builder().method(method).uri(url);
        let is_typed = headers.iter().any(|(name, _)| *name == "content-type");
        let json = [("content-type", "application/json")];
        for (name, value) in headers.iter().chain(json.iter().filter(|_| !is_typed)) {
            request = request.header(*name, *value);
        }
        self.0.request(request.body(Full::from(body)).expect("a request")).await.ok()
    }

    /// Sends a request that has a reply.
    pub(crate) async fn send(&self, method: &str, url: &str, body: &Value) -> Reply {
        self.ask(method, url, &[], body).await.unwrap_or_else(|| panic!("{method} {url}: there is no reply"))
    }

    pub(crate) async fn get(&self, url: &str) -> Reply {
        self.send("GET", url, &Value::Null).await
    }

    pub(crate) async fn watch(&self, url: &str) -> Watch {
        let reply = self.open("GET", url, &[], &Value::Null).await.expect("a reply");
        assert_eq!(reply.status(), 200, "{url}");
        Watch { body: reply.into_body(), unread: Vec::new() }
    }
}
