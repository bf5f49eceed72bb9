//! A client that is not ours: Python's grpcio, where it is installed (`scripts/estimator` installs it).

use std::process::Command;

use serde_json::json;

use crate::client::{Running, node};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_grpcio_gets_the_same_answers() {
    let has = Command::new("python3").args(["-c", "import grpc, grpc_tools"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        eprintln!("not run: grpcio and grpcio-tools are not installed; scripts/estimator has them");
        return;
    }
    let running = Running::start().await;
    running.import("eu-1", &[node("a", "4"), node("b", "2")]).await;
    let mut tainted = node("c", "8");
    tainted["metadata"]["labels"] = json!({"disk": "ssd"});
    tainted["spec"] = json!({"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]});
    running.import("us-1", &[tainted]).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fleet/client.py");
    let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/estimator");
    let address = running.address.to_string();
    let output = tokio::task::spawn_blocking(move || Command::new("python3").args([script, protos, &address]).output());
    let output = output.await.expect("no panic").expect("python3 starts");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{text}");
}
