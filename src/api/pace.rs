//! How slow a client may be.

use std::time::Duration;

/// For how long a client may be waited for while a body is sent or taken: a while at first, and longer the more bytes have
/// moved. It is a deadline and a least rate in one, as in Apache's `mod_reqtimeout`.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Before anything has moved.
    pub grace: Duration,
    /// Bytes for which a second is added.
    pub bytes_per_second: usize,
}

impl Pace {
    /// Time that a client that has moved `bytes` bytes may have taken.
    pub fn allows(&self, bytes: u64) -> Duration {
        let seconds = bytes as f64 / self.bytes_per_second.max(1) as f64;
        self.grace.saturating_add(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_costs_bytes() {
        let pace = Pace { grace: Duration::from_secs(10), bytes_per_second: 1000 };
        assert_eq!(pace.allows(0), Duration::from_secs(10));
        assert_eq!(pace.allows(2_500), Duration::from_millis(12_500));
        assert!(Pace { bytes_per_second: 0, ..pace }.allows(u64::MAX) > Duration::from_secs(1 << 40));
    }
}
