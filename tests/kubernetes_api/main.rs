//! Requests of Kubernetes clients, replayed: every reply is held against that of kube-apiserver 1.34.1.
//!
//! The files of `tests/data/api` have one scenario a line: `id`, `group`, `steps`. A step has `do` (method and path), `body`,
//! `text` or `base64` with their `type`, `headers`, and `want`, the recorded reply; `capture` keeps values of a reply for `${…}`
//! in later steps; a `watch` sends the steps of `during` while it is open. [`compare`] has the rules by which replies agree.
//! [`differences`] lists the steps that disagree, each with its reason: a step that
//! agrees must not be there. `CASE=<part of an id>` plays these scenarios alone and prints every difference.

#[path = "../support/server.rs"]
mod server;

mod compare;
mod differences;
mod fuzzed;
mod player;
mod views;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use flate2::read::GzDecoder;
use serde_json::Value;

/// The recorded scenarios: over the state, and over roles and bindings.
const FILES: [&str; 2] = ["api-1.34.jsonl.gz", "rbac-1.34.jsonl.gz"];

/// The scenarios that count: those marked `differs` are about controllers and kubelets.
fn all() -> Vec<Value> {
    let of_file = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/api").join(name);
        let file = File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let lines = BufReader::new(GzDecoder::new(file)).lines();
        let scenarios = lines.map(|line| serde_json::from_str::<Value>(&line.expect("a line")).expect("a scenario"));
        scenarios.filter(|scenario| scenario["differs"].is_null()).collect::<Vec<_>>()
    };
    FILES.into_iter().flat_map(of_file).collect()
}

/// The group of a scenario: its id begins with it.
fn group_of(id: &str) -> &str {
    id.split('-').next().unwrap_or_default()
}

/// Plays a group and holds its differences against the list.
async fn plays(group: &str) {
    let only = std::env::var("CASE").ok();
    let (mut steps, mut found) = (0, BTreeMap::new());
    for scenario in all().into_iter().filter(|scenario| scenario["group"] == group) {
        let id = scenario["id"].as_str().unwrap_or_default().to_owned();
        if only.as_ref().is_some_and(|only| !id.contains(only.as_str())) {
            continue;
        }
        for (step, differences) in player::play(&scenario).await {
            steps += 1;
            if !differences.is_empty() {
                found.insert((id.clone(), step), differences);
            }
        }
    }
    if only.is_some() {
        for ((id, step), differences) in &found {
            println!("{id} {step}\n    {}", differences.join("\n    "));
        }
        return;
    }
    assert!(steps > 0, "no scenario is of the group {group}");
    let known = |id: &str, step: &str| {
        differences::KNOWN.iter().any(|known| known.scenario == id && known.steps.contains(&step))
    };
    let mut problems = Vec::new();
    for ((id, step), differences) in found.iter().filter(|((id, step), _)| !known(id, step)) {
        problems.push(format!("{id} {step}\n    {}", differences.join("\n    ")));
    }
    let of_group = differences::KNOWN.iter().filter(|known| group_of(known.scenario) == group);
    let listed = of_group.flat_map(|known| known.steps.iter().map(|step| (known.scenario, *step)));
    for (id, step) in listed.filter(|(id, step)| !found.contains_key(&((*id).into(), (*step).into()))) {
        problems.push(format!("{id} {step} agrees: take it off the list of differences"));
    }
    println!("{group}: {} of {steps} steps agree", steps - found.len());
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// One test for each group.
macro_rules! groups {
    ($($group:ident)*) => {
        const GROUPS: &[&str] = &[$(stringify!($group)),*];
        $(
            #[tokio::test]
            async fn $group() {
                plays(stringify!($group)).await;
            }
        )*
    };
}

groups! {
    apply binding crud defaults delete discovery eviction paging patch protobuf rbac selectors table validation watch writes
}

#[test]
fn every_group_is_played() {
    let known: BTreeSet<&str> = GROUPS.iter().copied().collect();
    let recorded = all();
    let recorded: BTreeSet<&str> = recorded.iter().filter_map(|scenario| scenario["group"].as_str()).collect();
    assert_eq!(recorded, known);
    let unknown = differences::KNOWN.iter().find(|known| !GROUPS.contains(&group_of(known.scenario)));
    assert!(unknown.is_none(), "{:?}", unknown.map(|known| known.scenario));
}
