//! Answers of the scripted API server to schedulers: bindings, evictions, and statuses of pods.

#![allow(dead_code, reason = "each suite takes of it what it needs")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::api_server::{ApiServer, NODES, PODS, status};

/// The paths of events and disruption budgets.
pub(crate) const EVENTS: &str = "/apis/events.k8s.io/v1/events";
pub(crate) const BUDGETS: &str = "/apis/policy/v1/poddisruptionbudgets";

/// Names of pods, in the order in which they were bound.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bound(Arc<Mutex<Vec<String>>>);

impl Bound {
    pub(crate) fn names(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pod of the scheduler `mine`.
pub(crate) fn pod(name: &str, cpu: &str) -> Value {
    let containers = json!([{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]);
    json!({"metadata": {"namespace": "shop", "name": name}, "spec": {"schedulerName": "mine", "containers": containers},
        "status": {"phase": "Pending"}})
}

/// A node with so many CPUs.
pub(crate) fn node(name: &str, cpu: &str) -> Value {
    let status = json!({"allocatable": {"cpu": cpu, "memory": "64Gi", "pods": "1000"},
        "conditions": [{"type": "Ready", "status": "True"}]});
    json!({"metadata": {"name": name}, "status": status})
}

/// Namespace and name of the pod in a path that ends so.
fn pod_of<'p>(path: &'p str, end: &str) -> Option<(&'p str, &'p str)> {
    path.strip_prefix("/api/v1/namespaces/")?.strip_suffix(end)?.split_once("/pods/")
}

/// Answers as kube-apiserver does. A pod leaves as soon as it is evicted; a budget that allows nothing, and selects by the label `app`, forbids it.
pub(crate) fn serve_schedulers(api: &ApiServer) -> Bound {
    let bound = Bound::default();
    let noted = bound.clone();
    api.answer("POST", move |objects, path, body| {
        let (namespace, name) = pod_of(path, "/binding")?;
        let Some(mut pod) = objects.get(PODS, namespace, name) else { return Some((404, status(404, "not found"))) };
        let (wanted, uid) = (&body["metadata"]["uid"], &pod["metadata"]["uid"]);
        if wanted != uid {
            let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}");
            return Some((409, status(409, &why)));
        }
        if let Some(there) = pod["spec"]["nodeName"].as_str() {
            return Some((409, status(409, &format!("pod {name} is already assigned to node {there:?}"))));
        }
        pod["spec"]["nodeName"] = body["target"]["name"].clone();
        objects.put(PODS, pod);
        noted.names().push(name.to_owned());
        Some((201, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})))
    });
    api.answer("POST", |objects, path, body| {
        let (namespace, name) = pod_of(path, "/eviction")?;
        let pod = objects.get(PODS, namespace, name).unwrap_or_default();
        if pod.is_null() || pod["metadata"]["uid"] != body["deleteOptions"]["preconditions"]["uid"] {
            return Some((404, status(404, "not found")));
        }
        let forbids = |budget: &Value| {
            budget["spec"]["selector"]["matchLabels"]["app"] == pod["metadata"]["labels"]["app"]
                && budget["status"]["disruptionsAllowed"] == 0
        };
        if objects.all(BUDGETS).iter().any(forbids) {
            let mut refused = status(429, "Cannot evict pod as it would violate the pod's disruption budget.");
            refused["details"] = json!({"causes": [{"reason": "DisruptionBudget", "message": "it needs 1"}]});
            return Some((429, refused));
        }
        objects.delete(PODS, namespace, name);
        Some((201, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})))
    });
    api.answer("PATCH", |objects, path, body| {
        let (namespace, name) = pod_of(path, "/status")?;
        let Some(mut pod) = objects.get(PODS, namespace, name) else { return Some((404, status(404, "not found"))) };
        for (field, value) in body["status"].as_object()? {
            pod["status"][field] = value.clone();
        }
        Some((200, objects.put(PODS, pod)))
    });
    bound
}

/// The nodes with more CPU on them than they have, of a server all of whose amounts are whole CPUs.
pub(crate) fn overcommitted(api: &ApiServer) -> Vec<String> {
    api.look(|objects| {
        let whole = |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let asked = |pod: &Value| whole(&pod["spec"]["containers"][0]["resources"]["requests"]["cpu"]);
        let pods = objects.all(PODS);
        let exceeds = |node: &&Value| {
            let on = pods.iter().filter(|pod| pod["spec"]["nodeName"] == node["metadata"]["name"]);
            on.map(asked).sum::<u64>() > whole(&node["status"]["allocatable"]["cpu"])
        };
        let nodes = objects.all(NODES);
        nodes.iter().filter(exceeds).map(|node| node["metadata"]["name"].to_string()).collect()
    })
}
