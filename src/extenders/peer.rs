//! One extender: its client and its turns.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Request, StatusCode, Uri,
    body::{Body as _, Bytes},
    header,
};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use metrics::{counter, histogram};
use tokio::{sync::Semaphore, time::timeout};

use super::{Cause, Failure, Options, Origin, Verb, tls};
use crate::{
    core::{
        model::Name,
        policy::{DEFAULT_TIMEOUT_NANOS, Extender},
    },
    telemetry::{self, labels::EXTENDERS},
};

/// How long an unused connection is kept, as Go does.
const IDLE: Duration = Duration::from_secs(90);

const USER_AGENT: &str = concat!("podberth/", env!("CARGO_PKG_VERSION"));

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client of one extender.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) extender: Extender,
    /// Its URL, by which verdicts name it.
    pub(super) name: Name,
    /// Host and port, for metrics.
    address: String,
    /// The HTTP client, or the reason why it can never be called.
    pub(super) client: Result<HttpClient, Cause>,
    turns: Arc<Semaphore>,
    time: Duration,
    reply_bytes: usize,
}

impl Peer {
    /// The longest that a call takes.
    pub(super) fn time(&self) -> Duration {
        self.time
    }

    pub(super) fn new(extender: &Extender, options: &Options) -> Self {
        let nanos = u64::try_from(extender.http_timeout_nanos).ok().filter(|nanos| *nanos > 0);
        let address = address(&extender.url_prefix);
        let client = address.and_then(|(host, port)| {
            if options.hosts.allow(&host, port) {
                client(extender, options)
            } else {
                Err(Cause::NotAllowed(format!("{host}:{port}")))
            }
        });
        Self {
            extender: extender.clone(),
            name: shown(&extender.url_prefix).into(),
            address: label(&extender.url_prefix),
            client,
            turns: Arc::new(Semaphore::new(options.concurrency)),
            time: Duration::from_nanos(nanos.unwrap_or(DEFAULT_TIMEOUT_NANOS.unsigned_abs())),
            reply_bytes: options.reply_bytes,
        }
    }

    /// POSTs a question and reads the answer, all within the extender's time.
    pub(super) async fn ask(&self, verb: Verb, question: Bytes, origin: Origin) -> Result<Bytes, Failure> {
        let client = self.client.as_ref().map_err(|cause| self.failure(verb, cause.clone()))?;
        let started = Instant::now();
        let exchange = timeout(self.time, self.exchange(client, verb, question));
        let answer = exchange.await.unwrap_or(Err(Cause::Timeout(self.time)));
        let code = match &answer {
            Ok(_) => StatusCode::OK.as_str().to_owned(),
            Err(Cause::Code(code)) => code_label(*code),
            Err(cause) => cause.word().to_owned(),
        };
        let address = EXTENDERS.of(if origin == Origin::Stored { &self.address } else { "(request)" });
        counter!(telemetry::DOWNSTREAM_REQUESTS,
            "extender" => address.clone(), "verb" => verb.name(), "code" => code)
        .increment(1);
        histogram!(telemetry::DOWNSTREAM_REQUEST_DURATION, "extender" => address, "verb" => verb.name())
            .record(started.elapsed());
        answer.map_err(|cause| self.failure(verb, cause))
    }

    pub(super) fn failure(&self, verb: Verb, cause: Cause) -> Failure {
        Failure { extender: self.name.clone(), verb, cause }
    }

    async fn exchange(&self, client: &HttpClient, verb: Verb, question: Bytes) -> Result<Bytes, Cause> {
        let _turn = self.turns.acquire().await.map_err(|closed| Cause::Unreachable(closed.to_string()))?;
        let url = format!("{}/{}", self.extender.url_prefix.trim_end_matches('/'), verb.of(&self.extender));
        let request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .body(Full::new(question))
            .map_err(|error| Cause::Url(error.to_string()))?;
        let reply = client.request(request).await.map_err(|error| Cause::Unreachable(chain_of(&error)))?;
        if reply.status() != StatusCode::OK {
            return Err(Cause::Code(reply.status().as_u16()));
        }
        let body = reply.into_body();
        let too_long = Cause::TooLong(self.reply_bytes);
        if usize::try_from(body.size_hint().lower()).is_ok_and(|length| length > self.reply_bytes) {
            return Err(too_long);
        }
        match Limited::new(body, self.reply_bytes).collect().await {
            Ok(read) => Ok(read.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(too_long),
            Err(error) => Err(Cause::Unreachable(chain_of(&*error))),
        }
    }
}

/// Host and port of a URL that can be called.
/// How metrics name the extender of a URL: host and port.
pub fn label(url: &str) -> String {
    address(url).map(|(host, port)| format!("{host}:{port}")).unwrap_or_default()
}

/// How a URL is shown: without the user and password, and without the token of a Podberth (`/key/…`).
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let mut parts: Vec<&str> = path.split('/').collect();
    if let Some(at) = parts.iter().position(|part| *part == "key")
        && let Some(token) = parts.iter_mut().skip(at + 1).find(|part| !part.is_empty())
    {
        *token = "…";
    }
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{host}{}", parts.join("/"))
}

/// How metrics name a status code: one that means nothing counts with its class, for extenders make up their codes.
fn code_label(code: u16) -> String {
    let is_known = StatusCode::from_u16(code).is_ok_and(|code| code.canonical_reason().is_some());
    if is_known { code.to_string() } else { format!("{}xx", code / 100) }
}

fn address(url: &str) -> Result<(String, u16), Cause> {
    let wrong = |why: &str| Cause::Url(format!("its URL {why}"));
    let uri: Uri = url.parse().map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let port = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return Err(wrong("must begin with http:// or https://")),
    };
    let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("must not hold a user or password"));
    }
    if authority.host().is_empty() {
        return Err(wrong("names no host"));
    }
    Ok((authority.host().to_owned(), authority.port_u16().unwrap_or(port)))
}

fn client(extender: &Extender, options: &Options) -> Result<HttpClient, Cause> {
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls::client_config(extender)?).https_or_http();
    let builder = match tls::server_name(extender)? {
        Some(name) => builder.with_server_name_resolver(FixedServerNameResolver::new(name)),
        None => builder,
    };
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let connector = builder.enable_http1().wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(options.concurrency)
        .build(connector))
}

/// An error and its causes, in one line.
pub(crate) fn chain_of(error: &(dyn Error + 'static)) -> String {
    let (mut told, mut cause) = (Vec::new(), Some(error));
    while let Some(error) = cause {
        told.push(error.to_string());
        cause = error.source();
    }
    // Many errors repeat what they came from.
    told.dedup_by(|next, before| before.contains(&**next));
    told.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_urls_with_a_host_are_called() {
        for (url, expected) in [
            ("http://a", Some(("a", 80))),
            ("https://a/b/", Some(("a", 443))),
            ("http://[::1]:8080", Some(("[::1]", 8080))),
            ("file:///etc/passwd", None),
            ("ftp://a", None),
            ("a:80", None),
            ("/path", None),
            ("", None),
            ("http://", None),
            ("http://user:password@a", None),
            ("http://a b", None),
        ] {
            let found = address(url).ok();
            assert_eq!(found.as_ref().map(|(host, port)| (&**host, *port)), expected, "{url}");
        }
    }

    #[test]
    fn secrets_of_a_url_are_not_shown() {
        for (url, told) in [
            ("http://h:80/key/pbt_secret/filter", "http://h:80/key/…/filter"),
            ("https://jane:secret@h/x", "https://h/x"),
            ("http://h//key//pbt_secret", "http://h//key//…"),
            ("http://h", "http://h"),
            ("h/key/", "h/key/"),
        ] {
            assert_eq!(shown(url), told);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_url_panics(url in r"\PC{0,40}") {
            let extender = Extender { url_prefix: url, ..Extender::default() };
            let _ = Peer::new(&extender, &Options::default());
        }
    }
}
