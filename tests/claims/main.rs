//! Claims to volumes and to devices, over HTTP without a socket: what they get when pods are bound, and contention for one thing.

mod devices;
#[path = "../support/server.rs"]
mod server;
mod volumes;

use std::sync::Arc;

use podberth::store::Storage;
use serde_json::{Value, json};
use server::Server;

/// An object and the kind's plural, as the database in memory takes them.
type Object = (&'static str, Value);

async fn schedule(server: &Server, body: Value) -> Value {
    server.post("/schedule", body).await.json()
}

/// The result of each pod of a report: `<result> <node>`.
fn results(report: &Value) -> Vec<String> {
    let result = |pod: &Value| format!("{} {}", pod["result"].as_str().unwrap(), pod["node"].as_str().unwrap_or("-"));
    report["pods"].as_array().expect("pods").iter().map(result).collect()
}

/// The error of `/bind`; empty if the pod is bound.
async fn bind(server: &Server, pod: &str, node: &str) -> String {
    let args = json!({"PodName": pod, "PodNamespace": "shop", "PodUID": "", "Node": node});
    server.post("/bind", args).await.json()["Error"].as_str().unwrap_or_default().to_owned()
}

/// Two pods that wait for a claim each.
async fn store_two_pods(server: &Server, pod: fn(&str, &[&str]) -> Value) {
    for (name, claim) in [("q1", "c1"), ("q2", "c2")] {
        server.post("/api/v1/namespaces/shop/pods", pod(name, &[claim])).await.is(201);
    }
}

/// A List of objects, each with its version and kind.
fn list_of(objects: impl IntoIterator<Item = Object>) -> Value {
    let typed = |(plural, mut object): Object| {
        let (version, kind) = match plural {
            "nodes" => ("v1", "Node"),
            "persistentvolumes" => ("v1", "PersistentVolume"),
            "persistentvolumeclaims" => ("v1", "PersistentVolumeClaim"),
            "storageclasses.storage.k8s.io" => ("storage.k8s.io/v1", "StorageClass"),
            "deviceclasses.resource.k8s.io" => ("resource.k8s.io/v1", "DeviceClass"),
            "resourceslices.resource.k8s.io" => ("resource.k8s.io/v1", "ResourceSlice"),
            "resourceclaims.resource.k8s.io" => ("resource.k8s.io/v1", "ResourceClaim"),
            other => panic!("{other} has no kind here"),
        };
        (object["apiVersion"], object["kind"]) = (version.into(), kind.into());
        object
    };
    json!({"kind": "List", "items": objects.into_iter().map(typed).collect::<Vec<_>>()})
}

/// Binds the pods `shop/p0` … `shop/p11` from as many callers at two replicas, by `/bind` on node `a` or else `b`, or by `/schedule`.
async fn bind_twelve_at_once(store: &Arc<dyn Storage>) {
    let replicas = [Server::replica(store.clone()), Server::replica(store.clone())];
    let mut callers = tokio::task::JoinSet::new();
    for i in 0..12 {
        let server = replicas[i % 2].clone();
        callers.spawn(async move {
            if i % 3 == 0 {
                let is_bound_on_a = bind(&server, &format!("p{i}"), "a").await.is_empty();
                if !is_bound_on_a {
                    bind(&server, &format!("p{i}"), "b").await;
                }
            } else {
                schedule(&server, json!({"podNames": [format!("shop/p{i}")]})).await;
            }
        });
    }
    callers.join_all().await;
}
