//! Disruption budgets and priority classes.
//!
//! Source: `api/policy/v1/types.go`, `api/scheduling/v1/types.go`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Converted, converted,
    meta::{LabelSelector, ObjectMeta},
    names,
    pod::preemption_policy,
};
use crate::{core::model, wire::fault::Path};

/// How many pods of a group may be missing at a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodDisruptionBudget {
    /// Name and namespace.
    pub metadata: ObjectMeta,
    /// Its pods.
    pub spec: PodDisruptionBudgetSpec,
    /// What it allows at the moment.
    pub status: PodDisruptionBudgetStatus,
}

/// The pods of a budget.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodDisruptionBudgetSpec {
    /// The pods it protects; absent means none.
    #[schema(nullable = false)]
    pub selector: Option<LabelSelector>,
    /// Which pods that are not ready may be evicted at no cost: `IfHealthyBudget` (default) or `AlwaysAllow`.
    #[schema(nullable = false)]
    pub unhealthy_pod_eviction_policy: Option<String>,
}

/// What a budget allows at the moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodDisruptionBudgetStatus {
    /// How many of its pods may be evicted now.
    pub disruptions_allowed: i32,
    /// How many of its pods are healthy.
    pub current_healthy: i32,
    /// How many have to be.
    pub desired_healthy: i32,
    /// The pods whose eviction is under way, by name, with the time it began.
    pub disrupted_pods: BTreeMap<String, String>,
}

/// A priority by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PriorityClass {
    /// Name.
    pub metadata: ObjectMeta,
    /// The priority; the higher the sooner.
    pub value: i32,
    /// Whether pods that name no class get it.
    pub global_default: bool,
    /// `PreemptLowerPriority` (default) or `Never`.
    #[schema(nullable = false)]
    pub preemption_policy: Option<String>,
}

impl PodDisruptionBudget {
    /// The budget, and what is wrong with it.
    pub fn to_core(&self) -> Converted<model::PodDisruptionBudget> {
        converted(|faults| {
            let key = self.metadata.namespaced(names::dns_subdomain, faults);
            let at = Path::ROOT.child("spec");
            let (spec, status) = (&self.spec, &self.status);
            let is_healthy = status.current_healthy >= status.desired_healthy && status.desired_healthy > 0;
            model::PodDisruptionBudget {
                namespace: key.namespace,
                name: key.name,
                selector: spec.selector.as_ref().and_then(|s| s.to_core(&at.child("selector"), faults)),
                disruptions_allowed: status.disruptions_allowed,
                spares_unready: is_healthy || spec.unhealthy_pod_eviction_policy.as_deref() == Some("AlwaysAllow"),
                disrupted_pods: status.disrupted_pods.keys().map(|name| name.as_str().into()).collect(),
            }
        })
    }
}

impl PriorityClass {
    /// The class, and what is wrong with it.
    pub fn to_core(&self) -> Converted<model::PriorityClass> {
        converted(|faults| {
            let at = Path::ROOT.child("preemptionPolicy");
            model::PriorityClass {
                name: self.metadata.cluster_scoped(names::dns_subdomain, faults),
                value: self.value,
                global_default: self.global_default,
                preemption_policy: preemption_policy(self.preemption_policy.as_deref(), &at, faults)
                    .unwrap_or_default(),
            }
        })
    }
}
