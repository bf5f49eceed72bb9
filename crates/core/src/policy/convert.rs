//! Converts a Policy to the closest KubeSchedulerConfiguration, and notes the differences.
//!
//! Policy files ended with 1.23 (kubernetes#92143). Most names live on as plugins; settings without a counterpart are noted.

use std::collections::BTreeMap;

use super::{
    ActivePriority, Combination, Configuration, Faults, Plugin, PluginArguments, PluginSet, PluginSets, Policy,
    Profile, SchedulerProfile, Warning, names, plugins,
};
use crate::{
    argument::{CapacityRatio, DefaultSpreading, ScoringStrategy},
    model::{NodeSelector, NodeSelectorTerm, Operator, PreferredNode, Requirement},
    node_match::ADDED_AFFINITY,
    predicates::{check_node_label_presence, check_service_affinity},
    priorities::{
        MAX_NODE_SCORE, inter_pod_affinity::HARD_WEIGHT, label_preference::PREFERENCES,
        requested_to_capacity_ratio::RATIO,
    },
    qualified,
    rule::{LabelPresence, ResourceWeight},
    spreading::DEFAULTS,
};

/// A Policy as a KubeSchedulerConfiguration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// The configuration; it compiles.
    pub configuration: Configuration,
    /// Differences from the Policy, by the fields of the Policy.
    pub notes: Vec<Warning>,
}

/// Plugins that every profile needs and that are no predicates or priorities.
const FRAME: [&str; 4] = ["SchedulingGates", "PrioritySort", "DefaultPreemption", "DefaultBinder"];

/// Predicates whose plugin is gone; one plugin counts every driver's volumes today.
const VOLUME_LIMITS: [&str; 4] = ["EBSLimits", "GCEPDLimits", "AzureDiskLimits", "CinderLimits"];

/// Priorities that are strategies of `NodeResourcesFit` today.
const STRATEGIES: [(&str, &str); 3] = [
    ("NodeResourcesLeastAllocated", "LeastAllocated"),
    ("NodeResourcesMostAllocated", "MostAllocated"),
    ("RequestedToCapacityRatio", "RequestedToCapacityRatio"),
];

/// How many levels become weights: 101⁴ is the highest power of 101 that a weight, of 32 bits, can be.
const MAX_LEVELS: usize = 5;

impl Policy {
    /// The configuration that comes closest, for kube-scheduler 1.25 and after.
    ///
    /// # Errors
    /// Everything that is wrong with the policy.
    pub fn convert(&self) -> Result<Conversion, Faults> {
        let profile = self.compile()?;
        let mut converter = Converter::default();
        converter.predicates(self, &profile);
        match self.scoring.strategy {
            Combination::WeightedSum => {
                converter.priorities(self, &profile.priorities.iter().map(|p| (p.plugin, p.weight)).collect());
            }
            Combination::Lexicographic => converter.levels(self, &profile),
        }
        converter.rest(self);
        let Converter { filters, scores, arguments, mut notes } = converter;
        if profile.extender_max_score != super::DEFAULT_EXTENDER_MAX_SCORE {
            notes.push(Warning::new("scoring.extenderMaxScore", "is Podberth's own and has no counterpart"));
        }
        let plugins = plugin_sets(&filters, &scores);
        let profile = SchedulerProfile { plugins, arguments, ..SchedulerProfile::default() };
        let extenders = self.extenders.clone();
        let configuration = Configuration { profiles: vec![profile], extenders, ..Configuration::default() };
        Ok(Conversion { configuration, notes })
    }
}

#[derive(Default)]
struct Converter {
    filters: Vec<&'static str>,
    scores: BTreeMap<&'static str, i64>,
    arguments: PluginArguments,
    notes: Vec<Warning>,
}

impl Converter {
    fn note(&mut self, field: &str, message: impl Into<String>) {
        self.notes.push(Warning::new(field, message));
    }

    fn filter(&mut self, plugin: &str) {
        if let Some(known) = plugins::find(plugin).filter(|known| !self.filters.contains(&known.name)) {
            self.filters.push(known.name);
        }
    }

    fn named(&mut self, plugin: &str) {
        if !self.arguments.named.iter().any(|name| &**name == plugin) {
            self.arguments.named.push(plugin.into());
        }
    }

    fn predicates(&mut self, policy: &Policy, profile: &Profile) {
        let field = "predicates";
        for predicate in &profile.predicates {
            let (name, plugin) = (predicate.name, predicate.plugin);
            if names::retired(name).is_some() {
                self.note(field, format!("{name} has no plugin: taints or another predicate took its place"));
            } else if VOLUME_LIMITS.contains(&plugin) {
                let why = format!("{name}: NodeVolumeLimits counts these volumes today, by their CSI driver's limits");
                self.note(field, why);
                self.filter("NodeVolumeLimits");
            } else if plugin == check_service_affinity::LABELS.plugin {
                self.note(field, format!("{name}: ServiceAffinity is gone; pod affinity in the pods does the like"));
            } else if plugin != check_node_label_presence::LABELS.plugin {
                self.filter(plugin);
            }
        }
        let entries = policy.predicates.as_deref().unwrap_or_default().iter();
        let presences = entries.filter_map(|entry| entry.argument.as_ref()?.get(&check_node_label_presence::LABELS));
        let conditions = self.conditions(field, presences.flatten());
        if !conditions.is_empty() {
            if !self.filters.contains(&"NodeAffinity") {
                self.note(field, "labelsPresence becomes NodeAffinity, which also reads the pods' own node affinity");
            }
            self.filter("NodeAffinity");
            self.named("NodeAffinity");
            let term = NodeSelectorTerm { match_expressions: conditions, match_fields: Vec::new() };
            let mut added = self.arguments.values.get(&ADDED_AFFINITY).cloned().unwrap_or_default();
            added.required = Some(NodeSelector(vec![term]));
            self.arguments.values.set(&ADDED_AFFINITY, added);
        }
    }

    /// Sets weights under which a sum orders nodes as the levels do: one point of a level weighs more than all later levels together,
    /// 101 > 100 and 101 × 101 > 100 × 101 + 100.
    fn levels(&mut self, policy: &Policy, profile: &Profile) {
        let mut kept: Vec<&ActivePriority> = Vec::new();
        for (i, level) in profile.priorities.iter().enumerate() {
            let (field, name) = (format!("scoring.levels[{i}]"), &level.name);
            let plugin = successor(level.plugin);
            if kept.iter().any(|earlier| successor(earlier.plugin) == plugin) {
                self.note(&field, format!("{name} is left out: its plugin, {plugin}, carries an earlier level"));
            } else if kept.len() == MAX_LEVELS {
                let why = format!("{name} is left out: weights of 32 bits have room for {MAX_LEVELS} levels");
                self.note(&field, why);
            } else {
                if level.tolerance > 0 {
                    let why = format!("has no counterpart: the smallest difference by {name} decides");
                    self.note(&format!("{field}.tolerance"), why);
                }
                kept.push(level);
            }
        }
        let exponents = (0..kept.len() as u32).rev();
        let weights: Vec<i64> = exponents.map(|exponent| (MAX_NODE_SCORE + 1).pow(exponent)).collect();
        let told = weights.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let why = format!(
            "levels have no counterpart; weights of {told} stand in for them, by which one point of a level is more than \
             all that those after it can come to"
        );
        self.note("scoring.strategy", why);
        let argued = kept.iter().filter(|level| names::takes_an_argument(&level.name, level.plugin));
        let listed = || policy.priorities.iter().flatten().rev();
        let entries = argued.filter_map(|level| listed().find(|entry| *entry.name == *level.name));
        let read = Policy { priorities: Some(entries.cloned().collect()), ..policy.clone() };
        self.priorities(&read, &kept.iter().zip(weights).map(|(level, weight)| (level.plugin, weight)).collect());
    }

    fn priorities(&mut self, policy: &Policy, weights: &BTreeMap<&'static str, i64>) {
        let field = "priorities";
        for (&plugin, &weight) in weights {
            if STRATEGIES.iter().any(|(old, _)| *old == plugin) {
                continue;
            }
            match plugin {
                "SelectorSpread" => {
                    let why = "SelectorSpread becomes PodTopologySpread with the system's default constraints, which \
                               spread by hosts and zones in another measure and read the pods' own constraints too";
                    self.note(field, why);
                }
                "NodeLabel" => self.label_preferences(policy, weight),
                "NodePreferAvoidPods" => {
                    self.note(field, "NodePreferAvoidPods is gone; a taint with PreferNoSchedule does the like");
                }
                "ServiceAffinity" => {
                    let why = "serviceAntiAffinity is gone; topologySpreadConstraints in the pods do the like";
                    self.note(field, why);
                }
                other => match plugins::find(other).filter(|known| known.points.contains(&"score")) {
                    Some(known) => {
                        *self.scores.entry(known.name).or_insert(0) += weight;
                    }
                    None if other == names::EQUAL_PRIORITY => {}
                    None => self.note(field, format!("{other} has no counterpart")),
                },
            }
        }
        self.spreading(weights);
        self.resources(policy, weights);
    }

    /// One plugin does today what `SelectorSpreadPriority` and `EvenPodsSpreadPriority` did.
    fn spreading(&mut self, weights: &BTreeMap<&str, i64>) {
        if let Some(selector) = weights.get("SelectorSpread") {
            self.scores.entry("PodTopologySpread").or_insert(*selector);
        } else if self.scores.contains_key("PodTopologySpread") || self.filters.contains(&"PodTopologySpread") {
            self.named("PodTopologySpread");
            self.arguments.values.set(&DEFAULTS, DefaultSpreading::List(Vec::new()));
        }
    }

    /// Of the priorities that became strategies of `NodeResourcesFit` only one can stay: the heaviest.
    fn resources(&mut self, policy: &Policy, weights: &BTreeMap<&str, i64>) {
        let field = "priorities";
        let listed = STRATEGIES.iter().filter_map(|(old, kind)| weights.get(old).map(|weight| (*weight, *kind)));
        let Some((weight, kind)) = listed.clone().max_by_key(|(weight, _)| *weight) else { return };
        for (_, lost) in listed.filter(|(_, other)| *other != kind) {
            self.note(field, format!("{lost}: NodeResourcesFit has one scoring strategy, and {kind} weighs more"));
        }
        let mut strategy =
            ScoringStrategy { kind: kind.into(), resources: ResourceWeight::cpu_and_memory(), shape: None };
        if kind == "RequestedToCapacityRatio" {
            let entries = policy.priorities.as_deref().unwrap_or_default().iter();
            let ratio = entries.filter_map(|e| e.argument.as_ref()?.get(&RATIO)).next_back();
            if !self.capacity_ratio(ratio, &mut strategy) {
                return;
            }
        }
        self.named("NodeResourcesFit");
        self.arguments.set_scoring_strategy(strategy);
        self.scores.insert("NodeResourcesFit", weight);
    }

    /// `true` if there is anything to score.
    fn capacity_ratio(&mut self, ratio: Option<&CapacityRatio>, strategy: &mut ScoringStrategy) -> bool {
        let Some(ratio) = ratio.filter(|ratio| !ratio.resources.is_empty()) else {
            self.note("priorities", "RequestedToCapacityRatio without resources scores all nodes 0 and is left out");
            return false;
        };
        strategy.shape = Some(ratio.shape.clone());
        strategy.resources.clone_from(&ratio.resources);
        for resource in strategy.resources.iter_mut().filter(|resource| resource.weight > 100) {
            resource.weight = 100;
            let why = format!("the weight of {} is cut to 100, the highest allowed today", resource.name);
            self.notes.push(Warning::new("priorities", why));
        }
        true
    }

    fn label_preferences(&mut self, policy: &Policy, weight: i64) {
        let entries = policy.priorities.as_deref().unwrap_or_default().iter();
        let preferences = entries.filter_map(|entry| entry.argument.as_ref()?.get(&PREFERENCES)).flatten();
        let wish = |condition| PreferredNode {
            weight: 1,
            term: NodeSelectorTerm { match_expressions: vec![condition], match_fields: Vec::new() },
        };
        let mut added = self.arguments.values.get(&ADDED_AFFINITY).cloned().unwrap_or_default();
        added.preferred = self.conditions("priorities", preferences).into_iter().map(wish).collect();
        self.arguments.values.set(&ADDED_AFFINITY, added);
        self.named("NodeAffinity");
        let why = "labelPreference becomes preferred node affinity of every pod, which NodeAffinity weighs together with \
                   the pods' own and scales so that the best node scores 100";
        self.note("priorities", why);
        *self.scores.entry("NodeAffinity").or_insert(0) += weight;
    }

    /// Each label as a condition on a node. A policy of 1.22 may name keys that no label can have; a plugin's argument may not.
    fn conditions<'p>(&mut self, field: &str, presences: impl Iterator<Item = &'p LabelPresence>) -> Vec<Requirement> {
        let mut conditions = Vec::new();
        for LabelPresence { labels, presence } in presences {
            let (valid, impossible): (Vec<_>, Vec<_>) =
                labels.iter().partition(|key| qualified::reasons(key).is_empty());
            for key in impossible {
                self.note(field, format!("no node can have the label {key:?}: it is left out"));
            }
            let operator = || if *presence { Operator::Exists } else { Operator::DoesNotExist };
            conditions.extend(valid.into_iter().map(|key| Requirement { key: key.clone(), operator: operator() }));
        }
        conditions
    }

    fn rest(&mut self, policy: &Policy) {
        if policy.hard_pod_affinity_symmetric_weight > 0 {
            self.named("InterPodAffinity");
            self.arguments.values.set(&HARD_WEIGHT, policy.hard_pod_affinity_symmetric_weight);
        }
        if policy.always_check_all_predicates {
            let why = "has no counterpart: a node is always ruled out by the first plugin that fails";
            self.note("alwaysCheckAllPredicates", why);
        }
        for (plugin, weight) in &mut self.scores {
            if *weight < 1 {
                *weight = 1;
                self.notes.push(Warning::new("priorities", format!("the weight of {plugin} is raised to 1")));
            }
        }
    }
}

/// The present successor of a priority's plugin of 1.22, or its own name.
fn successor(plugin: &'static str) -> &'static str {
    match plugin {
        "SelectorSpread" => "PodTopologySpread",
        "NodeLabel" => "NodeAffinity",
        strategy if STRATEGIES.iter().any(|(old, _)| *old == strategy) => "NodeResourcesFit",
        same => same,
    }
}

/// Everything off that is on by default, then the frame, then each plugin where it is used.
fn plugin_sets(filters: &[&'static str], scores: &BTreeMap<&'static str, i64>) -> PluginSets {
    let plain = |name: &str| Plugin { name: name.into(), weight: 0 };
    let mut sets = PluginSets {
        multi_point: PluginSet { enabled: FRAME.iter().map(|name| plain(name)).collect(), disabled: vec!["*".into()] },
        points: BTreeMap::new(),
    };
    let mut put = |point: &'static str, plugin: Plugin| sets.points.entry(point).or_default().enabled.push(plugin);
    for known in filters.iter().filter_map(|name| plugins::find(name)) {
        for &point in known.points.iter().filter(|point| !["preScore", "score"].contains(*point)) {
            put(point, plain(known.name));
        }
    }
    for (known, weight) in scores.iter().filter_map(|(name, weight)| Some((plugins::find(name)?, *weight))) {
        for &point in known.points.iter().filter(|point| ["preScore", "score"].contains(*point)) {
            put(point, Plugin { weight: if point == "score" { weight } else { 0 }, ..plain(known.name) });
        }
    }
    sets
}
