//! SQLite on a disk that is full for a while.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{task::block_in_place, time::sleep};

use crate::{
    client::{Answer, Client},
    replica::Replica,
};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "default", "annotations": {"x": "y".repeat(20_000)}},
        "spec": {"containers": [{"name": "main"}]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_reported_and_writing_resumes_with_space() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let url = format!("sqlite:{}", directory.path().join("podberth.db").display());
    let replica = block_in_place(|| Replica::start_with_file_limit(&url, 2 << 20));
    let client = Client::new();
    let send = async |method, path: &str, body: &Value| client.send(method, replica.address(), path, body).await;
    let ready = async || matches!(send("GET", "/readyz", &Value::Null).await, Answer::Said(200, _));

    let mut written = 0;
    let refused = loop {
        match send("POST", PODS, &pod(&format!("p{written}"))).await {
            Answer::Said(201, _) => written += 1,
            answer => break answer,
        }
    };
    for time in 0..3 {
        let again = send("POST", PODS, &pod("more")).await;
        for answer in [&refused, &again] {
            let Answer::Said(503, body) = answer else { panic!("{answer:?}") };
            let message = body["message"].as_str().unwrap_or_default();
            assert!(message.contains("disk"), "{message}");
        }
        assert!(!ready().await, "{time}: no write succeeds");
        let Answer::Said(200, list) = send("GET", PODS, &Value::Null).await else { panic!("it is read on") };
        assert_eq!(list["items"].as_array().map(Vec::len), Some(written));
        // Attempts in between must not make it ready.
        sleep(Duration::from_millis(300)).await;
    }
    assert!(!replica.log().contains("answers again"), "{}", replica.log());

    replica.lift_file_limit();
    while !ready().await {
        sleep(Duration::from_millis(20)).await;
    }
    for path in [PODS, "/clusters/other/api/v1/namespaces/default/pods"] {
        loop {
            match send("POST", path, &pod("after")).await {
                Answer::Said(201, _) => break,
                Answer::Said(503, _) => sleep(Duration::from_millis(20)).await,
                answer => panic!("{answer:?}"),
            }
        }
    }
}
