//! Audit of requests: the trail of each, from its head to the end of its reply.
//!
//! Source: `apiserver/pkg/endpoints/filters/audit.go`, `audit_init.go`.

use axum::{
    body::{HttpBody, to_bytes},
    extract::Request,
    http::{HeaderName, header},
    response::Response,
};

use super::{cluster, guarded::guarded, identity::AUDIT_ID, peer};
use crate::{
    core::audit::Stage,
    origin::TrustedProxies,
    service::audit::{self, Audit, Client, LARGEST_BODY, Trail, Unanswered},
    wire::access::token,
};

/// A request that panicked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panicked;

/// Carries a request out on its trail. The answer to a change comes when its event is recorded.
pub(super) async fn audited<F: Future<Output = Response>>(
    audit: &Audit,
    proxies: &TrustedProxies,
    request: Request,
    carry: impl FnOnce(Request) -> F,
) -> Response {
    let trail = Trail::new(audit, client(&request, proxies));
    let unanswered = Unanswered::new(&trail);
    let mut response = audit::within(trail.clone(), carry(request)).await;
    let code = response.status().as_u16();
    let is_watch = response.body().size_hint().upper().is_none() && response.status().is_success() && trail.is_watch();
    if is_watch {
        unanswered.is_answered();
        trail.started(code);
        return guarded(response, End { trail, code });
    }
    if trail.wants_reply() {
        response = with_body(&trail, response).await;
    }
    let stage = if response.extensions().get::<Panicked>().is_some() { Stage::Panic } else { Stage::ResponseComplete };
    // From here on its event comes, also if the client goes.
    unanswered.is_answered();
    trail.answered(stage, code).await;
    response
}

/// The client of a request.
fn client(request: &Request, proxies: &TrustedProxies) -> Client {
    let headers = request.headers();
    let text =
        |name: &HeaderName| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let uri = cluster::full_path(request.uri(), request.extensions().get());
    Client {
        audit_id: text(&AUDIT_ID).unwrap_or_default(),
        uri: token::masked(&uri),
        addresses: peer::addresses(request.extensions(), headers, proxies),
        program: text(&header::USER_AGENT).unwrap_or_default(),
    }
}

/// The reply, whose body is on the trail if it is short and not compressed.
async fn with_body(trail: &Trail, response: Response) -> Response {
    let is_short = response.body().size_hint().upper().is_some_and(|bytes| bytes <= LARGEST_BODY as u64);
    if !is_short || response.headers().contains_key(header::CONTENT_ENCODING) {
        trail.reply_body(None);
        return response;
    }
    let (head, body) = response.into_parts();
    let body = to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
    trail.reply_body(Some(&body));
    Response::from_parts(head, body.into())
}

/// The end of a reply, which has an event.
struct End {
    trail: Trail,
    code: u16,
}

impl Drop for End {
    fn drop(&mut self) {
        self.trail.ended(self.code);
    }
}
