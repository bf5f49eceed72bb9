//! # Rule
//! 100 for a cluster that takes its replicas without evicting anything, less for one where some of them fit by preemption alone: the part of its room that is free. Two
//! levels never preempt at once: a cluster that needs preemption comes after one that has room.
//!
//! # Source
//! Podberth's own; Kueue's MultiKueue preempts in all clusters at once (kubernetes-sigs/kueue#8985).

use super::{Candidate, Registration, Request, part, priority};

/// The registry's line.
pub(super) const REGISTRATION: Registration =
    priority("FitsWithoutPreemption", include_str!("fits_without_preemption.rs"), score);

fn score(request: &Request, candidates: &[&Candidate]) -> Vec<i64> {
    let score = |of: &&Candidate| {
        let room = of.room;
        let all = of.free(request.replicas);
        part(all - room.by_preemption, all)
    };
    candidates.iter().map(score).collect()
}
