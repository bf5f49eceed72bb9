//! Patches and applies as an API server of Kubernetes 1.34 answered them, played on documents alone.
//!
//! `tests/data/patches-1.34.jsonl` has a scenario a line: requests in order, with the recorded replies. Here an object is its document,
//! so what a reply has beyond it must be a default ([`FILLED_IN`]), and refusals of other layers are passed over ([`ELSEWHERE`]).

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::HashMap;

use podberth_wire::{
    document::Document,
    kinds::{self, StoredKind, Subresource},
    patch::{self, Patch, PatchError, PatchType, Writer},
};
use serde_json::{Map, Value, json};

const SCENARIOS: &str = include_str!("../../../tests/data/patches-1.34.jsonl");

/// Fields that the server sets or fills in.
const FILLED_IN: &[&str] = &[
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "managedFields",
    "status",
    "strategy",
    "replicas",
    "revisionHistoryLimit",
    "progressDeadlineSeconds",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "imagePullPolicy",
    "restartPolicy",
    "terminationGracePeriodSeconds",
    "dnsPolicy",
    "schedulerName",
    "tolerations",
    "priority",
    "enableServiceLinks",
    "preemptionPolicy",
    "qosClass",
    "phase",
    "protocol",
    "targetPort",
    "clusterIPs",
    "type",
    "sessionAffinity",
    "ipFamilies",
    "ipFamilyPolicy",
    "internalTrafficPolicy",
    "daemonEndpoints",
    "nodeInfo",
    "rollingUpdate",
];

/// Steps that are refused for the request's parameters, or because the result is no valid object: other layers do that.
const ELSEWHERE: &[&str] = &[
    "no fieldManager",
    "manager too long",
    "force on a merge-patch",
    "too long",
    "not printable",
    "a number where a string goes",
    "number for a string",
    "object for a list",
    "string for a map",
    "a fraction",
    "not a quantity",
    "old resourceVersion",
    "another uid",
    "no such namespace",
    "no such object",
    "unknown field",
];

struct Request<'s> {
    step: &'s Value,
    kind: &'static StoredKind,
    namespace: Option<&'s str>,
    name: &'s str,
    subresource: &'s str,
    query: HashMap<&'s str, &'s str>,
}

impl<'s> Request<'s> {
    fn read(step: &'s Value) -> Option<(&'s str, Self)> {
        let (method, uri) = step["do"].as_str()?.split_once(' ')?;
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let mut parts = path.trim_matches('/').split('/');
        let group = if parts.next()? == "api" { "" } else { parts.next()? };
        parts.next()?;
        let mut rest: Vec<&str> = parts.collect();
        let namespace = (rest.len() > 2 && rest[0] == "namespaces").then(|| rest[1]);
        if namespace.is_some() {
            rest.drain(..2);
        }
        let part = |i: usize| rest.get(i).copied().unwrap_or_default();
        let query = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let kind = kinds::by_plural(group, part(0))?;
        Some((method, Self { step, kind, namespace, name: part(1), subresource: part(2), query }))
    }

    fn body(&self) -> String {
        self.step["text"].as_str().map_or_else(|| self.step["body"].to_string(), ToOwned::to_owned)
    }

    fn writer<'w>(&'w self, user_agent: &'w str) -> (std::borrow::Cow<'w, str>, bool) {
        let named = self.query.get("fieldManager").copied().unwrap_or_default();
        (patch::manager_of(named, user_agent), !named.is_empty())
    }
}

#[derive(Default)]
struct Server {
    objects: HashMap<String, Document>,
}

impl Server {
    fn key(request: &Request<'_>, name: &str) -> String {
        format!("{}/{}/{name}", request.kind.key(), request.namespace.unwrap_or_default())
    }

    /// Carries out a request. `None` where there is nothing to see here.
    fn answer(&mut self, method: &str, request: &Request<'_>) -> Option<Result<Document, PatchError>> {
        let kind = request.kind;
        let sent = || -> Option<Document> {
            let mut sent: Value = serde_json::from_str(&request.body()).ok()?;
            sent["kind"] = kind.kind.into();
            sent["apiVersion"] = kind.api_version().into();
            Document::parse(sent.to_string().as_bytes()).ok()
        };
        let name = match method {
            "POST" => sent()?.metadata_text("name")?,
            _ => request.name.to_owned(),
        };
        let key = Self::key(request, &name);
        let stored = self.objects.get(&key).cloned();
        let user_agent = request.step.pointer("/headers/User-Agent").and_then(Value::as_str).unwrap_or("check_api");
        let (manager, is_named) = request.writer(user_agent);
        // The recording took less than a second: managers come in the order of their names.
        let now = (request.subresource != "scale").then_some("2026-11-26T12:00:00Z");
        let writer = Writer { manager: &manager, is_named, subresource: request.subresource, now };
        let mut after = match (method, stored.clone()) {
            ("GET", stored) => return stored.map(Ok),
            ("POST", None) => sent()?,
            ("PUT", Some(stored)) => written(kind, &stored, sent()?, request.subresource),
            ("PATCH", Some(mut stored)) if request.subresource == "scale" => {
                let sent: Value = serde_json::from_str(&request.body()).ok()?;
                stored
                    .set_in("spec", "replicas", serde_json::value::to_raw_value(&sent["spec"]["replicas"]).ok()?)
                    .ok()?;
                stored
            }
            ("PATCH", stored) => {
                let patch = PatchType::of(request.step["type"].as_str()?)?;
                let patch = match (Patch::parse(patch, request.body().as_bytes()), stored) {
                    (Err(e), _) => return Some(Err(e)),
                    (Ok(Patch::Apply(config)), stored) => {
                        let force = request.query.get("force") == Some(&"true");
                        let path = (request.namespace, request.name);
                        let applied = patch::server_side(kind, stored.as_ref(), config, path, &writer, force);
                        if let (Ok(applied), false) = (&applied, request.query.contains_key("dryRun")) {
                            self.objects.insert(key, applied.clone());
                        }
                        return Some(applied);
                    }
                    (Ok(patch), Some(stored)) => patch::merged(kind, &stored, patch)
                        .map(|new| written(kind, &stored, new.document, request.subresource)),
                    (Ok(_), None) => return None,
                };
                match patch {
                    Ok(patch) => patch,
                    Err(e) => return Some(Err(e)),
                }
            }
            _ => return None,
        };
        patch::track(kind, stored.as_ref(), &mut after, &writer).expect("tracked");
        if !request.query.contains_key("dryRun") {
            self.objects.insert(key, after.clone());
        }
        Some(Ok(after))
    }
}

/// The new object with the part that a write to this path leaves alone.
fn written(kind: &StoredKind, stored: &Document, mut new: Document, subresource: &str) -> Document {
    let kept = match subresource {
        "status" => "spec",
        _ if kind.has(Subresource::Status) => "status",
        _ => return new,
    };
    match stored.get(kept) {
        Some(value) => new.set(kept, value.to_owned()),
        None => new.remove(kept),
    }
    new
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

/// A value without empty ones.
fn full(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), full(value)));
            Value::Object(fields.filter(|(_, value)| !is_empty(value)).collect())
        }
        Value::Array(items) => items.iter().map(full).collect(),
        other => other.clone(),
    }
}

/// The differences between our document and the recorded one.
fn differences(ours: &Value, recorded: &Value, at: &str, found: &mut Vec<String>) {
    match (ours, recorded) {
        (Value::Object(ours), Value::Object(recorded)) => {
            for (name, value) in ours.iter().filter(|(name, _)| *name != "managedFields") {
                match recorded.get(name) {
                    Some(recorded) => differences(value, recorded, &format!("{at}.{name}"), found),
                    None => found.push(format!("{at}.{name} is there")),
                }
            }
            let missing = recorded.keys().filter(|name| !ours.contains_key(*name));
            found.extend(
                missing
                    .filter(|name| !FILLED_IN.contains(&name.as_str()))
                    .map(|name| format!("{at}.{name} is missing")),
            );
        }
        (Value::Array(ours), Value::Array(recorded)) if ours.len() == recorded.len() => {
            for (i, (ours, recorded)) in ours.iter().zip(recorded).enumerate() {
                differences(ours, recorded, &format!("{at}[{i}]"), found);
            }
        }
        (_, Value::String(text)) if text.starts_with('<') => {}
        (ours, recorded) if ours == recorded => {}
        (ours, recorded) => found.push(format!("{at} is {ours}, expected {recorded}")),
    }
}

/// The managers of an object, and whether they have a time.
fn managers(object: &Value) -> Vec<String> {
    let fields = object.pointer("/metadata/managedFields").and_then(Value::as_array).cloned().unwrap_or_default();
    let shown = |e: &Value| {
        format!(
            "{} {} {} {} {}",
            e["manager"],
            e["operation"],
            e["apiVersion"],
            e["subresource"],
            e["time"].is_string()
        )
    };
    fields.iter().map(shown).collect()
}

fn compare(step: &Value, answer: &Result<Document, PatchError>) -> Vec<String> {
    let (want, mut found) = (&step["want"], Vec::new());
    let code = want["status"].as_u64().unwrap_or_default();
    match answer {
        Ok(document) if code < 300 => {
            let ours: Value = serde_json::from_str(&document.to_json()).expect("JSON");
            let is_scale = want.pointer("/body/kind") == Some(&json!("Scale"));
            if !is_scale {
                differences(&full(&ours), &full(&want["body"]), "", &mut found);
            }
            if step["managed"] == json!(true) && managers(&ours) != managers(&want["body"]) {
                found.push(format!("managers are {:?}, expected {:?}", managers(&ours), managers(&want["body"])));
            }
        }
        Err(error) if code >= 400 => {
            let ours = u64::from(error.code());
            // The API server's 500 is a client's fault here.
            if ours != code && code != 500 {
                found.push(format!("code {ours}, expected {code}: {}", error.message()));
            }
            let recorded = want.pointer("/body/details/causes").and_then(Value::as_array).cloned().unwrap_or_default();
            let recorded: Vec<_> = recorded.iter().map(|c| format!("{} {}", c["field"], c["reason"])).collect();
            let ours: Vec<_> = error.causes().iter().map(|c| format!("{:?} {:?}", c.field, c.reason)).collect();
            if ours != recorded {
                found.push(format!("causes {ours:?}, expected {recorded:?}"));
            }
            if code == 409 && want.pointer("/body/message") != Some(&json!(error.message())) {
                found.push(format!("message {}", error.message()));
            }
        }
        other => found.push(format!("{other:?}, expected {code}")),
    }
    found
}

#[test]
fn documents_are_patched_as_the_api_server_patches_them() {
    let (mut played, mut wrong) = (0, Vec::new());
    for line in SCENARIOS.lines() {
        let scenario: Value = serde_json::from_str(line).expect("JSON");
        let mut server = Server::default();
        for step in scenario["steps"].as_array().into_iter().flatten() {
            let name = step["name"].as_str().unwrap_or_default();
            let Some((method, request)) = Request::read(step) else { continue };
            if ELSEWHERE.contains(&name) {
                continue;
            }
            let Some(answer) = server.answer(method, &request) else { continue };
            if step["setup"] == json!(true) {
                continue;
            }
            played += 1;
            let found = compare(step, &answer);
            wrong.extend(found.into_iter().map(|what| format!("{} {} {name}: {what}", scenario["id"], step["do"])));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(played > 130, "{played}");
}
