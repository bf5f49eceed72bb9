//! Quotas of a namespace: what an object takes of them, and if they have as much left.
//!
//! The amount in use is the sum over the objects of the kind, so that a quota holds from its creation.
//!
//! Source: `apiserver/pkg/admission/plugin/resourcequota/controller.go` (`CheckRequest`), `pkg/quota/v1/evaluator/core/pods.go`
//! (`Constraints`), `apiserver/pkg/quota/v1/generic/evaluator.go`, `apiserver/pkg/quota/v1/resources.go` (`Add`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    canonical::Amount,
    usage::{DEVICES_OF_CLASS, Usage, is_about, is_counted, usage},
};
use crate::kinds::{self, StoredKind};
use podberth_core::snapshot::Kind;

/// Resources of containers for which a quota makes containers name an amount.
const NAMED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// The kinds whose objects a quota counts.
pub fn counted(quota: &Value) -> Vec<&'static StoredKind> {
    let hard = limits(quota);
    let counts = |kind: &&'static StoredKind| usage(kind, &Value::Null).keys().any(|name| hard.contains_key(name));
    let counts_amounts = |kind: &StoredKind| {
        let named = |name: &String| {
            let of_claims = name.contains("storage") && !name.contains("ephemeral");
            let of_pods = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage")
                || ["requests.", "limits.", "hugepages-"].iter().any(|amounts| name.starts_with(amounts));
            match kind.core() {
                Some(Kind::Pod) => of_pods && !of_claims,
                Some(Kind::PersistentVolumeClaim) => of_claims,
                Some(Kind::ResourceClaim) => name.ends_with(DEVICES_OF_CLASS),
                _ => false,
            }
        };
        hard.keys().any(named)
    };
    kinds::shared().filter(|kind| kind.namespaced && (counts(kind) || counts_amounts(kind))).collect()
}

fn limits(quota: &Value) -> Usage {
    let hard = quota["spec"]["hard"].as_object().into_iter().flatten();
    let hard = hard.filter(|(resource, _)| is_counted(resource));
    hard.filter_map(|(resource, text)| Some((resource.clone(), Amount::parse(text.as_str()?)?))).collect()
}

/// The status of a quota, counted from the objects of its namespace, by their kinds.
pub fn status(quota: &Value, objects: &[(&StoredKind, Vec<Value>)]) -> Value {
    let mut used: Usage = limits(quota).into_keys().map(|resource| (resource, Amount::default())).collect();
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
pub fn charges(
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
            *amount = amount.minus(held.get(resource).copied().unwrap_or_default());
            hard.contains_key(resource) && !amount.quantity.is_zero() && !amount.quantity.is_negative()
        });
        if requested.is_empty() {
            continue;
        }
        let mut used: Usage = requested.keys().map(|resource| (resource.clone(), Amount::default())).collect();
        add(&mut used, &held);
        for other in others.iter().filter(|other| is_about(quota, kind, other)) {
            add(&mut used, &usage(kind, other));
        }
        let exceeds = |(resource, amount): &(&String, &Amount)| {
            used[*resource].plus(**amount).quantity > hard[*resource].quantity
        };
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
        *sum = sum.plus(amounts.get(resource).copied().unwrap_or_default());
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
        let told = status["used"][resource].as_str().and_then(Amount::parse).unwrap_or_default();
        let used = counted[resource].or_more(told).plus(*amount);
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

    #[test]
    fn amounts_are_told_as_they_were_written() {
        let pods = kinds::by_plural("", "pods").unwrap();
        let of = |memory: &str| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"memory": memory}}}]}});
        let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"requests.memory": "1Gi"}}});
        let (one, charge) = (std::slice::from_ref(&quota), |memory: &str, others: &[Value]| {
            charges(pods, &of(memory), None, std::slice::from_ref(&quota), others)
        });
        assert_eq!(
            charge("700Mi", &[of("600Mi")]).unwrap_err(),
            "exceeded quota: q, requested: requests.memory=700Mi, used: requests.memory=600Mi, limited: requests.memory=1Gi"
        );
        assert_eq!(charge("200Mi", &[of("100Mi")]).unwrap()[0].1["used"]["requests.memory"], "300Mi");
        // 100M + 1Mi, in the notation of the first
        let status = status(&one[0], &[(pods, vec![of("100M"), of("1Mi")])]);
        assert_eq!(status["used"]["requests.memory"], "101048576");
        assert_eq!(charge("1Mi", &[of("100M")]).unwrap()[0].1["used"]["requests.memory"], "101048576");
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
