//! `/autoscale/vpa` over HTTP, without a socket: stored autoscalers, their checkpoints, and what their recommendations would do.

#[path = "support/server.rs"]
mod server;

use serde_json::{Value, json};
use server::Server;

const GROUP: &str = "/apis/autoscaling.k8s.io/v1/namespaces/prod";

fn node(name: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}})
}

/// A running pod of a ReplicaSet that requests 3 CPUs.
fn pod(name: &str, node: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "prod", "labels": {"app": "web"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true}]},
        "spec": {"nodeName": node, "containers": [{"name": "app", "resources": {"requests": {"cpu": "3", "memory": "1Gi"}}}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    })
}

fn usage(start: &str, milli: u32) -> Value {
    json!([{"name": "web-0", "labels": {"app": "web"}, "containers": [{"name": "app", "requests": {"memory": "1Gi"},
        "series": [{"start": start, "everySeconds": 60, "count": 60, "cpuMilli": [milli], "memoryBytes": [400_000_000]}]}]}])
}

async fn shop() -> Server {
    let server = Server::with(&[
        ("nodes", node("a")),
        ("nodes", node("b")),
        ("nodes", node("c")),
        ("pods", pod("web-0", "a")),
        ("pods", pod("web-1", "b")),
        ("pods", pod("web-2", "c")),
    ])
    .await;
    let template =
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": "web"}]}});
    let deployment = json!({"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template}});
    server.post("/apis/apps/v1/namespaces/prod/deployments", &deployment).await.is(201);
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let autoscaler =
        json!({"metadata": {"name": "web"}, "spec": {"targetRef": target, "updatePolicy": {"updateMode": "Off"}}});
    server.post(&format!("{GROUP}/verticalpodautoscalers"), &autoscaler).await.is(201);
    server
}

async fn ask(server: &Server, body: &Value) -> Value {
    server.post("/autoscale/vpa", body).await.json()
}

async fn refused(server: &Server, body: Value) -> String {
    server.post("/autoscale/vpa", &body).await.refusal(422)
}

#[tokio::test]
async fn stored_autoscaler_keeps_its_usage_and_its_status() {
    let server = shop().await;
    let first = json!({"name": "prod/web", "now": "2026-01-05T11:00:00Z", "pods": usage("2026-01-05T10:00:00Z", 300), "store": true, "effect": true});
    let report = ask(&server, &first).await;
    // The bucket of 0.3 ends at 0.01·(1.05^19−1)/0.05 = 0.30539; with 15 % that is 350 milli-CPU.
    assert_eq!(report["containerRecommendations"][0]["target"]["cpu"], "350m", "{report}");
    assert_eq!((&report["history"]["app"]["cpuSamples"], &report["stored"]), (&json!(60), &json!(true)));
    // Three pods of 3 CPUs need a node each; of 350 milli-CPU they fit on one.
    assert_eq!((&report["effect"]["pods"], &report["effect"]["nodesSaved"]), (&json!(3), &json!(2)));
    assert_eq!(report["effect"]["after"]["resources"]["cpu"]["requested"], "1050m");

    let stored = server.get(&format!("{GROUP}/verticalpodautoscalers/web")).await.json();
    let status = &stored["status"];
    assert_eq!(status["recommendation"]["containerRecommendations"], report["containerRecommendations"]);
    assert_eq!(
        (&status["conditions"][0]["type"], &status["conditions"][0]["status"]),
        (&json!("RecommendationProvided"), &json!("True"))
    );
    let checkpoint = server.get(&format!("{GROUP}/verticalpodautoscalercheckpoints/web-app")).await.json();
    assert_eq!(
        (&checkpoint["status"]["version"], &checkpoint["status"]["totalSamplesCount"]),
        (&json!("v3"), &json!(60))
    );
    assert_eq!(checkpoint["metadata"]["ownerReferences"][0]["uid"], stored["metadata"]["uid"]);

    // The same usage again is discarded; later usage is added.
    let again = ask(&server, &first).await;
    assert_eq!((&again["history"]["app"]["cpuSamples"], &again["discarded"]), (&json!(60), &json!(119)));
    let later = json!({"name": "prod/web", "now": "2026-01-05T12:00:00Z", "pods": usage("2026-01-05T11:00:00Z", 300), "store": true});
    let report = ask(&server, &later).await;
    assert_eq!((&report["history"]["app"]["cpuSamples"], &report["discarded"]), (&json!(120), &json!(0)));

    // Without a name all are told of, from their checkpoints.
    let all = ask(&server, &json!({"now": "2026-01-05T12:00:00Z"})).await;
    assert_eq!(
        (&all["items"][0]["name"], &all["items"][0]["history"]["app"]["cpuSamples"]),
        (&json!("prod/web"), &json!(120))
    );
    assert_eq!(all["items"][0]["containerRecommendations"], report["containerRecommendations"]);
}

#[tokio::test]
async fn effect_tells_of_pods_that_fit_nowhere() {
    let server = shop().await;
    let report =
        ask(&server, &json!({"name": "prod/web", "pods": usage("2026-01-05T10:00:00Z", 5_000), "effect": true})).await;
    let stuck = report["effect"]["noLongerFit"].as_array().expect("a list");
    assert_eq!(stuck.len(), 3, "{report}");
    assert_eq!(stuck[0]["message"], "0/3 nodes are available: 3 Insufficient cpu.");
    assert_eq!(report["effect"]["tooFull"], json!(["a", "b", "c"]));
    let stored = server.get(&format!("{GROUP}/verticalpodautoscalers/web")).await.json();
    assert_eq!(stored["status"]["recommendation"], Value::Null, "nothing is stored unless it is asked for");
    // The same cluster in the request.
    let vpa = json!({"metadata": {"name": "web", "namespace": "prod"}});
    let cluster = json!({"nodes": [node("a")], "pods": [pod("web-0", "a")]});
    let own = ask(
        &server,
        &json!({"vpa": vpa, "selector": {"app": "web"}, "pods": usage("2026-01-05T10:00:00Z", 300), "cluster": cluster, "effect": true}),
    )
    .await;
    assert_eq!(own["effect"]["after"]["resources"]["cpu"]["requested"], "350m");
}

#[tokio::test]
async fn contradictions_are_refused() {
    let server = shop().await;
    let vpa = json!({"metadata": {"name": "web"}});
    for (body, told) in [
        (json!({"name": "prod/web", "vpa": vpa}), "name and vpa exclude each other"),
        (json!({"vpa": vpa, "selector": {"app": "web"}, "store": true}), "store: Invalid value: true"),
        (json!({"vpa": vpa}), "selector: Required value"),
        (json!({"pods": usage("2026-01-05T10:00:00Z", 1)}), "vpa: Required value"),
        (
            json!({"name": "prod/web", "pods": usage("yesterday", 1)}),
            "pods[0].containers[0].series[0].start: Invalid value",
        ),
    ] {
        let got = refused(&server, body.clone()).await;
        assert!(got.contains(told), "{body}: {got}");
    }
    let unknown = server.post("/autoscale/vpa", &json!({"name": "prod/web", "margin": 1})).await.refusal(400);
    assert!(unknown.contains("unknown field `margin`"), "a body that cannot be read: {unknown}");
    let missing = server.post("/autoscale/vpa", &json!({"name": "prod/api"})).await;
    assert!(missing.refusal(404).contains("\"api\" not found"));
}
