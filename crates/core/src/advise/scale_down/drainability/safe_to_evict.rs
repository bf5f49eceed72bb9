//! # Rule
//! A pod with the annotation `cluster-autoscaler.kubernetes.io/safe-to-evict: "true"` moves, whatever the rules after this one say: without a
//! controller, with local volumes, in `kube-system`, under a disruption budget.
//!
//! # Source
//! `cluster-autoscaler/simulator/drainability/rules/safetoevict/rule.go`

use super::{Drain, Outcome};
use crate::model::Pod;

pub(super) fn judge(_: &Drain<'_>, pod: &Pod) -> Outcome {
    if super::safe_to_evict(pod) == Some("true") { Outcome::Move } else { Outcome::Undecided }
}
