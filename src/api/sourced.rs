//! Headers of replies about clusters that mirror live ones: how old the mirror is.

use axum::{
    http::{HeaderName, HeaderValue},
    response::Response,
};

use super::warning::warn;
use crate::{
    clock,
    service::{Service, source::mirrored::since},
};

/// The time of which the mirror is at least the state, RFC 3339.
pub(super) const SOURCE_AS_OF: HeaderName = HeaderName::from_static("x-podberth-source-as-of");

/// Seconds since then.
pub(super) const SOURCE_LAG: HeaderName = HeaderName::from_static("x-podberth-source-lag");

/// Adds the age of the mirror to a reply about a cluster, and a warning if it is too old to decide on; nothing if the cluster is no mirror.
pub(super) fn told(service: &Service, cluster: &str, mut reply: Response) -> Response {
    if !service.sources.are_known() {
        return reply;
    }
    if service.clusters.peek(cluster).is_none_or(|cluster| cluster.view().source().is_none()) {
        return reply;
    }
    let now = clock::now();
    if let Some(as_of) = service.sources.as_of(cluster) {
        let headers = reply.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&clock::rfc3339(as_of)) {
            headers.insert(SOURCE_AS_OF, value);
        }
        headers.insert(SOURCE_LAG, HeaderValue::from(since(as_of, now).as_secs()));
    }
    match service.sources.why_stale(cluster, now) {
        Some(why) => warn(reply, &[why]),
        None => reply,
    }
}
