//! `scoring.levels`: the priorities of a policy as the levels of a decision tree ([`crate::ranking`]).
//!
//! kube-scheduler has nothing like this. A level names an entry of `priorities`, whose argument it takes, or a registered priority, listed
//! or not. Each level is a rule of its own, even if kube-scheduler would merge several entries into one plugin.

use std::collections::BTreeMap;

use super::{
    ActivePriority, Combination, Fault, LevelEntry, Policy,
    names::{self, Argued},
};
use crate::{
    argument::Values,
    priorities::{self, MAX_NODE_SCORE, Registration},
    rule::{Arguments, Identity},
};

/// The levels as priorities, the most important first, and everything that is wrong with them. None where the strategy
/// has no levels.
pub(super) fn build(policy: &Policy, arguments: &Arguments, faults: &mut Vec<Fault>) -> Vec<ActivePriority> {
    let (field, scoring) = ("scoring.levels", &policy.scoring);
    let levels = match (scoring.strategy, &scoring.levels) {
        (Combination::WeightedSum, None) => return Vec::new(),
        (Combination::WeightedSum, Some(_)) => {
            faults.push(Fault::new(field, "only the strategy \"Lexicographic\" has levels"));
            return Vec::new();
        }
        (Combination::Lexicographic, levels) => levels.as_deref().unwrap_or_default(),
    };
    if levels.is_empty() {
        faults.push(Fault::new(field, "Required value: the strategy \"Lexicographic\" needs at least one level"));
    }
    let mut seen = BTreeMap::new();
    let mut active = Vec::new();
    for (i, entry) in levels.iter().enumerate() {
        let at = format!("{field}[{i}]");
        if !(0..=MAX_NODE_SCORE).contains(&entry.tolerance) {
            let why = format!("not in valid range [0-{MAX_NODE_SCORE}]");
            faults.push(Fault::invalid(format!("{at}.tolerance"), entry.tolerance, why));
        }
        match meant(policy, entry) {
            Err(why) => faults.extend(why.map(|why| Fault::new(format!("{at}.priority"), why))),
            Ok((registration, argument)) => {
                // Names and aliases of one rule are the same level; entries with arguments differ by their names.
                let key = argument.map_or(registration.identity.name, |_| &entry.priority);
                if let Some(earlier) = seen.insert(key, i) {
                    let why = format!("Duplicate value: {:?} is level {field}[{earlier}] already", entry.priority);
                    faults.push(Fault::new(format!("{at}.priority"), why));
                    seen.insert(key, earlier);
                }
                active.push(level(entry, registration, argument, arguments));
            }
        }
    }
    active
}

/// The rule of a level, with its argument if it takes one; or the reason why there is none, unless the entry of `priorities` has a fault
/// already.
pub(super) fn meant<'p>(
    policy: &'p Policy,
    level: &LevelEntry,
) -> Result<(&'static Registration, Option<&'p Values>), Option<String>> {
    let name = &*level.priority;
    if name.is_empty() {
        return Err(Some("Required value".to_owned()));
    }
    let argued = |r: &Registration| names::argued_priorities().find(|a| a.identity.name == r.identity.name);
    let registered = priorities::find(name);
    if let Some(registration) = registered.filter(|r| argued(r).is_none()) {
        return Ok((registration, None));
    }
    // An entry of the key under which 1.22 registers a rule does not read its argument.
    let listed = policy.priorities.iter().flatten().rev().find(|entry| entry.name == level.priority);
    if let Some(entry) = listed.filter(|_| names::argued_priorities().all(|a| a.key != name)) {
        let argument = entry.argument.as_ref().ok_or(None)?;
        let mut given = names::argued_priorities().filter(|a| argument.of(a.argument).is_some());
        let only = given.next().filter(|_| given.next().is_none()).ok_or(None)?;
        return Ok((priorities::find(only.identity.name).ok_or(None)?, Some(argument)));
    }
    let why = if let Some(Argued { argument, .. }) = registered.and_then(argued) {
        let argument = argument.name();
        format!("{name} needs an argument: list a priority of a name of your own with {argument}, and name that here")
    } else {
        format!("priority type not found for {name:?}{}", names::hint(name, false))
    };
    Err(Some(why))
}

fn level(
    entry: &LevelEntry,
    registration: &Registration,
    argument: Option<&Values>,
    arguments: &Arguments,
) -> ActivePriority {
    let mut own = arguments.clone();
    for argument in argument.iter().flat_map(|_| names::priority_arguments()) {
        own.written.remove(argument);
    }
    for (declared, value) in argument.iter().flat_map(|argument| {
        names::priority_arguments().filter_map(move |declared| Some((declared, argument.of(declared)?)))
    }) {
        own.written.put(declared, value.clone());
    }
    let Identity { name, .. } = registration.identity;
    ActivePriority {
        name: argument.map_or(name.into(), |_| entry.priority.to_string().into()),
        plugin: registration.identity.plugin,
        weight: 1,
        tolerance: entry.tolerance,
        rule: (registration.build)(&own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        argument::{CapacityRatio, LabelPresence},
        policy::{PriorityEntry, Scoring},
        priorities::{label_preference::PREFERENCES, requested_to_capacity_ratio::RATIO},
    };

    fn tree(priorities: Option<Vec<PriorityEntry>>, levels: &[(&str, i64)]) -> Policy {
        let level =
            |(priority, tolerance): &(&str, i64)| LevelEntry { priority: (*priority).into(), tolerance: *tolerance };
        let levels = Some(levels.iter().map(level).collect());
        let scoring = Scoring { strategy: Combination::Lexicographic, levels, ..Scoring::default() };
        Policy { priorities, scoring, ..Policy::default() }
    }

    fn likes(name: &str, label: &str) -> PriorityEntry {
        let presence = LabelPresence { labels: vec![label.into()], presence: true };
        let mut argument = Values::default();
        argument.set(&PREFERENCES, vec![presence]);
        PriorityEntry { name: name.into(), weight: 0, argument: Some(argument) }
    }

    fn faults(policy: &Policy) -> Vec<String> {
        let faults = policy.compile().map(|_| ()).expect_err("it is wrong");
        faults.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn levels_are_the_priorities_in_their_order() {
        let listed = vec![likes("Ssd", "disk"), likes("Cheap", "spot"), likes("Unused", "x")];
        let policy = tree(Some(listed), &[("Cheap", 0), ("MostRequestedPriority", 7), ("Ssd", 100)]);
        let profile = policy.compile().expect("a tree");
        let active: Vec<_> = profile.priorities.iter().map(|p| (&*p.name, p.plugin, p.weight, p.tolerance)).collect();
        assert_eq!(
            active,
            [
                ("Cheap", "NodeLabel", 1, 0),
                ("MostRequestedPriority", "NodeResourcesMostAllocated", 1, 7),
                ("Ssd", "NodeLabel", 1, 100),
            ]
        );
        let only_levels = tree(None, &[("ImageLocalityPriority", 0)]).compile().expect("a tree");
        assert_eq!(only_levels.priorities.len(), 1, "the default priorities are not asked");
        assert_eq!(only_levels.combination, Combination::Lexicographic);
    }

    #[test]
    fn each_level_with_an_argument_is_a_rule_of_its_own() {
        use crate::testing::{node, pod, scores_of};
        let policy = tree(Some(vec![likes("Ssd", "disk"), likes("Cheap", "spot")]), &[("Cheap", 0), ("Ssd", 0)]);
        let profile = policy.compile().expect("a tree");
        let nodes = [node("a").label("disk", ""), node("b").label("spot", "")];
        let scores = |level: usize| scores_of(&*profile.priorities[level].rule, pod("p"), &nodes);
        assert_eq!((scores(0), scores(1)), (vec![0, 100], vec![100, 0]));
    }

    #[test]
    fn everything_that_is_wrong_with_levels() {
        assert_eq!(
            faults(&tree(
                Some(vec![likes("Ssd", "disk"), PriorityEntry { name: "Mine".into(), ..PriorityEntry::default() }]),
                &[
                    ("NoSuch", 0),
                    ("Ssd", -1),
                    ("Ssd", 101),
                    ("", 0),
                    ("Mine", 0),
                    ("LabelPreference", 0),
                    ("SelectorSpreadPriority", 0),
                    ("ServiceSpreadingPriority", 0),
                ],
            )),
            [
                "priorities[1].name: priority type not found for \"Mine\"",
                "scoring.levels[0].priority: priority type not found for \"NoSuch\"",
                "scoring.levels[1].tolerance: Invalid value: -1: not in valid range [0-100]",
                "scoring.levels[2].tolerance: Invalid value: 101: not in valid range [0-100]",
                "scoring.levels[2].priority: Duplicate value: \"Ssd\" is level scoring.levels[1] already",
                "scoring.levels[3].priority: Required value",
                "scoring.levels[5].priority: LabelPreference needs an argument: list a priority of a name of your own with \
                 labelPreference, and name that here",
                "scoring.levels[7].priority: Duplicate value: \"ServiceSpreadingPriority\" is level scoring.levels[6] \
                 already",
            ]
        );
        let none = "scoring.levels: Required value: the strategy \"Lexicographic\" needs at least one level";
        assert_eq!(faults(&tree(None, &[])), [none]);
        let mut summed = tree(None, &[("ImageLocalityPriority", 0)]);
        summed.scoring.strategy = Combination::WeightedSum;
        assert_eq!(faults(&summed), ["scoring.levels: only the strategy \"Lexicographic\" has levels"]);
    }

    #[test]
    fn a_faulty_argument_is_one_fault() {
        let mut ratio = Values::default();
        ratio.set(&RATIO, CapacityRatio::default());
        let entry = PriorityEntry { name: "Ratio".into(), weight: 0, argument: Some(ratio) };
        let policy = tree(Some(vec![entry]), &[("Ratio", 0)]);
        assert_eq!(faults(&policy).len(), 1, "{:?}", faults(&policy));
    }
}
