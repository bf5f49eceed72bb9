//! Templates of pods, under the name of a workload.

use serde_json::{Value, value::RawValue};

use crate::{asked, fault::Cause};
use podberth_core::federation::failover::PLACEMENT;

/// The name of pods whose template has none.
const UNNAMED: &str = "replica";

/// The pod of a template, in a namespace and under a name; both are the template's own where they are not told. `part`: the component that it is of.
///
/// # Errors
/// In one line, if it is no template.
pub fn named(template: &RawValue, name: Option<&str>, part: &str, namespace: &str) -> Result<Box<RawValue>, String> {
    let told = |causes: Vec<Cause>| {
        causes.first().map_or_else(String::new, |cause| format!("{}: {}", cause.field, cause.message))
    };
    let pod = asked::pod(template.get()).map_err(told)?;
    let mut pod: Value = serde_json::from_str(&pod.json).map_err(|error| error.to_string())?;
    if !pod.is_object() {
        return Err("must be an object".into());
    }
    if !pod["metadata"].is_object() {
        pod["metadata"] = Value::Object(serde_json::Map::new());
    }
    let metadata = &mut pod["metadata"];
    let has = |metadata: &Value, field: &str| metadata[field].as_str().is_some_and(|text| !text.is_empty());
    if name.is_some() || !has(metadata, "name") {
        let name = name.unwrap_or(UNNAMED);
        metadata["name"] = if part.is_empty() { name.into() } else { format!("{name}-{part}").into() };
    }
    if !namespace.is_empty() && !has(metadata, "namespace") {
        metadata["namespace"] = namespace.into();
    }
    serde_json::value::to_raw_value(&pod).map_err(|error| error.to_string())
}

/// The pod of a template of [`named`], parsed, with a number, as a placement makes it; and its name as `namespace/name`.
///
/// # Errors
/// If it is no object.
pub fn numbered(template: &Value, placement: &str, number: usize) -> Result<(Box<RawValue>, String), String> {
    let mut pod = template.clone();
    let name = format!("{}-{placement}-{number}", pod["metadata"]["name"].as_str().unwrap_or(UNNAMED));
    pod["metadata"]["name"] = name.as_str().into();
    if !pod["metadata"]["labels"].is_object() {
        pod["metadata"]["labels"] = Value::Object(serde_json::Map::new());
    }
    pod["metadata"]["labels"][PLACEMENT] = placement.into();
    let namespace = pod["metadata"]["namespace"].as_str().filter(|text| !text.is_empty()).unwrap_or("default");
    let full = format!("{namespace}/{name}");
    Ok((serde_json::value::to_raw_value(&pod).map_err(|error| error.to_string())?, full))
}
