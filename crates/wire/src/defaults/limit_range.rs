//! Limit ranges of a namespace: the requests and limits that they give to containers, and the amounts that they refuse.
//!
//! Source: `plugin/pkg/admission/limitranger/admission.go` (`PodMutateLimitFunc`, `PodValidateLimitFunc`,
//! `PersistentVolumeClaimValidateLimitFunc`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    canonical::Amount,
    fixed::{part, set_in},
};
use podberth_core::model::Quantity;

type Object = Map<String, Value>;
/// Amounts by resource, with their texts.
type Amounts = BTreeMap<String, (Quantity, String)>;

/// The annotation that names what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// The limits of the ranges' objects, in order.
fn items(ranges: &[Value]) -> impl Iterator<Item = &Value> {
    ranges.iter().flat_map(|range| range["spec"]["limits"].as_array().into_iter().flatten())
}

fn amounts(list: &Value) -> Amounts {
    let entries = list.as_object().into_iter().flatten();
    entries
        .filter_map(|(name, text)| {
            let text = text.as_str()?;
            Some((name.clone(), (text.parse().ok()?, text.to_owned())))
        })
        .collect()
}

/// Fills in the amounts that the containers of a normalized pod leave open.
pub(super) fn fill(pod: &mut Object, ranges: &[Value]) {
    let mut defaults = [("limits", Object::new()), ("requests", Object::new())];
    for item in items(ranges).filter(|item| item["type"] == "Container") {
        for ((_, list), field) in defaults.iter_mut().zip(["default", "defaultRequest"]) {
            list.extend(item[field].as_object().cloned().unwrap_or_default());
        }
    }
    if defaults.iter().all(|(_, list)| list.is_empty()) {
        return;
    }
    let mut told = Vec::new();
    if let Some(Value::Object(spec)) = pod.get_mut("spec") {
        for (list, word) in [("containers", "container"), ("initContainers", "init container")] {
            let Some(Value::Array(containers)) = spec.get_mut(list) else { continue };
            for container in containers.iter_mut().filter_map(Value::as_object_mut) {
                container_of(container, &defaults, word, &mut told);
            }
        }
    }
    if !told.is_empty() {
        let text = format!("LimitRanger plugin set: {}", told.join("; "));
        set_in(pod, &["metadata", "annotations"], ANNOTATION, text.into());
    }
}

fn container_of(container: &mut Object, defaults: &[(&str, Object); 2], word: &str, told: &mut Vec<String>) {
    let name = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut set = [Vec::new(), Vec::new()];
    part(container, "resources", |resources| {
        for ((field, defaults), set) in defaults.iter().zip(&mut set) {
            for (resource, amount) in defaults {
                part(resources, field, |list| {
                    if !list.contains_key(resource) {
                        list.insert(resource.clone(), amount.clone());
                        set.push(resource.clone());
                    }
                });
            }
        }
    });
    let [limits, requests] = &mut set;
    for (set, what) in [(requests, "request"), (limits, "limit")] {
        if !set.is_empty() {
            set.sort();
            told.push(format!("{} {what} for {word} {name}", set.join(", ")));
        }
    }
}

/// Why the ranges refuse a normalized pod; empty if they do not.
pub(super) fn check_pod(pod: &Object, ranges: &[Value]) -> Vec<String> {
    let mut told = Vec::new();
    let none = Value::Null;
    let spec = pod.get("spec").unwrap_or(&none);
    let containers = |list: &str| spec[list].as_array().into_iter().flatten();
    for item in items(ranges) {
        match item["type"].as_str() {
            Some("Container") => {
                for container in containers("containers").chain(containers("initContainers")) {
                    let resources = &container["resources"];
                    check(
                        item,
                        "Container",
                        &amounts(&resources["requests"]),
                        &amounts(&resources["limits"]),
                        &mut told,
                    );
                }
            }
            Some("Pod") => {
                let of = |field: &str| written(total(spec, field));
                check(item, "Pod", &of("requests"), &of("limits"), &mut told);
            }
            _ => {}
        }
    }
    told
}

/// Why the ranges refuse a normalized claim; empty if they do not.
pub(super) fn check_claim(claim: &Object, ranges: &[Value]) -> Vec<String> {
    let mut told = Vec::new();
    let requests = claim.get("spec").map(|spec| amounts(&spec["resources"]["requests"])).unwrap_or_default();
    for item in items(ranges).filter(|item| item["type"] == "PersistentVolumeClaim") {
        let of = "PersistentVolumeClaim";
        for (resource, (least, shown)) in amounts(&item["min"]) {
            min(of, &resource, least, &shown, requests.get(&resource), None, &mut told);
        }
        for (resource, (most, shown)) in amounts(&item["max"]) {
            let head = format!("maximum {resource} usage per {of} is {shown}");
            match requests.get(&resource) {
                None => told.push(format!("{head}.  No request is specified")),
                Some((request, text)) if *request > most => told.push(format!("{head}, but request is {text}")),
                Some(_) => {}
            }
        }
    }
    told
}

/// Amounts by resource.
pub(super) type Sums = BTreeMap<String, Amount>;

/// Adds amounts to sums.
pub(super) fn add(sums: &mut Sums, amounts: &Sums) {
    for (name, amount) in amounts {
        let sum = sums.entry(name.clone()).or_default();
        *sum = sum.plus(*amount);
    }
}

/// A list of amounts; those that cannot be read are left out.
pub(super) fn listed(list: &Value) -> Sums {
    let entries = list.as_object().into_iter().flatten();
    entries.filter_map(|(name, text)| Some((name.clone(), Amount::parse(text.as_str()?)?))).collect()
}

/// The amounts of a pod without its overhead: those of its containers together, or more while an init container runs beside those that stay;
/// of the resources that the pod as a whole names, these (`component-helpers/resource/helpers.go`, `PodRequests`, `PodLimits`).
pub(super) fn total(spec: &Value, field: &str) -> Sums {
    let containers = |list: &str| spec[list].as_array().into_iter().flatten();
    let (mut sums, mut beside, mut highest) = (Sums::new(), Sums::new(), Sums::new());
    for container in containers("containers") {
        add(&mut sums, &listed(&container["resources"][field]));
    }
    for container in containers("initContainers") {
        let mut own = listed(&container["resources"][field]);
        if container["restartPolicy"] == "Always" {
            add(&mut sums, &own);
            add(&mut beside, &own);
            own.clone_from(&beside);
        } else {
            add(&mut own, &beside);
        }
        for (name, amount) in own {
            let most = highest.entry(name).or_insert(amount);
            *most = most.or_more(amount);
        }
    }
    for (name, amount) in highest {
        let sum = sums.entry(name).or_insert(amount);
        *sum = sum.or_more(amount);
    }
    sums.extend(listed(&spec["resources"][field]));
    sums
}

/// Sums with their texts.
fn written(sums: Sums) -> Amounts {
    sums.into_iter().map(|(name, sum)| (name, (sum.quantity, sum.to_string()))).collect()
}

fn check(item: &Value, of: &str, requests: &Amounts, limits: &Amounts, told: &mut Vec<String>) {
    for (resource, (least, shown)) in amounts(&item["min"]) {
        min(of, &resource, least, &shown, requests.get(&resource), limits.get(&resource), told);
    }
    for (resource, (most, shown)) in amounts(&item["max"]) {
        let head = format!("maximum {resource} usage per {of} is {shown}");
        match (limits.get(&resource), requests.get(&resource)) {
            (None, _) => told.push(format!("{head}.  No limit is specified")),
            (Some((limit, text)), _) if *limit > most => told.push(format!("{head}, but limit is {text}")),
            (_, Some((request, text))) if *request > most => told.push(format!("{head}, but request is {text}")),
            _ => {}
        }
    }
    for (resource, (most, shown)) in amounts(&item["maxLimitRequestRatio"]) {
        let head = format!("{resource} max limit to request ratio per {of} is {shown}");
        let set =
            |amounts: &Amounts| amounts.get(&resource).map(|(amount, _)| *amount).filter(|amount| !amount.is_zero());
        match (set(requests), set(limits)) {
            (None, _) => told.push(format!("{head}, but no request is specified or request is 0")),
            (_, None) => told.push(format!("{head}, but no limit is specified or limit is 0")),
            (Some(request), Some(limit)) => {
                let ratio = float(limit) / float(request);
                if ratio > float(most) / 1000.0 {
                    told.push(format!("{head}, but provided ratio is {ratio:.6}"));
                }
            }
        }
    }
}

fn float(quantity: Quantity) -> f64 {
    quantity.milli_value() as f64
}

fn min(
    of: &str,
    resource: &str,
    least: Quantity,
    shown: &str,
    request: Option<&(Quantity, String)>,
    limit: Option<&(Quantity, String)>,
    told: &mut Vec<String>,
) {
    let head = format!("minimum {resource} usage per {of} is {shown}");
    match (request, limit) {
        (None, _) => told.push(format!("{head}.  No request is specified")),
        (Some((request, text)), _) if *request < least => told.push(format!("{head}, but request is {text}")),
        (_, Some((limit, text))) if *limit < least => told.push(format!("{head}, but limit is {text}")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn range(item: &Value) -> Vec<Value> {
        vec![json!({"spec": {"limits": [item]}})]
    }

    fn pod(resources: &Value) -> Object {
        json!({"spec": {"containers": [{"name": "c", "resources": resources}]}}).as_object().unwrap().clone()
    }

    #[test]
    fn containers_get_the_defaults_of_the_range() {
        let ranges = range(
            &json!({"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m", "memory": "1Gi"}}),
        );
        let mut open = pod(&json!({"requests": {"memory": "2Gi"}}));
        fill(&mut open, &ranges);
        let resources = &open["spec"]["containers"][0]["resources"];
        assert_eq!(resources, &json!({"requests": {"memory": "2Gi", "cpu": "100m"}, "limits": {"cpu": "1"}}));
        let told = "LimitRanger plugin set: cpu request for container c; cpu limit for container c";
        assert_eq!(open["metadata"]["annotations"][ANNOTATION], told);
    }

    #[test]
    fn init_containers_run_beside_those_that_stay() {
        let container =
            |cpu: &str, policy: &str| json!({"restartPolicy": policy, "resources": {"requests": {"cpu": cpu}}});
        let init = [container("3", ""), container("1", "Always"), container("2500m", "")];
        // 1 + 1 of those that stay; 3 alone; 2500m beside 1
        let pod = json!({"containers": [container("1", "")], "initContainers": init});
        assert_eq!(total(&pod, "requests")["cpu"].to_string(), "3500m");
    }

    #[test]
    fn amounts_outside_of_the_range_are_refused() {
        let ranges = range(
            &json!({"type": "Container", "min": {"cpu": "200m"}, "max": {"memory": "1Gi"}, "maxLimitRequestRatio": {"cpu": "2"}}),
        );
        let refused = check_pod(
            &pod(&json!({"requests": {"cpu": "100m", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}})),
            &ranges,
        );
        assert_eq!(
            refused,
            [
                "minimum cpu usage per Container is 200m, but request is 100m",
                "maximum memory usage per Container is 1Gi, but limit is 2Gi",
                "cpu max limit to request ratio per Container is 2, but provided ratio is 10.000000",
            ]
        );
        let sized = pod(&json!({"requests": {"memory": "700Mi"}, "limits": {"memory": "700Mi"}}));
        let ranges = range(&json!({"type": "Pod", "max": {"memory": "512Mi"}}));
        assert_eq!(check_pod(&sized, &ranges), ["maximum memory usage per Pod is 512Mi, but limit is 700Mi"]);
        let ranges = range(&json!({"type": "Pod", "max": {"cpu": "1"}}));
        assert_eq!(check_pod(&pod(&json!({})), &ranges), ["maximum cpu usage per Pod is 1.  No limit is specified"]);
        let claim = json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}});
        let ranges = range(&json!({"type": "PersistentVolumeClaim", "min": {"storage": "2Gi"}}));
        assert_eq!(
            check_claim(claim.as_object().unwrap(), &ranges),
            ["minimum storage usage per PersistentVolumeClaim is 2Gi, but request is 1Gi"]
        );
    }
}
