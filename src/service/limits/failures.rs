//! Failed authentications by address: after too many in a short time, an address is told to wait.
//!
//! A valid token still gets in, since one address may be that of many clients. The memory is bounded: addresses for which there is no room share
//! one count.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::Flow;
use crate::{
    clock::Elapsed,
    service::error::{Error, Result},
};

/// Failures of one address within a window.
const MOST: u32 = 30;

/// The time over which they are counted.
const WINDOW: Duration = Duration::from_mins(1);

/// Addresses that are counted apart.
const MOST_ADDRESSES: usize = 10_000;

/// The failures of all addresses.
#[derive(Debug, Default)]
pub struct Failures {
    elapsed: Elapsed,
    counts: Mutex<HashMap<Flow, Count>>,
}

/// The failures of one address.
#[derive(Clone, Copy, Debug)]
struct Count {
    since: Duration,
    failures: u32,
}

impl Failures {
    /// Counts by this clock.
    pub fn new(elapsed: Elapsed) -> Self {
        Self { elapsed, counts: Mutex::default() }
    }

    /// Counts a failure.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`] if there were too many of its address.
    pub fn count(&self, address: &Flow) -> Result<()> {
        let now = self.elapsed.now();
        // What the lock holds is whole after any panic.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |count: &Count| now.saturating_sub(count.since) >= WINDOW;
        if counts.len() >= MOST_ADDRESSES && !counts.contains_key(address) {
            counts.retain(|_, count| !is_over(count));
        }
        let has_room = counts.len() < MOST_ADDRESSES || counts.contains_key(address);
        let key = if has_room { address.clone() } else { Flow::Nobody };
        let count = counts.entry(key).or_insert(Count { since: now, failures: 0 });
        if is_over(count) {
            *count = Count { since: now, failures: 0 };
        }
        count.failures = count.failures.saturating_add(1);
        if count.failures <= MOST {
            return Ok(());
        }
        let left = WINDOW.saturating_sub(now.saturating_sub(count.since));
        Err(Error::TooManyRequests {
            message: format!("{MOST} authentications from this address have failed within a minute: wait"),
            retry_after_seconds: u32::try_from(left.as_secs()).unwrap_or(u32::MAX).max(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    fn address(number: u32) -> Flow {
        Flow::of_address(std::net::Ipv4Addr::from_bits(number).into())
    }

    fn with_clock() -> (Failures, Arc<AtomicU64>) {
        let seconds = Arc::new(AtomicU64::new(0));
        let clock = seconds.clone();
        (Failures::new(Elapsed::new(move || Duration::from_secs(clock.load(Ordering::SeqCst)))), seconds)
    }

    #[test]
    fn an_address_waits_after_too_many_failures() {
        let (failures, seconds) = with_clock();
        assert!((0..MOST).all(|_| failures.count(&address(1)).is_ok()));
        seconds.store(50, Ordering::SeqCst);
        let refused = failures.count(&address(1)).expect_err("one too many");
        assert!(matches!(refused, Error::TooManyRequests { retry_after_seconds: 10, .. }), "{refused:?}");
        assert!(failures.count(&address(2)).is_ok(), "others are not to suffer for it");
        seconds.store(60, Ordering::SeqCst);
        assert!(failures.count(&address(1)).is_ok(), "another window");
    }

    #[test]
    fn the_memory_of_addresses_is_bounded() {
        let (failures, seconds) = with_clock();
        for number in 0..2 * MOST_ADDRESSES as u32 {
            let _ = failures.count(&address(number));
        }
        let count = || failures.counts.lock().expect("no panic").len();
        assert!(count() <= MOST_ADDRESSES + 1);
        assert!(failures.count(&address(u32::MAX)).is_err(), "those without room share a count");
        seconds.store(61, Ordering::SeqCst);
        assert!(failures.count(&address(u32::MAX)).is_ok() && count() == 1, "they are forgotten with their window");
    }
}
