//! Bodies: of requests, read once into memory that the budget has room for, and of replies, sent in the pieces they are in.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    RequestExt,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::header,
};
use http_body_util::{BodyExt, LengthLimitError};
use hyper::body::{Frame, SizeHint};

use super::{
    admission::{Admission, Room},
    error::{ApiError, Result},
};
use crate::wire::extender::Pieces;

pub use super::admission::SMALL_BODY;

/// Memory that gives its room back when it goes.
struct Held {
    bytes: Vec<u8>,
    _room: Option<Room>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The whole body, within the limit of the route and the budget. The room it takes is given back with the last use of the
/// bytes.
///
/// # Errors
/// [`ApiError::TooLarge`] past the limit, [`ApiError::Unavailable`] when there is no room, [`ApiError::BadRequest`] when
/// the client stops in the middle.
pub async fn read(request: Request) -> Result<Bytes> {
    let budget = request.extensions().get::<Admission>().cloned();
    let told = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let mut body = request.into_limited_body();
    let hint = body.size_hint();
    let (least, most) = (hint.lower(), hint.upper().unwrap_or(u64::MAX));
    if told.is_some_and(|told: u64| told > most) {
        return Err(ApiError::TooLarge);
    }
    let mut room = match &budget {
        Some(budget) => Some(budget.room(hint.exact().map_or(SMALL_BODY, |exact| exact as usize)).await?),
        None => None,
    };
    let mut bytes = Vec::with_capacity(least as usize);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(refused)?.into_data() else { continue };
        if let (Some(budget), Some(taken)) = (&budget, &mut room)
            && bytes.len() + data.len() > taken.bytes()
            && hint.exact().is_none()
        {
            // One that does not tell its length may become as long as the route lets it.
            *taken = budget.room(most as usize).await?;
        }
        bytes.extend_from_slice(&data);
    }
    if let Some(room) = &mut room {
        room.shrink_to(bytes.len());
    }
    Ok(Bytes::from_owner(Held { bytes, _room: room }))
}

fn refused(error: axum::Error) -> ApiError {
    let error = error.into_inner();
    if error.is::<LengthLimitError>() { ApiError::TooLarge } else { ApiError::BadRequest(error.to_string()) }
}

/// The body of a reply in pieces, none of which is copied. Its length is told.
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

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
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
