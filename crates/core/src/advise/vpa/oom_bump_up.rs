//! # Rule
//! A container that was killed for want of memory counts as one that used more than it had: the larger of its request and its peak, and 20 % or 100 MiB on top, whichever is more.
//!
//! The peak is that of the samples of the interval, without those of earlier kills. A kill that is older than the last memory sample by more than an aggregation interval is discarded.
//! `oomBumpUpRatio` and `oomMinBumpUp` of a container's policy stand for the settings of the same names.
//!
//! # Kubernetes source
//! `vertical-pod-autoscaler/pkg/recommender/model/container.go` (`RecordOOM`).
//!
//! # Example
//! A container with a request of 300 MiB that is killed counts with 400 MiB; with one of 1 GiB it counts with 1.2 GiB.

use super::{Amount, amount};
use crate::advise::Advice;

/// The registry's line.
pub(super) const ADVICE: Advice =
    Advice { name: "OomBumpUp", kind: super::KIND, source: include_str!("oom_bump_up.rs") };

/// How far memory grows after a container was killed for want of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bump {
    /// The factor.
    pub(super) ratio: f64,
    /// The bytes that are added at least.
    pub(super) least: f64,
}

impl Bump {
    /// The memory that a container needs.
    pub(super) fn needed(self, requested: Amount, peak: Amount) -> Amount {
        let used = requested.max(peak).max(0);
        let (more, scaled) = (used.saturating_add(amount(self.least)), amount(used as f64 * self.ratio));
        more.max(scaled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MI: i64 = 1 << 20;

    #[test]
    fn kill_adds_a_fifth_or_100_mebibytes() {
        let bump = Bump { ratio: 1.2, least: 104_857_600.0 };
        assert_eq!(bump.needed(300 * MI, 0), 400 * MI);
        assert_eq!(bump.needed(0, 300 * MI), 400 * MI);
        // 1000 · 1.2 = 1200 > 1100
        assert_eq!(bump.needed(1000 * MI, 900 * MI), 1200 * MI);
        assert_eq!(bump.needed(i64::MAX, 0), i64::MAX);
    }
}
