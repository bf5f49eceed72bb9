//! Quotas of a namespace: what an object takes of them, and if they have as much left.
//!
//! The amount in use is the sum over the objects of the kind, so that a quota holds from its creation.
//!
//! Source: `apiserver/pkg/admission/plugin/resourcequota/controller.go` (`CheckRequest`), `pkg/quota/v1/evaluator/core/pods.go`,
//! `persistent_volume_claims.go`, `services.go`, `apiserver/pkg/quota/v1/generic/evaluator.go`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{limit_range::total, qos};
use crate::kinds::{self, StoredKind};
use podberth_core::{model::Quantity, snapshot::Kind};

/// Amounts by the names that quotas have for them.
type Usage = BTreeMap<String, Quantity>;

/// Resources of containers for which a quota makes containers name an amount.
const NAMED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// The amounts that an object takes.
fn usage(kind: &StoredKind, object: &Value) -> Usage {
    let one = Quantity::from_units(1);
    let mut usage = Usage::new();
    let group = if kind.group.is_empty() { String::new() } else { format!(".{}", kind.group) };
    usage.insert(format!("count/{}{group}", kind.plural), one);
    if kind.is(Kind::Pod) {
        if matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
            return usage;
        }
        usage.insert("pods".into(), one);
        for (name, (amount, _)) in total(&object["spec"], "requests") {
            if matches!(&*name, "cpu" | "memory" | "ephemeral-storage") {
                usage.insert(name.clone(), amount);
            }
            usage.insert(format!("requests.{name}"), amount);
        }
        for (name, (amount, _)) in total(&object["spec"], "limits") {
            usage.insert(format!("limits.{name}"), amount);
        }
    } else if kind.is(Kind::PersistentVolumeClaim) {
        let storage = object["spec"]["resources"]["requests"]["storage"].as_str().and_then(|text| text.parse().ok());
        let class = object["spec"]["storageClassName"].as_str().filter(|class| !class.is_empty());
        let storage: Quantity = storage.unwrap_or_default();
        usage.insert("persistentvolumeclaims".into(), one);
        usage.insert("requests.storage".into(), storage);
        if let Some(class) = class {
            let of = format!("{class}.storageclass.storage.k8s.io");
            usage.insert(format!("{of}/persistentvolumeclaims"), one);
            usage.insert(format!("{of}/requests.storage"), storage);
        }
    } else if kind.kind == "Service" {
        let of = object["spec"]["type"].as_str().unwrap_or_default();
        let ports = i64::try_from(object["spec"]["ports"].as_array().map_or(0, Vec::len)).unwrap_or(i64::MAX);
        let has_node_ports = matches!(of, "NodePort")
            || (of == "LoadBalancer" && object["spec"]["allocateLoadBalancerNodePorts"] != false);
        usage.insert("services".into(), one);
        usage.insert("services.loadbalancers".into(), Quantity::from_units(i64::from(of == "LoadBalancer")));
        usage.insert("services.nodeports".into(), Quantity::from_units(if has_node_ports { ports } else { 0 }));
    } else if matches!(kind.kind, "ReplicationController" | "ConfigMap" | "ResourceQuota") {
        usage.insert(kind.plural.into(), one);
    }
    usage
}

/// `true` if a quota is about an object, by its scopes.
fn is_about(quota: &Value, kind: &StoredKind, object: &Value) -> bool {
    let spec = &quota["spec"];
    let plain = spec["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let plain = plain.map(|scope| (scope, "Exists", &Value::Null));
    let selected = spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten().map(|expression| {
        let text = |field: &str| expression[field].as_str().unwrap_or_default();
        (text("scopeName"), text("operator"), &expression["values"])
    });
    let mut scopes = plain.chain(selected);
    scopes.all(|(scope, operator, values)| kind.is(Kind::Pod) && is_in(scope, operator, values, &object["spec"]))
}

fn is_in(scope: &str, operator: &str, values: &Value, pod: &Value) -> bool {
    let is_best_effort = pod.as_object().is_none_or(|spec| qos::class(spec) == "BestEffort");
    let is_ending = pod["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0);
    match scope {
        "BestEffort" => is_best_effort,
        "NotBestEffort" => !is_best_effort,
        "Terminating" => is_ending,
        "NotTerminating" => !is_ending,
        "PriorityClass" => {
            let class = pod["priorityClassName"].as_str().unwrap_or_default();
            let is_listed = values.as_array().is_some_and(|values| values.iter().any(|value| value == class));
            match operator {
                "In" => is_listed,
                "NotIn" => !is_listed,
                "DoesNotExist" => class.is_empty(),
                _ => !class.is_empty(),
            }
        }
        _ => false,
    }
}

/// The keys of the kinds whose objects a quota counts.
pub(super) fn counted(quota: &Value) -> Vec<&'static StoredKind> {
    let hard = limits(quota);
    let counts = |kind: &&'static StoredKind| usage(kind, &Value::Null).keys().any(|name| hard.contains_key(name));
    let counts_amounts = |kind: &StoredKind| {
        let named = |name: &String| {
            let of_claims = name.contains("storage") && !name.contains("ephemeral");
            let of_pods = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage")
                || ["requests.", "limits."].iter().any(|amounts| name.starts_with(amounts));
            if kind.is(Kind::Pod) { of_pods && !of_claims } else { of_claims }
        };
        (kind.is(Kind::Pod) || kind.is(Kind::PersistentVolumeClaim)) && hard.keys().any(named)
    };
    kinds::shared().filter(|kind| kind.namespaced && (counts(kind) || counts_amounts(kind))).collect()
}

fn limits(quota: &Value) -> Usage {
    let hard = quota["spec"]["hard"].as_object().into_iter().flatten();
    hard.filter_map(|(resource, text)| Some((resource.clone(), text.as_str()?.parse().ok()?))).collect()
}

/// The status of a quota, counted from the objects of its namespace, by their kinds.
pub(super) fn status(quota: &Value, objects: &[(&StoredKind, Vec<Value>)]) -> Value {
    let mut used: Usage = limits(quota).into_keys().map(|resource| (resource, Quantity::default())).collect();
    for (kind, objects) in objects {
        for object in objects.iter().filter(|object| is_about(quota, kind, object)) {
            add(&mut used, &usage(kind, object));
        }
    }
    let used: serde_json::Map<String, Value> =
        used.into_iter().map(|(resource, amount)| (resource, amount.to_string().into())).collect();
    json!({"hard": quota["spec"]["hard"], "used": used})
}

/// Charges the quotas that are about an object: their places in `quotas`, with the status that each then has. A new object is one
/// without a `before`; an update is charged what it takes beyond that one. `others` are the other objects of its kind.
///
/// # Errors
/// Why a quota refuses it.
pub(super) fn charges(
    kind: &StoredKind,
    object: &Value,
    before: Option<&Value>,
    quotas: &[Value],
    others: &[Value],
) -> Result<Vec<(usize, Value)>, String> {
    let taken = usage(kind, object);
    let mut charges = Vec::new();
    for (place, quota) in quotas.iter().enumerate().filter(|(_, quota)| is_about(quota, kind, object)) {
        let name = quota["metadata"]["name"].as_str().unwrap_or_default();
        let hard = limits(quota);
        if kind.is(Kind::Pod)
            && let Some(why) = unnamed(&object["spec"], &hard)
        {
            return Err(format!("failed quota: {name}: must specify {why}"));
        }
        let before = before.filter(|before| is_about(quota, kind, before));
        let held = before.map(|before| usage(kind, before)).unwrap_or_default();
        let mut requested = taken.clone();
        requested.retain(|resource, amount| {
            *amount = amount.saturating_sub(held.get(resource).copied().unwrap_or_default());
            hard.contains_key(resource) && !amount.is_zero() && !amount.is_negative()
        });
        if requested.is_empty() {
            continue;
        }
        let mut used: Usage = requested.keys().map(|resource| (resource.clone(), Quantity::default())).collect();
        add(&mut used, &held);
        for other in others.iter().filter(|other| is_about(quota, kind, other)) {
            add(&mut used, &usage(kind, other));
        }
        let exceeds =
            |(resource, amount): &(&String, &Quantity)| used[*resource].saturating_add(**amount) > hard[*resource];
        let exceeded: Vec<&String> = requested.iter().filter(exceeds).map(|(resource, _)| resource).collect();
        if !exceeded.is_empty() {
            let of = |usage: &Usage| {
                let shown = exceeded.iter().map(|resource| format!("{resource}={}", usage[*resource]));
                shown.collect::<Vec<_>>().join(",")
            };
            let (requested, used, hard) = (of(&requested), of(&used), of(&hard));
            return Err(format!("exceeded quota: {name}, requested: {requested}, used: {used}, limited: {hard}"));
        }
        charges.push((place, charged(quota, &requested, &used)));
    }
    Ok(charges)
}

/// Adds amounts to the sums that are kept.
fn add(sums: &mut Usage, amounts: &Usage) {
    for (resource, sum) in sums {
        *sum = sum.saturating_add(amounts.get(resource).copied().unwrap_or_default());
    }
}

/// The status of a quota that is charged. It differs from the one before even if objects have gone since that was counted: of two charges of
/// one revision only one can then be stored.
fn charged(quota: &Value, requested: &Usage, counted: &Usage) -> Value {
    let mut status = quota["status"].clone();
    if status["hard"].is_null() {
        status = json!({"hard": quota["spec"]["hard"], "used": {}});
    }
    for (resource, amount) in requested {
        let told = status["used"][resource].as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
        let used = counted[resource].max(told).saturating_add(*amount);
        if let Some(all) = status["used"].as_object_mut() {
            all.insert(resource.clone(), used.to_string().into());
        }
    }
    status
}

/// The resources that a quota limits and that containers do not name.
fn unnamed(pod: &Value, hard: &Usage) -> Option<String> {
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for resource in NAMED.into_iter().filter(|resource| hard.contains_key(*resource)) {
        let (field, name) = match resource.split_once('.') {
            Some(("limits", name)) => ("limits", name),
            Some((_, name)) => ("requests", name),
            None => ("requests", resource),
        };
        if !pod["resources"][field][name].is_null() {
            continue;
        }
        for list in ["containers", "initContainers"] {
            for container in pod[list].as_array().into_iter().flatten() {
                if container["resources"][field][name].is_null() {
                    missing.entry(resource).or_default().insert(container["name"].as_str().unwrap_or_default());
                }
            }
        }
    }
    let told = missing.into_iter().map(|(resource, containers)| {
        format!("{resource} for: {}", containers.into_iter().collect::<Vec<_>>().join(","))
    });
    let told = told.collect::<Vec<_>>().join("; ");
    (!told.is_empty()).then_some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(cpu: &str) -> Value {
        json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
    }

    #[test]
    fn a_pod_beyond_the_quota_is_refused() {
        let pods = kinds::by_plural("", "pods").unwrap();
        let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "1", "pods": "2"}}});
        let refused =
            |new: &Value, others: &[Value]| charges(pods, new, None, std::slice::from_ref(&quota), others).err();
        assert_eq!(refused(&pod("600m"), &[]), None);
        // 600m + 600m > 1
        assert_eq!(
            refused(&pod("600m"), &[pod("600m")]).unwrap(),
            "exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1"
        );
        let mut done = pod("600m");
        done["status"] = json!({"phase": "Succeeded"});
        assert_eq!(refused(&pod("600m"), &[done]), None, "a pod that ended takes nothing");
        let two = [pod("100m"), pod("100m")];
        assert_eq!(
            refused(&pod("100m"), &two).unwrap(),
            "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"
        );
        let bare = json!({"spec": {"containers": [{"name": "c"}]}});
        assert_eq!(refused(&bare, &[]).unwrap(), "failed quota: q: must specify requests.cpu for: c");
        let scoped = json!({"metadata": {"name": "s"}, "spec": {"hard": {"pods": "0"}, "scopes": ["BestEffort"]}});
        assert_eq!(charges(pods, &pod("1"), None, std::slice::from_ref(&scoped), &[]), Ok(Vec::new()));
        assert!(charges(pods, &bare, None, &[scoped], &[]).is_err());
    }

    #[test]
    fn a_larger_pod_is_charged_the_difference() {
        let pods = kinds::by_plural("", "pods").unwrap();
        let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "2", "pods": "1"}}});
        let charged = |new: &str, others: &[Value]| {
            charges(pods, &pod(new), Some(&pod("500m")), std::slice::from_ref(&quota), others)
        };
        assert_eq!(charged("400m", &[pod("5")]), Ok(Vec::new()), "a smaller one takes nothing");
        let status = json!({"hard": {"requests.cpu": "2", "pods": "1"}, "used": {"requests.cpu": "2"}});
        assert_eq!(charged("1500m", &[pod("500m")]), Ok(vec![(0, status)]));
        assert_eq!(
            charged("1", &[pod("1200m")]).unwrap_err(),
            "exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=1700m, limited: requests.cpu=2"
        );
    }

    proptest::proptest! {
        /// Otherwise two replicas could store the same status at the same revision, and neither would notice the other.
        #[test]
        fn every_charge_changes_the_status(told in 0_i64..9, counted in 0_usize..9) {
            let pods = kinds::by_plural("", "pods").unwrap();
            let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "10"}}, "status": {"hard": {"pods": "10"}, "used": {"pods": told.to_string()}}});
            let charged = charges(pods, &pod("1"), None, std::slice::from_ref(&quota), &vec![pod("1"); counted]).unwrap();
            proptest::prop_assert_eq!(charged.len(), 1);
            proptest::prop_assert_ne!(&charged[0].1, &quota["status"]);
        }
    }

    #[test]
    fn the_status_has_the_sums_of_what_is_limited() {
        let hard = json!({"requests.cpu": "2", "pods": "10", "configmaps": "5", "requests.storage": "1Gi", "count/jobs.batch": "1"});
        let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
        let of: Vec<&str> = counted(&quota).iter().map(|kind| kind.plural).collect();
        assert_eq!(of, ["persistentvolumeclaims", "pods", "configmaps", "jobs"]);
        let kind = |plural: &str| counted(&quota).into_iter().find(|kind| kind.plural == plural).unwrap();
        let objects = [(kind("pods"), vec![pod("600m"), pod("900m")]), (kind("configmaps"), vec![json!({})])];
        let used = json!({"requests.cpu": "1500m", "pods": "2", "configmaps": "1", "requests.storage": "0", "count/jobs.batch": "0"});
        assert_eq!(status(&quota, &objects), json!({"hard": hard, "used": used}));
    }
}
