//! Jobs: their selectors, and the changes that they allow.
//!
//! Source: `pkg/apis/batch/validation/validation.go` (`validateGeneratedSelector`, `ValidateJobSpec`, `ValidateJobSpecUpdate`,
//! `validateCompletions`, `validatePodTemplateUpdate`), `pkg/registry/batch/job/strategy.go` (`validationOptionsForJob`).

use serde_json::{Value, json};

use super::{part::Part, workload::LABELS};
use crate::{
    defaults::job::{OF_NAME, OF_UID},
    fault::Faults,
    objects::meta::LabelSelector,
};
use podberth_core::model::Labels;

/// A job selects the pods of its template, and those of no other job unless it is to select by itself.
pub(super) fn selector(object: &Part<'_>, faults: &mut Faults) {
    let spec = object.get("spec");
    let selector = spec.get("selector");
    let is_manual = spec.value["manualSelector"] == true;
    if selector.is_absent() {
        if is_manual {
            faults.required(&selector.at, "");
        }
        return;
    }
    let (template, metadata) = (spec.get("template"), &object.value["metadata"]);
    let of_template = template.get("metadata");
    let labels = of_template.get("labels");
    let text = |field: &str| metadata[field].as_str().unwrap_or_default();
    let (name, uid) = (text("name"), text("uid"));
    let expected = OF_UID.map(|key| (key, uid)).into_iter().chain(OF_NAME.map(|key| (key, name)));
    if !is_manual {
        for (key, value) in expected.clone() {
            let at = labels.at.key(key);
            match labels.value[key].as_str() {
                None => faults.required(&at, &format!("must be '{value}'")),
                Some(other) if other != value => {
                    faults.invalid_json(&at, labels.value, format_args!("must be '{value}'"));
                }
                Some(_) => {}
            }
        }
    }
    let read: LabelSelector = serde_json::from_value(selector.value.clone()).unwrap_or_default();
    let before = faults.count();
    let Some(parsed) = read.to_core(&selector.at, faults).filter(|_| faults.count() == before) else { return };
    if !is_manual && !parsed.matches(&expected.collect::<Labels>()) {
        faults.invalid_json(&selector.at, selector.value, "`selector` not auto-generated");
    }
    let own: Labels = labels.entries().map(|(key, value)| (key, value.text().to_owned())).collect();
    if !parsed.matches(&own) {
        faults.invalid_json(&labels.at, labels.value, LABELS);
    }
}

/// The changes of a job.
pub(super) fn changes(sent: &Part<'_>, stored: &Part<'_>, faults: &mut Faults) {
    const FIXED: [&str; 6] =
        ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"];
    let (new, old) = (sent.get("spec"), stored.get("spec"));
    let completions = new.get("completions");
    if new.get("completionMode").text() != "Indexed" {
        completions.unchanged(&old.get("completions"), faults);
    } else if !completions.is_absent()
        && completions.value != old.get("completions").value
        && completions.value != new.get("parallelism").value
    {
        let why = "can only be modified in tandem with spec.parallelism";
        faults.invalid_json(&completions.at, completions.value, why);
    }
    for field in FIXED {
        new.get(field).unchanged(&old.get(field), faults);
    }
    let has_begun = !stored.value["status"]["startTime"].is_null();
    let mut template = old.value["template"].clone();
    if old.value["suspend"] == true && !has_begun {
        direct(&mut template, &new.value["template"]);
    }
    let sent = new.get("template");
    if *sent.value != template {
        faults.invalid_json(&sent.at, sent.value, "field is immutable");
    }
}

/// Takes over what says where the pods of a job that has not begun may go.
fn direct(template: &mut Value, sent: &Value) {
    let is_sent = sent.pointer("/spec/affinity").is_some_and(|affinity| !affinity.is_null());
    let affinity = template.pointer_mut("/spec/affinity").and_then(Value::as_object_mut);
    match (is_sent, affinity) {
        (false, Some(affinity)) => {
            affinity.remove("nodeAffinity");
            if affinity.is_empty() {
                adopt(template, sent, "/spec", "affinity");
            }
        }
        (true, Some(_)) => adopt(template, sent, "/spec/affinity", "nodeAffinity"),
        (true, None) => {
            let mut own = json!({"spec": {"affinity": {}}});
            adopt(&mut own, sent, "/spec/affinity", "nodeAffinity");
            adopt(template, &own, "/spec", "affinity");
        }
        (false, None) => {}
    }
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        adopt(template, sent, "/spec", field);
    }
    for field in ["annotations", "labels"] {
        adopt(template, sent, "/metadata", field);
    }
}

/// Takes a field of a part over as it was sent.
fn adopt(template: &mut Value, sent: &Value, part: &str, field: &str) {
    let value = sent.pointer(part).map(|part| part[field].clone()).filter(|value| !value.is_null());
    match (template.pointer_mut(part).and_then(Value::as_object_mut), value) {
        (Some(fields), Some(value)) => drop(fields.insert(field.into(), value)),
        (Some(fields), None) => drop(fields.remove(field)),
        (None, Some(value)) => {
            let (above, name) = part.rsplit_once('/').unwrap_or_default();
            if let Some(Value::Object(fields)) = template.pointer_mut(above) {
                fields.insert(name.into(), json!({field: value}));
            }
        }
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{document::Document, kinds, validation::complete};

    fn job(spec: &Value) -> Document {
        let labels = json!({"controller-uid": "u", "batch.kubernetes.io/controller-uid": "u",
            "job-name": "j", "batch.kubernetes.io/job-name": "j"});
        let mut job = json!({"metadata": {"name": "j", "namespace": "n", "uid": "u"}, "spec": {
            "completions": 1, "parallelism": 1, "completionMode": "NonIndexed",
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}},
            "template": {"metadata": {"labels": labels},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i", "imagePullPolicy": "Always",
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}]}}}});
        merge(&mut job["spec"], spec);
        Document::parse(job.to_string().as_bytes()).expect("a job")
    }

    fn merge(into: &mut Value, from: &Value) {
        match (into, from) {
            (Value::Object(into), Value::Object(from)) => {
                for (key, value) in from {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, from) => *into = from.clone(),
        }
    }

    fn fields(causes: &[crate::fault::Cause]) -> Vec<&str> {
        causes.iter().map(|cause| cause.field.as_str()).collect()
    }

    #[test]
    fn a_job_has_the_selector_that_was_made_for_it() {
        let kind = kinds::by_plural("batch", "jobs").expect("jobs");
        let faults = |spec: Value| complete::faults(kind, &job(&spec)).expect("faults");
        assert_eq!(fields(&faults(json!({}))), [""; 0]);
        let own = json!({"selector": {"matchLabels": {"a": "b"}}});
        assert_eq!(fields(&faults(own)), ["spec.selector", "spec.template.metadata.labels"]);
        let manual = json!({"manualSelector": true, "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}}});
        assert_eq!(fields(&faults(manual)), [""; 0]);
        let other = json!({"template": {"metadata": {"labels": {"job-name": "x"}}}});
        assert_eq!(fields(&faults(other)), ["spec.template.metadata.labels[job-name]"]);
    }

    #[test]
    fn a_job_stays_what_it_is() {
        let kind = kinds::by_plural("batch", "jobs").expect("jobs");
        let changed = |before: Value, after: Value| {
            let causes = complete::changes(kind, &job(&after), &job(&before)).expect("changes");
            causes.into_iter().map(|cause| cause.field).collect::<Vec<_>>()
        };
        let indexed = |count: i32, parallelism: i32| json!({"completionMode": "Indexed", "completions": count, "parallelism": parallelism});
        let aimed = json!({"template": {"metadata": {"annotations": {"a": "b"}},
            "spec": {"nodeSelector": {"a": "b"}, "affinity": {"nodeAffinity": {}}}}});
        let with_image = json!({"suspend": true, "template": {"spec": {"containers": [{"name": "d"}]}}});
        let suspended = json!({"suspend": true});
        for (before, after, expected) in [
            (json!({}), json!({"parallelism": 4, "suspend": true, "backoffLimit": 1}), [].as_slice()),
            (json!({}), json!({"completions": 2}), &["spec.completions"]),
            (indexed(2, 2), indexed(3, 3), &[]),
            (indexed(2, 2), indexed(3, 2), &["spec.completions"]),
            (json!({}), json!({"completionMode": "Indexed"}), &["spec.completionMode"]),
            (json!({}), json!({"selector": {"matchLabels": {"a": "b"}}}), &["spec.selector"]),
            (json!({}), aimed.clone(), &["spec.template"]),
            (suspended.clone(), aimed.clone(), &[]),
            (json!({"suspend": true, "template": aimed["template"]}), suspended.clone(), &[]),
            (suspended, with_image, &["spec.template"]),
        ] {
            assert_eq!(changed(before.clone(), after.clone()), expected, "{before} → {after}");
        }
    }
}
