//! The steps of a plan of advice, as replies list them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use podberth_core::{
    advise::plan::{AdviceStep, StepKind, Workload},
    model::Pod,
};

/// One step by which the cluster comes to be as the answer says. Fields that its kind does not have are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = AdviceStep)]
pub struct AdviceStepReport {
    /// `setTargetSize`: the group is to have `to` nodes. `cordon`: the node takes no new pods. `uncordon`: it stays. `move`: the pod leaves the node, and the
    /// scheduler would bring it to `toNode`. `evict`: it leaves the node, and no other one is known. `deleteNode`: the node is to be deleted, and its group to
    /// have `to` nodes. `scale`: the workload is to have `to` replicas. `resize`: a container of its pods is to have other requests.
    #[schema(example = "setTargetSize")]
    pub step: String,
    /// The node group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub node_group: Option<String>,
    /// The node.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub node: Option<String>,
    /// The pod as `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pod: Option<String>,
    /// The workload as `Deployment namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub target: Option<String>,
    /// The container.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub container: Option<String>,
    /// The number of nodes or replicas before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub from: Option<i64>,
    /// The number of nodes or replicas afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub to: Option<i64>,
    /// The node that takes the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub to_node: Option<String>,
    /// The amounts to request, by resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, String>,
    /// Why.
    pub why: String,
}

impl AdviceStepReport {
    /// The report of a step. `name` gives the name of a pod.
    pub fn new(step: &AdviceStep, mut name: impl FnMut(&Pod) -> String) -> Self {
        let text = |of: &dyn std::fmt::Display| Some(of.to_string());
        let blank = Self {
            step: step.kind.name().to_owned(),
            node: step.kind.node().map(ToString::to_string),
            why: step.why.clone(),
            ..Self::default()
        };
        let workload = |of: &Workload| Some(of.to_string());
        match &step.kind {
            StepKind::SetTargetSize { group, from, to } => {
                Self { node_group: text(group), from: Some((*from).into()), to: Some((*to).into()), ..blank }
            }
            StepKind::Cordon { .. } | StepKind::Uncordon { .. } => blank,
            StepKind::Evict { pod } => Self { pod: Some(name(pod)), ..blank },
            StepKind::Move { pod, to } => Self { pod: Some(name(pod)), to_node: text(to), ..blank },
            StepKind::DeleteNode { group, to, .. } => Self { node_group: text(group), to: Some((*to).into()), ..blank },
            StepKind::Scale { target, from, to } => {
                Self { target: workload(target), from: Some((*from).into()), to: Some((*to).into()), ..blank }
            }
            StepKind::Resize { target, container, requests } => {
                let requests = requests.iter().map(|(name, amount)| (name.to_string(), amount.clone())).collect();
                Self { target: workload(target), container: text(container), requests, ..blank }
            }
        }
    }
}
