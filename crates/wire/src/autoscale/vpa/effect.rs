//! Consequences of recommended requests: the pods with them, and the report.
//!
//! Source: `vertical-pod-autoscaler/pkg/utils/vpa/capping.go` (`capRecommendationToContainerLimit`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::object::{ContainerRecommendation, VerticalPodAutoscaler};
use crate::{
    cluster::Cluster,
    decode,
    explanation::PodName,
    objects::{
        meta::{LabelSelector, ObjectMeta},
        pod::{Container, Pod},
        quantity::QuantityText,
    },
    simulation::{PlacementReport, StuckReport, UtilizationReport},
};
use podberth_core::{
    advise::vpa::Effect,
    model::{self, Labels, Quantity, Selector},
};

/// Consequences of the recommended requests for the cluster, if all pods of the autoscaler were made anew with them.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = VpaEffect)]
pub struct EffectReport {
    /// The pods of the autoscaler.
    pub pods: usize,
    /// Where they would go.
    pub placements: Vec<PlacementReport>,
    /// Pods that would fit nowhere any more, and why.
    pub no_longer_fit: Vec<StuckReport>,
    /// Pods that fit nowhere now, and would fit.
    pub fit_now: Vec<PodName>,
    /// Nodes that would be asked for more than they have if all pods stayed where they are.
    pub too_full: Vec<String>,
    /// How full the nodes are.
    pub before: UtilizationReport,
    /// How full they would be.
    pub after: UtilizationReport,
    /// Nodes that could go now and then, their pods finding places elsewhere; of large clusters the emptiest nodes are tried.
    pub removable: Removable,
    /// Nodes that could go then and cannot now; below zero where more are needed.
    pub nodes_saved: i64,
}

/// Numbers of nodes that could go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(default)]
#[schema(as = VpaRemovableNodes)]
pub struct Removable {
    /// With the requests of now.
    pub before: usize,
    /// With those recommended.
    pub after: usize,
}

impl EffectReport {
    /// The report on so many pods.
    pub fn new(pods: usize, effect: &Effect) -> Self {
        let Effect { placed, no_longer_fit, fit_now, too_full, before, after, removable_before, removable_after } =
            effect;
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        Self {
            pods,
            placements: placed.iter().map(PlacementReport::from).collect(),
            no_longer_fit: no_longer_fit.iter().map(StuckReport::from).collect(),
            fit_now: fit_now.iter().map(|pod| PodName::from(&**pod)).collect(),
            too_full: too_full.iter().map(ToString::to_string).collect(),
            before: before.into(),
            after: after.into(),
            removable: Removable { before: *removable_before, after: *removable_after },
            nodes_saved: signed(*removable_after).saturating_sub(signed(*removable_before)),
        }
    }
}

/// Recommended requests, and the pods that are to have them.
#[derive(Clone, Debug)]
pub struct Resizing {
    namespace: String,
    selector: Selector,
    recommendations: Vec<ContainerRecommendation>,
    /// Containers whose limits stay, so that their requests stay below.
    requests_only: BTreeSet<String>,
}

impl Resizing {
    pub(super) fn new(
        vpa: &VerticalPodAutoscaler,
        selector: &Selector,
        recommendations: &[ContainerRecommendation],
    ) -> Self {
        let policies = vpa.spec.resource_policy.iter().flat_map(|policy| &policy.container_policies);
        let policies: Vec<_> = policies.collect();
        let is_requests_only = |name: &str| {
            let named = |name: &str| policies.iter().find(|policy| policy.container_name == name);
            let policy = named(name).or_else(|| named("*"));
            policy.is_some_and(|policy| policy.controlled_values.as_deref() == Some("RequestsOnly"))
        };
        let names = recommendations.iter().map(|of| &of.container_name);
        Self {
            namespace: vpa.metadata.namespace.clone(),
            selector: selector.clone(),
            requests_only: names.filter(|name| is_requests_only(name)).cloned().collect(),
            recommendations: recommendations.to_vec(),
        }
    }

    /// The namespace of the pods.
    pub fn namespace(&self) -> &str {
        if self.namespace.is_empty() { "default" } else { &self.namespace }
    }

    /// `true` if a pod of these labels is meant.
    pub fn selects(&self, namespace: &str, labels: &Labels) -> bool {
        namespace == self.namespace() && self.selector.matches(labels)
    }

    /// A stored pod with the recommended requests; `None` if it is not meant, has ended or cannot be read.
    pub fn of_stored(&self, json: &[u8]) -> Option<model::Pod> {
        self.of_pod(decode::from_slice(json).ok()?)
    }

    /// The pods of a cluster with the recommended requests.
    pub fn of_cluster(&self, cluster: &Cluster) -> Vec<model::Pod> {
        let pods = cluster.pods.iter().cloned();
        let is_list_of_pods = cluster.kind == "PodList";
        let items = cluster.items.iter().filter_map(|item| {
            let pod: Pod = decode::from_slice(item.text().as_bytes()).ok()?;
            let kind: Value = serde_json::from_str(item.text()).ok()?;
            let kind = kind.get("kind").and_then(Value::as_str).unwrap_or_default();
            (kind == "Pod" || (kind.is_empty() && is_list_of_pods)).then_some(pod)
        });
        pods.chain(items).filter_map(|pod| self.of_pod(pod)).collect()
    }

    fn of_pod(&self, mut pod: Pod) -> Option<model::Pod> {
        let ObjectMeta { namespace, labels, .. } = &pod.metadata;
        let namespace = if namespace.is_empty() { "default" } else { namespace };
        let labels: Labels = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let has_ended = matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
        if has_ended || !self.selects(namespace, &labels) {
            return None;
        }
        for container in &mut pod.spec.containers {
            let recommended = self.recommendations.iter().find(|of| of.container_name == container.name);
            let Some(recommended) = recommended else { continue };
            let keeps_limits = self.requests_only.contains(&container.name);
            for (resource, target) in &recommended.target {
                set(container, resource, target, keeps_limits);
            }
        }
        pod.to_core().lenient().ok()
    }
}

/// Sets a request; the limit grows with it, or bounds it.
fn set(container: &mut Container, resource: &str, target: &str, keeps_limits: bool) {
    let quantity = |text: &str| text.trim().parse::<Quantity>().ok();
    let resources = &mut container.resources;
    let limit = resources.limits.get(resource).and_then(|text| quantity(&text.0));
    let is_above = limit.zip(quantity(target)).is_some_and(|(limit, target)| target > limit);
    let mut text = QuantityText(target.to_owned());
    if is_above && keeps_limits {
        text = resources.limits.get(resource).cloned().unwrap_or(text);
    } else if is_above {
        resources.limits.insert(resource.to_owned(), text.clone());
    }
    resources.requests.insert(resource.to_owned(), text);
}

/// The selector of a workload's object; `None` where it has none.
pub fn selector_of_workload(json: &str) -> Option<super::PodSelector> {
    let object: Value = serde_json::from_str(json).ok()?;
    let selector = object.get("spec")?.get("selector")?;
    serde_json::from_value(selector.clone()).ok().filter(|of: &super::PodSelector| of.0 != LabelSelector::default())
}
