//! Pods that wait for a node, in groups that wait for equal reasons.

use std::cmp::Reverse;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::explanation::{PodName, PolicyUsed};
use podberth_core::pending::Group;

/// A page of the groups of pods that wait.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PendingPods)]
pub struct PendingReply {
    /// The revision of the state.
    pub revision: u64,
    /// The policy under which the pods were judged.
    pub policy: PolicyUsed,
    /// The nodes of the cluster.
    pub nodes: usize,
    /// How many pods wait, on all pages.
    pub pods: usize,
    /// Those that were not judged, since there are too many with different demands: they are in no group.
    pub unjudged: usize,
    /// The groups, the largest first.
    pub groups: Vec<PendingGroup>,
    /// Asks for the next page; absent on the last.
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}

/// Pods that wait for equal reasons. Numbers of nodes are those of the pod for which they are largest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PendingGroup {
    /// How many pods there are.
    pub count: usize,
    /// When the oldest was created, RFC 3339; absent if none tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "2026-01-02T15:04:05Z")]
    pub oldest: Option<String>,
    /// kube-scheduler's sentence for the oldest; for a pod that fits, how many nodes do.
    #[schema(example = "0/5 nodes are available: 5 Insufficient cpu.")]
    pub message: String,
    /// The reasons, that with the most nodes first; none for pods that fit.
    pub reasons: Vec<PendingReason>,
    /// How many nodes fit: above 0 they wait for a scheduler alone.
    pub fitting: usize,
    /// On how many nodes evicting pods might help.
    pub resolvable: usize,
    /// The oldest pods, at most 20, the oldest first.
    pub pods: Vec<PodName>,
}

/// A reason that rules nodes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PendingReason {
    /// The reason, in kube-scheduler's words.
    #[schema(example = "Insufficient cpu")]
    pub text: String,
    /// How many nodes it rules out.
    pub nodes: usize,
}

impl From<&Group> for PendingGroup {
    fn from(group: &Group) -> Self {
        let reason = |(text, nodes): (&std::borrow::Cow<'static, str>, &usize)| PendingReason {
            text: text.to_string(),
            nodes: *nodes,
        };
        let mut reasons: Vec<PendingReason> = group.reasons.iter().map(reason).collect();
        reasons.sort_by_key(|reason| Reverse(reason.nodes));
        let created = |nanoseconds: i64| Timestamp::from_nanosecond(nanoseconds.into()).ok().map(|at| at.to_string());
        let name = |pod: &std::sync::Arc<podberth_core::model::Pod>| PodName {
            namespace: pod.namespace.to_string(),
            name: pod.name.to_string(),
        };
        Self {
            count: group.count,
            oldest: group.oldest.and_then(created),
            message: group.message.clone(),
            reasons,
            fitting: group.fitting,
            resolvable: group.resolvable,
            pods: group.pods.iter().map(name).collect(),
        }
    }
}
