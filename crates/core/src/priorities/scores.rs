//! One priority's scores of all candidates.

use super::MAX_NODE_SCORE;
use crate::{block::NodeRef, node_set::NodeSet};

/// A score for each candidate, 0..=100, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scores {
    /// All score the same, which needs no list.
    Same(i64),
    /// One each.
    Each(Vec<u8>),
}

impl Scores {
    /// Applies `score` to each candidate; 0..=100.
    pub(super) fn of_each<'s>(candidates: &NodeSet<'s>, mut score: impl FnMut(NodeRef<'s>) -> i64) -> Self {
        Self::Each(candidates.map(|node| narrow(score(node))))
    }

    /// The score of one candidate, by its place among them.
    pub fn of(&self, candidate: usize) -> i64 {
        match self {
            Self::Same(score) => *score,
            Self::Each(scores) => i64::from(scores[candidate]),
        }
    }

    /// Adds the candidate's score times the weight to each total.
    pub fn add_to(&self, totals: &mut [i64], weight: i64) {
        let add = |total: &mut i64, score: i64| *total = total.saturating_add(score.saturating_mul(weight));
        match self {
            Self::Same(score) => totals.iter_mut().for_each(|total| add(total, *score)),
            // No product of a score and such a weight is out of range.
            Self::Each(scores) if weight.unsigned_abs() < 1 << 32 => {
                let pairs = totals.iter_mut().zip(scores);
                pairs.for_each(|(total, score)| *total = total.saturating_add(i64::from(*score) * weight));
            }
            Self::Each(scores) => {
                totals.iter_mut().zip(scores).for_each(|(total, score)| add(total, i64::from(*score)));
            }
        }
    }
}

impl FromIterator<i64> for Scores {
    fn from_iter<I: IntoIterator<Item = i64>>(scores: I) -> Self {
        Self::Each(scores.into_iter().map(narrow).collect())
    }
}

/// A score in its stored form, small so that the scores of thousands of nodes by every priority stay in the processor's cache. Scores that
/// absurd amounts bring out of range are cut off; kube-scheduler fails the pod there (`RunScorePlugins`).
pub(super) fn narrow(score: i64) -> u8 {
    score.clamp(0, MAX_NODE_SCORE) as u8
}
