//! The end of a long reply with the credential by which it was asked for: a watch of a token or certificate that is revoked or has ended ends.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    response::Response,
};
use hyper::body::{Frame, SizeHint};
use tokio::time::sleep;

use super::state::AppState;
use crate::{clock, net::Secured, service::access::authenticate::is_valid, wire::access::token::Token};

/// Interval of looking if a credential is still valid.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The credential by which a request was let in, if it may end.
#[derive(Clone, Debug)]
pub(super) enum Credential {
    /// A stored token.
    Token(AppState, Arc<Token>),
    /// The certificate of the connection.
    Certificate(Secured),
    /// A token of an issuer, which ends at a second since 1970.
    Until(i64),
}

impl Credential {
    /// That of a request.
    pub(super) fn of(request: &Request) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    async fn is_valid(&self) -> bool {
        let now = clock::now().as_second();
        match self {
            Self::Token(state, token) => is_valid(state, token).await,
            Self::Certificate(Secured { tls, certificate }) => {
                certificate.as_ref().is_some_and(|certificate| certificate.user(tls, now).is_ok())
            }
            Self::Until(end) => now < *end,
        }
    }

    /// The reply, which ends with the credential if it has no known end.
    pub(super) fn bound(self, response: Response) -> Response {
        if response.body().size_hint().upper().is_some() {
            return response;
        }
        let ended = Box::pin(async move {
            loop {
                sleep(LOOK_EVERY).await;
                if !self.is_valid().await {
                    return;
                }
            }
        });
        response.map(|body| Body::new(Bounded { body: Some(body), ended }))
    }
}

/// A body that ends when its credential does.
struct Bounded {
    /// `None` once it has ended.
    body: Option<Body>,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.body.is_some() && self.ended.as_mut().poll(context).is_ready() {
            self.body = None;
        }
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}
