//! Small documents of servers that the operator named, and messages to them: bounded in time and size. Redirects are not followed.

use std::{sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{Method, Request, Uri, body::Bytes, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::time::timeout;

use crate::extenders::chain_of;

/// The longest that one document takes.
const LONGEST: Duration = Duration::from_secs(10);

/// Why a message has no reply that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The server did not answer.
    #[error("{0}")]
    Unreached(String),
    /// It answered otherwise than it should, or the message cannot be sent.
    #[error("{0}")]
    Refused(String),
}

const USER_AGENT: &str = concat!("podberth/", env!("CARGO_PKG_VERSION"));

/// A client of servers that are known by their certificates; of others only where it was made so.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    allows_http: bool,
}

impl Fetcher {
    /// A client that knows servers by these authorities, in PEM; by those of the public internet if the text is empty.
    ///
    /// # Errors
    /// If the text has no certificate, or one that cannot be read.
    pub fn new(authorities: &str) -> Result<Self, String> {
        Self::build(authorities, false)
    }

    /// As [`Self::new`], for servers that speak HTTP without TLS as well.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn with_http(authorities: &str) -> Result<Self, String> {
        Self::build(authorities, true)
    }

    fn build(authorities: &str, allows_http: bool) -> Result<Self, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if !authorities.is_empty() {
            roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
                roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
            }
            if roots.is_empty() {
                return Err("there is no certificate in PEM".into());
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new().with_tls_config(config);
        let connector = if allows_http { connector.https_or_http() } else { connector.https_only() };
        let connector = connector.enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { client, allows_http })
    }

    /// The document at a URL.
    ///
    /// # Errors
    /// If there is none: the server cannot be reached or is not known by its authority, its code is not 200, the document is longer
    /// than `most` bytes, or it takes more than ten seconds.
    pub async fn get(&self, url: &str, most: usize) -> Result<Bytes, String> {
        let request = Request::builder().method(Method::GET).uri(self.checked(url)?).body(Full::default());
        let request = request.map_err(|error| error.to_string())?;
        self.exchange(request, most).await.map_err(|error| error.to_string())
    }

    /// Sends a JSON body to a URL, with these headers, and reads the reply.
    ///
    /// # Errors
    /// As for [`Self::get`], where the code is not one of success.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
        most: usize,
    ) -> Result<Bytes, FetchError> {
        let url = self.checked(url).map_err(FetchError::Refused)?;
        let mut request = Request::builder().method(Method::POST).uri(url);
        request = request.header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|error| FetchError::Refused(error.to_string()))?;
        self.exchange(request, most).await
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>, most: usize) -> Result<Bytes, FetchError> {
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, header::HeaderValue::from_static(USER_AGENT));
        let exchange = async {
            let reply = self.client.request(request).await.map_err(|error| FetchError::Unreached(chain_of(&error)))?;
            if !reply.status().is_success() {
                return Err(FetchError::Refused(format!("the server answered {}", reply.status())));
            }
            match Limited::new(reply.into_body(), most).collect().await {
                Ok(read) => Ok(read.to_bytes()),
                Err(error) if error.is::<LengthLimitError>() => {
                    Err(FetchError::Refused(format!("the reply is longer than {most} bytes")))
                }
                Err(error) => Err(FetchError::Unreached(chain_of(&*error))),
            }
        };
        let late = |_| Err(FetchError::Unreached(format!("no reply within {} s", LONGEST.as_secs())));
        timeout(LONGEST, exchange).await.unwrap_or_else(late)
    }

    /// `Ok` for a URL that can be asked.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub fn check(&self, url: &str) -> Result<(), String> {
        self.checked(url).map(drop)
    }

    /// A URL that may be asked.
    fn checked(&self, url: &str) -> Result<Uri, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url:?} is no URL: {error}"))?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let speaks = uri.scheme_str() == Some("https") || self.allows_http && uri.scheme_str() == Some("http");
        if !speaks || authority.is_empty() || authority.contains('@') {
            let schemes = if self.allows_http { "http:// or https://" } else { "https://" };
            return Err(format!("{url:?} is no URL that begins with {schemes} and has no password"));
        }
        Ok(uri)
    }
}
