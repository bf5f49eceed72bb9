//! `/import`.

use podberth::wire::kinds;
use serde_json::{Value, json};

use crate::{
    documents::conforms,
    fields, names,
    objects::{NODES, PODS, node, pod},
    server::Server,
};

fn typed(mut object: Value, kind: &str) -> Value {
    object["kind"] = kind.into();
    object["apiVersion"] = "v1".into();
    object
}

fn list(items: &[Value]) -> Value {
    json!({"kind": "List", "apiVersion": "v1", "items": items})
}

/// The report's counts: created, updated, unchanged, deleted.
fn counts(report: &Value) -> [u64; 4] {
    ["created", "updated", "unchanged", "deleted"].map(|count| report[count].as_u64().expect("a count"))
}

pub async fn import_takes_all_that_kubectl_prints(server: Server) {
    let mut bound = typed(pod("p"), "Pod");
    bound["metadata"]["namespace"] = "shop".into();
    bound["metadata"]["uid"] = "uid-from-there".into();
    bound["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z".into();
    bound["metadata"]["resourceVersion"] = "987654321".into();
    bound["spec"]["nodeName"] = "a".into();
    let secret = json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "d"}});
    let body = list(&[bound, typed(node("a"), "Node"), secret.clone(), secret]);
    let report = server.post("/import", &body).await.is(200);
    assert_eq!((counts(&report), &report["skipped"]), ([2, 0, 0, 0], &json!({"Secret": 2})));
    let stored = server.get(&format!("{PODS}/p")).await.is(200);
    assert_eq!(stored["metadata"]["uid"], "uid-from-there");
    assert_eq!(stored["metadata"]["creationTimestamp"], "2020-01-01T00:00:00Z");
    assert_eq!(stored["metadata"]["resourceVersion"], "2", "after the node it is on");
    let cluster = server.state.clusters.get("default").await.expect("the cluster loads");
    assert!(cluster.view().snapshot.node("a").is_some_and(|node| node.pods.len() == 1));

    let yaml = "apiVersion: v1\nkind: Node\nmetadata: {name: b}\n---\nkind: NodeList\napiVersion: v1\nitems:\n- metadata: {name: c}\n";
    let report = server.ask("POST", "/clusters/two/import", ("content-type", "application/yaml"), yaml).await.is(200);
    assert_eq!(counts(&report), [2, 0, 0, 0]);
    let lines = format!("{}\n{}\n", typed(node("d"), "Node"), typed(node("e"), "Node"));
    let report =
        server.ask("POST", "/clusters/two/import", ("content-type", "application/x-ndjson"), lines).await.is(200);
    assert_eq!(counts(&report), [2, 0, 0, 0]);
    assert_eq!(names(&server.get("/clusters/two/api/v1/nodes").await.is(200)), ["b", "c", "d", "e"]);
    assert_eq!(names(&server.get(NODES).await.is(200)), ["a"]);
}

/// The example of every row, in one body; events in both of their forms.
pub async fn every_kind_is_imported(server: Server) {
    let kinds = || kinds::shared().filter(|kind| !kind.is_of_all());
    let items: Vec<Value> = kinds().map(kinds::StoredKind::example).collect();
    let every = items.len() as u64;
    let report = server.post("/import", &list(&items)).await.is(200);
    conforms("ImportReport", &report);
    assert_eq!((counts(&report), &report["skipped"], &report["warnings"]), ([every, 0, 0, 0], &json!({}), &json!([])));
    assert_eq!(counts(&server.post("/import", &list(&items)).await.is(200)), [0, 0, every, 0]);
    for (kind, sent) in kinds().zip(&items) {
        let root = if kind.group.is_empty() { "/api".into() } else { format!("/apis/{}", kind.group) };
        let path = format!("{root}/{}/{}", kind.version, kind.plural);
        let events = ["example", "example-in-other-form"];
        let expected = if kind.kind == "Event" { &events[..] } else { &events[..1] };
        assert_eq!(names(&server.get(&path).await.is(200)), expected, "{path}");
        let namespace = if kind.namespaced { "/namespaces/default" } else { "" };
        let name = sent["metadata"]["name"].as_str().expect("a name");
        let path = format!("{root}/{}{namespace}/{}/{name}", kind.version, kind.plural);
        let stored = server.get(&path).await.is(200);
        let told = sent.as_object().expect("an object").iter().filter(|(field, _)| *field != "metadata");
        // Of what decisions read more is filled in.
        for (field, value) in told.filter(|_| kind.core().is_none()) {
            assert_eq!(stored[field], *value, "{path}: {field}");
        }
    }
    let event = server.get("/api/v1/namespaces/default/events/example-in-other-form").await.is(200);
    assert_eq!(
        (&event["message"], &event["involvedObject"]["name"]),
        (&"Successfully assigned".into(), &"example".into())
    );
    assert_eq!((event.get("note"), event.get("regarding")), (None, None));
    let only = list(&[typed(node("a"), "Node")]);
    assert_eq!(counts(&server.post("/import?replace=true", &only).await.is(200)), [1, 0, 0, every]);
}

pub async fn one_bad_object_refuses_all(server: Server) {
    let mut unreadable = typed(node("bad"), "Node");
    unreadable["status"]["allocatable"]["cpu"] = "lots".into();
    let mut number = typed(pod("p"), "Pod");
    number["spec"]["priority"] = "high".into();
    let nameless = typed(json!({"metadata": {}}), "Node");
    let body = list(&[typed(node("good"), "Node"), unreadable, number, nameless, json!({"metadata": {"name": "x"}})]);
    let status = server.post("/import", &body).await.fails(422, "Invalid");
    let fields = fields(&status);
    for field in
        ["items[1].status.allocatable[cpu]", "items[2].spec.priority", "items[3].metadata.name", "items[4].kind"]
    {
        assert!(fields.contains(&field), "{field} is not in {fields:?}");
    }
    assert_eq!(names(&server.get(NODES).await.is(200)), Vec::<&str>::new());

    let report = server.post("/import?skipInvalid=true", &body).await.is(200);
    assert_eq!(counts(&report), [1, 0, 0, 0]);
    conforms("ImportReport", &report);
    let refused = report["refused"].as_array().expect("refused");
    assert_eq!(refused.len(), 4);
    assert_eq!((&refused[0]["kind"], &refused[0]["name"]), (&"Node".into(), &"bad".into()));
    assert_eq!(refused[0]["causes"][0]["field"], "status.allocatable[cpu]");
    assert_eq!(names(&server.get(NODES).await.is(200)), ["good"]);
}

pub async fn faulty_running_pods_are_imported_with_a_warning(server: Server) {
    let mut running = typed(pod("p"), "Pod");
    running["spec"]["nodeName"] = "a".into();
    running["spec"]["nodeselector"] = json!({"misspelt": "field"});
    running["spec"]["containers"][0]["resources"] = json!({"requests": {"gpu": "1"}});
    running["spec"]["containers"][0]["ports"] = json!([{"hostPort": 80}]);
    let mut shrunk = typed(node("a"), "Node");
    shrunk["status"]["allocatable"]["example.com/gpu"] = "-1".into();
    let report = server.post("/import", &list(&[shrunk, running.clone()])).await.is(200);
    conforms("ImportReport", &report);
    assert_eq!((counts(&report), &report["warningsLeftOut"]), ([2, 0, 0, 0], &0.into()));
    let node_warning = &report["warnings"][0];
    assert_eq!(node_warning["at"], "items[0]");
    assert_eq!(node_warning["causes"][0]["field"], "status.allocatable.example.com/gpu");
    let causes = report["warnings"][1]["causes"].as_array().expect("causes").clone();
    for said in ["spec.containers[0].resources.requests[gpu]", "spec.containers[0].ports[0].containerPort"] {
        assert!(causes.iter().any(|cause| cause["field"] == said), "{said} is not in {causes:?}");
    }
    let odd = r#"unknown field "spec.nodeselector""#;
    assert!(causes.iter().any(|cause| cause["message"] == odd), "{causes:?}");
    // A fault that an import let in does not prevent other changes of the object.
    let path = "/api/v1/namespaces/default/pods/p";
    let mut stored = server.get(path).await.is(200);
    stored["metadata"]["labels"] = json!({"a": "b"});
    server.put(path, &stored).await.is(200);
    stored["metadata"]["resourceVersion"] = Value::Null;
    stored["metadata"]["labels"] = json!({"a": "b c"});
    server.put(path, &stored).await.fails(422, "Invalid");

    server.post("/import?fieldValidation=Strict", &list(&[running])).await.fails(422, "Invalid");
    let misspelt = json!({"kind": "nodes", "apiVersion": "v1", "metadata": {"name": "x"}});
    let status = server.post("/import", &list(&[misspelt])).await.fails(422, "Invalid");
    assert_eq!(fields(&status), ["items[0].kind"]);
    assert!(status["message"].as_str().is_some_and(|m| m.contains(r#"did you mean "Node"?"#)), "{status}");
    let untyped =
        json!({"kind": "ReplicaSet", "metadata": {"name": "r"}, "spec": {"selector": {"matchLabels": {"a": "b"}}}});
    assert_eq!(
        counts(&server.post("/import", &untyped).await.is(200)),
        [1, 0, 0, 0],
        "the kind alone says which it is"
    );
}

pub async fn a_second_import_changes_nothing(server: Server) {
    let body = list(&[typed(node("a"), "Node"), typed(pod("p"), "Pod")]);
    assert_eq!(counts(&server.post("/import", &body).await.is(200)), [2, 0, 0, 0]);
    let report = server.post("/import", &body).await.is(200);
    assert_eq!((counts(&report), &report["revision"]), ([0, 0, 2, 0], &2.into()));
    let mut changed = typed(node("a"), "Node");
    changed["spec"] = json!({"unschedulable": true});
    let twice = list(&[typed(node("a"), "Node"), changed]);
    assert_eq!(counts(&server.post("/import", &twice).await.is(200)), [0, 1, 0, 0], "the last of a name counts");
}

pub async fn a_bind_outlives_an_import(server: Server) {
    let body = list(&[typed(pod("p"), "Pod")]);
    server.post("/import", &body).await.is(200);
    server.post(NODES, &node("n1")).await.is(201);
    let path = "/api/v1/namespaces/default/pods/p";
    server.post(&format!("{path}/binding"), &json!({"target": {"name": "n1"}})).await.is(201);
    assert_eq!(counts(&server.post("/import?dryRun=All", &body).await.is(200)), [0, 0, 1, 0]);
    assert_eq!(counts(&server.post("/import", &body).await.is(200)), [0, 0, 1, 0]);
    assert_eq!(server.get(path).await.is(200)["spec"]["nodeName"], "n1");
    let mut elsewhere = typed(pod("p"), "Pod");
    elsewhere["spec"]["nodeName"] = "n2".into();
    assert_eq!(counts(&server.post("/import", &list(&[elsewhere])).await.is(200)), [0, 1, 0, 0]);
    assert_eq!(server.get(path).await.is(200)["spec"]["nodeName"], "n2", "a fact goes before our decision");
    let mut successor = typed(pod("p"), "Pod");
    successor["metadata"]["uid"] = "another".into();
    assert_eq!(counts(&server.post("/import", &list(&[successor])).await.is(200)), [1, 0, 0, 0]);
    assert!(server.get(path).await.is(200)["spec"]["nodeName"].is_null(), "another pod of that name");
}

pub async fn mirror_import_deletes_absent_objects(server: Server) {
    let before = list(&[typed(node("a"), "Node"), typed(node("b"), "Node"), typed(pod("p"), "Pod")]);
    server.post("/import", &before).await.is(200);
    let after = list(&[typed(node("b"), "Node"), typed(node("c"), "Node")]);
    assert_eq!(counts(&server.post("/import?replace=true&dryRun=All", &after).await.is(200)), [1, 0, 1, 2]);
    assert_eq!(names(&server.get(NODES).await.is(200)), ["a", "b"]);
    assert_eq!(counts(&server.post("/import?replace=true", &after).await.is(200)), [1, 0, 1, 2]);
    assert_eq!(names(&server.get(NODES).await.is(200)), ["b", "c"]);
    assert_eq!(names(&server.get("/api/v1/pods").await.is(200)), Vec::<&str>::new());
    server.post("/import?replace=true", &list(&[])).await.fails(400, "BadRequest");
}

pub async fn import_dry_run_stores_nothing(server: Server) {
    server.post("/import", &list(&[typed(node("a"), "Node"), typed(node("b"), "Node")])).await.is(200);
    let mut changed = typed(node("a"), "Node");
    changed["spec"] = json!({"unschedulable": true});
    let body = list(&[changed, typed(node("b"), "Node"), typed(node("c"), "Node")]);
    let tried = server.post("/import?dryRun=All", &body).await.is(200);
    assert_eq!((counts(&tried), &tried["revision"]), ([1, 1, 1, 0], &2.into()));
    assert_eq!(counts(&server.post("/import", &body).await.is(200)), [1, 1, 1, 0]);
    server.post("/import?dryRun=yes", &body).await.fails(400, "BadRequest");
}

pub async fn many_at_once(server: Server) {
    let filler = "x".repeat(2_000);
    let items: Vec<Value> = (0..3_000)
        .map(|i| {
            let mut pod = typed(pod(&format!("p{i:05}")), "Pod");
            pod["metadata"]["annotations"] = json!({"filler": filler});
            pod
        })
        .collect();
    let body = list(&items);
    assert_eq!(counts(&server.post("/import", &body).await.is(200)), [3_000, 0, 0, 0]);
    assert_eq!(counts(&server.post("/import", &body).await.is(200)), [0, 0, 3_000, 0]);
    server.post(PODS, &json!({"filler": "x".repeat(4 << 20)})).await.fails(413, "RequestEntityTooLarge");
}
