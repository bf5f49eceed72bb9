//! Nodes and pods of the simulation: all that counts of them is CPU.

use podberth::store::Body;
use serde_json::{Value, json};

/// Names of pods that are reported to run somewhere, and move; all others are bound by us.
pub(crate) const FACT: &str = "fact";

/// A pod that requests this number of CPUs. `stamp` makes the body unique.
pub(crate) fn pod(name: &str, uid: &str, cpus: i64, stamp: u64) -> Body {
    let containers = json!([{"name": "c", "resources": {"requests": {"cpu": cpus.to_string()}}}]);
    json!({"metadata": {"name": name, "namespace": "shop", "uid": uid, "annotations": {"stamp": stamp.to_string()}},
           "spec": {"containers": containers}})
    .to_string()
    .into()
}

/// A node with this number of CPUs.
pub(crate) fn node(name: &str, cpus: i64, stamp: u64) -> Body {
    json!({"metadata": {"name": name, "annotations": {"stamp": stamp.to_string()}},
           "status": {"allocatable": {"cpu": cpus.to_string(), "pods": "110"}}})
    .to_string()
    .into()
}

/// The CPUs in such a body.
pub(crate) fn cpu(body: &[u8]) -> i64 {
    let body: Value = serde_json::from_slice(body).expect("a body of the simulation");
    let places = ["/spec/containers/0/resources/requests/cpu", "/status/allocatable/cpu"];
    let cpus = places.iter().find_map(|place| body.pointer(place)).and_then(Value::as_str);
    cpus.and_then(|cpus| cpus.parse().ok()).expect("a number of CPUs")
}
