//! PUT: values written when the object was created stay, also if the new text leaves them out, and may not be changed.
//!
//! Source: `plugin/pkg/admission/priority/admission.go` (`admitPod` of an update),
//! `pkg/apis/core/validation/validation.go` (`ValidatePodUpdate`, `ValidatePersistentVolumeClaimUpdate`),
//! `pkg/apis/scheduling/validation/validation.go` (`ValidatePriorityClassUpdate`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{class_of, tolerations};
use crate::{
    decode,
    document::Document,
    fault::{Cause, Faults, Path},
    kinds::StoredKind,
};
use podberth_core::snapshot::Kind;

/// Fields of a pod's spec that stay where a PUT leaves them out.
const OF_POD: [&str; 5] = ["priority", "priorityClassName", "preemptionPolicy", "overhead", "runtimeClassName"];
/// Fields that nothing else can change either; validation reports the others.
const FIXED: [&str; 3] = ["priority", "priorityClassName", "preemptionPolicy"];

/// Copies into a new text the values that were written when the stored object was created. Under `is_strict` only those that the API server
/// copies: of the tolerations its own two.
///
/// # Errors
/// The fields that may not be changed.
pub fn keep(kind: &StoredKind, sent: &mut Document, stored: &Document, is_strict: bool) -> Result<(), Vec<Cause>> {
    let mut faults = Faults::default();
    match kind.core() {
        Some(Kind::Pod) => {
            let (new, old) = (fields(sent), fields(stored));
            let at = Path::ROOT.child("spec");
            // Under the API server's rules, validation reports them with the other fields.
            for field in FIXED.into_iter().filter(|_| !is_strict) {
                if let (Some(new), Some(old)) = (given(&new, field), given(&old, field))
                    && new != old
                {
                    let why = format!("may not be changed when a pod is updated: it is {old}");
                    faults.forbidden(&at.child(field), &why);
                }
            }
            take_over(sent, &new, &old, &OF_POD);
            take_over_tolerations(sent, &new, &old, is_strict);
        }
        Some(Kind::PersistentVolumeClaim) => {
            let (new, old) = (fields(sent), fields(stored));
            take_over(sent, &new, &old, &["storageClassName"]);
        }
        Some(Kind::PriorityClass) => {
            if let (Some(new), Some(old)) = (class_of(sent), class_of(stored)) {
                let (new, old) = (new.to_core().object, old.to_core().object);
                if new.value != old.value {
                    faults.forbidden(&Path::ROOT.child("value"), "may not be changed in an update.");
                }
                if new.preemption_policy != old.preemption_policy {
                    let said = super::priority::policy_name(new.preemption_policy);
                    faults.invalid(&Path::ROOT.child("preemptionPolicy"), said, "field is immutable");
                }
            }
        }
        _ => {}
    }
    let causes = faults.into_causes();
    if causes.is_empty() { Ok(()) } else { Err(causes) }
}

type Fields = BTreeMap<String, Box<RawValue>>;

/// The fields of a spec; none where it cannot be read.
fn fields(document: &Document) -> Fields {
    document.get("spec").and_then(|spec| decode::from_slice(spec.get().as_bytes()).ok()).unwrap_or_default()
}

fn given<'f>(fields: &'f Fields, field: &str) -> Option<&'f str> {
    fields.get(field).map(|raw| raw.get()).filter(|text| !matches!(*text, "null" | "\"\""))
}

fn take_over(sent: &mut Document, new: &Fields, old: &Fields, names: &[&'static str]) {
    let lost = names.iter().filter(|name| given(new, name).is_none());
    let kept = lost.filter_map(|name| Some((*name, old.get(*name).filter(|_| given(old, name).is_some())?.clone())));
    // A spec that cannot be read is left to validation.
    let _ = sent.set_all_in("spec", kept.collect());
}

/// The key by which tolerations of a pod are distinguished.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Tolerated {
    key: String,
    effect: String,
}

/// The tolerations of a spec as they were written; `None` where they cannot be read.
fn tolerations_of(fields: &Fields) -> Option<Vec<(Tolerated, Box<RawValue>)>> {
    let raw: Vec<Box<RawValue>> = match fields.get("tolerations") {
        Some(raw) => decode::from_slice(raw.get().as_bytes()).ok()?,
        None => Vec::new(),
    };
    raw.into_iter().map(|raw| Some((decode::from_slice(raw.get().as_bytes()).ok()?, raw))).collect()
}

/// Tolerations can be added to a pod, but not removed.
fn take_over_tolerations(sent: &mut Document, new: &Fields, old: &Fields, is_strict: bool) {
    let (Some(mut new), Some(old)) = (tolerations_of(new), tolerations_of(old)) else { return };
    let before = new.len();
    for (toleration, raw) in old {
        let is_lasting =
            !is_strict || (tolerations::TAINTS.contains(&&*toleration.key) && toleration.effect == "NoExecute");
        if is_lasting && !new.iter().any(|(other, _)| *other == toleration) {
            new.push((toleration, raw));
        }
    }
    if new.len() > before {
        let all: Vec<&str> = new.iter().map(|(_, raw)| raw.get()).collect();
        if let Ok(raw) = RawValue::from_string(format!("[{}]", all.join(","))) {
            let _ = sent.set_all_in("spec", vec![("tolerations", raw)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;

    /// The spec after a PUT, or the fields at fault.
    fn kept(plural: &str, sent: &str, stored: &str) -> Result<String, Vec<String>> {
        let kind = kinds::ALL.iter().find(|kind| kind.plural == plural).unwrap();
        let [mut sent, stored] = [sent, stored].map(|text| Document::parse(text.as_bytes()).unwrap());
        match keep(kind, &mut sent, &stored, false) {
            Ok(()) => Ok(sent.to_json().replace(r#"{"metadata":{},"#, "{")),
            Err(causes) => Err(causes.into_iter().map(|cause| cause.field).collect()),
        }
    }

    #[test]
    fn put_keeps_the_defaults_written_at_creation() {
        let stored =
            r#"{"spec":{"priority":5,"priorityClassName":"a","tolerations":[{"key":"x"}],"storageClassName":"s"}}"#;
        for (plural, sent, expected) in [
            (
                "pods",
                r#"{"spec":{"odd":1}}"#,
                r#"{"spec":{"odd":1,"priority":5,"priorityClassName":"a","tolerations":[{"key":"x"}]}}"#,
            ),
            (
                "pods",
                r#"{"spec":{"priority":5,"priorityClassName":"","tolerations":[{"key":"x","operator":"Exists"},{"key":"y"}]}}"#,
                r#"{"spec":{"priority":5,"priorityClassName":"a","tolerations":[{"key":"x","operator":"Exists"},{"key":"y"}]}}"#,
            ),
            ("persistentvolumeclaims", r#"{"spec":{}}"#, r#"{"spec":{"storageClassName":"s"}}"#),
            ("nodes", r#"{"spec":{}}"#, r#"{"spec":{}}"#),
        ] {
            assert_eq!(kept(plural, sent, stored).unwrap(), expected, "{sent}");
        }
    }

    #[test]
    fn priority_of_a_pod_and_value_of_a_class_are_fixed() {
        let pod = r#"{"spec":{"priority":5,"priorityClassName":"a","preemptionPolicy":"Never"}}"#;
        let other = r#"{"spec":{"priority":6,"priorityClassName":"b","preemptionPolicy":"PreemptLowerPriority"}}"#;
        let fields = ["spec.priority", "spec.priorityClassName", "spec.preemptionPolicy"].map(str::to_owned);
        assert_eq!(kept("pods", other, pod).unwrap_err(), fields);
        assert!(kept("pods", pod, r#"{"spec":{}}"#).is_ok(), "what was never said can be");
        let class = r#"{"value":5,"preemptionPolicy":"PreemptLowerPriority"}"#;
        assert!(kept("priorityclasses", r#"{"value":5,"globalDefault":true,"description":"x"}"#, class).is_ok());
        let other = kept("priorityclasses", r#"{"value":6,"preemptionPolicy":"Never"}"#, class);
        assert_eq!(other.unwrap_err(), ["value", "preemptionPolicy"]);
    }
}
