//! # Rule
//! Each disruption budget that covers a pod has at least one disruption left. Pods of nodes found unneeded before use budgets up, so the second node
//! may be blocked by the first.
//!
//! # Reason
//! `NotEnoughPdb`
//!
//! # Source
//! `cluster-autoscaler/simulator/drainability/rules/pdb/rule.go`, `core/scaledown/pdb/basic.go`

use super::{Drain, Outcome, PodReason};
use crate::model::Pod;

pub(super) fn judge(drain: &Drain<'_>, pod: &Pod) -> Outcome {
    if drain.budgets.allow(pod) { Outcome::Undecided } else { Outcome::Block(PodReason::NotEnoughPdb) }
}
