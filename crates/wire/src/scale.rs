//! `Scale` of `autoscaling/v1`: the number of replicas of a workload, as autoscalers and `kubectl scale` read and write it.
//!
//! Source: `pkg/registry/apps/deployment/storage/storage.go` (`scaleFromDeployment`, `scaleUpdatedObjectInfo`) and those of the other workloads,
//! `pkg/apis/autoscaling/validation/validation.go` (`ValidateScale`), `apimachinery/pkg/apis/meta/v1/helpers.go` (`FormatLabelSelector`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    decode::{self, DecodeError},
    document::Document,
    fault::{Cause, Faults, Path},
    patch::PatchError,
};

/// Its group, version and kind.
pub const API_VERSION: &str = "autoscaling/v1";
/// See [`API_VERSION`].
pub const KIND: &str = "Scale";

/// The part of a workload that its scale has.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Workload {
    metadata: Map<String, Value>,
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    replicas: Option<i32>,
    selector: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    replicas: Option<i32>,
}

/// A scale that was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sent {
    /// `Scale`
    pub kind: String,
    /// `autoscaling/v1`
    pub api_version: String,
    /// The workload's name, uid and revision.
    pub metadata: SentMetadata,
    /// The wanted state.
    pub spec: SentSpec,
}

/// The metadata of a scale that was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SentMetadata {
    /// As in the path.
    pub name: String,
    /// As in the path.
    pub namespace: String,
    /// That of the workload, if it matters.
    pub uid: String,
    /// The revision on which the scale is based, if it matters.
    pub resource_version: String,
}

/// The wanted state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SentSpec {
    /// Number of pods.
    pub replicas: i32,
}

impl Sent {
    /// The faults of the scale.
    pub fn faults(&self) -> Vec<Cause> {
        let mut faults = Faults::default();
        if self.spec.replicas < 0 {
            let at = Path::ROOT.child("spec");
            faults.invalid(&at.child("replicas"), self.spec.replicas, "must be greater than or equal to 0");
        }
        faults.into_causes()
    }
}

/// A scale that is applied: a configuration of `autoscaling/v1` Scale with a number of replicas.
///
/// # Errors
/// If it is of another kind, has managed fields, or leaves the number of replicas out.
pub fn applied(config: Map<String, Value>) -> Result<Sent, PatchError> {
    let config = Value::Object(config);
    let text = |field: &str| config[field].as_str().unwrap_or_default();
    if (text("apiVersion"), text("kind")) != (API_VERSION, KIND) {
        let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
        let why = format!("invalid object type: {group}/{version}, Kind={}", text("kind"));
        return Err(PatchError::BadRequest(why));
    }
    if !config["metadata"]["managedFields"].is_null() {
        return Err(PatchError::BadRequest("metadata.managedFields must be nil".into()));
    }
    if config["spec"]["replicas"].is_null() {
        let why = "a scale is applied with a number of replicas: set spec.replicas, or leave the scale alone";
        return Err(PatchError::BadRequest(why.into()));
    }
    Ok(decode::from_slice(config.to_string().as_bytes())?)
}

/// The scale of a stored workload, at a revision.
///
/// # Errors
/// If a field has the wrong type.
pub fn of(body: &[u8], revision: u64) -> Result<Document, DecodeError> {
    let workload: Workload = decode::from_slice(body)?;
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "creationTimestamp"] {
        if let Some(value) = workload.metadata.get(field) {
            metadata.insert(field.into(), value.clone());
        }
    }
    metadata.insert("resourceVersion".into(), revision.to_string().into());
    let mut status = json!({"replicas": workload.status.replicas.unwrap_or(0)});
    let selector = selector(&workload.spec.selector);
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    let scale = json!({
        "kind": KIND, "apiVersion": API_VERSION, "metadata": metadata,
        // A workload that does not say otherwise has one pod.
        "spec": {"replicas": workload.spec.replicas.unwrap_or(1)}, "status": status,
    });
    Document::parse(scale.to_string().as_bytes())
}

/// A selector as a text, by key: of labels (`{"app": "web"}`), or a LabelSelector.
fn selector(selector: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let equal = |labels: &Map<String, Value>| -> Vec<(String, String)> {
        labels.iter().map(|(key, value)| (key.clone(), format!("{key}={}", text(value)))).collect()
    };
    let Value::Object(fields) = selector else { return String::new() };
    let is_map = !fields.is_empty() && fields.values().all(Value::is_string);
    let mut terms: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut add = |(key, term): (String, String)| terms.entry(key).or_default().push(term);
    if is_map {
        equal(fields).into_iter().for_each(&mut add);
    }
    fields.get("matchLabels").and_then(Value::as_object).map(equal).into_iter().flatten().for_each(&mut add);
    for expression in fields.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        let key = text(&expression["key"]);
        let mut values: Vec<String> = expression["values"].as_array().into_iter().flatten().map(text).collect();
        values.sort();
        let values = values.join(",");
        let term = match expression["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("Exists") => key.clone(),
            Some("DoesNotExist") => format!("!{key}"),
            _ => continue,
        };
        add((key, term));
    }
    terms.into_values().flatten().collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_written_by_key() {
        let cases = [
            (json!({"app": "web", "a": "b"}), "a=b,app=web"),
            (json!({"matchLabels": {"app": "web"}}), "app=web"),
            (
                json!({"matchLabels": {"m": "n"}, "matchExpressions": [
                    {"key": "z", "operator": "In", "values": ["b", "a"]}, {"key": "y", "operator": "NotIn", "values": ["c"]},
                    {"key": "b", "operator": "Exists"}, {"key": "a", "operator": "DoesNotExist"}]}),
                "!a,b,m=n,y notin (c),z in (a,b)",
            ),
            (json!({}), ""),
            (json!(null), ""),
        ];
        for (sent, text) in cases {
            assert_eq!(selector(&sent), text, "{sent}");
        }
    }

    #[test]
    fn a_scale_has_the_identity_and_the_replicas_of_its_workload() {
        let body = json!({"metadata": {"name": "a", "namespace": "n", "uid": "u", "labels": {"x": "y"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}}, "status": {"replicas": 2}});
        let scale = of(body.to_string().as_bytes(), 7).expect("a workload").to_json();
        let scale: Value = serde_json::from_str(&scale).expect("JSON");
        assert_eq!(
            scale,
            json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "spec": {"replicas": 3},
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7"},
            "status": {"replicas": 2, "selector": "app=web"}})
        );
    }

    #[test]
    fn a_scale_is_applied_as_a_scale_with_replicas() {
        let applied = |config: Value| applied(config.as_object().cloned().unwrap_or_default());
        let scale = |spec: Value| json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}, "spec": spec});
        assert_eq!(applied(scale(json!({"replicas": 3}))).expect("a scale").spec.replicas, 3);
        assert!(applied(scale(json!({}))).is_err());
        let workload = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 3}});
        let why = PatchError::BadRequest("invalid object type: apps/v1, Kind=Deployment".into());
        assert_eq!(applied(workload), Err(why));
    }

    #[test]
    fn a_negative_number_of_replicas_is_refused() {
        let sent: Sent = serde_json::from_value(json!({"spec": {"replicas": -1}})).expect("a scale");
        assert_eq!(sent.faults()[0].field, "spec.replicas");
    }
}
