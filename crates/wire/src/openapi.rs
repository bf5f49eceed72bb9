//! The OpenAPI documents of the stored kinds, as kubectl reads them to explain, validate and patch.
//!
//! Schemas come from [`podberth_schemas`]; groups, kinds and paths from the table of kinds; the rules for lists from the table of
//! patches. The documents do not depend on the state.
//!
//! Source: `kube-openapi/pkg/builder` and `builder3` (documents), `apiserver/pkg/endpoints/installer.go` (operations),
//! `kubectl/pkg/util/openapi` (what kubectl reads).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use podberth_core::access::OWN;

use crate::{
    discovery::{self, TAKEN, Taken},
    kinds::{self, StoredKind},
};

mod gnostic;
mod operations;
mod rules;

pub use gnostic::encode as to_protobuf;

/// The version that the documents name.
const RELEASE: &str = "v1.34.1";

/// Schemas by their names.
type Schemas = Map<String, Value>;

/// The documents could not be made: the schemas are damaged.
#[derive(Debug, thiserror::Error)]
#[error("the schemas of Kubernetes cannot be read: {0}")]
pub struct SchemaError(String);

/// The schemas of all kinds, from which documents are made.
#[derive(Debug)]
pub struct Documents {
    schemas: Schemas,
}

impl Documents {
    /// Reads the schemas.
    ///
    /// # Errors
    /// If they are damaged.
    pub fn new() -> Result<Self, SchemaError> {
        let text = podberth_schemas::definitions().map_err(|error| SchemaError(error.to_string()))?;
        let mut schemas: Schemas = serde_json::from_str(&text).map_err(|error| SchemaError(error.to_string()))?;
        for kind in kinds::shared().filter(|kind| is_own(kind)) {
            schemas.insert(schema_name(kind), own(kind));
            schemas.insert(format!("{}List", schema_name(kind)), own_list(kind));
        }
        for (name, schema) in &mut schemas {
            rules::mark(name, schema);
        }
        for kind in kinds::shared() {
            for (name, word) in [
                (schema_name(kind), kind.kind.to_owned()),
                (format!("{}List", schema_name(kind)), format!("{}List", kind.kind)),
            ] {
                name_kind(&mut schemas, &name, kind.group, kind.version, &word);
            }
        }
        let taken = TAKEN.iter().map(|taken| (taken.group, taken.version, taken.kind));
        for (group, version, kind) in OF_SUBRESOURCES.iter().copied().chain(taken) {
            name_kind(&mut schemas, &name_of(group, version, kind), group, version, kind);
        }
        for (name, kind) in [(DELETE_OPTIONS, "DeleteOptions"), (STATUS, "Status")] {
            name_kind(&mut schemas, name, "", "v1", kind);
        }
        Ok(Self { schemas })
    }

    /// The document of all groups, in OpenAPI 2.0.
    pub fn v2(&self) -> Value {
        let mut paths: Schemas =
            kinds::shared().flat_map(|kind| operations::paths(kind, operations::Version::V2)).collect();
        paths.extend(TAKEN.iter().map(|taken| operations::path_of(taken, operations::Version::V2)));
        json!({
            "swagger": "2.0", "info": {"title": "Kubernetes", "version": RELEASE}, "paths": paths,
            "definitions": self.schemas,
        })
    }

    /// The document of a group version, in OpenAPI 3.0; `None` if it is not served.
    pub fn v3(&self, group: &str, version: &str) -> Option<Value> {
        let kinds: Vec<&StoredKind> =
            kinds::shared().filter(|kind| kind.group == group && kind.version == version).collect();
        let taken: Vec<&Taken> =
            TAKEN.iter().filter(|taken| taken.group == group && taken.version == version).collect();
        if kinds.is_empty() && taken.is_empty() {
            return None;
        }
        let mut paths: Schemas =
            kinds.iter().flat_map(|kind| operations::paths(kind, operations::Version::V3)).collect();
        paths.extend(taken.iter().map(|taken| operations::path_of(taken, operations::Version::V3)));
        let mut names: Vec<String> = vec![DELETE_OPTIONS.into(), STATUS.into()];
        names.extend(taken.iter().map(|taken| name_of(taken.group, taken.version, taken.kind)));
        names.extend(kinds.iter().flat_map(|kind| [schema_name(kind), format!("{}List", schema_name(kind))]));
        for kind in &kinds {
            let others = kind.subresources.iter().map(|subresource| subresource.answers(kind));
            names.extend(others.map(|(group, version, kind)| name_of(group, version, kind)));
        }
        let schemas = self.reached(names).into_iter().filter_map(|name| {
            let schema = self.schemas.get(&name)?;
            Some((name, in_v3(schema)))
        });
        let schemas: Schemas = schemas.collect();
        Some(json!({
            "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": RELEASE}, "paths": paths,
            "components": {"schemas": schemas},
        }))
    }

    /// The names of schemas, with those that they refer to.
    fn reached(&self, mut left: Vec<String>) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        while let Some(name) = left.pop() {
            if let Some(schema) = self.schemas.get(&name)
                && found.insert(name)
            {
                references(schema, &mut left);
            }
        }
        found
    }
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";

/// Kinds that only subresources have: group, version, kind.
const OF_SUBRESOURCES: &[(&str, &str, &str)] = &[("policy", "v1", "Eviction"), ("autoscaling", "v1", "Scale")];

/// The group versions that have documents, as their paths: `api/v1`, `apis/apps/v1`. Podberth's own operations have a document of their own.
pub fn group_versions() -> Vec<(&'static str, &'static str, String)> {
    let of_group = |group: discovery::Group| {
        let name = group.name;
        group.versions.into_iter().map(move |version| {
            let path = if name.is_empty() { format!("api/{version}") } else { format!("apis/{name}/{version}") };
            (name, version, path)
        })
    };
    discovery::groups().into_iter().filter(|group| group.name != OWN).flat_map(of_group).collect()
}

/// `true` if Kubernetes does not know the kind.
fn is_own(kind: &StoredKind) -> bool {
    kind.is_custom()
}

/// The name of a kind's schema: `io.k8s.api.core.v1.Pod`.
fn schema_name(kind: &StoredKind) -> String {
    name_of(kind.group, kind.version, kind.kind)
}

fn name_of(group: &str, version: &str, kind: &str) -> String {
    if let Some(own) = group.strip_suffix(".podberth.io") {
        return format!("io.podberth.{own}.{version}.{kind}");
    }
    if group == kinds::VERTICAL {
        return format!("io.k8s.autoscaling.{version}.{kind}");
    }
    let group = if group.is_empty() { "core" } else { group.split('.').next().unwrap_or_default() };
    format!("io.k8s.api.{group}.{version}.{kind}")
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/definitions/{name}")})
}

/// The schema of one of our own kinds.
fn own(kind: &StoredKind) -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let open = |description: &str| json!({"type": "object", "description": description, "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "type": "object", "description": format!("{} of the group {}.", kind.kind, kind.group),
        "properties": {
            "apiVersion": text("The group and version."), "kind": text("The kind."),
            "metadata": reference(&format!("{META}.ObjectMeta")),
            "spec": open("The desired state."), "status": open("The state as it was last seen."),
        },
    })
}

fn own_list(kind: &StoredKind) -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "type": "object", "description": format!("{}List is a list of {}.", kind.kind, kind.kind), "required": ["items"],
        "properties": {
            "apiVersion": text("The group and version."), "kind": text("The kind."),
            "items": {"type": "array", "items": reference(&schema_name(kind)), "description": "The objects."},
            "metadata": reference(&format!("{META}.ListMeta")),
        },
    })
}

/// Notes the kind whose objects a schema describes.
fn name_kind(schemas: &mut Schemas, name: &str, group: &str, version: &str, kind: &str) {
    if let Some(schema) = schemas.get_mut(name).and_then(Value::as_object_mut) {
        let named = json!([{"group": group, "kind": kind, "version": version}]);
        schema.insert("x-kubernetes-group-version-kind".into(), named);
    }
}

/// Adds the names that a schema refers to.
fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            for (field, value) in fields {
                match value.as_str().filter(|_| field == "$ref") {
                    Some(to) => found.extend(to.strip_prefix("#/definitions/").map(str::to_owned)),
                    None => references(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// A schema in OpenAPI 3.0: a reference stands alone, and a value of two types says so.
fn in_v3(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let mut fields: Schemas = fields.iter().map(|(name, value)| (name.clone(), in_v3(value))).collect();
            if let Some(Value::String(to)) = fields.get_mut("$ref") {
                *to = to.replace("#/definitions/", "#/components/schemas/");
                if fields.len() > 1
                    && let Some(reference) = fields.remove("$ref")
                {
                    fields.insert("allOf".into(), json!([{"$ref": reference}]));
                }
            }
            if fields.get("format").is_some_and(|format| format == "int-or-string") {
                fields.remove("type");
                fields.insert("oneOf".into(), json!([{"type": "integer"}, {"type": "string"}]));
            }
            fields.into()
        }
        Value::Array(values) => values.iter().map(in_v3).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests;
