//! A recorded decision: what was asked, on which state, under which policy and seed, and the answer, so that it can be made again.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    explanation::{PodName, PolicyUsed},
    objects::pod,
    policy::schema::PolicyDocument,
};

pub use self::{
    replay::{ReplayDifference, ReplayReport, ReplayRequest, ReplaySkipped, ReplayedField},
    share::{Share, WHOLE},
};

mod replay;
mod share;

/// One recorded decision.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Decision)]
pub struct Decision {
    /// Its id: a UUID of version 7. Ids of later decisions are greater; those of a batch are consecutive.
    #[schema(example = "0198e3f0-2b1c-7a41-8000-1b2c3d400000")]
    pub id: String,
    /// When its batch began, or when it was made where it is in none, RFC 3339.
    #[schema(example = "2026-01-02T15:04:05.123456Z")]
    pub time: String,
    /// The cluster.
    #[schema(example = "default")]
    pub cluster: String,
    /// The kind of call that asked for it.
    pub call: CallKind,
    /// The user and the program that asked.
    pub by: AskedBy,
    /// The pod that was judged.
    pub pod: JudgedPod,
    /// The policy that decided.
    pub policy: PolicyUsed,
    /// The text of the policy, where it came with the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = PolicyDocument)]
    pub policy_text: Option<Box<RawValue>>,
    /// The revision of the state on which it was decided.
    #[schema(example = 12)]
    pub revision: u64,
    /// The seed that broke ties.
    pub seed: u64,
    /// `true` if the pod was allowed to preempt others.
    #[serde(default)]
    pub preempt: bool,
    /// Its place in a batch: pods placed before it counted as if they were on their nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub batch: Option<BatchPlace>,
    /// Nodes that got no pods at that time, since their kubelets had refused some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub avoided: Vec<String>,
    /// The nodes that were asked about, where those were not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub candidates: Option<Vec<String>>,
    /// The result.
    pub outcome: DecisionOutcome,
    /// The node chosen; of `/filter` and `/prioritize` the best one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub node: Option<String>,
    /// The total of the node chosen; absent where preemption chose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub total: Option<i64>,
    /// The number of nodes that fit, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub fitting: Option<usize>,
    /// Why it fits nowhere, in kube-scheduler's words, or why the decision came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
    /// The pods that had to leave for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub victims: Vec<PodName>,
    /// Further changes, for the decisions after it in its batch.
    #[serde(default, skip_serializing_if = "Effects::is_empty")]
    pub effects: Effects,
    /// The number of nodes ruled out for each reason. Absent until it is worked out: a busy server does so when the decision is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub verdicts: Option<Vec<VerdictCount>>,
    /// The best ten nodes, the best first; absent like `verdicts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub scores: Option<Vec<NodeScore>>,
    /// A digest of the whole answer, where it is more than a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub digest: Option<String>,
    /// Why it cannot be made again, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub unrepeatable: Option<String>,
}

/// The kind of call that asked for a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DecisionCall)]
pub enum CallKind {
    /// `/schedule`
    #[default]
    Schedule,
    /// Podberth's own scheduler.
    Loop,
    /// `/filter`
    Filter,
    /// `/prioritize`
    Prioritize,
    /// `/placements`, with a commit
    Placement,
    /// `/bind`, or `pods/binding`
    Bind,
    /// The loop over node groups
    Autoscale,
    /// The loop over HorizontalPodAutoscalers
    Hpa,
    /// The rescheduling loop
    Reschedule,
}

impl CallKind {
    /// `true` if a node was chosen among several, so that the choice can be made again.
    pub fn is_choice(self) -> bool {
        matches!(self, Self::Schedule | Self::Loop | Self::Placement | Self::Filter | Self::Prioritize)
    }
}

/// The result of a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum DecisionOutcome {
    /// The pod was bound to the node.
    Bound,
    /// The node was reserved for the pod.
    Assumed,
    /// The pod fits nowhere.
    Unschedulable,
    /// Others were first, so the pod was decided again.
    Stale,
    /// The pod was placed, and not bound; `message` tells why, where it is known.
    NotBound,
    /// The caller was answered, and decided by itself (`/filter`, `/prioritize`).
    #[default]
    Answered,
    /// A loop of autoscaling or rescheduling did something; `message` tells what and why.
    Acted,
}

/// The user and the program that asked for a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DecisionAskedBy)]
pub struct AskedBy {
    /// The user's name.
    #[schema(example = "system:admin")]
    pub user: String,
    /// The program, as its `User-Agent` names it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub agent: String,
}

/// The pod that was judged. A stored one is read at its revision; one that was sent is here in full.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JudgedPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The revision at which the pod was as judged, if it was changed by the revision of the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub revision: Option<u64>,
    /// The pod as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = pod::Pod)]
    pub body: Option<Box<RawValue>>,
}

/// A decision's place in its batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchPlace {
    /// The batch: the id of its first decision, recorded or not.
    pub id: String,
    /// The number of pods that were placed in it before this one.
    pub place: usize,
    /// Pods of the batch before that were placed, and counted at the beginning of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub carried: Option<Carried>,
}

/// Decisions of a batch that counted at the beginning of the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CarriedDecisions)]
pub struct Carried {
    /// Their batch.
    pub batch: String,
    /// The place of the first.
    pub from: usize,
    /// Their number.
    pub count: usize,
}

/// Changes of a placement besides the pod's node and its victims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DecisionEffects)]
pub struct Effects {
    /// Allowed disruptions that the evictions used up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<Charge>,
    /// Pods that no longer waited for the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cleared: Vec<PodName>,
    /// The number of claims that got volumes or devices.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub claims: usize,
}

/// Allowed disruptions of one budget that evictions used up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BudgetCharge)]
pub struct Charge {
    /// The budget's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How many.
    pub used: i32,
}

/// A reason, and how many nodes it rules out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerdictCount {
    /// The reason, in kube-scheduler's words.
    #[schema(example = "Insufficient cpu")]
    pub reason: String,
    /// The number of nodes.
    pub nodes: usize,
}

/// A node and its scores combined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeScore {
    /// The node.
    pub node: String,
    /// Its total; of `/prioritize` its score.
    pub total: i64,
}

/// Some of the recorded decisions.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct DecisionList {
    /// The newest first.
    pub items: Vec<Decision>,
    /// Where the next page begins; absent if this is the last. A page may be empty though more follow.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
    /// The number of records on this page that are left out, since this version does not know their form.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unreadable: usize,
}

impl Effects {
    /// `true` if nothing else changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Decision {
    /// Reads a recorded decision.
    ///
    /// # Errors
    /// If the text is none.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }
}
