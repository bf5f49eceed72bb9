//! Compression of long replies, for clients that ask for it. Only replies to GET are compressed: Go's client asks for gzip by itself, and
//! kube-scheduler's calls of the extender verbs must not wait for that. Lines that are sent one by one would be held back.

use axum::{
    Router,
    body::HttpBody,
    extract::Request,
    http::{Method, Response, header},
    middleware::map_request,
};
use tower_http::{
    CompressionLevel,
    compression::{CompressionLayer, Predicate},
};

/// Compresses replies of at least this many bytes. kube-apiserver's limit is 128 KiB, and it uses the lowest level too
/// (`apiserver/pkg/endpoints/handlers/responsewriters/writers.go`).
pub fn of(router: Router, from_bytes: u64) -> Router {
    let compression = CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(Long(from_bytes));
    router.layer(compression).layer(map_request(for_readers))
}

/// Length from which replies that pages read are compressed.
const OF_PAGES: u64 = 16 << 10;

/// Compresses the longer replies of routes that pages read over and over, whatever the setting.
pub fn of_pages() -> CompressionLayer<impl Predicate + Send + Sync> {
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(Long(OF_PAGES))
}

/// Takes the wish for compression from requests that do more than read.
async fn for_readers(mut request: Request) -> Request {
    if request.method() != Method::GET {
        request.headers_mut().remove(header::ACCEPT_ENCODING);
    }
    request
}

/// Replies that are known to be long.
#[derive(Clone, Copy)]
struct Long(u64);

impl Predicate for Long {
    fn should_compress<B: HttpBody>(&self, reply: &Response<B>) -> bool {
        reply.body().size_hint().exact().is_some_and(|bytes| bytes >= self.0)
    }
}
