//! Pods and policies as they are recorded: without what no decision reads, above all secrets.
//!
//! A policy that came with a request loses the keys and certificates for its extenders, and what in their addresses lets a caller in. A pod loses the
//! environments and commands of its containers, and copies of itself. What is left decides as before.

use std::collections::BTreeMap;

use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

use crate::wire::access::token;

/// The keys of an extender's credentials. Without its key a certificate is refused.
const CREDENTIALS: [&str; 2] = ["keyData", "certData"];

/// The lists of containers.
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Fields of containers that no decision reads.
const UNREAD: [&str; 8] =
    ["env", "envFrom", "command", "args", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe"];

/// Copies of a pod in its own metadata.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const MANAGED_FIELDS: &str = "managedFields";

type Fields = BTreeMap<String, Box<RawValue>>;

/// A policy without secrets; `None` if it cannot be read.
pub(super) fn policy(text: &RawValue) -> Option<Box<RawValue>> {
    let mut policy: Value = serde_json::from_str(text.get()).ok()?;
    let is_changed = purge(&mut policy);
    if is_changed { to_raw_value(&policy).ok() } else { Some(text.to_owned()) }
}

/// Takes secrets out, and tells if there were any.
fn purge(value: &mut Value) -> bool {
    match value {
        Value::Object(fields) => {
            let before = fields.len();
            fields.retain(|key, _| !CREDENTIALS.iter().any(|secret| key.eq_ignore_ascii_case(secret)));
            let is_less = fields.len() < before;
            fields.values_mut().fold(is_less, |is_changed, value| purge(value) | is_changed)
        }
        Value::Array(items) => items.iter_mut().fold(false, |is_changed, value| purge(value) | is_changed),
        Value::String(text) => {
            let public = public(text);
            let is_changed = public != *text;
            *text = public;
            is_changed
        }
        _ => false,
    }
}

/// A text without tokens, and an address without what lets a caller in: its user, tokens in its path, and its query.
fn public(text: &str) -> String {
    let text = token::masked(text);
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    let (rest, query) = rest.split_once(['?', '#']).map_or((rest, ""), |(rest, _)| (rest, "?…"));
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let authority = authority.rsplit_once('@').map_or_else(|| authority.to_owned(), |(_, host)| format!("…@{host}"));
    let mut public = format!("{scheme}://{authority}");
    let mut is_key = false;
    for part in path.into_iter().flat_map(|path| path.split('/')) {
        public.push('/');
        public.push_str(if is_key && !part.is_empty() { "…" } else { part });
        is_key = part == "key";
    }
    public + query
}

/// A pod without what no decision reads; `None` if it cannot be read.
pub(super) fn pod(text: &RawValue) -> Option<Box<RawValue>> {
    let has = |field: &str| text.get().contains(field);
    // Most pods of a cluster have some of these, those that only ask have none.
    if !UNREAD.iter().any(|field| has(field)) && !has(LAST_APPLIED) && !has(MANAGED_FIELDS) {
        return Some(text.to_owned());
    }
    let mut pod: Fields = serde_json::from_str(text.get()).ok()?;
    edit(&mut pod, "metadata", |metadata: &mut Fields| {
        metadata.remove(MANAGED_FIELDS);
        edit(metadata, "annotations", |annotations: &mut Fields| drop(annotations.remove(LAST_APPLIED)))
    })?;
    edit(&mut pod, "spec", |spec: &mut Fields| {
        CONTAINERS.iter().try_for_each(|list| {
            edit(spec, list, |containers: &mut Vec<Fields>| {
                for container in containers {
                    container.retain(|field, _| !UNREAD.contains(&&**field));
                }
            })
        })
    })?;
    to_raw_value(&pod).ok()
}

/// Edits a field, if it is there.
fn edit<T, D>(fields: &mut Fields, field: &str, edit: impl FnOnce(&mut T) -> D) -> Option<()>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
    D: Done,
{
    let Some(value) = fields.get_mut(field).filter(|value| value.get() != "null") else { return Some(()) };
    let mut edited: T = serde_json::from_str(value.get()).ok()?;
    edit(&mut edited).done()?;
    *value = to_raw_value(&edited).ok()?;
    Some(())
}

/// An edit that may fail, or none.
trait Done {
    fn done(self) -> Option<()>;
}

impl Done for () {
    fn done(self) -> Option<()> {
        Some(())
    }
}

impl Done for Option<()> {
    fn done(self) -> Option<()> {
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn recorded(of: fn(&RawValue) -> Option<Box<RawValue>>, sent: &Value) -> Value {
        let raw = to_raw_value(sent).expect("JSON");
        serde_json::from_str(of(&raw).expect("it can be read").get()).expect("JSON")
    }

    #[test]
    fn a_recorded_policy_has_no_credentials_of_extenders() {
        let sent = json!({"kind": "KubeSchedulerConfiguration", "extenders": [
            {"urlPrefix": "https://jane:secret@ext.example:1/key/secret/x?token=secret", "weight": 2,
                "tlsConfig": {"keyData": "secret", "certData": "public", "caData": "ca"}}]});
        let expected = json!({"kind": "KubeSchedulerConfiguration", "extenders": [
            {"urlPrefix": "https://…@ext.example:1/key/…/x?…", "weight": 2, "tlsConfig": {"caData": "ca"}}]});
        assert_eq!(recorded(policy, &sent), expected);
    }

    #[test]
    fn a_policy_without_secrets_is_recorded_as_it_was_sent() {
        let sent: Box<RawValue> = serde_json::from_str(r#"{"b" : 1.50,"a":"http://x/y"}"#).expect("JSON");
        assert_eq!(policy(&sent).expect("it can be read").get(), sent.get());
    }

    #[test]
    fn a_recorded_pod_has_no_environment_and_no_commands() {
        let secret = json!([{"name": "PASSWORD", "value": "secret"}]);
        let container = |image: &str| {
            json!({"name": "main", "image": image, "env": secret, "envFrom": secret, "command": ["secret"], "args": ["secret"],
            "livenessProbe": {"exec": {"command": ["secret"]}}, "resources": {"requests": {"cpu": "1"}}})
        };
        let sent = json!({
            "metadata": {"name": "p", "annotations": {"a": "b", LAST_APPLIED: "secret"}, "managedFields": ["secret"]},
            "spec": {"containers": [container("a")], "initContainers": [container("b")], "ephemeralContainers": null, "priority": 7}});
        let kept = |image: &str| json!({"name": "main", "image": image, "resources": {"requests": {"cpu": "1"}}});
        let expected = json!({
            "metadata": {"name": "p", "annotations": {"a": "b"}},
            "spec": {"containers": [kept("a")], "initContainers": [kept("b")], "ephemeralContainers": null, "priority": 7}});
        assert_eq!(recorded(pod, &sent), expected);
    }
}
