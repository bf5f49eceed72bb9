//! Unary calls of gRPC servers that the operator named, with bounds on time and size.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Request,
    body::Bytes,
    header::{self, HeaderValue},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::ClientConfig;
use tokio::time::timeout;

use super::{MEDIA_TYPE, framed, unframed};
use crate::extenders::chain_of;

/// The longest that a call takes.
const LONGEST: Duration = Duration::from_secs(10);

/// The largest reply.
const MOST_BYTES: usize = 4 << 20;

/// A client of one gRPC server.
#[derive(Clone, Debug)]
pub struct GrpcClient {
    base: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Why a call has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrpcError {
    /// The server answered with this status.
    #[error("the server answered with status {code}: {message}")]
    Status {
        /// A number of `grpc/codes`: 12 for a call that it does not know.
        code: u32,
        /// Its words.
        message: String,
    },
    /// There was no answer.
    #[error("{0}")]
    Unreached(String),
}

impl GrpcClient {
    /// A client for a server at `http://HOST:PORT` or `https://HOST:PORT`.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn new(url: &str, tls: ClientConfig) -> Result<Self, String> {
        let base = url.trim_end_matches('/').to_owned();
        let parsed: hyper::Uri = base.parse().map_err(|error| format!("{url:?} is no URL: {error}"))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.path().len() > 1 {
            return Err(format!("{url:?} is no URL of the form http://HOST:PORT or https://HOST:PORT"));
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http2().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build(connector);
        Ok(Self { base, client })
    }

    /// Calls a method: `/package.Service/Method`.
    ///
    /// # Errors
    /// The status of the server, or why there is none.
    pub async fn call(&self, method: &str, message: &[u8]) -> Result<Bytes, GrpcError> {
        let exchange = timeout(LONGEST, self.exchange(method, message));
        exchange.await.unwrap_or_else(|_| Err(GrpcError::Unreached(format!("no reply within {} s", LONGEST.as_secs()))))
    }

    async fn exchange(&self, method: &str, message: &[u8]) -> Result<Bytes, GrpcError> {
        let unreached = |why: String| GrpcError::Unreached(why);
        let request = Request::post(format!("{}{method}", self.base))
            .header(header::CONTENT_TYPE, MEDIA_TYPE)
            .header(header::TE, HeaderValue::from_static("trailers"))
            .header(header::USER_AGENT, concat!("podberth/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(framed(message)))
            .map_err(|error| unreached(error.to_string()))?;
        let reply = self.client.request(request).await.map_err(|error| unreached(chain_of(&error)))?;
        if !reply.status().is_success() {
            return Err(unreached(format!("the server answered {}", reply.status())));
        }
        let headers = reply.headers().clone();
        let read = Limited::new(reply.into_body(), MOST_BYTES).collect().await;
        let read = read.map_err(|error| unreached(chain_of(&*error)))?;
        let trailers = read.trailers().cloned();
        // A reply without a message has its status among the headers.
        let status = trailers.filter(|trailers| trailers.contains_key("grpc-status")).unwrap_or(headers);
        let code =
            number(&status).ok_or_else(|| unreached("the reply has no grpc-status: is it a gRPC server?".into()))?;
        if code != 0 {
            let message = status.get("grpc-message").and_then(|text| text.to_str().ok()).unwrap_or_default().to_owned();
            return Err(GrpcError::Status { code, message });
        }
        unframed(&read.to_bytes()).map_err(|error| unreached(error.to_string()))
    }
}

fn number(status: &HeaderMap) -> Option<u32> {
    status.get("grpc-status")?.to_str().ok()?.parse().ok()
}
