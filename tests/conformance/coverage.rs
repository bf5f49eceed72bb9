//! The outcomes of rules that recorded cases show. A predicate's outcomes are the reasons and codes that its file documents, and a pass; a
//! priority's are a score above 0, and scores that differ between nodes.

use std::collections::{BTreeMap, BTreeSet};

use podberth::core::{
    cycle::{Decision, NodeDecision},
    policy::ActivePredicate,
    predicates::{self, Build},
    priorities,
    rule::Identity,
    verdict::Verdict,
};

/// An outcome of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// A predicate accepts a node.
    Passes,
    /// A predicate rules a node out with a code.
    Fails(&'static str),
    /// A predicate rules a node out for a reason.
    Reason(String),
    /// A priority scores a node above 0.
    Scores,
    /// A priority scores two nodes of a case differently.
    Differs,
}

/// The outcomes that occur, by rule.
pub(crate) type Outcomes = BTreeMap<&'static str, BTreeSet<Outcome>>;

const UNSCHEDULABLE: &str = "Unschedulable";
const UNRESOLVABLE: &str = "UnschedulableAndUnresolvable";

/// Adds the outcomes of a decision. A priority counts only if its scores were recorded.
pub(crate) fn gather(decision: &Decision<'_>, recorded: impl Fn(&str) -> bool, outcomes: &mut Outcomes) {
    for node in &decision.nodes {
        for judged in &node.verdicts {
            let seen = outcomes.entry(rule_of(judged.predicate)).or_default();
            seen.insert(match &judged.verdict {
                Verdict::Fits => Outcome::Passes,
                ruled_out => Outcome::Fails(ruled_out.code()),
            });
            seen.extend(judged.verdict.reasons().iter().map(|reason| Outcome::Reason(reason.to_string())));
        }
    }
    let scores: Vec<_> = decision.nodes.iter().filter(|node| node.fits()).flat_map(scores_of).collect();
    let mut by_rule: BTreeMap<&'static str, BTreeSet<i64>> = BTreeMap::new();
    for (name, plugin, score) in scores {
        if let Some(rule) = priorities::find(name).filter(|_| recorded(plugin)) {
            by_rule.entry(rule.identity.name).or_default().insert(score);
        }
    }
    for (name, scores) in by_rule {
        let seen = outcomes.entry(name).or_default();
        seen.extend(scores.iter().any(|score| *score > 0).then_some(Outcome::Scores));
        seen.extend((scores.len() > 1).then_some(Outcome::Differs));
    }
}

fn scores_of<'a>(node: &'a NodeDecision<'_>) -> impl Iterator<Item = (&'a str, &'a str, i64)> {
    node.scores.iter().map(|(priority, score)| (&*priority.name, priority.plugin, *score))
}

/// The name of the predicate, or of the member where a group runs it.
fn rule_of(predicate: &ActivePredicate) -> &'static str {
    let registered = predicates::find(predicate.name);
    let member = match registered.map(|rule| &rule.build) {
        Some(Build::Group(members)) => {
            let members = members.iter().filter_map(|name| predicates::find(name));
            members.map(|rule| &rule.identity).find(|identity| identity.plugin == predicate.plugin)
        }
        _ => None,
    };
    member.map_or(predicate.name, |identity| identity.name)
}

/// The text under a heading of a rule's documentation.
fn section(identity: &Identity, heading: &str) -> String {
    let documentation = identity.documentation();
    let lines = documentation.lines().skip_while(|line| *line != heading).skip(1);
    lines.take_while(|line| !line.starts_with("# ")).collect::<Vec<_>>().join(" ")
}

/// The reasons that a predicate documents: the code spans of its section. `<…>` stands for any text.
pub(crate) fn documented_reasons(identity: &Identity) -> Vec<String> {
    section(identity, "# Reason text")
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// The codes that a predicate documents.
fn documented_codes(identity: &Identity) -> Vec<&'static str> {
    let text = section(identity, "# Can preemption help?");
    let helps = text.to_lowercase().contains("yes");
    [(helps, UNSCHEDULABLE), (text.contains("unresolvable"), UNRESOLVABLE)]
        .into_iter()
        .filter_map(|(documented, code)| documented.then_some(code))
        .collect()
}

/// `true` if a documented reason stands for this one.
pub(crate) fn stands_for(documented: &str, reason: &str) -> bool {
    let mut literals = documented.split('<').enumerate().map(|(at, part)| match part.split_once('>') {
        Some((_, literal)) if at > 0 => literal,
        _ => part,
    });
    let Some(mut rest) = literals.next().and_then(|start| reason.strip_prefix(start)) else { return false };
    let literals: Vec<&str> = literals.collect();
    let Some((last, inner)) = literals.split_last() else { return rest.is_empty() };
    for literal in inner {
        match rest.split_once(literal) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The outcomes that rules can have and no case shows, by rule; then the reasons that occur and no rule documents.
pub(crate) fn gaps(seen: &Outcomes) -> (Vec<(&'static str, String)>, Vec<String>) {
    let (mut gaps, mut undocumented) = (Vec::new(), Vec::new());
    let none = BTreeSet::new();
    for rule in predicates::ALL.iter().filter(|rule| matches!(rule.build, Build::Rule(_))) {
        let name = rule.identity.name;
        let seen = seen.get(name).unwrap_or(&none);
        let mut gap = |what: String| gaps.push((name, what));
        if !seen.contains(&Outcome::Passes) {
            gap("passes".into());
        }
        for code in documented_codes(&rule.identity) {
            if !seen.contains(&Outcome::Fails(code)) {
                gap(code.into());
            }
        }
        // The reasons without wildcards come first: `Insufficient cpu` is not a sign of `Insufficient <resource>`.
        let mut documented = documented_reasons(&rule.identity);
        documented.sort_by_key(|reason| reason.contains('<'));
        let mut shown = BTreeSet::new();
        for outcome in seen {
            let Outcome::Reason(reason) = outcome else { continue };
            match documented.iter().find(|documented| stands_for(documented, reason)) {
                Some(documented) => shown.extend([documented.clone()]),
                None => undocumented.push(format!("{name}: {reason:?}")),
            }
        }
        documented.iter().filter(|reason| !shown.contains(*reason)).for_each(|reason| gap(reason.clone()));
    }
    for rule in priorities::ALL {
        let name = rule.identity.name;
        let seen = seen.get(name).unwrap_or(&none);
        for (outcome, what) in [(Outcome::Scores, "scores above 0"), (Outcome::Differs, "differs between nodes")] {
            if !seen.contains(&outcome) {
                gaps.push((name, what.into()));
            }
        }
    }
    (gaps, undocumented)
}
