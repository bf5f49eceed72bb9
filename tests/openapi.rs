//! The published documents are outputs: locked here, and held to what SDK generators need.

use std::{collections::BTreeSet, fs, path::PathBuf};

use podberth::api::openapi::{DOCUMENTS, published};
use serde_json::{Map, Value};

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

/// Compares with the locked copy; `UPDATE=1` writes it.
fn locked(name: &str, document: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("openapi").join(name);
    let current = published(document);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &current).expect("openapi/ can be written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(current.lines()).position(|(old, new)| old != new);
    assert!(
        kept == current,
        "openapi/{name} is not what the server publishes (first difference: line {}). When the change is meant, refresh \
         it: UPDATE=1 cargo test --test openapi",
        differs.unwrap_or_else(|| kept.lines().count().min(current.lines().count())) + 1,
    );
}

#[test]
fn version_3_0_is_as_published() {
    locked("podberth-3.0.json", &DOCUMENTS.v3_0);
}

#[test]
fn version_3_1_is_as_published() {
    locked("podberth-3.1.json", &DOCUMENTS.v3_1);
}

/// An operation with the name that problems are told under.
fn operations() -> Vec<(String, &'static Map<String, Value>)> {
    let paths = DOCUMENTS.v3_0["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&'static String, &'static Value)| {
        METHODS.into_iter().filter_map(move |method| Some((format!("{method} {path}"), item.get(method)?.as_object()?)))
    };
    paths.iter().flat_map(of_path).collect()
}

fn check(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn sdk_methods_have_unique_camel_case_names() {
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for (name, operation) in operations() {
        let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
        let camel_case =
            id.starts_with(|c: char| c.is_ascii_lowercase()) && id.chars().all(|c| c.is_ascii_alphanumeric());
        if !camel_case {
            problems.push(format!("{name}: operationId {id:?} is not camelCase"));
        }
        if !seen.insert(id) {
            problems.push(format!("{name}: operationId {id:?} is taken"));
        }
    }
    check(&problems);
}

#[test]
fn every_operation_has_one_declared_tag_and_a_summary() {
    let tags = DOCUMENTS.v3_0["tags"].as_array().expect("tags");
    let declared: BTreeSet<&str> = tags.iter().filter_map(|tag| tag["name"].as_str()).collect();
    let mut problems = Vec::new();
    for (name, operation) in operations() {
        let tags: Vec<&str> = operation["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if tags.len() != 1 || !tags.iter().all(|tag| declared.contains(tag)) {
            problems.push(format!("{name}: tags {tags:?}, not one of {declared:?}"));
        }
        if operation.get("summary").and_then(Value::as_str).unwrap_or_default().is_empty() {
            problems.push(format!("{name}: no summary"));
        }
    }
    check(&problems);
}

#[test]
fn every_operation_has_one_success_and_lists_its_errors() {
    let mut problems = Vec::new();
    for (name, operation) in operations() {
        let responses = operation["responses"].as_object().expect("responses");
        let good: BTreeSet<String> = responses
            .iter()
            .filter(|(code, _)| code.starts_with('2') || code.starts_with('3'))
            .map(|(_, response)| response["content"].to_string())
            .collect();
        if good.len() != 1 {
            problems.push(format!("{name}: {} success types", good.len()));
        }
        for code in ["500", "504"] {
            if !responses.contains_key(code) {
                problems.push(format!("{name}: {code} is not listed"));
            }
        }
        for (code, response) in responses.iter().filter(|(code, _)| code.starts_with(['4', '5'])) {
            let schema = &response["content"]["application/json"]["schema"]["$ref"];
            let plain_text = response["content"].get("text/plain").is_some();
            if schema != "#/components/schemas/Status" && !plain_text {
                problems.push(format!("{name}: {code} is no Status"));
            }
        }
        if responses.contains_key("default") {
            problems.push(format!("{name}: generators ignore `default`"));
        }
    }
    check(&problems);
}

/// Calls `visit` for every schema of the document, with its place.
fn schemas(visit: &mut dyn FnMut(&str, &Map<String, Value>)) {
    fn walk(place: &str, value: &Value, visit: &mut dyn FnMut(&str, &Map<String, Value>)) {
        match value {
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, item)| walk(&format!("{place}[{at}]"), item, visit));
            }
            Value::Object(map) => {
                visit(place, map);
                for (key, inner) in
                    map.iter().filter(|(key, _)| !matches!(key.as_str(), "example" | "examples" | "default" | "enum"))
                {
                    walk(&format!("{place}/{key}"), inner, visit);
                }
            }
            _ => {}
        }
    }
    walk("components", &DOCUMENTS.v3_0["components"], visit);
    walk("paths", &DOCUMENTS.v3_0["paths"], visit);
}

#[test]
fn schemas_are_what_generators_can_read() {
    let mut problems = Vec::new();
    schemas(&mut |place, schema| {
        let mut problem = |text: &str| problems.push(format!("{place}: {text}"));
        if schema.get("enum").and_then(Value::as_array).is_some_and(|values| values.contains(&Value::Null)) {
            problem("null in an enum");
        }
        if schema.contains_key("oneOf") || schema.contains_key("anyOf") {
            problem("oneOf or anyOf");
        }
        if schema.get("type").is_some_and(Value::is_array) {
            problem("several types, which 3.0 does not know");
        }
        if schema.get("type").is_some_and(|kind| kind == "array") && !schema.contains_key("items") {
            problem("an array without items");
        }
        let bare = schema.get("type").is_some_and(|kind| kind == "object")
            && !["properties", "additionalProperties", "allOf"].iter().any(|key| schema.contains_key(*key));
        let empty = ["StatusMetadata", "EphemeralVolumeSource"];
        if bare && !place.rsplit('/').next().is_some_and(|name| empty.contains(&name)) {
            problem("an object without properties: give a map its value's schema");
        }
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if schema.get("properties").is_some_and(|properties| properties.get(name).is_none()) {
                problem(&format!("{name} is required and not there"));
            }
        }
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if property.get("properties").is_some() {
                problem(&format!("{name} is an object without a name: make it a component"));
            }
        }
    });
    check(&problems);
}

#[test]
fn every_reference_leads_somewhere() {
    let mut problems = Vec::new();
    schemas(&mut |place, schema| {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let pointer = reference.trim_start_matches('#');
            if DOCUMENTS.v3_0.pointer(pointer).is_none() {
                problems.push(format!("{place}: {reference} is not there"));
            }
        }
    });
    check(&problems);
}
