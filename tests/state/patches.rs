//! PATCH over HTTP: media types, options, and what is stored. The rules of patches themselves are tested in `wire`.

use serde_json::{Value, json};

use crate::{
    objects::{NODES, PODS, node, pod},
    server::{Reply, Server},
};

const MAPS: &str = "/api/v1/namespaces/shop/configmaps";

async fn patch(server: &Server, path: &str, media_type: &str, body: &Value) -> Reply {
    server.ask("PATCH", path, ("content-type", &format!("application/{media_type}")), body.to_string()).await
}

fn config(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

pub async fn each_media_type_patches(server: Server) {
    let created = server.post(NODES, &node("a")).await.is(201);
    let path = format!("{NODES}/a");
    let taints =
        |keys: &[&str]| -> Vec<Value> { keys.iter().map(|k| json!({"key": k, "effect": "NoSchedule"})).collect() };
    let spec = json!({"spec": {"taints": taints(&["t"])}});
    let patched = patch(&server, &path, "merge-patch+json", &spec).await.is(200);
    assert_eq!(patched["spec"]["taints"], json!(taints(&["t"])));
    assert_eq!(patched["metadata"]["uid"], created["metadata"]["uid"]);
    let add = json!([{"op": "add", "path": "/spec/taints/-", "value": taints(&["u"])[0]}]);
    let patched = patch(&server, &path, "json-patch+json; charset=utf-8", &add).await.is(200);
    assert_eq!(patched["spec"]["taints"], json!(taints(&["t", "u"])));
    let cordon = json!({"spec": {"unschedulable": true, "taints": null}});
    let patched = patch(&server, &path, "strategic-merge-patch+json", &cordon).await.is(200);
    assert_eq!(patched["spec"], json!({"unschedulable": true}));
    assert_eq!(server.get(&path).await.is(200), patched);
    assert_eq!(
        patch(&server, &path, "merge-patch+json", &cordon).await.is(200),
        patched,
        "nothing changed, so nothing was written"
    );
    for other in ["json", "xml", "x-www-form-urlencoded"] {
        let status = patch(&server, &path, other, &spec).await.fails(415, "UnsupportedMediaType");
        assert!(status["message"].as_str().is_some_and(|m| m.contains("application/apply-patch+yaml")), "{status}");
    }
    patch(&server, &format!("{NODES}/b"), "merge-patch+json", &spec).await.fails(404, "NotFound");
}

pub async fn a_patch_is_checked_like_a_put(server: Server) {
    server.post(PODS, &pod("a")).await.is(201);
    let path = format!("{PODS}/a");
    let created = server.get(&path).await.is(200)["metadata"]["creationTimestamp"].clone();
    let older = json!({"metadata": {"creationTimestamp": "1999-01-01T00:00:00Z"}});
    let kept = patch(&server, &path, "merge-patch+json", &older).await.is(200);
    assert_eq!(kept["metadata"]["creationTimestamp"], created);
    let merge = async |body: Value| patch(&server, &path, "merge-patch+json", &body).await;
    merge(json!({"spec": {"schedulerName": "other"}})).await.fails(422, "Invalid");
    merge(json!({"metadata": {"name": "b"}})).await.fails(400, "BadRequest");
    merge(json!({"metadata": {"namespace": "other"}})).await.fails(400, "BadRequest");
    merge(json!({"metadata": {"uid": "other"}})).await.fails(422, "Invalid");
    merge(json!({"metadata": {"resourceVersion": "99999", "labels": {"a": "b"}}})).await.fails(409, "Conflict");
    let status = merge(json!({"spec": {"containers": "none"}})).await.fails(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "patch");
    let reply = merge(json!({"metadata": {"labels": {"x": "y"}, "lables": {}}})).await;
    reply.is(200);
    assert_eq!(reply.header("warning"), Some(r#"299 - "unknown field \"metadata.lables\"""#));
    let strict = format!("{path}?fieldValidation=Strict");
    patch(&server, &strict, "merge-patch+json", &json!({"spec": {"zzz": 1}})).await.fails(422, "Invalid");
    let test = json!([{"op": "test", "path": "/metadata/name", "value": "b"}]);
    patch(&server, &path, "json-patch+json", &test).await.fails(422, "Invalid");
    patch(&server, &path, "json-patch+json", &json!({})).await.fails(400, "BadRequest");
}

pub async fn the_status_is_patched_by_its_own_path(server: Server) {
    server.post(NODES, &node("a")).await.is(201);
    let both = json!({"spec": {"unschedulable": true}, "status": {"allocatable": {"cpu": "8"}}});
    let path = format!("{NODES}/a");
    let of_status = patch(&server, &format!("{path}/status"), "merge-patch+json", &both).await.is(200);
    assert_eq!((&of_status["spec"], &of_status["status"]["allocatable"]["cpu"]), (&Value::Null, &"8".into()));
    let both = json!({"spec": {"unschedulable": true}, "status": {"allocatable": {"cpu": "16"}}});
    let of_rest = patch(&server, &path, "merge-patch+json", &both).await.is(200);
    assert_eq!(
        (&of_rest["spec"]["unschedulable"], &of_rest["status"]["allocatable"]["cpu"]),
        (&true.into(), &"8".into())
    );
}

pub async fn an_apply_creates_and_owns(server: Server) {
    let apply = async |query: &str, data: Value| {
        patch(&server, &format!("{MAPS}/a?{query}"), "apply-patch+yaml", &config(&data)).await
    };
    apply("fieldManager=alice&dryRun=All", json!({"k": "v"})).await.is(201);
    server.get(&format!("{MAPS}/a")).await.fails(404, "NotFound");
    let created = apply("fieldManager=alice", json!({"k": "v"})).await.is(201);
    assert_eq!(created["metadata"]["managedFields"][0]["manager"], "alice");
    let again = apply("fieldManager=alice", json!({"k": "v"})).await.is(200);
    assert_eq!(again, created, "an apply that changes nothing writes nothing");
    let status = apply("fieldManager=bob", json!({"k": "w"})).await.fails(409, "Conflict");
    assert_eq!(status["message"], r#"Apply failed with 1 conflict: conflict with "alice": .data.k"#);
    assert_eq!(status["details"]["causes"][0]["reason"], "FieldManagerConflict");
    assert_eq!(apply("fieldManager=bob&force=true", json!({"k": "w"})).await.is(200)["data"], json!({"k": "w"}));
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {l: x}\n";
    let media_type = ("content-type", "application/apply-patch+yaml");
    let merged = server.ask("PATCH", &format!("{MAPS}/a?fieldManager=carol"), media_type, yaml).await.is(200);
    assert_eq!(merged["data"], json!({"k": "w", "l": "x"}));
}

pub async fn options_of_a_patch_are_checked(server: Server) {
    let apply =
        async |query: &str| patch(&server, &format!("{MAPS}/a?{query}"), "apply-patch+yaml", &config(&json!({}))).await;
    let status = apply("").await.fails(422, "Invalid");
    assert_eq!(status["details"]["kind"], "PatchOptions");
    assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueRequired");
    apply(&format!("fieldManager={}", "x".repeat(129))).await.fails(422, "Invalid");
    apply("fieldManager=%07").await.fails(422, "Invalid");
    apply("fieldManager=a&force=false").await.is(201);
    let forced = format!("{MAPS}/a?force=true");
    patch(&server, &forced, "merge-patch+json", &json!({})).await.fails(422, "Invalid");
}

pub async fn other_writes_have_managers_too(server: Server) {
    let tool = ("user-agent", "tool/v1 (linux)");
    let created = server.ask("POST", MAPS, tool, config(&json!({"k": "v"})).to_string()).await.is(201);
    let entry = &created["metadata"]["managedFields"][0];
    assert_eq!((&entry["manager"], &entry["operation"]), (&"tool".into(), &"Update".into()));
    let query = format!("{MAPS}/a?fieldManager=dave");
    let replaced = server.put(&query, &config(&json!({"k": "v", "l": "w"}))).await.is(200);
    let mut managers: Vec<_> =
        replaced["metadata"]["managedFields"].as_array().into_iter().flatten().map(|e| e["manager"].as_str()).collect();
    managers.sort_unstable(); // They stand by time first, of which a second may have passed.
    assert_eq!(managers, [Some("dave"), Some("tool")]);
    let apply = format!("{MAPS}/a?fieldManager=alice");
    let status = patch(&server, &apply, "apply-patch+yaml", &config(&json!({"k": "z"}))).await.fails(409, "Conflict");
    assert_eq!(status["message"], r#"Apply failed with 1 conflict: conflict with "tool" using v1: .data.k"#);
}
