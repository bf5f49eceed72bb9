//! `podberth sync --once`: the objects of a cluster on standard output.

use std::process::Command;

use serde_json::Value;

use crate::{
    api_server::{ApiServer, Fault, NODES, PODS},
    node, pod,
    server::Server,
};

/// Runs the command; whether it succeeded, and its standard output and error.
async fn sync(kubeconfig: &str, more: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podberth"));
    command.args(["sync", "--once", "--kubeconfig", kubeconfig]).args(more);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it ends").expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_look_at_a_cluster_can_be_imported() {
    let api = ApiServer::start().await;
    for at in 0..1_001 {
        api.put(PODS, pod(&format!("p{at}"), ""));
    }
    api.put(NODES, node("n1"));
    api.withdraw("/apis/resource.k8s.io/v1/resourceslices");
    api.fault(NODES, Fault::List(429, Some(0)));
    let kubeconfig = api.kubeconfig();
    let path = kubeconfig.path().to_string_lossy().into_owned();
    let (succeeded, printed, told) = sync(&path, &[]).await;
    assert!(succeeded, "{told}");
    assert!(told.contains("1002 objects") && told.contains("resourceslices.resource.k8s.io"), "{told}");
    let list: Value = serde_json::from_str(&printed).expect("it is JSON");
    assert_eq!((list["kind"].as_str(), list["items"].as_array().map(Vec::len)), (Some("List"), Some(1_002)));
    let server = Server::with(&[]).await;
    let report = server.post("/import", printed).await.json();
    assert_eq!(report["created"], 1_002, "{report}");
    let (succeeded, printed, _) = sync(&path, &["--kinds", "nodes"]).await;
    let list: Value = serde_json::from_str(&printed).expect("it is JSON");
    assert_eq!((succeeded, list["items"][0]["metadata"]["name"].as_str()), (true, Some("n1")));
}

#[tokio::test]
async fn a_look_without_rights_names_what_is_missing() {
    let api = ApiServer::start().await;
    api.fault(PODS, Fault::List(403, None));
    let kubeconfig = api.kubeconfig();
    let (succeeded, _, told) = sync(&kubeconfig.path().to_string_lossy(), &["--kinds", "pods"]).await;
    assert!(!succeeded && told.contains("pods: 403") && told.contains("podberth rbac sync"), "{told}");
    let (succeeded, _, told) = sync("/no/such", &[]).await;
    assert!(!succeeded && told.lines().count() == 1 && told.contains("/no/such"), "{told}");
}
