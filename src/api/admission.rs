//! A budget of bytes for the bodies of requests, so that many large requests wait for each other instead of taking all memory.
//!
//! Small bodies have a lane of their own, so that they never wait for large ones. Room is taken before a body is read, while it is still in the
//! client's socket. It is freed with the last use of the body's memory, which may be a reply. A slow body keeps room only for the bytes that have
//! come ([`super::body`]). A connection with many requests in progress (HTTP/2) may have a part of each lane.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use metrics::{Gauge, counter, gauge};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::pace::Pace;
use crate::{
    service::{
        compute::SMALL_BODY,
        error::{Error, Result},
    },
    telemetry,
};

/// The lane of small bodies.
const SMALL: &str = "small";

/// Small bodies may take so much more than the large ones have: one part in this many.
const SMALL_SHARE: usize = 8;

/// One connection may have so much of a lane: one part in this many.
const CONNECTION_SHARE: usize = 4;

/// Permits are counted in kibibytes, since a semaphore counts in 32 bits.
const UNIT: usize = 1024;

/// When to try again where there was no room.
const RETRY_AFTER_SECONDS: u32 = 1;

/// The budget. Clones share it.
#[derive(Clone, Debug)]
pub struct Admission {
    small: Arc<Lane>,
    large: Arc<Lane>,
    wait: Duration,
    /// How slow a body may come.
    pub(super) pace: Pace,
}

/// The part of the budget that the requests of one connection hold. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Share(Arc<[OnceLock<Arc<Semaphore>>; 2]>);

#[derive(Debug)]
struct Lane {
    name: &'static str,
    units: usize,
    free: Arc<Semaphore>,
    /// Bytes that are taken. Gauges are looked up once, since each request changes them.
    taken: Gauge,
    /// Requests that wait for room.
    waiting: Gauge,
}

/// Room for a body, for as long as it lives.
#[derive(Debug)]
pub struct Room {
    permit: OwnedSemaphorePermit,
    /// The permits taken from the connection's share, if it has one.
    of_share: Option<OwnedSemaphorePermit>,
    lane: Arc<Lane>,
}

impl Lane {
    /// The largest part for one connection.
    fn most_of_share(&self) -> usize {
        self.units.div_ceil(CONNECTION_SHARE)
    }
}

impl Share {
    fn of(&self, lane: &Lane) -> Arc<Semaphore> {
        let [small, large] = &*self.0;
        let place = if lane.name == SMALL { small } else { large };
        place.get_or_init(|| Arc::new(Semaphore::new(lane.most_of_share()))).clone()
    }
}

impl Admission {
    /// Room for `bytes` of large bodies, for which a request waits at most for `wait`.
    pub fn new(bytes: usize, wait: Duration, pace: Pace) -> Self {
        let lane = |name, bytes: usize| {
            let units = bytes.div_ceil(UNIT).clamp(1, u32::MAX as usize);
            let taken = gauge!(telemetry::BODY_BYTES, "lane" => name);
            let waiting = gauge!(telemetry::BODIES_WAITING, "lane" => name);
            Arc::new(Lane { name, units, free: Arc::new(Semaphore::new(units)), taken, waiting })
        };
        let small = (bytes / SMALL_SHARE).max(SMALL_BODY);
        Self { small: lane(SMALL, small), large: lane("large", bytes), wait, pace }
    }

    /// Room for a body of that size. One that is larger than the whole budget has it to itself.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is none in time.
    pub async fn room(&self, bytes: usize, share: Option<&Share>) -> Result<Room> {
        let lane = if bytes <= SMALL_BODY { &self.small } else { &self.large };
        let units = bytes.div_ceil(UNIT).min(lane.units);
        let waiting = Waiting::new(&lane.waiting);
        let permits = timeout(self.wait, async {
            let of_share = match share {
                Some(share) => Some(acquire(share.of(lane), units.min(lane.most_of_share())).await?),
                None => None,
            };
            Ok((of_share, acquire(lane.free.clone(), units).await?))
        });
        let permits = permits.await;
        drop(waiting);
        let (of_share, permit) = permits.unwrap_or_else(|_| Err(lane.full()))?;
        let room = Room { permit, of_share, lane: lane.clone() };
        lane.taken.increment(room.bytes() as f64);
        Ok(room)
    }

    /// Makes room for more of a body, in the lane that it is in.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is none in time.
    pub async fn grow(&self, room: &mut Room, bytes: usize, share: Option<&Share>) -> Result<()> {
        let lane = room.lane.clone();
        let units = bytes.div_ceil(UNIT).min(lane.units);
        let missing = units.saturating_sub(room.permit.num_permits());
        if missing == 0 {
            return Ok(());
        }
        let more = timeout(self.wait, async {
            if let (Some(share), Some(of_share)) = (share, &mut room.of_share) {
                let missing = units.min(lane.most_of_share()).saturating_sub(of_share.num_permits());
                of_share.merge(acquire(share.of(&lane), missing).await?);
            }
            acquire(lane.free.clone(), missing).await
        });
        let more = more.await.unwrap_or_else(|_| Err(lane.full()))?;
        room.permit.merge(more);
        lane.taken.increment((missing * UNIT) as f64);
        Ok(())
    }
}

/// A request that waits for room, counted for as long: it may be given up meanwhile.
struct Waiting<'l>(&'l Gauge);

impl<'l> Waiting<'l> {
    fn new(gauge: &'l Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

async fn acquire(free: Arc<Semaphore>, units: usize) -> Result<OwnedSemaphorePermit> {
    free.acquire_many_owned(units as u32).await.map_err(Error::internal)
}

impl Lane {
    fn full(&self) -> Error {
        counter!(telemetry::BODIES_REFUSED, "lane" => self.name).increment(1);
        Error::Unavailable {
            message: "too many large requests are under way".into(),
            retry_after_seconds: RETRY_AFTER_SECONDS,
        }
    }
}

impl Room {
    /// For how much there is room.
    pub fn bytes(&self) -> usize {
        self.permit.num_permits() * UNIT
    }

    /// `true` for a small body.
    pub fn is_small(&self) -> bool {
        self.lane.name == SMALL
    }

    /// Gives back the room that a body of that size does not need.
    pub fn shrink_to(&mut self, bytes: usize) {
        let needed = bytes.div_ceil(UNIT);
        let spare = self.permit.num_permits().saturating_sub(needed);
        self.lane.taken.decrement((spare * UNIT) as f64);
        drop(self.permit.split(spare));
        if let Some(of_share) = &mut self.of_share {
            drop(of_share.split(of_share.num_permits().saturating_sub(needed)));
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.lane.taken.decrement(self.bytes() as f64);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    const LARGE: usize = SMALL_BODY + UNIT;

    fn tight() -> Admission {
        Admission::new(2 * LARGE, Duration::ZERO, Pace { grace: Duration::MAX, bytes_per_second: 1 })
    }

    #[tokio::test]
    async fn large_bodies_wait_for_each_other_and_small_ones_do_not_wait() {
        let budget = tight();
        let first = budget.room(LARGE, None).await.expect("room for two");
        let second = budget.room(LARGE, None).await.expect("room for two");
        let refused = budget.room(LARGE, None).await.expect_err("no room for three");
        assert!(matches!(refused, Error::Unavailable { retry_after_seconds: 1, .. }), "{refused}");
        budget.room(SMALL_BODY, None).await.expect("a lane of its own");
        drop(first);
        budget.room(LARGE, None).await.expect("what was given back");
        drop(second);
    }

    #[tokio::test]
    async fn unused_room_is_given_back() {
        let budget = tight();
        let mut room = budget.room(usize::MAX, None).await.expect("all of it");
        assert_eq!(room.bytes(), 2 * LARGE);
        budget.room(LARGE, None).await.expect_err("all is taken");
        room.shrink_to(LARGE);
        budget.room(LARGE, None).await.expect("the other half");
    }

    #[tokio::test]
    async fn waiters_get_returned_room() {
        let budget = Admission { wait: Duration::from_mins(1), ..tight() };
        let room = budget.room(2 * LARGE, None).await.expect("all of it");
        let next = tokio::spawn({
            let budget = budget.clone();
            async move { budget.room(2 * LARGE, None).await.map(|room| room.bytes()) }
        });
        drop(room);
        assert_eq!(next.await.expect("no panic").expect("in time"), 2 * LARGE);
    }

    #[tokio::test]
    async fn a_waiting_request_is_counted_until_it_is_given_up() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let counts = |count: u32| {
            let line = format!("{}{{lane=\"large\"}} {count}\n", telemetry::BODIES_WAITING);
            recorder.handle().render().contains(&line)
        };
        let budget = Admission { wait: Duration::from_mins(1), ..tight() };
        let room = budget.room(2 * LARGE, None).await.expect("all of it");
        assert!(counts(0));
        let mut next = Box::pin(budget.room(LARGE, None));
        assert!(next.as_mut().now_or_never().is_none(), "all is taken");
        assert!(counts(1));
        drop(next);
        assert!(counts(0));
        drop(room);
    }

    #[tokio::test]
    async fn one_connection_has_a_part_of_each_lane() {
        let budget = Admission::new(8 * LARGE, Duration::ZERO, tight().pace);
        let (mine, yours) = (Share::default(), Share::default());
        let mut first = budget.room(2 * LARGE, Some(&mine)).await.expect("a quarter");
        budget.room(LARGE, Some(&mine)).await.expect_err("no more than a quarter");
        budget.room(SMALL_BODY / 8, Some(&mine)).await.expect("of the other lane");
        budget.room(4 * LARGE, Some(&yours)).await.expect("one that is larger has it to itself");
        first.shrink_to(LARGE);
        budget.room(LARGE, Some(&mine)).await.expect("what was given back");
    }

    #[tokio::test]
    async fn room_grows_with_the_received_bytes() {
        let budget = tight();
        let mut room = budget.room(LARGE, None).await.expect("half");
        budget.grow(&mut room, 2 * LARGE, None).await.expect("the other half");
        assert_eq!(room.bytes(), 2 * LARGE);
        budget.room(LARGE, None).await.expect_err("all is taken");
    }
}
