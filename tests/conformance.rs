//! Answers of the real kube-scheduler, case by case: every node, reason, score and total.
//!
//! The cases (`tests/data/conformance/*.jsonl.gz`, one JSON object a line) are random small clusters with one incoming
//! pod; `expect` is the answer of the code of kube-scheduler 1.22.6 or 1.34.1. A case passes only if all of it is equal.
//! `CASE=<id>` runs one case and prints its whole decision.

#[path = "support/cases.rs"]
mod cases;

use std::collections::{BTreeMap, BTreeSet};

use podberth::{
    core::cycle::{self, Decision, NodeDecision},
    core::policy::Profile,
    core::preempt::{self, Attempt},
    wire::{cluster::Cluster, decode, objects::pod, policy},
};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Case {
    id: String,
    suite: String,
    policy: Option<Box<RawValue>>,
    profile: Option<Box<RawValue>>,
    cluster: Box<RawValue>,
    pod: Box<RawValue>,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    filter: BTreeMap<String, ExpectedVerdict>,
    #[serde(default)]
    scores: BTreeMap<String, BTreeMap<String, i64>>,
    #[serde(default)]
    weights: BTreeMap<String, i64>,
    #[serde(default)]
    total: BTreeMap<String, i64>,
    preempt: Option<ExpectedPreemption>,
}

#[derive(Deserialize)]
struct ExpectedPreemption {
    candidates: BTreeMap<String, ExpectedVictims>,
    selected: Option<String>,
}

/// The uids are sorted: only the selected node shows which victim comes first.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExpectedVictims {
    uids: Vec<String>,
    #[serde(rename = "numPDBViolations")]
    num_pdb_violations: usize,
}

#[derive(Deserialize)]
struct ExpectedVerdict {
    fits: bool,
    #[serde(default)]
    code: String,
    #[serde(default)]
    reasons: Vec<String>,
    first: Option<ExpectedFirst>,
}

#[derive(Deserialize)]
struct ExpectedFirst {
    plugin: String,
    reasons: Vec<String>,
}

/// Every difference between the expected and the actual decision, as short lines.
fn differences(case: &Case, profile: &Profile, decision: &Decision<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut decided: BTreeMap<&str, &NodeDecision<'_>> = decision.nodes.iter().map(|n| (&**n.node.name(), n)).collect();
    for (name, expected) in &case.expect.filter {
        match decided.remove(&**name) {
            None => found.push(format!("{name}: missing")),
            Some(node) => compare(case, name, expected, node, &mut found),
        }
    }
    found.extend(decided.keys().map(|name| format!("{name}: not a node of the case")));
    let weights: BTreeMap<String, i64> = profile.priorities.iter().map(|p| (p.plugin.to_string(), p.weight)).collect();
    // VolumeBinding has a weight in 1.34 but scores nothing unless a feature gate is on, so no priority stands for it.
    for (plugin, weight) in case.expect.weights.iter().filter(|(plugin, _)| *plugin != "VolumeBinding") {
        if weights.get(plugin) != Some(weight) {
            found.push(format!("weight of {plugin}: {:?}, expected {weight}", weights.get(plugin)));
        }
    }
    found
}

fn compare(case: &Case, name: &str, expected: &ExpectedVerdict, node: &NodeDecision<'_>, found: &mut Vec<String>) {
    if node.fits() != expected.fits {
        let reasons: Vec<_> = node.verdicts.iter().flat_map(|v| v.verdict.reasons()).collect();
        found.push(format!(
            "{name}: fits {} {reasons:?}, expected {} {:?}",
            node.fits(),
            expected.fits,
            expected.reasons
        ));
    } else if expected.fits {
        let scores: BTreeMap<&str, i64> = node.scores.iter().map(|(p, score)| (p.plugin, *score)).collect();
        for (plugin, by_node) in &case.expect.scores {
            if scores.get(&**plugin) != by_node.get(name) {
                let (score, expected) = (scores.get(&**plugin), by_node.get(name));
                found.push(format!("{name}: {plugin} scores {score:?}, expected {expected:?}"));
            }
        }
        if let Some(total) = case.expect.total.get(name).filter(|t| **t != node.total) {
            found.push(format!("{name}: total {}, expected {total}", node.total));
        }
    } else {
        let failing: Vec<_> = node.verdicts.iter().filter(|v| !v.verdict.fits()).collect();
        let reasons: BTreeSet<&str> = failing.iter().flat_map(|v| v.verdict.reasons()).map(|r| &**r).collect();
        let wanted: BTreeSet<&str> = expected.reasons.iter().map(|r| &**r).collect();
        if reasons != wanted {
            found.push(format!("{name}: reasons {reasons:?}, expected {wanted:?}"));
        }
        let unresolvable = failing.iter().any(|v| v.verdict.is_unresolvable());
        let code = if unresolvable { "UnschedulableAndUnresolvable" } else { "Unschedulable" };
        if code != expected.code {
            found.push(format!("{name}: {code}, expected {}", expected.code));
        }
        if let (Some(first), Some(failed)) = (&expected.first, failing.first()) {
            let mut reasons: Vec<_> = failed.verdict.reasons().iter().map(ToString::to_string).collect();
            reasons.sort();
            if (failed.predicate.plugin, &reasons) != (&*first.plugin, &first.reasons) {
                let plugin = failed.predicate.plugin;
                found.push(format!(
                    "{name}: fails first by {plugin} {reasons:?}, expected {} {:?}",
                    first.plugin, first.reasons
                ));
            }
        }
    }
}

/// Every difference in preemption.
fn preemption_differences(expected: &ExpectedPreemption, attempt: &Attempt) -> Vec<String> {
    let mut found = Vec::new();
    let mut decided: BTreeMap<&str, ExpectedVictims> = BTreeMap::new();
    for candidate in &attempt.candidates {
        let mut uids: Vec<String> = candidate.victims.iter().map(|victim| victim.uid.to_string()).collect();
        uids.sort();
        decided.insert(&candidate.node, ExpectedVictims { uids, num_pdb_violations: candidate.pdb_violations });
    }
    for (node, victims) in &expected.candidates {
        match decided.remove(&**node) {
            None => found.push(format!("{node}: no candidate, expected {victims:?}")),
            Some(decided) if decided != *victims => found.push(format!("{node}: {decided:?}, expected {victims:?}")),
            Some(_) => {}
        }
    }
    found.extend(decided.keys().map(|node| format!("{node}: a candidate, expected none")));
    if attempt.selected.as_deref() != expected.selected.as_deref().filter(|node| !node.is_empty()) {
        found.push(format!("selected {:?}, expected {:?}", attempt.selected, expected.selected));
    }
    found
}

fn run(case: &Case) -> Result<Vec<String>, String> {
    let profile = match (&case.policy, &case.profile) {
        (Some(text), _) => policy::parse_policy(text.get()).and_then(|p| p.compile()),
        (None, text) => {
            policy::parse_configuration(text.as_ref().map_or("", |t| t.get())).and_then(|c| c.compile(None))
        }
    };
    let profile = profile.map_err(|faults| format!("policy refused: {faults:?}"))?;
    let cluster = Cluster::parse(case.cluster.get().as_bytes()).map_err(|e| e.to_string())?;
    let snapshot = cluster.to_snapshot().map_err(|causes| format!("{causes:?}"))?;
    let pod: pod::Pod = decode::from_slice(case.pod.get().as_bytes()).map_err(|e| e.to_string())?;
    let pod = pod.to_core().lenient().map_err(|causes| format!("{causes:?}"))?;
    let decision = cycle::decide(&profile, &pod, &snapshot, 0);
    let mut found = differences(case, &profile, &decision);
    if let Some(expected) = &case.expect.preempt {
        found.extend(preemption_differences(expected, &preempt::attempt(&profile, &pod, &snapshot, 0)));
    }
    Ok(found)
}

fn cases(lines: impl Iterator<Item = String>) -> impl Iterator<Item = Case> {
    let only = std::env::var("CASE").ok();
    lines
        .map(|line| serde_json::from_str::<Case>(&line).expect("a line is a case"))
        .filter(move |case| only.as_ref().is_none_or(|id| *id == case.id))
}

/// Runs a file of recorded cases; all of them have to be exact.
fn all_exact(file: &str) {
    let (mut suites, mut told) = (BTreeMap::<String, (usize, usize)>::new(), Vec::new());
    for case in cases(cases::lines(file)) {
        let suite = suites.entry(case.suite.clone()).or_default();
        suite.1 += 1;
        match run(&case) {
            Ok(found) if found.is_empty() => suite.0 += 1,
            Ok(found) => told.push(format!("{}\n    {}", case.id, found[..found.len().min(6)].join("\n    "))),
            Err(error) => told.push(format!("{}: {error}", case.id)),
        }
    }
    for (suite, (exact, all)) in &suites {
        println!("{suite:16} {exact:5} of {all:5} exact");
    }
    assert!(told.is_empty(), "{} cases of {file} differ:\n{}", told.len(), told[..told.len().min(12)].join("\n"));
}

#[test]
fn policies_of_1_22() {
    all_exact("policy-1.22.jsonl.gz");
}

#[test]
fn default_profile_of_1_34() {
    all_exact("profile-1.34.jsonl.gz");
}

#[test]
fn large_clusters_of_1_22() {
    all_exact("large-1.22.jsonl.gz");
}

#[test]
fn large_clusters_of_1_34() {
    all_exact("large-1.34.jsonl.gz");
}

#[test]
fn preemption_of_1_22() {
    all_exact("preemption-1.22.jsonl.gz");
}

#[test]
fn volumes_of_1_34() {
    all_exact("volumes-1.34.jsonl.gz");
}

#[test]
fn resources_of_1_34() {
    all_exact("resources-1.34.jsonl.gz");
}

#[test]
fn preemption_of_1_34() {
    all_exact("preemption-1.34.jsonl.gz");
}
