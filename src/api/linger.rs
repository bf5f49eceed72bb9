//! Lingering after a refusal. A client that is answered before its body is read keeps sending. If nothing read that, the client would get a
//! reset connection and might never see the answer (nginx's `lingering_close`).

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{Version, header},
};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::{runtime::Handle, time::timeout};

/// Longest time for which an unwanted body is read and discarded.
const LONGEST: Duration = Duration::from_secs(5);

/// The request, whose unread body is read and discarded for a while once the handler drops it.
pub fn reading_on(request: Request) -> Request {
    // HTTP/2 has a way to say that a body is not wanted.
    if request.body().is_end_stream() || request.version() > Version::HTTP_11 {
        return request;
    }
    // A client that sends `Expect` has not sent its body before it is read.
    let begun = !request.headers().contains_key(header::EXPECT);
    request.map(|body| Body::new(Unwanted { body, begun, ended: false }))
}

struct Unwanted {
    body: Body,
    begun: bool,
    ended: bool,
}

impl HttpBody for Unwanted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.begun = true;
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.ended = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Unwanted {
    fn drop(&mut self) {
        if !self.begun || self.ended || self.body.is_end_stream() {
            return;
        }
        let mut body = mem::take(&mut self.body);
        // Without a runtime the process is at its end.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(LONGEST, async move { while let Some(Ok(_)) = body.frame().await {} }));
        }
    }
}
