//! The journey of tests/sdk with kube-rs: podberth-kube-journey URL

use std::{collections::BTreeMap, time::Duration};

use futures_util::{TryStreamExt, pin_mut};
use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        core::v1::{ConfigMap, Event, Namespace, Node, Pod},
    },
    serde::de::DeserializeOwned,
};
use kube::{
    Api, Client, Config, Error, Resource, ResourceExt,
    api::{
        ApiResource, DeleteParams, DynamicObject, EvictParams, ListParams, Patch, PatchParams, PostParams, WatchEvent,
        WatchParams,
    },
    discovery::Discovery,
    runtime::{
        WatchStreamExt,
        events::{Event as Note, EventType, Recorder, Reporter},
        reflector::{self, ObjectRef},
        wait::{await_condition, conditions},
        watcher,
    },
};
use serde_json::{Value, json};

const SPACE: &str = "kube-rs";
/// A missing event would be waited for until then.
const WITHIN: Duration = Duration::from_mins(2);

fn typed<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("it is of its type")
}

fn pod(name: &str) -> Pod {
    typed(json!({"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {"containers": [
        {"name": "main", "image": "example/web:1", "env": [{"name": "A", "value": "b"}],
         "resources": {"requests": {"cpu": "100m"}}}]}}))
}

#[track_caller]
fn refused<T>(code: u16, result: Result<T, Error>) -> String {
    match result {
        Err(Error::Api(status)) if status.code == code => status.message,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is not refused"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).expect("the server's address");
    let client = Client::try_from(Config::new(url.parse().expect("a URL"))).expect("a client");
    let pods: Api<Pod> = Api::namespaced(client.clone(), SPACE);

    let journey = async {
        reads_and_writes(&client, &pods).await;
        follows(&pods).await;
        applies(&client).await;
        is_a_controller(&client, &pods).await;
    };
    tokio::time::timeout(WITHIN, journey).await.expect("every event comes");
    println!("kube-rs: as expected");
}

/// Objects are stored, listed page by page, replaced, patched.
async fn reads_and_writes(client: &Client, pods: &Api<Pod>) {
    let space: Namespace = typed(json!({"metadata": {"name": SPACE}}));
    Api::all(client.clone()).create(&PostParams::default(), &space).await.expect("the namespace is stored");
    let nodes: Api<Node> = Api::all(client.clone());
    let node = typed(
        json!({"metadata": {"name": "kube-rs-a"}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}}),
    );
    nodes.create(&PostParams::default(), &node).await.expect("the node is stored");
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    pods.create(&dry, &pod("dry")).await.expect("it would be stored");
    assert!(pods.get_opt("dry").await.expect("an answer").is_none());
    for i in 0..5 {
        let stored = pods.create(&PostParams::default(), &pod(&format!("web-{i}"))).await.expect("the pod is stored");
        assert!(stored.uid().is_some() && stored.resource_version().is_some());
    }
    refused(409, pods.create(&PostParams::default(), &pod("web-0")).await);
    refused(404, pods.get("nobody").await);

    let (mut names, mut page) = (Vec::new(), ListParams::default().labels("app=web").limit(2));
    loop {
        let list = pods.list(&page).await.expect("a page");
        names.extend(list.items.iter().map(ResourceExt::name_any));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(names, ["web-0", "web-1", "web-2", "web-3", "web-4"]);
    assert_eq!(pods.list_metadata(&ListParams::default().match_any()).await.expect("metadata").items.len(), 5);

    let (mut fresh, stale) = (pods.get("web-1").await.expect("a pod"), pods.get("web-1").await.expect("a pod"));
    fresh.labels_mut().insert("changed".into(), "yes".into());
    pods.replace("web-1", &PostParams::default(), &fresh).await.expect("the pod is replaced");
    refused(409, pods.replace("web-1", &PostParams::default(), &stale).await);

    let merge = json!({"metadata": {"labels": {"patched": "merge"}}});
    pods.patch("web-2", &PatchParams::default(), &Patch::Merge(&merge)).await.expect("a merge");
    let strategic = json!({"metadata": {"labels": {"patched": "strategic"}}});
    pods.patch("web-2", &PatchParams::default(), &Patch::Strategic(&strategic)).await.expect("a strategic merge");
    let operations = typed(json!([{"op": "test", "path": "/metadata/labels/patched", "value": "strategic"},
        {"op": "remove", "path": "/metadata/labels/patched"}]));
    let patched =
        pods.patch("web-2", &PatchParams::default(), &Patch::<Pod>::Json(operations)).await.expect("JSON patch");
    assert_eq!(patched.labels().get("patched"), None);
    let status = json!({"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False"}]}});
    pods.patch_status("web-2", &PatchParams::default(), &Patch::Merge(&status)).await.expect("its status is patched");

    nodes.cordon("kube-rs-a").await.expect("the node is cordoned");
    nodes.uncordon("kube-rs-a").await.expect("the node is uncordoned");
}

/// A watch, a watcher that lists and one that streams its list, and a reflector tell the same.
async fn follows(pods: &Api<Pod>) {
    let listed = pods.list(&ListParams::default()).await.expect("a list");
    let from = listed.metadata.resource_version.expect("a revision");
    let raw = pods.watch(&WatchParams::default().timeout(60), &from).await.expect("a watch");
    pin_mut!(raw);

    let listing = watcher(pods.clone(), watcher::Config::default().page_size(2)).default_backoff();
    let streaming = watcher(pods.clone(), watcher::Config::default().streaming_lists()).default_backoff();
    pin_mut!(listing, streaming);
    for _ in 0..2 {
        assert!(matches!(listing.try_next().await.expect("an event"), Some(watcher::Event::Init)));
        let mut names = Vec::new();
        loop {
            match listing.try_next().await.expect("an event") {
                Some(watcher::Event::InitApply(pod)) => names.push(pod.name_any()),
                Some(watcher::Event::InitDone) => break,
                other => panic!("{other:?}"),
            }
        }
        names.sort();
        assert_eq!(names, ["web-0", "web-1", "web-2", "web-3", "web-4"]);
        std::mem::swap(&mut listing, &mut streaming);
    }

    let (reader, writer) = reflector::store();
    let reflected = reflector::reflector(writer, watcher(pods.clone(), watcher::Config::default().labels("app=web")));
    pin_mut!(reflected);
    while !matches!(reflected.try_next().await.expect("an event"), Some(watcher::Event::InitDone)) {}
    reader.wait_until_ready().await.expect("the reflector runs");
    assert_eq!(reader.state().len(), 5);

    // A pod leaves the selection, another one is deleted.
    let leaves = json!({"metadata": {"labels": {"app": "other"}}});
    pods.patch("web-3", &PatchParams::default(), &Patch::Merge(&leaves)).await.expect("it is patched");
    pods.delete("web-4", &DeleteParams::default().grace_period(0)).await.expect("it is deleted");
    // As in Kubernetes, an unbound pod gets its deletionTimestamp first, which is a change by itself.
    let ends = |pod: &Pod| pod.name_any() == "web-4" && pod.meta().deletion_timestamp.is_some();
    let mut told = Vec::new();
    while told.len() < 2 {
        match raw.try_next().await.expect("an event") {
            Some(WatchEvent::Modified(pod)) if ends(&pod) => {}
            Some(WatchEvent::Modified(pod)) => told.push(format!("modified {}", pod.name_any())),
            Some(WatchEvent::Deleted(pod)) => told.push(format!("deleted {}", pod.name_any())),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, ["modified web-3", "deleted web-4"]);
    for stream in [&mut listing, &mut streaming] {
        let mut told = Vec::new();
        while told.len() < 2 {
            match stream.try_next().await.expect("an event") {
                Some(watcher::Event::Apply(pod)) if ends(&pod) => {}
                Some(watcher::Event::Apply(pod)) => told.push(format!("modified {}", pod.name_any())),
                Some(watcher::Event::Delete(pod)) => told.push(format!("deleted {}", pod.name_any())),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(told, ["modified web-3", "deleted web-4"]);
    }
    while reader.state().len() != 3 {
        reflected.try_next().await.expect("an event");
    }
    assert!(reader.get(&ObjectRef::new("web-3").within(SPACE)).is_none(), "it left the selection");
}

/// Server-side apply: creation, ownership, conflict, force.
async fn applies(client: &Client) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), SPACE);
    let settings = |value: &str| json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "settings"}, "data": {"a": value}});
    let (one, two) = (PatchParams::apply("one"), PatchParams::apply("two"));
    let made = maps.patch("settings", &one, &Patch::Apply(settings("1"))).await.expect("it is created");
    let again = maps.patch("settings", &one, &Patch::Apply(settings("1"))).await.expect("it is applied again");
    assert_eq!(made.resource_version(), again.resource_version(), "nothing changed");
    let why = refused(409, maps.patch("settings", &two, &Patch::Apply(settings("2"))).await);
    assert!(why.contains(".data.a"), "{why}");
    let taken = maps.patch("settings", &two.clone().force(), &Patch::Apply(settings("2"))).await.expect("it is taken");
    assert_eq!(taken.data, Some(BTreeMap::from([("a".to_owned(), "2".to_owned())])));
    assert_eq!(taken.managed_fields().iter().filter_map(|entry| entry.manager.as_deref()).next_back(), Some("two"));
}

/// Further needs of controllers: discovery, events, a lease, subresources, the end of an object.
async fn is_a_controller(client: &Client, pods: &Api<Pod>) {
    let discovery = Discovery::new(client.clone()).run_aggregated().await.expect("the groups");
    assert!(discovery.groups().any(|group| group.name() == "apps"));
    let lease = ApiResource::erase::<Lease>(&());
    let leases: Api<DynamicObject> = Api::namespaced_with(client.clone(), SPACE, &lease);
    let object = DynamicObject::new("leader", &lease)
        .data(json!({"spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}}));
    leases.create(&PostParams::default(), &object).await.expect("a lease");

    let web = pods.get("web-0").await.expect("a pod");
    let recorder = Recorder::new(client.clone(), Reporter { controller: "journey".into(), instance: None });
    let note = || Note {
        type_: EventType::Normal,
        reason: "Seen".into(),
        note: Some("it is there".into()),
        action: "Look".into(),
        secondary: None,
    };
    recorder.publish(&note(), &web.object_ref(&())).await.expect("an event");
    recorder.publish(&note(), &web.object_ref(&())).await.expect("the event again, which is a patch");
    let events: Api<Event> = Api::namespaced(client.clone(), SPACE);
    let told = events.list(&ListParams::default().fields("involvedObject.name=web-0")).await.expect("events").items;
    assert_eq!((told.len(), told[0].message.as_deref()), (1, Some("it is there")));
    assert_eq!(told[0].series.as_ref().and_then(|series| series.count), Some(2));

    let binding = json!({"kind": "Binding", "apiVersion": "v1", "metadata": {"name": "web-0"}, "target": {"kind": "Node", "name": "kube-rs-a"}});
    let bound: Value =
        pods.create_subresource("binding", "web-0", &PostParams::default(), &binding).await.expect("it is bound");
    assert_eq!(bound["status"], "Success");
    assert_eq!(
        pods.get("web-0").await.expect("a pod").spec.and_then(|spec| spec.node_name).as_deref(),
        Some("kube-rs-a")
    );
    let uid = pods.get("web-1").await.expect("a pod").uid().expect("a uid");
    let gone = await_condition(pods.clone(), "web-1", conditions::is_deleted(&uid));
    let eviction = EvictParams::default();
    let (gone, evicted) = tokio::join!(gone, pods.evict("web-1", &eviction));
    evicted.expect("it is evicted");
    gone.expect("it is gone");
    pods.delete_collection(&DeleteParams::default().grace_period(0), &ListParams::default())
        .await
        .expect("all are deleted");
    assert_eq!(pods.list(&ListParams::default()).await.expect("a list").items.len(), 0);
}
