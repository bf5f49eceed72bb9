//! Node groups (`autoscaling.podberth.io/v1`).

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Converted, converted,
    meta::{ObjectMeta, labels},
    names,
    node::{Node, NodeSpec, NodeStatus},
    quantity::{self, QuantityText},
};
use crate::{
    fault::{Faults, Path},
    span,
};
use podberth_core::model::{self, NODE_GROUP, Quantity, topology::HOSTNAME};

/// The largest size of a group.
const MOST_NODES: i64 = 100_000;

/// A group of equal nodes, which autoscaling makes larger and smaller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeGroup {
    /// Name.
    pub metadata: ObjectMeta,
    /// Desired state.
    pub spec: NodeGroupSpec,
}

/// Desired state of a node group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeGroupSpec {
    /// It never has fewer nodes.
    pub min_size: i64,
    /// It never has more nodes.
    pub max_size: i64,
    /// The number of nodes that it is to have; absent: as many as it has. Autoscaling writes it.
    #[schema(nullable = false)]
    pub target_size: Option<i64>,
    /// Labels that its nodes carry; by default `autoscaling.podberth.io/node-group` with the group's name.
    pub node_selector: BTreeMap<String, String>,
    /// A node as the group makes it, for a group without nodes.
    #[schema(nullable = false)]
    pub template: Option<NodeTemplate>,
    /// The price of a node for an hour, in any currency.
    #[schema(nullable = false)]
    pub cost: Option<QuantityText>,
    /// The group's name at the cloud provider, where that is another one.
    #[serde(rename = "providerID")]
    #[schema(nullable = false)]
    pub provider_id: Option<String>,
    /// Rules for removing its nodes.
    pub scale_down: ScaleDownSpec,
    /// Time within which a new node is to be ready, as `15m`.
    #[schema(nullable = false)]
    pub max_node_provision_time: Option<String>,
}

/// A node as a group makes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeTemplate {
    /// Labels and annotations.
    pub metadata: ObjectMeta,
    /// Taints.
    pub spec: NodeSpec,
    /// Capacity and allocatable amounts.
    pub status: NodeStatus,
}

/// Rules for removing nodes of a group. Those absent are the cluster's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScaleDownSpec {
    /// `true` if its nodes are never removed.
    pub disabled: bool,
    /// The highest utilization of a node that may be removed: `0.5`.
    #[schema(nullable = false)]
    pub utilization_threshold: Option<QuantityText>,
    /// Of nodes with GPUs: the highest utilization of the GPUs.
    #[schema(nullable = false)]
    pub gpu_utilization_threshold: Option<QuantityText>,
    /// Time for which a node is to be unneeded, as `10m`.
    #[schema(nullable = false)]
    pub unneeded_time: Option<String>,
    /// Time for which a node that is not ready is to be unneeded, as `20m`.
    #[schema(nullable = false)]
    pub unready_time: Option<String>,
    /// `true` if pods of DaemonSets do not count for the utilization.
    #[schema(nullable = false)]
    pub ignore_daemon_sets_utilization: Option<bool>,
}

impl NodeGroup {
    /// The group, and its faults.
    pub fn to_core(&self) -> Converted<model::NodeGroup> {
        converted(|faults| {
            let at = Path::ROOT.child("spec");
            let name = self.metadata.cluster_scoped(names::dns_label, faults);
            self.spec.convert(name, &at, faults)
        })
    }
}

impl NodeGroupSpec {
    fn convert(&self, name: model::Name, at: &Path<'_>, faults: &mut Faults) -> model::NodeGroup {
        let min = size(self.min_size, &at.child("minSize"), faults);
        let max = size(self.max_size, &at.child("maxSize"), faults);
        if max < min {
            faults.unreadable(&at.child("maxSize"), self.max_size, "must be greater than or equal to minSize");
        }
        let target = self.target_size.map(|target| size(target, &at.child("targetSize"), faults));
        let selector = if self.node_selector.is_empty() {
            [(NODE_GROUP, &*name)].into_iter().collect()
        } else {
            labels(&self.node_selector, &at.child("nodeSelector"), faults)
        };
        let template = self.template.as_ref().map(|template| {
            let template_at = at.child("template");
            Arc::new(template.convert(&name, &selector, &template_at, faults))
        });
        let down_at = at.child("scaleDown");
        let down = &self.scale_down;
        model::NodeGroup {
            min,
            max,
            target,
            template,
            provider_id: self.provider_id.as_deref().map(Into::into),
            cost: amount(self.cost.as_ref(), &at.child("cost"), faults),
            options: model::NodeGroupOptions {
                scale_down_disabled: down.disabled,
                utilization_threshold: amount(
                    down.utilization_threshold.as_ref(),
                    &down_at.child("utilizationThreshold"),
                    faults,
                ),
                gpu_utilization_threshold: amount(
                    down.gpu_utilization_threshold.as_ref(),
                    &down_at.child("gpuUtilizationThreshold"),
                    faults,
                ),
                unneeded_time: span::read(down.unneeded_time.as_deref(), &down_at.child("unneededTime"), faults),
                unready_time: span::read(down.unready_time.as_deref(), &down_at.child("unreadyTime"), faults),
                provision_time: span::read(
                    self.max_node_provision_time.as_deref(),
                    &at.child("maxNodeProvisionTime"),
                    faults,
                ),
                ignore_daemon_sets: down.ignore_daemon_sets_utilization,
            },
            selector,
            name,
        }
    }
}

impl NodeTemplate {
    /// A node of the group. It carries the labels that select the group's nodes, and a host's name.
    pub(super) fn convert(
        &self,
        group: &str,
        selector: &model::Labels,
        at: &Path<'_>,
        faults: &mut Faults,
    ) -> model::Node {
        let node = Node { metadata: self.metadata.clone(), spec: self.spec.clone(), status: self.status.clone() };
        let name: model::Name =
            if node.metadata.name.is_empty() { format!("template-{group}") } else { node.metadata.name.clone() }.into();
        let node = Node { metadata: ObjectMeta { name: name.to_string(), ..node.metadata }, ..node };
        let Converted { mut object, causes } = node.to_core();
        faults.adopt(&at.to_string(), causes);
        check_amounts(&self.status, &object, &at.child("status"), faults);
        let host = (HOSTNAME.into(), name);
        let given = object.labels.iter().cloned();
        object.labels = std::iter::once(host).chain(given).chain(selector.iter().cloned()).collect();
        object
    }
}

/// Refuses amounts of a template that are negative, and a template without CPU and memory. `node`: the template, read; `at`: its status.
pub(crate) fn check_amounts(status: &NodeStatus, node: &model::Node, at: &Path<'_>, faults: &mut Faults) {
    let amounts = [("capacity", Some(&status.capacity)), ("allocatable", status.allocatable.as_ref())];
    for (field, amounts) in amounts.into_iter().filter_map(|(field, of)| Some((field, of?))) {
        let at = at.child(field);
        for (name, text) in amounts {
            // One that cannot be read is a fault already.
            amount(Some(text), &at.key(name), faults);
        }
    }
    if node.allocatable.milli_cpu <= 0 && node.allocatable.memory <= 0 {
        let why = "a template without capacity: give the CPU and memory of its nodes";
        faults.unreadable(&at.child("allocatable"), "{}", why);
    }
}

/// A size of a group.
pub(crate) fn size(size: i64, at: &Path<'_>, faults: &mut Faults) -> u32 {
    if !(0..=MOST_NODES).contains(&size) {
        faults.unreadable(at, size, format!("must be between 0 and {MOST_NODES}, inclusive"));
    }
    u32::try_from(size.clamp(0, MOST_NODES)).unwrap_or_default()
}

/// An amount that is not negative.
pub(crate) fn amount(text: Option<&QuantityText>, at: &Path<'_>, faults: &mut Faults) -> Option<Quantity> {
    let text = &text?.0;
    let amount = quantity::amount(text, at, faults)?;
    if amount.is_negative() {
        faults.unreadable(at, text, "must be greater than or equal to 0");
        return None;
    }
    Some(amount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    fn faults(json: &str) -> Vec<String> {
        let group: NodeGroup = decode::from_slice(json.as_bytes()).unwrap();
        group.to_core().causes.into_iter().map(|cause| cause.field).collect()
    }

    #[test]
    fn the_nodes_of_a_group_carry_its_labels_and_so_does_its_template() {
        let json = r#"{"metadata": {"name": "big"}, "spec": {"minSize": 1, "maxSize": 3, "cost": "0.34",
            "template": {"status": {"capacity": {"cpu": "4"}}}, "scaleDown": {"unneededTime": "1m30s"}}}"#;
        let group: NodeGroup = decode::from_slice(json.as_bytes()).unwrap();
        let group = group.to_core().strict().unwrap();
        assert_eq!((group.min, group.max, group.target), (1, 3, None));
        assert_eq!(group.options.unneeded_time, Some(90_000_000_000));
        let template = group.template.clone().unwrap();
        assert!(group.has(&template));
        assert!(!group.has(&model::Node::default()));
        assert_eq!((template.allocatable.milli_cpu, &*template.name), (4000, "template-big"));
    }

    #[test]
    fn contradicting_and_unreadable_groups_are_refused() {
        for (json, field) in [
            (r#"{"metadata": {"name": "a.b"}}"#, "metadata.name"),
            (r#"{"metadata": {"name": "a", "namespace": "b"}}"#, "metadata.namespace"),
            (r#"{"metadata": {"name": "a"}, "spec": {"minSize": -1}}"#, "spec.minSize"),
            (r#"{"metadata": {"name": "a"}, "spec": {"minSize": 2, "maxSize": 1}}"#, "spec.maxSize"),
            (r#"{"metadata": {"name": "a"}, "spec": {"maxSize": 9999999999}}"#, "spec.maxSize"),
            (r#"{"metadata": {"name": "a"}, "spec": {"cost": "-1"}}"#, "spec.cost"),
            (
                r#"{"metadata": {"name": "a"}, "spec": {"template": {"status": {"capacity": {"cpu": "-4"}}}}}"#,
                "spec.template.status.capacity[cpu]",
            ),
            (r#"{"metadata": {"name": "a"}, "spec": {"template": {}}}"#, "spec.template.status.allocatable"),
            (
                r#"{"metadata": {"name": "a"}, "spec": {"template": {"status": {"capacity": {"cpu": "lots"}}}}}"#,
                "spec.template.status.capacity[cpu]",
            ),
            (
                r#"{"metadata": {"name": "a"}, "spec": {"scaleDown": {"unneededTime": "-1s"}}}"#,
                "spec.scaleDown.unneededTime",
            ),
        ] {
            assert_eq!(faults(json).first().map(String::as_str), Some(field), "{json}");
        }
    }
}
