//! # Rule
//! A pod with the annotation `cluster-autoscaler.kubernetes.io/safe-to-evict: "false"` stays, and its node with it.
//!
//! # Reason
//! `NotSafeToEvictAnnotation`
//!
//! # Source
//! `cluster-autoscaler/simulator/drainability/rules/notsafetoevict/rule.go`

use super::{Drain, Outcome, PodReason};
use crate::model::Pod;

pub(super) fn judge(_: &Drain<'_>, pod: &Pod) -> Outcome {
    match super::safe_to_evict(pod) {
        Some("false") => Outcome::Block(PodReason::NotSafeToEvictAnnotation),
        _ => Outcome::Undecided,
    }
}
