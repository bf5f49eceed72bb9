//! Evictions, held against what the descheduler did in recorded cases.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

use podberth_core::advise::reschedule::reschedule;
use podberth_testkit::answers;
use podberth_wire::{autoscale::reschedule::DeschedulerPolicy, cluster::Cluster, decode};

fn names(value: &Value) -> BTreeSet<String> {
    value.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// The pods evicted and those refused; nothing for a policy that is refused.
fn answer(case: &Value) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
    let policy: DeschedulerPolicy = decode::from_slice(case["policy"].to_string().as_bytes()).ok()?;
    let policy = policy.to_core().ok()?;
    let cluster = Cluster::parse(case["cluster"].to_string().as_bytes()).expect("the cluster is JSON");
    let snapshot = cluster.to_snapshot().expect("the cluster can be read");
    let now: jiff::Timestamp = case["now"].as_str().expect("a time").parse().expect("a time");
    let now = i64::try_from(now.as_nanosecond()).expect("within range");
    let outcome = reschedule(&snapshot, &policy, now).ok()?;
    let evicted = outcome.evicted.iter().map(|eviction| eviction.pod.full_name()).collect();
    let refused = outcome.refused.iter().map(|refused| refused.pod.full_name()).collect();
    Some((evicted, refused))
}

/// The difference to what is expected, where there is one.
fn difference(expected: &Value, got: Option<(BTreeSet<String>, BTreeSet<String>)>) -> Option<String> {
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
    if !always.is_subset(&evicted) || !is_within || !(bound(0)..=bound(1)).contains(&count) {
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
