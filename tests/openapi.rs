//! The published documents are outputs: locked here, and checked against the needs of SDK generators.

use std::{collections::BTreeSet, fs, path::PathBuf};

use podberth::{
    api::published::{DOCUMENTS, published},
    core::{
        policy::{plugin_arguments, predicate_arguments, priority_arguments},
        rule::Declared,
    },
};
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

/// An operation with the name for its problems.
fn operations() -> Vec<(String, &'static Map<String, Value>)> {
    let paths = DOCUMENTS.v3_0["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&'static String, &'static Value)| {
        METHODS.into_iter().filter_map(move |method| Some((format!("{method} {path}"), item.get(method)?.as_object()?)))
    };
    paths.iter().flat_map(of_path).collect()
}

/// A parameter or response, wherever it is written down.
fn resolved(part: &'static Value) -> &'static Value {
    let target = part["$ref"].as_str().and_then(|reference| DOCUMENTS.v3_0.pointer(reference.trim_start_matches('#')));
    target.unwrap_or(part)
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
            .map(|(_, response)| resolved(response)["content"].to_string())
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
            let response = resolved(response);
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
fn schemas_suit_sdk_generators() {
    let mut problems = Vec::new();
    schemas(&mut |place, schema| {
        let mut problem = |text: &str| problems.push(format!("{place}: {text}"));
        if schema.get("enum").and_then(Value::as_array).is_some_and(|values| values.contains(&Value::Null)) {
            problem("null in an enum");
        }
        let structured = |default: &Value| default.is_object() || default.is_array() || default.is_null();
        if !place.ends_with("/properties") && schema.get("default").is_some_and(structured) {
            problem("a default that is no scalar");
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

/// openapi-generator's Python, Go and Java clients let servers of a path replace the address that their user gave.
#[test]
fn no_path_replaces_the_servers_of_the_user() {
    let paths = DOCUMENTS.v3_0["paths"].as_object().expect("paths");
    let own: Vec<&String> =
        paths.iter().filter(|(_, item)| item.get("servers").is_some()).map(|(path, _)| path).collect();
    assert!(own.is_empty(), "{own:?}");
}

/// The media types of a reply and their schemas, without examples.
fn shape(content: &Value) -> String {
    let media = content.as_object().into_iter().flatten();
    media.map(|(name, media)| format!("{name} {}", media["schema"])).collect::<Vec<_>>().join(", ")
}

/// Progenitor takes one type for all errors of an operation.
#[test]
fn errors_of_an_operation_have_one_type() {
    let mut problems = Vec::new();
    for (name, operation) in operations() {
        let responses = operation["responses"].as_object().expect("responses");
        let errors = responses.iter().filter(|(code, _)| code.starts_with(['4', '5']));
        let types: BTreeSet<String> = errors.map(|(_, response)| shape(&resolved(response)["content"])).collect();
        if types.len() > 1 {
            problems.push(format!("{name}: {types:?}"));
        }
    }
    check(&problems);
}

/// A client that reads an object, changes a field and sends it back must not remove fields that the document does not list.
#[test]
fn stored_objects_keep_unknown_fields_at_every_depth() {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<String> =
        podberth::wire::kinds::shared().map(podberth::wire::kinds::StoredKind::schema).collect();
    waiting.push("PolicyDocument".to_owned());
    while let Some(name) = waiting.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let schema = &DOCUMENTS.v3_0["components"]["schemas"][&name];
        if schema["type"] == "object" && schema.get("additionalProperties").is_none() {
            problems.push(name);
        }
        let text = schema.to_string();
        let references = text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
        waiting.extend(references.map(str::to_owned));
    }
    check(&problems);
}

/// The registration of a rule is the one place in which an argument is declared.
#[test]
fn every_declared_argument_is_published_with_its_meaning() {
    let schemas = &DOCUMENTS.v3_1["components"]["schemas"];
    let of =
        |schema: &'static str, arguments: Vec<&'static dyn Declared>| arguments.into_iter().map(move |a| (schema, a));
    let entries = of("PolicyPredicateArgument", predicate_arguments().collect())
        .chain(of("PolicyPriorityArgument", priority_arguments().collect()));
    let mut problems = Vec::new();
    for (schema, argument) in entries.chain(of("PluginArguments", plugin_arguments().collect())) {
        let property = &schemas[schema]["properties"][argument.name()];
        let component = property["$ref"].as_str().and_then(|target| schemas.get(target.rsplit('/').next()?));
        let texts =
            [Some(property), component].into_iter().flatten().filter_map(|schema| schema["description"].as_str());
        if !texts.into_iter().any(|text| text.contains(argument.help())) {
            problems.push(format!("{schema}: {} is missing or not explained", argument.name()));
        }
    }
    check(&problems);
}

#[test]
fn descriptions_are_free_of_rustdoc_links() {
    let text = DOCUMENTS.v3_0.to_string();
    let links: Vec<&str> = text.match_indices("[`").filter_map(|(at, _)| text.get(at..at + 40)).collect();
    assert!(links.is_empty(), "{links:?}");
}

/// A value of a schema with all of its properties.
fn sample(schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str()) {
        return sample(DOCUMENTS.v3_0.pointer(name.trim_start_matches('#')).expect("the reference leads somewhere"));
    }
    match schema["type"].as_str() {
        Some("array") => Value::Array(vec![sample(&schema["items"])]),
        Some("object") if schema.get("properties").is_some() => {
            let properties = schema["properties"].as_object().expect("properties");
            Value::Object(properties.iter().map(|(name, property)| (name.clone(), sample(property))).collect())
        }
        Some("boolean") => Value::Bool(true),
        Some("integer") => Value::from(1),
        Some("string") => Value::from("x"),
        _ => Value::Object(Map::new()),
    }
}

/// The published shape of policies names no field that is not read.
#[test]
fn every_field_of_the_policy_schemas_is_read() {
    let whole = sample(&DOCUMENTS.v3_0["components"]["schemas"]["PolicyDocument"]);
    let common = ["kind", "apiVersion", "extenders", "profiles"];
    let of = |keep: &dyn Fn(&str) -> bool, kind: &str, version: &str| {
        let fields = whole.as_object().expect("an object").iter().filter(|(name, _)| keep(name));
        let mut document: Map<String, Value> = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
        document.insert("kind".into(), kind.into());
        document.insert("apiVersion".into(), version.into());
        Value::Object(document).to_string()
    };
    let policy = of(&|name| name != "profiles", "Policy", "v1");
    // A KubeSchedulerConfiguration spells one field of its extenders otherwise.
    let configuration =
        of(&|name| common.contains(&name), "KubeSchedulerConfiguration", "kubescheduler.config.k8s.io/v1")
            .replace("enableHttps", "enableHTTPS");
    for text in [policy, configuration] {
        let faults = podberth::wire::policy::parse(&text).expect_err("the values are made up").to_string();
        assert!(!faults.contains("unknown field"), "{faults}");
    }
}

#[test]
fn fields_of_requests_are_those_that_are_known() {
    let known = include_str!("../crates/wire/src/validation/fields.txt");
    let mut checked = 0;
    for (name, fields) in known.lines().filter_map(|line| line.strip_prefix('!')?.split_once(':')) {
        let schema = &DOCUMENTS.v3_1["components"]["schemas"][name]["properties"];
        let Some(properties) = schema.as_object() else { continue };
        let known: BTreeSet<&str> =
            fields.split_whitespace().filter_map(|field| field.split(['=', ':']).next()).collect();
        let missing: Vec<&String> = properties.keys().filter(|field| !known.contains(&***field)).collect();
        assert!(missing.is_empty(), "fields.txt, {name}: {missing:?} are refused as unknown");
        checked += 1;
    }
    assert!(checked >= 3, "{checked}");
}
