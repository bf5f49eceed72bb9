//! HTTP/1.1 over connections that are kept, as kube-scheduler speaks it.

use std::time::{Duration, Instant};

use axum::http::{Method, Request, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Response, body::Incoming};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

/// Longer than any call should take: a hanging call becomes an error.
const PATIENCE: Duration = Duration::from_mins(10);

/// A client; its copies share connections.
#[derive(Clone, Debug)]
pub(super) struct Client(legacy::Client<HttpConnector, Full<Bytes>>);

/// A reply, and the time from the first byte sent to the last one read.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) body: Bytes,
    pub(super) took: Duration,
}

/// Why nothing useful came back.
#[derive(Debug)]
pub(super) struct Failed {
    /// The wait before the request is sent again, if the server is only busy.
    pub(super) busy: Option<Duration>,
    text: String,
}

impl From<Failed> for String {
    fn from(failed: Failed) -> Self {
        failed.text
    }
}

impl From<String> for Failed {
    fn from(text: String) -> Self {
        Self { busy: None, text }
    }
}

impl Client {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(legacy::Client::builder(TokioExecutor::new()).build(connector))
    }

    /// POSTs JSON; anything but success is an error.
    pub(super) async fn post(&self, url: &str, body: impl Into<Bytes>) -> Result<Reply, Failed> {
        self.send(Method::POST, url, None, body).await
    }

    /// Sends a request by any method, with an `Accept` header if given.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &str,
        accept: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Result<Reply, Failed> {
        let begun = Instant::now();
        let exchange = async {
            let response = self.begin(method, url, accept, body.into()).await?;
            let body = response.into_body().collect().await.map_err(|error| format!("{url}: {error}"))?.to_bytes();
            Ok(Reply { body, took: begun.elapsed() })
        };
        timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(late(url)))
    }

    /// POSTs JSON and throws the reply away as it comes: how long it took and how many bytes it had.
    pub(super) async fn drain(&self, url: &str, body: &Bytes) -> Result<(Duration, usize), Failed> {
        let begun = Instant::now();
        let exchange = async {
            let mut body = self.begin(Method::POST, url, None, body.clone()).await?.into_body();
            let mut bytes = 0;
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| format!("{url}: {error}"))?;
                bytes += frame.data_ref().map_or(0, Bytes::len);
            }
            Ok((begun.elapsed(), bytes))
        };
        timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(late(url)))
    }

    /// Sends a request, up to the beginning of a successful reply.
    async fn begin(
        &self,
        method: Method,
        url: &str,
        accept: Option<&str>,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failed> {
        let json = (header::CONTENT_TYPE, "application/json");
        let headers = accept.map(|accept| (header::ACCEPT, accept)).into_iter().chain([json]);
        let request = headers
            .fold(Request::builder().method(method).uri(url), |request, (name, value)| request.header(name, value));
        let request = request.body(Full::new(body)).map_err(|error| format!("{url}: {error}"))?;
        let response = self.0.request(request).await.map_err(|error| format!("{url}: {}", chain_of(&error)))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, busy) = (response.status().as_u16(), retry_after(&response));
        let body = response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let text = String::from_utf8_lossy(&body[..body.len().min(500)]);
        Err(Failed { busy, text: format!("{url}: HTTP {status}: {text}") })
    }
}

fn late(url: &str) -> Failed {
    format!("{url}: no answer within {PATIENCE:?}").into()
}

/// The wait before the request is sent again.
fn retry_after<T>(response: &Response<T>) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// An error with its causes, which hyper's own text leaves out.
fn chain_of(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
