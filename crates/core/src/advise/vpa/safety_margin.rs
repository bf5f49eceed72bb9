//! # Rule
//! To each percentile 15 % are added.
//!
//! # Kubernetes source
//! `vertical-pod-autoscaler/pkg/recommender/logic/estimator.go` (`cpuMarginEstimator`), setting `recommendation-margin-fraction`.
//!
//! # Example
//! Usage of 1,000 milli-CPU asks for 1,150.

use super::{Amount, amount};
use crate::advise::Advice;

/// The registry's line.
pub(super) const ADVICE: Advice =
    Advice { name: "SafetyMargin", kind: super::KIND, source: include_str!("safety_margin.rs") };

/// The amount with its margin.
pub(super) fn with(base: Amount, fraction: f64) -> Amount {
    base.saturating_add(amount(base as f64 * fraction))
}

#[cfg(test)]
mod tests {
    #[test]
    fn margin_is_cut_to_whole_amounts() {
        assert_eq!(super::with(1000, 0.15), 1150);
        // 10 · 0.15 = 1.5
        assert_eq!(super::with(10, 0.15), 11);
        assert_eq!(super::with(10, 0.0), 10);
    }
}
