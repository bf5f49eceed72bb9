//! # Rule
//! After little history the bounds are wide: the upper bound is multiplied by 1 + 1/c and the lower one by (1 + 0.001/c)⁻². The confidence c is the number of days between the first and the
//! last CPU sample, or the number of samples divided by 1,440, whichever is less.
//!
//! After one sample c is 0: the lower bound is nothing, and the upper bound the largest amount there is. Memory's bounds too take the CPU samples as their measure.
//!
//! # Kubernetes source
//! `vertical-pod-autoscaler/pkg/recommender/logic/estimator.go` (`getConfidence`), `recommender.go` (`CreatePodResourceRecommender`).
//!
//! # Example
//! After one day of samples once a minute the upper bound is doubled, after a week it is 1.14 times as high.

use super::{Amount, aggregate::Aggregate, amount};
use crate::advise::Advice;

/// The registry's line.
pub(super) const ADVICE: Advice =
    Advice { name: "Confidence", kind: super::KIND, source: include_str!("confidence.rs") };

/// One minute in nanoseconds.
const MINUTE: i64 = 60_000_000_000;

/// The history of CPU samples, in intervals.
pub(super) fn of(usage: &Aggregate, interval: i64) -> f64 {
    let lifespan = match (usage.first, usage.last) {
        (Some(first), Some(last)) => last.saturating_sub(first) as f64 / interval as f64,
        _ => 0.0,
    };
    let minutes = (interval / MINUTE) as f64 + (interval % MINUTE) as f64 / MINUTE as f64;
    lifespan.min(usage.samples as f64 / minutes)
}

/// The upper bound in view of the confidence.
pub(super) fn widened(upper: Amount, confidence: f64) -> Amount {
    amount(upper as f64 * (1.0 + 1.0 / confidence))
}

/// The lower bound in view of the confidence.
pub(super) fn narrowed(lower: Amount, confidence: f64) -> Amount {
    let divisor = 1.0 + 0.001 / confidence;
    amount(lower as f64 * (1.0 / (divisor * divisor)))
}

#[cfg(test)]
mod tests {
    use super::{super::MOST, *};

    #[test]
    fn bounds_are_open_without_history() {
        assert_eq!((narrowed(1000, 0.0), widened(1000, 0.0)), (0, MOST));
        assert_eq!(widened(0, 0.0), 0, "nothing known");
    }

    #[test]
    fn bounds_close_with_history() {
        assert_eq!(widened(1000, 1.0), 2000);
        // 1000 / 1.001² = 998.003
        assert_eq!(narrowed(1000, 1.0), 998);
        // 1 + 1/7 = 1.142857
        assert_eq!(widened(1000, 7.0), 1142);
    }
}
