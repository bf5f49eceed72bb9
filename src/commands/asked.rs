//! The server that a command asks, as whom, and the one client by which it is asked.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Uri, body::Bytes, header};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::de::DeserializeOwned;

use crate::{
    extenders::chain_of,
    net::{Shown, client_config},
    wire::status::Status,
};

/// Bytes of a reply at most.
const LONGEST: usize = 16 << 20;

/// The server that is asked, and as whom.
#[derive(Args)]
pub struct Asked {
    /// The URL of the server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub server: String,
    /// File with the token by which you are known
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// File with the authorities of the server's certificate in PEM; those that browsers trust unless told
    #[arg(long, alias = "ca", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// File with the certificate by which you are known, in PEM
    #[arg(long, alias = "client-cert-file", value_name = "FILE", requires = "client_key")]
    pub client_cert: Option<PathBuf>,
    /// File with the key of that certificate, in PEM
    #[arg(long, alias = "client-key-file", value_name = "FILE", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
}

/// The contents of the files that are named.
pub(super) struct Credentials {
    pub(super) token: Option<String>,
    pub(super) authorities: Option<Vec<u8>>,
    /// Certificate and key.
    pub(super) pair: Option<(Vec<u8>, Vec<u8>)>,
}

impl Asked {
    /// The URL without a slash at its end.
    pub(super) fn url(&self) -> &str {
        self.server.trim_end_matches('/')
    }

    /// Reads the files.
    ///
    /// # Errors
    /// In one line.
    pub(super) fn credentials(&self) -> Result<Credentials, String> {
        let token = self.token_file.as_deref().map(|path| read("--token-file", path)).transpose()?;
        let token = token.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        let certificate = self.client_cert.as_deref().map(|path| read("--client-cert", path)).transpose()?;
        let key = self.client_key.as_deref().map(|path| read("--client-key", path)).transpose()?;
        let authorities = self.ca_file.as_deref().map(|path| read("--ca-file", path)).transpose()?;
        let credentials = Credentials { token, authorities, pair: certificate.zip(key) };
        credentials.tls()?;
        if !self.server.starts_with("https:") && (credentials.pair.is_some() || credentials.authorities.is_some()) {
            return Err("certificates are for https: name a --server that begins with https://".into());
        }
        Ok(credentials)
    }

    /// Sends a request and reads the reply.
    ///
    /// # Errors
    /// In one line.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, String> {
        let credentials = self.credentials()?;
        let url: Uri = format!("{}{path}", self.url())
            .parse()
            .map_err(|_| format!("--server {:?} with {path:?} is no URL: expected https://HOST:PORT", self.server))?;
        let mut request = Request::builder().method(method).uri(&url).header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &credentials.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request =
            request.body(Full::new(Bytes::from(body))).map_err(|_| "the token is no header value".to_owned())?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let builder = HttpsConnectorBuilder::new().with_tls_config(credentials.tls()?);
        let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let reply = client.request(request).await.map_err(|error| self.unreachable(&chain_of(&error)))?;
        let code = reply.status();
        let body = Limited::new(reply.into_body(), LONGEST).collect().await;
        let body = body.map_err(|error| self.unreachable(&chain_of(&*error)))?.to_bytes();
        if code.is_success() {
            return serde_json::from_slice(&body).map_err(|error| format!("{} is no Podberth: {error}", self.server));
        }
        let is_anonymous = credentials.token.is_none() && credentials.pair.is_none();
        let told = match serde_json::from_slice::<Status>(&body) {
            Ok(status) => status.message,
            Err(_) if code.as_u16() == 400 && body.starts_with(b"Client sent an HTTP request") => {
                return Err(format!("{} speaks TLS: name it as https://…", self.server));
            }
            Err(_) => code.to_string(),
        };
        let remedy = if code.as_u16() == 401 || is_anonymous && code.as_u16() == 403 {
            ": name a file with a valid token in --token-file"
        } else {
            ""
        };
        Err(format!("{told}{remedy}"))
    }

    fn unreachable(&self, why: &str) -> String {
        let is_unknown = why.contains("UnknownIssuer") && self.ca_file.is_none();
        let remedy = if is_unknown { ": name the file with its authority in --ca-file" } else { "" };
        format!("{} does not answer: {why}{remedy}", self.server)
    }
}

impl Credentials {
    fn tls(&self) -> Result<rustls::ClientConfig, String> {
        let shown = self.pair.as_ref().map(|(certificate, key)| Shown { certificate, key });
        client_config(self.authorities.as_deref(), shown)
    }
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{option} {}: {error}", path.display()))
}
