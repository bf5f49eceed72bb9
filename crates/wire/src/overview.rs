//! The nodes of a cluster by columns, with sums by the values of a label.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use podberth_core::{
    model::Name,
    overview::{Changes, Columns, Overview, Sums},
};

/// The media type of an overview that goes on: one JSON object a line.
pub const WATCH_MEDIA_TYPE: &str = "application/x-ndjson";

/// Amounts by resource: CPU in thousandths of a core, memory and storage in bytes, anything else in pieces.
pub type Amounts = BTreeMap<String, i64>;

/// The nodes of a cluster, and their sums.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Overview)]
pub struct OverviewReply {
    /// The revision of the state.
    pub revision: u64,
    /// The resources that have columns: CPU, memory, ephemeral storage and pods, and others that nodes offer.
    #[schema(example = json!(["cpu", "memory", "ephemeral-storage", "pods", "nvidia.com/gpu"]))]
    pub resources: Vec<String>,
    /// The nodes by columns.
    pub nodes: OverviewNodes,
    /// The groups, in order of their names.
    pub groups: Vec<OverviewGroup>,
    /// The sums of all nodes.
    pub totals: OverviewTotals,
    /// The keys of the labels of the nodes, in order.
    pub labels: Vec<LabelKey>,
}

/// Nodes by columns. Every list has one entry for each node, in order of names.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OverviewNodes {
    /// The names.
    pub name: Vec<String>,
    /// The place of each one's group in `groups`.
    pub group: Vec<usize>,
    /// The facts of them that change often.
    #[serde(flatten)]
    pub columns: OverviewColumns,
}

/// The facts of nodes that change often, by columns.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OverviewColumns {
    /// `true` if the node is ready, or does not report that it is not.
    pub ready: Vec<bool>,
    /// `true` if it is cordoned.
    pub unschedulable: Vec<bool>,
    /// Its taints, as `key=value:effect`.
    #[schema(example = json!([["gpu=yes:NoSchedule"]]))]
    pub taints: Vec<Vec<String>>,
    /// Amounts that it offers, by resource: CPU in thousandths of a core, memory and storage in bytes, anything else in pieces.
    #[schema(example = json!({"cpu": [8000]}))]
    pub allocatable: BTreeMap<String, Vec<i64>>,
    /// Amounts that its pods request, by resource; of `pods` their number.
    #[schema(example = json!({"cpu": [6500]}))]
    pub requested: BTreeMap<String, Vec<i64>>,
    /// The number of its pods.
    pub pods: Vec<usize>,
    /// The number of its pods that `podSelector` selects, of namespaces whose pods you may list; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub matching: Option<Vec<usize>>,
}

/// Sums over nodes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OverviewSums {
    /// Nodes.
    pub nodes: usize,
    /// Those that are ready.
    pub ready: usize,
    /// Those that are cordoned.
    pub unschedulable: usize,
    /// Pods on them.
    pub pods: usize,
    /// Amounts that they offer, by resource.
    #[schema(value_type = BTreeMap<String, i64>)]
    pub allocatable: Amounts,
    /// Amounts that their pods request, by resource.
    #[schema(value_type = BTreeMap<String, i64>)]
    pub requested: Amounts,
}

/// The nodes with one value of the label.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OverviewGroup {
    /// The place of the group in `groups`.
    pub index: usize,
    /// The value; empty for nodes without the label, and for all nodes without `group`.
    #[schema(example = "zone-a")]
    pub name: String,
    /// Its sums.
    #[serde(flatten)]
    pub sums: OverviewSums,
}

/// The sums of all nodes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OverviewTotals {
    /// The sums.
    #[serde(flatten)]
    pub sums: OverviewSums,
    /// Pods of the cluster that wait for a node.
    pub pending: usize,
}

/// The key of a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LabelKey {
    /// The key.
    #[schema(example = "topology.kubernetes.io/zone")]
    pub key: String,
    /// How many values it has.
    pub values: usize,
}

/// A line of an overview that goes on: the nodes and sums that differ from the lines before.
#[derive(Clone, Debug, Serialize)]
pub struct OverviewChange {
    /// The revision of the state.
    pub revision: u64,
    /// The nodes.
    pub changed: ChangedNodes,
    /// The groups.
    pub groups: Vec<OverviewGroup>,
    /// The sums of all nodes.
    pub totals: OverviewTotals,
}

/// Some nodes by columns.
#[derive(Clone, Debug, Serialize)]
pub struct ChangedNodes {
    /// Their places among all nodes.
    pub index: Vec<usize>,
    /// Their columns.
    #[serde(flatten)]
    pub columns: OverviewColumns,
}

/// A line that tells that nothing has changed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OverviewHeartbeat {
    /// The revision of the state.
    pub revision: u64,
}

fn texts(names: &[Name]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn by_resource(columns: BTreeMap<Name, Vec<i64>>) -> BTreeMap<String, Vec<i64>> {
    columns.into_iter().map(|(name, column)| (name.to_string(), column)).collect()
}

impl From<Columns> for OverviewColumns {
    fn from(columns: Columns) -> Self {
        let Columns { ready, unschedulable, taints, allocatable, requested, pods, matching } = columns;
        let (allocatable, requested) = (by_resource(allocatable), by_resource(requested));
        Self { ready, unschedulable, taints, allocatable, requested, pods, matching }
    }
}

impl OverviewSums {
    fn new(sums: &Sums, resources: &[Name]) -> Self {
        let of = |amounts: &podberth_core::model::Resources| {
            resources.iter().map(|name| (name.to_string(), amounts.get(name))).collect()
        };
        let Sums { nodes, ready, unschedulable, pods, allocatable, requested } = sums;
        Self {
            nodes: *nodes,
            ready: *ready,
            unschedulable: *unschedulable,
            pods: *pods,
            allocatable: of(allocatable),
            requested: of(requested),
        }
    }
}

impl OverviewReply {
    /// The overview of the state of a revision.
    pub fn new(revision: u64, overview: Overview) -> Self {
        let Overview { resources, names, group, columns, groups, totals, pending, labels } = overview;
        let of_group = |(index, (name, sums)): (usize, (Name, Sums))| OverviewGroup {
            index,
            name: name.to_string(),
            sums: OverviewSums::new(&sums, &resources),
        };
        Self {
            revision,
            nodes: OverviewNodes { name: texts(&names), group, columns: columns.into() },
            groups: groups.into_iter().enumerate().map(of_group).collect(),
            totals: OverviewTotals { sums: OverviewSums::new(&totals, &resources), pending },
            labels: labels.into_iter().map(|(key, values)| LabelKey { key: key.to_string(), values }).collect(),
            resources: texts(&resources),
        }
    }
}

impl OverviewChange {
    /// The changes up to the state of a revision.
    pub fn new(revision: u64, changes: Changes) -> Self {
        let Changes { resources, index, columns, groups, totals, pending } = changes;
        let of_group = |(index, name, sums): (usize, Name, Sums)| OverviewGroup {
            index,
            name: name.to_string(),
            sums: OverviewSums::new(&sums, &resources),
        };
        Self {
            revision,
            changed: ChangedNodes { index, columns: columns.into() },
            groups: groups.into_iter().map(of_group).collect(),
            totals: OverviewTotals { sums: OverviewSums::new(&totals, &resources), pending },
        }
    }
}
