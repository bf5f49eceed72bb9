//! Every predicate, priority and rule of advice, as `GET /plugins` lists them: read off the registries.

use serde::Serialize;
use utoipa::ToSchema;

use podberth_core::{
    advise::{self, Advice},
    federation,
    policy::retirement,
    predicates::{self, Build, Standing},
    priorities,
    rule::Identity,
};

/// Every predicate and priority that a policy can name, and the rules of advice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PluginCatalog {
    /// Predicates, in order of evaluation.
    pub predicates: Vec<PluginInfo>,
    /// Priorities.
    pub priorities: Vec<PluginInfo>,
    /// Rules of autoscaling and rescheduling, and rules for clusters (`POST /placements`).
    pub advice: Vec<AdviceInfo>,
}

/// A rule of autoscaling, rescheduling or placement over clusters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AdviceInfo {
    /// Its name.
    #[schema(example = "least-waste")]
    pub name: &'static str,
    /// The sort of rule: `Expander`, `EvictionStrategy`, `ClusterPredicate`, …
    #[schema(example = "Expander")]
    pub kind: &'static str,
    /// Its documentation, as Markdown.
    pub documentation: String,
}

impl From<&Advice> for AdviceInfo {
    fn from(advice: &Advice) -> Self {
        Self { name: advice.name, kind: advice.kind, documentation: advice.documentation() }
    }
}

impl From<&federation::Registration> for AdviceInfo {
    fn from(rule: &federation::Registration) -> Self {
        Self { name: rule.name, kind: rule.kind(), documentation: rule.documentation() }
    }
}

/// A predicate or a priority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginInfo {
    /// The name that a policy gives it.
    #[schema(example = "PodFitsHostPorts")]
    pub name: &'static str,
    /// Other names of the plugin.
    #[schema(value_type = Vec<String>, example = json!(["PodFitsPorts"]))]
    pub aliases: &'static [&'static str],
    /// `Predicate` or `Priority`.
    #[schema(example = "Predicate")]
    pub kind: &'static str,
    /// `Mandatory`: under every policy. `Default`: where a policy lists no predicates, or no priorities. `Optional`: only
    /// where a policy lists it. `ProfilesOnly`: never in a policy, by default in profiles of 1.34.
    #[schema(example = "Optional")]
    pub standing: &'static str,
    /// The weight of a default priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 1)]
    pub default_weight: Option<i64>,
    /// The predicates behind a group name; empty for a single predicate.
    #[schema(value_type = Vec<String>, example = json!([]))]
    pub members: &'static [&'static str],
    /// The framework plugin of Kubernetes 1.22 that carries it.
    #[schema(example = "NodePorts")]
    pub plugin: &'static str,
    /// The plugin of Kubernetes 1.34 that carries it; absent where there is none any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "NodePorts")]
    pub modern_plugin: Option<&'static str>,
    /// The releases that had it, and its successor; absent if 1.22 still has the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retired: Option<&'static str>,
    /// Its documentation, as Markdown.
    pub documentation: String,
}

impl PluginInfo {
    fn new(identity: &Identity, kind: &'static str, standing: &'static str) -> Self {
        Self {
            name: identity.name,
            aliases: identity.aliases,
            kind,
            standing,
            default_weight: None,
            members: &[],
            plugin: identity.plugin,
            modern_plugin: identity.modern_plugin,
            retired: retirement(identity.name),
            documentation: identity.documentation(),
        }
    }
}

impl From<&predicates::Registration> for PluginInfo {
    fn from(registration: &predicates::Registration) -> Self {
        let standing = match registration.standing {
            Standing::Mandatory => "Mandatory",
            Standing::Default => "Default",
            Standing::Optional => "Optional",
            Standing::ProfilesOnly => "ProfilesOnly",
        };
        let members = match registration.build {
            Build::Group(members) => members,
            Build::Rule(_) => &[],
        };
        Self { members, ..Self::new(&registration.identity, "Predicate", standing) }
    }
}

impl From<&priorities::Registration> for PluginInfo {
    fn from(registration: &priorities::Registration) -> Self {
        let default_weight = registration.default_weight;
        let standing = if default_weight.is_some() { "Default" } else { "Optional" };
        Self { default_weight, ..Self::new(&registration.identity, "Priority", standing) }
    }
}

impl PluginCatalog {
    /// All that there are.
    pub fn complete() -> Self {
        Self {
            predicates: predicates::ALL.iter().map(PluginInfo::from).collect(),
            priorities: priorities::ALL.iter().map(PluginInfo::from).collect(),
            advice: advise::all().map(AdviceInfo::from).chain(federation::ALL.iter().map(AdviceInfo::from)).collect(),
        }
    }
}
