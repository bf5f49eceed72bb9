//! Middleware of every request: its identity, log span, metrics, time limit, and the handling of panics.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tokio::time::{Instant, timeout};
use tracing::{Instrument, debug, error_span, warn};

use super::{
    access::Gate,
    admission::Admission,
    audited::{self, Panicked},
    browser,
    cluster::ClusterName,
    compression,
    error::ErrorText,
    health,
    identity::{self, AUDIT_ID, REQUEST_ID},
    line_feed,
    linger::reading_on,
    pace::Pace,
    passing,
    query_names::{self, Names},
    seating::Seating,
    validity::Credential,
};
use crate::{
    origin::TrustedProxies,
    service::{
        audit::Audit,
        error::Error,
        limits,
        memory::{self, Memory},
    },
    telemetry::{HTTP_REQUEST_DURATION, HTTP_REQUESTS, seldom::REFUSED_REQUESTS},
};

/// The limits of a request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the end of the request's head to the beginning of the reply.
    pub request_timeout: Duration,
    /// Bytes of a body where the route sets no limit of its own.
    pub body_bytes: usize,
    /// Bytes of a body where the route takes whole clusters.
    pub bulk_body_bytes: usize,
    /// Bytes of all bodies together that are in memory at once.
    pub bodies_bytes: usize,
    /// Bytes of memory that may be made of bodies, all together.
    pub decoded_bytes: usize,
    /// For how long a request waits for room among the bodies.
    pub body_wait: Duration,
    /// How slow a body may come.
    pub body_pace: Pace,
    /// Requests that only read, in progress at a time.
    pub reads: usize,
    /// Requests that may change something, in progress at a time.
    pub writes: usize,
    /// Watches of one user, where users are known.
    pub watches_of_user: usize,
    /// Least length of a reply that is compressed on request.
    pub compress_from_bytes: Option<u64>,
}

/// Puts the layers around the router, the outermost last. A layer costs each request a boxed future and a copy of the
/// services below it, so those that need nothing between them are one.
///
/// Bodies on the paths in `bulk` may be as large as whole clusters.
pub(super) fn around(router: Router, names: Names, bulk: Vec<String>, limits: Limits, gate: Option<Gate>) -> Router {
    let router = router.layer(from_fn_with_state(names, worded));
    let router = match limits.compress_from_bytes {
        Some(bytes) => compression::of(router, bytes),
        None => router,
    };
    router.layer(from_fn_with_state(Arc::new(Budget::new(&limits, bulk, gate)), observed))
}

/// Reports unknown names in the query, and ends JSON with a line feed.
async fn worded(State(names): State<Names>, request: Request, next: Next) -> Response {
    line_feed::at_the_end(query_names::report_unknown(&names, request, next).await)
}

/// The time of a request, and its place among those in progress.
struct Budget {
    time: Duration,
    body: DefaultBodyLimit,
    bulk_body: DefaultBodyLimit,
    /// Paths on which a body may be as large as `bulk_body`.
    bulk: Vec<String>,
    bodies: Admission,
    decoded: Memory,
    /// `None` only in tests of the other layers.
    gate: Option<Gate>,
    /// `None`: nothing is recorded.
    audit: Option<Audit>,
    proxies: TrustedProxies,
    seating: Seating,
}

impl Budget {
    fn new(limits: &Limits, bulk: Vec<String>, gate: Option<Gate>) -> Self {
        Self {
            time: limits.request_timeout,
            body: DefaultBodyLimit::max(limits.body_bytes),
            bulk_body: DefaultBodyLimit::max(limits.bulk_body_bytes),
            bulk,
            bodies: Admission::new(limits.bodies_bytes, limits.body_wait, limits.body_pace),
            decoded: Memory::new(limits.decoded_bytes),
            audit: gate.as_ref().and_then(Gate::audit),
            proxies: gate.as_ref().map(Gate::proxies).unwrap_or_default(),
            seating: Seating::new(limits.reads, limits.writes, limits.watches_of_user),
            gate,
        }
    }
}

/// Carries a request out with the limits of its route, and records it where that is asked for.
async fn within_budget(budget: &Budget, mut request: Request, next: Next) -> Response {
    let Budget { body, bulk_body, bulk, audit, .. } = budget;
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let body = if path.is_some_and(|path| bulk.iter().any(|bulk| bulk == path)) { bulk_body } else { body };
    body.apply(&mut request);
    request.extensions_mut().insert(budget.bodies.clone());
    match audit {
        None => answered(budget, request, next).await,
        Some(audit) => {
            let carry = |request| answered(budget, request, next);
            Box::pin(audited::audited(audit, &budget.proxies, request, carry)).await
        }
    }
}

/// Carries a request out within the budget: 504 when there is no reply in time, 500 when the handler panics. A reply's body
/// may take longer: a watch does.
async fn answered(budget: &Budget, mut request: Request, next: Next) -> Response {
    let Budget { time, decoded, gate, seating, .. } = budget;
    // Nothing of a request outlives its panic but what is shared, and that is behind locks.
    let reply = async {
        if let Err(refusal) = passing::check(&request) {
            return refusal.into_response();
        }
        if let Some(gate) = gate.as_ref().filter(|gate| gate.asks(&request)) {
            request = match gate.admit(request).await {
                Ok(request) => request,
                Err(refusal) => return refusal,
            };
        }
        let cluster = request.extensions().get::<ClusterName>().cloned();
        if let Some(gate) = gate
            && let Err(refusal) = gate.check_fork(cluster.as_ref()).await
        {
            return refusal;
        }
        let credential = Credential::of(&request);
        let flow = gate.as_ref().map(|gate| gate.flow(&request)).unwrap_or_default();
        let has_bound = gate.as_ref().is_some_and(Gate::knows_users);
        let place = match seating.place(&mut request, &flow, has_bound).await {
            Ok(place) => place,
            Err(refusal) => return refusal.into_response(),
        };
        let reply = limits::within(flow, memory::bounded(decoded.clone(), next.run(request))).await;
        let reply = place.answered(reply.unwrap_or_else(IntoResponse::into_response));
        let reply = match gate {
            Some(gate) => gate.tell_source(cluster.as_ref(), reply),
            None => reply,
        };
        match credential {
            Some(credential) => credential.bound(reply),
            None => reply,
        }
    };
    let reply = AssertUnwindSafe(reply).catch_unwind();
    let reply = timeout(*time, reply).await.unwrap_or_else(|_| {
        let message = "the request took too long, it may or may not have been carried out";
        Ok(Error::Timeout(message.into()).into_response())
    });
    reply.unwrap_or_else(|panic| caught(&*panic))
}

/// Errors as plain text where the path replies in plain text.
async fn plain_text_errors(budget: &Budget, request: Request, next: Next) -> Response {
    let is_plain = health::is_plain_text(request.uri().path());
    let mut response = browser::guarded(request, |request| within_budget(budget, request, next)).await;
    match response.extensions_mut().remove::<ErrorText>() {
        Some(ErrorText(text)) if is_plain => (response.status(), text + "\n").into_response(),
        _ => response,
    }
}

/// 500 in place of a dropped connection. The panic's own message went to stderr with its place.
fn caught(panic: &(dyn Any + Send)) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or_default();
    let mut response = Error::internal(format!("a handler panicked: {message}")).into_response();
    response.extensions_mut().insert(Panicked);
    response
}

/// Gives the request its identity, a span and its place in the metrics.
async fn observed(State(budget): State<Arc<Budget>>, mut request: Request, next: Next) -> Response {
    let id = identity::request_id(request.headers());
    let audit_id = budget.audit.as_ref().map(|_| identity::audit_id(request.headers(), &id));
    // Another replica tells it too.
    request.headers_mut().insert(REQUEST_ID, id.clone());
    if let Some(audit_id) = &audit_id {
        request.headers_mut().insert(AUDIT_ID, audit_id.clone());
    }
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str).to_owned();
    // At the level of errors, so that they carry the request's identity under any log filter.
    let span = error_span!("request", id = id.to_str().unwrap_or_default(), %method, path = request.uri().path());

    let start = Instant::now();
    let mut response = async {
        let response = plain_text_errors(&budget, reading_on(request), next).await;
        let (code, took) = (response.status().as_u16(), start.elapsed().as_secs_f64());
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            // Refused clients retry again and again.
            if let Some(left_out) = REFUSED_REQUESTS.turn() {
                warn!(code, took, left_out, "request failed");
            }
        } else if response.status().is_server_error() {
            warn!(code, took, "request failed");
        } else {
            debug!(code, took, "request served");
        }
        response
    }
    .instrument(span)
    .await;

    let method = known_method(method.as_str());
    let code = response.status().as_str().to_owned();
    metrics::histogram!(HTTP_REQUEST_DURATION, "method" => method, "route" => route.clone()).record(start.elapsed());
    metrics::counter!(HTTP_REQUESTS, "method" => method, "route" => route, "code" => code).increment(1);
    response.headers_mut().insert(REQUEST_ID, id);
    if let Some(audit_id) = audit_id {
        response.headers_mut().insert(AUDIT_ID, audit_id);
    }
    response
}

/// A method as a label: clients must not be able to make up new ones.
pub(super) fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use axum::{
        body::{Body as HttpBody, to_bytes},
        http::{Request as HttpRequest, header},
        routing::{get, post},
    };
    use metrics_exporter_prometheus::PrometheusBuilder;
    use serde::Deserialize;
    use tower::ServiceExt;

    use super::*;
    use crate::{
        api::extract::{Body, Path, Query},
        wire::status::Status,
    };

    #[derive(Deserialize)]
    struct Input {
        spec: Spec,
    }

    #[derive(Deserialize)]
    struct Spec {
        count: u32,
    }

    #[derive(Deserialize)]
    struct Page {
        limit: Option<u32>,
    }

    #[allow(clippy::panic, reason = "the panic is what is tested")]
    fn broken() {
        panic!("secret");
    }

    fn server() -> Router {
        let router = Router::new()
            .route("/count", post(async |Body(input): Body<Input>| input.spec.count.to_string()))
            .route("/bulk", post(async |Body(input): Body<Input>| input.spec.count.to_string()))
            .route("/number/{n}", get(async |Path(n): Path<u8>| n.to_string()))
            .route("/page", get(async |Query(page): Query<Page>| page.limit.unwrap_or(0).to_string()))
            .route("/slow", get(async || pending::<()>().await))
            .route("/broken", get(async || broken()));
        let limits = Limits {
            request_timeout: Duration::from_millis(5),
            body_bytes: 64,
            bulk_body_bytes: 128,
            bodies_bytes: 64,
            decoded_bytes: 1 << 20,
            body_wait: Duration::ZERO,
            body_pace: Pace { grace: Duration::from_mins(1), bytes_per_second: 1 },
            reads: 10,
            writes: 10,
            watches_of_user: 10,
            compress_from_bytes: None,
        };
        around(router, Names::default(), vec!["/bulk".into()], limits, None)
    }

    /// A reply's code and text.
    async fn reply(request: HttpRequest<HttpBody>) -> (u16, String) {
        let response = server().oneshot(request).await.expect("the router never fails");
        let code = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        (code, String::from_utf8(body.to_vec()).expect("text"))
    }

    /// A refusal's code and message; its body must be a `Status` of the same code.
    async fn refusal(request: HttpRequest<HttpBody>) -> (u16, String) {
        let (code, text) = reply(request).await;
        let status: Status = serde_json::from_str(&text).expect("a Status");
        assert_eq!((status.code, status.kind.as_str()), (code, "Status"));
        (code, status.message)
    }

    fn get_of(path: &str) -> HttpRequest<HttpBody> {
        HttpRequest::get(path).body(HttpBody::empty()).expect("a request")
    }

    fn post_of(media_type: Option<&str>, body: &str) -> HttpRequest<HttpBody> {
        post_to("/count", media_type, body)
    }

    fn post_to(path: &str, media_type: Option<&str>, body: &str) -> HttpRequest<HttpBody> {
        let mut request = HttpRequest::post(path);
        if let Some(media_type) = media_type {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        request.body(HttpBody::from(body.to_owned())).expect("a request")
    }

    #[tokio::test]
    async fn bodies_are_read_by_their_media_type() {
        let json = r#"{"spec": {"count": 3}}"#;
        for media_type in [None, Some("application/json"), Some("Application/JSON; charset=utf-8")] {
            assert_eq!(reply(post_of(media_type, json)).await, (200, "3".into()), "{media_type:?}");
        }
        for media_type in ["application/yaml", "text/yaml"] {
            assert_eq!(reply(post_of(Some(media_type), "spec:\n  count: 3\n")).await, (200, "3".into()));
        }
        let (code, message) = refusal(post_of(Some("application/vnd.kubernetes.protobuf"), json)).await;
        assert_eq!(code, 415);
        assert!(message.contains("application/json"), "{message}");
    }

    #[tokio::test]
    async fn body_faults_name_their_field() {
        let (code, message) = refusal(post_of(None, r#"{"spec": {"count": "x"}}"#)).await;
        assert_eq!(code, 400);
        assert!(message.starts_with("spec.count: invalid type"), "{message}");
        assert_eq!(refusal(post_of(None, "{")).await.0, 400);
        assert_eq!(refusal(post_of(None, "")).await.0, 400);
        assert_eq!(refusal(post_of(None, r#"{"spec": {"count": 1}} more"#)).await.0, 400);
        assert_eq!(refusal(post_of(Some("application/yaml"), "a: [")).await.0, 400);
        assert_eq!(refusal(post_of(None, &" ".repeat(65))).await.0, 413);
    }

    #[tokio::test]
    async fn bodies_on_bulk_paths_have_a_limit_of_their_own() {
        let body = |bytes: usize| format!("{:bytes$}", r#"{"spec": {"count": 3}}"#);
        assert_eq!(reply(post_to("/count", None, &body(64))).await, (200, "3".into()));
        assert_eq!(refusal(post_to("/count", None, &body(65))).await.0, 413);
        assert_eq!(reply(post_to("/bulk", None, &body(128))).await, (200, "3".into()));
        assert_eq!(refusal(post_to("/bulk", None, &body(129))).await.0, 413);
    }

    #[tokio::test]
    async fn a_panic_of_a_handler_counts_as_500() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _recording = metrics::set_default_local_recorder(&recorder);
        assert_eq!(refusal(get_of("/broken")).await.0, 500);
        let counted = format!("{HTTP_REQUESTS}{{method=\"GET\",route=\"/broken\",code=\"500\"}} 1\n");
        assert!(recorder.handle().render().contains(&counted), "{}", recorder.handle().render());
    }

    #[tokio::test]
    async fn paths_and_queries_are_refused_alike() {
        assert_eq!(reply(get_of("/number/7")).await, (200, "7".into()));
        assert_eq!(refusal(get_of("/number/many")).await.0, 400);
        assert_eq!(reply(get_of("/page?limit=5")).await, (200, "5".into()));
        assert_eq!(refusal(get_of("/page?limit=x")).await.0, 400);
    }

    #[tokio::test]
    async fn too_slow_and_broken_are_answered() {
        assert_eq!(refusal(get_of("/slow")).await.0, 504);
        let (code, message) = refusal(get_of("/broken")).await;
        assert_eq!(code, 500);
        assert!(!message.contains("secret"));
    }

    #[tokio::test]
    async fn a_sane_request_id_comes_back() {
        let sent = async |id: &str| {
            let request = HttpRequest::get("/page").header(REQUEST_ID, id).body(HttpBody::empty()).expect("a request");
            let response = server().oneshot(request).await.expect("the router never fails");
            response.headers()[REQUEST_ID].to_str().expect("text").to_owned()
        };
        assert_eq!(sent("abc-1.2").await, "abc-1.2");
        let long = "x".repeat(129);
        for bad in ["", "a b", "{}", long.as_str()] {
            assert_eq!(sent(bad).await.len(), 36, "{bad:?}");
        }
    }
}
