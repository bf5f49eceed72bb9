//! One priority's scores of all candidates.

use std::ops::Index;

/// A score for each candidate, 0..=100, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scores {
    /// All score the same, which needs no list.
    Same(i64),
    /// One each.
    Each(Vec<i64>),
}

impl Scores {
    /// The scores of `count` candidates.
    pub fn to_vec(&self, count: usize) -> Vec<i64> {
        match self {
            Self::Same(score) => vec![*score; count],
            Self::Each(scores) => scores.clone(),
        }
    }

    /// Adds to each total the candidate's score as often as the weight says.
    pub fn add_to(&self, totals: &mut [i64], weight: i64) {
        let add = |total: &mut i64, score: i64| *total = total.saturating_add(score.saturating_mul(weight));
        match self {
            Self::Same(score) => totals.iter_mut().for_each(|total| add(total, *score)),
            // No product of a score and such a weight is out of range.
            Self::Each(scores)
                if weight.unsigned_abs() < 1 << 32
                    && scores.iter().fold(0, |all, score| all | *score as u64) < 1 << 30 =>
            {
                let pairs = totals.iter_mut().zip(scores);
                pairs.for_each(|(total, score)| *total = total.saturating_add(*score * weight));
            }
            Self::Each(scores) => totals.iter_mut().zip(scores).for_each(|(total, score)| add(total, *score)),
        }
    }
}

impl Index<usize> for Scores {
    type Output = i64;

    fn index(&self, candidate: usize) -> &i64 {
        match self {
            Self::Same(score) => score,
            Self::Each(scores) => &scores[candidate],
        }
    }
}

impl FromIterator<i64> for Scores {
    fn from_iter<I: IntoIterator<Item = i64>>(scores: I) -> Self {
        Self::Each(scores.into_iter().collect())
    }
}
