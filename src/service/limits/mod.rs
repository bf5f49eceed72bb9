//! Limits of what users ask at a time, by class of request, so that no user keeps others out.
//!
//! | class | requests | seats |
//! |---|---|---|
//! | exempt | health, `/version`, `/metrics` | |
//! | extender | `/filter`, `/prioritize`, `/preempt`, `/bind` | as many as short computations |
//! | read, write | all others, by their method | `--max-requests-inflight`, `--max-mutating-requests-inflight` |
//! | watch | watches | `--max-watches-per-user`, without a queue |
//! | heavy | long computations: explanations, imports, chunks of `/schedule`, all over bodies of more than a mebibyte | all cores but one |
//!
//! A request has its seat from the moment when its body is there until its reply begins, so that clients that send slowly hold none. A heavy one has it for
//! its computation alone, which may outlive its client.
//!
//! Source: `apiserver/pkg/server/filters/{maxinflight,priority-and-fairness}.go`.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use metrics::{Counter, Gauge, counter, gauge};
use tokio::sync::oneshot;

use self::fair::{Answer, Fair, Ticket};
use super::error::{Error, Result};
use crate::{core::model::Name, telemetry};

pub mod failures;
mod fair;

/// Requests of a class that wait at most.
const MOST_WAITING: usize = 1_024;

/// When to try again where there was no seat.
const RETRY_AFTER_SECONDS: u32 = 1;

/// The sender of requests, in whose turn they are served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Flow {
    /// A user who is known.
    User(Name),
    /// An address, or the network of an IPv6 address.
    Address(IpAddr),
    /// Anybody else.
    #[default]
    Nobody,
}

impl Flow {
    /// The flow of an address. Of an IPv6 address the first 64 bits count, which one holder has at least.
    pub fn of_address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
            address @ IpAddr::V4(_) => address,
        })
    }
}

tokio::task_local! {
    static FLOW: Flow;
}

/// Carries a request out in the turns of its flow.
pub async fn within<T>(flow: Flow, request: impl Future<Output = T>) -> T {
    FLOW.scope(flow, request).await
}

/// The flow of the current request.
pub fn flow() -> Flow {
    FLOW.try_with(Clone::clone).unwrap_or_default()
}

/// The seats of a class. Clones share them.
#[derive(Clone)]
pub struct Seats(Arc<Shared>);

struct Shared {
    class: &'static str,
    state: Mutex<State>,
    inflight: Gauge,
    queued: Gauge,
    rejected: Counter,
}

struct State {
    fair: Fair<Flow>,
    /// Those that wait.
    told: HashMap<Ticket, oneshot::Sender<Seat>>,
}

/// A seat, for as long as it lives.
pub struct Seat(Arc<Shared>);

impl fmt::Debug for Seats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seats").field("class", &self.0.class).finish_non_exhaustive()
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("class", &self.0.class).finish()
    }
}

impl Seats {
    /// So many seats for a class, and a short queue.
    pub fn new(class: &'static str, seats: usize) -> Self {
        Self::with_queue(class, seats, MOST_WAITING)
    }

    /// So many seats for a class, and a queue for so many.
    pub fn with_queue(class: &'static str, seats: usize, most_waiting: usize) -> Self {
        let shared = Shared {
            class,
            state: Mutex::new(State { fair: Fair::new(seats, most_waiting), told: HashMap::new() }),
            inflight: gauge!(telemetry::REQUESTS_INFLIGHT, "class" => class),
            queued: gauge!(telemetry::REQUESTS_QUEUED, "class" => class),
            rejected: counter!(telemetry::REQUESTS_REJECTED, "class" => class),
        };
        Self(Arc::new(shared))
    }

    /// A seat, when it is the flow's turn. `is_begun`: it is for a part of something that has begun, and is never refused.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`] if too many wait.
    pub async fn seat(&self, flow: &Flow, is_begun: bool) -> Result<Seat> {
        let (ticket, seated, sent_away) = {
            let mut state = self.0.state();
            match state.fair.ask(flow, is_begun) {
                Answer::Seated => {
                    drop(state);
                    return Ok(self.0.seat());
                }
                Answer::Refused => {
                    drop(state);
                    return Err(self.0.refuse());
                }
                Answer::Waits(ticket, sent_away) => {
                    let (told, seated) = oneshot::channel();
                    state.told.insert(ticket, told);
                    // Its waiter learns of it by the end of its channel.
                    (ticket, seated, sent_away.and_then(|ticket| state.told.remove(&ticket)))
                }
            }
        };
        drop(sent_away);
        self.0.queued.increment(1);
        let _waiter = Waiter { seats: &self.0, flow, ticket };
        seated.await.map_err(|_| self.0.refuse())
    }
}

/// One that waits, also if it stops waiting.
struct Waiter<'s> {
    seats: &'s Shared,
    flow: &'s Flow,
    ticket: Ticket,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.seats.queued.decrement(1);
        let mut state = self.seats.state();
        if state.fair.leave(self.flow, self.ticket) {
            state.told.remove(&self.ticket);
        }
    }
}

impl Shared {
    // Each change of the state is one call, which leaves it whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seat(self: &Arc<Self>) -> Seat {
        self.inflight.increment(1);
        Seat(self.clone())
    }

    fn refuse(&self) -> Error {
        self.rejected.increment(1);
        Error::TooManyRequests {
            message: format!("too many requests of the class {:?} are under way: try again", self.class),
            retry_after_seconds: RETRY_AFTER_SECONDS,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.inflight.decrement(1);
        let next = {
            let mut state = self.0.state();
            state.fair.free().and_then(|ticket| state.told.remove(&ticket))
        };
        if let Some(next) = next {
            // If the waiter is gone, the seat is freed again.
            drop(next.send(self.0.seat()));
        }
    }
}

/// The watches of each flow. Clones share them.
#[derive(Clone, Debug)]
pub struct Watches {
    most: usize,
    counts: Arc<Mutex<HashMap<Flow, usize>>>,
}

/// One watch of a flow, for as long as it lives.
#[derive(Debug)]
pub struct WatchSeat {
    watches: Watches,
    flow: Flow,
}

impl Watches {
    /// So many watches for each flow.
    pub fn new(most: usize) -> Self {
        Self { most, counts: Arc::default() }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Flow, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more watch.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`] if the flow has as many as it may have.
    pub fn one_more(&self, flow: &Flow) -> Result<WatchSeat> {
        let mut counts = self.counts();
        let count = counts.get(flow).copied().unwrap_or(0);
        if count >= self.most {
            counter!(telemetry::REQUESTS_REJECTED, "class" => "watch").increment(1);
            let most = self.most;
            return Err(Error::TooManyRequests {
                message: format!("the user has {most} watches, as many as --max-watches-per-user allows: end some"),
                retry_after_seconds: 5,
            });
        }
        counts.insert(flow.clone(), count + 1);
        drop(counts);
        Ok(WatchSeat { watches: self.clone(), flow: flow.clone() })
    }
}

impl Drop for WatchSeat {
    fn drop(&mut self) {
        let mut counts = self.watches.counts();
        match counts.get_mut(&self.flow) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.flow)),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn user(name: &str) -> Flow {
        Flow::User(name.into())
    }

    #[tokio::test]
    async fn a_seat_goes_to_the_next_flow_when_it_is_free() {
        let seats = Seats::with_queue("read", 1, 2);
        let (ann, bob, joe) = (user("ann"), user("bob"), user("joe"));
        let first = seats.seat(&ann, false).await.expect("it is free");
        let mut waits: Vec<_> = [&ann, &ann].map(|flow| Box::pin(seats.seat(flow, false))).into();
        assert!(waits.iter_mut().all(|wait| wait.as_mut().now_or_never().is_none()));
        assert!(seats.seat(&ann, false).now_or_never().is_some_and(|refused| refused.is_err()));
        let mut of_bob = Box::pin(seats.seat(&bob, false));
        assert!(of_bob.as_mut().now_or_never().is_none(), "it waits in the place of another");
        let sent_away = waits.pop().expect("two").await.expect_err("it gave way");
        assert!(matches!(sent_away, Error::TooManyRequests { retry_after_seconds: 1, .. }), "{sent_away}");
        // One that is gone frees its place in the queue.
        drop(waits);
        let mut of_joe = Box::pin(seats.seat(&joe, false));
        assert!(of_joe.as_mut().now_or_never().is_none());
        drop(first);
        // The seat is bob's: it is given back though he never took it.
        drop(of_bob);
        let _seat = of_joe.now_or_never().expect("it is his turn").expect("a seat");
        assert_eq!(seats.0.state().told.len(), 0);
    }

    #[test]
    fn watches_are_counted_by_flow() {
        let watches = Watches::new(2);
        let (ann, bob) = (user("ann"), user("bob"));
        let first = watches.one_more(&ann).expect("one");
        let _second = watches.one_more(&ann).expect("two");
        assert!(watches.one_more(&ann).is_err() && watches.one_more(&bob).is_ok());
        drop(first);
        assert!(watches.one_more(&ann).is_ok());
        assert_eq!(watches.counts().len(), 1, "who has none is forgotten");
    }

    #[test]
    fn addresses_of_one_network_are_one_flow() {
        let of = |text: &str| Flow::of_address(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
