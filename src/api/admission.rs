//! How much of requests' bodies may be in memory at once: a budget of bytes, so that many large requests wait for each
//! other in place of taking all memory there is.
//!
//! Small bodies have a lane of their own, so that they never wait for large ones. Room is taken before a body is read,
//! while it still stands in the client's socket, and goes with the last use of the body's memory, which may be a reply.

use std::{sync::Arc, time::Duration};

use metrics::{counter, gauge};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::error::{ApiError, Result};
use crate::telemetry;

/// The largest body that counts as small.
pub const SMALL_BODY: usize = 1 << 20;

/// Small bodies may take so much more than the large ones have: one part in this many.
const SMALL_SHARE: usize = 8;

/// Permits are handed out by the kibibyte, since a semaphore counts in 32 bits.
const UNIT: usize = 1024;

/// When to try again where there was no room.
const RETRY_AFTER_SECONDS: u32 = 1;

/// The budget. Clones share it.
#[derive(Clone, Debug)]
pub struct Admission {
    small: Lane,
    large: Lane,
    wait: Duration,
}

#[derive(Clone, Debug)]
struct Lane {
    name: &'static str,
    units: usize,
    free: Arc<Semaphore>,
}

/// Room for a body, for as long as it lives.
#[derive(Debug)]
pub struct Room {
    permit: OwnedSemaphorePermit,
    lane: &'static str,
}

impl Admission {
    /// Room for `bytes` of large bodies, for which a request waits so long at most.
    pub fn new(bytes: usize, wait: Duration) -> Self {
        let lane = |name, bytes: usize| {
            let units = bytes.div_ceil(UNIT).clamp(1, u32::MAX as usize);
            Lane { name, units, free: Arc::new(Semaphore::new(units)) }
        };
        let small = (bytes / SMALL_SHARE).max(SMALL_BODY);
        Self { small: lane("small", small), large: lane("large", bytes), wait }
    }

    /// Room for a body of that size. One that is larger than the whole budget has it to itself.
    ///
    /// # Errors
    /// [`ApiError::Unavailable`] when there is none in time.
    pub async fn room(&self, bytes: usize) -> Result<Room> {
        let Lane { name, units, free } = if bytes <= SMALL_BODY { &self.small } else { &self.large };
        let wanted = bytes.div_ceil(UNIT).min(*units) as u32;
        let waiting = gauge!(telemetry::BODIES_WAITING, "lane" => *name);
        waiting.increment(1);
        let permit = timeout(self.wait, free.clone().acquire_many_owned(wanted)).await;
        waiting.decrement(1);
        let permit = permit.map_err(|_| {
            counter!(telemetry::BODIES_REFUSED, "lane" => *name).increment(1);
            ApiError::Unavailable {
                message: "too many large requests are under way".into(),
                retry_after_seconds: RETRY_AFTER_SECONDS,
            }
        })?;
        let room = Room { permit: permit.map_err(ApiError::internal)?, lane: name };
        room.gauge().increment(room.bytes() as f64);
        Ok(room)
    }
}

impl Room {
    /// For how much there is room.
    pub fn bytes(&self) -> usize {
        self.permit.num_permits() * UNIT
    }

    /// Gives back what a body of that size does not need.
    pub fn shrink_to(&mut self, bytes: usize) {
        let spare = self.permit.num_permits().saturating_sub(bytes.div_ceil(UNIT));
        self.gauge().decrement((spare * UNIT) as f64);
        drop(self.permit.split(spare));
    }

    fn gauge(&self) -> metrics::Gauge {
        gauge!(telemetry::BODY_BYTES, "lane" => self.lane)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.gauge().decrement(self.bytes() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = SMALL_BODY + UNIT;

    fn tight() -> Admission {
        Admission::new(2 * LARGE, Duration::ZERO)
    }

    #[tokio::test]
    async fn large_bodies_wait_for_each_other_and_small_ones_for_nobody() {
        let budget = tight();
        let first = budget.room(LARGE).await.expect("room for two");
        let second = budget.room(LARGE).await.expect("room for two");
        let refused = budget.room(LARGE).await.expect_err("no room for three");
        assert!(matches!(refused, ApiError::Unavailable { retry_after_seconds: 1, .. }), "{refused}");
        budget.room(SMALL_BODY).await.expect("a lane of its own");
        drop(first);
        budget.room(LARGE).await.expect("what was given back");
        drop(second);
    }

    #[tokio::test]
    async fn what_is_not_needed_is_given_back() {
        let budget = tight();
        let mut room = budget.room(usize::MAX).await.expect("all of it");
        assert_eq!(room.bytes(), 2 * LARGE);
        budget.room(LARGE).await.expect_err("all is taken");
        room.shrink_to(LARGE);
        budget.room(LARGE).await.expect("the other half");
    }

    #[tokio::test]
    async fn who_waits_gets_what_is_given_back() {
        let budget = Admission { wait: Duration::from_mins(1), ..tight() };
        let room = budget.room(2 * LARGE).await.expect("all of it");
        let next = tokio::spawn({
            let budget = budget.clone();
            async move { budget.room(2 * LARGE).await.map(|room| room.bytes()) }
        });
        drop(room);
        assert_eq!(next.await.expect("no panic").expect("in time"), 2 * LARGE);
    }
}
