//! ResourceQuotas, as far as estimates read them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    fault::{Faults, Path},
    objects::{
        meta::ObjectMeta,
        quantity::{QuantityText, resource_list},
    },
};
use podberth_core::{
    federation::estimate::Quota,
    model::{Name, Operator, resources},
};

/// The only scope that bounds an estimate.
const PRIORITY_CLASS: &str = "PriorityClass";

/// A quota of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceQuota {
    /// Name and namespace.
    pub metadata: ObjectMeta,
    /// The pods that it is about.
    pub spec: QuotaSpec,
    /// Its bounds, and what is used of them.
    pub status: QuotaStatus,
}

/// The pods that a quota is about.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct QuotaSpec {
    /// Scopes, one of which has to match: of the known ones only `PriorityClass` does.
    pub scopes: Vec<String>,
    /// Scopes with conditions.
    #[schema(nullable = false)]
    pub scope_selector: Option<ScopeSelector>,
}

/// Scopes with conditions.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScopeSelector {
    /// The conditions.
    pub match_expressions: Vec<ScopeRequirement>,
}

/// A condition on the priority class of pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScopeRequirement {
    /// The scope.
    #[schema(example = "PriorityClass")]
    pub scope_name: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// Names of classes.
    pub values: Vec<String>,
}

/// The bounds of a quota.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct QuotaStatus {
    /// The bounds, by resource.
    pub hard: BTreeMap<String, QuantityText>,
    /// The amounts in use.
    pub used: BTreeMap<String, QuantityText>,
}

impl ResourceQuota {
    /// The quota.
    pub fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Quota {
        let status_at = at.child("status");
        let hard = resource_list(&self.status.hard, &status_at.child("hard"), faults);
        let used = resource_list(&self.status.used, &status_at.child("used"), faults);
        let free = hard.iter().filter_map(|(name, hard)| {
            let resource = name.strip_prefix("requests.").unwrap_or(name);
            let counts = matches!(resource, resources::CPU | resources::MEMORY) || resources::is_extended(resource);
            let is_limit = name.starts_with("limits.");
            let used = used.get(name).filter(|_| counts && !is_limit)?;
            Some((Name::from(resource), hard.saturating_sub(*used)))
        });
        Quota { namespace: self.metadata.namespace.as_str().into(), free: free.collect(), classes: self.spec.classes() }
    }
}

impl QuotaSpec {
    /// The conditions on priority classes; `None` for a quota without scopes.
    fn classes(&self) -> Option<Vec<Operator>> {
        let selected = self.scope_selector.as_ref().map_or(&[][..], |selector| &selector.match_expressions);
        if self.scopes.is_empty() && selected.is_empty() {
            return None;
        }
        let named = self.scopes.iter().filter(|scope| *scope == PRIORITY_CLASS).map(|_| Operator::Exists);
        let conditions = selected.iter().filter(|of| of.scope_name == PRIORITY_CLASS).filter_map(|of| {
            let values = || of.values.iter().map(|value| Name::from(&**value)).collect();
            match of.operator.as_str() {
                "In" => Some(Operator::In(values())),
                "NotIn" => Some(Operator::NotIn(values())),
                "Exists" => Some(Operator::Exists),
                "DoesNotExist" => Some(Operator::DoesNotExist),
                _ => None,
            }
        });
        Some(named.chain(conditions).collect())
    }
}
