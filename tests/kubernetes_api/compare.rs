//! The rules by which a reply agrees with the recorded one.
//!
//! - Status code, Content-Type without its parameters, and Warning headers are the same. In place of a 500 for a client's
//!   fault 400 or 422 is as good.
//! - Errors: code, reason, name, group and kind of the details, causes as a set of field and reason; not the messages.
//! - Objects: without uids, revisions, times, `managedFields`, and empty values. Quantities by value.
//! - Lists: items in their order, without the objects that every cluster begins with. Tables: columns, and cells but for ages.

use std::{collections::BTreeSet, sync::LazyLock};

use podberth_testkit::answers::amount;
use regex::Regex;
use serde_json::{Map, Value, json};

use crate::views::{list, view};

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

static BUILT_IN: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^(/?(default|kube-system|kube-public|kube-node-lease)|default/kubernetes|/?system-(cluster|node)-critical|[^/]*/kube-root-ca\.crt|kube-system/.*)$",
    )
});
static TIME: LazyLock<Regex> = LazyLock::new(|| regex(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"));
static AGE: LazyLock<Regex> = LazyLock::new(|| regex(r"^(<unknown>|<invalid>|(\d+[smhdy])+( ago)?)$"));
static QUANTITY: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(^|\.)(requests|limits|capacity|allocatable|overhead|storage|hard)\.[^\[\]]+$"));

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn are_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// A value without what differs from run to run, and without empty values.
fn plain(value: &Value, key: &str, with_managers: bool) -> Value {
    match value {
        Value::Object(fields) => {
            let kept =
                fields.iter().filter(|(key, _)| !(*key == "managedFields" && !with_managers || *key == "selfLink"));
            let plain = kept.map(|(key, value)| (key.clone(), plain(value, key, with_managers)));
            Value::Object(plain.filter(|(_, value)| !is_empty(value)).collect())
        }
        Value::Array(items) => items.iter().map(|item| plain(item, key, with_managers)).collect(),
        Value::String(written) => match key {
            "uid" | "resourceVersion" | "continue" if !written.is_empty() => {
                let word = if key == "resourceVersion" { "rv" } else { key };
                format!("<{word}>").into()
            }
            _ if TIME.is_match(written) => "<time>".into(),
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

pub(crate) fn is_built_in(object: &Value) -> bool {
    let metadata = &object["metadata"];
    BUILT_IN.is_match(&format!("{}/{}", text(&metadata["namespace"]), text(&metadata["name"])))
}

fn table(body: &Value) -> Value {
    let column = |column: &Value| json!({"name": column["name"], "type": column["type"], "format": column["format"], "priority": column["priority"]});
    let cell =
        |cell: &Value| if cell.as_str().is_some_and(|text| AGE.is_match(text)) { "<age>".into() } else { cell.clone() };
    let rows = list(&body["rows"]).filter(|row| !is_built_in(&row["object"]));
    let row = |row: &Value| json!({"cells": list(&row["cells"]).map(cell).collect::<Vec<_>>(), "object": match plain(&row["object"], "", false) { Value::Null => json!({}), object => object }});
    json!({
        "kind": "Table", "apiVersion": body["apiVersion"],
        "columns": list(&body["columnDefinitions"]).map(column).collect::<Vec<_>>(), "rows": rows.map(row).collect::<Vec<_>>(),
    })
}

/// A body as it is recorded.
pub(crate) fn simplified(body: &Value, step: &Value) -> Value {
    let with_managers = step["managed"] == true;
    match (step["view"].as_str(), body) {
        (Some(name), _) => view(name, body),
        (None, Value::Object(_)) if body["kind"] == "Table" => table(body),
        (None, Value::Object(fields)) if body["items"].is_array() => {
            let items =
                list(&body["items"]).filter(|item| !is_built_in(item)).map(|item| plain(item, "", with_managers));
            let items: Value = items.collect();
            let mut rest = fields.clone();
            rest.remove("items");
            let mut simple = plain(&Value::Object(rest), "", with_managers);
            simple["items"] = items;
            simple
        }
        (None, Value::Object(_)) => plain(body, "", with_managers),
        _ => body.clone(),
    }
}

pub(crate) fn is_error(body: &Value) -> bool {
    body["kind"] == "Status" && body["status"] == "Failure"
}

/// A review without the binding that allowed it: of several it may be any.
fn without_binding(value: Value) -> Value {
    let mut value = value;
    if text(&value["kind"]).ends_with("AccessReview")
        && let Some(status) = value.get_mut("status").and_then(Value::as_object_mut)
        && status.get("reason").is_some_and(|reason| text(reason).starts_with("RBAC: allowed by "))
    {
        status.insert("reason".into(), "RBAC: allowed by …".into());
    }
    value
}

/// A value, as much of it as a line has room for.
fn short(value: &Value) -> String {
    value.to_string().chars().take(110).collect()
}

/// The differences of two values.
fn differ(want: &Value, got: &Value, path: &str, out: &mut Vec<String>) {
    match (want, got) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match (a.get(key), b.get(key)) {
                    (Some(want), Some(got)) => differ(want, got, &path, out),
                    (want, got) => {
                        out.push(match got {
                            None => format!("{path}: missing, expected {}", short(want.unwrap_or(&Value::Null))),
                            Some(got) => format!("{path}: {}, expected nothing", short(got)),
                        });
                    }
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                out.push(format!("{path}: {} elements, expected {}", b.len(), a.len()));
            }
            for (i, (want, got)) in a.iter().zip(b).enumerate() {
                differ(want, got, &format!("{path}[{i}]"), out);
            }
        }
        _ => {
            let is_number = want.as_f64().zip(got.as_f64()).is_some_and(|(a, b)| are_close(a, b));
            let is_quantity =
                QUANTITY.is_match(path) && amount(want).zip(amount(got)).is_some_and(|(a, b)| are_close(a, b));
            if want != got && !is_number && !is_quantity {
                out.push(format!("{path}: {}, expected {}", short(got), short(want)));
            }
        }
    }
}

/// The differences of two errors, but for their messages.
fn differ_in_error(want: &Value, got: &Value) -> Vec<String> {
    if !is_error(got) {
        return vec![format!("no Status: {}", short(got))];
    }
    let mut out = Vec::new();
    for field in ["code", "reason", "apiVersion"] {
        if want[field] != got[field] {
            out.push(format!("{field}: {}, expected {} ({})", got[field], want[field], got["message"]));
        }
    }
    let (want, got) = (&want["details"], &got["details"]);
    for field in ["name", "group", "kind"] {
        if want[field] != got[field] {
            out.push(format!("details.{field}: {}, expected {}", got[field], want[field]));
        }
    }
    let retries = |details: &Value| details["retryAfterSeconds"].as_i64().unwrap_or_default() != 0;
    if retries(want) != retries(got) {
        out.push(format!("details.retryAfterSeconds: {}", got["retryAfterSeconds"]));
    }
    let causes = |details: &Value| -> BTreeSet<(String, String)> {
        list(&details["causes"])
            .map(|cause| (text(&cause["field"]).to_owned(), text(&cause["reason"]).to_owned()))
            .collect()
    };
    let (want, got) = (causes(want), causes(got));
    out.extend(want.difference(&got).map(|cause| format!("cause missing: {} {}", cause.0, cause.1)));
    out.extend(got.difference(&want).map(|cause| format!("cause not expected: {} {}", cause.0, cause.1)));
    out
}

/// A reply, simplified like the recorded ones.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    /// Content-Type without its parameters.
    pub(crate) media: String,
    pub(crate) warnings: Vec<String>,
    pub(crate) has_retry_after: bool,
    pub(crate) body: Value,
}

/// The differences between a reply and that recorded for a step.
pub(crate) fn differences(step: &Value, got: &Told) -> Vec<String> {
    let want = &step["want"];
    let code = want["status"].as_u64().unwrap_or_default();
    let status = u64::from(got.status);
    let is_accepted = list(&step["accept"]).any(|accepted| accepted.as_u64() == Some(status));
    if status != code && (is_accepted || code == 500 && matches!(status, 400 | 422) && is_error(&got.body)) {
        return Vec::new();
    }
    if status != code {
        return vec![format!("status {status}, expected {code}: {}", short(&got.body))];
    }
    let mut out = Vec::new();
    if let Some(media) = want["type"].as_str().filter(|media| *media != got.media)
        && step["view"] != "kind"
        && !step["accept"].is_array()
    {
        out.push(format!("Content-Type {}, expected {media}", got.media));
    }
    let warnings: Vec<&str> = list(&want["warnings"]).map(text).collect();
    if warnings != got.warnings {
        out.push(format!("warnings {:?}, expected {warnings:?}", got.warnings));
    }
    if want["retryAfter"] == true && !got.has_retry_after {
        out.push("no Retry-After".into());
    }
    let (mut wanted, mut told) = (want["body"].clone(), got.body.clone());
    if step["view"] == "nothing" {
        return out;
    }
    (wanted, told) = (without_binding(wanted), without_binding(told));
    if is_error(&wanted) {
        out.extend(differ_in_error(&wanted, &told));
        return out;
    }
    if wanted["kind"] == "Status" {
        for status in [&mut wanted, &mut told] {
            if let Some(fields) = status.as_object_mut() {
                fields.remove("metadata");
            }
        }
    }
    if !wanted.is_null() || told.is_object() || told.is_array() {
        differ(&wanted, &told, "", &mut out);
    }
    out
}

/// The differences between the events of a watch and those recorded.
pub(crate) fn differences_of_events(want: &Value, got: &[Value]) -> Vec<String> {
    let wanted: Vec<&Value> = list(&want["events"]).collect();
    let kinds = |events: &[&Value]| events.iter().map(|event| text(&event["type"]).to_owned()).collect::<Vec<_>>();
    let told: Vec<&Value> = got.iter().collect();
    let mut out = Vec::new();
    if kinds(&wanted) != kinds(&told) {
        out.push(format!("events {:?}, expected {:?}", kinds(&told), kinds(&wanted)));
    }
    for (i, (want, got)) in wanted.iter().zip(told).enumerate() {
        let (kind, want_object, got_object) = (&want["type"], &want["object"], &got["object"]);
        let mut inner = Vec::new();
        if is_error(want_object) {
            inner = differ_in_error(want_object, got_object);
        } else if *kind == got["type"] {
            differ(want_object, got_object, "", &mut inner);
        }
        out.extend(inner.into_iter().map(|difference| format!("event {i} {kind}: {difference}")));
    }
    out
}
