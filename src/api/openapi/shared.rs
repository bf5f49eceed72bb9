//! Parameters and errors that many operations have are written once, as components.

use std::collections::{BTreeMap, HashMap};

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::api::error::Reason;

/// The number of places from which on a part becomes a component.
const OFTEN: usize = 4;

/// Where the parts of an operation go.
const PARAMETERS: &str = "parameters";
const RESPONSES: &str = "responses";

/// The forms that a part has in different operations, each with its number of places.
type Forms = HashMap<String, (usize, Value)>;

/// Moves the common parts of operations to the components.
pub(super) fn share(document: &mut Value) {
    let mut found: BTreeMap<(&str, String), Forms> = BTreeMap::new();
    each(document, &mut |place, name, part| {
        let forms = found.entry((place, name)).or_default();
        forms.entry(part.to_string()).or_insert_with(|| (0, part.clone())).0 += 1;
    });
    let mut components: BTreeMap<(&str, String), Value> = BTreeMap::new();
    for (key, forms) in found {
        // Of several forms of a name the commonest one is shared.
        let commonest = forms.into_iter().max_by(|a, b| (a.1.0, &b.0).cmp(&(b.1.0, &a.0)));
        if let Some((_, (_, part))) = commonest.filter(|(_, (times, _))| *times >= OFTEN) {
            components.insert(key, part);
        }
    }
    each(document, &mut |place, name, part| {
        if components.get(&(place, name.clone())) == Some(part) {
            *part = json!({"$ref": format!("#/components/{place}/{name}")});
        }
    });
    let Some(all) = document.get_mut("components").and_then(Value::as_object_mut) else { return };
    for ((place, name), part) in components {
        let group = all.entry(place).or_insert_with(|| Value::Object(Map::new()));
        if let Some(group) = group.as_object_mut() {
            group.insert(name, part);
        }
    }
}

/// Visits the parameters and errors of all operations: where they go, the name that they get, and themselves.
fn each(document: &mut Value, visit: &mut dyn FnMut(&'static str, String, &mut Value)) {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut);
    let operations = paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    for operation in operations {
        for parameter in operation.get_mut(PARAMETERS).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(name) = parameter.get("name").and_then(Value::as_str) {
                visit(PARAMETERS, name.to_owned(), parameter);
            }
        }
        for (code, response) in operation.get_mut(RESPONSES).and_then(Value::as_object_mut).into_iter().flatten() {
            if let Some(reason) = error(code) {
                visit(RESPONSES, reason.word.to_owned(), response);
            }
        }
    }
}

/// The error that a code stands for.
fn error(code: &str) -> Option<Reason> {
    let code = StatusCode::from_bytes(code.as_bytes()).ok()?;
    Reason::of_code(code).filter(|_| code.is_client_error() || code.is_server_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_operations_have_is_written_once() {
        let missing = json!({"description": "There is no such object."});
        let named = json!({"name": "name", "in": "path"});
        let operation = |description: &str, response: &Value| json!({"parameters": [named, {"name": "dryRun", "description": description}], "responses": {"200": missing, "404": response}});
        let paths: Map<String, Value> =
            (0..5).map(|i| (format!("/{i}"), json!({"get": operation("common", &missing)}))).collect();
        let mut document = json!({"paths": paths, "components": {"schemas": {}}});
        document["paths"]["/rare"] = json!({"get": operation("rare", &json!({"description": "plain"}))});
        share(&mut document);
        let reference = |to: &str| json!({"$ref": format!("#/components/{to}")});
        let common = json!({"parameters": [reference("parameters/name"), reference("parameters/dryRun")],
            "responses": {"200": missing, "404": reference("responses/NotFound")}});
        assert_eq!(document["paths"]["/0"]["get"], common);
        let rare = json!({"parameters": [reference("parameters/name"), {"name": "dryRun", "description": "rare"}],
            "responses": {"200": missing, "404": {"description": "plain"}}});
        assert_eq!(document["paths"]["/rare"]["get"], rare);
        assert_eq!(document["components"]["responses"], json!({"NotFound": missing}));
        assert_eq!(document["components"]["parameters"]["dryRun"]["description"], "common");
    }
}
