//! # Rule
//! A pod that has ended holds nobody back: one that failed, or one that succeeded and is not started again.
//!
//! # Source
//! `cluster-autoscaler/simulator/drainability/rules/terminal/rule.go`, `utils/drain/drain.go` (`IsPodTerminal`)

use super::{Drain, Outcome};
use crate::model::{Phase, Pod, RestartPolicy};

pub(super) fn judge(_: &Drain<'_>, pod: &Pod) -> Outcome {
    let facts = pod.facts();
    let ended = match facts.phase {
        Phase::Failed => true,
        Phase::Succeeded => facts.restart_policy != RestartPolicy::Always,
        Phase::Pending | Phase::Running | Phase::Unknown => false,
    };
    if ended { Outcome::Move } else { Outcome::Undecided }
}
