//! kube-scheduler as a client: its recorded requests are replayed, and real binaries schedule the pods of a server in this process.
//!
//! `KUBE_SCHEDULER_BIN` names the binaries, separated by `:` or `,`. Without it the tests of [`end_to_end`] say that they are skipped:
//! `KUBE_SCHEDULER_BIN=/usr/local/bin/kube-scheduler cargo test --test kube_scheduler -- --nocapture`.

#[path = "../support/watch.rs"]
mod lines;
#[path = "../support/server.rs"]
mod server;

mod binary;
mod end_to_end;
mod expiry;
mod replay;
mod watch;

use serde_json::{Value, json};

use crate::server::{Server, Setup, memory};

pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
pub(crate) const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler";

/// A server with the rules of the API server, and with the namespaces that are there from the start.
pub(crate) async fn cluster() -> Server {
    let names = ["default", "kube-system"];
    let namespaces =
        names.map(|name| ("namespaces", json!({"metadata": {"name": name}, "status": {"phase": "Active"}})));
    Server::start(memory(&namespaces).await, Setup::strict())
}

/// A node that is ready.
pub(crate) fn node(name: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "20"},
            "conditions": [{"type": "Ready", "status": "True"}]}})
}

/// A pod that ends at once when it is deleted.
pub(crate) fn pod(name: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": "web", "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}]}})
}

/// The items of a list.
pub(crate) async fn items(server: &Server, path: &str) -> Vec<Value> {
    let list = server.get(path).await.json();
    list["items"].as_array().expect("a list").clone()
}

/// A text in a value; empty where there is none.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
