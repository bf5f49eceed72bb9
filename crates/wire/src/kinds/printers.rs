//! Cells that take more than one field of an object.
//!
//! Source: `pkg/printers/internalversion/printers.go` of 1.34; the function is named beside each. What the API server would
//! have filled in reads here as if it had.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::columns::{NONE, UNKNOWN, UNSET, age, elapsed, instant, text};

pub(super) mod pod;

fn list<'o>(object: &'o Value, path: &str) -> &'o [Value] {
    object.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn number(object: &Value, path: &str) -> i64 {
    object.pointer(path).and_then(Value::as_i64).unwrap_or_default()
}

/// A quantity or a whole number or a percentage, as it was written.
fn amount(object: &Value, path: &str) -> Option<String> {
    match object.pointer(path)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn joined<'v>(values: impl IntoIterator<Item = &'v Value>, path: &str, separator: &str) -> String {
    let texts: Vec<&str> = values.into_iter().map(|value| text(value, path).unwrap_or_default()).collect();
    texts.join(separator)
}

fn is_terminating(object: &Value) -> bool {
    text(object, "/metadata/deletionTimestamp").is_some()
}

/// `true` if the object has this condition with status `True`.
fn has_condition(object: &Value, of: &str) -> bool {
    condition(object, of).is_some_and(|condition| condition["status"] == "True")
}

fn condition<'o>(object: &'o Value, of: &str) -> Option<&'o Value> {
    list(object, "/status/conditions").iter().find(|condition| condition["type"] == of)
}

/// `layoutContainerCells`
pub(super) fn containers(object: &Value, _: Timestamp) -> Value {
    joined(list(object, "/spec/template/spec/containers"), "/name", ",").into()
}

/// `layoutContainerCells`
pub(super) fn images(object: &Value, _: Timestamp) -> Value {
    joined(list(object, "/spec/template/spec/containers"), "/image", ",").into()
}

/// A selector of labels (`apimachinery/pkg/apis/meta/v1/helpers.go`: `FormatLabelSelector`).
pub(super) fn selector(object: &Value, _: Timestamp) -> Value {
    label_selector(object.pointer("/spec/selector"), NONE).into()
}

/// As [`selector`], of a deployment: one that selects everything is told as nothing (`printDeployment`).
pub(super) fn deployment_selector(object: &Value, _: Timestamp) -> Value {
    label_selector(object.pointer("/spec/selector"), "").into()
}

/// `printNetworkPolicy`
pub(super) fn pod_selector(object: &Value, _: Timestamp) -> Value {
    label_selector(object.pointer("/spec/podSelector"), NONE).into()
}

fn label_selector(selector: Option<&Value>, everything: &str) -> String {
    let Some(selector) = selector else { return NONE.into() };
    let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let mut terms: Vec<(String, String)> =
        labels.map(|(key, value)| (key.clone(), format!("{key}={}", value.as_str().unwrap_or_default()))).collect();
    for expression in list(selector, "/matchExpressions") {
        let key = text(expression, "/key").unwrap_or_default();
        let mut values: Vec<&str> = list(expression, "/values").iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let term = match text(expression, "/operator").unwrap_or_default() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => return "<error>".into(),
        };
        terms.push((key.to_owned(), term));
    }
    terms.sort();
    if terms.is_empty() {
        return everything.into();
    }
    terms.into_iter().map(|(_, term)| term).collect::<Vec<_>>().join(",")
}

/// A map of labels (`apimachinery/pkg/labels/labels.go`: `FormatLabels`).
fn labels(map: Option<&Value>) -> Value {
    let labels = map.and_then(Value::as_object).into_iter().flatten();
    let mut labels: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    labels.sort();
    if labels.is_empty() { NONE.into() } else { labels.join(",").into() }
}

/// `printService`, `printReplicationController`
pub(super) fn map_selector(object: &Value, _: Timestamp) -> Value {
    labels(object.pointer("/spec/selector"))
}

/// `printDaemonSet`
pub(super) fn node_selector(object: &Value, _: Timestamp) -> Value {
    labels(object.pointer("/spec/template/spec/nodeSelector"))
}

/// `resourceClaimState`
pub(super) fn resource_claim_state(claim: &Value, _: Timestamp) -> Value {
    let is_deleted = text(claim, "/metadata/deletionTimestamp").is_some();
    let is_reserved =
        claim.pointer("/status/reservedFor").and_then(Value::as_array).is_some_and(|for_| !for_.is_empty());
    let allocated = match claim.pointer("/status/allocation") {
        Some(Value::Object(_)) if is_reserved => "allocated,reserved",
        Some(Value::Object(_)) => "allocated",
        _ if is_deleted => "",
        _ => "pending",
    };
    [if is_deleted { "deleted" } else { "" }, allocated]
        .into_iter()
        .filter(|state| !state.is_empty())
        .collect::<Vec<_>>()
        .join(",")
        .into()
}

/// Ready replicas of those wanted (`printDeployment`, `printStatefulSet`).
pub(super) fn ready_replicas(object: &Value, _: Timestamp) -> Value {
    let wanted = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    format!("{}/{wanted}", number(object, "/status/readyReplicas")).into()
}

/// `printNode`
pub(super) fn node_status(node: &Value, _: Timestamp) -> Value {
    let ready = condition(node, "Ready").map_or("Unknown", |condition| match text(condition, "/status") {
        Some("True") => "Ready",
        _ => "NotReady",
    });
    let is_cordoned = node.pointer("/spec/unschedulable") == Some(&Value::Bool(true));
    if is_cordoned { format!("{ready},SchedulingDisabled").into() } else { ready.into() }
}

/// `findNodeRoles`
pub(super) fn node_roles(node: &Value, _: Timestamp) -> Value {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    let roles: BTreeSet<&str> = labels
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            None if key == "kubernetes.io/role" => value.as_str(),
            role => role,
        })
        .filter(|role| !role.is_empty())
        .collect();
    if roles.is_empty() { NONE.into() } else { roles.into_iter().collect::<Vec<_>>().join(",").into() }
}

fn node_address(node: &Value, of: &str) -> Value {
    let found = list(node, "/status/addresses").iter().find(|address| address["type"] == of);
    found.and_then(|address| text(address, "/address")).unwrap_or(NONE).into()
}

/// `getNodeInternalIP`
pub(super) fn internal_ip(node: &Value, _: Timestamp) -> Value {
    node_address(node, "InternalIP")
}

/// `getNodeExternalIP`
pub(super) fn external_ip(node: &Value, _: Timestamp) -> Value {
    node_address(node, "ExternalIP")
}

/// The phase, or that the object is being deleted (`printPersistentVolume`, `printPersistentVolumeClaim`).
pub(super) fn volume_phase(object: &Value, _: Timestamp) -> Value {
    if is_terminating(object) { "Terminating" } else { text(object, "/status/phase").unwrap_or("Pending") }.into()
}

/// Access modes by their short names (`pkg/apis/core/helper/helpers.go`: `GetAccessModesAsString`).
fn access_modes(modes: &[Value]) -> Value {
    let short =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let told = short.into_iter().filter(|(mode, _)| modes.iter().any(|value| value == mode));
    told.map(|(_, short)| short).collect::<Vec<_>>().join(",").into()
}

/// `printPersistentVolume`
pub(super) fn volume_modes(volume: &Value, _: Timestamp) -> Value {
    access_modes(list(volume, "/spec/accessModes"))
}

/// `printPersistentVolume`
pub(super) fn volume_capacity(volume: &Value, _: Timestamp) -> Value {
    amount(volume, "/spec/capacity/storage").unwrap_or_else(|| "0".into()).into()
}

/// `printPersistentVolume`
pub(super) fn volume_claim(volume: &Value, _: Timestamp) -> Value {
    let Some(claim) = volume.pointer("/spec/claimRef").filter(|claim| claim.is_object()) else { return "".into() };
    let part = |path| text(claim, path).unwrap_or_default();
    format!("{}/{}", part("/namespace"), part("/name")).into()
}

/// The class of a volume or claim: that of the annotation of old goes first (`GetPersistentVolumeClass`).
pub(super) fn storage_class(object: &Value, _: Timestamp) -> Value {
    let annotated = text(object, "/metadata/annotations/volume.beta.kubernetes.io~1storage-class");
    annotated.or_else(|| text(object, "/spec/storageClassName")).unwrap_or_default().into()
}

fn of_bound_claim(claim: &Value, cell: impl FnOnce() -> Value) -> Value {
    if text(claim, "/spec/volumeName").is_some() { cell() } else { "".into() }
}

/// `printPersistentVolumeClaim`
pub(super) fn claim_capacity(claim: &Value, _: Timestamp) -> Value {
    of_bound_claim(claim, || amount(claim, "/status/capacity/storage").unwrap_or_else(|| "0".into()).into())
}

/// `printPersistentVolumeClaim`
pub(super) fn claim_modes(claim: &Value, _: Timestamp) -> Value {
    of_bound_claim(claim, || access_modes(list(claim, "/status/accessModes")))
}

/// `printStorageClass`
pub(super) fn class_name(class: &Value, _: Timestamp) -> Value {
    let name = text(class, "/metadata/name").unwrap_or_default();
    let annotations =
        ["storageclass.kubernetes.io~1is-default-class", "storageclass.beta.kubernetes.io~1is-default-class"];
    let is_default = annotations.iter().any(|key| text(class, &format!("/metadata/annotations/{key}")) == Some("true"));
    if is_default { format!("{name} (default)").into() } else { name.into() }
}

/// `printCSIDriver`
pub(super) fn token_requests(driver: &Value, _: Timestamp) -> Value {
    match driver.pointer("/spec/tokenRequests") {
        Some(Value::Array(requests)) => joined(requests, "/audience", ",").into(),
        _ => UNSET.into(),
    }
}

/// `printCSIDriver`: drivers that say nothing serve persistent volumes.
pub(super) fn lifecycle_modes(driver: &Value, _: Timestamp) -> Value {
    let modes = list(driver, "/spec/volumeLifecycleModes");
    if modes.is_empty() { "Persistent".into() } else { joined(modes, "", ",").into() }
}

/// `printCSIStorageCapacity`
pub(super) fn csi_capacity(capacity: &Value, _: Timestamp) -> Value {
    amount(capacity, "/capacity").unwrap_or_else(|| UNSET.into()).into()
}

/// `printPodDisruptionBudget`
pub(super) fn min_available(budget: &Value, _: Timestamp) -> Value {
    amount(budget, "/spec/minAvailable").unwrap_or_else(|| "N/A".into()).into()
}

/// `printPodDisruptionBudget`
pub(super) fn max_unavailable(budget: &Value, _: Timestamp) -> Value {
    amount(budget, "/spec/maxUnavailable").unwrap_or_else(|| "N/A".into()).into()
}

/// `printService`
pub(super) fn cluster_ip(service: &Value, _: Timestamp) -> Value {
    text(service, "/spec/clusterIPs/0").or_else(|| text(service, "/spec/clusterIP")).unwrap_or(NONE).into()
}

/// `getServiceExternalIP`
pub(super) fn service_external_ip(service: &Value, _: Timestamp) -> Value {
    let own = joined(list(service, "/spec/externalIPs"), "", ",");
    match text(service, "/spec/type").unwrap_or("ClusterIP") {
        "ClusterIP" | "NodePort" if own.is_empty() => NONE.into(),
        "ClusterIP" | "NodePort" => own.into(),
        "LoadBalancer" => {
            let ingress = list(service, "/status/loadBalancer/ingress").iter();
            let found: BTreeSet<&str> =
                ingress.filter_map(|point| text(point, "/ip").or_else(|| text(point, "/hostname"))).collect();
            let all: Vec<&str> = found.into_iter().chain(Some(&*own).filter(|own| !own.is_empty())).collect();
            if all.is_empty() { "<pending>".into() } else { all.join(",").into() }
        }
        "ExternalName" => text(service, "/spec/externalName").unwrap_or_default().into(),
        _ => UNKNOWN.into(),
    }
}

/// `makePortString`
pub(super) fn service_ports(service: &Value, _: Timestamp) -> Value {
    let port = |port: &Value| {
        let protocol = text(port, "/protocol").unwrap_or("TCP");
        match number(port, "/nodePort") {
            0 => format!("{}/{protocol}", number(port, "/port")),
            on_nodes => format!("{}:{on_nodes}/{protocol}", number(port, "/port")),
        }
    };
    let ports: Vec<String> = list(service, "/spec/ports").iter().map(port).collect();
    if ports.is_empty() { NONE.into() } else { ports.join(",").into() }
}

/// `printJob`
pub(super) fn job_status(job: &Value, _: Timestamp) -> Value {
    let told = [
        ("Complete", "Complete"),
        ("Failed", "Failed"),
        ("", "Terminating"),
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
    ];
    let holds = |of: &str| if of.is_empty() { is_terminating(job) } else { has_condition(job, of) };
    told.into_iter().find(|(of, _)| holds(of)).map_or("Running", |(_, told)| told).into()
}

/// `printJob`
pub(super) fn job_completions(job: &Value, _: Timestamp) -> Value {
    let done = number(job, "/status/succeeded");
    let parallelism = job.pointer("/spec/parallelism").and_then(Value::as_i64);
    match (job.pointer("/spec/completions").and_then(Value::as_i64), parallelism) {
        (Some(wanted), _) => format!("{done}/{wanted}").into(),
        (None, Some(parallelism)) if parallelism > 1 => format!("{done}/1 of {parallelism}").into(),
        _ => format!("{done}/1").into(),
    }
}

/// `printJob`
pub(super) fn job_duration(job: &Value, now: Timestamp) -> Value {
    let Some(began) = instant(job, "/status/startTime") else { return "".into() };
    elapsed(began, instant(job, "/status/completionTime").unwrap_or(now)).into()
}

/// Kind and name of what a field refers to.
fn reference(object: &Value, path: &str) -> Value {
    let part = |field: &str| text(object, &format!("{path}/{field}")).unwrap_or_default();
    format!("{}/{}", part("kind"), part("name")).into()
}

/// `printRoleBinding`
pub(super) fn role(binding: &Value, _: Timestamp) -> Value {
    reference(binding, "/roleRef")
}

fn subjects(binding: &Value, of: &str) -> Value {
    let found = list(binding, "/subjects").iter().filter(|subject| subject["kind"] == of);
    let name = |subject: &Value| {
        let name = text(subject, "/name").unwrap_or_default();
        let namespace = text(subject, "/namespace").filter(|_| of == "ServiceAccount");
        namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
    };
    found.map(name).collect::<Vec<_>>().join(", ").into()
}

/// `printRoleBinding`
pub(super) fn users(binding: &Value, _: Timestamp) -> Value {
    subjects(binding, "User")
}

/// `printRoleBinding`
pub(super) fn groups(binding: &Value, _: Timestamp) -> Value {
    subjects(binding, "Group")
}

/// `printRoleBinding`
pub(super) fn service_accounts(binding: &Value, _: Timestamp) -> Value {
    subjects(binding, "ServiceAccount")
}

/// Amounts of a quota, those of limits or the others (`printResourceQuota`).
fn quota(quota: &Value, of_limits: bool) -> Value {
    let hard = quota.pointer("/status/hard").and_then(Value::as_object).into_iter().flatten();
    let mut told: Vec<(&String, String)> = hard
        .filter(|(resource, _)| resource.starts_with("limits.") == of_limits)
        .map(|(resource, hard)| {
            let used = quota.pointer("/status/used").and_then(|used| amount(used.get(resource)?, ""));
            let hard = amount(hard, "").unwrap_or_default();
            (resource, format!("{resource}: {}/{hard}", used.as_deref().unwrap_or("0")))
        })
        .collect();
    told.sort();
    told.into_iter().map(|(_, told)| told).collect::<Vec<_>>().join(", ").into()
}

/// `printResourceQuota`
pub(super) fn quota_requests(object: &Value, _: Timestamp) -> Value {
    quota(object, false)
}

/// `printResourceQuota`
pub(super) fn quota_limits(object: &Value, _: Timestamp) -> Value {
    quota(object, true)
}

/// The status of a vertical pod autoscaler's condition `RecommendationProvided`.
pub(super) fn provided(object: &Value, _: Timestamp) -> Value {
    condition(object, "RecommendationProvided").and_then(|of| of["status"].as_str()).unwrap_or_default().into()
}

/// `printHorizontalPodAutoscaler`
pub(super) fn scale_target(autoscaler: &Value, _: Timestamp) -> Value {
    reference(autoscaler, "/spec/scaleTargetRef")
}

/// `printHorizontalPodAutoscaler`
pub(super) fn min_pods(autoscaler: &Value, _: Timestamp) -> Value {
    amount(autoscaler, "/spec/minReplicas").unwrap_or_else(|| "1".into()).into()
}

/// `formatHPAMetrics`
pub(super) fn metrics(autoscaler: &Value, _: Timestamp) -> Value {
    const TOLD: usize = 2;
    let (specs, statuses) = (list(autoscaler, "/spec/metrics"), list(autoscaler, "/status/currentMetrics"));
    if specs.is_empty() {
        return NONE.into();
    }
    let told: Vec<String> =
        specs.iter().enumerate().take(TOLD).map(|(at, spec)| metric(spec, statuses.get(at))).collect();
    let told = told.join(", ");
    if specs.len() > TOLD { format!("{told} + {} more...", specs.len() - TOLD).into() } else { told.into() }
}

fn metric(spec: &Value, status: Option<&Value>) -> String {
    let field = match text(spec, "/type").unwrap_or_default() {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".into(),
    };
    let (spec, status) = (&spec[field], status.map(|status| &status[field]));
    let current = |value: &str| status.and_then(|status| amount(status, &format!("/current/{value}")));
    let told = |value: &str| current(value).unwrap_or_else(|| UNKNOWN.into());
    let target = |value: &str| amount(spec, &format!("/target/{value}"));
    let average = target("averageValue");
    match (field, average) {
        ("resource" | "containerResource", average) => {
            let name = text(spec, "/name").unwrap_or_default();
            if let Some(average) = average {
                return format!("{name}: {}/{average}", told("averageValue"));
            }
            let percent = |amount: Option<String>, otherwise: &str| {
                amount.map_or_else(|| otherwise.to_owned(), |amount| format!("{amount}%"))
            };
            let now = percent(current("averageUtilization"), UNKNOWN);
            format!("{name}: {now}/{}", percent(target("averageUtilization"), "<auto>"))
        }
        ("pods", average) => format!("{}/{}", told("averageValue"), average.unwrap_or_else(|| "0".into())),
        (_, Some(average)) => format!("{}/{average} (avg)", told("averageValue")),
        (_, None) => format!("{}/{}", told("value"), target("value").unwrap_or_else(|| "0".into())),
    }
}

/// `printEvent`
pub(super) fn event_object(event: &Value, _: Timestamp) -> Value {
    let kind = text(event, "/involvedObject/kind").unwrap_or_default().to_lowercase();
    text(event, "/involvedObject/name").map_or(kind.clone(), |name| format!("{kind}/{name}")).into()
}

/// `formatEventSource`
pub(super) fn event_source(event: &Value, _: Timestamp) -> Value {
    let either =
        |one: &str, other: &str| text(event, one).or_else(|| text(event, other)).unwrap_or_default().to_owned();
    let component = either("/source/component", "/reportingComponent");
    let host = either("/source/host", "/reportingInstance");
    if host.is_empty() { component.into() } else { format!("{component}, {host}").into() }
}

/// `printEvent`
pub(super) fn event_message(event: &Value, _: Timestamp) -> Value {
    text(event, "/message").unwrap_or_default().trim().into()
}

/// `printEvent`
pub(super) fn first_seen(event: &Value, now: Timestamp) -> Value {
    let path = if text(event, "/firstTimestamp").is_some() { "/firstTimestamp" } else { "/eventTime" };
    age(event, path, now).into()
}

/// `printEvent`
pub(super) fn last_seen(event: &Value, now: Timestamp) -> Value {
    if event.pointer("/series").is_some_and(Value::is_object) {
        return age(event, "/series/lastObservedTime", now).into();
    }
    if text(event, "/lastTimestamp").is_some() {
        age(event, "/lastTimestamp", now).into()
    } else {
        first_seen(event, now)
    }
}

/// `printEvent`
pub(super) fn event_count(event: &Value, _: Timestamp) -> Value {
    if event.pointer("/series").is_some_and(Value::is_object) {
        return number(event, "/series/count").into();
    }
    number(event, "/count").max(1).into()
}

/// The status of the condition `Ready` of a cluster.
pub(super) fn cluster_ready(cluster: &Value, _: Timestamp) -> Value {
    condition(cluster, "Ready").and_then(|ready| text(ready, "/status")).unwrap_or(UNKNOWN).into()
}

/// The live cluster that a cluster mirrors: its context, or its file.
pub(super) fn cluster_source(cluster: &Value, _: Timestamp) -> Value {
    let of = |field: &str| text(cluster, &format!("/spec/source/{field}")).map(str::to_owned);
    let is_own = cluster.pointer("/spec/source/inCluster") == Some(&Value::Bool(true));
    let source = of("context").or_else(|| of("kubeconfigFile"));
    source.unwrap_or_else(|| if is_own { "in-cluster" } else { NONE }.into()).into()
}

/// The number of nodes of a cluster, as far as it was told.
pub(super) fn cluster_nodes(cluster: &Value, _: Timestamp) -> Value {
    amount(cluster, "/status/summary/nodes").unwrap_or_else(|| UNKNOWN.into()).into()
}
