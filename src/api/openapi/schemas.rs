//! Additions to schemas that generators of SDKs need and that the types do not express.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// Describes such fields. Some generators keep them only where they have a schema that is more than `true`.
const KEPT: &str = "A field that is kept as it came.";

/// Marks the objects that can be reached from `roots` as having fields besides those listed, so that a client that reads a stored object,
/// changes a field and sends it back keeps the rest.
pub(super) fn keep_unknown_fields<'a>(schemas: &mut Value, roots: impl Iterator<Item = &'a str>) {
    let mut waiting: Vec<String> = roots.map(str::to_owned).collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        let Some(schema) = schemas.get_mut(&name) else { continue };
        if !seen.insert(name) {
            continue;
        }
        references(schema, &mut waiting);
        if let Some(schema) = schema.as_object_mut().filter(|s| s.get("type").is_some_and(|kind| kind == "object")) {
            schema.entry("additionalProperties").or_insert_with(|| json!({"description": KEPT}));
        }
    }
}

/// The components that a schema refers to.
fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(map) => {
            let name = map.get("$ref").and_then(Value::as_str).and_then(|target| target.rsplit('/').next());
            found.extend(name.map(str::to_owned));
            map.values().for_each(|inner| references(inner, found));
        }
        _ => {}
    }
}

/// Names the values of enums that share a value with another one: in Go all names of a package are in one scope.
pub(super) fn tell_enums_apart(schemas: &mut Value) {
    let Some(schemas) = schemas.as_object_mut() else { return };
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for value in schemas.values().flat_map(enum_values) {
        *uses.entry(value.to_uppercase()).or_default() += 1;
    }
    for (name, schema) in schemas {
        let values = enum_values(schema);
        if values.iter().any(|value| uses.get(&value.to_uppercase()).is_some_and(|count| *count > 1)) {
            let names = values.iter().map(|value| Value::from(format!("{name}{value}"))).collect();
            if let Some(schema) = schema.as_object_mut() {
                schema.insert("x-enum-varnames".into(), names);
            }
        }
    }
}

fn enum_values(schema: &Value) -> Vec<String> {
    let values = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    values.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_reachable_from_the_roots_keep_unknown_fields() {
        let mut schemas = json!({
            "Pod": {"type": "object", "properties": {"spec": {"$ref": "#/components/schemas/Spec"}}},
            "Spec": {"type": "object", "properties": {"pods": {"type": "array", "items": {"$ref": "#/components/schemas/Pod"}}}},
            "Map": {"type": "object", "additionalProperties": {"type": "string"}},
            "Report": {"type": "object", "properties": {"pod": {"$ref": "#/components/schemas/Pod"}}},
        });
        keep_unknown_fields(&mut schemas, ["Pod", "Map", "Absent"].into_iter());
        assert_eq!(schemas["Spec"]["additionalProperties"], json!({"description": KEPT}));
        assert_eq!(schemas["Pod"]["additionalProperties"], json!({"description": KEPT}));
        assert_eq!(schemas["Map"]["additionalProperties"], json!({"type": "string"}));
        assert_eq!(schemas["Report"].get("additionalProperties"), None);
    }

    #[test]
    fn enums_that_share_a_value_get_names_of_their_own() {
        let mut schemas = json!({"A": {"enum": ["Bound", "Free"]}, "B": {"enum": ["bound"]}, "C": {"enum": ["Other"]}});
        tell_enums_apart(&mut schemas);
        assert_eq!(schemas["A"]["x-enum-varnames"], json!(["ABound", "AFree"]));
        assert_eq!(schemas["B"]["x-enum-varnames"], json!(["Bbound"]));
        assert_eq!(schemas["C"].get("x-enum-varnames"), None);
    }
}
