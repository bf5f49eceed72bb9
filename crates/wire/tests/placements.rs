//! The answers of Karmada's scheduler and estimators, held against ours.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use podberth_core::{federation, policy::Configuration};
use podberth_testkit::answers;
use podberth_wire::{
    decode,
    federation::{estimate, estimate::EstimateRequest, reply::ClusterPlacementReport, request::PlacementRequest},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn cases(file: &str) -> Vec<Value> {
    answers::cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/data/federation/{file}.jsonl.gz")))
}

fn place(request: &Value) -> Result<Value, String> {
    let request: PlacementRequest =
        decode::from_slice(request.to_string().as_bytes()).map_err(|error| error.to_string())?;
    let asked = request.read().map_err(|causes| told(&causes))?;
    let clusters = asked.clusters.expect("they come with the request");
    let report = ClusterPlacementReport::new(&federation::place(&asked.request, &clusters));
    Ok(serde_json::to_value(report).expect("JSON"))
}

fn told(causes: &[podberth_wire::fault::Cause]) -> String {
    causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect::<Vec<_>>().join("; ")
}

/// Name → replicas. Entries of 0 do not count unless 0 are asked for.
fn shares(list: &Value, zeros: bool) -> BTreeMap<String, i64> {
    let entries = list.as_array().into_iter().flatten();
    let shares = entries.map(|of| (text(&of["name"]), of["replicas"].as_i64().unwrap_or(0)));
    shares.filter(|(_, replicas)| zeros || *replicas > 0).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn names(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().map(text).collect()
}

/// The first difference to the expected answer.
fn difference(request: &Value, expect: &Value, got: &Value) -> Option<String> {
    let zeros = request["replicas"] == 0;
    if got["reason"] != expect["reason"] {
        return Some(format!("reason {}, expected {}", got["reason"], expect["reason"]));
    }
    let (ours, theirs) = (shares(&got["clusters"], zeros), shares(&expect["clusters"], zeros));
    if ours != theirs {
        return Some(format!("clusters {ours:?}, expected {theirs:?}"));
    }
    if expect["reason"].is_null() && got["unplaced"] != 0 {
        return Some(format!("unplaced {}", got["unplaced"]));
    }
    if !expect["affinity"].is_null() && got["affinity"] != expect["affinity"] {
        return Some(format!("affinity {}, expected {}", got["affinity"], expect["affinity"]));
    }
    if !expect["selected"].is_null() && names(&got["selected"]) != names(&expect["selected"]) {
        return Some(format!("selected {}, expected {}", got["selected"], expect["selected"]));
    }
    let rejected: BTreeMap<String, BTreeSet<String>> = got["rejected"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|of| {
            let rules = of["reasons"].as_array().into_iter().flatten().map(|reason| text(&reason["rule"]));
            (text(&of["name"]), rules.collect())
        })
        .collect();
    let expected: BTreeMap<String, BTreeSet<String>> = expect["rejected"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, rules)| (name.clone(), names(rules)))
        .collect();
    (rejected != expected).then(|| format!("rejected {rejected:?}, expected {expected:?}"))
}

fn check(file: &str, least: usize) {
    let cases: Vec<Value> = cases(file).into_iter().filter(|case| case["suite"] != "quirk").collect();
    assert!(cases.len() >= least, "{} cases", cases.len());
    let differences: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let is_invalid = case["expect"]["invalid"] == true;
            let found = match place(&case["request"]) {
                Err(_) if is_invalid => None,
                Ok(_) if is_invalid => Some("it was answered".to_owned()),
                Err(error) => Some(error),
                Ok(got) => difference(&case["request"], &case["expect"], &got),
            };
            found.map(|found| format!("{} ({}): {found}", case["id"], case["suite"]))
        })
        .collect();
    assert!(differences.is_empty(), "{} of {} differ:\n{}", differences.len(), cases.len(), differences.join("\n"));
}

#[test]
fn every_recorded_division_is_ours() {
    check("divide", 320);
}

#[test]
fn every_recorded_selection_but_the_quirks_is_ours() {
    check("select", 309);
}

#[test]
fn every_recorded_estimate_is_ours() {
    let profiles = Configuration::default().compile_all().expect("the defaults compile");
    let cases = cases("estimate");
    assert!(cases.len() >= 260, "{} cases", cases.len());
    let differences: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let request: EstimateRequest =
                decode::from_slice(case["request"].to_string().as_bytes()).expect("it is read");
            let expected = case["expect"]["maxReplicas"].as_i64();
            let found = match estimate::answer(request, &profiles) {
                Ok(report) if Some(report.max_replicas) == expected => return None,
                Ok(report) => format!("{}, expected {expected:?}", report.max_replicas),
                Err(causes) => told(&causes),
            };
            Some(format!("{} ({}): {found}", case["id"], case["suite"]))
        })
        .collect();
    assert!(differences.is_empty(), "{} of {} differ:\n{}", differences.len(), cases.len(), differences.join("\n"));
}

/// A request for 10 replicas over two clusters with room for 6 and 5, with one field set.
fn with(pointer: &str, value: Value) -> Value {
    let mut request = json!({"replicas": 10, "division": {"aggregated": {}}, "clusters": {},
        "clusterObjects": [{"metadata": {"name": "a"}, "availableReplicas": 6}, {"metadata": {"name": "b"}, "availableReplicas": 5}]});
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
    match request.pointer_mut(parent).expect("the parent is there") {
        Value::Array(list) => list[field.parse::<usize>().expect("an index")] = value,
        parent => parent[field] = value,
    }
    request
}

#[test]
fn bad_input_is_refused_by_its_field() {
    let by = |by: &str, min: i64, max: i64| json!({"by": by, "minGroups": min, "maxGroups": max});
    let cases = [
        (with("/replicas", json!(-1)), "replicas: Invalid value: -1: must be between 0 and 1000000"),
        (with("/replicas", json!(1_000_001)), "replicas: Invalid value: 1000001"),
        (with("/clusterObjects", Value::Null), "template: Required value"),
        (with("/template", json!({})), "template: Forbidden: may not be specified together with clusterObjects"),
        (with("/division", json!("Divided")), "division: Unsupported value: \"Divided\""),
        (with("/division", json!({})), "division: Invalid value: {}: must have one of aggregated and weighted"),
        (with("/division", json!({"weighted": {"dynamic": "Dice"}})), "division.weighted.dynamic: Unsupported value"),
        (
            with("/division", json!({"weighted": {"static": [{"weight": -1}]}})),
            "division.weighted.static[0].weight: Invalid value: -1",
        ),
        (with("/spread", json!([by("zone", 1, 1)])), "spread: Required value: one by \"cluster\" has to be among them"),
        (with("/spread", json!([by("rack", 1, 1)])), "spread[0].by: Unsupported value: \"rack\""),
        (with("/spread", json!([by("cluster", 3, 2)])), "spread[0].maxGroups: Invalid value: 2: must be greater than"),
        (with("/spread", json!([by("cluster", -1, 2)])), "spread[0].minGroups: Invalid value: -1"),
        (
            with("/spread", json!([by("cluster", 1, 1), by("cluster", 1, 2)])),
            "spread[1].by: Duplicate value: \"cluster\"",
        ),
        (
            with("/spread", json!([by("cluster", 1, 9), by("region", 1, 1), by("label:a", 1, 1)])),
            "spread[2].by: Invalid value: \"label:a\": groups are made by one of region and label",
        ),
        (
            with("/clusters", json!({"names": ["a"], "affinities": [{"name": "t"}]})),
            "clusters.names: Forbidden: may not be specified together with affinities",
        ),
        (with("/clusters", json!({"affinities": [{}]})), "clusters.affinities[0].name: Required value"),
        (
            with("/clusters", json!({"affinities": [{"name": "t"}, {"name": "t"}]})),
            "clusters.affinities[1].name: Duplicate value: \"t\"",
        ),
        (
            with("/clusters", json!({"fields": [{"key": "name", "operator": "In", "values": ["a"]}]})),
            "clusters.fields[0].key: Unsupported value: \"name\"",
        ),
        (with("/clusters", json!({"observedAffinity": "t"})), "clusters.observedAffinity: Forbidden"),
        (with("/previous", json!([{"cluster": "a"}, {"cluster": "a"}])), "previous[1].cluster: Duplicate value: \"a\""),
        (with("/previous", json!([{"cluster": "a", "replicas": -1}])), "previous[0].replicas: Invalid value: -1"),
        (with("/clusterObjects/0/availableReplicas", json!(-1)), "clusterObjects[0].availableReplicas: Invalid value"),
        (with("/clusterObjects/1/metadata", json!({"name": "a"})), "clusterObjects[1].metadata.name: Duplicate value"),
        (with("/priorities", json!({"tree": ["Luck"]})), "priorities.tree[0]: Unsupported value: \"Luck\""),
        (with("/priorities", json!({"weights": {"Cost": -1}})), "priorities.weights[Cost]: Invalid value: -1"),
        (with("/commit", json!("bind")), "commit: Forbidden"),
        (with("/maxLag", json!("soon")), "maxLag: Invalid value: \"soon\""),
        (with("/colour", json!("blue")), "unknown field `colour`"),
    ];
    for (request, expected) in cases {
        let error = place(&request).err().unwrap_or_default();
        assert!(error.contains(expected), "{error}\nexpected: {expected}");
    }
}

#[test]
fn short_of_room_nothing_is_placed_or_what_fits_if_partial() {
    let whole = place(&with("/replicas", json!(12))).expect("an answer");
    assert_eq!(
        (&whole["reason"], &whole["unplaced"], &whole["clusters"]),
        (&json!("InsufficientReplicas"), &json!(12), &json!([]))
    );
    let mut request = with("/replicas", json!(12));
    request["partial"] = json!(true);
    let part = place(&request).expect("an answer");
    assert_eq!((&part["reason"], &part["unplaced"]), (&json!("InsufficientReplicas"), &json!(1)));
    assert_eq!(shares(&part["clusters"], false), [("a".to_owned(), 6), ("b".to_owned(), 5)].into());
}

#[test]
fn replicas_are_spread_by_the_values_of_a_label() {
    let cluster =
        |name: &str, rack: &str| json!({"metadata": {"name": name, "labels": {"rack": rack}}, "availableReplicas": 9});
    let mut request = with("/clusterObjects", json!([cluster("a", "r1"), cluster("b", "r1"), cluster("c", "r2")]));
    request["spread"] =
        json!([{"by": "label:rack", "minGroups": 2, "maxGroups": 2}, {"by": "cluster", "maxGroups": 2}]);
    let got = place(&request).expect("an answer");
    assert_eq!(names(&got["selected"]), ["a".to_owned(), "c".to_owned()].into());
    request["spread"][0] = json!({"by": "label:rack", "minGroups": 3});
    assert_eq!(place(&request).expect("an answer")["reason"], "TooFewGroups");
}

proptest! {
    /// Any request is answered, or refused by a field, and replicas add up.
    #[test]
    fn any_request_is_answered_or_refused(
        word in "[a-zA-Z0-9:./ -]{0,12}", number in -3_i64..30, other in -3_i64..30, name in "[a-c]", at in 0_usize..9,
    ) {
        let fields = [
            ("/uid", json!(word)), ("/replicas", json!(number)), ("/clusters", json!({"names": [name], "exclude": [word]})),
            ("/clusters", json!({"affinities": [{"name": word, "overflow": [{"names": [name]}]}], "observedAffinity": word})),
            ("/spread", json!([{"by": "cluster", "minGroups": number, "maxGroups": other}, {"by": word, "minGroups": other}])),
            ("/division", json!({"weighted": {"static": [{"names": [name], "weight": number}], "dynamic": word}})),
            ("/previous", json!([{"cluster": name, "replicas": number}, {"cluster": word, "replicas": other}])),
            ("/clusterObjects/0/availableReplicas", json!(number)),
            ("/clusterObjects/0", json!({"metadata": {"name": name, "labels": {word.as_str(): name}}, "spec": {"taints": [{"key": word, "effect": "NoExecute"}], "zones": [word]}})),
        ];
        let (pointer, value) = fields[at].clone();
        let request = with(pointer, value);
        if let Ok(reply) = place(&request) {
            let placed: i64 = shares(&reply["clusters"], false).values().sum();
            let unplaced = reply["unplaced"].as_i64().expect("a number");
            prop_assert_eq!(placed + unplaced, request["replicas"].as_i64().expect("a number"), "{}", reply);
        }
    }
}
