//! The place of a request among others: when it takes its seat, and until when it holds it.
//!
//! A request takes its seat when its body is there ([`super::body`]), so that a client that sends slowly holds none. A large body is worked on in
//! the turns of long computations ([`crate::service::compute`]) and takes no other seat: it would hold one from small requests meanwhile.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{extract::Request, response::Response};

use super::guarded::guarded;
use crate::service::{
    compute::SMALL_BODY,
    error::Result,
    limits::{Flow, Seat, Seats, WatchSeat},
};

/// The place of a request among others, which it takes when its body is there. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Pending(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    seats: Seats,
    flow: Flow,
    seat: Mutex<Option<Seat>>,
}

impl Pending {
    /// The place of a request of this flow, which has no seat yet.
    pub(super) fn new(seats: &Seats, flow: &Flow) -> Self {
        Self(Arc::new(Shared { seats: seats.clone(), flow: flow.clone(), seat: Mutex::new(None) }))
    }

    /// The place of a request, if it has to take one.
    pub(super) fn of(request: &Request) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    /// Takes the seat of a request with a body of that size.
    ///
    /// # Errors
    /// [`crate::service::error::Error::TooManyRequests`] if too many wait.
    pub(super) async fn take_for(&self, bytes: usize) -> Result<()> {
        if bytes > SMALL_BODY {
            return Ok(());
        }
        let seat = self.0.seats.seat(&self.0.flow, false).await?;
        *self.0.seat.lock().unwrap_or_else(PoisonError::into_inner) = Some(seat);
        Ok(())
    }

    fn leave(&self) {
        let seat = self.0.seat.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(seat);
    }
}

/// The place that a request holds until it is answered.
#[derive(Debug, Default)]
pub(super) struct Held {
    pending: Option<Pending>,
    watch: Option<WatchSeat>,
}

impl Held {
    /// A place, and perhaps one among the watches of a user.
    pub(super) fn new(pending: Pending, watch: Option<WatchSeat>) -> Self {
        Self { pending: Some(pending), watch }
    }

    /// The request is answered: a watch holds its place among those of its user until it ends.
    pub(super) fn answered(mut self, response: Response) -> Response {
        match self.watch.take() {
            Some(watch) if response.status().is_success() => guarded(response, watch),
            _ => response,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(pending) = &self.pending {
            pending.leave();
        }
    }
}
