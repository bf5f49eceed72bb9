//! Sends spans to the collector, over the HTTP client for extenders.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry_http::{HttpClient, HttpError};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::{runtime::Handle, time::timeout};
use tracing::{info, warn};

/// How long the collector may take for a batch.
const TIME: Duration = Duration::from_secs(5);

/// Longest answer that is read.
const REPLY_BYTES: usize = 64 * 1024;

/// The HTTP client with which the exporter, on its own thread, sends batches.
#[derive(Clone, Debug)]
pub(super) struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
    /// `true` if the last batch was lost; logged once, not for each batch.
    is_away: Arc<AtomicBool>,
}

impl Collector {
    pub(super) fn new(runtime: Handle) -> Result<Self, rustls::Error> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, runtime, is_away: Arc::default() })
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let reply = self.client.request(request.map(Full::new)).await?;
        let (head, body) = reply.into_parts();
        let body = Limited::new(body, REPLY_BYTES).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    async fn send(self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let reply = timeout(TIME, self.exchange(request)).await.unwrap_or_else(|late| Err(late.into()));
        let trouble = match &reply {
            Ok(reply) if reply.status().is_success() => None,
            Ok(reply) => Some(format!("it answers {}", reply.status())),
            Err(error) => Some(format!("{error:?}")),
        };
        match (self.is_away.swap(trouble.is_some(), Ordering::Relaxed), trouble) {
            (false, Some(trouble)) => warn!(trouble, "the collector of traces takes no spans: they are lost"),
            (true, None) => info!("the collector of traces takes spans again"),
            _ => {}
        }
        reply
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.runtime.spawn(self.clone().send(request)).await?
    }
}
