//! Inputs made from public bug reports, each with the answer that Kubernetes gives and why.
//!
//! The lines of `tests/data/reports/*.jsonl`, one JSON object each: `id`, `about`, `source` (`repository#number`, with
//! `(sibling)` where the report tells of a neighbour; `(source)` where Kubernetes' code told alone), `why` (the rule, and the arithmetic where there is any), and one of
//!
//! - a question: `cluster`, `pod`, `policy` or `profile`, and `expect` as in the conformance cases: `filter[node]` with
//!   `fits`, `code`, `reasons`; `scores[plugin][node]`; `total[node]`; `preempt` with `candidates[node].uids` and `selected`;
//! - a conversation with a server of its own: `request` or `requests` (`method`, `path`, `body`), and under `expect` the
//!   `status` of the last ones, the `fields` that the last one finds at fault, and `replies`: of the request numbered
//!   `of` what stands `at` a JSON pointer (`is`; null where nothing does).
//!
//! A new family is a file more. `CASE=<id>` runs one line.

#[path = "support/server.rs"]
mod server;

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Map, Value, json};

use self::server::{JSON, Server, Setup, memory};

/// The members of an object; none of anything else.
fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    value.as_object().unwrap_or(&NONE).iter()
}

fn texts(value: &Value) -> BTreeSet<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Every difference between the answer expected and that of `/explain`.
async fn question(server: &Server, case: &Value) -> Vec<String> {
    let expect = &case["expect"];
    let mut asked = json!({"cluster": case["cluster"], "pod": case["pod"], "preempt": expect.get("preempt").is_some()});
    match case.get("policy") {
        Some(policy) => asked["policy"] = policy.clone(),
        None if case["profile"].is_null() => asked["profile"] = json!({"schedulerName": "default-scheduler"}),
        None => asked["profile"] = case["profile"].clone(),
    }
    let reply = server.post("/explain", &asked).await;
    if reply.code != 200 {
        return vec![format!("/explain answers {}: {}", reply.code, reply.text())];
    }
    let answer = reply.json();
    let mut found = Vec::new();
    for (name, wanted) in members(&expect["filter"]) {
        let nodes = answer["nodes"].as_array().into_iter().flatten();
        let Some(node) = nodes.into_iter().find(|node| node["name"] == **name) else {
            found.push(format!("{name}: missing"));
            continue;
        };
        found.extend(node_differences(name, wanted, node));
        for (plugin, by_node) in members(&expect["scores"]).filter(|_| wanted["fits"] == true) {
            let score = node["scores"].as_array().into_iter().flatten().find(|score| score["plugin"] == **plugin);
            if let Some(wanted) = by_node.get(name).filter(|wanted| score.is_none_or(|s| s["score"] != **wanted)) {
                found.push(format!("{name}: {plugin} scores {score:?}, expected {wanted}"));
            }
        }
        if let Some(total) = expect["total"].get(name).filter(|total| **total != node["total"]) {
            found.push(format!("{name}: total {}, expected {total}", node["total"]));
        }
    }
    if let Some(wanted) = expect.get("preempt") {
        found.extend(preemption_differences(wanted, &answer["preemption"]));
    }
    found
}

fn node_differences(name: &str, wanted: &Value, node: &Value) -> Option<String> {
    let failing = || node["verdicts"].as_array().into_iter().flatten().filter(|verdict| verdict["verdict"] != "Fits");
    let reasons: BTreeSet<&str> = failing().flat_map(|verdict| texts(&verdict["reasons"])).collect();
    if node["fits"] != wanted["fits"] {
        return Some(format!("{name}: fits {} {reasons:?}, expected {wanted}", node["fits"]));
    }
    if wanted.get("reasons").is_some_and(|wanted| texts(wanted) != reasons) {
        return Some(format!("{name}: reasons {reasons:?}, expected {}", wanted["reasons"]));
    }
    let is_final = failing().any(|verdict| verdict["verdict"] == "UnschedulableAndUnresolvable");
    let code = if is_final { "UnschedulableAndUnresolvable" } else { "Unschedulable" };
    (wanted.get("code").is_some_and(|wanted| wanted != code))
        .then(|| format!("{name}: {code}, expected {}", wanted["code"]))
}

fn preemption_differences(wanted: &Value, told: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let candidates = told["candidates"].as_array().map_or(&[][..], Vec::as_slice);
    let uids = |candidate: &Value| -> BTreeSet<String> {
        let victims = candidate["victims"].as_array().into_iter().flatten();
        victims.map(|victim| victim["uid"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let told_of: Vec<(&str, BTreeSet<String>)> =
        candidates.iter().map(|c| (c["node"].as_str().unwrap_or_default(), uids(c))).collect();
    let expected: Vec<(&str, BTreeSet<String>)> = members(&wanted["candidates"])
        .map(|(node, c)| (&**node, texts(&c["uids"]).into_iter().map(str::to_owned).collect()))
        .collect();
    let sorted = |mut list: Vec<(&str, BTreeSet<String>)>| {
        list.sort();
        format!("{list:?}")
    };
    let (told_of, expected) = (sorted(told_of), sorted(expected));
    if told_of != expected {
        found.push(format!("victims {told_of}, expected {expected}"));
    }
    let selected = |value: &Value| value["selected"].as_str().unwrap_or_default().to_owned();
    if selected(told) != selected(wanted) {
        found.push(format!("victims on {:?}, expected {:?}", selected(told), selected(wanted)));
    }
    found
}

/// Every difference between the replies expected and those of a server of its own.
async fn conversation(server: &Server, case: &Value) -> Vec<String> {
    let expect = &case["expect"];
    let requests = case["requests"].as_array().map_or_else(|| std::slice::from_ref(&case["request"]), Vec::as_slice);
    let mut replies = Vec::new();
    for request in requests {
        let (method, path) = (request["method"].as_str().unwrap_or("GET"), request["path"].as_str().unwrap_or("/"));
        let body = request.get("body").map_or_else(String::new, |body| match body {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        replies.push(server.ask(method, path, JSON, body).await);
    }
    let mut found = Vec::new();
    let wanted: Vec<&Value> = match &expect["status"] {
        Value::Null => Vec::new(),
        Value::Array(all) => all.iter().collect(),
        one => vec![one],
    };
    let codes: Vec<u64> = replies.iter().map(|reply| reply.code.into()).collect();
    let last = &codes[codes.len().saturating_sub(wanted.len())..];
    if !last.iter().eq(wanted.iter().filter_map(|code| code.as_u64()).collect::<Vec<_>>().iter()) {
        let texts: Vec<&str> = replies.iter().map(server::Reply::text).collect();
        found.push(format!("status {last:?}, expected {wanted:?}: {texts:?}"));
    }
    let bodies: Vec<Value> = replies.iter().map(|r| serde_json::from_slice(&r.body).unwrap_or_default()).collect();
    if let (Some(fields), Some(body)) = (expect.get("fields"), bodies.last()) {
        let causes = body.pointer("/details/causes").and_then(Value::as_array).into_iter().flatten();
        let at_fault: BTreeSet<&str> = causes.filter_map(|cause| cause["field"].as_str()).collect();
        if !texts(fields).is_subset(&at_fault) {
            found.push(format!("at fault {at_fault:?}, expected {fields}"));
        }
    }
    for wanted in expect["replies"].as_array().into_iter().flatten() {
        let of = wanted["of"].as_u64().and_then(|of| usize::try_from(of).ok()).unwrap_or(bodies.len() - 1);
        let at = wanted["at"].as_str().unwrap_or_default();
        let told = bodies.get(of).and_then(|body| body.pointer(at)).unwrap_or(&Value::Null);
        if *told != wanted["is"] {
            found.push(format!("reply {of} has {told} at {at}, expected {}: {}", wanted["is"], bodies[of]));
        }
    }
    found
}

#[tokio::test]
async fn reports_are_answered_as_kubernetes_does() {
    let only = std::env::var("CASE").ok();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/reports");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the folder is there").map(|f| f.expect("a file").path()).collect();
    files.sort();
    let (mut told, mut asked) = (Vec::new(), 0);
    for file in files {
        for (number, line) in fs::read_to_string(&file).expect("a text").lines().enumerate() {
            let case: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{}:{}: {error}", file.display(), number + 1));
            let id = case["id"].as_str().unwrap_or_default().to_owned();
            if only.as_ref().is_some_and(|only| *only != id) {
                continue;
            }
            assert!(case["why"].as_str().is_some_and(|why| !why.is_empty()), "{id}: a case says why");
            asked += 1;
            let server = Server::start(memory(&[]).await, Setup::default());
            let found = if case.get("pod").is_some() {
                question(&server, &case).await
            } else {
                conversation(&server, &case).await
            };
            if !found.is_empty() {
                told.push(format!("{id} ({}): {}\n    {}", case["source"], case["about"], found.join("\n    ")));
            }
        }
    }
    assert!(asked > 0, "no such case");
    assert!(told.is_empty(), "{} of {asked} reports:\n{}", told.len(), told.join("\n"));
}
