//! # Rule
//! The target is the 90th percentile of the usage, the lower bound the 50th and the upper bound the 95th: of all CPU samples, and of all memory peaks.
//!
//! # Kubernetes source
//! `vertical-pod-autoscaler/pkg/recommender/logic/estimator.go` (`percentileCPUEstimator`, `percentileMemoryEstimator`), settings `target-cpu-percentile` and its like.
//!
//! # Example
//! A container that uses 100 milli-CPU nine times of ten and 500 the tenth time gets a target for 100.

use super::{Amount, aggregate::Aggregate, amount};
use crate::advise::Advice;

/// The registry's line.
pub(super) const ADVICE: Advice =
    Advice { name: "Percentile", kind: super::KIND, source: include_str!("percentile.rs") };

/// The percentile of CPU usage, in milli-CPU.
pub(super) fn cpu(of: &Aggregate, part: f64) -> Amount {
    amount(of.cpu.percentile(part) * 1000.0)
}

/// The percentile of memory peaks, in bytes.
pub(super) fn memory(of: &Aggregate, part: f64) -> Amount {
    amount(of.memory.percentile(part))
}
