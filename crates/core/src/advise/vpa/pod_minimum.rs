//! # Rule
//! A pod gets at least 25 milli-CPU and 250 MiB. Its containers share that equally, as far as they are autoscaled.
//!
//! The minimum comes after the margin and the confidence, and holds for the uncapped target too: a policy's `minAllowed` below it never shows, unless `podMinCPUMillicores` and
//! `podMinMemoryMb` are lower.
//!
//! # Kubernetes source
//! `vertical-pod-autoscaler/pkg/recommender/logic/recommender.go` (`GetRecommendedPodResources`), settings `pod-recommendation-min-cpu-millicores` and `pod-recommendation-min-memory-mb`.
//!
//! # Example
//! Each of two small containers gets 12 milli-CPU and 125 MiB.

use super::{Amount, amount, options::Options};
use crate::advise::Advice;

/// The registry's line.
pub(super) const ADVICE: Advice =
    Advice { name: "PodMinimum", kind: super::KIND, source: include_str!("pod_minimum.rs") };

/// The least milli-CPU and bytes of each of so many containers.
pub(super) fn of(options: &Options, containers: usize) -> (Amount, Amount) {
    let fraction = 1.0 / containers.max(1) as f64;
    let cpu = amount(options.pod_min_cpu * 0.001 * 1000.0);
    let memory = amount(options.pod_min_memory * 1024.0 * 1024.0);
    (amount(cpu as f64 * fraction), amount(memory as f64 * fraction))
}

#[cfg(test)]
mod tests {
    #[test]
    fn containers_share_the_minimum() {
        let options = super::Options::default();
        assert_eq!(super::of(&options, 1), (25, 250 << 20));
        assert_eq!(super::of(&options, 2), (12, 125 << 20));
        assert_eq!(super::of(&options, 3), (8, 87_381_333));
    }
}
