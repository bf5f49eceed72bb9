//! The request and the reply of `/policy/diff`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    cluster::{Brought, Cluster},
    explanation::{PodName, PolicyUsed},
    objects::pod,
    policy::schema::PolicyDocument,
};
use podberth_core::{
    diff::{Both, Change, Fill, Packing, Scored, Shift, Spread, Why},
    model::{Name, Quantity, resources},
};

/// The most domains of a topology key that a reply lists.
const MOST_DOMAINS: usize = 100;

/// A policy that may come into force, and the pods to compare it on. Nothing is stored.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PolicyDiffRequest {
    /// The candidate: a `kind: Policy`, or a KubeSchedulerConfiguration v1.
    #[schema(nullable = false, value_type = PolicyDocument)]
    pub candidate: Option<Box<RawValue>>,
    /// The pods to compare on. If it is absent, those that wait in the cluster.
    #[schema(nullable = false)]
    pub over: Option<PolicyDiffOver>,
    /// The cluster to decide over instead of the stored one.
    #[schema(nullable = false, value_type = Cluster)]
    pub cluster: Option<Brought>,
    /// Breaks ties: equal seeds give equal answers.
    pub seed: u64,
    /// Largest number of pods in each of the lists of the reply; default 10000. Counts are always of all.
    #[schema(nullable = false)]
    pub limit: Option<usize>,
}

/// The pods to compare on. Those of recorded `decisions` are decided each alone, on the cluster that the decision was made on. Other pods, in full, by
/// name, or those that wait, are placed one after another, on a copy of the cluster for each policy.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PolicyDiffOver {
    /// Recorded decisions.
    #[schema(nullable = false)]
    pub decisions: Option<OverDecisions>,
    /// Pods in full, or objects with a pod template. A text is the name of a stored one.
    #[schema(nullable = false, value_type = Vec<pod::Pod>)]
    pub pods: Option<Vec<Box<RawValue>>>,
    /// Pods of the cluster, each as `namespace/name` or, in the namespace `default`, `name`. Those that run are taken off their nodes first.
    #[schema(nullable = false, example = json!(["default/web"]))]
    pub pod_names: Option<Vec<String>>,
    /// `true`: all pods that wait for a node.
    #[schema(nullable = false)]
    pub pending: Option<bool>,
}

/// Recorded decisions, the newest first. Without any condition all that are kept, up to 50,000.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OverDecisions {
    /// The newest ones, so many; at most 50,000.
    #[schema(nullable = false, example = 1000)]
    pub last: Option<usize>,
    /// Those from this time on.
    #[schema(nullable = false, example = "2026-01-02T15:04:05Z")]
    pub since: Option<String>,
}

impl PolicyDiffRequest {
    /// The decisions to compare on, if it is about decisions.
    ///
    /// # Errors
    /// If it is about other pods too.
    pub fn over_decisions(&self) -> Result<Option<&OverDecisions>, String> {
        match &self.over {
            Some(PolicyDiffOver {
                decisions: Some(over),
                pods: None,
                pod_names: None,
                pending: None | Some(false),
            }) => Ok(Some(over)),
            Some(PolicyDiffOver { decisions: Some(_), .. }) => {
                Err("over: exactly one of decisions, pods, podNames and pending: true is needed".into())
            }
            _ => Ok(None),
        }
    }
}

/// The differences between the policy in force and the candidate.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyDiffReport {
    /// The revision of the state decided over; 0 where the cluster came with the request, and of decisions, which have one each.
    pub revision: u64,
    /// The policy in force; of decisions `(recorded)`, that of each.
    pub before: PolicyUsed,
    /// The candidate.
    pub candidate: PolicyUsed,
    /// The seed that breaks ties.
    pub seed: u64,
    /// Pods that were decided.
    pub total: usize,
    /// Those that go to the same node under both policies, or to none under either.
    pub same: usize,
    /// How many pods change.
    pub counts: PolicyDiffCounts,
    /// Pods that go to another node.
    pub moved: Vec<PolicyDiffPod>,
    /// Pods that fit nowhere any more.
    pub newly_unschedulable: Vec<PolicyDiffPod>,
    /// Pods that fitted nowhere before.
    pub newly_schedulable: Vec<PolicyDiffPod>,
    /// How many of the changes each rule caused, by its name in its policy. `TieBreak`: equal scores; `SchedulerName`: no profile for the pod.
    pub by_reason: BTreeMap<String, usize>,
    /// How well the nodes are packed after all pods were placed; absent of decisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub packing: Option<PackingDiff>,
    /// How the compared pods are spread over the domains of `topology.kubernetes.io/zone` and `kubernetes.io/hostname`.
    pub spread: BTreeMap<String, SpreadDiff>,
    /// Decisions that could not be made again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedDecision>,
    /// Parts of the policies that the comparison leaves out of account.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How many pods change.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyDiffCounts {
    /// Pods that go to another node.
    pub moved: usize,
    /// Pods that fit nowhere any more.
    pub newly_unschedulable: usize,
    /// Pods that fitted nowhere before.
    pub newly_schedulable: usize,
    /// Decisions that could not be made again.
    pub skipped: usize,
}

/// A decision that could not be made again.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SkippedDecision {
    /// Its id.
    pub id: String,
    /// Why.
    pub why: String,
}

/// A pod whose outcome differs.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyDiffPod {
    /// The pod.
    pub pod: PodName,
    /// The decision, where decisions are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub decision: Option<String>,
    /// Its node under the policy in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub from: Option<String>,
    /// Its node under the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub to: Option<String>,
    /// The rule that is the main cause, as in `byReason`.
    #[schema(example = "PodFitsResources")]
    pub reason: String,
    /// The cause in one sentence.
    #[schema(example = "PodFitsResources of the candidate rejects node-a: Insufficient cpu")]
    pub why: String,
    /// Of a pod that fits nowhere under one of the policies: kube-scheduler's own sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
    /// Where priorities are the cause: those whose weighted scores moved towards the new node, the farthest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<ScoreDiff>,
}

/// The scores of one priority for both nodes of a pod, under both policies.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ScoreDiff {
    /// The priority, by its name in its policy.
    pub priority: String,
    /// Under the policy in force; absent if it has no such priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub before: Option<ScorePair>,
    /// Under the candidate; absent if it has no such priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub after: Option<ScorePair>,
}

/// The scores of the two nodes of a pod.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ScorePair {
    /// The score of the node under the policy in force, 0..=100.
    pub from: i64,
    /// The score of the node under the candidate, 0..=100.
    pub to: i64,
    /// The factor of both.
    pub weight: i64,
}

/// How well the nodes are packed under both policies.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct PackingDiff {
    /// Under the policy in force.
    pub before: PackingReport,
    /// Under the candidate.
    pub after: PackingReport,
}

/// How well the nodes are packed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackingReport {
    /// Nodes.
    pub nodes: usize,
    /// Nodes with a pod that no DaemonSet owns.
    pub nodes_in_use: usize,
    /// Each of `cpu`, `memory` and `pods`.
    pub resources: BTreeMap<String, FillReport>,
}

/// How full the nodes in use are of one resource.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct FillReport {
    /// The mean over the nodes in use of the part that is requested.
    #[schema(example = 0.75)]
    pub mean: f64,
    /// The part that 95 of 100 nodes in use do not exceed.
    #[schema(example = 0.9)]
    pub p95: f64,
    /// The free amount that no median pod can use, because another resource of the node has run out; absent for `pods`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "1500m")]
    pub stranded: Option<String>,
}

/// How pods are spread under both policies.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SpreadDiff {
    /// Under the policy in force.
    pub before: SpreadReport,
    /// Under the candidate.
    pub after: SpreadReport,
}

/// The compared pods over the domains of a topology key.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpreadReport {
    /// Domains.
    pub domains: usize,
    /// The largest difference between the pods of two domains.
    pub max_skew: usize,
    /// The pods of each domain; absent if there are more than 100 domains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pods: Option<BTreeMap<String, usize>>,
}

impl From<&Scored> for ScorePair {
    fn from(scored: &Scored) -> Self {
        Self { from: scored.from, to: scored.to, weight: scored.weight }
    }
}

impl From<&Shift> for ScoreDiff {
    fn from(shift: &Shift) -> Self {
        Self {
            priority: shift.priority.clone(),
            before: shift.before.as_ref().map(ScorePair::from),
            after: shift.after.as_ref().map(ScorePair::from),
        }
    }
}

impl From<&Change> for PolicyDiffPod {
    fn from(change: &Change) -> Self {
        let scores = if let Why::Scores(shifts) = &change.why { &shifts[..] } else { &[] };
        Self {
            pod: PodName::from(&*change.pod),
            decision: None,
            from: change.from.as_ref().map(ToString::to_string),
            to: change.to.as_ref().map(ToString::to_string),
            reason: change.why.rule().to_owned(),
            why: change.why.to_string(),
            message: change.sentence.clone(),
            scores: scores.iter().map(ScoreDiff::from).collect(),
        }
    }
}

impl From<&Both<Packing>> for PackingDiff {
    fn from(both: &Both<Packing>) -> Self {
        Self { before: PackingReport::from(&both.before), after: PackingReport::from(&both.after) }
    }
}

impl From<&Packing> for PackingReport {
    fn from(of: &Packing) -> Self {
        let fill = |(name, fill): (&Name, &Fill)| {
            let stranded = match &**name {
                resources::CPU => Some(Quantity::from_milli(fill.stranded)),
                resources::PODS => None,
                _ => Some(Quantity::from_units(fill.stranded)),
            };
            let stranded = stranded.map(|amount| amount.to_string());
            (name.to_string(), FillReport { mean: rounded(fill.mean), p95: rounded(fill.p95), stranded })
        };
        Self { nodes: of.nodes, nodes_in_use: of.in_use, resources: of.resources.iter().map(fill).collect() }
    }
}

/// To four places.
fn rounded(part: f64) -> f64 {
    (part * 10_000.0).round() / 10_000.0
}

impl From<&Both<Spread>> for SpreadDiff {
    fn from(both: &Both<Spread>) -> Self {
        Self { before: SpreadReport::from(&both.before), after: SpreadReport::from(&both.after) }
    }
}

impl From<&Spread> for SpreadReport {
    fn from(of: &Spread) -> Self {
        let domains = of.pods.len();
        let listed = || of.pods.iter().map(|(domain, pods)| (domain.to_string(), *pods)).collect();
        Self { domains, max_skew: of.max_skew(), pods: (domains <= MOST_DOMAINS).then(listed) }
    }
}
