//! OpenAPI 3.1 → 3.0.3: the newer version's schemas are JSON Schema, the older one's a dialect of it.

use serde_json::{Map, Value, json};

/// Rewrites a 3.1 document as 3.0.3.
pub(super) fn from_v31(mut document: Value) -> Value {
    object(&mut document);
    if let Some(root) = document.as_object_mut() {
        root.insert("openapi".into(), "3.0.3".into());
        root.remove("jsonSchemaDialect");
        root.remove("webhooks");
        without_certificates(root);
        if let Some(info) = root.get_mut("info").and_then(Value::as_object_mut) {
            info.remove("summary");
            if let Some(license) = info.get_mut("license").and_then(Value::as_object_mut) {
                license.remove("identifier");
            }
        }
    }
    document
}

/// 3.0 has no word for certificates of clients.
fn without_certificates(root: &mut Map<String, Value>) {
    let schemes = root.get_mut("components").and_then(|components| components.get_mut("securitySchemes"));
    let Some(schemes) = schemes.and_then(Value::as_object_mut) else { return };
    let is_known = |scheme: &Value| scheme["type"] != "mutualTLS";
    let unknown: Vec<String> =
        schemes.iter().filter(|(_, scheme)| !is_known(scheme)).map(|(name, _)| name.clone()).collect();
    schemes.retain(|_, scheme| is_known(scheme));
    if let Some(Value::Array(ways)) = root.get_mut("security") {
        ways.retain(|way| unknown.iter().all(|name| way.get(name).is_none()));
    }
}

/// Rewrites any object of the document: only schemas have the keywords that matter.
fn object(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(object),
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                match key.as_str() {
                    // Data, in which a keyword's name means nothing.
                    "example" | "examples" | "default" | "enum" | "const" | "value" | "mapping" => {}
                    // Maps by the user's names, in which a keyword's name is only a name.
                    "properties" | "patternProperties" | "schemas" | "responses" | "parameters" | "headers"
                    | "content" | "requestBodies" | "securitySchemes" | "callbacks" | "links" | "paths"
                        if inner.is_object() =>
                    {
                        inner.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(object);
                    }
                    _ => object(inner),
                }
            }
            schema(map);
        }
        _ => {}
    }
}

/// Rewrites the keywords of one schema.
fn schema(map: &mut Map<String, Value>) {
    if let Some(value) = map.remove("const") {
        map.insert("enum".into(), json!([value]));
    }
    if let Some(Value::Array(examples)) = map.get("examples") {
        let first = examples.first().cloned();
        map.remove("examples");
        if let Some(first) = first {
            map.insert("example".into(), first);
        }
    }
    for (exclusive, inclusive) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if let Some(bound) = map.get(exclusive).filter(|bound| bound.is_number()).cloned() {
            map.insert(inclusive.into(), bound);
            map.insert(exclusive.into(), true.into());
        }
    }
    if let Some(encoding) = map.remove("contentEncoding") {
        map.insert("format".into(), if encoding == "base64" { "byte".into() } else { encoding });
    }
    if map.remove("contentMediaType").is_some_and(|media| media == "application/octet-stream") {
        map.entry("format").or_insert("binary".into());
    }
    if map.remove("prefixItems").is_some() || map.get("items") == Some(&Value::Bool(false)) {
        map.insert("items".into(), json!({}));
    }
    map.remove("propertyNames");
    types(map);
    without_null_branch(map);
    if let Some(Value::Array(values)) = map.get_mut("enum")
        && values.contains(&Value::Null)
    {
        values.retain(|value| !value.is_null());
        map.insert("nullable".into(), true.into());
    }
    // 3.0 ignores keys beside a `$ref`.
    if map.len() > 1 && map.get("$ref").is_some_and(Value::is_string) && !map.contains_key("in") {
        let reference = map.remove("$ref");
        map.insert("allOf".into(), json!([{ "$ref": reference }]));
    }
}

/// `type: [T, null]` → `type: T, nullable: true`; several types → any of them.
fn types(map: &mut Map<String, Value>) {
    let Some(Value::Array(listed)) = map.get("type") else { return };
    let nullable = listed.iter().any(|kind| kind == "null");
    let mut kinds: Vec<Value> = listed.iter().filter(|kind| *kind != "null").cloned().collect();
    map.remove("type");
    if kinds.len() == 1 {
        map.insert("type".into(), kinds.remove(0));
    } else if !kinds.is_empty() {
        map.insert("anyOf".into(), kinds.into_iter().map(|kind| json!({ "type": kind })).collect());
    }
    if nullable {
        map.insert("nullable".into(), true.into());
    }
}

/// `oneOf: [{type: null}, S]` → `allOf: [S], nullable: true`.
fn without_null_branch(map: &mut Map<String, Value>) {
    for keyword in ["oneOf", "anyOf"] {
        let Some(Value::Array(branches)) = map.get_mut(keyword) else { continue };
        let before = branches.len();
        branches.retain(|branch| branch.get("type") != Some(&Value::from("null")));
        if branches.len() == before {
            continue;
        }
        if branches.len() == 1
            && let Some(only) = map.remove(keyword)
        {
            map.insert("allOf".into(), only);
        }
        map.insert("nullable".into(), true.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rewritten schema.
    fn rewritten(mut schema: Value) -> Value {
        object(&mut schema);
        schema
    }

    #[test]
    fn every_keyword_has_its_older_form() {
        let table = [
            (json!({"type": ["string", "null"]}), json!({"type": "string", "nullable": true})),
            (json!({"type": ["string", "integer"]}), json!({"anyOf": [{"type": "string"}, {"type": "integer"}]})),
            (
                json!({"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/A"}]}),
                json!({"allOf": [{"$ref": "#/components/schemas/A"}], "nullable": true}),
            ),
            (json!({"const": "v1"}), json!({"enum": ["v1"]})),
            (json!({"enum": ["a", null]}), json!({"enum": ["a"], "nullable": true})),
            (json!({"type": "integer", "examples": [1, 2]}), json!({"type": "integer", "example": 1})),
            (json!({"exclusiveMinimum": 0}), json!({"exclusiveMinimum": true, "minimum": 0})),
            (json!({"type": "string", "contentEncoding": "base64"}), json!({"type": "string", "format": "byte"})),
            (json!({"$ref": "#/a", "description": "d"}), json!({"description": "d", "allOf": [{"$ref": "#/a"}]})),
            (json!({"$ref": "#/a"}), json!({"$ref": "#/a"})),
            (json!({"type": "object", "propertyNames": {"type": "string"}}), json!({"type": "object"})),
        ];
        for (newer, older) in table {
            assert_eq!(rewritten(newer.clone()), older, "{newer}");
        }
    }

    #[test]
    fn names_and_data_are_no_keywords() {
        let schema = json!({
            "properties": {"const": {"type": "string"}, "examples": {"type": ["string", "null"]}},
            "example": {"const": 1, "type": ["a", "null"]}
        });
        let expected = json!({
            "properties": {"const": {"type": "string"}, "examples": {"type": "string", "nullable": true}},
            "example": {"const": 1, "type": ["a", "null"]}
        });
        assert_eq!(rewritten(schema), expected);
    }
}
