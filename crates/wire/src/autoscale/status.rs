//! The reply of `GET /autoscale/status`.

use serde::Serialize;
use utoipa::ToSchema;

/// All that the loop over node groups knows and does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoscaleStatus {
    /// `act`, or `advise` where the steps are only what it would do; `off` where no loop has run.
    #[serde(rename = "loop")]
    #[schema(example = "advise")]
    pub running: &'static str,
    /// `watching`; `cooldown`, in which no node is removed; `unhealthy`, since too many nodes are not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "watching")]
    pub mood: Option<&'static str>,
    /// The end of the cooldown, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub until: Option<String>,
    /// The revision of the state.
    #[schema(example = 12)]
    pub revision: u64,
    /// Pods that wait for a node.
    pub waiting_pods: usize,
    /// Node groups, by name, but for those at fault.
    pub groups: Vec<GroupStatus>,
    /// Node groups that are left alone with their nodes, since they share a node or their sizes contradict each other.
    pub faults: Vec<GroupFault>,
    /// Nodes of no group, or of one at fault.
    pub nodes_without_group: usize,
    /// Nodes that are not needed.
    pub unneeded: Vec<UnneededNode>,
    /// Nodes on their way out.
    pub leaving: Vec<LeavingNode>,
    /// Messages that the webhook has not accepted yet.
    pub messages_waiting: usize,
    /// The last steps, or those that it would do, each with its reason.
    pub steps: Vec<String>,
}

/// A node group as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NodeGroupStatus)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// It never has fewer nodes.
    pub min_size: u32,
    /// It never has more nodes.
    pub max_size: u32,
    /// The number of nodes that it is to have.
    pub target_size: u32,
    /// Nodes that are ready.
    pub ready: u32,
    /// Nodes that are not.
    pub unready: u32,
    /// Nodes on their way.
    pub coming: u32,
    /// Nodes on their way out.
    pub leaving: u32,
    /// Its nodes did not come in time: it does not grow before this time, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pauses_until: Option<String>,
}

/// A fault of node groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = NodeGroupFault)]
pub struct GroupFault {
    /// The groups.
    #[schema(example = json!(["big", "other"]))]
    pub groups: Vec<String>,
    /// The fault, and what would mend it.
    pub message: String,
}

/// A node that is not needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnneededNode {
    /// The node.
    pub node: String,
    /// Its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub group: Option<String>,
    /// Since when, RFC 3339.
    pub since: String,
}

/// A node on its way out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct LeavingNode {
    /// The node.
    pub node: String,
    /// Its group.
    pub group: String,
    /// `draining`, or `removing` when it is empty and to be deleted.
    #[schema(example = "draining")]
    pub state: &'static str,
    /// Since when, RFC 3339.
    pub since: String,
}
