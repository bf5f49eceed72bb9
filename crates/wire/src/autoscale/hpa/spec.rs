//! The request, and HorizontalPodAutoscalers as they are written.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    history::HistoryDocument,
    metrics::{ExternalMetricValue, MetricValue, PodMetrics},
    pods::HpaPod,
};
use crate::objects::{
    meta::{LabelSelector, ObjectMeta},
    pod,
    quantity::QuantityText,
};

/// A question for the number of replicas that a workload needs.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HpaRequest {
    /// A HorizontalPodAutoscaler (`autoscaling/v2`). In its place, `name` and `namespace` are those of a stored one.
    #[schema(nullable = false, value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub hpa: Option<Box<RawValue>>,
    /// The name of a stored HorizontalPodAutoscaler.
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// Its namespace; `default` where absent.
    #[schema(nullable = false)]
    pub namespace: Option<String>,
    /// The scale of the target; that of the stored target where absent.
    #[schema(nullable = false)]
    pub scale: Option<ScaleDocument>,
    /// Pods, those of other workloads among them; the stored ones where absent.
    #[schema(nullable = false, value_type = Vec<pod::Pod>)]
    pub pods: Option<Vec<HpaPod>>,
    /// The use of resources, as `metrics.k8s.io` has it; the stored metrics where absent.
    #[schema(nullable = false)]
    pub pod_metrics: Option<Vec<PodMetrics>>,
    /// Values of `custom.metrics.k8s.io`.
    #[schema(nullable = false)]
    pub custom_metrics: Option<Vec<MetricValue>>,
    /// Values of `external.metrics.k8s.io`.
    #[schema(nullable = false)]
    pub external_metrics: Option<Vec<ExternalMetricValue>>,
    /// The memory of the controller. Without recommendations it has just been started.
    #[schema(nullable = false)]
    pub history: Option<HistoryDocument>,
    /// The time of the answer, RFC 3339; now where absent.
    #[schema(nullable = false)]
    pub now: Option<String>,
    /// Settings of the controller that differ from the defaults.
    pub controller: ControllerOptions,
    /// Further synchronizations after the first one.
    #[schema(nullable = false)]
    pub steps: Option<Vec<HpaStep>>,
}

/// The scale of a workload (`autoscaling/v1`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScaleDocument {
    /// The wanted state.
    pub spec: ScaleSpecPart,
    /// The present state.
    pub status: ScaleStatusPart,
}

/// The wanted state of a scale.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScaleSpecPart {
    /// The wanted number of replicas.
    pub replicas: i32,
}

/// The present state of a scale.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScaleStatusPart {
    /// The present number of replicas.
    pub replicas: i32,
    /// The selector of its pods, as text.
    pub selector: String,
}

/// Settings of the controller.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ControllerOptions {
    /// The distance from 1 at which a ratio needs no change; 0.1.
    #[schema(nullable = false)]
    pub tolerance: Option<f64>,
    /// The seconds for which the highest proposal counts; 300.
    #[schema(nullable = false)]
    pub downscale_stabilization_seconds: Option<i32>,
    /// The seconds after its start in which the CPU of a pod that is not ready does not count; 300.
    #[serde(alias = "cpuInitializationPeriodSeconds")]
    #[schema(nullable = false)]
    pub cpu_initialization_seconds: Option<i32>,
    /// The seconds after its start in which a pod that becomes unready counts as never ready; 30.
    #[serde(alias = "initialReadinessDelay")]
    #[schema(nullable = false)]
    pub initial_readiness_delay_seconds: Option<i32>,
}

/// One more synchronization. The scale is that which the one before left; metrics that are absent stay as they are.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HpaStep {
    /// The seconds since the synchronization before.
    pub after_seconds: i64,
    /// See the request.
    #[schema(nullable = false)]
    pub pod_metrics: Option<Vec<PodMetrics>>,
    /// See the request.
    #[schema(nullable = false)]
    pub custom_metrics: Option<Vec<MetricValue>>,
    /// See the request.
    #[schema(nullable = false)]
    pub external_metrics: Option<Vec<ExternalMetricValue>>,
}

/// A HorizontalPodAutoscaler of `autoscaling/v2`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Written {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) metadata: ObjectMeta,
    pub(super) spec: Spec,
    pub(super) status: Status,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    pub(super) scale_target_ref: Reference,
    pub(super) min_replicas: Option<i32>,
    pub(super) max_replicas: i32,
    pub(super) metrics: Vec<Metric>,
    pub(super) behavior: Option<Behavior>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub(super) desired_replicas: i32,
    pub(super) last_scale_time: Option<String>,
    pub(super) conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) last_transition_time: Option<String>,
    pub(super) reason: String,
    pub(super) message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Reference {
    pub(super) kind: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) api_version: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metric {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) resource: Option<ResourceSource>,
    pub(super) container_resource: Option<ResourceSource>,
    pub(super) pods: Option<Source>,
    pub(super) object: Option<Source>,
    pub(super) external: Option<Source>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ResourceSource {
    pub(super) name: String,
    pub(super) container: String,
    pub(super) target: Target,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Source {
    pub(super) described_object: Reference,
    pub(super) metric: Identifier,
    pub(super) target: Target,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Identifier {
    pub(super) name: String,
    pub(super) selector: Option<LabelSelector>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Target {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) value: Option<QuantityText>,
    pub(super) average_value: Option<QuantityText>,
    pub(super) average_utilization: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Behavior {
    pub(super) scale_up: Option<Rules>,
    pub(super) scale_down: Option<Rules>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rules {
    pub(super) stabilization_window_seconds: Option<i32>,
    pub(super) select_policy: Option<String>,
    pub(super) policies: Option<Vec<Policy>>,
    pub(super) tolerance: Option<QuantityText>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Policy {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) value: i32,
    pub(super) period_seconds: i32,
}
