//! Patches with recorded bodies in which something is another value: whatever a client sends is answered, and is no fault of the server.

use std::collections::BTreeMap;

use axum::{body::Body, http::Request};
use podberth::{live::DEFAULT_CLUSTER, service::objects::create_built_in};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::{
    all,
    server::{Server, Setup, memory},
    views::list,
};

const TYPES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// Recorded objects by the paths of their collections, and the recorded bodies of patches.
fn recorded() -> (BTreeMap<String, Value>, Vec<Value>) {
    let (mut objects, mut patches) = (BTreeMap::new(), Vec::new());
    for scenario in all() {
        for step in list(&scenario["steps"]) {
            let (method, path) = step["do"].as_str().and_then(|text| text.split_once(' ')).unwrap_or_default();
            let path = path.split('?').next().unwrap_or_default();
            let is_made = step["setup"] == true || step["want"]["status"] == 201;
            match method {
                "POST" if is_made && step["body"]["metadata"]["name"].is_string() && !path.ends_with("namespaces") => {
                    let path = match path.split_once("/namespaces/") {
                        Some((before, rest)) => {
                            let rest = rest.split_once('/').map_or("", |(_, rest)| rest);
                            format!("{before}/namespaces/default/{rest}")
                        }
                        None => path.to_owned(),
                    };
                    if !path.contains("/pods/") {
                        let mut object = step["body"].clone();
                        if let Some(metadata) = object["metadata"].as_object_mut() {
                            metadata.remove("namespace");
                        }
                        objects.entry(path).or_insert(object);
                    }
                }
                "PATCH" if !step["body"].is_null() => patches.push(step["body"].clone()),
                _ => {}
            }
        }
    }
    (objects, patches)
}

/// The places of a value, as pointers.
fn places(value: &Value, at: String, out: &mut Vec<String>) {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| places(value, format!("{at}/{}", escaped(name)), out));
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(i, value)| places(value, format!("{at}/{i}"), out)),
        _ => {}
    }
    out.push(at);
}

fn other() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(""),
        json!("x"),
        json!("1Gi"),
        json!("\u{0}"),
        json!([]),
        json!([[]]),
        json!([null]),
        json!({}),
        json!({"$patch": "delete"}),
        json!({"$patch": "replace", "name": "c"}),
        json!([{"$patch": "replace"}, {"name": "c"}]),
        json!({"$retainKeys": ["name"], "$setElementOrder/containers": [{"name": "zz"}]}),
        json!([{"op": "copy", "from": "/metadata", "path": "/spec/-"}]),
        json!([{"op": "test", "path": "", "value": null}, {"op": "remove", "path": ""}]),
    ])
}

#[test]
fn no_patch_is_answered_as_a_fault_of_the_server() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (objects, patches) = recorded();
    let (server, paths) = runtime.block_on(async {
        let store = memory(&[]).await;
        let server = Server::start(store, Setup::strict());
        create_built_in(&server.state, &DEFAULT_CLUSTER.into()).await.expect("what every cluster has");
        let mut paths = Vec::new();
        for (path, object) in &objects {
            let reply = server.post(path, object).await;
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            if reply.code == 201 {
                paths.extend(["", "/status", "/scale", "/resize"].map(|part| format!("{path}/{name}{part}")));
            }
        }
        (server, paths)
    });
    assert!(paths.len() > 60 && patches.len() > 80, "{} paths, {} patches", paths.len(), patches.len());
    let case = (
        prop::sample::select(paths),
        prop::sample::select(patches),
        prop::collection::vec((any::<prop::sample::Index>(), other()), 0..3),
        prop::sample::select(TYPES.to_vec()),
        any::<bool>(),
    );
    let config = ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&case, |(path, mut patch, changes, sort, dry)| {
        for (place, value) in changes {
            let mut all = Vec::new();
            places(&patch, String::new(), &mut all);
            if let Some(slot) = patch.pointer_mut(&all[place.index(all.len())]) {
                *slot = value;
            }
        }
        let dry = if dry { "&dryRun=All" } else { "" };
        let force = if sort == TYPES[3] { "&force=true" } else { "" };
        let uri = format!("{path}?fieldManager=fuzz{force}{dry}");
        let request = Request::patch(uri).header("content-type", sort).body(Body::from(patch.to_string()));
        let reply = runtime.block_on(server.send(request.expect("a request")));
        prop_assert!(reply.code < 500, "{sort} {path} {patch}: {} {}", reply.code, reply.text());
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
