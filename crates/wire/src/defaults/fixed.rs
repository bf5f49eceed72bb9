//! Defaults that follow from an object itself, and that the API server writes into it whenever it reads one.
//!
//! Source: `pkg/apis/core/v1/defaults.go`, `zz_generated.defaults.go`, `pkg/apis/apps/v1/defaults.go`, `pkg/apis/batch/v1/defaults.go`,
//! `pkg/apis/storage/v1/defaults.go`, `pkg/apis/scheduling/v1/defaults.go`, `pkg/apis/autoscaling/v2/defaults.go`,
//! `pkg/apis/networking/v1/defaults.go`, `pkg/apis/rbac/v1/defaults.go`, `pkg/apis/resource/v1/defaults.go`.

use std::{collections::HashMap, sync::LazyLock};

use serde_json::{Map, Value, json};

use super::name_label;
use crate::{objects::pod, types};

type Object = Map<String, Value>;

/// Values of fields that are left out, by type: `(type, field, JSON)`. Objects are in the types as in `types.rs`.
const CONSTANTS: &[(&str, &str, &str)] = &[
    ("PodSpec", "restartPolicy", r#""Always""#),
    ("PodSpec", "terminationGracePeriodSeconds", "30"),
    ("PodSpec", "dnsPolicy", r#""ClusterFirst""#),
    ("PodSpec", "securityContext", "{}"),
    ("PodSpec", "schedulerName", r#""default-scheduler""#),
    ("Container", "terminationMessagePath", r#""/dev/termination-log""#),
    ("Container", "terminationMessagePolicy", r#""File""#),
    ("EphemeralContainer", "terminationMessagePath", r#""/dev/termination-log""#),
    ("EphemeralContainer", "terminationMessagePolicy", r#""File""#),
    ("ContainerPort", "protocol", r#""TCP""#),
    ("Probe", "timeoutSeconds", "1"),
    ("Probe", "periodSeconds", "10"),
    ("Probe", "successThreshold", "1"),
    ("Probe", "failureThreshold", "3"),
    ("GRPCAction", "service", r#""""#),
    ("HTTPGetAction", "path", r#""/""#),
    ("HTTPGetAction", "scheme", r#""HTTP""#),
    ("ObjectFieldSelector", "apiVersion", r#""v1""#),
    ("FileKeySelector", "optional", "false"),
    ("SecretVolumeSource", "defaultMode", "420"),
    ("ConfigMapVolumeSource", "defaultMode", "420"),
    ("DownwardAPIVolumeSource", "defaultMode", "420"),
    ("ProjectedVolumeSource", "defaultMode", "420"),
    ("ServiceAccountTokenProjection", "expirationSeconds", "3600"),
    ("HostPathVolumeSource", "type", r#""""#),
    ("AzureDiskVolumeSource", "cachingMode", r#""ReadWrite""#),
    ("AzureDiskVolumeSource", "fsType", r#""ext4""#),
    ("AzureDiskVolumeSource", "readOnly", "false"),
    ("AzureDiskVolumeSource", "kind", r#""Shared""#),
    ("ISCSIVolumeSource", "iscsiInterface", r#""default""#),
    ("ISCSIPersistentVolumeSource", "iscsiInterface", r#""default""#),
    ("RBDVolumeSource", "pool", r#""rbd""#),
    ("RBDVolumeSource", "user", r#""admin""#),
    ("RBDVolumeSource", "keyring", r#""/etc/ceph/keyring""#),
    ("RBDPersistentVolumeSource", "pool", r#""rbd""#),
    ("RBDPersistentVolumeSource", "user", r#""admin""#),
    ("RBDPersistentVolumeSource", "keyring", r#""/etc/ceph/keyring""#),
    ("ScaleIOVolumeSource", "storageMode", r#""ThinProvisioned""#),
    ("ScaleIOVolumeSource", "fsType", r#""xfs""#),
    ("ScaleIOPersistentVolumeSource", "storageMode", r#""ThinProvisioned""#),
    ("ScaleIOPersistentVolumeSource", "fsType", r#""xfs""#),
    ("PersistentVolumeSpec", "persistentVolumeReclaimPolicy", r#""Retain""#),
    ("PersistentVolumeSpec", "volumeMode", r#""Filesystem""#),
    ("PersistentVolumeClaimSpec", "volumeMode", r#""Filesystem""#),
    ("ServicePort", "protocol", r#""TCP""#),
    ("ServiceSpec", "sessionAffinity", r#""None""#),
    ("ServiceSpec", "type", r#""ClusterIP""#),
    ("ReplicationControllerSpec", "replicas", "1"),
    ("ReplicaSetSpec", "replicas", "1"),
    ("DeploymentSpec", "replicas", "1"),
    ("DeploymentSpec", "revisionHistoryLimit", "10"),
    ("DeploymentSpec", "progressDeadlineSeconds", "600"),
    ("StatefulSetSpec", "replicas", "1"),
    ("StatefulSetSpec", "revisionHistoryLimit", "10"),
    ("StatefulSetSpec", "podManagementPolicy", r#""OrderedReady""#),
    ("StatefulSetPersistentVolumeClaimRetentionPolicy", "whenDeleted", r#""Retain""#),
    ("StatefulSetPersistentVolumeClaimRetentionPolicy", "whenScaled", r#""Retain""#),
    ("RollingUpdateStatefulSetStrategy", "partition", "0"),
    ("DaemonSetSpec", "revisionHistoryLimit", "10"),
    ("RollingUpdateDaemonSet", "maxUnavailable", "1"),
    ("RollingUpdateDaemonSet", "maxSurge", "0"),
    ("RollingUpdateDeployment", "maxUnavailable", r#""25%""#),
    ("RollingUpdateDeployment", "maxSurge", r#""25%""#),
    ("JobSpec", "backoffLimit", "6"),
    ("JobSpec", "completionMode", r#""NonIndexed""#),
    ("JobSpec", "suspend", "false"),
    ("JobSpec", "manualSelector", "false"),
    ("StorageClass", "reclaimPolicy", r#""Delete""#),
    ("StorageClass", "volumeBindingMode", r#""Immediate""#),
    ("CSIDriverSpec", "attachRequired", "true"),
    ("CSIDriverSpec", "podInfoOnMount", "false"),
    ("CSIDriverSpec", "storageCapacity", "false"),
    ("CSIDriverSpec", "fsGroupPolicy", r#""ReadWriteOnceWithFSType""#),
    ("CSIDriverSpec", "volumeLifecycleModes", r#"["Persistent"]"#),
    ("CSIDriverSpec", "requiresRepublish", "false"),
    ("CSIDriverSpec", "seLinuxMount", "false"),
    ("PriorityClass", "preemptionPolicy", r#""PreemptLowerPriority""#),
    ("HorizontalPodAutoscalerSpec", "minReplicas", "1"),
    ("NetworkPolicyPort", "protocol", r#""TCP""#),
    ("RoleRef", "apiGroup", r#""rbac.authorization.k8s.io""#),
    ("ExactDeviceRequest", "allocationMode", r#""ExactCount""#),
    ("DeviceSubRequest", "allocationMode", r#""ExactCount""#),
    ("DeviceToleration", "operator", r#""Equal""#),
    ("NamespaceStatus", "phase", r#""Active""#),
];

static BY_TYPE: LazyLock<HashMap<&'static str, Vec<(&'static str, Value)>>> = LazyLock::new(|| {
    let mut by_type: HashMap<_, Vec<_>> = HashMap::new();
    for (of, field, json) in CONSTANTS {
        let value = serde_json::from_str(json).unwrap_or_default();
        by_type.entry(*of).or_default().push((*field, value));
    }
    by_type
});

/// Writes the defaults of an object of this type, wherever it stands.
pub(super) fn of_type(of: &str, object: &mut Object) {
    for (field, value) in BY_TYPE.get(of).into_iter().flatten() {
        missing(object, field, || value.clone());
    }
    match of {
        "Container" | "EphemeralContainer" => {
            let policy = pull_policy(text(object, "image"));
            missing(object, "imagePullPolicy", || policy.into());
        }
        "ImageVolumeSource" => {
            let policy = pull_policy(text(object, "reference"));
            missing(object, "pullPolicy", || policy.into());
        }
        // A volume without a source is an empty directory.
        "Volume" if object.keys().all(|key| key == "name") => {
            object.insert("emptyDir".into(), json!({}));
        }
        "NodeSpec" => {
            let first = object.get("podCIDRs").map(|ranges| &ranges[0]);
            if let Some(range) = object.get("podCIDR").cloned().filter(|range| first != Some(range)) {
                object.insert("podCIDRs".into(), json!([range]));
            }
        }
        "PersistentVolumeClaimSpec" => {
            // Both name the source, of old and new; one of another namespace only the new.
            let (old, new) = (object.get("dataSource").cloned(), object.get("dataSourceRef").cloned());
            if let (Some(old), None) = (&old, &new) {
                object.insert("dataSourceRef".into(), old.clone());
            } else if let (None, Some(new)) = (&old, &new)
                && new["namespace"].as_str().unwrap_or_default().is_empty()
                && (new["apiGroup"].as_str().is_some_and(|group| !group.is_empty())
                    || new["kind"] == "PersistentVolumeClaim")
            {
                object.insert("dataSource".into(), new.clone());
            }
        }
        "NodeStatus" => {
            if let (None, Some(capacity)) = (object.get("allocatable"), object.get("capacity").cloned()) {
                object.insert("allocatable".into(), capacity);
            }
        }
        "LimitRangeItem" if text(object, "type") == "Container" => limits(object),
        "DeploymentSpec" => strategy(object, "strategy", "RollingUpdateDeployment"),
        "DaemonSetSpec" => strategy(object, "updateStrategy", "RollingUpdateDaemonSet"),
        "StatefulSetSpec" => {
            strategy(object, "updateStrategy", "RollingUpdateStatefulSetStrategy");
            let retention = "StatefulSetPersistentVolumeClaimRetentionPolicy";
            part(object, "persistentVolumeClaimRetentionPolicy", |policy| of_type(retention, policy));
        }
        "HorizontalPodAutoscalerSpec" => {
            missing(object, "metrics", || {
                let target = json!({"type": "Utilization", "averageUtilization": 80});
                json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}])
            });
            if let Some(Value::Object(behavior)) = object.get_mut("behavior") {
                behaviour(behavior);
            }
        }
        "ServiceSpec" => service(object),
        "ExactDeviceRequest" | "DeviceSubRequest" if text(object, "allocationMode") == "ExactCount" => {
            missing(object, "count", || 1.into());
        }
        "Subject" if text(object, "kind") != "ServiceAccount" => {
            missing(object, "apiGroup", || "rbac.authorization.k8s.io".into());
        }
        _ => {}
    }
}

/// Both directions of an autoscaler's behaviour, where one is given (`autoscaling/v2/defaults.go`).
fn behaviour(behaviour: &mut Object) {
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    for (direction, policies) in [("scaleUp", json!([pods, percent])), ("scaleDown", json!([percent]))] {
        missing(behaviour, direction, || json!({}));
        part(behaviour, direction, |rules| {
            if direction == "scaleUp" {
                missing(rules, "stabilizationWindowSeconds", || 0.into());
            }
            missing(rules, "selectPolicy", || "Max".into());
            missing(rules, "policies", || policies.clone());
        });
    }
}

/// Writes the defaults of a whole object of this kind.
pub(super) fn of_kind(kind: &str, object: &mut Object) {
    match kind {
        "Pod" => pod_itself(object),
        "Namespace" => {
            let name = object.get("metadata").map_or("", |metadata| metadata["name"].as_str().unwrap_or_default());
            if !name.is_empty() {
                let name = Value::from(name);
                set_in(object, &["metadata", "labels"], name_label::KEY, name);
            }
            part(object, "status", |status| of_type("NamespaceStatus", status));
        }
        "Node" => part(object, "status", node_status),
        "PersistentVolume" | "PersistentVolumeClaim" => {
            part(object, "status", |status| missing(status, "phase", || "Pending".into()));
        }
        "ReplicationController" => {
            let labels = object.get("spec").map(|spec| spec["template"]["metadata"]["labels"].clone());
            if let Some(labels @ Value::Object(_)) = labels {
                part(object, "metadata", |metadata| missing(metadata, "labels", || labels.clone()));
                part(object, "spec", |spec| missing(spec, "selector", || labels));
            }
        }
        "Job" => {
            part(object, "spec", |spec| {
                let has_completions = spec.contains_key("completions");
                if !has_completions && !spec.contains_key("parallelism") {
                    spec.insert("completions".into(), 1.into());
                }
                missing(spec, "parallelism", || 1.into());
                let replaced = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
                missing(spec, "podReplacementPolicy", || replaced.into());
            });
        }
        "NetworkPolicy" => {
            part(object, "spec", |spec| {
                let types = if spec.contains_key("egress") { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
                missing(spec, "policyTypes", || types);
            });
        }
        _ => {}
    }
}

/// Writes a field that is missing or an empty text.
pub(super) fn missing(object: &mut Object, field: &str, value: impl FnOnce() -> Value) {
    if object.get(field).is_none_or(|said| said.is_null() || *said == "") {
        object.insert(field.into(), value());
    }
}

pub(super) fn text<'o>(object: &'o Object, field: &str) -> &'o str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The object in a field, which is made if there is none.
pub(super) fn part(object: &mut Object, field: &str, work: impl FnOnce(&mut Object)) {
    let value = object.entry(field).or_insert_with(|| json!({}));
    if let Value::Object(part) = value {
        work(part);
    }
}

pub(super) fn set_in(object: &mut Object, path: &[&str], field: &str, value: Value) {
    match path.split_first() {
        None => drop(object.insert(field.into(), value)),
        Some((first, rest)) => part(object, first, |part| set_in(part, rest, field, value)),
    }
}

/// An image without a tag, or with `latest`, is pulled always.
fn pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or(image);
    let is_latest = !image.contains('@') && name.rsplit_once(':').is_none_or(|(_, tag)| tag == "latest");
    // An image without a name has no tag either (`pkg/util/parsers/parsers.go`).
    if is_latest && !image.is_empty() { "Always" } else { "IfNotPresent" }
}

/// Of a limit range's item, defaults from its bounds.
fn limits(item: &mut Object) {
    let list = |item: &Object, field: &str| item.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
    let merged = |of: Object, from: Object| {
        from.into_iter().fold(of, |mut of, (name, amount)| {
            of.entry(name).or_insert(amount);
            of
        })
    };
    let default = merged(list(item, "default"), list(item, "max"));
    let request = merged(merged(list(item, "defaultRequest"), default.clone()), list(item, "min"));
    for (field, list) in [("default", default), ("defaultRequest", request)] {
        if !list.is_empty() {
            item.insert(field.into(), list.into());
        }
    }
}

/// The way in which a workload replaces its pods.
fn strategy(spec: &mut Object, field: &str, rolling: &str) {
    part(spec, field, |strategy| {
        missing(strategy, "type", || "RollingUpdate".into());
        if text(strategy, "type") == "RollingUpdate" {
            part(strategy, "rollingUpdate", |update| of_type(rolling, update));
        }
    });
}

fn service(spec: &mut Object) {
    if text(spec, "sessionAffinity") == "None" {
        spec.remove("sessionAffinityConfig");
    } else if text(spec, "sessionAffinity") == "ClientIP"
        && spec.get("sessionAffinityConfig").is_none_or(|config| config["clientIP"]["timeoutSeconds"].is_null())
    {
        spec.insert("sessionAffinityConfig".into(), json!({"clientIP": {"timeoutSeconds": 10800}}));
    }
    if let Some(Value::Array(ports)) = spec.get_mut("ports") {
        for port in ports.iter_mut().filter_map(Value::as_object_mut) {
            if port.get("targetPort").is_none_or(|target| *target == 0 || *target == "")
                && let Some(number) = port.get("port").cloned()
            {
                port.insert("targetPort".into(), number);
            }
        }
    }
    let of = text(spec, "type").to_owned();
    let has_addresses = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty());
    if matches!(&*of, "NodePort" | "LoadBalancer") || (of == "ClusterIP" && has_addresses) {
        missing(spec, "externalTrafficPolicy", || "Cluster".into());
    }
    if matches!(&*of, "NodePort" | "LoadBalancer" | "ClusterIP") {
        missing(spec, "internalTrafficPolicy", || "Cluster".into());
    }
    if of == "LoadBalancer" {
        missing(spec, "allocateLoadBalancerNodePorts", || true.into());
    }
    headless(spec);
}

/// Addresses and families of a service without an address of its own, in a cluster of IPv4 alone. Those of other services come with their
/// address, which nothing allocates here.
///
/// Source: `pkg/registry/core/service/storage/alloc.go` (`initIPFamilyFields`), `normalizeClusterIPs` of `storage.go`.
fn headless(spec: &mut Object) {
    if text(spec, "clusterIP") != "None" || text(spec, "type") == "ExternalName" {
        return;
    }
    missing(spec, "clusterIPs", || json!(["None"]));
    missing(spec, "ipFamilies", || json!(["IPv4"]));
    // Without a selector it may have addresses of both families, whatever the cluster has.
    let has_selector = spec.get("selector").and_then(Value::as_object).is_some_and(|labels| !labels.is_empty());
    let is_dual = !has_selector && text(spec, "ipFamilyPolicy") != "SingleStack";
    let Some(Value::Array(families)) = spec.get_mut("ipFamilies") else { return };
    if is_dual && let [only] = families.as_slice() {
        let other = if only == "IPv4" { "IPv6" } else { "IPv4" };
        families.push(other.into());
    }
    let policy = if families.len() > 1 { "RequireDualStack" } else { "SingleStack" };
    missing(spec, "ipFamilyPolicy", || policy.into());
}

/// Structs of a node's status that Go writes even where nobody has filled them in.
fn node_status(status: &mut Object) {
    part(status, "daemonEndpoints", |endpoints| {
        part(endpoints, "kubeletEndpoint", |endpoint| missing(endpoint, "Port", || 0.into()));
    });
    part(status, "nodeInfo", |info| {
        for (field, zero) in types::zeros_of("NodeStatus", "nodeInfo").into_iter().flatten() {
            info.entry(field).or_insert(zero);
        }
    });
}

/// Requests from limits, host ports, and the pod's own amounts.
fn pod_itself(pod: &mut Object) {
    let Some(Value::Object(spec)) = pod.get_mut("spec") else { return };
    missing(spec, "enableServiceLinks", || true.into());
    let on_host = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["containers", "initContainers"] {
        let Some(Value::Array(containers)) = spec.get_mut(list) else { continue };
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            if let Some(Value::Object(resources)) = container.get_mut("resources") {
                requests_from_limits(resources);
            }
            let Some(Value::Array(ports)) = container.get_mut("ports").filter(|_| on_host) else { continue };
            for port in ports.iter_mut().filter_map(Value::as_object_mut) {
                if let (None, Some(number)) = (port.get("hostPort"), port.get("containerPort").cloned()) {
                    port.insert("hostPort".into(), number);
                }
            }
        }
    }
    pod_level(spec);
}

fn requests_from_limits(resources: &mut Object) {
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
    part(resources, "requests", |requests| {
        for (name, amount) in limits {
            requests.entry(name).or_insert(amount);
        }
    });
}

/// Pod-level amounts, worked out by the rule that decisions use ([`super::amounts::of_pod`]).
fn pod_level(spec: &mut Object) {
    if !spec.get("resources").is_some_and(Value::is_object) {
        return;
    }
    let Ok(read) = serde_json::from_value::<pod::PodSpec>(Value::Object(spec.clone())) else { return };
    let amounts = read.pod_level_amounts();
    part(spec, "resources", |resources| {
        for (field, named) in [("limits", &amounts.limits), ("requests", &amounts.requests)] {
            for (name, amount) in named {
                // A request that is the limit is written as that is.
                let limit = resources.get("limits").and_then(|limits| limits.get(&**name)).cloned();
                let limit = limit.filter(|_| amounts.limits.get(name) == Some(amount));
                part(resources, field, |list| {
                    list.entry(&**name).or_insert_with(|| limit.unwrap_or_else(|| amount.to_string().into()));
                });
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_without_a_tag_are_pulled_always() {
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.2", "IfNotPresent"),
            ("registry.example:5000/a", "Always"),
            ("registry.example/a@sha256:00", "IfNotPresent"),
            ("a:1@sha256:00", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }
}
