//! Mirrors of live clusters: an API server that follows a script, with every fault that real ones have, and Podberth in its place.
//! Run it with `scripts/test --test sync`.

#[path = "../support/api_binds.rs"]
mod api_binds;
#[path = "../support/api_server.rs"]
mod api_server;
#[path = "../support/server.rs"]
mod server;

mod client;
mod cluster;
mod faults;
mod itself;
mod large;
mod mirror;
mod once;
mod real;
mod scheduling;

use std::{sync::Arc, time::Duration};

use api_server::ApiServer;
use podberth::{
    live::View,
    store::{Atomicity, Change, Key, ListQuery, Outcome, Precondition, Record, Storage, Write},
    sync::{
        Watching,
        client::{KubeConnector, Limits},
        mirror::Mirrors,
    },
    wire::source::{self, ClusterSource, SyncStatus, Trim},
};
use serde_json::{Value, json};
use server::Server;
use tempfile::NamedTempFile;
use tokio::time::timeout;
use uuid::Uuid;

/// Longest wait of a test.
const WITHIN: Duration = Duration::from_mins(1);

/// A Podberth whose default cluster is the mirror of an API server.
struct Mirror {
    server: Server,
    mirrors: Option<Mirrors>,
    _kubeconfig: Option<NamedTempFile>,
}

/// Bounds with short pauses.
fn quick() -> Watching {
    let often = Duration::from_millis(50);
    Watching { pauses: 0.01, told_every: often, read_every: often, ..Watching::default() }
}

/// The source of a kubeconfig, with these kinds.
fn source_of(kubeconfig: &NamedTempFile, kinds: &[&str]) -> ClusterSource {
    ClusterSource {
        kubeconfig_file: Some(kubeconfig.path().to_string_lossy().into_owned()),
        kinds: Some(kinds.iter().map(|kind| (*kind).to_owned()).collect()),
        ..ClusterSource::default()
    }
}

/// Makes the default cluster the mirror of a source.
async fn put_source(store: &Arc<dyn Storage>, source: &ClusterSource) {
    let body = serde_json::to_string(source).expect("a source is JSON");
    let change = Change::Put { body: body.into(), uid: "source".into(), node: None };
    let key = Key::new(source::KIND, "", source::NAME);
    let write = Write { key, precondition: Precondition::default(), change };
    let commit = store.commit("default", vec![write], Atomicity::AllOrNothing).await.expect("the store writes");
    assert!(matches!(commit.outcomes[0], Outcome::Written { .. }), "{commit:?}");
}

impl Mirror {
    /// A mirror of these kinds.
    async fn of(api: &ApiServer, kinds: &[&str]) -> Self {
        let kubeconfig = api.kubeconfig();
        let source = source_of(&kubeconfig, kinds);
        Self::with(source, kubeconfig, quick()).await
    }

    async fn with(source: ClusterSource, kubeconfig: NamedTempFile, watching: Watching) -> Self {
        let store = server::memory(&[]).await;
        put_source(&store, &source).await;
        let mut mirror = Self { server: Server::replica(store), mirrors: None, _kubeconfig: Some(kubeconfig) };
        mirror.start(watching);
        mirror
    }

    /// Another process on the database, which does not mirror yet.
    fn replica(&self) -> Self {
        Self { server: Server::replica(self.server.state.store.clone()), mirrors: None, _kubeconfig: None }
    }

    /// Waits until it is told that the mirror is so far.
    async fn told(&self, is_so_far: impl Fn(&SyncStatus) -> bool) {
        let sources = &self.server.state.sources;
        let mut told = sources.subscribe();
        let waits = async {
            while !sources.status("default").is_some_and(|status| is_so_far(&status)) {
                told.changed().await.expect("the sources live");
            }
        };
        assert!(timeout(WITHIN, waits).await.is_ok(), "{:?}", sources.status("default"));
    }

    /// Starts mirroring as another process would.
    fn start(&mut self, watching: Watching) {
        let limits = Limits { head: Duration::from_secs(5), files_checked: Duration::ZERO, ..Limits::default() };
        let connector = KubeConnector::new(false).with_limits(limits);
        self.mirrors = Some(Mirrors::start(&self.server.state, Uuid::new_v4(), &connector, watching));
    }

    /// Ends mirroring in good order.
    async fn end(&mut self) {
        self.mirrors.take().expect("it runs").end().await;
    }

    /// Waits until the view is so.
    async fn shows(&self, what: &str, is_so: impl Fn(&View) -> bool) {
        let cluster = self.server.state.clusters.get("default").await.expect("the cluster loads");
        let mut progress = cluster.subscribe();
        let shows = async {
            while !is_so(&cluster.view()) {
                progress.changed().await.expect("the writer lives");
            }
        };
        assert!(timeout(WITHIN, shows).await.is_ok(), "the mirror never shows {what}");
    }

    /// Waits until a pod is there and on a node; an empty one for none.
    async fn shows_pod(&self, name: &str, node: &str) {
        let is_so = |view: &View| view.snapshot.pod("shop", name).is_some_and(|pod| &*pod.node_name == node);
        self.shows(&format!("the pod {name} on {node:?}"), is_so).await;
    }

    /// Waits until a pod is gone.
    async fn shows_no_pod(&self, name: &str) {
        self.shows(&format!("no pod {name}"), |view| view.snapshot.pod("shop", name).is_none()).await;
    }

    async fn revision(&self) -> u64 {
        self.server.state.store.head("default").await.expect("the store reads").revision
    }

    async fn stored(&self, kind: &str) -> Vec<Record> {
        self.server.state.store.list("default", &ListQuery::all(kind)).await.expect("the store reads").items
    }

    async fn get(&self, kind: &str, name: &str) -> Record {
        let namespace = if kind == "nodes" { "" } else { "shop" };
        let found = self.server.state.store.get("default", &Key::new(kind, namespace, name)).await;
        found.expect("the store reads").unwrap_or_else(|| panic!("{kind} {name} is stored"))
    }

    /// Commits a write here, as users of Podberth do.
    async fn write(&self, writes: Vec<Write>) {
        let call = podberth::store::Call { writes, atomicity: Atomicity::AllOrNothing };
        let commit = self.server.state.clusters.commit("default", call, None).await.expect("it is committed");
        assert!(!commit.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))), "{commit:?}");
    }

    /// The mirror equals its source, object by object, but for what is trimmed: `kind` in the store, `path` at the API server.
    async fn equals(&self, api: &ApiServer, kind: &str, path: &str) {
        let mut expected: Vec<Value> = api.with(|objects| objects.all(path));
        for object in &mut expected {
            object["metadata"].as_object_mut().expect("metadata").remove("resourceVersion");
            for field in ["kind", "apiVersion"] {
                object.as_object_mut().expect("an object").remove(field);
            }
        }
        let read = |record: &Record| serde_json::from_slice::<Value>(&record.body).expect("bodies are JSON");
        let stored: Vec<Value> = self.stored(kind).await.iter().map(read).collect();
        assert_eq!(stored, expected);
    }
}

fn body(record: &Record) -> Value {
    serde_json::from_slice(&record.body).expect("bodies are JSON")
}

/// A pod of the namespace `shop`, on a node unless that is empty.
fn pod(name: &str, node: &str) -> Value {
    let mut spec = json!({"containers": [{"name": "c", "image": "nginx", "resources": {"requests": {"cpu": "100m"}}}]});
    if !node.is_empty() {
        spec["nodeName"] = node.into();
    }
    json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec, "status": {"phase": "Pending"}})
}

/// A node with 4 CPUs.
fn node(name: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": "4", "memory": "16Gi", "pods": "110"}}})
}

/// Trims nothing.
fn untrimmed(source: ClusterSource) -> ClusterSource {
    ClusterSource { trim: Trim::Full, ..source }
}
