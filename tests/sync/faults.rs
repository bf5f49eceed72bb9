//! The mirror of an API server that does what real ones do on bad days.

use std::time::Duration;

use podberth::sync::Watching;
use serde_json::{Value, json};

use crate::{
    Mirror,
    api_server::{ApiServer, Command, Fault, NODES, PODS, status},
    node, pod, quick, source_of,
};

/// A mirror of an API server with a pod, which watches.
async fn watching() -> (ApiServer, Mirror) {
    let api = ApiServer::start().await;
    api.put(PODS, pod("first", ""));
    let mirror = Mirror::of(&api, &["pods"]).await;
    mirror.shows_pod("first", "").await;
    api.watched(PODS, 1).await;
    (api, mirror)
}

/// A pod that is made now arrives.
async fn still_follows(api: &ApiServer, mirror: &Mirror) {
    api.put(PODS, pod("still", "n1"));
    mirror.shows_pod("still", "n1").await;
    mirror.equals(api, "pods", PODS).await;
}

fn trouble(mirror: &Mirror) -> Option<String> {
    mirror.server.state.sources.status("default")?.kinds.get("pods")?.trouble.clone()
}

#[tokio::test]
async fn a_watch_that_has_expired_lists_again_and_finds_what_was_missed() {
    let (api, mirror) = watching().await;
    api.put(PODS, pod("gone", ""));
    mirror.shows_pod("gone", "").await;
    // As if the watch had fallen behind.
    api.quiet(true);
    api.put(PODS, pod("missed", ""));
    api.delete(PODS, "shop", "gone");
    api.quiet(false);
    api.expire(PODS);
    mirror.shows_pod("missed", "").await;
    mirror.shows_no_pod("gone").await;
    still_follows(&api, &mirror).await;
}

#[tokio::test]
async fn a_watch_from_before_a_compaction_lists_again() {
    let (api, mirror) = watching().await;
    api.quiet(true);
    api.put(PODS, pod("missed", ""));
    api.quiet(false);
    api.compact();
    api.command(PODS, Command::End);
    mirror.shows_pod("missed", "").await;
    still_follows(&api, &mirror).await;
}

#[tokio::test]
async fn a_watch_that_ends_or_breaks_goes_on_where_it_was() {
    let (api, mirror) = watching().await;
    for (times, command) in [(2, Command::End), (3, Command::Break)] {
        api.command(PODS, command);
        api.watched(PODS, times).await;
    }
    still_follows(&api, &mirror).await;
    assert_eq!(api.count(&format!("GET {PODS}?limit")), 1, "nothing is listed again");
}

#[tokio::test]
async fn a_silent_watch_is_given_up() {
    let api = ApiServer::start().await;
    api.put(PODS, pod("first", ""));
    let kubeconfig = api.kubeconfig();
    let source = source_of(&kubeconfig, &["pods"]);
    let watching = Watching { silent: Duration::from_millis(300), ..quick() };
    let mirror = Mirror::with(source, kubeconfig, watching).await;
    mirror.shows_pod("first", "").await;
    api.watched(PODS, 1).await;
    api.command(PODS, Command::Silence);
    api.put(PODS, pod("unheard", ""));
    mirror.shows_pod("unheard", "").await;
    mirror.equals(&api, "pods", PODS).await;
}

#[tokio::test]
async fn a_reply_that_is_no_list_of_the_kind_deletes_nothing() {
    let (api, mirror) = watching().await;
    let replies: [Value; 6] = [
        json!({}),
        json!([]),
        json!({"kind": "Status", "message": "not today", "metadata": {"resourceVersion": "900"}, "items": []}),
        json!({"kind": "NodeList", "metadata": {"resourceVersion": "900"}, "items": []}),
        pod("first", ""),
        json!({"kind": "PodList", "metadata": {}, "items": []}),
    ];
    let left = std::sync::Mutex::new(replies.to_vec());
    api.answer("GET", move |_, path, _| {
        let mut left = left.lock().expect("no test fails in it");
        (path == PODS).then(|| left.pop()).flatten().map(|reply| (200, reply))
    });
    let before = mirror.revision().await;
    api.expire(PODS);
    mirror.told(|status| status.kinds["pods"].trouble.as_deref().is_some_and(|why| why.contains("no PodList"))).await;
    api.watched(PODS, 2).await;
    assert_eq!(mirror.revision().await, before, "nothing is deleted in between");
    still_follows(&api, &mirror).await;
}

#[tokio::test]
async fn the_end_of_a_watch_after_its_time_tells_how_fresh_the_mirror_is() {
    let api = ApiServer::start().await;
    let kubeconfig = api.kubeconfig();
    let source = source_of(&kubeconfig, &["pods"]);
    let mirror = Mirror::with(source, kubeconfig, Watching { lasts: Duration::ZERO, ..quick() }).await;
    api.watched(PODS, 1).await;
    api.put(PODS, pod("first", ""));
    mirror.shows_pod("first", "").await;
    let status = || mirror.server.state.sources.status("default").expect("it is told").kinds["pods"].clone();
    mirror.told(|told| told.kinds["pods"].source_version == "101").await;
    let before = status();
    api.command(PODS, Command::End);
    mirror.told(|told| told.kinds["pods"].as_of > before.as_of).await;
    assert_eq!(status().source_version, before.source_version);
}

#[tokio::test]
async fn bookmarks_move_a_watch_past_a_compaction() {
    let (api, mirror) = watching().await;
    // Only other kinds change.
    api.put(NODES, node("n1"));
    api.command(PODS, Command::Bookmark);
    api.compact();
    api.command(PODS, Command::End);
    api.watched(PODS, 2).await;
    still_follows(&api, &mirror).await;
    assert_eq!(api.count(&format!("GET {PODS}?limit")), 1, "nothing is listed again");
}

#[tokio::test]
async fn refused_lists_and_watches_are_tried_again() {
    let api = ApiServer::start().await;
    api.put(PODS, pod("first", ""));
    for fault in [Fault::List(429, Some(0)), Fault::List(500, None), Fault::List(403, None), Fault::Watch(429)] {
        api.fault(PODS, fault);
    }
    let mirror = Mirror::of(&api, &["pods"]).await;
    mirror.shows_pod("first", "").await;
    api.watched(PODS, 2).await;
    still_follows(&api, &mirror).await;
    assert_eq!(trouble(&mirror), None, "the trouble is over");
}

#[tokio::test]
async fn an_error_event_is_no_end() {
    let (api, mirror) = watching().await;
    api.event(PODS, "ERROR", &status(500, "etcdserver: leader changed"));
    api.watched(PODS, 2).await;
    api.command(PODS, Command::Line("{\"type\":".into()));
    api.watched(PODS, 3).await;
    api.event(PODS, "LATER", &json!({}));
    still_follows(&api, &mirror).await;
}

#[tokio::test]
async fn an_event_may_have_its_object_before_its_type() {
    let (api, mirror) = watching().await;
    api.object_first();
    still_follows(&api, &mirror).await;
    api.delete(PODS, "shop", "first");
    mirror.shows_no_pod("first").await;
}

#[tokio::test]
async fn events_that_come_twice_count_once() {
    let (api, mirror) = watching().await;
    api.double(true);
    still_follows(&api, &mirror).await;
    let before = mirror.revision().await;
    api.delete(PODS, "shop", "first");
    mirror.shows_no_pod("first").await;
    assert_eq!(mirror.revision().await, before + 1);
}

#[tokio::test]
async fn an_event_that_comes_late_does_not_bring_the_past_back() {
    let (api, mirror) = watching().await;
    let old = api.with(|objects| objects.get(PODS, "shop", "first")).expect("it is there");
    api.put(PODS, pod("first", "n1"));
    mirror.shows_pod("first", "n1").await;
    api.event(PODS, "MODIFIED", &old);
    api.watched(PODS, 2).await;
    assert_eq!(mirror.get("pods", "first").await.node.as_deref(), Some("n1"));
    still_follows(&api, &mirror).await;
}

#[tokio::test]
async fn a_stale_api_server_is_not_believed() {
    let (api, mut mirror) = watching().await;
    let old = api.with(|objects| objects.version);
    api.put(PODS, pod("later", ""));
    mirror.shows_pod("later", "").await;
    mirror.end().await;
    api.fault(PODS, Fault::Stale(old));
    let before = mirror.revision().await;
    mirror.start(quick());
    api.watched(PODS, 2).await;
    mirror.equals(&api, "pods", PODS).await;
    assert!(mirror.revision().await >= before);
}

#[tokio::test]
async fn a_restored_api_server_is_believed_in_the_end() {
    let (api, mirror) = watching().await;
    let old = api.with(|objects| objects.version);
    api.put(PODS, pod("later", ""));
    mirror.shows_pod("later", "").await;
    api.with(|objects| objects.roll_back(old));
    api.command(PODS, Command::End);
    mirror.shows_no_pod("later").await;
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_left_out() {
    let (api, mirror) = watching().await;
    let mut odd = pod("odd", "");
    odd["spec"]["containers"] = json!("none");
    api.put(PODS, odd);
    still_follows_without(&api, &mirror, "odd").await;
}

#[tokio::test]
async fn a_pod_that_cannot_be_read_any_more_stays_as_it_was() {
    let (api, mirror) = watching().await;
    let first = api.with(|objects| objects.get(PODS, "shop", "first")).expect("it is there");
    let mut odd = first.clone();
    odd["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("a lot");
    odd["spec"]["nodeName"] = json!("n1");
    api.put(PODS, odd);
    mirror.shows_pod("first", "n1").await;
    api.expire(PODS);
    api.watched(PODS, 2).await;
    api.put(PODS, pod("still", "n1"));
    mirror.shows_pod("still", "n1").await;
    mirror.shows_pod("first", "n1").await;
    api.delete(PODS, "shop", "first");
    mirror.shows_no_pod("first").await;
}

#[tokio::test]
async fn an_object_that_no_store_can_hold_holds_nothing_up() {
    let (api, mirror) = watching().await;
    for (at, field) in ["uid", "name", "nodeName"].into_iter().enumerate() {
        for bad in ["\0".to_owned(), "x".repeat(3_000)] {
            let mut odd = pod(&format!("odd{at}"), "");
            let part = if field == "nodeName" { "spec" } else { "metadata" };
            odd[part][field] = bad.into();
            api.event(PODS, "ADDED", &odd);
        }
    }
    still_follows(&api, &mirror).await;
    assert_eq!(trouble(&mirror), None);
}

async fn still_follows_without(api: &ApiServer, mirror: &Mirror, name: &str) {
    api.put(PODS, pod("still", "n1"));
    mirror.shows_pod("still", "n1").await;
    mirror.shows_no_pod(name).await;
}

#[tokio::test]
async fn a_kind_that_is_not_served_holds_nothing_up() {
    let api = ApiServer::start().await;
    api.withdraw("/apis/resource.k8s.io/v1/resourceclaims");
    api.put(PODS, pod("first", ""));
    let mirror = Mirror::of(&api, &["pods", "resourceclaims.resource.k8s.io"]).await;
    mirror.shows_pod("first", "").await;
    api.watched(PODS, 1).await;
    api.until(|api| api.count("GET /apis/resource.k8s.io/v1/resourceclaims") > 0, "a list of claims").await;
    still_follows(&api, &mirror).await;
}

#[tokio::test]
async fn pages_that_expire_begin_the_list_anew() {
    let api = ApiServer::start().await;
    for at in 0..1_200 {
        api.with(|objects| objects.put(PODS, pod(&format!("p{at}"), "")));
    }
    api.fault(PODS, Fault::List(410, None));
    let mirror = Mirror::of(&api, &["pods"]).await;
    api.watched(PODS, 1).await;
    mirror.equals(&api, "pods", PODS).await;
    assert_eq!(api.count(&format!("GET {PODS}?limit")), 4, "one that has expired, and three pages");
}
