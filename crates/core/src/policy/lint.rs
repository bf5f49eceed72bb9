//! Warnings about settings that the author of a policy may not have meant. Each holds for any cluster.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Combination, Configuration, PluginSets, Policy, PredicateEntry, PriorityEntry, Warning, levels,
    names::{self, EQUAL_PRIORITY},
    plugins,
};
use crate::{
    argument::Value,
    limits,
    predicates::{self, Build},
    priorities::{self, MAX_NODE_SCORE, requested_to_capacity_ratio::RATIO},
    rule::ShapePoint,
};

/// A priority entry that takes part in the sum.
struct Vote {
    field: String,
    name: String,
    weight: i64,
    /// The weight it has by default; weighing as much is meant.
    default_weight: Option<i64>,
}

impl Policy {
    /// Everything doubtful in a policy that compiles.
    pub fn lint(&self) -> Vec<Warning> {
        let mut warnings = self.remarks.clone();
        if let Some(listed) = &self.predicates {
            lint_mandatory(listed, &mut warnings);
        }
        let levels = self.scoring.levels.as_ref().map_or(0, Vec::len);
        for (field, limit, count) in [
            ("predicates", &limits::POLICY_ITEMS, self.predicates.as_ref().map_or(0, Vec::len)),
            ("priorities", &limits::POLICY_ITEMS, self.priorities.as_ref().map_or(0, Vec::len)),
            ("extenders", &limits::EXTENDERS, self.extenders.len()),
            ("scoring.levels", &limits::LEVELS, levels),
        ] {
            warnings.extend(limit.warning(count).map(|why| Warning::new(field, why)));
        }
        lint_predicates(self.predicates.as_deref().unwrap_or_default(), &mut warnings);
        let entries = self.priorities.as_deref().unwrap_or_default();
        let votes = lint_priorities(entries, &mut warnings);
        match self.scoring.strategy {
            Combination::WeightedSum => {
                lint_pulls(&votes, &mut warnings);
                lint_votes(&votes, &mut warnings);
            }
            Combination::Lexicographic => lint_levels(self, &votes, &mut warnings),
        }
        warnings
    }
}

impl Configuration {
    /// Everything doubtful in a configuration that compiles.
    pub fn lint(&self) -> Vec<Warning> {
        let mut warnings = self.remarks.clone();
        if let Some(beta) = self.api_version.rsplit('/').next().filter(|version| *version != "v1") {
            let why = format!("{beta} is read as v1, with the defaults of v1");
            warnings.push(Warning::new("apiVersion", why));
        }
        for (i, profile) in self.profiles.iter().enumerate() {
            let field = format!("profiles[{i}].");
            let expanded = profile.plugins.expand(&field, &mut Vec::new());
            let arguments = profile.arguments.named.iter();
            for (j, name) in arguments.enumerate().filter(|(_, name)| plugins::find(name).is_none()) {
                let why = format!("there is no plugin {name:?}: its arguments are passed over");
                warnings.push(Warning::new(format!("{field}pluginConfig[{j}]"), why));
            }
            lint_turned_off(&profile.plugins, &field, &mut warnings);
            for (early, late) in [("preFilter", "filter"), ("preScore", "score")] {
                for name in expanded.at(late).iter().filter(|name| !expanded.at(early).contains(name)) {
                    if plugins::find(name).is_some_and(|known| known.points.contains(&early)) {
                        let why = format!("{name} runs at {late} without {early}; here both are one step and run");
                        warnings.push(Warning::new(format!("{field}plugins.{early}"), why));
                    }
                }
            }
            let votes = expanded.at("score").iter().filter_map(|name| plugins::find(name)).map(|known| Vote {
                field: format!("{field}plugins.score"),
                name: known.name.to_owned(),
                weight: expanded.weight(known.name),
                default_weight: Some(known.weight),
            });
            lint_votes(&votes.collect::<Vec<_>>(), &mut warnings);
        }
        warnings
    }
}

/// Warns of plugins that are turned off at a point where they do not run anyway. kube-scheduler ignores them.
fn lint_turned_off(sets: &PluginSets, field: &str, warnings: &mut Vec<Warning>) {
    let at_points = sets.points.iter().map(|(point, set)| (*point, set));
    for (point, set) in at_points.chain([("multiPoint", &sets.multi_point)]) {
        for name in set.disabled.iter().filter(|name| &***name != "*") {
            let why = match plugins::find(name) {
                None if plugins::is_removed(name) => continue,
                None => format!("there is no plugin {name:?}: nothing is turned off"),
                Some(known) if point == "multiPoint" || known.points.contains(&point) => continue,
                Some(_) => format!("{name} does not run at {point}: nothing is turned off"),
            };
            warnings.push(Warning::new(format!("{field}plugins.{point}.disabled"), why));
        }
    }
}

fn retired(field: &str, name: &str, warnings: &mut Vec<Warning>) {
    if let Some(retired) = names::retired(name) {
        warnings.push(Warning::new(field, format!("{name} was retired: known {}", retired.fate)));
    }
}

/// Warns that taints count, though the list was written when they did not.
fn lint_mandatory(entries: &[PredicateEntry], warnings: &mut Vec<Warning>) {
    let taints = "PodToleratesNodeTaints";
    if !entries.is_empty() && !entries.iter().any(|entry| &*entry.name == taints) {
        let why = format!("{taints} is not listed and runs all the same, as since Kubernetes 1.12: taints count");
        warnings.push(Warning::new("predicates", why));
    }
}

fn lint_predicates(entries: &[PredicateEntry], warnings: &mut Vec<Warning>) {
    let mut first = BTreeMap::new();
    for (i, entry) in entries.iter().enumerate() {
        let field = format!("predicates[{i}]");
        retired(&format!("{field}.name"), &entry.name, warnings);
        let argument = entry.argument.as_ref();
        let no_labels = argument.is_some_and(|argument| {
            names::predicate_arguments().filter_map(|a| argument.of(a)).any(Value::names_no_label)
        });
        if no_labels {
            warnings.push(Warning::new(format!("{field}.argument"), "no labels are named: every node passes"));
        }
        let Some(registration) = predicates::find(&entry.name) else { continue };
        let name = registration.identity.name;
        if argument.is_some() {
            let why = format!("the argument is not read: {} is the name of a predicate of its own", entry.name);
            warnings.push(Warning::new(format!("{field}.argument"), why));
        }
        if let Some(earlier) = first.get(name) {
            let why = format!("{name} is listed already as predicates[{earlier}]; it runs once");
            warnings.push(Warning::new(&*field, why));
        }
        first.entry(name).or_insert(i);
    }
    for (name, i) in &first {
        let whole = first.keys().find(|whole| {
            matches!(predicates::find(whole).map(|r| &r.build), Some(Build::Group(members)) if members.contains(name))
        });
        if let Some(whole) = whole {
            let why = format!("{name} is part of {whole}, which is listed too; it runs once");
            warnings.push(Warning::new(format!("predicates[{i}]"), why));
        }
    }
}

/// Doubts about the entries themselves. Answers those that take part, each rule once, by the name of the rule or, where
/// its argument makes it one, of the entry.
fn lint_priorities(entries: &[PriorityEntry], warnings: &mut Vec<Warning>) -> Vec<Vote> {
    let mut votes: Vec<Vote> = Vec::new();
    let mut listed = BTreeMap::new();
    for (i, entry) in entries.iter().enumerate() {
        let field = format!("priorities[{i}]");
        retired(&format!("{field}.name"), &entry.name, warnings);
        let cut = i64::from(entry.weight as i32);
        if cut != entry.weight {
            let why = format!("{} is cut to 32 bits: {cut}", entry.weight);
            warnings.push(Warning::new(format!("{field}.weight"), why));
        }
        if &*entry.name == EQUAL_PRIORITY {
            warnings.push(Warning::new(&*field, "EqualPriority scores all nodes alike and changes no order"));
            continue;
        }
        let ratio = entry.argument.as_ref().and_then(|a| a.get(&RATIO));
        if let Some(ratio) = ratio {
            let flat = |points: &[ShapePoint]| points.windows(2).all(|p| matches!(p, [a, b] if a.score == b.score));
            if ratio.resources.is_empty() {
                let why = "no resources are named: all nodes score 0, which changes no order";
                warnings.push(Warning::new(format!("{field}.argument"), why));
                continue;
            }
            if flat(&ratio.shape) {
                let why = "the score is the same at every utilization, which changes no order";
                warnings.push(Warning::new(format!("{field}.argument"), why));
                continue;
            }
        }
        let registration = priorities::find(&entry.name);
        let name = registration.map_or(&*entry.name, |r| r.identity.name).to_owned();
        let read_by = registration.is_none_or(|r| names::takes_an_argument(&entry.name, r.identity.plugin));
        if entry.argument.is_some() && !read_by {
            let why = format!("the argument is not read: {} is the name of a priority of its own", entry.name);
            warnings.push(Warning::new(format!("{field}.argument"), why));
        }
        let default_weight = registration.and_then(|r| r.default_weight);
        if let Some(earlier) = listed.get(&name).and_then(|at: &usize| votes.get_mut(*at)) {
            let meant = if *name == *entry.name { name.clone() } else { format!("{} is {name}, which", entry.name) };
            let why = format!("{meant} is listed already as {}; the last weight counts", earlier.field);
            warnings.push(Warning::new(&*field, why));
            earlier.weight = cut;
        } else {
            listed.insert(name.clone(), votes.len());
            votes.push(Vote { field, name, weight: cut, default_weight });
        }
    }
    votes
}

fn lint_pulls(votes: &[Vote], warnings: &mut Vec<Warning>) {
    let pulls = |name: &str| votes.iter().find(|vote| vote.name == name);
    if let (Some(_), Some(most)) = (pulls("LeastRequestedPriority"), pulls("MostRequestedPriority")) {
        let why = "LeastRequestedPriority and MostRequestedPriority pull against each other";
        warnings.push(Warning::new(&*most.field, why));
    }
}

/// Levels that order nothing, priorities that are no level, and weights that nothing reads.
fn lint_levels(policy: &Policy, listed: &[Vote], warnings: &mut Vec<Warning>) {
    let entries = policy.scoring.levels.as_deref().unwrap_or_default();
    let mut named = BTreeSet::new();
    for (i, level) in entries.iter().enumerate() {
        let field = format!("scoring.levels[{i}]");
        retired(&format!("{field}.priority"), &level.priority, warnings);
        if &*level.priority == EQUAL_PRIORITY {
            let why = "EqualPriority scores all nodes alike: the level orders nothing";
            warnings.push(Warning::new(format!("{field}.priority"), why));
        } else if level.tolerance >= MAX_NODE_SCORE {
            let why = format!("with a tolerance of {MAX_NODE_SCORE} all nodes tie: the level orders nothing");
            warnings.push(Warning::new(format!("{field}.tolerance"), why));
        }
        if let Ok((registration, argument)) = levels::meant(policy, level) {
            named.insert(argument.map_or(registration.identity.name, |_| &*level.priority));
        }
    }
    for vote in listed.iter().filter(|vote| !named.contains(&*vote.name)) {
        let why = format!("{} is no level of scoring.levels: it decides nothing", vote.name);
        warnings.push(Warning::new(&*vote.field, why));
    }
    if let Some(vote) = listed.iter().find(|vote| vote.weight > 1 && named.contains(&*vote.name)) {
        let why = format!("levels have an order instead of weights: {} is not read", vote.weight);
        warnings.push(Warning::new(format!("{}.weight", vote.field), why));
    }
}

/// Weights that decide nothing, or everything.
fn lint_votes(votes: &[Vote], warnings: &mut Vec<Warning>) {
    if let [only] = votes {
        if only.weight > 1 {
            let why = format!("{} is the only priority that counts: its weight changes no order", only.name);
            warnings.push(Warning::new(&*only.field, why));
        }
        return;
    }
    // The widest difference that a priority can make between two nodes.
    let reach = |vote: &Vote| i128::from(vote.weight.max(0)) * i128::from(MAX_NODE_SCORE);
    let all: i128 = votes.iter().map(reach).sum();
    for vote in votes.iter().filter(|vote| vote.default_weight != Some(vote.weight)) {
        let others = all - reach(vote);
        if i128::from(vote.weight) > others {
            let why = format!(
                "{} outvotes all other priorities together: one point of it weighs {}, theirs at most {others}",
                vote.name, vote.weight
            );
            warnings.push(Warning::new(&*vote.field, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{PluginSet, SchedulerProfile};

    fn entry(name: &str, weight: i64) -> PriorityEntry {
        PriorityEntry { name: name.into(), weight, argument: None }
    }

    fn warnings(priorities: Vec<PriorityEntry>) -> Vec<String> {
        let policy = Policy { priorities: Some(priorities), ..Policy::default() };
        policy.lint().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_weight_that_outvotes_all_others() {
        // 101 × 1 point > 1 × 100 points, 100 × 1 point is not.
        let told_of = |weight| warnings(vec![entry("A", weight), entry("B", 1)]);
        assert_eq!(told_of(100), [""; 0]);
        assert_eq!(
            told_of(101),
            ["priorities[0]: A outvotes all other priorities together: one point of it weighs 101, theirs at most 100"]
        );
    }

    #[test]
    fn weights_that_change_nothing() {
        assert_eq!(warnings(vec![entry("A", 1)]), [""; 0]);
        assert_eq!(
            warnings(vec![entry("A", 5), entry(EQUAL_PRIORITY, 1)]),
            [
                "priorities[1]: EqualPriority scores all nodes alike and changes no order",
                "priorities[0]: A is the only priority that counts: its weight changes no order",
            ]
        );
        assert_eq!(
            warnings(vec![entry("A", 4_294_967_297)]),
            ["priorities[0].weight: 4294967297 is cut to 32 bits: 1"]
        );
    }

    #[test]
    fn plugins_turned_off_that_do_not_run_there() {
        let off = |names: &[&str]| PluginSet {
            disabled: names.iter().map(|name| (*name).into()).collect(),
            ..PluginSet::default()
        };
        let plugins = PluginSets {
            multi_point: off(&["NodeResourceFit", "EBSLimits", "ImageLocality"]),
            points: [("filter", off(&["*", "ImageLocality", "NodeName"]))].into(),
        };
        let profiles = vec![SchedulerProfile { plugins, ..SchedulerProfile::default() }];
        let configuration = Configuration { profiles, ..Configuration::default() };
        let told: Vec<_> = configuration.lint().iter().map(ToString::to_string).collect();
        let expected = [
            "profiles[0].plugins.filter.disabled: ImageLocality does not run at filter: nothing is turned off",
            r#"profiles[0].plugins.multiPoint.disabled: there is no plugin "NodeResourceFit": nothing is turned off"#,
        ];
        assert_eq!(told.iter().filter(|line| line.contains("turned off")).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn predicates_listed_twice_or_within_a_group() {
        let entries = ["HostName", "GeneralPredicates", "HostName"];
        let entries = entries.map(|name| PredicateEntry { name: name.into(), argument: None });
        let policy = Policy { predicates: Some(entries.to_vec()), ..Policy::default() };
        let told: Vec<_> = policy.lint().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "predicates: PodToleratesNodeTaints is not listed and runs all the same, as since Kubernetes 1.12: taints count",
                "predicates[2]: HostName is listed already as predicates[0]; it runs once",
                "predicates[0]: HostName is part of GeneralPredicates, which is listed too; it runs once",
            ]
        );
    }
}
