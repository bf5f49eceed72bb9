//! The mirror of an API server that does nothing wrong.

use std::sync::{Arc, Mutex};

use podberth::{
    service::source::configure,
    store::{Change, Key, Precondition, Record, Scan, Write},
    wire::{
        outbox,
        source::{self, ClusterSource},
    },
};
use serde_json::json;

use crate::{
    Mirror,
    api_server::{ApiServer, Command, Fault, NODES, PODS},
    body, node, pod, put_source, quick, source_of, untrimmed,
};

#[tokio::test]
async fn a_mirror_equals_its_source_and_follows_it() {
    let api = ApiServer::start().await;
    api.put(NODES, node("n1"));
    for at in 0..7 {
        api.put(PODS, pod(&format!("p{at}"), "n1"));
    }
    let mirror = Mirror::of(&api, &["pods", "nodes"]).await;
    mirror.shows_pod("p6", "n1").await;
    mirror.shows("the node", |view| view.snapshot.node("n1").is_some()).await;
    api.watched(PODS, 1).await;
    api.watched(NODES, 1).await;
    api.put(PODS, pod("late", ""));
    mirror.shows_pod("late", "").await;
    api.put(PODS, pod("late", "n1"));
    mirror.shows_pod("late", "n1").await;
    api.delete(PODS, "shop", "p3");
    mirror.shows_no_pod("p3").await;
    mirror.equals(&api, "pods", PODS).await;
    mirror.equals(&api, "nodes", NODES).await;
    let listed: Vec<_> = api.requests().into_iter().filter(|request| request.contains("limit=")).collect();
    assert_eq!(listed.len(), 2, "each kind is listed once: {listed:?}");
}

#[tokio::test]
async fn all_kinds_that_decisions_read_are_mirrored() {
    let api = ApiServer::start().await;
    let kubeconfig = api.kubeconfig();
    let source = podberth::wire::source::ClusterSource { kinds: None, ..source_of(&kubeconfig, &[]) };
    api.put(PODS, pod("web", ""));
    let mirror = Mirror::with(source, kubeconfig, quick()).await;
    mirror.shows_pod("web", "").await;
    let paths = [
        "/api/v1/namespaces",
        "/api/v1/services",
        "/apis/apps/v1/replicasets",
        "/apis/policy/v1/poddisruptionbudgets",
        "/apis/storage.k8s.io/v1/csinodes",
        "/apis/resource.k8s.io/v1/resourceslices",
    ];
    for path in paths {
        api.watched(path, 1).await;
    }
    assert_eq!(api.watches("/api/v1/configmaps") + api.count("GET /api/v1/secrets"), 0, "no decision reads them");
}

#[tokio::test]
async fn an_unchanged_list_writes_nothing() {
    let api = ApiServer::start().await;
    for at in 0..300 {
        api.put(PODS, pod(&format!("p{at}"), ""));
    }
    let mut mirror = Mirror::of(&api, &["pods"]).await;
    api.watched(PODS, 1).await;
    let before = mirror.revision().await;
    api.expire(PODS);
    api.watched(PODS, 2).await;
    assert_eq!(mirror.revision().await, before);
    // Nor does a restart write.
    mirror.end().await;
    mirror.start(quick());
    api.watched(PODS, 3).await;
    assert_eq!(mirror.revision().await, before);
    mirror.equals(&api, "pods", PODS).await;
}

#[tokio::test]
async fn a_restart_finds_what_came_and_went_meanwhile() {
    let api = ApiServer::start().await;
    for name in ["kept", "changed", "gone", "again"] {
        api.put(PODS, pod(name, ""));
    }
    let mut mirror = Mirror::of(&api, &["pods"]).await;
    api.watched(PODS, 1).await;
    mirror.end().await;
    api.put(PODS, pod("changed", "n1"));
    api.put(PODS, pod("new", ""));
    api.delete(PODS, "shop", "gone");
    api.delete(PODS, "shop", "again");
    api.put(PODS, pod("again", ""));
    mirror.start(quick());
    api.watched(PODS, 2).await;
    mirror.equals(&api, "pods", PODS).await;
    let again = mirror.get("pods", "again").await;
    assert_eq!(again.uid, body(&again)["metadata"]["uid"], "it is another pod of the name");
    assert_eq!(again.create_revision, again.revision);
}

#[tokio::test]
async fn heartbeats_of_nodes_write_nothing() {
    for is_full in [false, true] {
        let api = ApiServer::start().await;
        let beating = |beat: &str, ready: &str| {
            let mut node = node("n1");
            node["metadata"]["managedFields"] = json!([{"manager": "kubelet", "time": beat}]);
            node["status"]["conditions"] = json!([{"type": "Ready", "status": ready, "lastHeartbeatTime": beat}]);
            node
        };
        api.put(NODES, beating("2026-01-01T00:00:00Z", "True"));
        let kubeconfig = api.kubeconfig();
        let source = source_of(&kubeconfig, &["nodes"]);
        let source = if is_full { untrimmed(source) } else { source };
        let mirror = Mirror::with(source, kubeconfig, quick()).await;
        mirror.shows("the node", |view| view.snapshot.node("n1").is_some()).await;
        api.watched(NODES, 1).await;
        let before = mirror.revision().await;
        api.put(NODES, beating("2026-01-01T00:05:00Z", "True"));
        // Events come in order: with the later one the heartbeat has been seen.
        api.put(NODES, node("n2"));
        mirror.shows("n2", |view| view.snapshot.node("n2").is_some()).await;
        assert_eq!(mirror.revision().await, before + 1, "full: {is_full}");
        let stored = body(&mirror.get("nodes", "n1").await);
        let beat = &stored["status"]["conditions"][0]["lastHeartbeatTime"];
        assert_eq!(beat.is_null(), !is_full, "{stored}");
        api.put(NODES, beating("2026-01-01T00:10:00Z", "False"));
        api.put(NODES, node("n3"));
        mirror.shows("n3", |view| view.snapshot.node("n3").is_some()).await;
        assert_eq!(mirror.revision().await, before + 3, "full: {is_full}");
    }
}

#[tokio::test]
async fn own_annotations_survive_the_mirror() {
    let api = ApiServer::start().await;
    api.put(PODS, pod("web", ""));
    let mirror = Mirror::of(&api, &["pods"]).await;
    mirror.shows_pod("web", "").await;
    let record = mirror.get("pods", "web").await;
    let mut annotated = body(&record);
    annotated["metadata"]["annotations"] = json!({"podberth.io/note": "mine", "podberth.io/volume-chosen-here": "yes"});
    mirror.write(vec![Write::of(&record, Change::body(&record, annotated.to_string()))]).await;
    api.put(PODS, pod("web", "n1"));
    mirror.shows_pod("web", "n1").await;
    let stored = body(&mirror.get("pods", "web").await);
    assert_eq!(stored["metadata"]["annotations"], json!({"podberth.io/note": "mine"}), "a choice goes with its bind");
    // A later pod of the name begins anew.
    api.delete(PODS, "shop", "web");
    api.put(PODS, pod("web", "n2"));
    mirror.shows_pod("web", "n2").await;
    assert!(body(&mirror.get("pods", "web").await)["metadata"]["annotations"].is_null());
}

#[tokio::test]
async fn a_pending_bind_holds_its_node_until_the_source_shows_the_pod_on_one() {
    let api = ApiServer::start().await;
    api.put(NODES, node("ours"));
    api.put(PODS, pod("web", ""));
    let mirror = Mirror::of(&api, &["pods", "nodes"]).await;
    mirror.shows_pod("web", "").await;
    let record = mirror.get("pods", "web").await;
    let pending = json!({"podUid": record.uid, "node": "ours"}).to_string();
    let bind =
        Write { precondition: Precondition::default(), ..Write::of(&record, Change::Bind { node: "ours".into() }) };
    let key = Key::new(outbox::KIND, "shop", "web");
    let change = Change::Put { body: pending.into(), uid: record.uid.clone(), node: None };
    let note = Write { key: key.clone(), precondition: Precondition::absent(), change };
    mirror.shows("the node", |view| view.snapshot.node("ours").is_some()).await;
    mirror.write(vec![bind, note]).await;
    let mut changed = pod("web", "");
    changed["metadata"]["labels"] = json!({"seen": "later"});
    api.put(PODS, changed);
    mirror
        .shows("the label", |view| view.snapshot.pod("shop", "web").is_some_and(|pod| pod.labels.get("seen").is_some()))
        .await;
    assert_eq!(mirror.get("pods", "web").await.node.as_deref(), Some("ours"), "no other pod gets its room");
    api.put(PODS, pod("web", "theirs"));
    mirror.shows_pod("web", "theirs").await;
    assert_eq!(mirror.stored(outbox::KIND).await, [], "the pending bind is over in the same commit");
}

#[tokio::test]
async fn another_source_takes_the_place_of_the_first() {
    let (first, second) = (ApiServer::start().await, ApiServer::start().await);
    first.put(PODS, pod("of-first", ""));
    second.put(PODS, pod("of-second", ""));
    let mirror = Mirror::of(&first, &["pods"]).await;
    mirror.shows_pod("of-first", "").await;
    let kubeconfig = second.kubeconfig();
    put_source(&mirror.server.state.store, &source_of(&kubeconfig, &["pods"])).await;
    mirror.shows_pod("of-second", "").await;
    mirror.shows_no_pod("of-first").await;
}

#[tokio::test]
async fn a_bookmark_tells_how_far_the_mirror_is() {
    let api = ApiServer::start().await;
    api.put(PODS, pod("web", ""));
    let mirror = Mirror::of(&api, &["pods"]).await;
    api.watched(PODS, 1).await;
    let status = || mirror.server.state.sources.status("default").expect("it is known");
    let before = status();
    let pods = &before.kinds["pods"];
    assert!(pods.objects == 1 && pods.relists == 1 && pods.trouble.is_none(), "{before:?}");
    assert_eq!(pods.source_version, api.with(|objects| objects.version).to_string());
    // Another kind changes, so that the bookmark has a version that no event of pods has.
    api.put(NODES, node("n1"));
    let told = mirror.told(|status| status.kinds["pods"].source_version != pods.source_version);
    api.command(PODS, Command::Bookmark);
    told.await;
    assert!(status().as_of() > before.as_of());
    assert_eq!(status().kinds["pods"].source_version, api.with(|objects| objects.version).to_string());
    let metrics = mirror.server.get("/metrics").await;
    let series = "podberth_sync_objects{cluster=\"default\",kind=\"pods\"} 1";
    assert!(metrics.text().contains(series), "{}", metrics.text());
    assert!(metrics.text().contains("podberth_sync_lag_seconds{cluster=\"default\",kind=\"pods\"}"));
}

#[tokio::test]
async fn one_process_mirrors_and_the_others_know_how_far() {
    let api = ApiServer::start().await;
    api.put(PODS, pod("web", ""));
    let mut first = Mirror::of(&api, &["pods"]).await;
    first.shows_pod("web", "").await;
    api.watched(PODS, 1).await;
    let mut second = first.replica();
    second.start(quick());
    second.told(|status| status.as_of().is_some()).await;
    second.shows_pod("web", "").await;
    assert_eq!(api.watches(PODS), 1, "the first one has the lead");
    let before = second.server.state.sources.status("default").expect("it is known");
    first.end().await;
    api.put(PODS, pod("later", ""));
    second.shows_pod("later", "").await;
    second.equals(&api, "pods", PODS).await;
    let after = second.server.state.sources.status("default").expect("it is known");
    assert!(after.as_of() > before.as_of(), "{after:?}");
}

#[tokio::test]
async fn the_mirror_of_another_source_is_not_whole_before_its_lists() {
    let (first, second) = (ApiServer::start().await, ApiServer::start().await);
    first.put(PODS, pod("of-first", ""));
    second.put(PODS, pod("of-second", ""));
    let mut mirror = Mirror::of(&first, &["pods"]).await;
    mirror.told(|status| status.as_of().is_some()).await;
    mirror.end().await;
    let key = Key::new(source::KIND, "", source::NAME);
    mirror.write(vec![Write { key, precondition: Precondition::default(), change: Change::Delete }]).await;
    second.fault(PODS, Fault::Hang);
    let kubeconfig = second.kubeconfig();
    put_source(&mirror.server.state.store, &source_of(&kubeconfig, &["pods"])).await;
    mirror.start(quick());
    second.until(|second| second.count(&format!("GET {PODS}?limit")) == 1, "the first list").await;
    let status = mirror.server.state.sources.status("default").expect("it is told");
    assert_eq!(status.as_of(), None, "{status:?}");
    mirror.told(|status| status.as_of().is_some()).await;
    mirror.shows_pod("of-second", "").await;
    mirror.shows_no_pod("of-first").await;
}

#[tokio::test]
async fn a_list_is_of_the_time_at_which_its_first_page_was_asked_for() {
    let api = ApiServer::start().await;
    for at in 0..600 {
        api.put(PODS, pod(&format!("p{at}"), ""));
    }
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = asked.clone();
    api.answer("GET", move |_, path, _| {
        if path == PODS {
            noted.lock().expect("no test panics with it").push(podberth::clock::now());
        }
        None
    });
    let mirror = Mirror::of(&api, &["pods"]).await;
    mirror.told(|status| status.as_of().is_some()).await;
    let as_of = mirror.server.state.sources.as_of("default").expect("it is whole");
    let asked = asked.lock().expect("no test panics with it").clone();
    assert!(asked.len() >= 2 && as_of <= asked[0], "{as_of} {asked:?}");
}

#[tokio::test]
async fn a_kubeconfig_that_names_another_api_server_begins_the_mirror_anew() {
    let (first, second) = (ApiServer::start().await, ApiServer::start().await);
    for name in ["a", "b", "c"] {
        first.put(PODS, pod(name, ""));
    }
    second.put(PODS, pod("other", ""));
    let kubeconfig = first.kubeconfig();
    let path = kubeconfig.path().to_owned();
    let mirror = Mirror::with(source_of(&kubeconfig, &["pods", "nodes"]), kubeconfig, quick()).await;
    mirror.shows_pod("c", "").await;
    first.watched(PODS, 1).await;
    first.watched(NODES, 1).await;
    let other = second.kubeconfig();
    std::fs::copy(other.path(), path).expect("it is written");
    // The watch of the nodes ends with it.
    first.command(PODS, Command::End);
    mirror.shows_pod("other", "").await;
    mirror.shows_no_pod("c").await;
    second.watched(PODS, 1).await;
    second.watched(NODES, 1).await;
    assert_eq!(second.count(&format!("GET {PODS}?limit")), 1, "its versions are no older than those of the first");
    mirror.equals(&second, "pods", PODS).await;
}

#[tokio::test]
async fn a_cluster_that_becomes_a_mirror_again_is_not_whole_before_it_is_listed() {
    let api = ApiServer::start().await;
    let mut mirror = Mirror::of(&api, &["pods"]).await;
    mirror.told(|status| status.as_of().is_some()).await;
    let state = &mirror.server.state;
    let scan = Scan::all("default", source::STATUS);
    while state.store.scan(&scan).await.expect("the ledger reads").entries.is_empty() {
        tokio::task::yield_now().await;
    }
    mirror.end().await;
    let key = Key::new(source::KIND, "", source::NAME);
    let found = mirror.server.state.store.get("default", &key).await.expect("the store reads");
    let record: Record = found.expect("it is stored");
    let again = ClusterSource::parse(&record.body).expect("a source");
    mirror.write(vec![Write::of(&record, Change::Delete)]).await;
    let state = &mirror.server.state;
    configure::configure(state, "default", &again).await.expect("it is stored");
    assert!(state.store.scan(&scan).await.expect("the ledger reads").entries.is_empty(), "the old status says nothing");
}
