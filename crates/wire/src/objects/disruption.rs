//! Disruption budgets and priority classes.
//!
//! Source: `api/policy/v1/types.go`, `api/scheduling/v1/types.go`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Converted, converted,
    meta::{LabelSelector, ObjectMeta, instant},
    names,
    pod::preemption_policy,
};
use crate::fault::{Faults, Path};
use podberth_core::model;

/// How many pods of a group may be missing at a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodDisruptionBudget {
    /// Name and namespace.
    pub metadata: ObjectMeta,
    /// Its pods.
    pub spec: PodDisruptionBudgetSpec,
    /// Disruptions allowed at the moment.
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

/// Disruptions that a budget allows at the moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodDisruptionBudgetStatus {
    /// How many of its pods may be evicted now.
    pub disruptions_allowed: i32,
    /// How many of its pods are healthy.
    pub current_healthy: i32,
    /// How many have to be.
    pub desired_healthy: i32,
    /// The pods that are being evicted, by name, with the time of the eviction.
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
    /// `true` if pods without a class name get this class.
    pub global_default: bool,
    /// `PreemptLowerPriority` (default) or `Never`.
    #[schema(nullable = false)]
    pub preemption_policy: Option<String>,
}

impl PodDisruptionBudget {
    /// The budget, and its faults.
    pub fn to_core(&self) -> Converted<model::PodDisruptionBudget> {
        converted(|faults| {
            let key = self.metadata.namespaced(names::dns_subdomain, faults);
            let at = Path::ROOT.child("spec");
            let (spec, status) = (&self.spec, &self.status);
            let status_at = Path::ROOT.child("status");
            let disrupted_at = status_at.child("disruptedPods");
            for (name, since) in &status.disrupted_pods {
                let _ = instant(since, &disrupted_at.key(name), faults);
            }
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
    /// Only the system's own classes have names and values of the system
    /// (`pkg/apis/scheduling/validation/validation.go`, `ValidatePriorityClass`).
    fn check_value(&self, faults: &mut Faults) {
        let (metadata, name) = (Path::ROOT.child("metadata"), &*self.metadata.name);
        if !name.starts_with(model::PriorityClass::SYSTEM_PREFIX) {
            let highest = model::PriorityClass::HIGHEST_USER_VALUE;
            if self.value > highest {
                let why = format!("maximum allowed value of a user defined priority is {highest}");
                faults.forbidden(&Path::ROOT.child("value"), &why);
            }
            return;
        }
        let why = match model::PriorityClass::system(name) {
            None => format!("{name} is not a known system priority class"),
            Some(class) if class.value != self.value => {
                format!("value of {name} PriorityClass must be {}", class.value)
            }
            Some(_) if self.global_default => format!("globalDefault of {name} PriorityClass must be false"),
            Some(_) => return,
        };
        let why = format!("priority class names with 'system-' prefix are reserved for system use only. error: {why}");
        faults.forbidden(&metadata.child("name"), &why);
    }

    /// The class, and its faults.
    pub fn to_core(&self) -> Converted<model::PriorityClass> {
        converted(|faults| {
            let at = Path::ROOT.child("preemptionPolicy");
            let name = self.metadata.cluster_scoped(names::dns_subdomain, faults);
            self.check_value(faults);
            model::PriorityClass {
                name,
                value: self.value,
                global_default: self.global_default,
                preemption_policy: preemption_policy(self.preemption_policy.as_deref(), &at, faults)
                    .unwrap_or_default(),
            }
        })
    }
}
