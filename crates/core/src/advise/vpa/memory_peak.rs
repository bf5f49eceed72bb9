//! # Rule
//! Of each container one memory sample counts per aggregation interval (24 hours): the highest. It carries the time of the interval's end.
//!
//! The first interval begins with the container's first sample. A higher sample within the interval replaces the peak; a peak of zero bytes is not replaced.
//! CPU samples count one by one. A sample that is older than the last one of its container is discarded, and so is a CPU sample of the same time.
//!
//! # Kubernetes source
//! `vertical-pod-autoscaler/pkg/recommender/model/container.go` (`addCPUSample`, `addMemorySample`).
//!
//! # Example
//! Samples of 100, 300 and 200 MB within one day count as one sample of 300 MB.

use super::{Amount, aggregate::Aggregate, oom_bump_up};
use crate::advise::Advice;

/// The registry's line.
pub(super) const ADVICE: Advice =
    Advice { name: "MemoryPeak", kind: super::KIND, source: include_str!("memory_peak.rs") };

/// Memory of one container between two samples. Times are in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The time of its last CPU sample.
    pub last_cpu: Option<i64>,
    /// The time of its last memory sample.
    pub last_memory: Option<i64>,
    /// The end of its aggregation interval.
    pub end: Option<i64>,
    /// The highest memory sample of the interval.
    pub peak: Amount,
    /// The memory it needs at least, since it was killed for want of memory.
    pub oom_peak: Amount,
    /// `true` if the peak is in no stored usage, since the interval was not over when that was stored.
    pub open: bool,
}

impl Window {
    /// The peak of the interval.
    pub fn highest(&self) -> Amount {
        self.peak.max(self.oom_peak)
    }

    /// Adds a CPU sample; `false` if it is discarded.
    pub(super) fn cpu(&mut self, milli: Amount, at: i64, to: &mut Aggregate) -> bool {
        if milli < 0 || self.last_cpu >= Some(at) {
            return false;
        }
        to.add_cpu(milli, at);
        self.last_cpu = Some(at);
        true
    }

    /// Adds a memory sample; `false` if it is discarded.
    pub(super) fn memory(&mut self, bytes: Amount, at: i64, interval: i64, to: &mut Aggregate) -> bool {
        self.last_memory <= Some(at) && self.add(bytes, at, interval, false, to)
    }

    /// Adds the event that the container was killed for want of memory; `false` if it is discarded.
    pub(super) fn oom(
        &mut self,
        requested: Amount,
        at: i64,
        interval: i64,
        bump: oom_bump_up::Bump,
        to: &mut Aggregate,
    ) -> bool {
        if self.last_memory.is_some_and(|last| at < last.saturating_sub(interval)) {
            return false;
        }
        self.add(bump.needed(requested, self.peak), at, interval, true, to)
    }

    fn add(&mut self, bytes: Amount, at: i64, interval: i64, is_oom: bool, to: &mut Aggregate) -> bool {
        if bytes < 0 {
            return false;
        }
        self.last_memory = Some(at);
        let end = self.end.unwrap_or(at);
        if at < end {
            self.end = Some(end);
            let before = self.highest();
            if before == 0 || bytes <= before {
                return true;
            }
            to.subtract_peak(before, end);
        } else {
            let interval = interval.max(1);
            let passed = at.saturating_sub(end) / interval * interval;
            self.end = Some(end.saturating_add(passed).saturating_add(interval));
            (self.peak, self.oom_peak) = (0, 0);
        }
        to.add_peak(bytes, self.end.unwrap_or(at));
        if is_oom {
            self.oom_peak = bytes;
        } else {
            self.peak = bytes;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::vpa::options::Options;

    const HOUR: i64 = 3_600_000_000_000;
    const DAY: i64 = 24 * HOUR;

    /// (time in hours, bytes) → the highest value of the histogram, in MB
    fn highest(samples: &[(i64, i64)]) -> i64 {
        let (mut window, mut all) = (Window::default(), Aggregate::new(&Options::default()));
        for (hour, bytes) in samples {
            window.memory(*bytes, hour * HOUR, DAY, &mut all);
        }
        (all.memory.percentile(1.0) / 1e6) as i64
    }

    #[test]
    fn interval_counts_its_highest_sample() {
        // 300 MB lies in the bucket that ends at 1e7·(1.05^19−1)/0.05 = 305.39 MB.
        assert_eq!(highest(&[(0, 100_000_000), (1, 300_000_000), (2, 200_000_000)]), 305);
        let (mut window, mut all) = (Window::default(), Aggregate::new(&Options::default()));
        for (hour, bytes) in [(0, 100_000_000), (1, 300_000_000), (25, 50_000_000)] {
            assert!(window.memory(bytes, hour * HOUR, DAY, &mut all));
        }
        assert_eq!(window.end, Some(2 * DAY));
        assert_eq!(window.highest(), 50_000_000);
    }

    #[test]
    fn peak_of_zero_is_not_replaced() {
        assert_eq!(highest(&[(0, 0), (1, 300_000_000)]), 10);
    }

    #[test]
    fn older_samples_are_discarded() {
        let (mut window, mut all) = (Window::default(), Aggregate::new(&Options::default()));
        assert!(window.cpu(10, 5, &mut all));
        assert!(!window.cpu(10, 5, &mut all), "of the same time");
        assert!(!window.cpu(10, 4, &mut all));
        assert!(window.memory(10, 5, DAY, &mut all));
        assert!(window.memory(10, 5, DAY, &mut all), "of the same time");
        assert!(!window.memory(10, 4, DAY, &mut all));
    }
}
