//! JSON replies end with a line feed, as kube-apiserver's do, so that the next prompt of a terminal starts on a new line.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderValue, header},
    response::Response,
};
use hyper::body::{Frame, SizeHint};

/// An extension of a reply that ends with one already.
#[derive(Clone, Copy, Debug)]
pub(super) struct HasLineFeed;

/// The reply, which ends with a line feed if it is JSON.
pub(super) fn at_the_end(mut reply: Response) -> Response {
    let is_json = reply.headers().get(header::CONTENT_TYPE).is_some_and(|media| media == "application/json");
    let is_json = is_json && reply.extensions().get::<HasLineFeed>().is_none();
    let Some(length) = reply.body().size_hint().exact().filter(|length| is_json && *length > 0) else { return reply };
    if reply.headers().contains_key(header::CONTENT_LENGTH) {
        reply.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length + 1));
    }
    reply.map(|body| Body::new(Ended { body, is_ended: false }))
}

/// A body and a line feed.
struct Ended {
    body: Body,
    is_ended: bool,
}

impl HttpBody for Ended {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_some() {
            return Poll::Ready(frame);
        }
        self.is_ended = true;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"\n")))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.body.size_hint().exact().unwrap_or_default();
        SizeHint::with_exact(left + u64::from(!self.is_ended))
    }
}
