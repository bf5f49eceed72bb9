//! `podberth token`: makes, lists and revokes the tokens of a server.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Uri, body::Bytes, header};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use serde::de::DeserializeOwned;

use crate::{
    service::access::tokens::{ListedToken, MadeToken, NewToken, TokenList},
    wire::status::Status,
};

/// Bytes of a reply at most.
const LONGEST: usize = 16 << 20;

/// The subcommands for tokens.
#[derive(Subcommand)]
pub enum Command {
    /// Make a token and print it; it is shown this once
    Create(Box<Create>),
    /// List the tokens, without their texts
    List(Asked),
    /// Revoke a token
    Revoke {
        /// The server
        #[command(flatten)]
        asked: Asked,
        /// The name of the token
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// The server that is asked, and as whom.
#[derive(Args)]
pub struct Asked {
    /// The URL of the server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// File with the token by which you are known
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Options of `podberth token create`.
#[derive(Args)]
pub struct Create {
    #[command(flatten)]
    asked: Asked,
    /// Name of the token, by which it is listed and revoked
    #[arg(value_name = "NAME")]
    name: String,
    /// The user whose rights it has; of an extender, system:extender:NAME unless told
    #[arg(long, value_name = "USER", required_if_eq("kind", "user"))]
    user: Option<String>,
    /// A group of the user; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// The use of the token: user, or extender for a kube-scheduler that calls Podberth as its extender
    #[arg(long, value_enum, default_value = "user")]
    kind: Kind,
    /// A cluster that it is for, by name or by its beginning and *; may be repeated. All unless told
    #[arg(long = "cluster", value_name = "CLUSTER")]
    clusters: Vec<String>,
    /// Time after which it ends, as 24h; it does not unless told
    #[arg(long, value_name = "DURATION", value_parser = crate::config::duration)]
    expires_in: Option<Duration>,
}

/// The use of a token.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    User,
    Extender,
}

/// Runs a subcommand; its output.
///
/// # Errors
/// In one line.
pub async fn run(command: &Command) -> Result<String, String> {
    match command {
        Command::Create(create) => {
            let new = NewToken {
                name: create.name.clone(),
                kind: if matches!(create.kind, Kind::Extender) { "extender" } else { "user" }.into(),
                user: create.user.clone().unwrap_or_default(),
                groups: create.groups.clone(),
                clusters: create.clusters.clone(),
                expires_in_seconds: create.expires_in.map(|time| time.as_secs()),
            };
            let body = serde_json::to_vec(&new).map_err(|error| error.to_string())?;
            let made: MadeToken = ask(&create.asked, Method::POST, "/tokens", body).await?;
            Ok(format!("{}\n", made.token))
        }
        Command::List(asked) => {
            let list: TokenList = ask(asked, Method::GET, "/tokens", Vec::new()).await?;
            Ok(table(&list.items))
        }
        Command::Revoke { asked, name } => {
            let _: Status = ask(asked, Method::DELETE, &format!("/tokens/{name}"), Vec::new()).await?;
            Ok(format!("token {name} revoked\n"))
        }
    }
}

fn table(tokens: &[ListedToken]) -> String {
    let row = |cells: [&str; 5]| cells.map(str::to_owned);
    let mut rows = vec![row(["NAME", "KIND", "USER", "CLUSTERS", "EXPIRES"])];
    for token in tokens {
        let clusters = if token.clusters.is_empty() { "*".to_owned() } else { token.clusters.join(",") };
        let expires = token.expires_at.as_deref().unwrap_or("never");
        rows.push(row([&token.name, &token.kind, &token.user, &clusters, expires]));
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |row: &[String; 5]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("   ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Sends a request and reads the reply.
async fn ask<T: DeserializeOwned>(asked: &Asked, method: Method, path: &str, body: Vec<u8>) -> Result<T, String> {
    let url: Uri = format!("{}{path}", asked.server.trim_end_matches('/'))
        .parse()
        .map_err(|_| format!("--server {:?} with {path:?} is no URL: expected http://HOST:PORT", asked.server))?;
    let mut request = Request::builder().method(method).uri(&url).header(header::CONTENT_TYPE, "application/json");
    if let Some(path) = &asked.token_file {
        let token = fs::read_to_string(path).map_err(|error| format!("--token-file {}: {error}", path.display()))?;
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|_| "the token is no header value".to_owned())?;
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let unreachable = |error: &dyn std::fmt::Display| format!("{} does not answer: {error}", asked.server);
    let reply = client.request(request).await.map_err(|error| unreachable(&error))?;
    let code = reply.status();
    let body =
        Limited::new(reply.into_body(), LONGEST).collect().await.map_err(|error| unreachable(&error))?.to_bytes();
    if code.is_success() {
        return serde_json::from_slice(&body).map_err(|error| format!("{} is no Podberth: {error}", asked.server));
    }
    let told = serde_json::from_slice::<Status>(&body).map_or_else(|_| code.to_string(), |status| status.message);
    let remedy = if code.as_u16() == 401 || asked.token_file.is_none() && code.as_u16() == 403 {
        ": name a file with a valid token in --token-file"
    } else {
        ""
    };
    Err(format!("{told}{remedy}"))
}
