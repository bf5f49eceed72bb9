//! Every policy file that was given to kube-scheduler 1.22, and its result there.

use std::collections::BTreeMap;

use podberth::wire::policy;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    id: String,
    text: String,
    accepted: bool,
    #[serde(default)]
    filters: Vec<String>,
    #[serde(default)]
    weights: BTreeMap<String, i64>,
    #[serde(default)]
    error: String,
}

fn cases() -> Vec<Case> {
    let lines = include_str!("data/policies-1.22.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).expect("the cases are JSON")).collect()
}

/// Names that 1.22 refuses only because they had been retired by then. Podberth still has their rules.
const RETIRED: [&str; 6] = [
    "CheckNodeCondition",
    "CheckNodeMemoryPressure",
    "CheckNodeDiskPressure",
    "CheckNodePIDPressure",
    "PodToleratesNodeNoExecuteTaints",
    "ResourceLimitsPriority",
];

/// The weights that 1.22 would report with its gate DefaultPodTopologySpread off.
///
/// With the gate on, its default, SelectorSpreadPriority and ServiceSpreadingPriority run as PodTopologySpread with system defaults. If
/// EvenPodsSpreadPriority is listed as well, only its weight is reported. Podberth runs SelectorSpread, as 1.22 does with the gate off.
fn without_the_gate(text: &str, mut weights: BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    let spreads = text.contains("SelectorSpreadPriority") || text.contains("ServiceSpreadingPriority");
    if !text.contains("\"priorities\": [") && !text.contains("\"priorities\":[") {
        weights.insert("SelectorSpread".to_owned(), 1);
    } else if spreads && text.contains("EvenPodsSpreadPriority") {
        weights.insert("SelectorSpread".to_owned(), 7);
    } else if spreads && let Some(weight) = weights.remove("PodTopologySpread") {
        weights.insert("SelectorSpread".to_owned(), weight);
    }
    weights
}

#[test]
fn files_that_1_22_accepts_compile_to_the_same_plugins() {
    for case in cases().into_iter().filter(|case| case.accepted) {
        let parsed = policy::parse_policy(&case.text).unwrap_or_else(|faults| panic!("{}: {faults}", case.id));
        let profile = parsed.compile().unwrap_or_else(|faults| panic!("{}: {faults}", case.id));
        let filters: Vec<_> = profile.predicates.iter().map(|p| p.plugin).collect();
        assert_eq!(filters, case.filters, "{}", case.id);
        let weights: BTreeMap<_, _> = profile.priorities.iter().map(|p| (p.plugin.to_owned(), p.weight)).collect();
        assert_eq!(weights, without_the_gate(&case.text, case.weights), "{}", case.id);
    }
}

/// kube-scheduler's words for the fault, without those for where it came up.
fn fault_in(error: &str) -> &str {
    let mut fault = error;
    for context in ["couldn't create scheduler from policy: ", "invalid policy: ", "\": "] {
        if context != "\": " || fault.starts_with("initializing profiles") {
            fault = fault.find(context).map_or(fault, |at| &fault[at + context.len()..]);
        }
    }
    if let Some(at) = fault.find("found unknown field") {
        fault = &fault[at..fault.find(", error found").unwrap_or(fault.len())];
    }
    if let Some(at) = fault.find("assertInteger: ") {
        fault = &fault[at + 15..fault.find(", error found").unwrap_or(fault.len())];
    }
    if let Some(at) = fault.find("key \"") {
        fault = &fault[at..];
    }
    let fault = fault.split(" in scheme ").next().unwrap_or(fault);
    // The address of the argument that Go prints is not part of the fault.
    fault.strip_suffix('}').and_then(|f| f.rsplit_once(" {")).map_or(fault, |(before, _)| before)
}

/// Podberth's own messages for cases in which kube-scheduler crashes, or names a detail of its own decoder.
const IN_OUR_WORDS: [(&str, &str); 6] = [
    ("notjson", "json parse error: EOF while parsing"),
    ("weight-str", "priorities[0].weight: expected an integer, found a string"),
    ("NodeLabel-pluginname", "priorities[0]: initializing plugin \"NodeLabel\": want args to be of type NodeLabelArgs"),
    ("ServiceAffinity-pluginname", "want args to be of type ServiceAffinityArgs, got <nil>"),
    ("ext-timeout-str", "extenders[0].httpTimeout: expected an integer, found a string"),
    ("ext-tls-nofile", "extenders[0].tlsConfig.certFile: open /nonexistent: "),
];

#[test]
fn files_that_1_22_refuses_are_refused_for_the_same_fault() {
    for case in cases().into_iter().filter(|case| !case.accepted && !RETIRED.contains(&&*case.id)) {
        let faults = policy::parse_policy(&case.text).expect_err(&case.id).to_string();
        let ours = IN_OUR_WORDS.iter().find(|(id, _)| *id == case.id).map(|(_, words)| *words);
        let words = ours.unwrap_or_else(|| fault_in(&case.error));
        assert!(faults.contains(words), "{}: {faults:?} does not say {words:?}", case.id);
    }
}

#[test]
fn the_same_document_as_yaml() {
    for case in cases().into_iter().filter(|case| case.accepted && case.text.starts_with('{')) {
        let tree: serde_json::Value = serde_json::from_str(&case.text).expect("accepted files are JSON");
        let yaml = serde_saphyr::to_string(&tree).expect("JSON is YAML");
        assert_eq!(policy::parse_policy(&yaml), policy::parse_policy(&case.text), "{yaml}");
    }
}
