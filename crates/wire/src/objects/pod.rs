//! Pods.
//!
//! Source: `api/core/v1/types.go` (`Pod`), `pkg/apis/core/validation/validation.go` (`ValidatePodSpec`),
//! `pkg/apis/core/v1/defaults.go` (`SetDefaults_Pod`), `pkg/scheduler/util/utils.go` (`GetHostPorts`).

mod convert;
mod facts;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    affinity::{Affinity, TopologySpreadConstraint},
    meta::ObjectMeta,
    names, node,
    quantity::QuantityText,
    volume::Volume,
};
use crate::fault::{Faults, Path};
use podberth_core::model::{self, PreemptionPolicy, TolerationOperator};

/// Containers that run together on one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    /// Name, namespace, labels, owners.
    pub metadata: ObjectMeta,
    /// Desired state.
    pub spec: PodSpec,
    /// How far it has come.
    pub status: PodStatus,
}

/// Desired state of a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// The node that it is bound to, or that it names itself.
    pub node_name: String,
    /// The scheduler that it names.
    pub scheduler_name: String,
    /// `true` if it uses its node's network; its container ports are host ports then.
    pub host_network: bool,
    /// Its containers.
    pub containers: Vec<Container>,
    /// Containers that run before them, and with `restartPolicy: Always` beside them.
    pub init_containers: Vec<Container>,
    /// Amounts for the pod as a whole.
    pub resources: ResourceRequirements,
    /// Amounts that running the pod takes besides its containers.
    pub overhead: BTreeMap<String, QuantityText>,
    /// The RuntimeClass that runs its containers.
    #[schema(nullable = false)]
    pub runtime_class_name: Option<String>,
    /// Labels that its node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Affinity and anti-affinity.
    pub affinity: Affinity,
    /// The taints it puts up with.
    pub tolerations: Vec<Toleration>,
    /// How it and its like are spread.
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Volumes.
    pub volumes: Vec<Volume>,
    /// The higher the sooner.
    #[schema(nullable = false)]
    pub priority: Option<i32>,
    /// The class that its priority comes from.
    pub priority_class_name: String,
    /// `PreemptLowerPriority` (default) or `Never`.
    #[schema(nullable = false)]
    pub preemption_policy: Option<String>,
    /// Scheduling gates, which keep it from being scheduled.
    pub scheduling_gates: Vec<PodSchedulingGate>,
    /// Its claims to devices.
    pub resource_claims: Vec<PodResourceClaim>,
    /// Treatment of containers that end: `Always` (default), `OnFailure` or `Never`.
    pub restart_policy: String,
    /// Seconds that it has to end by itself.
    #[schema(nullable = false)]
    pub termination_grace_period_seconds: Option<i64>,
}

/// A claim of a pod to devices: one of both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodResourceClaim {
    /// Its name within the pod.
    pub name: String,
    /// A claim.
    #[schema(nullable = false)]
    pub resource_claim_name: Option<String>,
    /// A template from which a claim is made for the pod.
    #[schema(nullable = false)]
    pub resource_claim_template_name: Option<String>,
}

/// One container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name within the pod.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Requests and limits.
    pub resources: ResourceRequirements,
    /// The ports it listens on.
    pub ports: Vec<ContainerPort>,
    /// `Always` makes an init container go on beside the others.
    pub restart_policy: String,
}

/// Requests and limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceRequirements {
    /// Requests. A resource with only a limit has the limit as its request.
    pub requests: BTreeMap<String, QuantityText>,
    /// Limits.
    pub limits: BTreeMap<String, QuantityText>,
}

/// A port of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// The port on the node; 0 for none.
    pub host_port: i32,
    /// The address on the node; empty means all.
    #[serde(rename = "hostIP")]
    pub host_ip: String,
    /// The port in the container.
    pub container_port: i32,
    /// `TCP` (default), `UDP` or `SCTP`.
    pub protocol: String,
}

/// A taint that the pod puts up with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    /// The taint's key; empty with `Exists` means every taint.
    pub key: String,
    /// `Equal` (default) or `Exists`.
    pub operator: String,
    /// The taint's value.
    pub value: String,
    /// The taint's effect; empty means every effect.
    pub effect: String,
    /// For how many seconds a NoExecute taint is tolerated; absent means for ever.
    #[schema(nullable = false)]
    pub toleration_seconds: Option<i64>,
}

/// A reason to wait.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSchedulingGate {
    /// Its name.
    pub name: String,
}

/// How far a pod has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// The node on which preemption made room for it.
    pub nominated_node_name: String,
    /// Why it is so, in one word: `Evicted`.
    pub reason: String,
    /// Current conditions.
    pub conditions: Vec<PodCondition>,
    /// How its containers are.
    pub container_statuses: Vec<ContainerStatus>,
    /// How its init containers are.
    pub init_container_statuses: Vec<ContainerStatus>,
    /// When its node took it over, RFC 3339.
    #[schema(nullable = false)]
    pub start_time: Option<String>,
    /// The claims that were made for it from templates.
    pub resource_claim_statuses: Vec<PodResourceClaimStatus>,
}

/// A claim that was made for a pod from a template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodResourceClaimStatus {
    /// The name of `spec.resourceClaims` that it is for.
    pub name: String,
    /// The claim; absent if none is needed.
    #[schema(nullable = false)]
    pub resource_claim_name: Option<String>,
}

/// How a container is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// The container's name.
    pub name: String,
    /// Amounts that it runs with; they differ from its spec while it is resized.
    #[schema(nullable = false)]
    pub resources: Option<ResourceRequirements>,
    /// Amounts that its node has set aside for it.
    pub allocated_resources: BTreeMap<String, QuantityText>,
    /// How often it was started again.
    pub restart_count: i32,
    /// Its state now.
    pub state: ContainerState,
}

/// The state of a container: one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerState {
    /// It waits.
    #[schema(nullable = false)]
    pub waiting: Option<ContainerWaiting>,
    /// It has ended.
    #[schema(nullable = false)]
    pub terminated: Option<ContainerTerminated>,
}

/// A container that waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerWaiting {
    /// Why, in one word.
    pub reason: String,
}

/// A container that has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerTerminated {
    /// Why, in one word.
    pub reason: String,
    /// Its exit code.
    pub exit_code: i32,
}

/// Something that is true of a pod, or not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodCondition {
    /// Type of the condition.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in one word.
    pub reason: String,
    /// When its status changed last, RFC 3339.
    #[schema(nullable = false)]
    pub last_transition_time: Option<String>,
}

impl Toleration {
    /// As it is written.
    pub(crate) fn of(toleration: &model::Toleration) -> Self {
        let operator = match toleration.operator {
            TolerationOperator::Equal => "Equal",
            TolerationOperator::Exists => "Exists",
        };
        Self {
            key: toleration.key.to_string(),
            operator: operator.into(),
            value: toleration.value.to_string(),
            effect: toleration.effect.map_or_else(String::new, |effect| effect.name().into()),
            toleration_seconds: toleration.seconds,
        }
    }

    /// The toleration, or `None` where its operator or effect is unknown and so tolerates nothing.
    pub(crate) fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Option<model::Toleration> {
        let key_at = at.child("key");
        if !self.key.is_empty()
            && let Err(rule) = names::qualified_name(&self.key)
        {
            faults.invalid(&key_at, &self.key, rule);
        }
        let operator_at = at.child("operator");
        let operator = match self.operator.as_str() {
            "" | "Equal" => {
                if self.key.is_empty() {
                    faults.invalid(&operator_at, &self.operator, "operator must be Exists when `key` is empty");
                }
                if let Err(rule) = names::label_value(&self.value) {
                    faults.invalid(&operator_at, &self.value, rule);
                }
                Some(TolerationOperator::Equal)
            }
            "Exists" => {
                if !self.value.is_empty() {
                    faults.invalid(&operator_at, &self.value, "value must be empty when `operator` is 'Exists'");
                }
                Some(TolerationOperator::Exists)
            }
            other => {
                if self.key.is_empty() {
                    faults.invalid(&operator_at, other, "operator must be Exists when `key` is empty");
                }
                faults.not_supported(&operator_at, other, &["Equal", "Exists"]);
                None
            }
        };
        if self.toleration_seconds.is_some() && self.effect != "NoExecute" {
            let rule = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            faults.invalid(&at.child("effect"), &self.effect, rule);
        }
        let effect = match self.effect.as_str() {
            "" => None,
            name => Some(node::effect(name, &at.child("effect"), faults)?),
        };
        Some(model::Toleration {
            key: self.key.as_str().into(),
            operator: operator?,
            value: self.value.as_str().into(),
            effect,
            seconds: self.toleration_seconds,
        })
    }
}

/// A preemption policy by name.
pub(super) fn preemption_policy(name: Option<&str>, at: &Path<'_>, faults: &mut Faults) -> Option<PreemptionPolicy> {
    match name? {
        "PreemptLowerPriority" => Some(PreemptionPolicy::PreemptLowerPriority),
        "Never" => Some(PreemptionPolicy::Never),
        other => {
            faults.not_supported(at, other, &["Never", "PreemptLowerPriority"]);
            None
        }
    }
}
