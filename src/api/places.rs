//! Places for connections and handshakes. Who comes when all are taken gets the place of the one that was idle for longest.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tracing::warn;

use super::connection::Connection;

/// Until the next attempt when there is no place.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Time of a handshake after which its client is slow.
const SLOW: Duration = Duration::from_secs(2);

/// A holder of a place.
pub(super) trait Holder {
    /// The warning when all places are taken and no holder may be closed.
    const FULL: &str;

    /// Time for which it does nothing; `None` if it may not be closed.
    fn idle(&self) -> Option<Duration>;

    /// Ends it.
    fn close(&self);
}

impl Holder for Connection {
    const FULL: &str = "there are as many connections as --max-connections allows, and all have requests under way";

    fn idle(&self) -> Option<Duration> {
        self.idle()
    }

    fn close(&self) {
        self.close();
    }
}

/// A handshake in progress.
#[derive(Debug)]
pub(super) struct Handshake {
    since: Instant,
    closed: Notify,
}

impl Handshake {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), closed: Notify::new() }
    }

    /// Resolves when another one needs its place.
    pub(super) async fn to_be_closed(&self) {
        self.closed.notified().await;
    }
}

impl Holder for Handshake {
    const FULL: &str = "there are as many TLS handshakes under way as this server performs at once; further ones wait";

    /// Those of a crowd that comes at once must not end each other.
    fn idle(&self) -> Option<Duration> {
        Some(self.since.elapsed()).filter(|since| *since >= SLOW)
    }

    fn close(&self) {
        self.closed.notify_one();
    }
}

/// How many holders there may be, and which there are.
pub(super) struct Places<T> {
    free: Arc<Semaphore>,
    taken: Mutex<Vec<Weak<T>>>,
}

impl<T: Holder> Places<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS))), taken: Mutex::default() }
    }

    /// A place for one more. If there is none, the one that was idle for longest is closed.
    pub(super) async fn one(&self) -> Option<OwnedSemaphorePermit> {
        let mut is_told = false;
        loop {
            if let Ok(place) = self.free.clone().try_acquire_owned() {
                return Some(place);
            }
            if let Some(idlest) = self.idlest() {
                idlest.close();
            } else if !std::mem::replace(&mut is_told, true) {
                warn!("{}", T::FULL);
            }
            if let Ok(place) = timeout(PAUSE, self.free.clone().acquire_owned()).await {
                return place.ok();
            }
        }
    }

    fn idlest(&self) -> Option<Arc<T>> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = taken.iter().filter_map(Weak::upgrade).filter_map(|one| Some((one.idle()?, one)));
        idle.max_by_key(|(since, _)| *since).map(|(_, one)| one)
    }

    pub(super) fn add(&self, holder: &Arc<T>) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() == taken.capacity() {
            taken.retain(|one| one.strong_count() > 0);
        }
        taken.push(Arc::downgrade(holder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn slow_handshake_gives_way_and_a_quick_one_does_not() {
        let places = Places::new(1);
        let place = places.one().await.expect("the first place");
        let slow = Arc::new(Handshake::new());
        places.add(&slow);
        let begun = Instant::now();
        let held = async {
            slow.to_be_closed().await;
            drop(place);
            begun.elapsed()
        };
        let (held_for, next) = tokio::join!(held, places.one());
        assert!(held_for >= SLOW, "a crowd must not end itself: {held_for:?}");
        assert!(next.is_some());
    }
}
