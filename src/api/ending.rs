//! A reply that ends before its time.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use hyper::body::{Frame, SizeHint};

/// The reply, which ends when `ended` resolves.
pub(super) fn ending(response: Response, ended: impl Future<Output = ()> + Send + 'static) -> Response {
    response.map(|body| Body::new(Bounded { body: Some(body), ended: Box::pin(ended) }))
}

/// A body that ends when something else does, such as its credential.
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
