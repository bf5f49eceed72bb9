//! Answers of extenders (other processes) about nodes, as data that a decision takes in.
//!
//! Source: `pkg/scheduler/schedule_one.go` (`findNodesThatPassExtenders`, `prioritizeNodes`).

use std::collections::BTreeMap;

use super::{model::Name, node_set::NodeSet, verdict::Verdict};

/// The factor, besides the weight, for scores of extenders: theirs go to 10, those of priorities to 100.
pub const SCORE_SCALE: i64 = 10;

/// The answers of all extenders in one decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtenderAnswers {
    /// The nodes that one of them ruled out.
    pub verdicts: BTreeMap<Name, ExtenderVerdict>,
    /// Their scores of the nodes that fit.
    pub scores: Vec<ExtenderScores>,
    /// Why there can be no decision: one of them was needed and did not answer.
    pub failure: Option<String>,
}

/// That an extender rules a node out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtenderVerdict {
    /// The extender, by its URL.
    pub by: Name,
    /// Why.
    pub verdict: Verdict,
}

/// The scores of one extender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtenderScores {
    /// The extender, by its URL.
    pub by: Name,
    /// The factor of its scores.
    pub weight: i64,
    /// Scores by node, on the scale of priorities: ten times the extender's own. Nodes that it left out have 0.
    pub scores: BTreeMap<Name, i64>,
}

/// One extender's score of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtenderScore {
    /// The extender, by its URL.
    pub by: Name,
    /// Before the weight.
    pub score: i64,
    /// The factor of the score.
    pub weight: i64,
}

impl ExtenderAnswers {
    /// The verdict against a node, if an extender rules it out.
    pub(super) fn verdict(&self, node: &str) -> Option<ExtenderVerdict> {
        self.verdicts.get(node).cloned()
    }

    /// The sum of all extenders' scores, Σ score × weight, in the order of the candidates; empty if no extender scored.
    pub(super) fn sums(&self, candidates: &NodeSet<'_>) -> Vec<i64> {
        if self.scores.is_empty() {
            return Vec::new();
        }
        let add =
            |sum: i64, extenders: ExtenderScore| sum.saturating_add(extenders.score.saturating_mul(extenders.weight));
        candidates.iter().map(|node| self.scores_of(node.name()).fold(0, add)).collect()
    }

    /// Every extender's score of a node.
    pub(super) fn scores_of(&self, node: &str) -> impl Iterator<Item = ExtenderScore> {
        self.scores.iter().map(move |scores| ExtenderScore {
            by: scores.by.clone(),
            score: scores.scores.get(node).copied().unwrap_or(0),
            weight: scores.weight,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cluster, node, pod};
    use crate::{
        cycle::{decide, decide_with},
        policy::Profile,
        rule::Release,
    };

    #[test]
    fn extenders_rule_out_add_up_and_may_be_missing() {
        let snapshot = cluster([node("a").into(), node("b").into(), node("c").into()]);
        let (profile, pod) = (Profile::empty(Release::V1_22), pod("p").build());
        let against = |node: &str| {
            let verdict = Verdict::unschedulable("no gpu");
            (Name::from(node), ExtenderVerdict { by: "http://x".into(), verdict })
        };
        let scores = ExtenderScores { by: "http://x".into(), weight: 2, scores: [("b".into(), 30)].into() };
        let extenders =
            ExtenderAnswers { verdicts: [against("c")].into(), scores: vec![scores], ..ExtenderAnswers::default() };
        let decision = decide_with(&profile, &pod, &snapshot, 0, &extenders);
        assert_eq!(decision.selected.as_deref(), Some("b"));
        // Without priorities every node has 1; 1 + 30 × 2
        assert_eq!(
            decision.nodes.iter().map(|n| (n.fits(), n.total)).collect::<Vec<_>>(),
            [(true, 1), (true, 61), (false, 0)]
        );
        assert_eq!(decision.nodes[0].extender_scores.len(), 1, "also where it was left out");

        let all = ExtenderAnswers { verdicts: ["a", "b", "c"].map(against).into(), ..ExtenderAnswers::default() };
        let decision = decide_with(&profile, &pod, &snapshot, 0, &all);
        assert_eq!((decision.selected, &*decision.message), (None, "0/3 nodes are available: 3 no gpu."));

        let failed = ExtenderAnswers { failure: Some("it is away".into()), ..extenders };
        let decision = decide_with(&profile, &pod, &snapshot, 0, &failed);
        assert_eq!((decision.selected, &*decision.message), (None, "it is away"));
        assert!(decision.nodes.iter().all(|node| node.rank.is_none()));
        assert!(decide(&profile, &pod, &snapshot, 0).selected.is_some());
    }
}
