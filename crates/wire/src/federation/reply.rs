//! The reply of `POST /placements`.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use podberth_core::federation::{Outcome, Ranked, Rejected};

/// The clusters that get replicas, and the reasons against the others.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPlacementReport {
    /// The clusters that get replicas, in their order.
    pub clusters: Vec<PlacedCluster>,
    /// Replicas without a place.
    pub unplaced: i64,
    /// Why nothing was placed, or not all: `NoClusterFits`, `TooFewClusters`, `TooFewRegions`, `RegionsTooSmall`, `TooFewGroups`, `GroupsTooSmall` or
    /// `InsufficientReplicas`.
    #[schema(nullable = false, example = "InsufficientReplicas")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The reason in a sentence.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The name of the affinity that decided.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<String>,
    /// The clusters that passed all rules and the spread, in their order.
    pub selected: Vec<String>,
    /// The clusters that did not pass the rules, or that the spread leaves out.
    pub rejected: Vec<RejectedCluster>,
    /// The rules by which clusters were ordered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decided_by: Vec<String>,
    /// The revision of each cluster at which its room was counted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub snapshot_revisions: BTreeMap<String, u64>,
    /// The label `podberth.io/placement` of the pods that were made, if any were.
    #[schema(nullable = false, example = "2b7a4d62")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<String>,
    /// `reserve` or `bind`, if that was done.
    #[schema(nullable = false, example = "reserve")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub committed: Option<&'static str>,
}

/// A cluster that gets replicas.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacedCluster {
    /// Its name.
    #[schema(example = "eu-1")]
    pub name: String,
    /// How many it has then, with those that it keeps.
    #[schema(example = 40)]
    pub replicas: i64,
    /// Its place in the order of clusters, from 1.
    pub rank: usize,
    /// Its score: the weighted sum, or that of the first priority of a tree.
    pub score: i64,
    /// Its score by each priority.
    pub scores: BTreeMap<String, i64>,
    /// Its room.
    #[serde(flatten)]
    pub room: RoomReport,
}

/// The room of a cluster for further replicas; absent if the cluster came with the request. Counting ends at the number of replicas that are asked for.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomReport {
    /// How many more replicas it takes, of all sources together.
    #[schema(nullable = false, example = 60)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available: Option<i64>,
    /// Those on nodes that are there, without evictions.
    #[schema(nullable = false, example = 50)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_existing: Option<i64>,
    /// Those for which pods of lower priority would be evicted.
    #[serde(skip_serializing_if = "is_zero")]
    pub by_preemption: i64,
    /// Those on nodes that would be added.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_scale_up: Option<NewNodesReport>,
    /// The nodes of the new replicas, and how many pods each gets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeCount>,
    /// The pods that a commit made, as `namespace/name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<String>,
}

/// Nodes that would be added.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewNodesReport {
    /// The node template of the Cluster.
    #[schema(example = "large")]
    pub template: String,
    /// How many replicas they take.
    pub replicas: i64,
    /// How many nodes the replicas that the cluster gets need.
    pub count: usize,
    /// Seconds until they are ready.
    pub wait_seconds: i64,
    /// The price of the nodes for an hour; absent where the template has none.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

/// A node, and how many pods it gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct NodeCount {
    /// The node.
    #[schema(example = "node-a")]
    pub name: String,
    /// How many pods.
    pub count: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// A cluster that did not pass the rules.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RejectedCluster {
    /// Its name.
    #[schema(example = "us-1")]
    pub name: String,
    /// The rules that reject it.
    pub reasons: Vec<RejectedReason>,
}

/// A reason against a cluster.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RejectedReason {
    /// The rule, as `GET /plugins` names it.
    #[schema(example = "ClusterTaint")]
    pub rule: String,
    /// The reason.
    pub text: String,
    /// Number of nodes that it is about; absent for a reason about the cluster.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<usize>,
}

impl ClusterPlacementReport {
    /// The reply for what was decided.
    pub fn new(outcome: &Outcome) -> Self {
        let placed = outcome.shares.iter().map(|share| {
            let rank = outcome.ranked.iter().position(|of| of.cluster == share.cluster);
            let ranked = rank.map(|at| &outcome.ranked[at]);
            let scores =
                ranked.map(|Ranked { scores, .. }| scores.iter().map(|(name, score)| (name.to_string(), *score)));
            PlacedCluster {
                name: share.cluster.to_string(),
                replicas: share.replicas,
                rank: rank.map_or(0, |rank| rank + 1),
                score: ranked.map_or(0, |of| of.score),
                scores: scores.into_iter().flatten().collect(),
                room: RoomReport::default(),
            }
        });
        let mut clusters: Vec<PlacedCluster> = placed.collect();
        clusters.sort_by_key(|of| of.rank);
        Self {
            clusters,
            unplaced: outcome.unplaced,
            reason: outcome.reason.map(podberth_core::federation::Reason::name),
            message: None,
            affinity: outcome.term.as_ref().map(ToString::to_string),
            selected: outcome.selected.iter().map(ToString::to_string).collect(),
            rejected: outcome.rejected.iter().map(RejectedCluster::from).collect(),
            ..Self::default()
        }
    }
}

impl From<&Rejected> for RejectedCluster {
    fn from(rejected: &Rejected) -> Self {
        let reason = |(rule, text): &(&'static str, String)| RejectedReason {
            rule: (*rule).into(),
            text: text.clone(),
            nodes: None,
        };
        Self { name: rejected.cluster.to_string(), reasons: rejected.reasons.iter().map(reason).collect() }
    }
}
