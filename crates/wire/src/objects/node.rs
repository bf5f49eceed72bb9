//! Nodes.
//!
//! Source: `api/core/v1/types.go` (`Node`), `pkg/apis/core/validation/validation.go` (`ValidateNode`,
//! `validateNodeTaints`), `component-helpers/scheduling/corev1/helpers.go` (`GetAvoidPodsFromNodeAnnotations`).

pub mod borrowed;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Converted, converted,
    meta::{ObjectMeta, OwnerReference, instant, read_instant},
    names,
    quantity::{QuantityText, resource_list},
};
use crate::{
    decode,
    fault::{Faults, Path},
};
use podberth_core::model::{
    self, AvoidController, ConditionStatus, Effect, Image, NodeFacts, PREFER_AVOID_PODS, Resources,
    SCALE_DOWN_DISABLED, Taint,
};

/// A machine that runs pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Node {
    /// Name, labels, annotations.
    pub metadata: ObjectMeta,
    /// Desired state.
    pub spec: NodeSpec,
    /// Reported state.
    pub status: NodeStatus,
}

/// Desired state of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// `true` if it takes no new pods.
    pub unschedulable: bool,
    /// Marks that repel pods.
    pub taints: Vec<NodeTaint>,
    /// The name of its machine at the cloud provider.
    #[serde(rename = "providerID")]
    pub provider_id: String,
}

/// A mark that repels pods which do not tolerate it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = Taint)]
pub struct NodeTaint {
    /// The taint's key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
    /// When it was added, RFC 3339: from then on a NoExecute taint is tolerated for `tolerationSeconds`.
    #[schema(nullable = false)]
    pub time_added: Option<String>,
}

/// Reported state of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// All that it has.
    pub capacity: BTreeMap<String, QuantityText>,
    /// Amounts offered to pods; default: its capacity.
    #[schema(nullable = false)]
    pub allocatable: Option<BTreeMap<String, QuantityText>>,
    /// The images that it holds.
    pub images: Vec<ContainerImage>,
    /// Its conditions.
    pub conditions: Vec<NodeCondition>,
}

/// An image on a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerImage {
    /// All its names: tags and digests.
    pub names: Vec<String>,
    /// Bytes.
    pub size_bytes: i64,
}

/// A condition of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeCondition {
    /// `Ready`, `MemoryPressure`, `DiskPressure`, …
    #[serde(rename = "type")]
    pub condition_type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// When its status changed last, RFC 3339.
    #[schema(nullable = false)]
    pub last_transition_time: Option<String>,
}

impl Node {
    /// The node, and its faults.
    pub fn to_core(&self) -> Converted<model::Node> {
        converted(|faults| self.convert(faults))
    }

    fn convert(&self, faults: &mut Faults) -> model::Node {
        let (spec, status) = (Path::ROOT.child("spec"), Path::ROOT.child("status"));
        let taints_at = spec.child("taints");
        let (allocatable, allocatable_at) = match &self.status.allocatable {
            Some(allocatable) => (allocatable, "allocatable"),
            None => (&self.status.capacity, "capacity"),
        };
        let taints: Vec<Taint> = self
            .spec
            .taints
            .iter()
            .enumerate()
            .filter_map(|(i, taint)| taint.to_core(&taints_at.index(i), faults))
            .collect();
        model::Node {
            name: self.metadata.cluster_scoped(names::dns_subdomain, faults),
            labels: self.metadata.labels(faults),
            unschedulable: self.spec.unschedulable,
            taints,
            allocatable: Resources::from_list(&resource_list(allocatable, &status.child(allocatable_at), faults)),
            images: self
                .status
                .images
                .iter()
                .map(|i| Image { names: i.names.iter().map(|n| n.as_str().into()).collect(), size: i.size_bytes })
                .collect(),
            avoid_controllers: self.metadata.annotations.get(PREFER_AVOID_PODS).map_or_else(Vec::new, |a| avoided(a)),
            conditions: self
                .status
                .conditions
                .iter()
                .map(|c| (c.condition_type.as_str().into(), condition_status(&c.status)))
                .collect(),
            facts: Some(Box::new(self.facts())),
        }
    }
}

impl Node {
    /// Facts that autoscaling reads. A time or an amount that cannot be read counts as absent.
    fn facts(&self) -> NodeFacts {
        let ready = self.status.conditions.iter().find(|condition| condition.condition_type == "Ready");
        let amounts = if self.status.capacity.is_empty() { self.status.allocatable.as_ref() } else { None };
        let capacity = amounts.unwrap_or(&self.status.capacity);
        NodeFacts {
            capacity: Resources::from_list(&resource_list(capacity, &Path::ROOT, &mut Faults::default())),
            created: self.metadata.created(),
            ready_changed: ready.and_then(|ready| ready.last_transition_time.as_deref().and_then(read_instant)),
            provider_id: Some(&*self.spec.provider_id).filter(|id| !id.is_empty()).map(Into::into),
            scale_down_disabled: self.metadata.annotations.get(SCALE_DOWN_DISABLED).is_some_and(|text| text == "true"),
        }
    }
}

impl NodeTaint {
    /// The taint, or `None` where its effect is unknown and so has none.
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Option<Taint> {
        let added = self.time_added.as_ref().and_then(|text| instant(text, &at.child("timeAdded"), faults));
        // `wire::validation` reports its faults.
        let effect = effect(&self.effect, at, &mut Faults::default())?;
        Some(Taint { key: self.key.as_str().into(), value: self.value.as_str().into(), effect, added })
    }
}

pub(super) fn condition_status(name: &str) -> ConditionStatus {
    match name {
        "True" => ConditionStatus::True,
        "False" => ConditionStatus::False,
        _ => ConditionStatus::Unknown,
    }
}

/// An effect by name.
pub(crate) fn effect(name: &str, at: &Path<'_>, faults: &mut Faults) -> Option<Effect> {
    match name {
        "NoSchedule" => Some(Effect::NoSchedule),
        "PreferNoSchedule" => Some(Effect::PreferNoSchedule),
        "NoExecute" => Some(Effect::NoExecute),
        "" => {
            faults.required(at, "");
            None
        }
        other => {
            faults.not_supported(at, other, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
            None
        }
    }
}

/// The annotation's controllers. One that cannot be read is passed over, as kube-scheduler does.
fn avoided(annotation: &str) -> Vec<AvoidController> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct AvoidPods {
        prefer_avoid_pods: Vec<Entry>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Entry {
        pod_signature: Signature,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Signature {
        pod_controller: Option<OwnerReference>,
    }
    let avoid: AvoidPods = decode::from_slice(annotation.as_bytes()).unwrap_or_default();
    let controllers = avoid.prefer_avoid_pods.into_iter().filter_map(|e| e.pod_signature.pod_controller);
    controllers.map(|c| AvoidController { kind: c.kind.into(), uid: c.uid.into() }).collect()
}
