//! The journey of tests/sdk with progenitor's Rust client: podberth-journey URL

progenitor::generate_api!(spec = { path = "podberth.json", relative_to = OutDir }, interface = Builder);

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn typed<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the document is of its type")
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).expect("the server's address");
    let client = Client::new(&url);

    // Stores a node, and a pod with fields that the scheduler does not read.
    let node: types::Node = typed(json!({
        "metadata": {"name": "node-a"}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}}));
    let node = client.create_node().body::<types::Node>(node).send().await.expect("the node is stored");
    assert!(node.metadata.as_ref().is_some_and(|metadata| metadata.uid.is_some()), "{node:?}");
    let whole = json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"dnsPolicy": "Default", "containers": [
        {"name": "main", "image": "example/web:1", "env": [{"name": "A", "value": "b"}],
         "resources": {"requests": {"cpu": "1"}}}]}});
    client.create_pod().namespace("default").body(typed::<types::Pod>(whole.clone())).send().await.expect("the pod is stored");

    // Reads it, changes a label, sends it back: nothing is lost.
    let mut pod = client.read_pod().namespace("default").name("web").send().await.expect("the pod is there").into_inner();
    pod.metadata.as_mut().expect("metadata").labels = [("app".to_owned(), "web".to_owned())].into();
    client.replace_pod().namespace("default").name("web").body(pod).send().await.expect("the pod is replaced");
    let stored = client.read_pod().namespace("default").name("web").send().await.expect("the pod is there").into_inner();
    let stored = serde_json::to_value(stored).expect("JSON");
    assert_eq!(stored["spec"]["containers"][0]["env"], json!([{"name": "A", "value": "b"}]));
    assert_eq!((&stored["spec"]["dnsPolicy"], &stored["metadata"]["labels"]["app"]), (&json!("Default"), &json!("web")));

    // Sets a typed policy, filters, schedules.
    let policy: types::PolicyDocument = typed(json!({"priorities": [{"name": "LeastRequestedPriority", "weight": 1}]}));
    let active = client.replace_policy().body(policy).send().await.expect("the policy is in force");
    assert_eq!(active.revision, 1);
    let args: types::ExtenderArgs = typed(json!({"Pod": whole, "NodeNames": ["node-a", "node-b"]}));
    let answer = client.filter_nodes().body(args).send().await.expect("an answer").into_inner();
    assert_eq!(answer.node_names, Some(vec!["node-a".to_owned()]));
    let request: types::ScheduleRequest = typed(json!({"podNames": ["default/web"]}));
    let report = client.schedule_pods().body(request).send().await.expect("a report").into_inner();
    assert_eq!(report.pods[0].node.as_deref(), Some("node-a"));

    // Reads errors as values of a type.
    let Err(Error::ErrorResponse(missing)) = client.read_pod().namespace("default").name("nobody").send().await else { panic!("no typed error") };
    assert_eq!((missing.reason.as_deref(), missing.code), (Some("NotFound"), Some(404)));
    let broken: types::Node = typed(json!({"metadata": {"name": "broken"}, "status": {"allocatable": {"cpu": "-1"}}}));
    let Err(Error::ErrorResponse(invalid)) = client.create_node().body(broken).send().await else { panic!("no typed error") };
    assert_eq!(invalid.code, Some(422));
    println!("progenitor, Rust: as expected");
}
