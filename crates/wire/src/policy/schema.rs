//! The published shape of a policy document, for SDKs. [`super::parse`] does not use it, so that it can report every fault at once;
//! `tests/openapi.rs` keeps the two in step.
//!
//! Source: `kube-scheduler/config/v1/types.go` of 1.22 (`Policy`) and of 1.34 (`KubeSchedulerConfiguration`).

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

use super::argument_schema::{PluginArguments, PolicyPredicateArgument, PolicyPriorityArgument};

/// A `kind: Policy` of `v1`, or a `kind: KubeSchedulerConfiguration` of `kubescheduler.config.k8s.io/v1`.
///
/// A Policy has `predicates`, `priorities`, `hardPodAffinitySymmetricWeight`, `alwaysCheckAllPredicates`, `scoring`; a
/// KubeSchedulerConfiguration has `profiles`. Both have `extenders`. Everything is optional: an absent list stands for the defaults, an empty
/// one for none.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PolicyDocument {
    /// `Policy` where absent.
    #[schema(nullable = false, example = "Policy")]
    pub kind: Option<String>,
    /// `v1` for a Policy, `kubescheduler.config.k8s.io/v1` for a KubeSchedulerConfiguration.
    #[schema(nullable = false, example = "v1")]
    pub api_version: Option<String>,
    /// The rules that nodes must pass.
    #[schema(nullable = false)]
    pub predicates: Option<Vec<PredicatePolicy>>,
    /// The rules that score nodes.
    #[schema(nullable = false)]
    pub priorities: Option<Vec<PriorityPolicy>>,
    /// The weight of required pod affinity for InterPodAffinityPriority, 0 to 100; 1 where it is absent or 0.
    #[schema(nullable = false)]
    pub hard_pod_affinity_symmetric_weight: Option<i32>,
    /// `true` if all predicates are evaluated after the first failure.
    #[schema(nullable = false)]
    pub always_check_all_predicates: Option<bool>,
    /// How scores become a choice. Podberth's own extension of a Policy.
    #[schema(nullable = false)]
    pub scoring: Option<PolicyScoring>,
    /// HTTP extenders that take part in decisions.
    #[schema(nullable = false)]
    pub extenders: Option<Vec<PolicyExtender>>,
    /// The profiles of a KubeSchedulerConfiguration.
    #[schema(nullable = false)]
    pub profiles: Option<Vec<SchedulerProfile>>,
}

/// A predicate of a Policy.
#[derive(Debug, ToSchema)]
pub struct PredicatePolicy {
    /// A predicate of `/plugins`, or a name of the author's own with an argument.
    #[schema(example = "GeneralPredicates")]
    pub name: String,
    /// The parameters of a predicate that has some.
    #[schema(nullable = false)]
    pub argument: Option<PolicyPredicateArgument>,
}

/// A priority of a Policy.
#[derive(Debug, ToSchema)]
pub struct PriorityPolicy {
    /// A priority of `/plugins`, or a name of the author's own with an argument.
    #[schema(example = "LeastRequestedPriority")]
    pub name: String,
    /// Multiplies its score of 0 to 100; at least 1, and not read under `scoring.levels`.
    #[schema(nullable = false, example = 1)]
    pub weight: Option<i64>,
    /// The parameters of a priority that has some.
    #[schema(nullable = false)]
    pub argument: Option<PolicyPriorityArgument>,
}

/// How scores become a choice.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PolicyScoring {
    /// `WeightedSum` (default) or `Lexicographic`.
    #[schema(nullable = false, example = "WeightedSum")]
    pub strategy: Option<String>,
    /// For `Lexicographic`: priorities, the first decides, the next breaks its ties.
    #[schema(nullable = false)]
    pub levels: Option<Vec<ScoringLevel>>,
    /// The highest score that `/prioritize` answers; 10 where absent.
    #[schema(nullable = false)]
    pub extender_max_score: Option<i64>,
}

/// One level of a decision tree.
#[derive(Debug, ToSchema)]
pub struct ScoringLevel {
    /// A priority of the policy.
    pub priority: String,
    /// Scores that differ by no more than this are alike; 0 where absent.
    #[schema(nullable = false)]
    pub tolerance: Option<i64>,
}

/// An HTTP extender.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PolicyExtender {
    /// The URL that verbs are appended to.
    #[schema(nullable = false, example = "http://127.0.0.1:8888/scheduler")]
    pub url_prefix: Option<String>,
    /// Rules nodes out; not called where absent.
    #[schema(nullable = false)]
    pub filter_verb: Option<String>,
    /// Scores nodes; not called where absent.
    #[schema(nullable = false)]
    pub prioritize_verb: Option<String>,
    /// Chooses victims; not called where absent.
    #[schema(nullable = false)]
    pub preempt_verb: Option<String>,
    /// Binds pods; at most one extender has it.
    #[schema(nullable = false)]
    pub bind_verb: Option<String>,
    /// Multiplies its scores.
    #[schema(nullable = false)]
    pub weight: Option<i64>,
    /// `true` if it is called over TLS; `enableHTTPS` in a KubeSchedulerConfiguration.
    #[schema(nullable = false)]
    pub enable_https: Option<bool>,
    /// Certificates and names for TLS.
    #[schema(nullable = false)]
    pub tls_config: Option<ExtenderTlsConfig>,
    /// How long a call may take: nanoseconds in a Policy, a duration such as `5s` in a KubeSchedulerConfiguration.
    #[schema(nullable = false)]
    pub http_timeout: Option<Value>,
    /// `true` if it gets names of nodes instead of nodes.
    #[schema(nullable = false)]
    pub node_cache_capable: Option<bool>,
    /// It is called only for pods that request one of these; for all pods if absent.
    #[schema(nullable = false)]
    pub managed_resources: Option<Vec<ExtenderManagedResource>>,
    /// `true` if decisions go on without it when it fails.
    #[schema(nullable = false)]
    pub ignorable: Option<bool>,
}

/// The TLS settings of an extender.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ExtenderTlsConfig {
    /// `true` if its certificate is not checked.
    #[schema(nullable = false)]
    pub insecure: Option<bool>,
    /// The name that its certificate must have, where it is not that of the URL.
    #[schema(nullable = false)]
    pub server_name: Option<String>,
    /// The client's certificate, a file of the server.
    #[schema(nullable = false)]
    pub cert_file: Option<String>,
    /// Its key, a file of the server.
    #[schema(nullable = false)]
    pub key_file: Option<String>,
    /// The authorities trusted, a file of the server.
    #[schema(nullable = false)]
    pub ca_file: Option<String>,
    /// The client's certificate, PEM in base64.
    #[schema(nullable = false)]
    pub cert_data: Option<String>,
    /// Its key, PEM in base64.
    #[schema(nullable = false)]
    pub key_data: Option<String>,
    /// The authorities trusted, PEM in base64.
    #[schema(nullable = false)]
    pub ca_data: Option<String>,
}

/// A resource that an extender manages.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ExtenderManagedResource {
    /// Such as `example.com/gpu`.
    #[schema(example = "example.com/gpu")]
    pub name: String,
    /// `true` if only the extender handles the resource.
    #[schema(nullable = false)]
    pub ignored_by_scheduler: Option<bool>,
}

/// A profile of a KubeSchedulerConfiguration.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct SchedulerProfile {
    /// Pods with this `spec.schedulerName` are decided by it; `default-scheduler` where absent.
    #[schema(nullable = false, example = "default-scheduler")]
    pub scheduler_name: Option<String>,
    /// Per cent of the nodes to score. Read and not used: all are scored.
    #[schema(nullable = false)]
    pub percentage_of_nodes_to_score: Option<i32>,
    /// Plugins per extension point: `multiPoint`, `preFilter`, `filter`, `postFilter`, `preScore`, `score`, ….
    #[schema(nullable = false)]
    pub plugins: Option<BTreeMap<String, PluginSet>>,
    /// Arguments of plugins.
    #[schema(nullable = false)]
    pub plugin_config: Option<Vec<PluginConfig>>,
}

/// The plugins of an extension point.
#[derive(Debug, ToSchema)]
pub struct PluginSet {
    /// Run besides the defaults.
    #[schema(nullable = false)]
    pub enabled: Option<Vec<PluginRef>>,
    /// Not run; `*` takes all defaults away.
    #[schema(nullable = false)]
    pub disabled: Option<Vec<PluginRef>>,
}

/// A plugin by its name.
#[derive(Debug, ToSchema)]
pub struct PluginRef {
    /// A plugin of `/plugins`.
    #[schema(example = "NodeResourcesFit")]
    pub name: String,
    /// Multiplies its score; its default where absent.
    #[schema(nullable = false)]
    pub weight: Option<i32>,
}

/// The arguments of a plugin.
#[derive(Debug, ToSchema)]
pub struct PluginConfig {
    /// The plugin.
    #[schema(example = "NodeResourcesFit")]
    pub name: String,
    /// Its `…Args` of `kubescheduler.config.k8s.io/v1`.
    #[schema(nullable = false)]
    pub args: Option<PluginArguments>,
}
