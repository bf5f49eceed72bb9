//! Bodies of many small things, which take far more memory than their bytes.

use podberth::api::middleware::Limits;
use serde_json::{Value, json};

use crate::{
    node, pod,
    server::{Reply, Server, Setup, memory},
};

/// A server that may make so much of bodies.
async fn server(decoded_bytes: usize) -> Server {
    let limits = Limits { decoded_bytes, ..Setup::default().limits };
    Server::start(memory(&[("nodes", node("a", 4))]).await, Setup { limits, ..Setup::default() })
}

fn many(item: &str, count: usize) -> String {
    vec![item; count].join(",")
}

/// Refused in words that name the limit and the remedy, and in few of them.
#[track_caller]
fn is_refused(reply: &Reply, what: &str) {
    assert!(
        matches!(reply.code, 400 | 413 | 422),
        "{what}: {} {}",
        reply.code,
        &reply.text()[..reply.text().len().min(200)]
    );
    assert!(reply.text().len() < 100_000, "{what}: {} bytes", reply.text().len());
    if reply.code == 413 {
        let message = reply.refusal(413);
        assert!(message.contains("--max-decoded-bytes") && message.contains("fewer items"), "{message}");
    }
}

#[tokio::test]
async fn many_small_things_are_refused_before_they_fill_the_memory() {
    let server = server(32 << 20).await;
    let (objects, lists, texts) = (many("{}", 200_000), many("[]", 200_000), many("\"\"", 200_000));
    let keys = (0..200_000).map(|i| format!("\"{i}\":\"\"")).collect::<Vec<_>>().join(",");
    let (trees, long) = (many(r#"{"":0}"#, 200_000), "x".repeat(1 << 20));
    for (path, body) in [
        ("/schedule", format!(r#"{{"dryRun":true,"pods":[{objects}]}}"#)),
        ("/schedule", format!(r#"{{"dryRun":true,"podNames":[{texts}]}}"#)),
        ("/explain", format!(r#"{{"pod":{{}},"cluster":{{"pods":[{objects}]}}}}"#)),
        ("/explain", format!(r#"{{"pod":{{}},"cluster":{{"nodes":[{objects}]}}}}"#)),
        ("/explain", format!(r#"{{"pod":{{}},"cluster":{{"services":[{objects}]}}}}"#)),
        ("/explain", format!(r#"{{"pod":{{"spec":{{"containers":[{objects}]}}}}}}"#)),
        ("/explain", format!(r#"{{"pod":{{"spec":{{"tolerations":[{objects}]}}}}}}"#)),
        ("/explain", format!(r#"{{"pod":{{"metadata":{{"labels":{{{keys}}}}}}}}}"#)),
        ("/filter", format!(r#"{{"NodeNames":["n"],"Pod":{{"spec":{{"topologySpreadConstraints":[{objects}]}}}}}}"#)),
        ("/filter", format!(r#"{{"Pod":{{}},"NodeNames":[{texts}]}}"#)),
        ("/filter", format!(r#"{{"Pod":{{}},"nodes":{{"items":[{objects}]}}}}"#)),
        ("/filter", format!(r#"{{"Pod":{{}},"Nodes":{{"items":[{lists}]}}}}"#)),
        ("/prioritize", format!(r#"{{"NodeNames":[{texts}],"Pod":{{}}}}"#)),
        ("/preempt", format!(r#"{{"Pod":{{}},"NodeNameToVictims":{{"a":{{"Pods":[{objects}]}}}}}}"#)),
        ("/preempt", format!(r#"{{"Pod":{{}},"NodeNameToMetaVictims":{{{}}}}}"#, keys.replace("\"\"", "{}"))),
        ("/import", format!(r#"{{"kind":"List","items":[{objects}]}}"#)),
        ("/import", many("{}", 200_000).replace(',', "\n")),
        ("/policy", format!(r#"{{"kind":"Policy","apiVersion":"v1","predicates":[{objects}]}}"#)),
        ("/policy", format!(r#"{{"kind":"Policy","apiVersion":"v1","priorities":[{objects}]}}"#)),
        // Trees are made of these: where a field stands twice, of a template, of a policy.
        ("/schedule", format!(r#"{{"dryRun":true,"dryRun":true,"pods":[{{"x":[{trees}]}}]}}"#)),
        ("/explain", format!(r#"{{"pod":{{"kind":"Deployment","spec":{{"template":{{"x":[{trees}]}}}}}}}}"#)),
        ("/explain", format!(r#"{{"pod":{{}},"policy":{{"kind":"Policy","x":[{trees}]}}}}"#)),
        ("/explain", format!(r#"{{"pod":{{}},"profile":{{"x":[{trees}]}}}}"#)),
        // Each is a fault.
        ("/explain", format!(r#"{{"pod":{{}},"cluster":{{"items":[{objects}]}}}}"#)),
        ("/explain", format!(r#"{{"pod":{{}},"cluster":[{objects}]}}"#)),
        // A fault tells what it is about.
        (
            "/explain",
            format!(r#"{{"pod":{{}},"cluster":{{"nodes":[{{"status":{{"allocatable":{{"cpu":"{long}"}}}}}}]}}}}"#),
        ),
        ("/explain", format!(r#"{{"pod":{{}},"cluster":{{"nodes":[{{"status":{{"allocatable":"{long}"}}}}]}}}}"#)),
        ("/schedule", format!(r#"{{"dryRun":true,"pods":[{{"metadata":{{"name":"p","labels":{{"{long}":"!"}}}}}}]}}"#)),
    ] {
        is_refused(&server.post(path, body.clone()).await, &format!("{path} {}", &body[..body.len().min(80)]));
    }
    // Nothing of it is left.
    let question = json!({"Pod": pod(1), "NodeNames": ["a"]});
    assert_eq!(server.post("/filter", &question).await.json()["NodeNames"], json!(["a"]));
}

#[tokio::test]
async fn kinds_within_kinds_overflow_no_stack() {
    let server = Server::with(&[]).await;
    for kind in ["Cluster", "ExplainRequest", "ScheduleRequest", "List"] {
        for field in ["items", "cluster", "pods"] {
            let nested = format!(r#"{{"kind":"{kind}","{field}":["#).repeat(30_000);
            let closed = "]}".repeat(30_000);
            for body in [
                format!(r#"{{"pod":{{}},"cluster":{{"items":[{nested}{closed}]}}}}"#),
                format!(r#"{{"dryRun":true,"pods":[{nested}{closed}]}}"#),
            ] {
                for path in ["/explain", "/schedule"] {
                    let reply = server.post(path, body.clone()).await;
                    assert!(matches!(reply.code, 200 | 400 | 413 | 422), "{path} {kind}.{field}: {}", reply.code);
                }
            }
        }
    }
}

#[tokio::test]
async fn the_first_hundred_faults_are_listed_with_the_number_of_the_others() {
    let server = Server::with(&[]).await;
    let body = format!(r#"{{"dryRun":true,"pods":[{}]}}"#, many("{}", 5_000));
    let status = server.post("/schedule", body).await.fails(422, "Invalid");
    let causes = status["details"]["causes"].as_array().expect("causes");
    assert_eq!(causes.len(), 101);
    let last = causes[100]["message"].as_str().unwrap_or_default();
    assert!(last.starts_with("and ") && last.ends_with(" more faults"), "{last}");
}

#[tokio::test]
async fn nesting_and_aliases_are_bounded() {
    let server = Server::with(&[]).await;
    for deep in ["[", "{\"a\":", "{\"pod\":{\"spec\":"] {
        for path in ["/schedule", "/explain", "/filter", "/preempt", "/import", "/policy", "/bind", "/api/v1/nodes"] {
            let reply = server.post(path, deep.repeat(100_000)).await;
            assert!(matches!(reply.code, 400 | 422), "{path}: {}", reply.code);
        }
    }
    let mut laughs = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..12 {
        let previous = vec![format!("*a{}", level - 1); 9].join(", ");
        laughs.extend(["a", &level.to_string(), ": &a", &level.to_string(), " [", &previous, "]\n"]);
    }
    for path in ["/schedule", "/explain", "/filter", "/import", "/policy"] {
        let reply = server.ask("POST", path, ("content-type", "application/yaml"), laughs.clone()).await;
        assert!(matches!(reply.code, 400 | 413 | 422), "{path}: {} {}", reply.code, reply.text());
    }
    let yaml = format!("pods:\n{}", "- {}\n".repeat(300_000));
    let small = self::server(16 << 20).await;
    is_refused(&small.ask("POST", "/schedule", ("content-type", "application/yaml"), yaml).await, "YAML");
}

#[tokio::test]
async fn large_bodies_that_are_meant_pass() {
    // The default of --max-decoded-bytes.
    let server = server(512 << 20).await;
    let full = |i: usize| -> Value {
        let mut node = node(&format!("n{i}"), 4);
        let labels: serde_json::Map<String, Value> =
            (0..40).map(|j| (format!("l{j}"), json!("v".repeat(40)))).collect();
        node["metadata"]["labels"] = labels.into();
        let image = |j: usize| json!({"names": [format!("registry.example/{j}@sha256:{j:064}")], "sizeBytes": j});
        node["status"]["images"] = (0..50).map(image).collect();
        node
    };
    let nodes: Vec<Value> = (0..1_000).map(full).collect();
    let body = json!({"Pod": pod(1), "Nodes": {"items": nodes}});
    let reply = server.post("/filter", &body).await.json();
    assert_eq!(reply["Nodes"]["items"].as_array().map(Vec::len), Some(1_000));

    let pods: Vec<Value> = (0..10_000)
        .map(|i| json!({"metadata": {"name": format!("p{i}")}, "spec": {"containers": [{"name": "c"}]}}))
        .collect();
    let cluster = json!({"nodes": nodes, "pods": pods});
    server.post("/explain", &json!({"pod": pod(1), "cluster": cluster})).await.json();
    let items: Vec<Value> = pods
        .iter()
        .map(|pod| {
            let mut pod = pod.clone();
            (pod["kind"], pod["apiVersion"]) = (json!("Pod"), json!("v1"));
            pod
        })
        .collect();
    let report = server.post("/import", &json!({"kind": "List", "items": items})).await.json();
    assert_eq!(report["created"], 10_000);
    let names: Vec<String> = (0..5_000).map(|i| format!("n{i}")).collect();
    server.post("/filter", &json!({"Pod": pod(1), "NodeNames": names})).await.json();
}
