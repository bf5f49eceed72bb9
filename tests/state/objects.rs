//! One object: create, read, replace, delete.

use std::time::Duration;

use podberth::wire::kinds;
use serde_json::{Value, json};

use crate::{
    documents::{conforms, posts},
    names,
    server::Server,
};

pub const NODES: &str = "/api/v1/nodes";
pub const PODS: &str = "/api/v1/namespaces/shop/pods";

pub fn node(name: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}})
}

pub fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": "web"}},
           "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}})
}

/// The published example of each kind's creation goes through every operation.
pub async fn every_kind_lives_a_life(server: Server) {
    let is_stored = |path: &str| {
        ["{name}", "/bindings"].iter().all(|part| !path.contains(part))
            && !path.ends_with("reviews")
            && !path.contains("metrics.k8s.io/")
    };
    let creations: Vec<_> = posts().into_iter().filter(|post| is_stored(&post.path)).collect();
    assert_eq!(creations.len(), kinds::shared().count());
    for post in creations {
        let collection = post.path.replace("{namespace}", "shop");
        let name = post.example["metadata"]["name"].as_str().expect("a name");
        let object = format!("{collection}/{name}");
        let created = server.post(&collection, &post.example).await.is(201);
        assert_eq!((&created["kind"], &created["apiVersion"]), (&post.example["kind"], &post.example["apiVersion"]));
        for field in ["uid", "creationTimestamp", "resourceVersion"] {
            assert!(created["metadata"][field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {created}");
        }
        assert_eq!(server.get(&object).await.is(200), created);
        let mut changed = created.clone();
        changed["metadata"]["annotations"] = json!({"a": "b"});
        let replaced = server.put(&object, &changed).await.is(200);
        assert_eq!(replaced["metadata"]["annotations"], json!({"a": "b"}));
        assert_ne!(replaced["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);
        let again = server.put(&object, &replaced).await.is(200);
        assert_eq!(again, replaced, "nothing changed, so nothing was written");
        let list = server.get(&collection).await.is(200);
        assert_eq!(list["items"], json!([crate::item(&replaced)]));
        assert_eq!(list["kind"], format!("{}List", created["kind"].as_str().expect("a kind")));
        conforms(&post.component, &created);
        conforms(&format!("{}List", post.component), &list);
        let kind = kinds::by_api_version(text(&created["apiVersion"]), text(&created["kind"])).expect("a stored kind");
        let gone = server.delete(&object).await.is(200);
        if kind.replies_with_object() {
            conforms(&post.component, &gone);
            assert_eq!(gone["metadata"]["uid"], created["metadata"]["uid"]);
        } else {
            conforms("Status", &gone);
            assert_eq!((&gone["status"], &gone["details"]["uid"]), (&"Success".into(), &created["metadata"]["uid"]));
        }
        conforms("Status", &server.get(&object).await.fails(404, "NotFound"));
        server.delete(&object).await.fails(404, "NotFound");
        if kind.is_created_by_put() {
            server.put(&object, &replaced).await.is(201);
            server.delete(&object).await.is(200);
        } else {
            let status = server.put(&object, &replaced).await.fails(404, "NotFound");
            assert_eq!(status["details"]["name"], name);
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

pub async fn objects_come_back_as_they_were_sent(server: Server) {
    let sent = r#"{"metadata":{"name":"odd","x-unknown":{"b":1,"a":[1.50,1e3,-0]}},
        "spec":{"zeta":123456789012345678901234567890,"containers":[{"name":"c","surprise":"\u0000\ud83d\ude00"}],"none":null},
        "extra":{"of":"top"}}"#;
    server.post(PODS, sent).await.is(201);
    let text = server.get(&format!("{PODS}/odd")).await.text().to_owned();
    for part in [
        r#""x-unknown":{"b":1,"a":[1.50,1e3,-0]}"#,
        r#""zeta":123456789012345678901234567890"#,
        r#""surprise":"\u0000\ud83d\ude00""#,
        r#""extra":{"of":"top"}"#,
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("none"), "null is absence, as with Kubernetes");
}

pub async fn yaml_is_read(server: Server) {
    let yaml =
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: y\n  labels: {on: \"1\"}\nstatus:\n  allocatable: {cpu: 2}\n";
    let created = server.ask("POST", NODES, ("content-type", "application/yaml"), yaml).await.is(201);
    assert_eq!(
        (&created["metadata"]["labels"]["on"], &created["status"]["allocatable"]["cpu"]),
        (&"1".into(), &"2".into()),
        "amounts written as numbers come back as texts"
    );
    server.ask("POST", NODES, ("content-type", "application/yaml"), "a: 1\n---\nb: 2\n").await.fails(400, "BadRequest");
}

pub async fn names_are_generated(server: Server) {
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let nameless = json!({"metadata": {"generateName": "web-"}, "spec": {"containers": [{"name": "c"}]}});
        let created = server.post(PODS, &nameless).await.is(201);
        let name = created["metadata"]["name"].as_str().expect("a name").to_owned();
        assert!(name.starts_with("web-") && name.len() == 9, "{name}");
        assert!(seen.insert(name));
    }
    server.post(PODS, &json!({"metadata": {}, "spec": {"containers": [{"name": "c"}]}})).await.fails(422, "Invalid");
}

pub async fn a_name_is_taken_once(server: Server) {
    server.post(NODES, &node("a")).await.is(201);
    let status = server.post(NODES, &node("a")).await.fails(409, "AlreadyExists");
    assert_eq!(status["message"], r#"nodes "a" already exists"#);
    server.post(&format!("{NODES}?dryRun=All"), &node("a")).await.fails(409, "AlreadyExists");
}

pub async fn an_outdated_put_is_refused(server: Server) {
    let first = server.post(NODES, &node("a")).await.is(201);
    let path = format!("{NODES}/a");
    let mut second = first.clone();
    second["spec"] = json!({"unschedulable": true});
    server.put(&path, &second).await.is(200);
    let status = server.put(&path, &first).await.fails(409, "Conflict");
    assert!(status["message"].as_str().is_some_and(|m| m.contains("the object has been modified")), "{status}");
    server.put(&path, &node("a")).await.is(200);
    let mut foreign = node("a");
    foreign["metadata"]["resourceVersion"] = "yesterday".into();
    server.put(&path, &foreign).await.fails(400, "BadRequest");
}

pub async fn a_put_keeps_the_identity(server: Server) {
    let created = server.post(NODES, &node("a")).await.is(201);
    let path = format!("{NODES}/a");
    let mut sent = node("a");
    sent["metadata"]["creationTimestamp"] = "1999-01-01T00:00:00Z".into();
    sent["metadata"]["labels"] = json!({"x": "y"});
    let replaced = server.put(&path, &sent).await.is(200);
    for field in ["uid", "creationTimestamp"] {
        assert_eq!(replaced["metadata"][field], created["metadata"][field], "{field}");
    }
    sent["metadata"]["uid"] = "another".into();
    server.put(&path, &sent).await.fails(409, "Conflict");
    server.put(&path, &node("b")).await.fails(400, "BadRequest");
}

pub async fn status_is_replaced_alone(server: Server) {
    server.post(NODES, &node("a")).await.is(201);
    let mut sent = node("a");
    sent["spec"] = json!({"unschedulable": true});
    sent["status"]["allocatable"]["cpu"] = "8".into();
    let path = format!("{NODES}/a/status");
    let replaced = server.put(&path, &sent).await.is(200);
    assert_eq!((&replaced["spec"], &replaced["status"]["allocatable"]["cpu"]), (&Value::Null, &"8".into()));
    assert_eq!(server.get(&path).await.is(200), replaced);
    sent["status"]["allocatable"]["cpu"] = "-8".into();
    server.put(&path, &sent).await.fails(422, "Invalid");
    server.get("/api/v1/namespaces/shop/services/x/status").await.fails(404, "NotFound");
}

pub async fn deletions_have_preconditions(server: Server) {
    let created = server.post(NODES, &node("a")).await.is(201);
    let path = format!("{NODES}/a");
    let delete = async |preconditions: Value| {
        let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions});
        server.ask("DELETE", &path, ("content-type", "application/json"), body.to_string()).await
    };
    delete(json!({"uid": "another"})).await.fails(409, "Conflict");
    delete(json!({"resourceVersion": "999"})).await.fails(409, "Conflict");
    let (uid, revision) = (&created["metadata"]["uid"], &created["metadata"]["resourceVersion"]);
    delete(json!({"uid": uid, "resourceVersion": revision})).await.is(200);
}

pub async fn collections_are_deleted_by_selector(server: Server) {
    for (name, app) in [("a", "web"), ("b", "web"), ("c", "db")] {
        let mut pod = pod(name);
        pod["metadata"]["labels"] = json!({"app": app});
        server.post(PODS, &pod).await.is(201);
    }
    let tried = server.delete(&format!("{PODS}?labelSelector=app%3Dweb&dryRun=All")).await.is(200);
    let gone = server.delete(&format!("{PODS}?labelSelector=app%3Dweb")).await.is(200);
    assert_eq!((names(&tried), names(&gone)), (vec!["a", "b"], vec!["a", "b"]));
    conforms("PodList", &gone);
    assert_eq!(names(&server.get(PODS).await.is(200)), ["c"]);
    server.delete(PODS).await.is(200);
    assert_eq!(server.get(PODS).await.is(200)["items"], json!([]));
}

pub async fn dry_runs_store_nothing(server: Server) {
    let tried = server.post(&format!("{NODES}?dryRun=All"), &node("a")).await.is(201);
    assert!(tried["metadata"]["uid"].is_string() && tried["metadata"]["resourceVersion"].is_null(), "{tried}");
    server.get(&format!("{NODES}/a")).await.fails(404, "NotFound");
    let created = server.post(NODES, &node("a")).await.is(201);
    let mut changed = node("a");
    changed["spec"] = json!({"unschedulable": true});
    let tried = server.put(&format!("{NODES}/a?dryRun=All"), &changed).await.is(200);
    assert_eq!(tried["spec"]["unschedulable"], true);
    server.delete(&format!("{NODES}/a?dryRun=All")).await.is(200);
    assert_eq!(server.get(&format!("{NODES}/a")).await.is(200), created);
    server.post(&format!("{NODES}?dryRun=Some"), &node("b")).await.fails(422, "Invalid");
}

pub async fn clusters_are_apart(server: Server) {
    server.post("/clusters/one/api/v1/nodes", &node("a")).await.is(201);
    server.get("/clusters/one/api/v1/nodes/a").await.is(200);
    for other in ["/api/v1/nodes/a", "/clusters/two/api/v1/nodes/a"] {
        server.get(other).await.fails(404, "NotFound");
    }
    server.get("/clusters/No_Label/api/v1/nodes").await.fails(400, "BadRequest");
    let clusters = server.get("/clusters").await.is(200);
    assert_eq!(clusters, json!({"items": [{"name": "one", "revision": 1}]}));
}

pub async fn a_write_shows_in_the_snapshot(server: Server) {
    server.post(NODES, &node("a")).await.is(201);
    let cluster = server.state.clusters.get("default").await.expect("the cluster loads");
    assert!(cluster.reached(1, Duration::from_secs(30)).await);
    assert!(cluster.view().snapshot.node("a").is_some());
}

pub async fn kinds_that_no_decision_reads_stay_out_of_the_snapshot(server: Server) {
    server.post(NODES, &node("a")).await.is(201);
    let before = server.state.clusters.get("default").await.expect("the cluster loads").view();
    let unread = kinds::shared().filter(|kind| kind.core().is_none() && !kind.is_of_all());
    let items: Vec<Value> = unread.map(kinds::StoredKind::example).collect();
    let revision = server.post("/import", &json!({"kind": "List", "items": items})).await.is(200)["revision"]
        .as_u64()
        .expect("a number");
    let cluster = server.state.clusters.get("default").await.expect("the cluster loads");
    assert!(cluster.reached(revision, Duration::from_secs(30)).await);
    let (view, mut expected) = (cluster.view(), before.snapshot.clone());
    expected.revision = revision;
    assert_eq!(format!("{:?}", view.snapshot), format!("{expected:?}"));
    // Whoever reads the feed from its beginning gets no further.
    let other = Server::replica(server.state.store.clone());
    let read = other.state.clusters.get("default").await.expect("the cluster loads").view();
    assert_eq!((read.snapshot.node_count(), read.snapshot.pod_count()), (1, 0));
}

pub async fn both_forms_of_an_event_are_one_object(server: Server) {
    let (core, other) = ("/api/v1/namespaces/shop/events", "/apis/events.k8s.io/v1/namespaces/shop/events");
    let sent =
        json!({"metadata": {"name": "e"}, "note": "n", "reason": "R", "regarding": {"kind": "Pod", "name": "p"}});
    let created = server.post(other, &sent).await.is(201);
    assert_eq!((&created["apiVersion"], &created["note"]), (&"events.k8s.io/v1".into(), &"n".into()));
    let mut event = server.get(&format!("{core}/e")).await.is(200);
    assert_eq!((&event["apiVersion"], &event["message"], event.get("note")), (&"v1".into(), &"n".into(), None));
    assert_eq!(event["involvedObject"], sent["regarding"]);
    event["count"] = 2.into();
    server.put(&format!("{core}/e"), &event).await.is(200);
    let list = server.get(other).await.is(200);
    assert_eq!((&list["items"][0]["deprecatedCount"], &list["items"][0]["note"]), (&2.into(), &"n".into()));
    let reply = server.post(other, &json!({"metadata": {"name": "f"}, "message": "misspelt here"})).await;
    assert!(reply.header("warning").is_some_and(|warning| warning.contains("message")));
    server.delete(&format!("{core}/e")).await.is(200);
    server.get(&format!("{other}/e")).await.fails(404, "NotFound");
}

pub async fn earlier_versions_are_served_and_not_listed(server: Server) {
    let groups = server.get("/apis").await.is(200).to_string();
    let document = server.get("/openapi/v2").await;
    for kind in kinds::EARLIER {
        let version = kind.api_version();
        assert!(!groups.contains(&version) && !document.text().contains(&version), "{version} is listed");
        let path = |version: &str| format!("/apis/{}/{version}/namespaces/shop/{}", kind.group, kind.plural);
        let [now, earlier] = [path(kind.stored().version), path(kind.version)];
        let mut object = kind.stored().example();
        object["apiVersion"] = version.clone().into();
        let created = server.post(&earlier, &object).await.is(201);
        assert_eq!((&created["apiVersion"], &created["kind"]), (&version.clone().into(), &kind.kind.into()));
        assert_eq!(server.get(&format!("{now}/example")).await.is(200)["apiVersion"], kind.stored().api_version());
        let list = server.get(&earlier).await.is(200);
        assert_eq!((&list["apiVersion"], &list["kind"]), (&version.into(), &format!("{}List", kind.kind).into()));
        assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
        server.put(&format!("{earlier}/example"), &created).await.is(200);
        server.delete(&format!("{earlier}/example")).await.is(200);
        server.get(&format!("{now}/example")).await.fails(404, "NotFound");
    }
}

pub async fn secrets_are_not_stored(server: Server) {
    let secret = json!({"metadata": {"name": "s"}, "data": {"password": "eA=="}});
    for path in ["/api/v1/secrets", "/clusters/one/api/v1/namespaces/shop/secrets", "/api/v1/namespaces/shop/secrets/s"]
    {
        let status = server.post(path, &secret).await.fails(404, "NotFound");
        assert!(status["message"].as_str().is_some_and(|why| why.contains("secrets are not stored")), "{status}");
    }
    let status = server.get("/api/v1/namespaces/secrets/nothings").await.fails(404, "NotFound");
    assert_eq!(status["message"], "the server could not find the requested resource");
}
