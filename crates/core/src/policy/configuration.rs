//! A `KubeSchedulerConfiguration` as 1.34 reads it, as far as it affects where pods go.
//!
//! Source: `pkg/scheduler/apis/config/types.go` and `types_pluginargs.go`, `v1/defaults.go`,
//! `validation/validation.go` and `validation_pluginargs.go`.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    ActivePredicate, ActivePriority, Fault, Faults, PreemptionLimits, Profile, Profiles, Warning,
    extender::{self, Extender},
    names,
    plugins::{self, Expanded, PluginSets},
};
use crate::{
    argument::{ScoringStrategy, Values, checks::range},
    model::Name,
    predicates::{self, Build, pod_fits_resources::IGNORED},
    priorities::{self, resource_scoring::STRATEGY},
    rule::{Arguments, Release},
};

const RELEASE: Release = Release::V1_34;
/// The scheduler that pods ask for when they name none.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

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

/// `pluginConfig`, all plugins together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginArguments {
    /// The plugins that `pluginConfig` names, in order.
    pub named: Vec<Name>,
    /// The arguments of rules that are written.
    pub values: Values,
    /// `DefaultPreemption`.
    pub preemption: PreemptionLimits,
}

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
            priorities: build_priorities(&expanded, &arguments),
            extenders: extender::in_order_of_use(extenders),
            preemption: expanded.at("postFilter").contains(&"DefaultPreemption").then_some(self.arguments.preemption),
            asks_about_claims: expanded.at("postFilter").contains(&"DynamicResources"),
            ..Profile::empty(RELEASE)
        }
    }
}

impl PluginArguments {
    /// How `NodeResourcesFit` scores; `None` where that is left to the default.
    pub fn scoring_strategy(&self) -> Option<&ScoringStrategy> {
        self.values.get(&STRATEGY)
    }

    /// Changes how `NodeResourcesFit` scores.
    pub fn set_scoring_strategy(&mut self, strategy: ScoringStrategy) {
        self.values.set(&STRATEGY, strategy);
    }

    /// These arguments in the terms of the rules. Resources that an extender alone manages replace those that the profile ignores.
    fn for_rules(&self, extenders: &[Extender]) -> Arguments {
        let mut arguments = Arguments { release: RELEASE, written: self.values.clone() };
        let managed = extender::ignored_resources(extenders);
        if !managed.is_empty() {
            arguments.set(&IGNORED, managed);
        }
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
        for argument in names::plugin_arguments() {
            if let Some(value) = self.values.of(argument) {
                argument.check(value, &at(argument.plugin()), faults);
            }
        }
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
    // Plugins that keep a pod out of the queue are evaluated first.
    let first = expanded.at("preEnqueue").iter().filter(|plugin| !expanded.at("filter").contains(plugin));
    first.chain(expanded.at("filter")).filter_map(rule).collect()
}

/// The rules behind the score plugins. `NodeResourcesFit` scores by its strategy, a plugin of its own in 1.22.
fn build_priorities(expanded: &Expanded, arguments: &Arguments) -> Vec<ActivePriority> {
    let strategy = arguments.get(&STRATEGY).kind;
    let by_strategy = ScoringStrategy::KINDS.iter().find(|(kind, _)| *kind == &*strategy).map(|(_, plugin)| *plugin);
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
