//! # Rule
//! As a predicate, of the server's own clusters: one that has no room for a single further replica, and is not in `previous`, gets nothing; a division `Duplicated` needs room
//! for all replicas. The room is the node engine's count, with all predicates. The reasons are those of the nodes, with the number of nodes.
//!
//! As a priority: room for further replicas, 100 for the cluster with the most of it.
//!
//! # Source
//! Karmada has no such predicate: with `Duplicated` and static weights it places what does not fit.
//!
//! # Reason text
//! kube-scheduler's own words for the nodes, else `room for … of … replicas`

use super::{Candidate, Division, MAX_CLUSTER_SCORE, Registration, Request, priority};

/// Its name.
pub(super) const NAME: &str = "Capacity";

/// The registry's line.
pub(super) const REGISTRATION: Registration = priority(NAME, include_str!("capacity.rs"), score);

fn score(request: &Request, candidates: &[&Candidate]) -> Vec<i64> {
    let free = |of: &&Candidate| of.free(request.replicas);
    let most = candidates.iter().map(free).max().unwrap_or(0).max(1);
    candidates.iter().map(|of| free(of).saturating_mul(MAX_CLUSTER_SCORE) / most).collect()
}

/// Why a live cluster has too little room, if it has.
pub(super) fn rejects(request: &Request, candidate: &Candidate) -> Option<String> {
    request.live?;
    let was_chosen = request.previous_of(&candidate.cluster.name);
    let free = candidate.free(request.replicas);
    let needed = match request.division {
        Division::Duplicated => request.replicas - was_chosen.unwrap_or(0),
        _ => i64::from(request.replicas > 0 && was_chosen.is_none()),
    };
    (free < needed).then(|| format!("room for {free} of {needed} replicas"))
}
