//! Warnings about valid objects, which clients print.
//!
//! Source: `pkg/registry/*/*/strategy.go` (`WarningsOnCreate`, `WarningsOnUpdate`), `pkg/api/{node,service,storage}`,
//! `pkg/api/persistentvolume/util.go`, `pkg/api/persistentvolumeclaim/util.go`, `pkg/api/job/warnings.go`.

use super::part::Part;
use crate::{
    kinds::StoredKind,
    objects::{names, storage::BETA_STORAGE_CLASS},
};

mod address;
mod pod;

const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";

/// Labels of nodes that have other names now.
const OLD_LABELS: [(&str, &str); 6] = [
    ("beta.kubernetes.io/arch", r#"deprecated since v1.14; use "kubernetes.io/arch" instead"#),
    ("beta.kubernetes.io/os", r#"deprecated since v1.14; use "kubernetes.io/os" instead"#),
    (
        "failure-domain.beta.kubernetes.io/region",
        r#"deprecated since v1.17; use "topology.kubernetes.io/region" instead"#,
    ),
    ("failure-domain.beta.kubernetes.io/zone", r#"deprecated since v1.17; use "topology.kubernetes.io/zone" instead"#),
    ("beta.kubernetes.io/instance-type", r#"deprecated since v1.17; use "node.kubernetes.io/instance-type" instead"#),
    ("node-role.kubernetes.io/master", r#"use "node-role.kubernetes.io/control-plane" instead"#),
];

fn old_label(key: &str) -> Option<&'static str> {
    OLD_LABELS.iter().find(|(old, _)| *old == key).map(|(_, words)| *words)
}

/// The warnings about an object that takes the place of the stored one, if there is one. Each is told once.
pub(super) fn of_kind(kind: &StoredKind, object: &Part<'_>, stored: Option<&Part<'_>>) -> Vec<String> {
    let mut told = Vec::new();
    let spec = object.get("spec");
    let is_same = stored.is_some_and(|stored| stored.get("spec").value == spec.value);
    match kind.kind {
        // A pod is written often, and seldom by people.
        "Pod" if stored.is_none() => {
            name(object, "the Pod's hostname", &mut told);
            pod::of(object, false, &mut told);
        }
        "ReplicationController" | "ReplicaSet" | "StatefulSet" | "Deployment" | "DaemonSet" | "Job" => {
            if stored.is_none() && !matches!(kind.kind, "StatefulSet" | "DaemonSet") {
                name(object, "Pod names and hostnames", &mut told);
            }
            if !is_same {
                workload(kind, &spec, &mut told);
            }
        }
        "Node" => {
            if !spec.get("configSource").is_absent() {
                told.push("spec.configSource: the feature is removed".into());
            }
            if !spec.get("externalID").is_absent() {
                told.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".into());
            }
        }
        "Service" => service(object, &mut told),
        "PersistentVolume" => volume(object, &mut told),
        "PersistentVolumeClaim" => {
            beta_class(object, &mut told);
            claim_spec(&spec, &mut told);
        }
        "StorageClass" => {
            for topology in object.get("allowedTopologies").items() {
                for expression in topology.get("matchLabelExpressions").items() {
                    let key = expression.get("key");
                    told.extend(old_label(key.text()).map(|words| format!("{}: {} is {words}", key.at, key.text())));
                }
            }
        }
        "RuntimeClass" => {
            for (key, place) in object.get("scheduling").get("nodeSelector").entries() {
                told.extend(old_label(key).map(|words| format!("{}: {words}", place.at)));
            }
        }
        "CSIStorageCapacity" => {
            let topology = object.get("nodeTopology");
            pod::node_term(&topology, false, &mut told);
            let labels = topology.get("matchLabels");
            for key in labels.value.as_object().into_iter().flat_map(serde_json::Map::keys) {
                told.extend(old_label(key).map(|words| format!("{}: {words}", labels.at.child(key))));
            }
        }
        _ => {}
    }
    let mut seen = std::collections::HashSet::new();
    told.retain(|text| seen.insert(text.clone()));
    told
}

/// Names that are no DNS labels.
fn name(object: &Part<'_>, used_in: &str, told: &mut Vec<String>) {
    let name = object.value["metadata"]["name"].as_str().unwrap_or_default();
    let faults = names::dns_label_faults(name);
    if !name.is_empty() && !faults.is_empty() {
        let faults = faults.join(" ");
        told.push(format!(
            "metadata.name: this is used in {used_in}, which can result in surprising behavior; a DNS label is recommended: [{faults}]"
        ));
    }
}

fn workload(kind: &StoredKind, spec: &Part<'_>, told: &mut Vec<String>) {
    /// From these numbers on the indices of a job may not be followed.
    const MOST_COMPLETIONS: i64 = 100_000;
    const MOST_AT_ONCE: i64 = 10_000;
    let int = |field| spec.value[field].as_i64().unwrap_or_default();
    match kind.kind {
        "Job"
            if spec.get("completionMode").text() == "Indexed"
                && int("completions") > MOST_COMPLETIONS
                && int("parallelism") > MOST_AT_ONCE =>
        {
            told.push(format!(
                "{}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, \
                 Kubernetes might not be able to track completedIndexes when a big number of indexes fail",
                spec.at
            ));
        }
        "StatefulSet" => {
            if int("revisionHistoryLimit") < 0 {
                told.push(
                    "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
                        .into(),
                );
            }
            for claim in spec.get("volumeClaimTemplates").items() {
                // The API server leaves `spec` out of the path.
                claim_amounts(&claim.get("spec"), &claim, told);
            }
        }
        _ => {}
    }
    pod::of(&spec.get("template"), true, told);
}

fn service(object: &Part<'_>, told: &mut Vec<String>) {
    let spec = object.get("spec");
    let text = |field| spec.value[field].as_str().unwrap_or_default();
    if object.get("metadata").get("annotations").value.get(TOPOLOGY_HINTS).is_some() {
        told.push(format!("annotation {TOPOLOGY_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead"));
    }
    let (kind, external) = (text("type"), spec.get("externalIPs"));
    let has_external = !external.is_absent();
    if matches!(kind, "" | "ClusterIP") && text("clusterIP") == "None" {
        let ignored = [
            ("loadBalancerIP", !text("loadBalancerIP").is_empty()),
            ("externalIPs", has_external),
            ("SessionAffinity", !text("sessionAffinity").is_empty()),
        ];
        let ignored = ignored.into_iter().filter(|(_, is_set)| *is_set);
        told.extend(ignored.map(|(field, _)| format!("spec.{field} is ignored for headless services")));
    } else {
        for address in spec.get("clusterIPs").items() {
            address::of_address(&address, told);
        }
    }
    for address in external.items() {
        address::of_address(&address, told);
    }
    address::of_address(&spec.get("loadBalancerIP"), told);
    for range in spec.get("loadBalancerSourceRanges").items() {
        address::of_range(&range, told);
    }
    let is_name = kind == "ExternalName";
    if is_name && has_external {
        told.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".into());
    }
    if !is_name && !text("externalName").is_empty() {
        told.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".into());
    }
}

fn beta_class(object: &Part<'_>, told: &mut Vec<String>) {
    if object.get("metadata").get("annotations").value.get(BETA_STORAGE_CLASS).is_some() {
        let field = "\"storageClassName\" attribute instead";
        told.push(format!("metadata.annotations[{BETA_STORAGE_CLASS}]: deprecated since v1.8; use {field}"));
    }
}

fn volume(object: &Part<'_>, told: &mut Vec<String>) {
    let spec = object.get("spec");
    beta_class(object, told);
    let policy = spec.get("persistentVolumeReclaimPolicy");
    if policy.text() == "Recycle" {
        told.push(format!(
            "{}: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
            policy.at
        ));
    }
    for term in spec.get("nodeAffinity").get("required").get("nodeSelectorTerms").items() {
        pod::node_term(&term, false, told);
    }
    pod::old_sorts(&spec, told);
}

/// Amounts that a claim asks for.
fn claim_spec(spec: &Part<'_>, told: &mut Vec<String>) {
    claim_amounts(spec, spec, told);
}

fn claim_amounts(spec: &Part<'_>, at: &Part<'_>, told: &mut Vec<String>) {
    for field in ["requests", "limits"] {
        let amount = &spec.value["resources"][field]["storage"];
        if let Some(text) = amount.as_str().filter(|_| is_fraction(amount)) {
            let resources = at.at.child("resources");
            let place = resources.child(field);
            told.push(format!(
                "{}: fractional byte value {text:?} is invalid, must be an integer",
                place.key("storage")
            ));
        }
    }
}

fn is_fraction(amount: &serde_json::Value) -> bool {
    let read = amount.as_str().and_then(|text| text.parse::<podberth_core::model::Quantity>().ok());
    read.is_some_and(|amount| amount.nanos() % 1_000_000_000 != 0)
}

/// Parts of a byte.
fn fractions(list: &Part<'_>, told: &mut Vec<String>) {
    for (name, amount) in list.entries() {
        if matches!(name, "memory" | "ephemeral-storage") && is_fraction(amount.value) {
            let (at, text) = (amount.at, amount.text());
            told.push(format!("{at}: fractional byte value {text:?} is invalid, must be an integer"));
        }
    }
}
