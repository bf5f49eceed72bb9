//! Requests for clusters of other replicas, which are passed on to an owner of the cluster: its own replica first, then the other one, and if neither can
//! be reached the request is answered here, since any replica can load any cluster.
//!
//! The sender is known before a request is passed on, and the owner judges what the sender may do. The owner takes such requests at an address of their
//! own (`--replica-listen`), where each connection shows the certificate of a replica; there a header names the sender. At the address for clients that
//! header is refused. A request that was passed on is answered where it comes, so that it never travels twice.
//!
//! Bodies are not read on the way. Each stream has a small window, and their connection one that holds thousands of them, so that a client that reads
//! nothing of its watch stops no other.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::body::{Frame, SizeHint};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use metrics::counter;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout},
};
use tower::{BoxError, Service, ServiceExt, service_fn, util::BoxCloneSyncService};

use super::{
    access::request_info::{RequestInfo, is_watch},
    admission::Share,
    cluster,
    ending::ending,
    guarded::guarded,
    peer::Peer,
};
use crate::{
    core::access::{Attributes, OWN, User},
    extenders::chain_of,
    net::Secured,
    service::{
        error::{Error, Result, Subject},
        replicas::Replicas,
    },
    telemetry::REQUESTS_PASSED_ON,
};

/// Names the sender of a request that was passed on.
pub const PASSED_ON: HeaderName = HeaderName::from_static("podberth-passed-on");

/// The longest that it takes to connect to another replica.
const CONNECTS_WITHIN: Duration = Duration::from_secs(1);

/// Interval of asking a replica with requests if it is there, and the longest wait for its answer.
const ASKED_EVERY: Duration = Duration::from_secs(1);
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Time for which a replica that could not be reached is not tried again.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// Bytes on their way in each direction of a request, and of all to one replica.
pub(super) const WINDOW: u32 = 64 << 10;
pub(super) const WINDOW_OF_ALL: u32 = (1 << 31) - 1;

/// Headers that are about one connection, or were judged where the request came (`net/http/httputil/reverseproxy.go`, `hopHeaders`).
const NOT_PASSED_ON: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "authorization",
    "origin",
    "sec-fetch-site",
];

/// The user in the header.
#[derive(Deserialize, Serialize)]
struct Sender {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
    /// The address of the connection on which the request came.
    peer: Option<IpAddr>,
}

impl Sender {
    fn of(user: &User, peer: Option<Peer>) -> Self {
        Self {
            name: user.name.to_string(),
            uid: user.uid.clone(),
            groups: user.groups.iter().map(ToString::to_string).collect(),
            extra: user.extra.clone(),
            peer: peer.map(|Peer(address)| address),
        }
    }

    fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&BASE64_STANDARD.encode(serde_json::to_vec(self).ok()?)).ok()
    }

    fn read(header: &HeaderValue) -> Option<Self> {
        serde_json::from_slice(&BASE64_STANDARD.decode(header.as_bytes()).ok()?).ok()
    }

    fn user(self) -> User {
        let Self { name, uid, groups, extra, peer: _ } = self;
        User { uid, extra, ..User::new(&name, groups.iter().map(String::as_str)) }
    }
}

/// Marks a request that another replica has passed on, with its sender.
#[derive(Clone, Debug)]
pub(super) struct PassedOn(pub(super) Arc<User>);

/// The server at the address for other replicas.
pub fn received(router: Router, replicas: Replicas) -> Router {
    let service = service_fn(move |request: Request| {
        let (router, replicas) = (router.clone(), replicas.clone());
        async move {
            match admitted(request, &replicas).await {
                Ok(request) => router.oneshot(request).await,
                Err(error) => Ok(error.into_response()),
            }
        }
    });
    Router::new().fallback_service(service)
}

/// The request as its sender sent it.
async fn admitted(mut request: Request, replicas: &Replicas) -> Result<Request> {
    let extensions = request.extensions_mut();
    let certificate = extensions.remove::<Secured>().and_then(|secured| secured.certificate);
    // All requests of a replica share a connection.
    extensions.remove::<Share>();
    extensions.remove::<Peer>();
    let pin = certificate.and_then(|certificate| certificate.pin());
    let is_replica = match pin {
        Some(pin) => replicas.know(&pin).await,
        None => false,
    };
    if !is_replica {
        let message = "this address is for the replicas of this database alone: ask at that of --listen".to_owned();
        return Err(Error::Denied { subject: Subject::default(), message });
    }
    let sender = request.headers_mut().remove(PASSED_ON).and_then(|header| Sender::read(&header));
    let sender = sender.ok_or_else(|| Error::BadRequest(format!("the header {PASSED_ON} names no sender")))?;
    if let Some(address) = sender.peer {
        request.extensions_mut().insert(Peer(address));
    }
    request.extensions_mut().insert(PassedOn(Arc::new(sender.user())));
    Ok(request)
}

/// Refuses a request at the address for clients that tells who its sender is.
pub(super) fn check(request: &Request) -> Result<()> {
    if !request.headers().contains_key(PASSED_ON) {
        return Ok(());
    }
    let message = format!("the header {PASSED_ON} is for replicas, which send it to the address of --replica-listen");
    Err(Error::Denied { subject: Subject::default(), message })
}

/// The cluster whose owners answer a request; `None` if any replica answers it from what all have. `of` is that of its path.
pub(super) fn owned<'a>(info: &'a RequestInfo<'a>, of: &'a str) -> Option<&'a str> {
    match &info.attributes {
        Attributes::Path { .. } => None,
        Attributes::Resource(one) if one.group == OWN && one.resource == "clusters" && !one.name.is_empty() => {
            Some(&one.name)
        }
        // It is about all clusters.
        Attributes::Resource(_) if info.cluster != of => None,
        Attributes::Resource(_) => Some(of),
    }
}

/// The outcome of passing a request on.
pub(super) enum Passed {
    /// It was, and this is the reply.
    Answered(Response),
    /// It is to be answered here.
    Back(Request),
}

/// Passes requests on. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Passing(Arc<Shared>);

type Connector = BoxCloneSyncService<Uri, Connection, BoxError>;
type Connection = hyper_rustls::MaybeHttpsStream<hyper_util::rt::TokioIo<tokio::net::TcpStream>>;

#[derive(Debug)]
struct Shared {
    replicas: Replicas,
    client: Client<Connector, Body>,
    /// For each request that is on its way.
    places: Arc<Semaphore>,
    most: usize,
    /// The replicas that could not be reached, and when.
    away: Mutex<BTreeMap<Arc<str>, Instant>>,
    /// `true` once watches are to end.
    watches_end: watch::Sender<bool>,
}

impl Passing {
    /// Passes at most so many requests on at a time.
    pub fn new(replicas: Replicas, tls: ClientConfig, most: usize) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http2().wrap_connector(tcp);
        let within = service_fn(move |uri: Uri| {
            let mut tls = tls.clone();
            async move {
                // The handshake too: a process that hangs is connected to all the same.
                timeout(CONNECTS_WITHIN, async { tls.ready().await?.call(uri).await })
                    .await
                    .unwrap_or_else(|_| Err("it does not answer".into()))
            }
        });
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_initial_stream_window_size(WINDOW)
            .http2_initial_connection_window_size(WINDOW_OF_ALL)
            .http2_keep_alive_interval(ASKED_EVERY)
            .http2_keep_alive_timeout(ANSWERS_WITHIN)
            .build(BoxCloneSyncService::new(within));
        let most = most.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(most));
        let (away, watches_end) = (Mutex::default(), watch::Sender::new(false));
        Self(Arc::new(Shared { replicas, client, places, most, away, watches_end }))
    }

    /// Ends the watches that were passed on: the server stops.
    pub fn end_watches(&self) {
        self.0.watches_end.send_replace(true);
    }

    /// The owners that a request is to be passed on to; none if it is answered here.
    pub(super) fn owners(&self, cluster: &str) -> Vec<Arc<str>> {
        self.0.replicas.others(cluster)
    }

    /// Passes a request on to one of the owners of its cluster, in the name of its sender.
    pub(super) async fn pass_on(&self, request: Request, owners: Vec<Arc<str>>, user: &User) -> Passed {
        let Ok(place) = self.0.places.clone().try_acquire_owned() else {
            let message = format!("{} requests for clusters of other replicas are in progress already", self.0.most);
            return Passed::Answered(Error::TooManyRequests { message, retry_after_seconds: 1 }.into_response());
        };
        let (head, body) = request.into_parts();
        let body = Lent::new(body);
        let sender = Sender::of(user, head.extensions.get().copied()).header();
        let path = cluster::full_path(&head.uri, head.extensions.get());
        for (url, answered_by) in owners.iter().zip(["owner", "other-owner"]) {
            let Some(asked) = sender.as_ref().and_then(|sender| asking(&head, url, &path, sender, &body)) else {
                break;
            };
            if self.is_away(url) {
                continue;
            }
            match self.0.client.request(asked).await {
                Ok(reply) => {
                    counter!(REQUESTS_PASSED_ON, "answered_by" => answered_by).increment(1);
                    return Passed::Answered(self.guarded(&head, guarded(reply.map(Body::new), place)));
                }
                Err(error) => {
                    tracing::debug!(replica = &**url, error = chain_of(&error), "another replica cannot be asked");
                    let may_ask_again = error.is_connect() || is_question(&head.method);
                    if !body.is_broken() {
                        self.note_away(url);
                    }
                    if !(may_ask_again && body.is_whole()) {
                        counter!(REQUESTS_PASSED_ON, "answered_by" => "none").increment(1);
                        let message =
                            "the replica that was at it went away: the request may or may not have been carried out";
                        return Passed::Answered(Error::Timeout(message.into()).into_response());
                    }
                }
            }
        }
        counter!(REQUESTS_PASSED_ON, "answered_by" => "self").increment(1);
        Passed::Back(Request::from_parts(head, body.back()))
    }

    fn is_away(&self, url: &Arc<str>) -> bool {
        lock(&self.0.away).get(url).is_some_and(|at| at.elapsed() < LEFT_ALONE)
    }

    fn note_away(&self, url: &Arc<str>) {
        let mut away = lock(&self.0.away);
        away.retain(|_, at| at.elapsed() < LEFT_ALONE);
        away.insert(url.clone(), Instant::now());
    }

    /// The reply of another replica; that to a watch ends with this process.
    fn guarded(&self, head: &Parts, reply: Response) -> Response {
        let asks_to_watch = head.uri.query().is_some_and(is_watch) || head.uri.path().contains("/watch/");
        if !asks_to_watch || reply.body().size_hint().upper().is_some() {
            return reply;
        }
        let mut end = self.0.watches_end.subscribe();
        ending(reply, async move { drop(end.wait_for(|has_ended| *has_ended).await) })
    }
}

/// A request that changes nothing, by its method alone.
fn is_question(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The request to a replica.
fn asking(head: &Parts, url: &str, path: &str, sender: &HeaderValue, body: &Lent) -> Option<Request> {
    let mut request = Request::new(Body::new(body.clone()));
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = format!("{url}{path}").parse().ok()?;
    *request.headers_mut() = head.headers.clone();
    forget(request.headers_mut());
    request.headers_mut().insert(PASSED_ON, sender.clone());
    Some(request)
}

/// Takes off what is not passed on.
fn forget(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').filter_map(|name| name.trim().parse().ok()))
        .collect();
    for name in NOT_PASSED_ON {
        headers.remove(*name);
    }
    for name in named {
        headers.remove(name);
    }
}

/// A body that can be had back as long as nothing of it was read. Clones are the same body.
#[derive(Clone)]
struct Lent(Arc<Mutex<LentBody>>);

struct LentBody {
    body: Body,
    is_whole: bool,
    /// `true` if its client went away.
    is_broken: bool,
}

impl Lent {
    fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(LentBody { body, is_whole: true, is_broken: false })))
    }

    fn is_whole(&self) -> bool {
        lock(&self.0).is_whole
    }

    fn is_broken(&self) -> bool {
        lock(&self.0).is_broken
    }

    fn back(&self) -> Body {
        std::mem::take(&mut lock(&self.0).body)
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut whole = lock(&self.0);
        whole.is_whole = false;
        let polled = Pin::new(&mut whole.body).poll_frame(context);
        whole.is_broken |= matches!(polled, Poll::Ready(Some(Err(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.0).body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.0).body.size_hint()
    }
}

// Each change of what they hold is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
