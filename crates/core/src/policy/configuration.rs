//! A `KubeSchedulerConfiguration` as 1.34 reads it, as far as it affects where pods go.
//!
//! Source: `pkg/scheduler/apis/config/types.go` and `types_pluginargs.go`, `v1/defaults.go`,
//! `validation/validation.go` and `validation_pluginargs.go`.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    ActivePredicate, ActivePriority, Fault, Faults, PreemptionLimits, Profile, Profiles, Warning, arguments,
    extender::{self, Extender},
    names,
    plugins::{self, Expanded, PluginSets},
    qualified,
};
use crate::{
    model::{Name, NodeSelector, PreferredNode, TopologySpreadConstraint},
    predicates::{self, Build},
    priorities,
    rule::{Arguments, Release, ResourceWeight, ShapePoint},
};

const RELEASE: Release = Release::V1_34;
/// The scheduler that pods ask for when they name none.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";
const MAX_RESOURCE_WEIGHT: i64 = 100;

/// A configuration: the parts that concern nodes and scores. Queueing, leader election and similar parts are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Its API version; all are judged as [`Configuration::API_VERSION`].
    pub api_version: Name,
    /// Its profiles, of which a pod picks one by `spec.schedulerName`; at least one.
    pub profiles: Vec<SchedulerProfile>,
    /// Extenders of all profiles.
    pub extenders: Vec<Extender>,
    /// Warnings of the reader, which lint reports first.
    pub remarks: Vec<Warning>,
}

/// One of `profiles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerProfile {
    /// The name by which pods pick it.
    pub scheduler_name: Name,
    /// Which plugins run where.
    pub plugins: PluginSets,
    /// Arguments of the plugins.
    pub arguments: PluginArguments,
}

impl Default for SchedulerProfile {
    fn default() -> Self {
        Self {
            scheduler_name: DEFAULT_SCHEDULER.into(),
            plugins: PluginSets::default(),
            arguments: PluginArguments::default(),
        }
    }
}

/// How `NodeResourcesFit` scores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoringStrategy {
    /// `LeastAllocated`, `MostAllocated` or `RequestedToCapacityRatio`.
    pub kind: Name,
    /// The scored resources; an empty list stands for CPU and memory. A weight of 0 stands for 1.
    pub resources: Vec<ResourceWeight>,
    /// The line of `RequestedToCapacityRatio`; `None` where none is written.
    pub shape: Option<Vec<ShapePoint>>,
}

/// `pluginConfig`, all plugins together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginArguments {
    /// The plugins that `pluginConfig` names, in order.
    pub named: Vec<Name>,
    /// `NodeResourcesFit`.
    pub scoring_strategy: Option<ScoringStrategy>,
    /// `NodeResourcesFit`.
    pub ignored_resources: Vec<Name>,
    /// `NodeResourcesFit`.
    pub ignored_resource_groups: Vec<Name>,
    /// `NodeResourcesBalancedAllocation`; a weight of 0 stands for 1.
    pub balanced_resources: Vec<ResourceWeight>,
    /// `NodeAffinity`, required.
    pub added_affinity: Option<NodeSelector>,
    /// `NodeAffinity`, preferred.
    pub added_preferences: Vec<PreferredNode>,
    /// `PodTopologySpread`: constraints instead of the system's; `None` is `defaultingType: System`.
    pub default_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// `InterPodAffinity`; `None` is 1.
    pub hard_pod_affinity_weight: Option<i64>,
    /// `InterPodAffinity`.
    pub ignore_preferred_terms_of_existing_pods: bool,
    /// `DefaultPreemption`.
    pub preemption: PreemptionLimits,
}

/// Strategies of `NodeResourcesFit`, with the plugin that each was in 1.22.
pub const SCORING_STRATEGIES: [(&str, &str); 3] = [
    ("LeastAllocated", "NodeResourcesLeastAllocated"),
    ("MostAllocated", "NodeResourcesMostAllocated"),
    ("RequestedToCapacityRatio", "RequestedToCapacityRatio"),
];

impl Default for Configuration {
    /// The default configuration of 1.34.
    fn default() -> Self {
        Self {
            api_version: Self::API_VERSION.into(),
            profiles: vec![SchedulerProfile::default()],
            extenders: Vec::new(),
            remarks: Vec::new(),
        }
    }
}

impl Configuration {
    /// The version that is written.
    pub const API_VERSION: &'static str = "kubescheduler.config.k8s.io/v1";

    /// The profile of a scheduler; `None` is `default-scheduler` or, where the configuration has no such, its first.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, in any of its profiles, each fault with its field.
    pub fn compile(&self, scheduler_name: Option<&str>) -> Result<Profile, Faults> {
        let (compiled, mut faults) = self.compiled();
        let position = position(&compiled, scheduler_name);
        if position.is_none_or(|at| at >= compiled.len()) {
            let wanted = scheduler_name.unwrap_or(DEFAULT_SCHEDULER);
            faults.push(Fault::new("profiles", format!("no profile has the schedulerName {wanted:?}")));
        }
        let at = position.unwrap_or_default();
        let chosen = compiled.into_iter().nth(at).map_or_else(|| Profile::empty(RELEASE), |(_, profile)| profile);
        Faults::or(faults, chosen)
    }

    /// All its profiles.
    ///
    /// # Errors
    /// As for [`Self::compile`].
    pub fn compile_all(&self) -> Result<Profiles, Faults> {
        let (compiled, mut faults) = self.compiled();
        let default = position(&compiled, None).unwrap_or_default();
        let named = compiled.into_iter().map(|(name, profile)| (name, Arc::new(profile))).collect();
        let profiles = Profiles::named(named, default).unwrap_or_else(|| {
            faults.push(Fault::new("profiles", "Required value"));
            Arc::new(Profile::empty(RELEASE)).into()
        });
        Faults::or(faults, profiles)
    }

    fn compiled(&self) -> (Vec<(Name, Profile)>, Vec<Fault>) {
        let mut faults = Vec::new();
        let mut names = BTreeSet::new();
        let mut compiled = Vec::new();
        for (i, profile) in self.profiles.iter().enumerate() {
            let field = format!("profiles[{i}].");
            if profile.scheduler_name.is_empty() {
                faults.push(Fault::new(format!("{field}schedulerName"), "Required value"));
            } else if !names.insert(&profile.scheduler_name) {
                let why = format!("Duplicate value: {:?}", profile.scheduler_name);
                faults.push(Fault::new(format!("{field}schedulerName"), why));
            }
            compiled.push((profile.scheduler_name.clone(), profile.compile(&field, &self.extenders, &mut faults)));
        }
        extender::validate("extenders", &self.extenders, &mut faults);
        (compiled, faults)
    }
}

/// The index of a scheduler's profile; for `None` that of `default-scheduler`, else the first.
fn position(compiled: &[(Name, Profile)], scheduler_name: Option<&str>) -> Option<usize> {
    let wanted = scheduler_name.unwrap_or(DEFAULT_SCHEDULER);
    let position = compiled.iter().position(|(name, _)| &**name == wanted);
    position.or_else(|| scheduler_name.is_none().then_some(0))
}

impl SchedulerProfile {
    fn compile(&self, field: &str, extenders: &[Extender], faults: &mut Vec<Fault>) -> Profile {
        let expanded = self.plugins.expand(field, faults);
        for (point, wanted) in [("queueSort", "only one queue sort plugin"), ("bind", "at least one bind plugin")] {
            let count = expanded.at(point).len();
            if self.plugins.names_unknown(point) {
                continue; // Told already; the count is only what follows from it.
            }
            if count == 0 || point == "queueSort" && count > 1 {
                let why = format!("{wanted} is required for scheduler name {:?}, but got {count}", self.scheduler_name);
                faults.push(Fault::new(format!("{field}plugins.{point}"), why));
            }
        }
        self.arguments.validate(&format!("{field}pluginConfig"), faults);
        let arguments = self.arguments.for_rules(extenders);
        Profile {
            predicates: build_predicates(&expanded, &arguments),
            priorities: build_priorities(&expanded, &arguments, self.arguments.strategy()),
            extenders: extender::in_order_of_use(extenders),
            preemption: expanded.at("postFilter").contains(&"DefaultPreemption").then_some(self.arguments.preemption),
            ..Profile::empty(RELEASE)
        }
    }
}

impl PluginArguments {
    fn strategy(&self) -> &str {
        self.scoring_strategy.as_ref().map_or("LeastAllocated", |s| &*s.kind)
    }

    /// These arguments in the terms of the rules. Resources that an extender alone manages replace those that the profile ignores.
    fn for_rules(&self, extenders: &[Extender]) -> Arguments {
        let mut arguments = Arguments::defaults(RELEASE);
        if let Some(strategy) = &self.scoring_strategy {
            if !strategy.resources.is_empty() {
                arguments.scored_resources = weighted(&strategy.resources);
            }
            arguments.capacity_ratio_shape = strategy.shape.clone().unwrap_or_default();
        }
        if !self.balanced_resources.is_empty() {
            arguments.balanced_resources = weighted(&self.balanced_resources);
        }
        let managed = extender::ignored_resources(extenders);
        arguments.ignored_resources = if managed.is_empty() { self.ignored_resources.clone() } else { managed };
        arguments.ignored_resource_groups.clone_from(&self.ignored_resource_groups);
        arguments.added_affinity.clone_from(&self.added_affinity);
        arguments.added_preferences.clone_from(&self.added_preferences);
        if let Some(constraints) = &self.default_constraints {
            arguments.default_spread_constraints.clone_from(constraints);
            arguments.system_default_spreading = false;
        }
        arguments.hard_pod_affinity_weight = self.hard_pod_affinity_weight.unwrap_or(1);
        arguments.ignore_preferred_terms_of_existing_pods = self.ignore_preferred_terms_of_existing_pods;
        arguments
    }

    /// `field` is the path of `pluginConfig`.
    fn validate(&self, field: &str, faults: &mut Vec<Fault>) {
        let mut seen = BTreeSet::new();
        for (i, name) in self.named.iter().enumerate() {
            let at = format!("{field}[{i}]");
            if plugins::is_removed(name) {
                faults.push(plugins::removed(&at, name));
            } else if !seen.insert(name) {
                faults.push(Fault::new(&*at, format!("Duplicate value: {name:?}")));
            }
        }
        let at = |plugin: &str| {
            let i = self.named.iter().position(|name| &**name == plugin).unwrap_or_default();
            format!("{field}[{i}].args")
        };
        self.validate_fit(&at("NodeResourcesFit"), faults);
        let balanced = at("NodeResourcesBalancedAllocation");
        let mut seen = BTreeSet::new();
        for (i, resource) in self.balanced_resources.iter().enumerate() {
            if !seen.insert(&resource.name) {
                let why = format!("Duplicate value: {:?}", resource.name);
                faults.push(Fault::new(format!("{balanced}.resources[{i}].name"), why));
            }
            if ![0, 1].contains(&resource.weight) {
                faults.push(Fault::invalid(format!("{balanced}.resources[{i}].weight"), resource.weight, "must be 1"));
            }
        }
        let range = |field: String, value: i64, max: Option<i64>, faults: &mut Vec<Fault>| {
            if value < 0 || max.is_some_and(|max| value > max) {
                let max = max.map_or("inf)".to_owned(), |max| format!("{max}]"));
                faults.push(Fault::invalid(field, value, format!("not in valid range [0, {max}")));
            }
        };
        let affinity = format!("{}.hardPodAffinityWeight", at("InterPodAffinity"));
        range(affinity, self.hard_pod_affinity_weight.unwrap_or(1), Some(100), faults);
        let (preemption, limits) = (at("DefaultPreemption"), self.preemption);
        let (percentage, absolute) = (limits.min_candidate_nodes_percentage, limits.min_candidate_nodes_absolute);
        range(format!("{preemption}.minCandidateNodesPercentage"), percentage, Some(100), faults);
        range(format!("{preemption}.minCandidateNodesAbsolute"), absolute, None, faults);
        if percentage == 0 && absolute == 0 {
            let (one, other) = ("minCandidateNodesPercentage", "minCandidateNodesAbsolute");
            for (one, other) in [(one, other), (other, one)] {
                let why = format!("cannot be zero at the same time as {other}");
                faults.push(Fault::invalid(format!("{preemption}.{one}"), 0, why));
            }
        }
    }

    /// `ValidateNodeResourcesFitArgs`.
    fn validate_fit(&self, field: &str, faults: &mut Vec<Fault>) {
        for (i, resource) in self.ignored_resources.iter().enumerate() {
            qualified::label_key(&format!("{field}.ignoredResources[{i}]"), resource, faults);
        }
        for (i, group) in self.ignored_resource_groups.iter().enumerate() {
            let at = format!("{field}.ignoredResourceGroups[{i}]");
            if group.contains('/') {
                faults.push(Fault::invalid_text(&*at, group, "resource group name can't contain '/'"));
            }
            qualified::label_key(&at, group, faults);
        }
        let Some(strategy) = &self.scoring_strategy else { return };
        let at = format!("{field}.scoringStrategy");
        if !SCORING_STRATEGIES.iter().any(|(kind, _)| *kind == &*strategy.kind) {
            let supported = SCORING_STRATEGIES.map(|(kind, _)| format!("{kind:?}")).join(", ");
            let why = format!("Unsupported value: {:?}: supported values: {supported}", strategy.kind);
            faults.push(Fault::new(format!("{at}.type"), why));
        }
        let resources = weighted(&strategy.resources);
        arguments::resources(&format!("{at}.resources"), &resources, Some(MAX_RESOURCE_WEIGHT), faults);
        // kube-scheduler crashes where the strategy has no shape at all.
        if strategy.shape.is_some() || &*strategy.kind == "RequestedToCapacityRatio" {
            let shape = strategy.shape.as_deref().unwrap_or_default();
            let at = format!("{at}.requestedToCapacityRatio.shape");
            arguments::shape(&at, shape, "values must be sorted in increasing order", faults);
        }
    }
}

/// With 1 where no weight is written.
fn weighted(resources: &[ResourceWeight]) -> Vec<ResourceWeight> {
    let weight = |r: &ResourceWeight| if r.weight == 0 { 1 } else { r.weight };
    resources.iter().map(|r| ResourceWeight { name: r.name.clone(), weight: weight(r) }).collect()
}

/// The rules behind the filter plugins, in the profile's order. Plugins without a rule rule no node out here.
fn build_predicates(expanded: &Expanded, arguments: &Arguments) -> Vec<ActivePredicate> {
    let rule = |plugin: &&'static str| {
        let carried = predicates::ALL.iter().filter(|r| r.identity.modern_plugin == Some(*plugin));
        let mut current = carried.filter(|r| names::retired(r.identity.name).is_none());
        current.find_map(|r| match &r.build {
            Build::Rule(build) => Some(ActivePredicate { name: r.identity.name, plugin, rule: build(arguments) }),
            Build::Group(_) => None,
        })
    };
    // What keeps a pod from being tried at all is asked first.
    let first = expanded.at("preEnqueue").iter().filter(|plugin| !expanded.at("filter").contains(plugin));
    first.chain(expanded.at("filter")).filter_map(rule).collect()
}

/// The rules behind the score plugins. `NodeResourcesFit` scores by its strategy, a plugin of its own in 1.22.
fn build_priorities(expanded: &Expanded, arguments: &Arguments, strategy: &str) -> Vec<ActivePriority> {
    let by_strategy = SCORING_STRATEGIES.iter().find(|(kind, _)| *kind == strategy).map(|(_, plugin)| *plugin);
    let rule = |plugin: &&'static str| {
        let carrier = if *plugin == "NodeResourcesFit" { by_strategy? } else { plugin };
        let registration = priorities::ALL
            .iter()
            .find(|r| r.identity.plugin == carrier && r.identity.modern_plugin == Some(*plugin))?;
        let (name, weight) = (registration.identity.name, expanded.weight(plugin));
        Some(ActivePriority { name: name.into(), plugin, weight, tolerance: 0, rule: (registration.build)(arguments) })
    };
    expanded.at("score").iter().filter_map(rule).collect()
}
