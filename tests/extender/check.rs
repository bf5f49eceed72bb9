//! Properties of every answer of the extender verbs, for any request.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::server::Reply;

/// A request, as far as its answer depends on it. Only the spelling of Go clients is read.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Asked<'a> {
    #[serde(borrow)]
    nodes: Option<List<'a>>,
    node_names: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

/// An answer of `/filter`: these keys, in this spelling, and no others.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Filtered<'a> {
    #[serde(borrow)]
    nodes: Option<Listed<'a>>,
    node_names: Option<Vec<String>>,
    failed_nodes: BTreeMap<String, String>,
    failed_and_unresolvable_nodes: BTreeMap<String, String>,
    error: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed<'a> {
    #[serde(rename = "metadata")]
    _metadata: BTreeMap<String, Value>,
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Line {
    host: String,
    score: i64,
}

/// An answer of `/preempt`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Preempted {
    node_name_to_meta_victims: BTreeMap<String, Meta>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Meta {
    pods: Vec<MetaPod>,
    #[serde(rename = "NumPDBViolations")]
    violations: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MetaPod {
    #[serde(rename = "UID")]
    uid: String,
}

/// The answer of `/filter` for the nodes, after its form was checked.
#[derive(Debug, PartialEq)]
pub(crate) struct Verdicts {
    pub(crate) fits: Vec<String>,
    pub(crate) failed: BTreeMap<String, String>,
    pub(crate) unresolvable: BTreeMap<String, String>,
}

fn name(node: &RawValue) -> String {
    let node: Value = serde_json::from_str(node.get()).expect("a node is JSON");
    node["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn asked_names(asked: &Asked<'_>) -> Vec<String> {
    match (&asked.nodes, &asked.node_names) {
        (Some(list), _) => list.items.iter().map(|node| name(node)).collect(),
        (None, names) => names.clone().unwrap_or_default(),
    }
}

/// Checks an answer of `/filter` against its request: the form is that of the request, each candidate is in exactly one place, nodes are equal
/// byte for byte.
pub(crate) fn filtered(request: &str, reply: &Reply) -> Verdicts {
    assert_eq!(reply.code, 200, "{}", reply.text());
    assert_eq!(reply.headers["content-type"], "application/json");
    assert!(reply.headers.contains_key("x-podberth-snapshot-revision"));
    let asked: Asked<'_> = serde_json::from_str(request).expect("the request is one of Go's");
    let answer: Filtered<'_> = serde_json::from_str(reply.text()).expect("an ExtenderFilterResult");
    assert_eq!(answer.error, "");
    let fits = match (&asked.nodes, &answer.nodes, answer.node_names) {
        (Some(sent), Some(kept), None) => {
            let sent: BTreeSet<&str> = sent.items.iter().map(|node| node.get()).collect();
            assert!(kept.items.iter().all(|node| sent.contains(node.get())), "a node was not echoed byte for byte");
            kept.items.iter().map(|node| name(node)).collect()
        }
        (None, None, Some(names)) => names,
        _ => panic!("asked in one form, answered in another: {}", reply.text()),
    };
    let candidates = asked_names(&asked);
    let kept_order = candidates.iter().filter(|name| fits.contains(name));
    assert!(kept_order.eq(&fits), "the nodes that fit come back in the order in which they were sent");
    let (failed, unresolvable) = (answer.failed_nodes, answer.failed_and_unresolvable_nodes);
    for name in &candidates {
        let places = [fits.contains(name), failed.contains_key(name), unresolvable.contains_key(name)];
        assert_eq!(places.into_iter().filter(|is_there| *is_there).count(), 1, "{name}: {}", reply.text());
    }
    let known: BTreeSet<&String> = candidates.iter().collect();
    let named = fits.iter().chain(failed.keys()).chain(unresolvable.keys());
    assert!(named.into_iter().all(|name| known.contains(name)), "a node that was not sent fails the whole attempt");
    assert!(failed.values().chain(unresolvable.values()).all(|reason| !reason.is_empty()));
    Verdicts { fits, failed, unresolvable }
}

/// Holds an answer of `/prioritize` against its request: one whole score for each candidate, in their order.
pub(crate) fn prioritized(request: &str, reply: &Reply, max: i64) -> Vec<(String, i64)> {
    assert_eq!(reply.code, 200, "{}", reply.text());
    assert_eq!(reply.headers["content-type"], "application/json");
    let asked: Asked<'_> = serde_json::from_str(request).expect("the request is one of Go's");
    let answer: Vec<Line> = serde_json::from_str(reply.text()).expect("a HostPriorityList of whole numbers");
    let answer: Vec<(String, i64)> = answer.into_iter().map(|line| (line.host, line.score)).collect();
    assert!(answer.iter().map(|(host, _)| host).eq(&asked_names(&asked)), "{}", reply.text());
    assert!(answer.iter().all(|(_, score)| (0..=max).contains(score)), "{}", reply.text());
    answer
}

/// The victims answered for one node.
#[derive(Debug, PartialEq)]
pub(crate) struct Victims {
    pub(crate) uids: Vec<String>,
    pub(crate) violations: i64,
}

/// Checks an answer of `/preempt` against its request: it has only nodes of the request, none of them without victims.
pub(crate) fn preempted(request: &str, reply: &Reply) -> BTreeMap<String, Victims> {
    assert_eq!(reply.code, 200, "{}", reply.text());
    assert_eq!(reply.headers["content-type"], "application/json");
    let asked: Value = serde_json::from_str(request).expect("the request is JSON");
    let asked = ["NodeNameToVictims", "NodeNameToMetaVictims"].map(|form| asked[form].as_object());
    let asked = asked.into_iter().flatten().next().expect("one of the two maps");
    let answer: Preempted = serde_json::from_str(reply.text()).expect("an ExtenderPreemptionResult");
    let victims =
        |meta: Meta| Victims { uids: meta.pods.into_iter().map(|pod| pod.uid).collect(), violations: meta.violations };
    let answer: BTreeMap<String, Victims> =
        answer.node_name_to_meta_victims.into_iter().map(|(node, meta)| (node, victims(meta))).collect();
    for (node, victims) in &answer {
        assert!(asked.contains_key(node), "a node that was not asked about fails the whole attempt");
        assert!(!victims.uids.is_empty(), "so does one without victims");
        assert!(victims.uids.iter().all(|uid| !uid.is_empty()));
    }
    answer
}

/// A node that offers these amounts and 110 pods.
pub(crate) fn node(name: &str, cpu: impl Into<Value>, memory: impl Into<Value>) -> Value {
    let allocatable = json!({"cpu": cpu.into(), "memory": memory.into(), "pods": "110"});
    json!({"metadata": {"name": name}, "spec": {}, "status": {"allocatable": allocatable}})
}

/// A pod that requests this CPU, on a node or (empty) on none.
pub(crate) fn pod(name: &str, cpu: impl Into<Value>, on: &str) -> Value {
    let containers = json!([{"name": "c", "resources": {"requests": {"cpu": cpu.into()}}}]);
    json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"nodeName": on, "containers": containers}})
}

/// A request by names.
pub(crate) fn by_names(pod: &Value, names: &[&str]) -> String {
    json!({"Pod": pod, "Nodes": null, "NodeNames": names}).to_string()
}

/// A request with nodes in full.
pub(crate) fn in_full(pod: &Value, nodes: &[Value]) -> String {
    json!({"Pod": pod, "Nodes": {"metadata": {}, "items": nodes}, "NodeNames": null}).to_string()
}
