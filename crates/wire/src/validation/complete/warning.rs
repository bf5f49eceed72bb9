//! Warnings about valid objects, which clients print.
//!
//! Source: `pkg/api/pod/warnings.go`, `pkg/registry/core/pod/strategy.go` (`WarningsOnCreate`), `pkg/api/node/util.go`,
//! `pkg/api/service/warnings.go`, `pkg/api/persistentvolume/util.go`, `pkg/api/persistentvolumeclaim/util.go`.

use std::collections::BTreeSet;

use super::part::Part;
use crate::{kinds::StoredKind, objects::names};

const NULL_SELECTOR: &str = "a null labelSelector results in matching no pod";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const CRITICAL: &str = "scheduler.alpha.kubernetes.io/critical-pod";

/// Labels that have other names now.
const OLD_LABELS: [(&str, &str, &str); 5] = [
    ("beta.kubernetes.io/arch", "v1.14", "kubernetes.io/arch"),
    ("beta.kubernetes.io/os", "v1.14", "kubernetes.io/os"),
    ("failure-domain.beta.kubernetes.io/region", "v1.17", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "v1.17", "topology.kubernetes.io/zone"),
    ("beta.kubernetes.io/instance-type", "v1.17", "node.kubernetes.io/instance-type"),
];

pub(super) fn of_kind(kind: &StoredKind, object: &Part<'_>) -> Vec<String> {
    let mut told = Vec::new();
    let spec = object.get("spec");
    let annotations = object.get("metadata").value["annotations"].clone();
    match kind.kind {
        "Pod" => {
            let name = object.get("metadata").value["name"].as_str().unwrap_or_default().to_owned();
            let faults = names::dns_label_faults(&name);
            if !name.is_empty() && !faults.is_empty() {
                let faults = faults.join(" ");
                told.push(format!(
                    "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS \
                     label is recommended: [{faults}]"
                ));
            }
            if !annotations[CRITICAL].is_null() {
                told.push(format!(
                    "metadata.annotations[{CRITICAL}]: non-functional in v1.16+; use the \"priorityClassName\" field instead"
                ));
            }
            pod(&spec, &mut told);
        }
        "ReplicationController" | "ReplicaSet" | "StatefulSet" | "Deployment" | "DaemonSet" | "Job" => {
            let template = spec.get("template");
            pod(&template.get("spec"), &mut told);
        }
        "Node" => {
            if !spec.get("configSource").is_absent() {
                told.push("spec.configSource: the feature is removed".into());
            }
            if !spec.get("externalID").is_absent() {
                told.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".into());
            }
        }
        "Service" if spec.get("clusterIP").text() == "None" && !spec.get("sessionAffinity").is_absent() => {
            told.push("spec.SessionAffinity is ignored for headless services".into());
        }
        "PersistentVolume" | "PersistentVolumeClaim" => {
            if !annotations[BETA_CLASS].is_null() {
                let field = "\"storageClassName\" attribute instead";
                told.push(format!("metadata.annotations[{BETA_CLASS}]: deprecated since v1.8; use {field}"));
            }
            if spec.get("persistentVolumeReclaimPolicy").text() == "Recycle" {
                told.push(
                    "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the \
                     recommended approach is to use dynamic provisioning."
                        .into(),
                );
            }
        }
        _ => {}
    }
    told
}

fn pod(spec: &Part<'_>, told: &mut Vec<String>) {
    for (key, place) in spec.get("nodeSelector").entries() {
        if let Some((_, since, now)) = OLD_LABELS.iter().find(|(old, ..)| *old == key) {
            told.push(format!("{}: deprecated since {since}; use \"{now}\" instead", place.at));
        }
    }
    for constraint in spec.get("topologySpreadConstraints").items() {
        selector(&constraint, told);
    }
    let affinity = spec.get("affinity");
    for of in ["podAffinity", "podAntiAffinity"] {
        let terms = affinity.get(of);
        for term in terms.get(REQUIRED).items() {
            selector(&term, told);
        }
        for weighted in terms.get(PREFERRED).items() {
            selector(&weighted.get("podAffinityTerm"), told);
        }
    }
    for volume in spec.get("volumes").items() {
        let source = volume.get("gitRepo");
        if !source.is_absent() {
            told.push(format!("{}: deprecated in v1.11", source.at));
        }
    }
    for list in ["initContainers", "containers"] {
        for container in spec.get(list).items() {
            of_container(&container, told);
        }
    }
    if spec.get("overhead").value.is_object() {
        fractions(&spec.get("overhead"), told);
    }
}

fn selector(term: &Part<'_>, told: &mut Vec<String>) {
    let selector = term.get("labelSelector");
    if selector.is_absent() {
        told.push(format!("{}: {NULL_SELECTOR}", selector.at));
    }
}

fn of_container(container: &Part<'_>, told: &mut Vec<String>) {
    let resources = container.get("resources");
    for field in ["limits", "requests"] {
        fractions(&resources.get(field), told);
    }
    let mut named = BTreeSet::new();
    for variable in container.get("env").items() {
        let name = variable.get("name").text().to_owned();
        if !named.insert(name.clone()) {
            let at = variable.at;
            told.push(format!("{at}: hides previous definition of {name:?}, which may be dropped when using apply"));
        }
    }
    for port in container.get("ports").items() {
        let address = port.get("hostIP").text().to_owned();
        if port.get("hostPort").int().unwrap_or_default() == 0 && !address.is_empty() {
            let (name, number) =
                (port.get("name").text().to_owned(), port.get("containerPort").int().unwrap_or_default());
            let protocol = port.get("protocol").text().to_owned();
            told.push(format!(
                "{}: hostIP set without hostPort: {{Name:{name} HostPort:0 ContainerPort:{number} Protocol:{protocol} \
                 HostIP:{address}}}",
                port.at
            ));
        }
    }
}

/// Parts of a byte.
fn fractions(list: &Part<'_>, told: &mut Vec<String>) {
    for (name, amount) in list.entries() {
        if matches!(name, "memory" | "ephemeral-storage")
            && amount.quantity().is_some_and(|quantity| quantity.nanos() % 1_000_000_000 != 0)
        {
            let (at, text) = (amount.at, amount.text());
            told.push(format!("{at}: fractional byte value {text:?} is invalid, must be an integer"));
        }
    }
}
