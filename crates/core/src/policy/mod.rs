//! Policies, and the profiles they compile to.
//!
//! `wire::policy` parses a document. Here it is validated ([`Policy::compile`]: every fault at once) and checked for settings that its
//! author may not have meant ([`Policy::lint`]).

mod compile;
mod configuration;
mod convert;
mod document;
mod extender;
mod hosts;
mod levels;
mod lint;
mod names;
mod plugins;
mod profiles;
mod volumes;

pub use configuration::{Configuration, DEFAULT_SCHEDULER, PluginArguments, SchedulerProfile};
pub use convert::Conversion;
pub use document::{DEFAULT_EXTENDER_MAX_SCORE, LevelEntry, Policy, PredicateEntry, PriorityEntry, Scoring};
pub use extender::{DEFAULT_TIMEOUT_NANOS, Extender, ManagedResource, TlsConfig, TlsFiles};
pub use hosts::{ExtenderHosts, HostPattern};
pub use names::{plugin_arguments, predicate_arguments, priority_arguments};
pub use plugins::{EXTENSION_POINTS, Plugin, PluginSet, PluginSets, is_plugin};
pub use profiles::{NoSuchProfile, Profiles};

use std::borrow::Cow;

pub use super::fault::{Fault, Faults, Warning};
use super::{predicates::Predicate, priorities::Priority, rule::Release};

/// When a name that Kubernetes 1.22 does not know any more was in use, and what took its place.
pub fn retirement(name: &str) -> Option<&'static str> {
    names::retired(name).map(|retired| retired.fate)
}

/// A policy (or one profile of a KubeSchedulerConfiguration), validated and ready to decide with.
pub struct Profile {
    /// The release whose rules apply.
    pub release: Release,
    /// The predicates, in order of evaluation.
    pub predicates: Vec<ActivePredicate>,
    /// The priorities; where they are levels, in order of importance.
    pub priorities: Vec<ActivePriority>,
    /// `true` if a node's message names the reasons of every predicate that failed, not only of the first.
    pub always_check_all_predicates: bool,
    /// How scores are combined.
    pub combination: Combination,
    /// The highest score that the extender verb `/prioritize` answers; scores are scaled to 0..=this.
    pub extender_max_score: i64,
    /// Other processes to ask about nodes, the ignorable ones last.
    pub extenders: Vec<Extender>,
    /// How much preemption tries; `None` where it is turned off.
    pub preemption: Option<PreemptionLimits>,
    /// `true` if `DynamicResources` is asked, before preemption, about a pod that fits nowhere (`postFilter`).
    pub asks_about_claims: bool,
}

/// How many nodes preemption tries: the larger of both, at most all. Source: `DefaultPreemptionArgs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreemptionLimits {
    /// Percent of the cluster's nodes, 0..=100.
    pub min_candidate_nodes_percentage: i64,
    /// A number of nodes, at least 0.
    pub min_candidate_nodes_absolute: i64,
}

impl Default for PreemptionLimits {
    fn default() -> Self {
        Self { min_candidate_nodes_percentage: 10, min_candidate_nodes_absolute: 100 }
    }
}

impl Profile {
    /// A profile that lets every node pass and scores none.
    pub fn empty(release: Release) -> Self {
        Self {
            release,
            predicates: Vec::new(),
            priorities: Vec::new(),
            always_check_all_predicates: false,
            combination: Combination::WeightedSum,
            extender_max_score: DEFAULT_EXTENDER_MAX_SCORE,
            extenders: Vec::new(),
            preemption: Some(PreemptionLimits::default()),
            asks_about_claims: false,
        }
    }
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let priorities = self.priorities.iter().map(|p| (p.plugin, p.weight));
        f.debug_struct("Profile")
            .field("release", &self.release)
            .field("predicates", &self.predicates.iter().map(|p| p.plugin).collect::<Vec<_>>())
            .field("priorities", &priorities.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// How a node's scores become one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    /// Σ score × weight; the highest sum wins. What kube-scheduler does.
    WeightedSum,
    /// A decision tree: the priorities are levels in order of importance, and each orders only the nodes that tie on
    /// every one before it.
    Lexicographic,
}

impl Combination {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::WeightedSum, Self::Lexicographic];

    /// The name that a policy gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::WeightedSum => "WeightedSum",
            Self::Lexicographic => "Lexicographic",
        }
    }
}

/// A predicate as a policy uses it.
pub struct ActivePredicate {
    /// The name by which the policy called it; of a member of `GeneralPredicates`, that.
    pub name: &'static str,
    /// The framework plugin that carries it.
    pub plugin: &'static str,
    /// The rule.
    pub rule: Box<dyn Predicate>,
}

/// A priority as a policy uses it.
pub struct ActivePriority {
    /// The name by which the policy called it; of several entries that became one plugin, the registered one.
    pub name: Cow<'static, str>,
    /// The framework plugin that carries it.
    pub plugin: &'static str,
    /// The factor of the score; 1 if priorities are levels.
    pub weight: i64,
    /// How far below the best a score may be and still tie with it, 0..=100. Only levels read it.
    pub tolerance: i64,
    /// The rule.
    pub rule: Box<dyn Priority>,
}
