//! Answers of the real kube-scheduler, case by case: every node, reason, score and total.
//!
//! The cases (`tests/data/conformance/*.jsonl.gz`, one JSON object a line) are random small clusters with one incoming
//! pod; `expect` is the answer of the code of kube-scheduler 1.22.6 or 1.34.1. A case passes only if all of it is equal.
//! `CASE=<id>` runs one case and prints its whole decision.

#[path = "../support/cases.rs"]
mod cases;
mod coverage;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use coverage::Outcomes;
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

/// The differences of a case, whose outcomes are added to those seen.
fn run(case: &Case, outcomes: &mut Outcomes) -> Result<Vec<String>, String> {
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
    coverage::gather(&decision, |plugin| case.expect.scores.contains_key(plugin), outcomes);
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

/// The result of a file of recorded cases.
#[derive(Default)]
struct Results {
    /// Exact cases and all cases, by suite.
    suites: BTreeMap<String, (usize, usize)>,
    /// The cases that differ.
    different: Vec<String>,
    /// The outcomes of rules.
    outcomes: Outcomes,
}

/// Runs the cases of a file.
fn run_all(file: &str) -> Results {
    let mut results = Results::default();
    for case in cases(cases::lines(file)) {
        let suite = results.suites.entry(case.suite.clone()).or_default();
        suite.1 += 1;
        match run(&case, &mut results.outcomes) {
            Ok(found) if found.is_empty() => suite.0 += 1,
            Ok(found) => {
                results.different.push(format!("{}\n    {}", case.id, found[..found.len().min(6)].join("\n    ")));
            }
            Err(error) => results.different.push(format!("{}: {error}", case.id)),
        }
    }
    results
}

macro_rules! files {
    ($($test:ident: $file:literal,)*) => {
        const FILES: &[(&str, &OnceLock<Results>)] = &[$({
            static RESULTS: OnceLock<Results> = OnceLock::new();
            ($file, &RESULTS)
        },)*];

        $(#[test]
        fn $test() {
            all_exact($file);
        })*
    };
}

files! {
    policies_of_1_22: "policy-1.22.jsonl.gz",
    default_profile_of_1_34: "profile-1.34.jsonl.gz",
    large_clusters_of_1_22: "large-1.22.jsonl.gz",
    large_clusters_of_1_34: "large-1.34.jsonl.gz",
    preemption_of_1_22: "preemption-1.22.jsonl.gz",
    preemption_of_1_34: "preemption-1.34.jsonl.gz",
    volumes_of_1_34: "volumes-1.34.jsonl.gz",
    resources_of_1_34: "resources-1.34.jsonl.gz",
    devices_of_1_34: "dra-1.34.jsonl.gz",
}

/// The result of each file, which is run once for all tests.
fn results() -> impl Iterator<Item = (&'static str, &'static Results)> {
    FILES.iter().map(|(file, results)| (*file, results.get_or_init(|| run_all(file))))
}

/// Every case of a file is exact.
fn all_exact(file: &str) {
    let (file, results) = FILES.iter().find(|(name, _)| *name == file).expect("the file is listed");
    let Results { suites, different, .. } = results.get_or_init(|| run_all(file));
    for (suite, (exact, all)) in suites {
        println!("{suite:16} {exact:5} of {all:5} exact");
    }
    let shown = different[..different.len().min(12)].join("\n");
    assert!(different.is_empty(), "{} cases of {file} differ:\n{shown}", different.len());
}

/// Stands for all outcomes of a rule.
const ALL: &str = "*";

/// Outcomes without a recorded case, each with the reason. Tests in the rule's own file show them.
const WITHOUT_CASES: &[(&str, &[&str], &str)] = &[
    ("CheckNodeCondition", &[ALL], "gone before 1.22, the oldest release recorded"),
    ("CheckNodeDiskPressure", &[ALL], "gone before 1.22"),
    ("CheckNodeMemoryPressure", &[ALL], "gone before 1.22"),
    ("CheckNodePIDPressure", &[ALL], "gone before 1.22"),
    ("NoVolumeNodeConflict", &[ALL], "gone before 1.22"),
    ("PodToleratesNodeNoExecuteTaints", &[ALL], "gone before 1.22"),
    ("ResourceLimitsPriority", &[ALL], "gone before 1.22"),
    ("EqualPriority", &[ALL], "kube-scheduler skips it: it scores all nodes alike"),
    ("SchedulingGates", &[ALL], "kube-scheduler keeps a gated pod out of its queue, so there is no decision to record"),
    (
        "MatchNodeSelector",
        &["node(s) didn't satisfy plugin(s) [NodeAffinity]"],
        "only the pod's sentence has it: tests/simulate.rs",
    ),
    (
        "DynamicResources",
        &[
            "could not find claim \"<namespace>/<name>\"",
            "ResourceClaim <namespace>/<name> was not created for pod <namespace>/<name> (pod is not owner)",
            "timed out trying to allocate devices",
            "class <name>: selector #0: CEL runtime error: <error>",
        ],
        "no recorded cluster has a claim or a class with such a fault",
    ),
    ("MaxAzureDiskVolumeCount", &[ALL], "no recorded cluster has such volumes; they are counted as those of EBS are"),
    ("MaxCinderVolumeCount", &[ALL], "no recorded cluster has such volumes; they are counted as those of EBS are"),
    ("MaxEBSVolumeCount", UNNAMED_CLAIM, "the API server refuses a claim without a name"),
    ("MaxGCEPDVolumeCount", UNNAMED_CLAIM, "the API server refuses a claim without a name"),
    (
        "MaxCSIVolumeCountPred",
        &[
            UNRESOLVABLE,
            NO_NAME,
            "looking up PVC <namespace>/<name>: persistentvolumeclaim \"<name>\" not found",
            "PVC <namespace>/<name> was not created for pod <namespace>/<name> (pod is not owner)",
            "converting volume(<name>) from inline to csi: <error>",
        ],
        "an earlier rule reports a missing claim; no recorded volume has one of the other faults",
    ),
    (
        "NoVolumeZoneConflict",
        &[
            NO_NAME,
            "PersistentVolumeClaim had no pv name and storageClass name",
            "persistentvolume \"<name>\" not found",
            "storageclass.storage.k8s.io \"<name>\" not found",
            "VolumeBindingMode not set for StorageClass \"<name>\"",
        ],
        "no recorded cluster has a claim or a class with such a fault",
    ),
    (
        "CheckVolumeBinding",
        &[
            "pvc(s) bound to non-existent pv(s)",
            "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
            "could not translate pv: <error>",
            "waiting for ephemeral volume controller to create the persistentvolumeclaim \"<name>\"",
            "persistentvolumeclaim \"<name>\" is being deleted",
            "persistentvolumeclaim \"<name>\" was not created for the pod",
            "PVC <namespace>/<name> was not created for pod <namespace>/<name> (pod is not owner)",
            "persistentvolumeclaim \"<name>\" bound to non-existent persistentvolume \"<name>\"",
            "VolumeBindingMode not set for StorageClass \"<name>\"",
        ],
        "no recorded cluster has a claim or a class with such a fault",
    ),
    (
        "MatchNodeSelector",
        &["node(s) didn't match scheduler-enforced node affinity", "pod affinity terms conflict"],
        "no recorded profile adds node affinity, and no recorded pod contradicts itself in all terms",
    ),
];

const UNRESOLVABLE: &str = "UnschedulableAndUnresolvable";
const NO_NAME: &str = "PersistentVolumeClaim had no name";
const UNNAMED_CLAIM: &[&str] = &[UNRESOLVABLE, NO_NAME];

#[test]
fn every_outcome_of_a_rule_has_a_recorded_case() {
    if std::env::var_os("CASE").is_some() {
        return;
    }
    let mut seen = Outcomes::new();
    for (_, results) in results() {
        for (rule, outcomes) in &results.outcomes {
            seen.entry(rule).or_default().extend(outcomes.iter().cloned());
        }
    }
    let (gaps, undocumented) = coverage::gaps(&seen);
    assert!(undocumented.is_empty(), "add these to `# Reason text` of their rules:\n{}", undocumented.join("\n"));
    let excuses = |rule: &str, outcome: &str| {
        WITHOUT_CASES
            .iter()
            .any(|(name, outcomes, _)| *name == rule && outcomes.iter().any(|o| *o == ALL || *o == outcome))
    };
    let without: Vec<String> = gaps
        .iter()
        .filter(|(rule, outcome)| !excuses(rule, outcome))
        .map(|(rule, outcome)| format!("{rule}: no recorded case shows {outcome:?}"))
        .collect();
    assert!(without.is_empty(), "record a case or add the outcome to WITHOUT_CASES:\n{}", without.join("\n"));
    for (rule, outcomes, _) in WITHOUT_CASES {
        for outcome in *outcomes {
            let is_gap = gaps.iter().any(|(name, gap)| name == rule && (*outcome == ALL || gap == outcome));
            assert!(is_gap, "{rule}: a case shows {outcome:?}: take it out of WITHOUT_CASES");
        }
    }
}

#[test]
fn documented_reason_stands_for_any_text_in_angle_brackets() {
    let table = [
        ("Too many pods", "Too many pods", true),
        ("Too many pods", "Too many pods!", false),
        ("Insufficient <resource>", "Insufficient example.com/foo", true),
        ("node(s) had untolerated taint {<key>: <value>}", "node(s) had untolerated taint {gpu: a}", true),
        ("claim \"<name>\" not found", "claim \"a\" is lost", false),
    ];
    for (documented, reason, expected) in table {
        assert_eq!(coverage::stands_for(documented, reason), expected, "{documented} for {reason}");
    }
}
