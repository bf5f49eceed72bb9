//! Writes the schemas of the stored kinds, their lists, and all that they refer to.

use std::{env, error::Error, fs::File, io::Write as _, path::Path};

use flate2::{Compression, write::GzEncoder};
use k8s_openapi::{
    api::{
        apps, authentication, authorization, autoscaling, batch, coordination, core, events, networking, node, policy,
        rbac, resource, scheduling, storage,
    },
    apimachinery::pkg::apis::meta,
    schemars::{JsonSchema, SchemaGenerator},
};
use serde_json::{Map, Value, json};

/// Adds types; returns their names.
macro_rules! stored {
    ($generator:ident: $($kind:ty),* $(,)?) => {
        [$({ add::<$kind>(&mut $generator); <$kind as JsonSchema>::schema_name().into_owned() }),*]
    };
}

/// Adds a type.
fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let mut generator = SchemaGenerator::default();
    let stored = stored!(generator:
        core::v1::Namespace, core::v1::Node, core::v1::Pod, core::v1::Service, core::v1::ReplicationController,
        core::v1::PersistentVolume, core::v1::PersistentVolumeClaim, core::v1::ServiceAccount, core::v1::ConfigMap,
        core::v1::LimitRange, core::v1::ResourceQuota, core::v1::Event, apps::v1::Deployment, apps::v1::DaemonSet,
        apps::v1::ReplicaSet, apps::v1::StatefulSet, batch::v1::Job, autoscaling::v2::HorizontalPodAutoscaler,
        networking::v1::NetworkPolicy, rbac::v1::Role, rbac::v1::ClusterRole, rbac::v1::RoleBinding,
        rbac::v1::ClusterRoleBinding, coordination::v1::Lease, events::v1::Event, policy::v1::PodDisruptionBudget,
        scheduling::v1::PriorityClass, node::v1::RuntimeClass, storage::v1::StorageClass, storage::v1::CSIDriver,
        storage::v1::CSINode, storage::v1::CSIStorageCapacity, storage::v1::VolumeAttachment, resource::v1::ResourceClaim,
        resource::v1::ResourceClaimTemplate, resource::v1::ResourceSlice, resource::v1::DeviceClass,
    );
    add::<core::v1::Binding>(&mut generator);
    add::<policy::v1::Eviction>(&mut generator);
    add::<autoscaling::v1::Scale>(&mut generator);
    add::<authorization::v1::SelfSubjectAccessReview>(&mut generator);
    add::<authorization::v1::SelfSubjectRulesReview>(&mut generator);
    add::<authorization::v1::SubjectAccessReview>(&mut generator);
    add::<authorization::v1::LocalSubjectAccessReview>(&mut generator);
    add::<authentication::v1::SelfSubjectReview>(&mut generator);
    add::<authentication::v1::TokenReview>(&mut generator);
    add::<meta::v1::ListMeta>(&mut generator);
    add::<meta::v1::DeleteOptions>(&mut generator);
    add::<meta::v1::Status>(&mut generator);

    let mut definitions = generator.take_definitions(true);
    for (name, schema) in &mut definitions {
        complete(name, schema);
    }
    for name in stored {
        definitions.insert(format!("{name}List"), list(&name));
    }
    let path = Path::new(&env::var("OUT_DIR")?).join("definitions.json.gz");
    let mut out = GzEncoder::new(File::create(path)?, Compression::best());
    out.write_all(Value::Object(definitions).to_string().as_bytes())?;
    out.finish()?;
    Ok(())
}

/// The schema of a list.
fn list(of: &str) -> Value {
    let kind = of.rsplit('.').next().unwrap_or_default();
    let text = |description: &str| json!({"type": "string", "description": description});
    let items =
        json!({"type": "array", "items": {"$ref": format!("#/definitions/{of}")}, "description": "The objects."});
    let metadata = json!({"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta", "description": "Where the list stands."});
    json!({
        "type": "object", "description": format!("{kind}List is a list of {kind}."), "required": ["items"],
        "properties": {"apiVersion": text("The group and version."), "items": items, "kind": text("The kind."), "metadata": metadata},
    })
}

/// Makes of a schema of Rust types one of JSON as the API server publishes it.
fn complete(name: &str, schema: &mut Value) {
    refer(schema);
    let Some(fields) = schema.as_object_mut() else { return };
    match name.rsplit('.').next() {
        Some("IntOrString") => replace(fields, json!({"type": "string", "format": "int-or-string"})),
        Some("Quantity") => replace(fields, json!({"type": "string"})),
        Some("FieldsV1" | "RawExtension") => replace(fields, json!({"type": "object"})),
        _ => {}
    }
    // The crate holds metadata of objects to be always there.
    let properties = fields.get("properties").and_then(Value::as_object);
    let is_object =
        properties.is_some_and(|all| ["kind", "apiVersion", "metadata"].iter().all(|name| all.contains_key(*name)));
    if is_object
        && name != "io.k8s.api.core.v1.Event"
        && let Some(required) = fields.get_mut("required").and_then(Value::as_array_mut)
    {
        required.retain(|name| name != "metadata");
        if required.is_empty() {
            fields.remove("required");
        }
    }
}

fn replace(fields: &mut Map<String, Value>, by: Value) {
    fields.retain(|name, _| name == "description");
    if let Value::Object(by) = by {
        fields.extend(by);
    }
}

/// Points references to where they will be.
fn refer(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(to) if name == "$ref" => *to = to.replace("#/$defs/", "#/definitions/"),
                    value => refer(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(refer),
        _ => {}
    }
}
