//! Jobs: a new one gets labels of its own for its pods, and selects them.
//!
//! Source: `pkg/registry/batch/job/strategy.go` (`generateSelector`).

use serde_json::{Map, Value};

use super::fixed::{part, set_in};

/// Labels of a job's pods with its name.
pub(crate) const OF_NAME: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
/// Labels of a job's pods with its uid; it selects the second one.
pub(crate) const OF_UID: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];

/// Gives a new job, which has its name and its uid, its selector, unless it brings one of its own.
pub(super) fn select(job: &mut Map<String, Value>) {
    let text = |field: &str| job.get("metadata").and_then(|metadata| metadata[field].as_str()).map(ToOwned::to_owned);
    let (name, uid) = (text("name").unwrap_or_default(), text("uid").unwrap_or_default());
    part(job, "spec", |spec| {
        if spec.get("manualSelector") == Some(&Value::Bool(true)) {
            return;
        }
        part(spec, "template", |template| {
            part(template, "metadata", |metadata| {
                part(metadata, "labels", |labels| {
                    for (key, value) in OF_NAME.map(|key| (key, &name)).into_iter().chain(OF_UID.map(|key| (key, &uid)))
                    {
                        labels.entry(key).or_insert_with(|| value.as_str().into());
                    }
                });
            });
        });
        let [_, key] = OF_UID;
        if spec.get("selector").is_none_or(|selector| selector["matchLabels"][key].is_null()) {
            set_in(spec, &["selector", "matchLabels"], key, uid.into());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_selects_its_pods_by_its_uid() {
        let made = |spec: Value| {
            let mut job = json!({"metadata": {"name": "j", "uid": "u"}, "spec": spec}).as_object().unwrap().clone();
            select(&mut job);
            job["spec"].clone()
        };
        let labels = json!({"controller-uid": "u", "batch.kubernetes.io/controller-uid": "u",
            "job-name": "j", "batch.kubernetes.io/job-name": "j"});
        let selector = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}});
        assert_eq!(made(json!({})), json!({"template": {"metadata": {"labels": labels}}, "selector": selector}));
        let manual = json!({"manualSelector": true, "selector": {"matchLabels": {"a": "b"}}});
        assert_eq!(made(manual.clone()), manual);
        let own = made(
            json!({"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"job-name": "x"}}}}),
        );
        assert_eq!(own["selector"]["matchLabels"]["a"], "b");
        assert_eq!(own["template"]["metadata"]["labels"]["job-name"], "x", "validation refuses it");
    }
}
