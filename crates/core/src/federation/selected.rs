//! Clusters that passed the filter, in order.

use super::{Candidate, Cluster};
use crate::{model::Name, work};

/// Sources of room.
pub(super) const SOURCES: usize = 3;

/// A cluster that passed the filter.
#[derive(Clone, Debug)]
pub(super) struct Selected<'a> {
    /// The cluster with its room.
    pub(super) candidate: &'a Candidate,
    /// The group of the term that it belongs to; 0 for the term's own clusters.
    pub(super) tier: usize,
    /// Its scores, the first of which decides first.
    pub(super) scores: Vec<i64>,
    /// Room for further replicas, by its source: nodes that are there, nodes that would be added, evictions. All of them where nobody knows.
    pub(super) rooms: [i64; SOURCES],
    /// Replicas that the last answer gave it.
    pub(super) previous: i64,
}

impl<'a> Selected<'a> {
    pub(super) fn cluster(&self) -> &'a Cluster {
        &self.candidate.cluster
    }

    pub(super) fn name(&self) -> &'a Name {
        &self.candidate.cluster.name
    }

    /// Room, with the replicas of the last answer.
    pub(super) fn holds(&self) -> i64 {
        self.rooms.iter().sum::<i64>() + self.previous
    }

    /// The score that decides first.
    pub(super) fn score(&self) -> i64 {
        self.scores.first().copied().unwrap_or(0)
    }
}

/// Puts clusters in order: tier, score, room, name.
pub(super) fn in_order(clusters: &mut [Selected<'_>]) {
    work::spend(clusters.len() as u64);
    clusters.sort_by(|one, other| {
        let by_tier = one.tier.cmp(&other.tier);
        let by_score = || other.scores.cmp(&one.scores);
        let by_room = || other.holds().cmp(&one.holds());
        by_tier.then_with(by_score).then_with(by_room).then_with(|| one.name().cmp(other.name()))
    });
}
