//! # Rule
//! 100 for a cluster whose room is on nodes that are there, less for one that has to add nodes first: the part of its room that is there.
//!
//! # Source
//! Podberth's own, for open-cluster-management-io/enhancements#193: fits on existing nodes, after scale-up, or not at all.

use super::{Candidate, Registration, Request, part, priority};

/// The registry's line.
pub(super) const REGISTRATION: Registration = priority("ScaleUpNeeded", include_str!("scale_up_needed.rs"), score);

fn score(request: &Request, candidates: &[&Candidate]) -> Vec<i64> {
    let score = |of: &&Candidate| {
        let all = of.free(request.replicas);
        part(all - of.room.after_scale_up, all)
    };
    candidates.iter().map(score).collect()
}
