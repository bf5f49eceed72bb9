//! The pod that a question is about: a pod, or an object that makes pods of a template.
//!
//! Source: `pkg/controller/controller_utils.go` (`GetPodFromTemplate`),
//! `pkg/controller/daemon/util/daemonset_util.go` (`AddOrUpdateDaemonPodTolerations`).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    allowance,
    fault::{Cause, Faults, Path},
    text::Text,
    tree,
};

/// The object whose pod template is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TemplateOwner {
    /// Its kind.
    #[schema(example = "Deployment")]
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A pod, and whose template it was made of.
#[derive(Clone, Debug)]
pub struct AskedPod<'a> {
    /// The pod's text.
    pub json: Cow<'a, str>,
    /// `None` where the pod itself was sent.
    pub template: Option<TemplateOwner>,
}

/// Kinds with a pod template, and its place.
const TEMPLATES: [(&str, &str); 8] = [
    ("Deployment", "/spec/template"),
    ("ReplicaSet", "/spec/template"),
    ("StatefulSet", "/spec/template"),
    ("DaemonSet", "/spec/template"),
    ("ReplicationController", "/spec/template"),
    ("Job", "/spec/template"),
    ("CronJob", "/spec/jobTemplate/spec/template"),
    ("PodTemplate", "/template"),
];

/// Controllers that their pods name as owners, as far as decisions read it, and their API version.
const OWNERS: [(&str, &str); 3] =
    [("ReplicaSet", "apps/v1"), ("StatefulSet", "apps/v1"), ("ReplicationController", "v1")];

/// Toleration that pods of a daemon set get in addition if they use the host's network.
const NETWORK_UNAVAILABLE: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// Tolerations that pods of a daemon set get.
const DAEMON_TOLERATIONS: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// The pod of an object: itself, or the one that its template makes. Of a controller's changes to it only the tolerations of a daemon set
/// and the owner are applied; claims of a stateful set's `volumeClaimTemplates` are not mounted.
///
/// # Errors
/// If the object is of a kind that makes no pods, or has no template.
pub fn pod(json: &str) -> Result<AskedPod<'_>, Vec<Cause>> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Head<'a> {
        #[serde(borrow)]
        kind: Text<'a>,
    }
    let itself = AskedPod { json: Cow::Borrowed(json), template: None };
    // The full reader reports unreadable values.
    let Ok(head) = serde_json::from_str::<Head<'_>>(json) else { return Ok(itself) };
    if matches!(&*head.kind, "" | "Pod") {
        return Ok(itself);
    }
    let mut faults = Faults::default();
    let Some((kind, pointer)) = TEMPLATES.iter().find(|(kind, _)| *kind == &*head.kind) else {
        let mut known = vec!["Pod"];
        known.extend(TEMPLATES.map(|(kind, _)| kind));
        faults.not_supported(&Path::ROOT.child("kind"), &head.kind, &known);
        return Err(faults.into_causes());
    };
    // The pod is copied out of it.
    let copied = tree::parse(json.as_bytes())
        .and_then(|owner| allowance::charge(tree::weight(json.as_bytes())).map(|()| owner).map_err(Into::into));
    let owner: Value = match copied {
        Ok(owner) => owner,
        Err(error) if error.is_used_up() => {
            let (reason, message) = ("FieldValueInvalid".into(), error.message);
            return Err(vec![Cause { field: String::new(), reason, message, unreadable: true }]);
        }
        Err(_) => Value::Null,
    };
    let text = |pointer: &str| owner.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let Some(mut pod) = owner.pointer(pointer).filter(|template| template.is_object()).cloned() else {
        let field = pointer.trim_start_matches('/').replace('/', ".");
        faults.required(&Path::ROOT.child(&field), "the template of the pods asked about");
        return Err(faults.into_causes());
    };
    if !pod["metadata"].is_object() {
        pod["metadata"] = json!({});
    }
    let own = if name.is_empty() { kind.to_lowercase() } else { name.clone() };
    pod["metadata"]["name"] = if *kind == "StatefulSet" { format!("{own}-0") } else { own }.into();
    if !namespace.is_empty() {
        pod["metadata"]["namespace"] = namespace.clone().into();
    }
    if *kind == "DaemonSet"
        && let Some(spec) = pod["spec"].as_object_mut()
    {
        let mut tolerations = spec.get("tolerations").and_then(Value::as_array).cloned().unwrap_or_default();
        let network = (spec.get("hostNetwork") == Some(&Value::Bool(true))).then_some(NETWORK_UNAVAILABLE);
        for (key, effect) in DAEMON_TOLERATIONS.into_iter().chain(network) {
            tolerations.push(json!({"key": key, "operator": "Exists", "effect": effect}));
        }
        spec.insert("tolerations".into(), tolerations.into());
    }
    if let Some((_, version)) = OWNERS.iter().find(|(owner, _)| owner == kind && !name.is_empty()) {
        // A reference without a uid is none.
        let (name, uid) = (&name, text("/metadata/uid"));
        let uid = if uid.is_empty() { name } else { &uid };
        let reference = json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true});
        pod["metadata"]["ownerReferences"] = json!([reference]);
    }
    let template = Some(TemplateOwner { kind: (*kind).into(), namespace, name });
    Ok(AskedPod { json: Cow::Owned(pod.to_string()), template })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_with_a_template_asks_for_its_pod() {
        let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}});
        for (kind, object, name) in [
            ("Deployment", json!({"template": template}), "web"),
            ("StatefulSet", json!({"template": template}), "web-0"),
            ("CronJob", json!({"jobTemplate": {"spec": {"template": template}}}), "web"),
            ("DaemonSet", json!({"template": template}), "web"),
        ] {
            let object =
                json!({"kind": kind, "metadata": {"name": "web", "namespace": "shop"}, "spec": object}).to_string();
            let asked = pod(&object).unwrap();
            let made: Value = serde_json::from_str(&asked.json).unwrap();
            assert_eq!(
                (&made["metadata"]["name"], &made["metadata"]["namespace"]),
                (&name.into(), &"shop".into()),
                "{kind}"
            );
            assert_eq!(
                (&made["metadata"]["labels"]["a"], &made["spec"]["containers"][0]["name"]),
                (&"b".into(), &"c".into())
            );
            assert_eq!(asked.template.unwrap().kind, kind);
            assert_eq!(
                made["spec"]["tolerations"].as_array().map_or(0, Vec::len),
                if kind == "DaemonSet" { 6 } else { 0 }
            );
        }
        for itself in ["{}", r#"{"kind":"Pod"}"#, "7", "{"] {
            let asked = pod(itself).unwrap();
            assert!(asked.json == itself && asked.template.is_none());
        }
        let field = |json: &str| pod(json).unwrap_err()[0].field.clone();
        assert_eq!(field(r#"{"kind":"Service"}"#), "kind");
        assert_eq!(field(r#"{"kind":"Job","spec":{}}"#), "spec.template");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[{}\\[\\]a-z\":,]{0,60}", kind in "(Deployment|Job|CronJob|Pod)", inner in "(\\{\\}|\\[\\]|7|null|\"x\")") {
            let _ = pod(&text);
            let _ = pod(&format!(r#"{{"kind":"{kind}","spec":{{"template":{inner},"jobTemplate":{inner}}},"metadata":{inner}}}"#));
        }
    }
}
