//! The writer of the conditions of mirrors: the service's own turns, in memory, with mirrors that are told by hand.

use jiff::SignedDuration;
use podberth::{
    service::clusters::conditions::Writer,
    wire::source::{KindStatus, SyncStatus},
};
use serde_json::{Value, json};

use crate::server::{Server, Setup, memory};

const CLUSTERS: &str = "/apis/podberth.io/v1/clusters";
const MERGE: (&str, &str) = ("content-type", "application/merge-patch+json");

/// The status of a mirror, with the age in seconds of its nodes and of its pods.
fn status(nodes: i64, pods: i64) -> SyncStatus {
    let kind = |seconds: i64, objects| {
        let as_of = podberth::clock::now().checked_sub(SignedDuration::from_secs(seconds)).expect("an instant");
        KindStatus { as_of: Some(as_of), source_version: "7".into(), objects, relists: 1, trouble: None }
    };
    let kinds = [("nodes".to_owned(), kind(nodes, 3)), ("pods".to_owned(), kind(pods, 40))];
    SyncStatus { kinds: kinds.into(), ..SyncStatus::default() }
}

/// Type, status and reason of each condition.
fn conditions(object: &Value) -> Vec<[&str; 3]> {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.map(|of| ["type", "status", "reason"].map(|field| of[field].as_str().unwrap_or_default())).collect()
}

#[tokio::test]
async fn conditions_of_mirrors_are_written_when_they_change() {
    let server = Server::start(memory(&[]).await, Setup::default());
    let source = json!({"source": {"kubeconfigFile": "/etc/podberth/prod.kubeconfig"}});
    server.put("/clusters/mirror", &source).await.is(201);
    server.post(CLUSTERS, &json!({"metadata": {"name": "own"}})).await.is(201);
    let others = json!({"status": {"conditions": [{"type": "Paid", "status": "True", "reason": "Bill"}]}});
    for name in ["mirror", "own"] {
        server.ask("PATCH", &format!("{CLUSTERS}/{name}/status"), MERGE, others.to_string()).await.is(200);
    }
    let show = async |name: &str| server.get(&format!("{CLUSTERS}/{name}")).await.is(200);
    let own = show("own").await;
    let mut writer = Writer::default();

    writer.turn(&server.state).await.expect("it writes");
    let unknown = show("mirror").await;
    let of_others = ["Paid", "True", "Bill"];
    assert_eq!(conditions(&unknown), [of_others, ["Ready", "Unknown", "NotTold"], ["Synced", "Unknown", "NotTold"]]);
    assert!(unknown["status"]["conditions"][1]["lastTransitionTime"].is_string(), "{unknown}");
    assert_eq!(unknown["status"]["summary"], Value::Null);

    server.state.sources.tell("mirror", status(5, 10));
    writer.turn(&server.state).await.expect("it writes");
    let ready = show("mirror").await;
    assert_eq!(conditions(&ready), [of_others, ["Ready", "True", "Reached"], ["Synced", "True", "Whole"]]);
    assert_eq!(ready["status"]["summary"], json!({"nodes": 3, "pods": 40}));
    let list = server.get("/clusters").await.is(200);
    let lag = list["items"].as_array().expect("items").iter().find(|of| of["name"] == "mirror");
    assert!(lag.and_then(|of| of["lagSeconds"].as_u64()).is_some_and(|lag| lag >= 10), "{list}");
    // No news, no write; and a second writer has no news either but how much there is, which is the same.
    server.state.sources.tell("mirror", status(6, 11));
    for writer in [&mut writer, &mut Writer::default()] {
        writer.turn(&server.state).await.expect("it writes");
        assert_eq!(show("mirror").await, ready);
    }

    // The pods are behind, then all is: each condition changes by itself, and keeps its time.
    let since = |object: &Value| {
        object["status"]["conditions"].as_array().expect("conditions")[1]["lastTransitionTime"].clone()
    };
    server.state.sources.tell("mirror", status(5, 500));
    writer.turn(&server.state).await.expect("it writes");
    let behind = show("mirror").await;
    assert_eq!(conditions(&behind)[1..], [["Ready", "True", "Reached"], ["Synced", "False", "Behind"]]);
    assert_eq!(since(&behind), since(&ready), "it has not changed since then");
    server.state.sources.tell("mirror", status(500, 500));
    writer.turn(&server.state).await.expect("it writes");
    let away = show("mirror").await;
    assert_eq!(conditions(&away)[1..], [["Ready", "False", "Unreachable"], ["Synced", "False", "Behind"]]);
    let message = away["status"]["conditions"][1]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.starts_with("its API server has told nothing since "), "{away}");
    server.state.sources.tell("mirror", status(5, 5));
    writer.turn(&server.state).await.expect("it writes");
    assert_eq!(conditions(&show("mirror").await), conditions(&ready));

    assert_eq!(show("own").await, own, "of a cluster without a source others tell");
    // Without its source it is nobody's any more.
    server.put("/clusters/mirror", json!({"source": null})).await.is(200);
    let before = show("mirror").await;
    writer.turn(&server.state).await.expect("it writes");
    assert_eq!(show("mirror").await, before);
}
