//! # Rule
//! A pod that is being deleted and has outlived its grace period by 30 seconds counts as gone.
//!
//! # Source
//! `cluster-autoscaler/simulator/drainability/rules/longterminating/rule.go`, `utils/drain/drain.go` (`IsPodLongTerminating`)

use super::{Drain, Outcome};
use crate::{advise::scale_down::SECOND, model::Pod};

/// Seconds that a pod has to go beyond its grace period.
const EXTRA_SECONDS: i64 = 30;
/// The grace period of a pod that names none.
const DEFAULT_GRACE_SECONDS: i64 = 30;

pub(super) fn judge(drain: &Drain<'_>, pod: &Pod) -> Outcome {
    if is_long_terminating(pod, drain.now) { Outcome::Skip } else { Outcome::Undecided }
}

/// `true` if the pod should have been gone before this time.
pub(in crate::advise::scale_down) fn is_long_terminating(pod: &Pod, now: i64) -> bool {
    let facts = pod.facts();
    let Some(deleted) = facts.deleted else { return false };
    let seconds = facts.grace_seconds.unwrap_or(DEFAULT_GRACE_SECONDS).saturating_add(EXTRA_SECONDS);
    deleted.saturating_add(seconds.saturating_mul(SECOND)) < now
}
