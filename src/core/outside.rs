//! What other processes (extenders) say of nodes, as data that a decision takes in.
//!
//! Source: `pkg/scheduler/schedule_one.go` (`findNodesThatPassExtenders`, `prioritizeNodes`).

use std::{collections::BTreeMap, sync::Arc};

use super::{cycle::NodeDecision, model::Name, snapshot::NodeInfo, verdict::Verdict};

/// What scores of extenders are multiplied by, besides the weight: theirs go to 10, those of priorities to 100.
pub const SCORE_SCALE: i64 = 10;

/// What extenders say in one decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// The nodes that one of them ruled out.
    pub verdicts: BTreeMap<Name, OutsideVerdict>,
    /// Their scores of the nodes that fit.
    pub scores: Vec<OutsideScores>,
    /// Why there can be no decision: one of them was needed and did not answer.
    pub failure: Option<String>,
}

/// That an extender rules a node out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutsideVerdict {
    /// The extender, by its URL.
    pub by: Name,
    /// Why.
    pub verdict: Verdict,
}

/// What an extender scores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutsideScores {
    /// The extender, by its URL.
    pub by: Name,
    /// What its scores are multiplied by.
    pub weight: i64,
    /// By node, on the scale of priorities: ten times what it answered. A node that it left out has 0.
    pub scores: BTreeMap<Name, i64>,
}

/// One extender's score of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutsideScore {
    /// The extender, by its URL.
    pub by: Name,
    /// Before the weight.
    pub score: i64,
    /// What it is multiplied by.
    pub weight: i64,
}

impl Outside {
    /// What stands against a node.
    pub(super) fn verdict(&self, node: &str) -> Option<OutsideVerdict> {
        self.verdicts.get(node).cloned()
    }

    /// Totals with what extenders add to them, in the order of the candidates.
    pub(super) fn added(&self, mut totals: Vec<i64>, candidates: &[Arc<NodeInfo>]) -> Vec<i64> {
        for (total, node) in totals.iter_mut().zip(candidates) {
            for OutsideScore { score, weight, .. } in self.scores_of(node.name()) {
                *total = total.saturating_add(score.saturating_mul(weight));
            }
        }
        totals
    }

    /// Every extender's score of a node.
    pub(super) fn scores_of(&self, node: &str) -> impl Iterator<Item = OutsideScore> {
        self.scores.iter().map(move |scores| OutsideScore {
            by: scores.by.clone(),
            score: scores.scores.get(node).copied().unwrap_or(0),
            weight: scores.weight,
        })
    }

    /// Takes ranks and choice away where there can be no decision; the reason.
    pub(super) fn fail<'o>(&'o self, nodes: &mut [NodeDecision<'_>]) -> Option<&'o str> {
        let failure = self.failure.as_deref()?;
        nodes.iter_mut().for_each(|node| node.rank = None);
        Some(failure)
    }
}
