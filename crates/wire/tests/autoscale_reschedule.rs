//! Evictions, held against what the descheduler did in recorded cases.

use std::path::Path;

use serde_json::Value;

use podberth_core::advise::reschedule::reschedule;
use podberth_testkit::answers;
use podberth_wire::{
    autoscale::reschedule::{DeschedulerPolicy, RescheduleRequest},
    cluster::Cluster,
    decode,
};

fn sorted(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort();
    names
}

fn names(value: &Value) -> Vec<String> {
    sorted(value.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)))
}

/// The pods evicted and those refused, sorted; nothing for a policy that is refused.
fn answer(case: &Value) -> Option<(Vec<String>, Vec<String>)> {
    let policy: DeschedulerPolicy = decode::from_slice(case["policy"].to_string().as_bytes()).ok()?;
    let policy = policy.to_core().ok()?;
    let cluster = Cluster::parse(case["cluster"].to_string().as_bytes()).expect("the cluster is JSON");
    let snapshot = cluster.to_snapshot().expect("the cluster can be read");
    let now: jiff::Timestamp = case["now"].as_str().expect("a time").parse().expect("a time");
    let now = i64::try_from(now.as_nanosecond()).expect("within range");
    let outcome = reschedule(&snapshot, &policy, now).ok()?;
    let evicted = outcome.evicted.iter().map(|eviction| eviction.pod.full_name());
    let refused = outcome.refused.iter().map(|refused| refused.pod.full_name());
    Some((sorted(evicted), sorted(refused)))
}

/// The case with other names of pods and nodes, so that they are taken in another order; the old name follows a dash.
fn reordered(case: &Value, seed: u64) -> Value {
    let renamed = |name: &Value| {
        let name = name.as_str().expect("a name");
        let hash = name.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Value::from(format!("{:04x}-{name}", (hash >> 24) & 0xffff))
    };
    let mut case = case.clone();
    for list in ["pods", "nodes"] {
        for object in case["cluster"][list].as_array_mut().into_iter().flatten() {
            object["metadata"]["name"] = renamed(&object["metadata"]["name"]);
            if let Some(node) = object["spec"].get_mut("nodeName") {
                *node = renamed(node);
            }
        }
    }
    case
}

/// The names as they were.
fn restored(names: Vec<String>) -> Vec<String> {
    let old = |name: String| {
        let (namespace, name) = name.split_once('/').expect("a namespace and a name");
        format!("{namespace}/{}", &name[5..])
    };
    sorted(names.into_iter().map(old))
}

/// The difference to what is expected, where there is one.
fn difference(expected: &Value, got: Option<(Vec<String>, Vec<String>)>) -> Option<String> {
    let is_invalid = expected.get("invalid").is_some();
    let Some((evicted, refused)) = got else { return (!is_invalid).then(|| "the policy is refused".into()) };
    if is_invalid {
        return Some("the policy is taken".into());
    }
    if let Some(wanted) = expected.get("evicted") {
        let wanted = names(wanted);
        if wanted != evicted {
            return Some(format!("evicted {evicted:?}, expected {wanted:?}"));
        }
        let wanted = expected.get("refused").map(names)?;
        return (wanted != refused).then(|| format!("refused {refused:?}, expected {wanted:?}"));
    }
    let bound = |at: usize| expected["count"].get(at).unwrap_or(&expected["count"]).as_u64().unwrap_or_default();
    let (always, among) = (names(&expected["always"]), names(&expected["among"]));
    let count = evicted.len() as u64;
    let is_within = evicted.iter().all(|pod| among.contains(pod) || always.contains(pod));
    if !always.iter().all(|pod| evicted.contains(pod)) || !is_within || !(bound(0)..=bound(1)).contains(&count) {
        let told = format!("evicted {evicted:?}, expected {} of {among:?} with {always:?}", expected["count"]);
        return Some(told);
    }
    let alternatives = expected["anyOf"].as_array().filter(|list| !list.is_empty())?;
    let is_one = alternatives.iter().any(|one| names(&one["evicted"]) == evicted);
    (!is_one).then(|| format!("evicted {evicted:?}, none of the {} alternatives", alternatives.len()))
}

#[test]
fn evictions_equal_those_of_the_descheduler() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/autoscale/descheduler.jsonl.gz");
    let cases = answers::cases(&path);
    assert!(cases.len() > 500, "{} cases", cases.len());
    let told = |case: &Value| {
        let why = difference(&case["expect"], answer(case))?;
        Some(format!("{} ({}): {why}", case["id"], case["suite"]))
    };
    let differing: Vec<String> = cases.iter().filter_map(told).collect();
    assert!(differing.is_empty(), "{} of {} differ:\n{}", differing.len(), cases.len(), differing.join("\n"));
}

#[test]
fn evictions_equal_those_of_the_descheduler_in_any_order_of_names() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/autoscale/descheduler.jsonl.gz");
    let mut differing = Vec::new();
    for (at, case) in answers::cases(&path).iter().enumerate() {
        let got = answer(&reordered(case, at as u64)).map(|(evicted, refused)| (restored(evicted), restored(refused)));
        if let Some(why) = difference(&case["expect"], got) {
            differing.push(format!("{} ({}): {why}", case["id"], case["suite"]));
        }
    }
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
}

fn faults(request: &str) -> Vec<String> {
    let request: RescheduleRequest = decode::from_slice(request.as_bytes()).expect("a request");
    let causes = request.read().expect_err("it has faults");
    causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}

#[test]
fn faults_of_requests_name_their_fields() {
    let of = |config: &str, enabled: &str, more: &str| {
        format!(
            r#"{{"policy": {{"apiVersion": "descheduler/v1alpha2", "kind": "DeschedulerPolicy", "profiles": [{{"name": "p",
                "pluginConfig": [{config}], "plugins": {{"balance": {{"enabled": [{enabled}]}}}}}}]}}{more}}}"#
        )
    };
    let at = "policy.profiles[0]";
    let table = [
        ("{}".to_owned(), "policy: Required value: a DeschedulerPolicy of descheduler/v1alpha2".to_owned()),
        (
            of("", "", r#", "until": "never""#),
            "until: Unsupported value: \"never\": supported values: \"once\", \"best\"".into(),
        ),
        (
            of("", "", r#", "maxMoves": 10001"#),
            "maxMoves: Invalid value: 10001: must be less than or equal to 10000".into(),
        ),
        (of("", "", r#", "rounds": 0"#), "rounds: Invalid value: 0: must be between 1 and 50, inclusive".into()),
        (
            of("", r#""RemoveDuplicates""#, ""),
            format!(
                "{at}.plugins.balance.enabled[0]: Not found: \"RemoveDuplicates\": pluginConfig has no arguments for it"
            ),
        ),
        (
            of(r#"{"name": "RemoveDuplicates", "args": {"namespace": {}}}"#, "", ""),
            format!(
                "{at}.pluginConfig[0].args.namespace: Forbidden: unknown field `namespace`, expected `namespaces` or `excludeOwnerKinds`"
            ),
        ),
        (
            of(r#"{"name": "RemovePodsHavingTooManyRestarts", "args": {"podRestartThreshold": 0}}"#, "", ""),
            format!(
                "{at}.pluginConfig[0].args.podRestartThreshold: Invalid value: 0: must be greater than or equal to 1"
            ),
        ),
        (
            of(r#"{"name": "DefaultEvictor", "args": {"priorityThreshold": {"value": 5, "name": "high"}}}"#, "", ""),
            format!("{at}.pluginConfig[0].args.priorityThreshold: Forbidden: only one of value and name may be given"),
        ),
    ];
    for (request, expected) in table {
        assert_eq!(faults(&request), [expected], "{request}");
    }
}
