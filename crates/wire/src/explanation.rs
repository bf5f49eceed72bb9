//! A decision as the outside world reads it: a matrix of every node by every predicate and priority.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{asked::TemplateOwner, source::SourceRead, suggestion::Suggestion};
use podberth_core::{
    cycle::{Decision, Level, NodeDecision},
    extenders::{ExtenderScore, ExtenderVerdict},
    model::Pod,
    policy::{ActivePriority, Combination},
    preempt::{Attempt, Candidate},
    snapshot::Snapshot,
    work,
};

/// The plugin that kube-scheduler counts the verdicts of extenders under.
const EXTENDER_PLUGIN: &str = "Extender";

/// The whole decision for one pod: where it can run, where best, and why.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The pod of the request.
    pub pod: PodName,
    /// Every node, in order of names.
    pub nodes: Vec<NodeExplanation>,
    /// The best node; absent where the pod fits nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected: Option<String>,
    /// The level of a decision tree that parted the best node from the next best. Absent where the two tie on every
    /// level, so that the hash of seed, pod and node name decides, where only one node fits, and under `WeightedSum`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub decided_by: Option<DecidingLevel>,
    /// Where the pod would go or, where it fits nowhere, kube-scheduler's own sentence, as in
    /// `0/5 nodes are available: 5 Insufficient cpu.`
    pub message: String,
    /// The effect of preemption; absent unless requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub preemption: Option<PreemptionExplanation>,
    /// The cheapest changes with which a pod that fits nowhere would fit, the cheapest first; absent unless requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<Suggestion>,
    /// Where the pod runs already, and whether that is still the best; absent for one that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub bound_to: Option<BoundTo>,
    /// The object whose pod template was used; absent if the pod itself was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub template: Option<TemplateOwner>,
    /// The policy decided under.
    pub policy: PolicyUsed,
    /// The revision of the state decided over; 0 where the cluster came with the request.
    pub snapshot_revision: u64,
    /// The seed that breaks ties.
    pub seed: u64,
    /// Failed calls to extenders (`callExtenders`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extender_errors: Vec<ExtenderError>,
    /// The live cluster that the cluster mirrors; absent for one that mirrors none, and where the cluster came with the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub source: Option<SourceRead>,
}

/// The node on which a pod that was requested by name runs already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoundTo {
    /// The node.
    pub node: String,
    /// `true` if the pod would fit there if it were placed again, without counting itself.
    pub fits: bool,
    /// `true` if no other node is better.
    pub is_best: bool,
    /// The node's place among those that fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rank: Option<usize>,
}

/// A call of an extender that failed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExtenderError {
    /// The extender, by the policy's `urlPrefix`.
    pub extender: String,
    /// `filter`, `prioritize`, `preempt` or `bind`.
    pub verb: String,
    /// The error.
    pub message: String,
}

/// A level of a decision tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecidingLevel {
    /// Its place, 1 being the most important.
    #[schema(example = 1)]
    pub level: usize,
    /// The priority of the level, by its name in the policy.
    #[schema(example = "NodeAffinityPriority")]
    pub priority: String,
}

impl From<&Level<'_>> for DecidingLevel {
    fn from(level: &Level<'_>) -> Self {
        Self { level: level.number, priority: level.priority.name.to_string() }
    }
}

/// A pod's namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PodName {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl PodName {
    /// The namespace and the name in a text: `namespace/name` or, in the namespace `default`, `name`.
    pub fn parse(text: &str) -> (&str, &str) {
        text.split_once('/').unwrap_or(("default", text))
    }
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Which policy a decision was made under.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyUsed {
    /// `default`, a named policy's name, or `(request)` for one that came with the request.
    pub name: String,
    /// Its revision; 0 for a built-in default or one that came with the request.
    pub revision: u64,
    /// The profile of it that decided, by its `schedulerName`; absent for a Policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "default-scheduler")]
    pub profile: Option<String>,
    /// The kube-scheduler release whose rules it follows.
    #[schema(example = "1.22")]
    pub release: String,
}

/// A decision's part about one node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeExplanation {
    /// The node's name.
    pub name: String,
    /// `true` if the pod can run there.
    pub fits: bool,
    /// Its scores combined: the higher the better, and equal totals tie. Under `WeightedSum` Σ score × weight; under `Lexicographic` the number
    /// of groups of equal nodes behind its own. 0 if it does not fit.
    pub total: i64,
    /// Its place among the nodes that fit, 1 being the best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// The level of a decision tree at which it fell behind the best node. Absent for the best and for those that tie
    /// with it on every level, and under `WeightedSum`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub lost_at: Option<DecidingLevel>,
    /// The verdict of every predicate, in order of evaluation.
    pub verdicts: Vec<VerdictExplanation>,
    /// The score of every priority, under `Lexicographic` in order of importance; empty if the node does not fit.
    pub scores: Vec<ScoreExplanation>,
}

/// One predicate's answer for one node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VerdictExplanation {
    /// The predicate, by the name the policy called it; of an extender its URL.
    pub predicate: String,
    /// The framework plugin that carries it; `Extender` for an extender.
    pub plugin: String,
    /// `Fits`, `Unschedulable` (evicting pods might help) or `UnschedulableAndUnresolvable` (it cannot).
    pub verdict: VerdictCode,
    /// Why not, in kube-scheduler's words.
    pub reasons: Vec<String>,
}

/// A predicate's answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "documented where it is used")]
pub enum VerdictCode {
    Fits,
    Unschedulable,
    UnschedulableAndUnresolvable,
}

/// One priority's score of one node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ScoreExplanation {
    /// The priority, by the name the policy called it; of an extender its URL.
    pub priority: String,
    /// The framework plugin that carries it; `Extender` for an extender.
    pub plugin: String,
    /// 0..=100, before the weight; for an extender ten times its own score.
    pub score: i64,
    /// The factor of the score; 1 under `Lexicographic`.
    pub weight: i64,
    /// How far below the best a score may be and still tie with it; only under `Lexicographic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 100)]
    pub tolerance: Option<i64>,
}

/// The effect of preemption for a pod that fits nowhere.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreemptionExplanation {
    /// The nodes where it would help, those that break no disruption budget first.
    pub candidates: Vec<CandidateExplanation>,
    /// The node it would choose; null where there is no candidate.
    pub selected: Option<String>,
    /// The effect or, without any candidate, the reason, as in
    /// `0/2 nodes are available: 2 No preemption victims found for incoming pod.`
    pub message: String,
}

/// A node that would take the pod once its victims have left.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CandidateExplanation {
    /// The node's name.
    pub node: String,
    /// The pods that would have to leave, in kube-scheduler's order: since 1.34 the most important first, in 1.22 those
    /// before the others that a disruption budget would keep.
    pub victims: Vec<Victim>,
    /// How many of them a disruption budget would keep.
    pub pdb_violations: usize,
}

/// A pod that would have to leave.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = PreemptionVictim)]
pub struct Victim {
    /// Its uid.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its priority, below that of the pod of the request.
    pub priority: i32,
}

impl PreemptionExplanation {
    /// Puts an attempt over a snapshot into words.
    pub fn new(attempt: &Attempt, snapshot: &Snapshot) -> Self {
        let victim = |pod: &std::sync::Arc<Pod>| Victim {
            uid: pod.uid.to_string(),
            namespace: pod.namespace.to_string(),
            name: pod.name.to_string(),
            priority: snapshot.priority_of(pod),
        };
        let candidate = |candidate: &Candidate| CandidateExplanation {
            node: candidate.node.to_string(),
            victims: candidate.victims.iter().map(victim).collect(),
            pdb_violations: candidate.pdb_violations,
        };
        Self {
            candidates: attempt.candidates.iter().map(candidate).collect(),
            selected: attempt.selected.as_ref().map(ToString::to_string),
            message: attempt.message.clone(),
        }
    }
}

impl Explanation {
    /// Puts a decision into words.
    pub fn new(pod: &Pod, decision: &Decision<'_>, policy: PolicyUsed, snapshot_revision: u64, seed: u64) -> Self {
        Self {
            pod: PodName { namespace: pod.namespace.to_string(), name: pod.name.to_string() },
            nodes: decision.nodes.iter().map(|node| NodeExplanation::new(node, decision.combination)).collect(),
            selected: decision.selected.as_ref().map(ToString::to_string),
            decided_by: decision.decided_by.as_ref().map(DecidingLevel::from),
            message: decision.message.clone(),
            preemption: None,
            suggestions: Vec::new(),
            bound_to: None,
            template: None,
            policy,
            snapshot_revision,
            seed,
            extender_errors: Vec::new(),
            source: None,
        }
    }
}

impl Explanation {
    /// The explanation for a pod that runs on a node already and was not counted there.
    #[must_use]
    pub fn of_bound(mut self, node: &str) -> Self {
        let here = self.nodes.iter().find(|n| n.name == node);
        let best = self.nodes.iter().filter(|n| n.fits).map(|n| n.total).max();
        let bound = BoundTo {
            node: node.to_owned(),
            fits: here.is_some_and(|here| here.fits),
            is_best: here.is_some_and(|here| here.fits && Some(here.total) == best),
            rank: here.and_then(|here| here.rank),
        };
        let still = match here {
            _ if bound.is_best => "which is still the best node".to_owned(),
            None => "which is no node any more".to_owned(),
            Some(here) if here.fits => {
                let fitting = self.nodes.iter().filter(|n| n.fits).count();
                format!("which is now number {} of the {fitting} nodes that fit", bound.rank.unwrap_or_default())
            }
            Some(here) => {
                let reasons: Vec<&str> = here.verdicts.iter().flat_map(|v| &v.reasons).map(String::as_str).collect();
                format!("where it would not fit any more ({})", reasons.join(", "))
            }
        };
        let PodName { namespace, name } = &self.pod;
        self.message = format!("{namespace}/{name} runs on {node}, {still}; placed anew: {}", self.message);
        self.bound_to = Some(bound);
        self
    }
}

impl NodeExplanation {
    fn new(decision: &NodeDecision<'_>, combination: Combination) -> Self {
        let verdict = |v: &podberth_core::cycle::PredicateVerdict<'_>| VerdictExplanation {
            predicate: v.predicate.name.to_string(),
            plugin: v.predicate.plugin.to_string(),
            verdict: VerdictCode::from(&v.verdict),
            reasons: v.verdict.reasons().iter().map(ToString::to_string).collect(),
        };
        let score = |(priority, score): &(&ActivePriority, i64)| ScoreExplanation {
            priority: priority.name.to_string(),
            plugin: priority.plugin.to_string(),
            score: *score,
            weight: priority.weight,
            tolerance: (combination == Combination::Lexicographic).then_some(priority.tolerance),
        };
        let extender_verdict = |extenders: &ExtenderVerdict| VerdictExplanation {
            predicate: extenders.by.to_string(),
            plugin: EXTENDER_PLUGIN.into(),
            verdict: VerdictCode::from(&extenders.verdict),
            reasons: extenders.verdict.reasons().iter().map(ToString::to_string).collect(),
        };
        let extender_score = |extenders: &ExtenderScore| ScoreExplanation {
            priority: extenders.by.to_string(),
            plugin: EXTENDER_PLUGIN.into(),
            score: extenders.score,
            weight: extenders.weight,
            tolerance: None,
        };
        work::spend_on(4 * (decision.verdicts.len() + decision.scores.len()));
        let (verdicts, scores) = (decision.verdicts.iter().map(verdict), decision.scores.iter().map(score));
        Self {
            name: decision.node.name().to_string(),
            fits: decision.fits(),
            total: decision.total,
            rank: decision.rank,
            lost_at: decision.lost_at.as_ref().map(DecidingLevel::from),
            verdicts: verdicts.chain(decision.extenders.iter().map(extender_verdict)).collect(),
            scores: scores.chain(decision.extender_scores.iter().map(extender_score)).collect(),
        }
    }
}

impl From<&podberth_core::verdict::Verdict> for VerdictCode {
    fn from(verdict: &podberth_core::verdict::Verdict) -> Self {
        use podberth_core::verdict::Verdict;
        match verdict {
            Verdict::Fits => Self::Fits,
            Verdict::Unschedulable(_) => Self::Unschedulable,
            Verdict::UnschedulableAndUnresolvable(_) => Self::UnschedulableAndUnresolvable,
        }
    }
}
