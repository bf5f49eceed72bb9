//! How a pod fits on one node: amounts, verdicts, scores, and how far it is behind the best node.

use serde::Serialize;
use utoipa::ToSchema;

use super::explanation::{Explanation, NodeExplanation, PodName, PolicyUsed, ScoreExplanation, VerdictExplanation};
use podberth_core::model::{Name, Pod, Resources, resources};

/// How a pod fits on a node.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = NodeFit)]
pub struct FitReply {
    /// The pod.
    pub pod: PodName,
    /// The node.
    pub node: String,
    /// The revision of the state.
    pub revision: u64,
    /// The policy decided under.
    pub policy: PolicyUsed,
    /// `true` if the pod can run there.
    pub fits: bool,
    /// The node's place among those that fit, 1 being the best; absent where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rank: Option<usize>,
    /// Its scores combined; 0 where it does not fit.
    pub total: i64,
    /// The amounts of what the pod asks for, and the places for pods.
    pub resources: Vec<FitAmount>,
    /// The verdict of every predicate, in order of evaluation.
    pub verdicts: Vec<VerdictExplanation>,
    /// The score of every priority; empty if it does not fit.
    pub scores: Vec<ScoreExplanation>,
    /// The best node; absent where the pod fits nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub selected: Option<String>,
    /// How far it is behind the best node; absent unless the pod fits on both.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub margin: Option<FitMargin>,
}

/// The amounts of one resource: CPU in thousandths of a core, memory and storage in bytes, anything else in pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FitAmount {
    /// The resource.
    #[schema(example = "cpu")]
    pub name: String,
    /// The amount that the pod asks for.
    #[schema(example = 2000)]
    pub requested: i64,
    /// The amount that the node offers.
    #[schema(example = 8000)]
    pub allocatable: i64,
    /// The amount that its other pods hold.
    #[schema(example = 6500)]
    pub used: i64,
    /// The amount that is left; below 0 if its pods hold more than it offers.
    #[schema(example = 1500)]
    pub free: i64,
    /// The amount that is missing for the pod; 0 if there is enough.
    #[schema(example = 500)]
    pub missing: i64,
}

/// How far a node is behind the best.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FitMargin {
    /// The total of the best node minus its own.
    pub total: i64,
    /// Of each priority.
    pub scores: Vec<ScoreMargin>,
}

/// How far a node is behind the best by one priority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ScoreMargin {
    /// The priority, by the name the policy called it.
    pub priority: String,
    /// The node's score.
    pub score: i64,
    /// The score of the best node.
    pub best: i64,
    /// The difference times the weight; below 0 if the node is ahead.
    pub behind: i64,
}

/// The amounts that decide if a pod has room on a node that offers `allocatable`, of which `used` is held by `pods` other pods.
pub fn amounts(pod: &Pod, allocatable: &Resources, used: &Resources, pods: usize) -> Vec<FitAmount> {
    let amount = |name: &str, requested: i64, used: i64| {
        let (allocatable, free) = (allocatable.get(name), allocatable.get(name).saturating_sub(used));
        let missing = requested.saturating_sub(free).max(0);
        FitAmount { name: name.to_owned(), requested, allocatable, used, free, missing }
    };
    let scalars = pod.spec.requests.scalar.keys().map(Name::as_ref);
    let names = [resources::CPU, resources::MEMORY, resources::EPHEMERAL_STORAGE].into_iter().chain(scalars);
    let asked =
        names.filter_map(|name| Some((name, pod.spec.requests.get(name))).filter(|(_, requested)| *requested != 0));
    let places = amount(resources::PODS, 1, i64::try_from(pods).unwrap_or(i64::MAX));
    asked.map(|(name, requested)| amount(name, requested, used.get(name))).chain([places]).collect()
}

impl FitReply {
    /// The part of an explanation about one node, with amounts; `None` if it is not there.
    pub fn new(explanation: Explanation, node: &str, resources: Vec<FitAmount>) -> Option<Self> {
        let Explanation { pod, nodes, selected, policy, snapshot_revision, .. } = explanation;
        let here = nodes.iter().find(|one| one.name == node)?;
        let best = nodes.iter().find(|one| Some(&one.name) == selected.as_ref());
        let margin = best.filter(|_| here.fits).map(|best| margin(here, best));
        let NodeExplanation { name, fits, total, rank, verdicts, scores, .. } = here.clone();
        Some(Self {
            pod,
            node: name,
            revision: snapshot_revision,
            policy,
            fits,
            rank,
            total,
            resources,
            verdicts,
            scores,
            selected,
            margin,
        })
    }
}

fn margin(here: &NodeExplanation, best: &NodeExplanation) -> FitMargin {
    let of = |(mine, theirs): (&ScoreExplanation, &ScoreExplanation)| ScoreMargin {
        priority: mine.priority.clone(),
        score: mine.score,
        best: theirs.score,
        behind: theirs.score.saturating_sub(mine.score).saturating_mul(mine.weight),
    };
    FitMargin {
        total: best.total.saturating_sub(here.total),
        scores: here.scores.iter().zip(&best.scores).map(of).collect(),
    }
}
