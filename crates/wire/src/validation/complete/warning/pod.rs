//! Warnings about pods and about templates of pods.
//!
//! Source: `pkg/api/pod/warnings.go` (`warningsForPodSpecAndMeta`), `pkg/api/node/util.go`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{address, claim_spec, fractions, old_label};
use crate::{
    objects::{
        affinity::{PREFERRED, REQUIRED},
        names,
    },
    validation::complete::part::Part,
};

const NULL_SELECTOR: &str = "a null labelSelector results in matching no pod";

/// Annotations that do nothing any more: since when, and the field in their place.
const OLD_ANNOTATIONS: [(&str, &str, &str); 3] = [
    ("scheduler.alpha.kubernetes.io/critical-pod", "v1.16", "priorityClassName"),
    ("security.alpha.kubernetes.io/sysctls", "v1.11", "sysctls"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "v1.11", "sysctls"),
];
const SECCOMP_OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Sorts of volumes that are deprecated: their field, its name in the words about it, and these words.
const OLD_VOLUMES: [(&str, &str, &str); 9] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// Warnings about a pod, or about the template of pods.
pub(super) fn of(pod: &Part<'_>, is_template: bool, told: &mut Vec<String>) {
    let (spec, metadata) = (pod.get("spec"), pod.get("metadata"));
    let annotations = metadata.get("annotations");
    for (key, since, field) in OLD_ANNOTATIONS {
        annotation(&annotations, key, &format!("non-functional in {since}+; use the \"{field}\" field instead"), told);
    }
    placement(&spec, told);
    volumes(&spec, told);
    lists(&spec, told);
    fractions(&spec.get("overhead"), told);
    let seccomp = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
    let context = spec.get("securityContext");
    if context.get("seccompProfile").is_absent() {
        annotation(&annotations, SECCOMP_OF_POD, seccomp, told);
    }
    let mut ports = BTreeMap::new();
    each_container(&spec, &mut |container| {
        let (name, own) = (container.get("name").text(), container.get("securityContext"));
        if own.get("seccompProfile").is_absent() {
            annotation(&annotations, &format!("{SECCOMP_OF_CONTAINER}{name}"), seccomp, told);
        }
        if is_template && [&own, &context].iter().all(|context| context.get("appArmorProfile").is_absent()) {
            let instead = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
            annotation(&annotations, &format!("{APPARMOR}{name}"), instead, told);
        }
        resources_and_variables(container, told);
        for port in container.get("ports").items() {
            of_port(&port, &mut ports, told);
        }
    });
    let grace = spec.get("terminationGracePeriodSeconds");
    if grace.int().is_some_and(|seconds| seconds < 0) {
        told.push(format!("{}: must be >= 0; negative values are invalid and will be treated as 1", grace.at));
    }
}

fn annotation(annotations: &Part<'_>, key: &str, words: &str, told: &mut Vec<String>) {
    if annotations.value.get(key).is_some() {
        told.push(format!("{}: {words}", annotations.at.key(key)));
    }
}

fn each_container(spec: &Part<'_>, visit: &mut dyn FnMut(&Part<'_>)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.get(list).items() {
            visit(&container);
        }
    }
}

/// Selectors of nodes and of other pods.
fn placement(spec: &Part<'_>, told: &mut Vec<String>) {
    for (key, place) in spec.get("nodeSelector").entries() {
        told.extend(old_label(key).map(|words| format!("{}: {words}", place.at)));
    }
    for constraint in spec.get("topologySpreadConstraints").items() {
        let key = constraint.get("topologyKey");
        told.extend(old_label(key.text()).map(|words| format!("{}: {} is {words}", key.at, key.text())));
        selector(&constraint, told);
    }
    let affinity = spec.get("affinity");
    let nodes = affinity.get("nodeAffinity");
    for term in nodes.get(REQUIRED).get("nodeSelectorTerms").items() {
        node_term(&term, false, told);
    }
    for weighted in nodes.get(PREFERRED).items() {
        node_term(&weighted.get("preference"), true, told);
    }
    for of in ["podAffinity", "podAntiAffinity"] {
        let terms = affinity.get(of);
        for term in terms.get(REQUIRED).items() {
            selector(&term, told);
        }
        for weighted in terms.get(PREFERRED).items() {
            selector(&weighted.get("podAffinityTerm"), told);
        }
    }
}

/// A term that selects nodes. Values of preferred ones that no label can have are told of; those of required ones are refused.
pub(super) fn node_term(term: &Part<'_>, has_any_values: bool, told: &mut Vec<String>) {
    for expression in term.get("matchExpressions").items() {
        let key = expression.get("key");
        told.extend(old_label(key.text()).map(|words| format!("{}: {} is {words}", key.at, key.text())));
        for value in expression.get("values").items().filter(|_| has_any_values) {
            if let Err(why) = names::label_value(value.text()) {
                told.push(format!("{}: {}: {why}", value.at, value.text()));
            }
        }
    }
}

fn selector(term: &Part<'_>, told: &mut Vec<String>) {
    let selector = term.get("labelSelector");
    if selector.is_absent() {
        told.push(format!("{}: {NULL_SELECTOR}", selector.at));
    }
}

fn volumes(spec: &Part<'_>, told: &mut Vec<String>) {
    let volumes = spec.get("volumes");
    let tokens: BTreeSet<&str> =
        sources(volumes.value).filter_map(|s| s["serviceAccountToken"]["path"].as_str()).collect();
    for volume in volumes.items() {
        old_sorts(&volume, told);
        claim_spec(&volume.get("ephemeral").get("volumeClaimTemplate").get("spec"), told);
        let projected = volume.get("projected");
        let at = projected.get("sources");
        for source in at.value.as_array().into_iter().flatten() {
            for (field, called) in [("configMap", "configMap"), ("secret", "secrets"), ("downwardAPI", "downwardAPI")] {
                for (j, path) in paths(&source[field]["items"]).into_iter().enumerate() {
                    if tokens.contains(path) {
                        let place = at.at.child(called);
                        told.push(format!("{}: has duplicated path with ServiceAccountToken {path:?}", place.index(j)));
                    }
                }
            }
        }
        overlaps(volume.value, told);
    }
}

/// Sources of a volume that are deprecated.
pub(super) fn old_sorts(volume: &Part<'_>, told: &mut Vec<String>) {
    for (field, called, words) in OLD_VOLUMES {
        if !volume.get(field).is_absent() {
            told.push(format!("{}: {words}", volume.at.child(called)));
        }
    }
}

/// The sources of all projected volumes.
fn sources(volumes: &Value) -> impl Iterator<Item = &Value> {
    let volumes = volumes.as_array().into_iter().flatten();
    volumes.flat_map(|volume| volume["projected"]["sources"].as_array().into_iter().flatten())
}

fn paths(items: &Value) -> Vec<&str> {
    items.as_array().into_iter().flatten().filter_map(|item| item["path"].as_str()).collect()
}

/// Files of a volume that lie in each other's place (`warningsForOverlappingVirtualPaths`).
fn overlaps(volume: &Value, told: &mut Vec<String>) {
    let name = volume["name"].as_str().unwrap_or_default();
    let kinds =
        [("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName"), ("downwardAPI", "DownwardAPI", "")];
    for (field, kind, by) in kinds {
        if let Some((paths, what)) = named(volume, field, kind, by) {
            collisions(&paths, &format!("volume {name:?} ({what}): overlapping paths"), told);
        }
    }
    let mut all: BTreeSet<&str> = BTreeSet::new();
    for source in volume["projected"]["sources"].as_array().into_iter().flatten() {
        if source.as_object().is_none_or(serde_json::Map::is_empty) {
            told.push(format!("volume {name:?} (Projected) has no sources provided"));
            continue;
        }
        let kinds =
            [("configMap", "ConfigMap", "name"), ("secret", "Secret", "name"), ("downwardAPI", "DownwardAPI", "")];
        let listed = kinds.into_iter().find_map(|(field, kind, by)| named(source, field, kind, by));
        let token = || Some((vec![source["serviceAccountToken"]["path"].as_str()?], "ServiceAccountToken".to_owned()));
        let Some((paths, what)) = listed.or_else(token) else { continue };
        let words = format!("volume {name:?} (Projected {what}): overlapping paths");
        collisions(&paths, &words, told);
        let (mut sorted, own): (Vec<&str>, BTreeSet<&str>) =
            (all.iter().copied().collect(), paths.into_iter().collect());
        sorted.extend(own.iter().copied());
        sorted.sort_unstable();
        collisions(&sorted, &words, told);
        all.extend(own);
    }
}

/// The paths of a source that lists them, and the source as it is told.
fn named<'v>(source: &'v Value, field: &str, kind: &str, by: &str) -> Option<(Vec<&'v str>, String)> {
    let object = &source[field];
    let by = if by.is_empty() { String::new() } else { format!(" {:?}", object[by].as_str().unwrap_or_default()) };
    object["items"].is_array().then(|| (paths(&object["items"]), format!("{kind}{by}")))
}

fn collisions(paths: &[&str], words: &str, told: &mut Vec<String>) {
    let mut seen: Vec<&str> = Vec::new();
    for path in paths.iter().map(|path| path.trim_end_matches('/')) {
        let is_over = |one: &&&str| {
            !one.is_empty()
                && !path.is_empty()
                && (format!("{one}/").starts_with(path) || format!("{path}/").starts_with(**one))
        };
        if let Some(other) = seen.iter().find(is_over) {
            told.push(format!("{words}: {path:?} with {other:?}"));
        }
        if !seen.contains(&path) {
            seen.push(path);
        }
    }
}

/// Items that repeat others, and addresses in forms that are not the usual one.
fn lists(spec: &Part<'_>, told: &mut Vec<String>) {
    for (list, field, word) in [("hostAliases", "ip", "ip"), ("imagePullSecrets", "name", "name")] {
        let mut seen = BTreeSet::new();
        for item in spec.get(list).items() {
            let value = item.get(field);
            if !seen.insert(value.text().to_owned()) {
                told.push(format!("{}: duplicate {word} {:?}", value.at, value.text()));
            }
            if list == "imagePullSecrets" && value.text().is_empty() {
                told.push(format!("{}: invalid empty name \"\"", value.at));
            }
            if list == "hostAliases" {
                address::of_address(&value, told);
            }
        }
    }
    for server in spec.get("dnsConfig").get("nameservers").items() {
        address::of_address(&server, told);
    }
}

fn resources_and_variables(container: &Part<'_>, told: &mut Vec<String>) {
    let resources = container.get("resources");
    for field in ["limits", "requests"] {
        fractions(&resources.get(field), told);
    }
    let mut named = BTreeSet::new();
    for variable in container.get("env").items() {
        let (name, value) = (variable.get("name").text().to_owned(), variable.get("value").text().to_owned());
        let before = format!("$({name})");
        // One that is made of the value before is meant.
        let hides = !variable.get("valueFrom").is_absent() || value == before || !value.contains(&before);
        if !named.insert(name.clone()) && hides {
            let at = variable.at;
            told.push(format!("{at}: hides previous definition of {name:?}, which may be dropped when using apply"));
        }
    }
}

/// A port of a container, as far as others may be in its place.
#[derive(PartialEq)]
struct Port {
    host: i64,
    address: String,
}

/// Ports that were seen, with their places, by number and protocol.
type Ports = BTreeMap<(i64, String), Vec<(String, Port)>>;

fn of_port(port: &Part<'_>, seen: &mut Ports, told: &mut Vec<String>) {
    let text = |field| port.value[field].as_str().unwrap_or_default().to_owned();
    let int = |field| port.value[field].as_i64().unwrap_or_default();
    let (own, number, protocol) =
        (Port { host: int("hostPort"), address: text("hostIP") }, int("containerPort"), text("protocol"));
    if own.host == 0 && !own.address.is_empty() {
        let (name, address) = (text("name"), &own.address);
        told.push(format!(
            "{}: hostIP set without hostPort: {{Name:{name} HostPort:0 ContainerPort:{number} Protocol:{protocol} HostIP:{address}}}",
            port.at
        ));
    }
    let others = seen.entry((number, protocol)).or_default();
    for (place, other) in &*others {
        let words = if own == *other {
            "duplicate"
        } else if own.host == 0 || other.host == 0 {
            "overlapping"
        } else if own.host == other.host && own.address.is_empty() != other.address.is_empty() {
            "dangerously ambiguous"
        } else {
            continue;
        };
        told.push(format!("{}: {words} port definition with {place}", port.at));
    }
    others.push((port.at.to_string(), own));
}
