//! The amounts that an object takes of quotas, and the scopes that it is in.
//!
//! Source: `pkg/quota/v1/evaluator/core/pods.go` (`PodUsageFunc`, `podMatchesScopeFunc`), `persistent_volume_claims.go`, `services.go`,
//! `resource_claims.go`, `pkg/quota/v1/install/registry.go`, `apiserver/pkg/quota/v1/generic/evaluator.go`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    canonical::Amount,
    limit_range::{Sums, add, listed, total},
    qos,
};
use crate::kinds::StoredKind;
use podberth_core::{
    model::{MOST_DEVICES_OF_CLAIM, resources},
    snapshot::Kind,
};

/// Amounts by the names that quotas have for them.
pub(super) type Usage = BTreeMap<String, Amount>;

/// Behind the name of a device class: its devices that claims may take.
pub(super) const DEVICES_OF_CLASS: &str = ".deviceclass.resource.k8s.io/devices";

/// `false` for amounts of objects that quotas leave out: events.
pub(super) fn is_counted(resource: &str) -> bool {
    !matches!(resource, "count/events" | "count/events.events.k8s.io")
}

/// The amounts that an object takes.
pub(super) fn usage(kind: &StoredKind, object: &Value) -> Usage {
    let one = Amount::of(1);
    let mut usage = Usage::new();
    let group = if kind.group.is_empty() { String::new() } else { format!(".{}", kind.group) };
    usage.insert(format!("count/{}{group}", kind.plural), one);
    let has_ended = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    match (kind.core(), kind.kind) {
        (Some(Kind::Pod), _) if !has_ended => {
            usage.insert("pods".into(), one);
            pod(&object["spec"], &mut usage);
        }
        (Some(Kind::PersistentVolumeClaim), _) => volume(&object["spec"], &mut usage),
        (Some(Kind::ResourceClaim), _) => devices(&object["spec"]["devices"], &mut usage),
        (_, "Service") => service(&object["spec"], &mut usage),
        (_, "ReplicationController" | "ConfigMap" | "ResourceQuota") => drop(usage.insert(kind.plural.into(), one)),
        _ => {}
    }
    usage
}

/// CPU, memory and ephemeral storage by plain names, `requests.` and `limits.`; requests of huge pages and extended resources.
fn pod(spec: &Value, usage: &mut Usage) {
    let (mut requests, mut limits) = (total(spec, "requests"), total(spec, "limits"));
    let overhead = listed(&spec["overhead"]);
    add(&mut requests, &overhead);
    let limited: Sums = overhead.into_iter().filter(|(name, _)| limits.contains_key(name)).collect();
    add(&mut limits, &limited);
    let is_plain = |name: &str| matches!(name, "cpu" | "memory" | "ephemeral-storage");
    for (name, amount) in requests {
        let has_plain_name = is_plain(&name) || name.starts_with(resources::HUGE_PAGES_PREFIX);
        if has_plain_name || resources::is_extended(&name) {
            usage.insert(format!("requests.{name}"), amount);
        }
        if has_plain_name {
            usage.insert(name, amount);
        }
    }
    for (name, amount) in limits.into_iter().filter(|(name, _)| is_plain(name)) {
        usage.insert(format!("limits.{name}"), amount);
    }
}

fn volume(spec: &Value, usage: &mut Usage) {
    let one = Amount::of(1);
    let storage = spec["resources"]["requests"]["storage"].as_str().and_then(Amount::parse).unwrap_or_default();
    usage.insert("persistentvolumeclaims".into(), one);
    usage.insert("requests.storage".into(), storage);
    if let Some(class) = spec["storageClassName"].as_str().filter(|class| !class.is_empty()) {
        let of = format!("{class}.storageclass.storage.k8s.io");
        usage.insert(format!("{of}/persistentvolumeclaims"), one);
        usage.insert(format!("{of}/requests.storage"), storage);
    }
}

/// The devices of each class that a claim may get: of alternatives the most.
fn devices(claim: &Value, usage: &mut Usage) {
    let wanted = |request: &Value| {
        let count = match request["allocationMode"].as_str() {
            Some("All") => i64::try_from(MOST_DEVICES_OF_CLAIM).unwrap_or(i64::MAX),
            None | Some("" | "ExactCount") => request["count"].as_i64().unwrap_or(1),
            Some(_) => 0,
        };
        let class = request["deviceClassName"].as_str().unwrap_or_default();
        (format!("{class}{DEVICES_OF_CLASS}"), Amount::of(count))
    };
    for request in claim["requests"].as_array().into_iter().flatten() {
        let mut own = Sums::new();
        if request["exactly"].is_object() {
            own.extend([wanted(&request["exactly"])]);
        }
        for (class, count) in request["firstAvailable"].as_array().into_iter().flatten().map(wanted) {
            let most = own.entry(class).or_default();
            *most = most.or_more(count);
        }
        add(usage, &own);
    }
}

fn service(spec: &Value, usage: &mut Usage) {
    let of = spec["type"].as_str().unwrap_or_default();
    let ports = i64::try_from(spec["ports"].as_array().map_or(0, Vec::len)).unwrap_or(i64::MAX);
    let has_node_ports =
        matches!(of, "NodePort") || (of == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] != false);
    usage.insert("services".into(), Amount::of(1));
    usage.insert("services.loadbalancers".into(), Amount::of(i64::from(of == "LoadBalancer")));
    usage.insert("services.nodeports".into(), Amount::of(if has_node_ports { ports } else { 0 }));
}

/// `true` if a quota is about an object, by its scopes.
pub(super) fn is_about(quota: &Value, kind: &StoredKind, object: &Value) -> bool {
    let spec = &quota["spec"];
    let plain = spec["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let plain = plain.map(|scope| (scope, "Exists", &Value::Null));
    let selected = spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten().map(|expression| {
        let text = |field: &str| expression[field].as_str().unwrap_or_default();
        (text("scopeName"), text("operator"), &expression["values"])
    });
    plain.chain(selected).all(|(scope, operator, values)| match kind.core() {
        Some(Kind::Pod) => is_in(scope, operator, values, &object["spec"]),
        Some(Kind::PersistentVolumeClaim) if scope == "VolumeAttributesClass" => {
            let places = [
                "/spec/volumeAttributesClassName",
                "/status/currentVolumeAttributesClassName",
                "/status/modifyVolumeStatus/targetVolumeAttributesClassName",
            ];
            let names = places.iter().filter_map(|place| object.pointer(place)?.as_str());
            selects(operator, values, &names.filter(|name| !name.is_empty()).collect::<Vec<_>>())
        }
        _ => false,
    })
}

fn is_in(scope: &str, operator: &str, values: &Value, pod: &Value) -> bool {
    let is_best_effort = pod.as_object().is_none_or(|spec| qos::class(spec) == "BestEffort");
    let is_ending = pod["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0);
    match scope {
        "BestEffort" => is_best_effort,
        "NotBestEffort" => !is_best_effort,
        "Terminating" => is_ending,
        "NotTerminating" => !is_ending,
        "CrossNamespacePodAffinity" => looks_elsewhere(&pod["affinity"]),
        "PriorityClass" => {
            let class = pod["priorityClassName"].as_str().filter(|class| !class.is_empty());
            selects(operator, values, class.as_slice())
        }
        _ => false,
    }
}

/// An operator of a scope held against the names of classes that an object has.
fn selects(operator: &str, values: &Value, names: &[&str]) -> bool {
    let is_listed = |name: &&str| values.as_array().is_some_and(|values| values.iter().any(|value| value == *name));
    match operator {
        "In" => names.iter().any(is_listed),
        "NotIn" => names.is_empty() || !names.iter().all(is_listed),
        "DoesNotExist" => names.is_empty(),
        _ => !names.is_empty(),
    }
}

/// `true` if an affinity to pods is about those of named or selected namespaces.
fn looks_elsewhere(affinity: &Value) -> bool {
    let crosses = |term: &Value| {
        term["namespaces"].as_array().is_some_and(|names| !names.is_empty()) || !term["namespaceSelector"].is_null()
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|field| {
        let terms = |list: &str| affinity[*field][list].as_array().into_iter().flatten();
        terms("requiredDuringSchedulingIgnoredDuringExecution").any(crosses)
            || terms("preferredDuringSchedulingIgnoredDuringExecution").any(|term| crosses(&term["podAffinityTerm"]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;
    use serde_json::json;

    fn taken(group: &str, plural: &str, object: &Value) -> BTreeMap<String, String> {
        let kind = kinds::by_plural(group, plural).unwrap();
        usage(kind, object).into_iter().map(|(name, amount)| (name, amount.to_string())).collect()
    }

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(name, amount)| ((*name).to_owned(), (*amount).to_owned())).collect()
    }

    #[test]
    fn a_pod_takes_its_requests_with_its_overhead() {
        let amounts = json!({"cpu": "1", "hugepages-2Mi": "64Mi", "example.com/gpu": "2"});
        let container = json!({"resources": {"requests": amounts, "limits": amounts}});
        let pod = json!({"spec": {"containers": [container], "overhead": {"cpu": "100m", "memory": "1Gi"}}});
        let expected = [
            ("count/pods", "1"),
            ("pods", "1"),
            ("cpu", "1100m"),
            ("requests.cpu", "1100m"),
            ("limits.cpu", "1100m"),
            ("memory", "1Gi"),
            ("requests.memory", "1Gi"),
            ("hugepages-2Mi", "64Mi"),
            ("requests.hugepages-2Mi", "64Mi"),
            ("requests.example.com/gpu", "2"),
        ];
        assert_eq!(taken("", "pods", &pod), map(&expected));
    }

    #[test]
    fn a_claim_takes_the_most_devices_of_each_class() {
        let devices = json!({"requests": [
            {"name": "a", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 8}},
            {"name": "b", "exactly": {"deviceClassName": "gpu"}},
            {"name": "c", "firstAvailable": [{"deviceClassName": "gpu", "count": 2}, {"deviceClassName": "gpu", "count": 3},
                {"deviceClassName": "nic", "allocationMode": "All"}]},
        ]});
        let expected = [
            ("count/resourceclaims.resource.k8s.io", "1"),
            ("gpu.deviceclass.resource.k8s.io/devices", "12"),
            ("nic.deviceclass.resource.k8s.io/devices", "32"),
        ];
        assert_eq!(taken("resource.k8s.io", "resourceclaims", &json!({"spec": {"devices": devices}})), map(&expected));
    }

    #[test]
    fn scopes_select_pods_and_volumes() {
        let is_about = |scope: &Value, plural: &str, object: &Value| {
            let quota = json!({"spec": {"scopeSelector": {"matchExpressions": [scope]}}});
            super::is_about(&quota, kinds::by_plural("", plural).unwrap(), object)
        };
        let term = |field: &str, value: Value| json!({"topologyKey": "z", field: value});
        let affine = |kind: &str, field: &str, term: Value| json!({"spec": {"affinity": {kind: {field: [term]}}}});
        let (required, preferred) =
            ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution");
        let crossing = json!({"scopeName": "CrossNamespacePodAffinity", "operator": "Exists"});
        let weighted = json!({"weight": 1, "podAffinityTerm": term("namespaceSelector", json!({}))});
        for (pod, expected) in [
            (affine("podAffinity", required, term("namespaces", json!(["other"]))), true),
            (affine("podAntiAffinity", preferred, weighted), true),
            (affine("podAffinity", required, term("labelSelector", json!({}))), false),
            (json!({"spec": {}}), false),
        ] {
            assert_eq!(is_about(&crossing, "pods", &pod), expected, "{pod}");
        }
        let gold = json!({"spec": {"volumeAttributesClassName": "gold"}});
        for (operator, values, expected) in [
            ("Exists", json!([]), true),
            ("In", json!(["gold"]), true),
            ("NotIn", json!(["gold"]), false),
            ("DoesNotExist", json!([]), false),
        ] {
            let scope = json!({"scopeName": "VolumeAttributesClass", "operator": operator, "values": values});
            assert_eq!(is_about(&scope, "persistentvolumeclaims", &gold), expected, "{scope}");
        }
        assert!(!is_about(&crossing, "configmaps", &json!({})), "objects without scopes are in none");
    }

    #[test]
    fn events_are_not_counted() {
        assert!(!is_counted("count/events") && !is_counted("count/events.events.k8s.io") && is_counted("count/pods"));
    }
}
