//! # Rule
//! A pod with the annotation `cluster-autoscaler.kubernetes.io/safe-to-evict: on-completion` is not evicted, and its node waits for its end. The node
//! counts as unneeded in the meantime; when its time has come it is held with `BlockedByOnCompletionPod`.
//!
//! # Source
//! `cluster-autoscaler/simulator/drainability/rules/oncompletion/rule.go`, `core/scaledown/planner/planner.go` (`NodesToDelete`)

use super::{Drain, Outcome};
use crate::model::Pod;

pub(super) fn judge(_: &Drain<'_>, pod: &Pod) -> Outcome {
    if super::safe_to_evict(pod) == Some("on-completion") { Outcome::WaitForCompletion } else { Outcome::Undecided }
}
