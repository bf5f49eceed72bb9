//! Controllers: the rules of those that no decision reads, and what decisions do not ask of the others.
//!
//! Source: `pkg/apis/apps/validation/validation.go`, `pkg/apis/batch/validation/validation.go`,
//! `pkg/apis/core/validation/validation.go` (`ValidatePodTemplateSpecForRC`).

use serde_json::Value;

use super::{core, part::Part, pod};
use crate::{
    fault::{Faults, Path},
    kinds,
    objects::meta::LabelSelector,
};

pub(super) const LABELS: &str = "`selector` does not match template `labels`";

pub(super) fn replication_controller(object: &Part<'_>, faults: &mut Faults) {
    let spec = object.get("spec");
    let template = spec.get("template");
    if template.is_absent() {
        faults.required(&template.at, "");
    }
    if spec.get("selector").value.as_object().is_none_or(serde_json::Map::is_empty) {
        faults.required(&spec.get("selector").at, "");
    }
    pod::spec(&template.get("spec"), faults);
}

pub(super) fn replica_set(object: &Part<'_>, faults: &mut Faults) {
    of_set(object, faults);
}

pub(super) fn stateful_set(object: &Part<'_>, faults: &mut Faults) {
    of_set(object, faults);
    let spec = object.get("spec");
    spec.get("podManagementPolicy").one_of(&["OrderedReady", "Parallel"], faults);
    let strategy = spec.get("updateStrategy");
    if strategy.get("type").text() == "OnDelete" && !strategy.get("rollingUpdate").is_absent() {
        let at = strategy.get("rollingUpdate");
        faults.invalid_json(&at.at, at.value, "only allowed for updateStrategy 'RollingUpdate'");
    } else if !matches!(strategy.get("type").text(), "OnDelete" | "RollingUpdate") {
        let at = strategy.get("type");
        faults.invalid(&strategy.at, at.text(), "must be 'RollingUpdate' or 'OnDelete'");
    }
    strategy.get("rollingUpdate").get("partition").not_negative(faults);
    spec.get("revisionHistoryLimit").not_negative(faults);
    for claim in spec.get("volumeClaimTemplates").items() {
        core::claim(&claim.get("spec"), faults);
    }
}

/// The rules of a set that its conversion leaves open: those of a template.
fn of_set(object: &Part<'_>, faults: &mut Faults) {
    let spec = object.get("spec");
    let template = spec.get("template");
    if template.is_absent() {
        let metadata = template.get("metadata");
        faults.invalid_json(&metadata.get("labels").at, &Value::Null, LABELS);
        let pod = template.get("spec");
        faults.required(&pod.get("containers").at, "");
    }
    pod::spec(&template.get("spec"), faults);
}

/// Selector, template and counts of a controller that no decision reads.
fn unread(object: &Part<'_>, kind: &str, policies: &[&str], faults: &mut Faults) {
    let spec = object.get("spec");
    for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
        spec.get(field).not_negative(faults);
    }
    let template = spec.get("template");
    if kind != "job" {
        selector(&spec, kind, faults);
    }
    pod_of(&template, policies, faults);
}

fn selector(spec: &Part<'_>, kind: &str, faults: &mut Faults) {
    let selector = spec.get("selector");
    let template = spec.get("template");
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    if selector.is_absent() {
        faults.required(&selector.at, "");
        faults.invalid_json(&labels.at, labels.value, LABELS);
        return;
    }
    let before = faults.count();
    let read: LabelSelector = serde_json::from_value(selector.value.clone()).unwrap_or_default();
    let parsed = read.to_core(&selector.at, faults);
    if selector.value.as_object().is_some_and(serde_json::Map::is_empty) {
        faults.invalid_json(&selector.at, selector.value, format_args!("empty selector is invalid for {kind}"));
    }
    let entries = labels.entries().map(|(key, value)| (key, value.text()));
    let own: podberth_core::model::Labels = entries.collect();
    if faults.count() == before && parsed.is_none_or(|parsed| !parsed.matches(&own)) {
        faults.invalid_json(&labels.at, labels.value, LABELS);
    }
}

/// The pod of a template, by all rules of pods.
fn pod_of(template: &Part<'_>, policies: &[&str], faults: &mut Faults) {
    let spec = template.get("spec");
    if spec.get("containers").items().count() == 0 {
        faults.required(&spec.get("containers").at, "");
    }
    let mut pod = template.value.clone();
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("name".into(), "pod".into());
        metadata.remove("namespace");
    } else if let Some(pod) = pod.as_object_mut() {
        pod.insert("metadata".into(), serde_json::json!({"name": "pod"}));
    }
    let read = kinds::by_plural("", "pods").and_then(|kind| kind.validate(pod.to_string().as_bytes()).ok());
    let causes = read.map(|read| read.causes).unwrap_or_default();
    let own = causes.into_iter().filter(|cause| {
        let is_policy = cause.field == "spec.restartPolicy" && cause.reason == "FieldValueNotSupported";
        let is_told = matches!(cause.field.as_str(), "metadata.name" | "metadata.namespace" | "spec.containers");
        !is_policy && !is_told
    });
    faults.adopt("spec.template", own);
    let policy = spec.get("restartPolicy");
    if policy.is_absent() {
        faults.required(&policy.at, "");
    } else {
        policy.one_of(policies, faults);
    }
    pod::spec(&spec, faults);
}

pub(super) fn deployment(object: &Part<'_>, faults: &mut Faults) {
    unread(object, "deployment", &["Always"], faults);
    let spec = object.get("spec");
    let strategy = spec.get("strategy");
    let (of, rolling) = (strategy.get("type"), strategy.get("rollingUpdate"));
    match of.text() {
        "Recreate" if !rolling.is_absent() => {
            faults.forbidden(&rolling.at, "may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" => update(&rolling, faults),
        other => {
            let told = serde_json::json!({"Type": other, "RollingUpdate": rolling.value});
            faults.not_supported_json(&strategy.at, &told, &["Recreate", "RollingUpdate"]);
        }
    }
    let deadline = spec.get("progressDeadlineSeconds");
    deadline.not_negative(faults);
    if let (Some(deadline_seconds), least) = (deadline.int(), spec.get("minReadySeconds").int().unwrap_or_default())
        && deadline_seconds <= least
    {
        faults.invalid(&deadline.at, deadline_seconds, "must be greater than minReadySeconds");
    }
}

pub(super) fn daemon_set(object: &Part<'_>, faults: &mut Faults) {
    unread(object, "daemonset", &["Always"], faults);
    let spec = object.get("spec");
    let strategy = spec.get("updateStrategy");
    match strategy.get("type").text() {
        "OnDelete" => {}
        "RollingUpdate" => update(&strategy.get("rollingUpdate"), faults),
        _ => {
            let of = strategy.get("type");
            faults.not_supported(&of.at, of.text(), &["OnDelete", "RollingUpdate"]);
        }
    }
}

/// How many pods an update may take away or add at once.
fn update(rolling: &Part<'_>, faults: &mut Faults) {
    let (missing, more) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
    for part in [&missing, &more] {
        amount(part, faults);
    }
    if is_none(missing.value) && is_none(more.value) {
        faults.invalid_json(&missing.at, missing.value, "may not be 0 when `maxSurge` is 0");
    }
    if let Some(percent) = missing.text().strip_suffix('%').and_then(|percent| percent.parse::<u32>().ok())
        && percent > 100
    {
        faults.invalid(&missing.at, missing.text(), "must not be greater than 100%");
    }
}

fn is_none(value: &Value) -> bool {
    match value {
        Value::String(percent) => percent.trim_end_matches('%').parse::<u32>() == Ok(0),
        other => other.as_i64().unwrap_or_default() == 0,
    }
}

fn amount(part: &Part<'_>, faults: &mut Faults) {
    match part.value {
        Value::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or_default();
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', \
                           regex used for validation is '[0-9]+%')";
                faults.invalid(&part.at, text, why);
            }
        }
        _ => part.not_negative(faults),
    }
}

pub(super) fn job(object: &Part<'_>, faults: &mut Faults) {
    unread(object, "job", &["OnFailure", "Never"], faults);
    let spec = object.get("spec");
    for field in ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"] {
        spec.get(field).not_negative(faults);
    }
    let mode = spec.get("completionMode");
    mode.one_of(&["Indexed", "NonIndexed"], faults);
    if mode.text() == "Indexed" && spec.get("completions").is_absent() {
        let at = Path::ROOT.child("spec");
        faults.required(&at.child("completions"), "when completion mode is Indexed");
    }
}
