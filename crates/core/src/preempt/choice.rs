//! The choice among the candidates.
//!
//! Source: `default_preemption.go` (`pickOneNodeForPreemption`), `pkg/scheduler/util/utils.go`
//! (`GetEarliestPodStartTime`).

use std::cmp::Reverse;

use super::Candidate;
use crate::{cycle::tie_break, model::Pod, snapshot::Snapshot};

/// An offset for each priority in the sum, so that none is below 0 and every further victim costs.
const PRIORITY_OFFSET: i64 = 1 << 31;

/// The candidate with, in this order, the fewest budgets broken, the least important first victim, the smallest sum of
/// priorities, the fewest victims, and the latest start of whichever of its most important victims started first. Of
/// several that are equal in all this [`tie_break`] takes one.
pub(super) fn best<'c>(
    candidates: &'c [Candidate],
    pod: &Pod,
    snapshot: &Snapshot,
    seed: u64,
) -> Option<&'c Candidate> {
    candidates.iter().min_by_key(|candidate| {
        let priorities = candidate.victims.iter().map(|victim| i64::from(snapshot.priority_of(victim)));
        let first = priorities.clone().next();
        let sum: i64 = priorities.map(|priority| priority + PRIORITY_OFFSET).sum();
        let started = Reverse(start_of_the_highest(candidate, snapshot));
        let tie = (tie_break(seed, pod, &candidate.node), &candidate.node);
        (candidate.pdb_violations, first, sum, candidate.victims.len(), started, tie)
    })
}

/// When the first of the victims of highest priority started; one that has not yet counts as starting now.
fn start_of_the_highest(candidate: &Candidate, snapshot: &Snapshot) -> i64 {
    let victims = candidate.victims.iter().map(|victim| (snapshot.priority_of(victim), victim.start_time));
    let highest = victims.clone().map(|(priority, _)| priority).max();
    let started = victims.filter(|(priority, _)| Some(*priority) == highest);
    started.map(|(_, start)| start.unwrap_or(i64::MAX)).min().unwrap_or(i64::MAX)
}
