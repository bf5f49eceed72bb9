//! Refused objects, and their error messages.

use serde_json::json;

use crate::{
    fields,
    objects::{NODES, PODS, node, pod},
    server::Server,
};

pub async fn bodies_that_cannot_be_read(server: Server) {
    let deep = format!(r#"{{"metadata":{{"name":"a"}},"x":{}{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    let bodies =
        ["", "{", "[]", "null", "7", r#"{"metadata":7}"#, r#"{"metadata":{"name":7}}"#, r#"{"spec":1}"#, &deep];
    for body in bodies {
        let start = &body[..body.len().min(40)];
        for path in [NODES, PODS] {
            let reply = server.post(path, body.to_owned()).await;
            assert!(matches!(reply.code, 400 | 422), "{start}: {}", reply.text());
            assert_eq!(reply.is(reply.code)["kind"], "Status", "{start}");
        }
        let reply = server.post("/import", body.to_owned()).await;
        assert!(reply.code < 500, "{start}: {}", reply.text());
    }
    server.ask("POST", NODES, ("content-type", "application/yaml"), "a: [").await.fails(400, "BadRequest");
    server
        .ask("POST", NODES, ("content-type", "application/vnd.kubernetes.protobuf"), "x")
        .await
        .fails(400, "BadRequest");
    server.ask("POST", "/import", ("content-type", "text/html"), "x").await.fails(415, "UnsupportedMediaType");
    let wrong_type = json!({"metadata": {"name": "p"}, "spec": {"priority": "high"}});
    let status = server.post(PODS, &wrong_type).await.fails(400, "BadRequest");
    assert!(status["message"].as_str().is_some_and(|m| m.contains("spec.priority")), "{status}");
}

pub async fn objects_that_break_rules(server: Server) {
    let mut bad = pod("No_Name");
    bad["metadata"]["labels"] = json!({"a b": "c"});
    bad["spec"]["containers"][0]["resources"]["requests"] = json!({"cpu": "-1", "memory": "lots"});
    let status = server.post(PODS, &bad).await.fails(422, "Invalid");
    assert_eq!((&status["details"]["kind"], &status["details"]["name"]), (&"Pod".into(), &"No_Name".into()));
    let fields = fields(&status);
    for field in [
        "metadata.name",
        "metadata.labels",
        "spec.containers[0].resources.requests[cpu]",
        "spec.containers[0].resources.requests[memory]",
    ] {
        assert!(fields.contains(&field), "{field} is not in {fields:?}");
    }
    for (quantity, is_taken) in [("1e999999999", true), ("", false), ("1Zi", false), ("0x10", false), ("١", false)] {
        let mut node = node("a");
        node["status"]["allocatable"]["cpu"] = quantity.into();
        let reply = server.post(&format!("{NODES}?dryRun=All"), &node).await;
        assert!(matches!((is_taken, reply.code), (true, 201) | (false, 400 | 422)), "{quantity}: {}", reply.text());
    }
    let huge = "9".repeat(400);
    let mut absurd = node("a");
    absurd["status"]["allocatable"] = json!({"cpu": huge, "memory": "99999999999999999999Ei", "pods": "-3"});
    let reply = server.post(NODES, &absurd).await;
    assert!(matches!(reply.code, 400 | 422), "{}", reply.text());
}

/// Fields that evictions and selectors read have the right type, or the object is refused.
pub async fn types_that_a_later_request_reads(server: Server) {
    let path = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets";
    for (part, field) in [
        ("status", "currentHealthy"),
        ("status", "desiredHealthy"),
        ("status", "disruptionsAllowed"),
        ("status", "observedGeneration"),
        ("metadata", "generation"),
    ] {
        for value in [json!("NoExecute"), json!(3e30), json!(1.5), json!({})] {
            let mut budget = json!({"metadata": {"name": "b"}, "spec": {"selector": {"matchLabels": {"a": "b"}}}});
            budget[part][field] = value.clone();
            let reply = server.post(path, &budget).await;
            assert_eq!(reply.code, 400, "{part}.{field}: {value}: {}", reply.text());
            let mut told = budget;
            told["kind"] = "PodDisruptionBudget".into();
            let reply = server.post("/import", &told).await;
            assert_eq!(reply.code, 422, "{part}.{field}: {value}: {}", reply.text());
        }
    }
    let negative =
        json!({"metadata": {"name": "b"}, "spec": {"minAvailable": "150%"}, "status": {"currentHealthy": -1}});
    let status = server.post(path, &negative).await.fails(422, "Invalid");
    assert_eq!(fields(&status), ["spec.minAvailable", "status.currentHealthy"]);
}

pub async fn fields_that_do_not_exist(server: Server) {
    let mut misspelt = pod("a");
    misspelt["spec"]["nodeselector"] = json!({"a": "b"});
    let warned = server.post(PODS, &misspelt).await;
    let told = r#"299 - "unknown field \"spec.nodeselector\"""#;
    assert_eq!((warned.code, warned.header("warning")), (201, Some(told)));
    let path = format!("{PODS}/a");
    for query in ["?fieldValidation=Strict", "?fieldValidation=Strict&dryRun=All"] {
        let status = server.put(&format!("{path}{query}"), &misspelt).await.fails(400, "BadRequest");
        let message = r#"Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.nodeselector""#;
        assert_eq!(status["message"], message);
    }
    let silent = server.put(&format!("{path}?fieldValidation=Ignore"), &misspelt).await;
    assert_eq!((silent.code, silent.header("warning")), (200, None));
    let status = server.put(&format!("{path}?fieldValidation=Loud"), &misspelt).await.fails(422, "Invalid");
    assert_eq!(fields(&status), ["fieldValidation"]);
    let twice = r#"{"metadata":{"name":"b"},"spec":{"containers":[{"name":"c","image":"one","image":"two"}]}}"#;
    let warned = server.post(PODS, twice.to_owned()).await;
    let told = r#"299 - "duplicate field \"spec.containers[0].image\"""#;
    assert_eq!((warned.code, warned.header("warning")), (201, Some(told)));
    assert_eq!(server.get(&format!("{PODS}/b")).await.is(200)["spec"]["containers"][0]["image"], "two");
    let bare = server.post(NODES, &json!({"kind": "Pod", "metadata": {"name": "a"}})).await.fails(400, "BadRequest");
    assert_eq!(bare["message"], r#"the object is "Pod" of "no apiVersion"; this path takes "Node" of "v1""#);
}

pub async fn objects_in_the_wrong_place(server: Server) {
    let mut typed = pod("a");
    typed["kind"] = "Pod".into();
    typed["apiVersion"] = "v1".into();
    server.post(NODES, &typed).await.fails(400, "BadRequest");
    typed["apiVersion"] = "v2".into();
    server.post(PODS, &typed).await.fails(400, "BadRequest");
    let mut elsewhere = pod("a");
    elsewhere["metadata"]["namespace"] = "other".into();
    server.post(PODS, &elsewhere).await.fails(400, "BadRequest");
    let mut spaced = node("a");
    spaced["metadata"]["namespace"] = "shop".into();
    server.post(NODES, &spaced).await.fails(422, "Invalid");
    let mut versioned = node("a");
    versioned["metadata"]["resourceVersion"] = "7".into();
    server.post(NODES, &versioned).await.fails(400, "BadRequest");
    server.post("/api/v1/namespaces/No_Label/pods", &pod("a")).await.fails(422, "Invalid");
    server.get("/api/v1/namespaces/shop/pods/%00").await.fails(400, "BadRequest");
    server.get("/apis/batch/v1/cronjobs").await.fails(404, "NotFound");
}

pub async fn collections_are_not_patched(server: Server) {
    server.post(NODES, &node("a")).await.is(201);
    let patch = server.ask("PATCH", NODES, ("content-type", "application/merge-patch+json"), "{}").await;
    patch.fails(405, "MethodNotAllowed");
}
