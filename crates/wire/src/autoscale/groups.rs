//! Node groups in requests of scale-up and scale-down.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    fault::{Faults, Path},
    objects::{
        node::Node,
        node_group::{amount, check_amounts, size},
        quantity::QuantityText,
    },
    span,
};
use podberth_core::{
    advise::groups::{Group, Groups},
    model::{Name, NodeGroupOptions},
};

/// A group of equal nodes that came with a request.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GroupRequest {
    /// Its name.
    #[schema(example = "pool-a")]
    pub id: String,
    /// It never has fewer nodes.
    pub min_size: i64,
    /// It never has more nodes.
    pub max_size: i64,
    /// The number of nodes that it is to have; as many as it has where absent. Above the number of its nodes, the rest are on their way.
    #[schema(nullable = false)]
    pub target_size: Option<i64>,
    /// Its nodes by name.
    pub nodes: Vec<String>,
    /// A node as the group makes it, where it has no ready one.
    #[schema(nullable = false)]
    pub template: Option<Node>,
    /// The price of a node for an hour, in any currency.
    #[schema(nullable = false)]
    pub cost: Option<QuantityText>,
    /// Its own values of options.
    pub options: GroupOptionsRequest,
}

/// Options of one group, under the names of the cluster autoscaler. Those absent are the request's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GroupOptionsRequest {
    /// `true` if its nodes are never removed.
    pub scale_down_disabled: bool,
    /// The highest utilization of a node that may go: `0.5`.
    #[schema(nullable = false)]
    pub scale_down_utilization_threshold: Option<QuantityText>,
    /// Of a node with GPUs: of its GPUs.
    #[schema(nullable = false)]
    pub scale_down_gpu_utilization_threshold: Option<QuantityText>,
    /// Time for which a node is to be unneeded, as `10m`.
    #[schema(nullable = false)]
    pub scale_down_unneeded_time: Option<String>,
    /// Time for which a node that is not ready is to be unneeded, as `20m`.
    #[schema(nullable = false)]
    pub scale_down_unready_time: Option<String>,
    /// Time within which a new node is to be ready, as `15m`.
    #[schema(nullable = false)]
    pub max_node_provision_time: Option<String>,
    /// `true` if pods of DaemonSets do not count for the utilization.
    #[schema(nullable = false)]
    pub ignore_daemon_sets_utilization: Option<bool>,
    /// `true` if all of its nodes come and go at once.
    pub zero_or_max_node_scaling: bool,
}

/// The groups of a request. Their faults begin with `nodeGroups[0]`.
pub fn read(requests: &[GroupRequest], faults: &mut Faults) -> Groups {
    let list_at = Path::ROOT.child("nodeGroups");
    let read = |(index, request): (usize, &GroupRequest)| request.to_core(&list_at.index(index), faults);
    let groups: Vec<Group> = requests.iter().enumerate().map(read).collect();
    if faults.count() > 0 {
        return Groups::default();
    }
    Groups::new(groups).unwrap_or_else(|error| {
        faults.unreadable(&list_at, requests.len(), error);
        Groups::default()
    })
}

impl GroupRequest {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Group {
        if self.id.is_empty() {
            faults.required(&at.child("id"), "the group needs a name");
        }
        let min = size(self.min_size, &at.child("minSize"), faults);
        let max = size(self.max_size, &at.child("maxSize"), faults);
        if max < min {
            faults.unreadable(&at.child("maxSize"), self.max_size, "must be greater than or equal to minSize");
        }
        let as_many = i64::try_from(self.nodes.len()).unwrap_or(i64::MAX);
        let target = size(self.target_size.unwrap_or(as_many), &at.child("targetSize"), faults);
        let template = self.template.as_ref().map(|template| {
            let template_at = at.child("template");
            match template.to_core().bounded() {
                Ok(node) => {
                    check_amounts(&template.status, &node, &template_at.child("status"), faults);
                    Arc::new(node)
                }
                Err(causes) => {
                    faults.adopt(&template_at.to_string(), causes);
                    Arc::default()
                }
            }
        });
        let options_at = at.child("options");
        let options = &self.options;
        Group {
            id: self.id.as_str().into(),
            min,
            max,
            target,
            nodes: self.nodes.iter().map(|node| Name::from(node.as_str())).collect(),
            template,
            cost: amount(self.cost.as_ref(), &at.child("cost"), faults),
            zero_or_max: options.zero_or_max_node_scaling,
            options: NodeGroupOptions {
                scale_down_disabled: options.scale_down_disabled,
                utilization_threshold: amount(
                    options.scale_down_utilization_threshold.as_ref(),
                    &options_at.child("scaleDownUtilizationThreshold"),
                    faults,
                ),
                gpu_utilization_threshold: amount(
                    options.scale_down_gpu_utilization_threshold.as_ref(),
                    &options_at.child("scaleDownGpuUtilizationThreshold"),
                    faults,
                ),
                unneeded_time: span::read(
                    options.scale_down_unneeded_time.as_deref(),
                    &options_at.child("scaleDownUnneededTime"),
                    faults,
                ),
                unready_time: span::read(
                    options.scale_down_unready_time.as_deref(),
                    &options_at.child("scaleDownUnreadyTime"),
                    faults,
                ),
                provision_time: span::read(
                    options.max_node_provision_time.as_deref(),
                    &options_at.child("maxNodeProvisionTime"),
                    faults,
                ),
                ignore_daemon_sets: options.ignore_daemon_sets_utilization,
            },
        }
    }
}
