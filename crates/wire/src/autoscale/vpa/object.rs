//! VerticalPodAutoscaler (`autoscaling.k8s.io/v1`): what is read of it, and its rules.
//!
//! Source: `vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1/types.go`, `pkg/admission-controller/resource/vpa/validation.go`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    decode::{self, DecodeError},
    fault::{Faults, Path},
    objects::{
        meta::ObjectMeta,
        quantity::{QuantityText, amount},
    },
};
use podberth_core::{
    advise::{
        plan::Workload,
        vpa::{Limits, Policies, Policy, integer_cpu_container},
    },
    model::Quantity,
};

/// Its group and version.
pub(super) const API_VERSION: &str = "autoscaling.k8s.io/v1";
/// Policies of one autoscaler.
const MOST_POLICIES: usize = 1_000;
const UPDATE_MODES: [&str; 6] = ["Off", "Initial", "Recreate", "InPlaceOrRecreate", "InPlace", "Auto"];

/// Asks for requests that fit the usage of a workload's pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VerticalPodAutoscaler {
    /// `autoscaling.k8s.io/v1`
    pub api_version: String,
    /// `VerticalPodAutoscaler`
    pub kind: String,
    /// Name and namespace.
    pub metadata: ObjectMeta,
    /// The workload and the rules.
    pub spec: VerticalPodAutoscalerSpec,
    /// The last recommendation.
    pub status: VerticalPodAutoscalerStatus,
}

/// The workload and the rules of a vertical pod autoscaler.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VerticalPodAutoscalerSpec {
    /// The workload whose pods it looks after.
    #[schema(nullable = false)]
    pub target_ref: Option<TargetRef>,
    /// Rules for changing pods.
    #[schema(nullable = false)]
    pub update_policy: Option<UpdatePolicy>,
    /// Rules for each container.
    #[schema(nullable = false)]
    pub resource_policy: Option<ResourcePolicy>,
}

/// A workload.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = VpaTargetRef)]
pub struct TargetRef {
    /// Its group and version, as `apps/v1`.
    pub api_version: String,
    /// Its kind, as `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Rules for changing pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = PodUpdatePolicy)]
pub struct UpdatePolicy {
    /// `Off`, `Initial`, `Recreate`, `InPlaceOrRecreate` or `InPlace`. Recommendations are the same in each.
    #[schema(nullable = false)]
    pub update_mode: Option<String>,
    /// Replicas that a workload has to have for a pod of it to be evicted.
    #[schema(nullable = false)]
    pub min_replicas: Option<i32>,
}

/// Rules for each container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = PodResourcePolicy)]
pub struct ResourcePolicy {
    /// At most one for each container, and one of name `*` for those that have none.
    pub container_policies: Vec<ContainerPolicy>,
}

/// Rules for one container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = ContainerResourcePolicy)]
pub struct ContainerPolicy {
    /// The container's name, or `*`.
    pub container_name: String,
    /// `Auto`, or `Off` for a container that gets no recommendation.
    #[schema(nullable = false)]
    pub mode: Option<String>,
    /// The least that is recommended.
    pub min_allowed: BTreeMap<String, QuantityText>,
    /// The most that is recommended.
    pub max_allowed: BTreeMap<String, QuantityText>,
    /// The resources that are recommended: `cpu`, `memory`; absent: both.
    #[schema(nullable = false)]
    pub controlled_resources: Option<Vec<String>>,
    /// `RequestsAndLimits` or `RequestsOnly`.
    #[schema(nullable = false)]
    pub controlled_values: Option<String>,
    /// The factor by which memory grows after a container was killed for want of it.
    #[schema(nullable = false)]
    pub oom_bump_up_ratio: Option<QuantityText>,
    /// The amount by which memory grows at least then.
    #[schema(nullable = false)]
    pub oom_min_bump_up: Option<QuantityText>,
    /// The seconds in which one memory peak is kept of each container.
    #[schema(nullable = false)]
    pub memory_aggregation_interval_seconds: Option<i64>,
}

/// The last recommendation of a vertical pod autoscaler.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VerticalPodAutoscalerStatus {
    /// The recommended requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub recommendation: Option<Recommendation>,
    /// Its state.
    pub conditions: Vec<VpaCondition>,
    /// The generation of the object that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub observed_generation: Option<i64>,
}

/// The recommended requests of all containers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = RecommendedPodResources)]
pub struct Recommendation {
    /// By container name.
    pub container_recommendations: Vec<ContainerRecommendation>,
}

/// The recommended requests of one container. Resources that are not controlled are absent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = RecommendedContainerResources)]
pub struct ContainerRecommendation {
    /// The container's name.
    pub container_name: String,
    /// The requests that it should have.
    #[schema(value_type = BTreeMap<String, QuantityText>)]
    pub target: BTreeMap<String, String>,
    /// Requests below these are too low.
    #[schema(value_type = BTreeMap<String, QuantityText>)]
    pub lower_bound: BTreeMap<String, String>,
    /// Requests above these are a waste.
    #[schema(value_type = BTreeMap<String, QuantityText>)]
    pub upper_bound: BTreeMap<String, String>,
    /// The target without the policy.
    #[schema(value_type = BTreeMap<String, QuantityText>)]
    pub uncapped_target: BTreeMap<String, String>,
}

/// One part of an autoscaler's state.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = VerticalPodAutoscalerCondition)]
pub struct VpaCondition {
    /// `RecommendationProvided`, `NoPodsMatched`, …
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Since when the status is so.
    pub last_transition_time: String,
    /// A word for the reason.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The reason for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Checks an autoscaler that is stored.
///
/// # Errors
/// If it cannot be read.
pub fn check(json: &str, faults: &mut Faults) -> Result<(), DecodeError> {
    let vpa: VerticalPodAutoscaler = decode::from_slice(json.as_bytes())?;
    if vpa.spec.target_ref.is_none() {
        faults.required(&Path::ROOT.child("spec").child("targetRef"), "the workload whose pods it looks after");
    }
    vpa.policies(&Path::ROOT, faults);
    Ok(())
}

impl VerticalPodAutoscaler {
    /// An autoscaler that is stored. Its status is of the generation that is read.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn stored(json: &[u8]) -> Result<Self, DecodeError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Head {
            metadata: Generation,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Generation {
            generation: Option<i64>,
        }
        let mut vpa: Self = decode::from_slice(json)?;
        vpa.status.observed_generation = decode::from_slice::<Head>(json)?.metadata.generation;
        Ok(vpa)
    }

    /// The workload, where it names one.
    pub(super) fn target(&self) -> Option<Workload> {
        let (namespace, of) = (&self.metadata.namespace, self.spec.target_ref.as_ref()?);
        Some(Workload {
            kind: of.kind.as_str().into(),
            namespace: namespace.as_str().into(),
            name: of.name.as_str().into(),
        })
    }

    /// The policies, with the faults of the object.
    pub(super) fn policies(&self, at: &Path<'_>, faults: &mut Faults) -> Policies {
        if !self.kind.is_empty() && self.kind != "VerticalPodAutoscaler" {
            faults.not_supported(&at.child("kind"), &self.kind, &["VerticalPodAutoscaler"]);
        }
        let spec_at = at.child("spec");
        if let Some(update) = &self.spec.update_policy {
            update.check(&spec_at.child("updatePolicy"), faults);
        }
        let (policy_at, mut containers) = (spec_at.child("resourcePolicy"), Vec::new());
        let list_at = policy_at.child("containerPolicies");
        let policies = self.spec.resource_policy.iter().flat_map(|policy| &policy.container_policies);
        let mut named = BTreeSet::new();
        for (index, policy) in policies.enumerate() {
            if index == MOST_POLICIES {
                faults.too_many(&list_at, format!("Too many: must have at most {MOST_POLICIES} items"));
                break;
            }
            let at = list_at.index(index);
            if policy.container_name.is_empty() {
                faults.required(&at.child("containerName"), "the container's name, or \"*\" for all others");
            } else if !named.insert(&policy.container_name) {
                faults.duplicate(&at.child("containerName"), &policy.container_name);
            }
            containers.push(policy.to_core(&at, faults));
        }
        let annotations = self.metadata.annotations.iter();
        let integer_cpu = annotations.filter_map(|(key, value)| integer_cpu_container(key, value)).map(Into::into);
        Policies { containers, integer_cpu: integer_cpu.collect(), global_max: Limits::default() }
    }
}

impl UpdatePolicy {
    fn check(&self, at: &Path<'_>, faults: &mut Faults) {
        match &self.update_mode {
            None => faults.required(&at.child("updateMode"), "updateMode is required if UpdatePolicy is used"),
            Some(mode) if !UPDATE_MODES.contains(&mode.as_str()) => {
                faults.not_supported(&at.child("updateMode"), mode, &UPDATE_MODES);
            }
            Some(_) => {}
        }
        if let Some(replicas) = self.min_replicas.filter(|replicas| *replicas <= 0) {
            faults.invalid(&at.child("minReplicas"), replicas, "minReplicas has to be positive");
        }
    }
}

impl ContainerPolicy {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Policy {
        let word = |field: &str, value: &Option<String>, words: &[&str], faults: &mut Faults| {
            if let Some(value) = value.as_ref().filter(|value| !words.contains(&value.as_str())) {
                faults.not_supported(&at.child(field), value, words);
            }
        };
        word("mode", &self.mode, &["Auto", "Off"], faults);
        word("controlledValues", &self.controlled_values, &["RequestsAndLimits", "RequestsOnly"], faults);
        let off = self.mode.as_deref() == Some("Off");
        if off && self.controlled_values.as_deref() == Some("RequestsAndLimits") {
            let why = "controlledValues shouldn't be specified if container scaling mode is off";
            faults.forbidden(&at.child("controlledValues"), why);
        }
        let (min_at, max_at) = (at.child("minAllowed"), at.child("maxAllowed"));
        let (min, max) = (limits(&self.min_allowed, &min_at, faults), limits(&self.max_allowed, &max_at, faults));
        for (resource, min, max) in [("cpu", min.cpu, max.cpu), ("memory", min.memory, max.memory)] {
            if let (Some(min), Some(max)) = (min, max)
                && max < min
            {
                let why = format!("max resource for {resource} is lower than min of {:?}", min.to_string());
                faults.invalid(&max_at.key(resource), max.to_string(), why);
            }
        }
        let controls = |resource: &str| {
            self.controlled_resources.as_ref().is_none_or(|list| list.iter().any(|listed| listed == resource))
        };
        Policy {
            container: self.container_name.as_str().into(),
            off,
            min,
            max,
            cpu: controls("cpu"),
            memory: controls("memory"),
            oom_bump_up_ratio: number(self.oom_bump_up_ratio.as_ref(), 1, &at.child("oomBumpUpRatio"), faults),
            oom_min_bump_up: number(self.oom_min_bump_up.as_ref(), 0, &at.child("oomMinBumpUp"), faults),
            memory_interval: self.memory_aggregation_interval_seconds.map(|seconds| {
                if seconds < 1 {
                    let at = at.child("memoryAggregationIntervalSeconds");
                    faults.invalid(&at, seconds, "must be greater than or equal to 1");
                }
                seconds.saturating_mul(1_000_000_000)
            }),
        }
    }
}

/// A number that is at least so large.
fn number(text: Option<&QuantityText>, least: i64, at: &Path<'_>, faults: &mut Faults) -> Option<f64> {
    let number = amount(&text?.0, at, faults)?;
    if number < Quantity::from_units(least) {
        faults.invalid(at, number.to_string(), format!("must be greater than or equal to {least}"));
    }
    Some(number.approximate())
}

/// The amounts of CPU and memory; those of other resources are passed over.
pub(super) fn limits(map: &BTreeMap<String, QuantityText>, at: &Path<'_>, faults: &mut Faults) -> Limits {
    let mut of = |name: &str| {
        let at = at.key(name);
        let quantity = amount(&map.get(name)?.0, &at, faults)?;
        let (is_whole, what) = match name {
            "cpu" => (quantity.rounded_to_milli() == quantity, "milli CPUs"),
            _ => (quantity.units().is_some(), "bytes"),
        };
        if quantity.is_negative() {
            faults.invalid(&at, quantity.to_string(), "must be greater than or equal to 0");
        } else if !is_whole {
            faults.invalid(&at, quantity.to_string(), format!("must be a whole number of {what}"));
        }
        Some(quantity)
    };
    Limits { cpu: of("cpu"), memory: of("memory") }
}
