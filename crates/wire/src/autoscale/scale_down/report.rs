//! The reply of `POST /autoscale/scale-down`.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::time;
use crate::{autoscale::step::AdviceStepReport, explanation::PolicyUsed};
use podberth_core::{
    advise::{
        groups::Groups,
        scale_down::{Answer, Move, NodeAnswer, Reason, Split, Utilization},
    },
    model::{Name, Pod},
    snapshot::Snapshot,
};

/// Gives the name of a pod by which the reply calls it: `namespace/name`.
pub type PodNames<'a> = dyn FnMut(&Pod) -> String + 'a;

/// Which nodes the cluster can do without, and what keeps the others.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDownReport {
    /// The revision of the stored cluster; 0 for one of the request.
    pub revision: u64,
    /// The policy that places pods.
    pub policy: PolicyUsed,
    /// The time that ages are reckoned from.
    pub now: String,
    /// Every node by name.
    pub nodes: BTreeMap<String, ScaleDownNode>,
    /// Candidates in the order in which they were examined.
    pub order: Vec<String>,
    /// Nodes that may go now.
    pub removable: ScaleDownSplit,
    /// Of those, the ones that go in this round.
    pub delete: ScaleDownDelete,
    /// These nodes one by one: where the scheduler would place their pods.
    pub plan: Vec<ScaleDownRemoval>,
    /// The steps to take.
    pub plan_steps: Vec<AdviceStepReport>,
    /// Unneeded nodes and since when, for the next round's request.
    pub unneeded_since: BTreeMap<String, String>,
    /// Nodes found unremovable in the search, and until when the next rounds need not look at them.
    pub unremovable_until: BTreeMap<String, String>,
}

/// Findings about a node.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDownNode {
    /// Its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub node_group: Option<String>,
    /// `true` if it was to be examined.
    pub candidate: bool,
    /// How full it is, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub utilization: Option<ScaleDownUtilization>,
    /// `true` if the cluster can do without it. A candidate that is neither unneeded nor has a reason was not examined: enough others were found.
    pub unneeded: bool,
    /// Since when it is unneeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub unneeded_since: Option<String>,
    /// When it has been unneeded for long enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub removable_at: Option<String>,
    /// `true` if its pods cannot all be evicted at once within their budgets, only one after the other.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub risky: bool,
    /// The pods that have to move.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pods_to_move: Vec<String>,
    /// Where they would go if the unneeded nodes examined before were gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<ScaleDownMove>,
    /// The pods whose end is waited for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_completion_pods: Vec<String>,
    /// Why it does not go now, in the cluster autoscaler's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "BlockedByPod")]
    pub reason: Option<String>,
    /// The reason in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
    /// The pod that keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub blocking_pod: Option<ScaleDownBlockingPod>,
}

/// How full a node is.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDownUtilization {
    /// The part of the CPU that pods ask for; absent for a node with GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cpu: Option<f64>,
    /// The part of the memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub memory: Option<f64>,
    /// The resource that counts.
    #[schema(example = "cpu")]
    pub resource: String,
    /// The part of it: what the threshold is compared with.
    pub value: f64,
}

/// A pod that keeps its node.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDownBlockingPod {
    /// The pod as `namespace/name`.
    pub pod: String,
    /// Why, in the cluster autoscaler's word.
    #[schema(example = "LocalStorageRequested")]
    pub reason: String,
    /// The reason in words, with the remedy.
    pub message: String,
}

/// A pod and the node that takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDownMove {
    /// The pod as `namespace/name`.
    pub pod: String,
    /// The node.
    pub to: String,
}

/// Nodes without pods that have to move, and nodes with such pods.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDownSplit {
    /// Nothing has to move.
    pub empty: Vec<String>,
    /// Pods have to move.
    pub drain: Vec<String>,
}

/// The nodes that go in this round.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDownDelete {
    /// How many.
    pub count: usize,
    /// Nothing has to move.
    pub empty: Vec<String>,
    /// Pods have to move.
    pub drain: Vec<String>,
}

/// The removal of a node: it is cordoned, its pods are evicted as their budgets allow, and it is deleted.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDownRemoval {
    /// The node.
    pub node: String,
    /// Its group, which becomes smaller by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub node_group: Option<String>,
    /// The pods to evict, and where the scheduler would place them.
    pub moves: Vec<ScaleDownMove>,
}

impl ScaleDownReport {
    /// The reply to an answer. `name` says how a pod is called.
    pub fn new(
        answer: &Answer,
        groups: &Groups,
        (snapshot, now): (&Snapshot, i64),
        policy: PolicyUsed,
        name: &mut PodNames<'_>,
    ) -> Self {
        let times = |of: &BTreeMap<Name, i64>| of.iter().map(|(node, at)| (node.to_string(), time(*at))).collect();
        let nodes = answer.nodes.iter().map(|node| (node.name.to_string(), ScaleDownNode::new(node, name))).collect();
        let plan = answer.removals.iter().map(|removal| ScaleDownRemoval {
            node: removal.node.to_string(),
            node_group: groups.of(&removal.node).map(|group| group.id.to_string()),
            moves: moves(&removal.moves, name),
        });
        let plan = plan.collect();
        let ScaleDownSplit { empty, drain } = ScaleDownSplit::from(&answer.delete);
        Self {
            revision: snapshot.revision,
            policy,
            now: time(now),
            nodes,
            order: answer.order.iter().map(ToString::to_string).collect(),
            removable: ScaleDownSplit::from(&answer.removable),
            delete: ScaleDownDelete { count: empty.len() + drain.len(), empty, drain },
            plan,
            plan_steps: answer
                .plan(snapshot, groups)
                .steps
                .iter()
                .map(|step| AdviceStepReport::new(step, &mut *name))
                .collect(),
            unneeded_since: times(&answer.state.unneeded_since),
            unremovable_until: times(&answer.state.unremovable_until),
        }
    }
}

impl ScaleDownNode {
    fn new(node: &NodeAnswer, name: &mut PodNames<'_>) -> Self {
        Self {
            node_group: node.group.as_deref().map(Into::into),
            candidate: node.candidate,
            utilization: node.utilization.as_ref().map(ScaleDownUtilization::from),
            unneeded: node.unneeded,
            unneeded_since: node.unneeded_since.map(time),
            removable_at: node.removable_at.map(time),
            risky: node.risky,
            pods_to_move: node.moves.iter().map(|one| name(&one.pod)).collect(),
            moves: moves(&node.moves, name),
            on_completion_pods: node.on_completion.iter().map(|pod| name(pod)).collect(),
            reason: node.reason.map(|reason| reason.name().into()),
            message: node.reason.map(|reason| message(node, reason, name)),
            blocking_pod: node.blocking.as_ref().map(|blocking| ScaleDownBlockingPod {
                pod: name(&blocking.pod),
                reason: blocking.reason.name().into(),
                message: blocking.reason.message().into(),
            }),
        }
    }
}

/// The reason of a node in words.
fn message(node: &NodeAnswer, reason: Reason, name: &mut PodNames<'_>) -> String {
    match (&node.blocking, &node.homeless) {
        (Some(blocking), _) => format!("pod {}: {}", name(&blocking.pod), blocking.reason.message()),
        (_, Some(pod)) if node.unneeded => {
            format!("pod {} fits on no other node while only the nodes of this round go", name(pod))
        }
        (_, Some(pod)) => format!("pod {} fits on no other node", name(pod)),
        _ => reason.message().into(),
    }
}

fn moves(moves: &[Move], name: &mut PodNames<'_>) -> Vec<ScaleDownMove> {
    moves.iter().map(|one| ScaleDownMove { pod: name(&one.pod), to: one.to.to_string() }).collect()
}

impl From<&Utilization> for ScaleDownUtilization {
    fn from(utilization: &Utilization) -> Self {
        let Utilization { resource, value, cpu, memory, of_gpus: _ } = utilization;
        Self { cpu: *cpu, memory: *memory, resource: resource.to_string(), value: *value }
    }
}

impl From<&Split> for ScaleDownSplit {
    fn from(split: &Split) -> Self {
        let names = |of: &[Name]| of.iter().map(ToString::to_string).collect();
        Self { empty: names(&split.empty), drain: names(&split.drain) }
    }
}
