//! Bodies: those of requests are read once into memory that the budget has room for; those of replies are sent in their pieces.
//!
//! Room for a whole body is taken before it is read, so that large ones do not wait for each other with half of their room each. A client that is
//! then slow to send keeps room for the bytes that have come, and from then on at most for twice as many; a very slow client is refused.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    RequestExt,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::header,
};
use futures_util::FutureExt;
use http_body_util::{BodyExt, LengthLimitError};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, timeout};

use super::{
    admission::{Admission, Room, Share},
    error::RequestError,
    pace::Pace,
    seat::Pending,
};
use crate::{
    service::{audit, compute::SMALL_BODY, error::Error},
    wire::extender::Pieces,
};

/// Memory that gives its room back when it goes.
struct Held {
    bytes: Vec<u8>,
    _room: Room,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The pace of a client that keeps the room for its announced length.
const PROMPT: Pace = Pace { grace: Duration::from_millis(250), bytes_per_second: 1 << 20 };

/// Room that is made at least for the next bytes of a body that is slow to come.
const LEAST_GROWTH: usize = 16 << 10;

/// The whole body, within the limit of the route and the budget. The room it takes is given back with the last use of the
/// bytes.
///
/// # Errors
/// [`RequestError::TooLarge`] past the limit, [`Error::Unavailable`] when there is no room, [`Error::BadRequest`] when
/// the client stops in the middle, [`RequestError::TooSlow`] when it is slower than the [`Pace`] of the budget,
/// [`RequestError::UnsupportedEncoding`] for one that is compressed.
pub async fn read(request: Request) -> Result<Bytes, RequestError> {
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(RequestError::UnsupportedEncoding);
    }
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|media_type| media_type.to_str().ok());
    let is_yaml = media_type.is_some_and(|media_type| media_type.contains("yaml"));
    let pending = Pending::of(&request);
    let body = whole(request).await?;
    audit::request_body(is_yaml, &body);
    if let Some(pending) = pending {
        pending.take_for(body.len()).await?;
    }
    Ok(body)
}

async fn whole(request: Request) -> Result<Bytes, RequestError> {
    let budget = request.extensions().get::<Admission>().cloned();
    let share = request.extensions().get::<Share>().cloned();
    let told = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let body = request.into_limited_body();
    let most = body.size_hint().upper().unwrap_or(u64::MAX);
    if told.is_some_and(|told: u64| told > most) {
        return Err(RequestError::TooLarge);
    }
    let Some(budget) = budget else {
        let whole = body.collect().await.map_err(refused)?;
        return Ok(whole.to_bytes());
    };
    let exact = body.size_hint().exact().map(|exact| exact as usize);
    let room = budget.room(exact.unwrap_or(SMALL_BODY), share.as_ref()).await?;
    let bytes = Vec::with_capacity(exact.unwrap_or_default());
    let reading = Reading {
        body,
        budget,
        share,
        exact,
        most: most as usize,
        room,
        bytes,
        waited: Duration::ZERO,
        is_prompt: true,
    };
    reading.whole().await
}

/// A body that is being read.
struct Reading {
    body: Body,
    budget: Admission,
    share: Option<Share>,
    /// Its length, if announced.
    exact: Option<usize>,
    /// How long it may be.
    most: usize,
    room: Room,
    bytes: Vec<u8>,
    /// For how long the client was waited for.
    waited: Duration,
    /// `true` if it comes so quickly that room for all of it is kept.
    is_prompt: bool,
}

impl Reading {
    async fn whole(mut self) -> Result<Bytes, RequestError> {
        while let Some(frame) = self.frame().await? {
            let Ok(data) = frame.into_data() else { continue };
            self.make_room(self.bytes.len() + data.len()).await?;
            self.bytes.extend_from_slice(&data);
        }
        let Self { mut room, bytes, .. } = self;
        room.shrink_to(bytes.len());
        Ok(Bytes::from_owner(Held { bytes, _room: room }))
    }

    /// The next frame, unless the client is too slow.
    async fn frame(&mut self) -> Result<Option<Frame<Bytes>>, RequestError> {
        // Most often it is there already.
        if let Some(frame) = self.body.frame().now_or_never() {
            return frame.transpose().map_err(refused);
        }
        loop {
            let pace = if self.is_prompt { PROMPT } else { self.budget.pace };
            let left = pace.allows(self.bytes.len() as u64).saturating_sub(self.waited);
            let asked = Instant::now();
            let frame = timeout(left, self.body.frame()).await;
            self.waited += asked.elapsed();
            match frame {
                Ok(frame) => return frame.transpose().map_err(refused),
                Err(_) if self.is_prompt => self.keep_what_came(),
                Err(_) => return Err(RequestError::TooSlow),
            }
        }
    }

    /// Gives back the room for bytes that have not come.
    fn keep_what_came(&mut self) {
        self.is_prompt = false;
        self.bytes.shrink_to_fit();
        self.room.shrink_to(self.bytes.len());
    }

    /// Ensures room for this many bytes.
    async fn make_room(&mut self, bytes: usize) -> Result<(), RequestError> {
        if bytes <= self.room.bytes() {
            return Ok(());
        }
        let end = self.exact.unwrap_or(self.most);
        if bytes > SMALL_BODY && self.room.is_small() {
            // Larger than expected, since its length was not announced: it continues among the large ones.
            self.room = self.budget.room(bytes.max(2 * SMALL_BODY).min(end), self.share.as_ref()).await?;
        } else {
            let end = if self.room.is_small() { end.min(SMALL_BODY) } else { end };
            let wanted = bytes.max(2 * self.bytes.len()).max(self.bytes.len() + LEAST_GROWTH).min(end);
            self.budget.grow(&mut self.room, wanted, self.share.as_ref()).await?;
        }
        self.bytes.reserve_exact(self.room.bytes().min(end).saturating_sub(self.bytes.len()));
        Ok(())
    }
}

fn refused(error: axum::Error) -> RequestError {
    let error = error.into_inner();
    if error.is::<LengthLimitError>() { RequestError::TooLarge } else { Error::BadRequest(error.to_string()).into() }
}

/// The body of a reply in pieces, without copying them. Its length is announced.
pub fn pieces(reply: Pieces) -> Body {
    let pieces = reply.finish();
    let length = pieces.iter().map(|piece| piece.len() as u64).sum();
    Body::new(Sent { left: length, pieces: pieces.into_iter() })
}

struct Sent {
    left: u64,
    pieces: std::vec::IntoIter<Bytes>,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.pieces.next();
        self.left -= next.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
