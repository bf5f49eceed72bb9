//! Writers, binders, readers and watchers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use podberth::store::{Cursor, Options, Record, Storage, StoreError, open};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::{
    client::{Answer, Client},
    history::{History, PodName, Stored},
    long,
};

/// How many nodes there are, and how many pods each takes.
pub(crate) const NODES: usize = 6;
pub(crate) const CAPACITY: usize = 8;
/// Bound pods that a binder keeps before it deletes the oldest: together more than the nodes take.
const HELD: usize = 14;
/// Pause after a failed call, so that an unreachable server is not called all the time.
const PAUSE: Duration = Duration::from_millis(20);
/// Pause of a client between two rounds, without which all of them keep every core busy for as long as a fault lasts.
const ROUND_PAUSE: Duration = Duration::from_millis(50);

/// The load on a cluster, and its observations.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
    watcher: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// Where each replica listens at the moment.
    replicas: Vec<Mutex<String>>,
    history: Mutex<History>,
    /// Acknowledged writes by replica.
    progress: watch::Sender<Vec<u64>>,
    stopped: AtomicBool,
    /// `true` if all clients have ended.
    quiet: AtomicBool,
    names: AtomicU64,
    /// How often history may have been lost.
    losses: AtomicU64,
}

impl Shared {
    fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self, replica: usize) -> String {
        self.replicas[replica % self.replicas.len()].lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins a round of a client; `false` at the end of the load.
    async fn runs(&self) -> bool {
        if !long() {
            sleep(ROUND_PAUSE).await;
        }
        !self.stopped.load(Ordering::Relaxed)
    }

    fn name(&self, prefix: &str) -> PodName {
        format!("{prefix}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    fn heard(&self, replica: usize) {
        let replica = replica % self.replicas.len();
        self.history().heard[replica].push(Instant::now());
        self.progress.send_modify(|progress| progress[replica] += 1);
    }
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [{"name": "main"}]}})
}

impl Load {
    /// Makes the nodes, and sets writers, binders and readers on every replica, and a watcher on the database.
    pub(crate) async fn start(addresses: Vec<String>, database: String) -> Self {
        let replicas = addresses.len();
        let client = Client::new();
        for node in 0..NODES {
            let node = json!({"metadata": {"name": format!("node-{node}")},
                "status": {"allocatable": {"cpu": "64", "memory": "64Gi", "pods": CAPACITY.to_string()}}});
            match client.send("POST", &addresses[0], "/api/v1/nodes", &node).await {
                Answer::Said(201, _) => {}
                answer => panic!("a node cannot be made: {answer:?}"),
            }
        }
        let history =
            History { heard: vec![Vec::new(); replicas], decided: vec![Vec::new(); replicas], ..History::default() };
        let shared = Arc::new(Shared {
            replicas: addresses.into_iter().map(Mutex::new).collect(),
            history: Mutex::new(history),
            progress: watch::Sender::new(vec![0; replicas]),
            stopped: AtomicBool::new(false),
            quiet: AtomicBool::new(false),
            names: AtomicU64::new(0),
            losses: AtomicU64::new(0),
        });
        let mut clients = JoinSet::new();
        for replica in 0..replicas {
            clients.spawn(create(shared.clone(), replica));
            clients.spawn(count(shared.clone(), replica));
            clients.spawn(bind(shared.clone(), replica));
            clients.spawn(bind(shared.clone(), replica));
            clients.spawn(ask(shared.clone(), replica));
        }
        let watcher = tokio::spawn(follow(shared.clone(), database));
        Self { shared, clients, watcher }
    }

    /// Sets the new address of a replica.
    pub(crate) fn moved(&self, replica: usize, address: &str) {
        let slot = &self.shared.replicas[replica];
        address.clone_into(&mut slot.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until each of these replicas has acknowledged this number of further writes.
    pub(crate) async fn progress(&self, replicas: &[usize], writes: u64) {
        let mut progress = self.shared.progress.subscribe();
        let before = progress.borrow().clone();
        let done = progress.wait_for(|now| replicas.iter().all(|r| now[*r] >= before[*r] + writes));
        let waited = tokio::time::timeout(Duration::from_mins(2), done).await;
        assert!(
            waited.is_ok(),
            "the replicas did not come back: {before:?} before, {:?} now",
            *self.shared.progress.borrow()
        );
    }

    /// Ends the load, and waits for all calls in progress.
    pub(crate) async fn stop(self) -> History {
        self.shared.stopped.store(true, Ordering::Relaxed);
        let ended = async {
            self.clients.join_all().await;
            self.shared.quiet.store(true, Ordering::Relaxed);
            self.watcher.await.expect("the watcher did not panic");
        };
        tokio::time::timeout(Duration::from_mins(2), ended).await.expect("everybody ends");
        let shared = Arc::into_inner(self.shared).expect("nobody else is there any more");
        shared.history.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the acknowledged writes: from here on history may be lost.
    pub(crate) fn history_may_be_lost(&self) {
        let mut history = self.shared.history();
        self.shared.losses.fetch_add(1, Ordering::Relaxed);
        let (heard, decided) = (history.heard.clone(), history.decided.clone());
        *history = History { heard, decided, ..History::default() };
    }
}

/// Creates pods, each under a name of its own that is never tried again.
async fn create(shared: Arc<Shared>, replica: usize) {
    let client = Client::new();
    while shared.runs().await {
        let name = shared.name("made");
        let answer =
            client.send("POST", &shared.address(replica), "/api/v1/namespaces/default/pods", &pod(&name)).await;
        match answer {
            Answer::Said(201, _) => {
                shared.history().created.insert(name);
                shared.heard(replica);
            }
            Answer::Said(503 | 429, _) | Answer::Refused => {
                shared.history().not_created.insert(name);
                sleep(PAUSE).await;
            }
            Answer::Said(504 | 500, _) | Answer::Silence => {
                shared.history().perhaps_created.insert(name);
            }
            Answer::Said(code, body) => shared.history().violation(format!("POST of {name}: {code} {body}")),
        }
    }
}

/// Increments a number in an annotation by compare-and-set; no other client writes to that pod.
async fn count(shared: Arc<Shared>, replica: usize) {
    let client = Client::new();
    let name = shared.name("counter");
    let path = format!("/api/v1/namespaces/default/pods/{name}");
    let mut acknowledged = 0;
    // `true` if an earlier write may still be under way.
    let mut doubt = false;
    let mut known: Option<Value> = None;
    let mut losses = 0;
    while shared.runs().await {
        let lost = losses != shared.losses.load(Ordering::Relaxed);
        if lost {
            losses = shared.losses.load(Ordering::Relaxed);
            known = None;
        }
        let Some(object) = &known else {
            match client.send("GET", &shared.address(replica), &path, &Value::Null).await {
                Answer::Said(200, object) => {
                    acknowledged = counter(&object).unwrap_or(0);
                    known = Some(object);
                }
                Answer::Said(404, _) => {
                    let body = pod(&name);
                    let answer =
                        client.send("POST", &shared.address(replica), "/api/v1/namespaces/default/pods", &body).await;
                    if let Answer::Said(201, _) = answer {
                        shared.heard(replica);
                    }
                }
                _ => sleep(PAUSE).await,
            }
            continue;
        };
        let mut next = object.clone();
        let sent = acknowledged + 1;
        next["metadata"]["annotations"] = json!({"count": sent.to_string()});
        {
            let mut history = shared.history();
            let entry = history.counters.entry(name.clone()).or_insert((acknowledged, sent));
            entry.1 = entry.1.max(sent);
        }
        match client.send("PUT", &shared.address(replica), &path, &next).await {
            Answer::Said(200, object) => {
                acknowledged = sent;
                known = Some(object);
                doubt = false;
                let mut history = shared.history();
                history.updates += 1;
                history.counters.insert(name.clone(), (acknowledged, sent));
                drop(history);
                shared.heard(replica);
            }
            // Perhaps it was written: the next GET tells.
            Answer::Silence | Answer::Said(504 | 500, _) => {
                known = None;
                doubt = true;
            }
            Answer::Said(409, _) if doubt => known = None,
            Answer::Said(503 | 429, _) | Answer::Refused => sleep(PAUSE).await,
            Answer::Said(409 | 404, _) if losses != shared.losses.load(Ordering::Relaxed) => known = None,
            Answer::Said(code, body) => {
                let what = format!("PUT of {name} to {sent}, which nobody else writes to: {code} {body}");
                shared.history().violation(what);
                known = None;
            }
        }
    }
}

fn counter(object: &Value) -> Option<u64> {
    object.pointer("/metadata/annotations/count")?.as_str()?.parse().ok()
}

/// Makes a pod and has two replicas bind it at once, to different nodes, one by the binding and one by the extender's
/// verb; deletes the oldest it holds when it holds many.
async fn bind(shared: Arc<Shared>, replica: usize) {
    let client = Client::new();
    let mut held = std::collections::VecDeque::new();
    let mut turn = replica;
    while shared.runs().await {
        let name = shared.name("bound");
        let path = format!("/api/v1/namespaces/default/pods/{name}");
        let answer =
            client.send("POST", &shared.address(replica), "/api/v1/namespaces/default/pods", &pod(&name)).await;
        let Answer::Said(201, made) = answer else {
            sleep(PAUSE).await;
            continue;
        };
        shared.heard(replica);
        let uid = made.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
        turn += 1;
        let (one, other) = (format!("node-{}", turn % NODES), format!("node-{}", (turn + 1) % NODES));
        let binding = json!({"metadata": {"name": name, "uid": uid}, "target": {"kind": "Node", "name": one}});
        let verb = json!({"PodName": name, "PodNamespace": "default", "PodUID": uid, "Node": other});
        let (here, there) = (shared.address(replica), shared.address(replica + 1));
        let binding_path = format!("{path}/binding");
        let (by_binding, by_verb) = tokio::join!(
            client.send("POST", &here, &binding_path, &binding),
            client.send("POST", &there, "/bind", &verb)
        );
        let mut bound = Vec::new();
        match by_binding {
            Answer::Said(201, _) => bound.push((replica, one)),
            Answer::Said(409, _) => shared.history().refused += 1,
            Answer::Said(500 | 503 | 504 | 429, _) | Answer::Refused | Answer::Silence => {}
            Answer::Said(code, body) => shared.history().violation(format!("binding of {name}: {code} {body}")),
        }
        match by_verb {
            Answer::Said(200, result) if result["Error"] == "" => bound.push((replica + 1, other)),
            Answer::Said(200, _) => shared.history().refused += 1,
            Answer::Said(500 | 503 | 504 | 429, _) | Answer::Refused | Answer::Silence => {}
            Answer::Said(code, body) => shared.history().violation(format!("/bind of {name}: {code} {body}")),
        }
        for (by, node) in bound {
            shared.history().bound.entry(name.clone()).or_default().insert(node);
            shared.heard(by);
        }
        held.push_back(name);
        if held.len() > HELD / shared.replicas.len()
            && let Some(oldest) = held.pop_front()
        {
            shared.history().deleted.insert(oldest.clone());
            let path = format!("/api/v1/namespaces/default/pods/{oldest}");
            client.send("DELETE", &shared.address(replica), &path, &Value::Null).await;
        }
    }
}

/// Asks every replica one question: over one revision the answers are equal.
async fn ask(shared: Arc<Shared>, replica: usize) {
    let client = Client::new();
    let question = json!({"pod": pod("asked")});
    while shared.runs().await {
        if let Answer::Said(200, answer) = client.send("POST", &shared.address(replica), "/explain", &question).await {
            let revision = answer["snapshotRevision"].as_u64().unwrap_or_default();
            let said = answer["nodes"].to_string();
            let mut history = shared.history();
            history.decided[replica].push(Instant::now());
            let before = history.answers.entry(revision).or_insert_with(|| said.clone()).clone();
            if before != said {
                history.violation(format!("replicas differ at revision {revision}: {before} and {said}"));
            }
        }
        sleep(PAUSE).await;
    }
}

/// Follows the change feed as a replica does, and checks its guarantees.
async fn follow(shared: Arc<Shared>, database: String) {
    let store = open(&database, &Options::default()).await.expect("the database is there");
    let mut hints = store.hints();
    let mut seen = Seen::default();
    loop {
        let last = shared.quiet.load(Ordering::Relaxed);
        match seen.catch_up(&*store, &shared).await {
            Ok(()) if last => break,
            Ok(()) => drop(tokio::time::timeout(PAUSE * 10, hints.next()).await),
            Err(error) => {
                assert!(error.is_transient() || matches!(error, StoreError::Denied(_)), "the feed: {error}");
                sleep(PAUSE).await;
            }
        }
    }
    let again = read_all(&*store).await;
    if again != seen.objects {
        let differ = again.iter().filter(|(name, stored)| seen.objects.get(*name) != Some(stored)).count();
        let what =
            format!("a watcher holds {} pods, the database {}; {differ} differ", seen.objects.len(), again.len());
        shared.history().violation(what);
    }
    store.close().await;
}

#[derive(Debug, Default)]
struct Seen {
    cursor: Cursor,
    objects: BTreeMap<PodName, Stored>,
    /// The node each pod was first seen on, by uid.
    nodes: BTreeMap<String, String>,
}

impl Seen {
    async fn catch_up(&mut self, store: &dyn Storage, shared: &Shared) -> Result<(), StoreError> {
        loop {
            let page = match store.changes("default", &self.cursor, 500).await {
                Err(StoreError::Compacted { .. } | StoreError::HistoryLost { .. }) => {
                    *self = Self::default();
                    shared.history().resets += 1;
                    continue;
                }
                page => page?,
            };
            let mut history = shared.history();
            for record in &page.records {
                if record.revision <= self.cursor.after {
                    history.violation(format!("the feed repeats revision {}", record.revision));
                }
                self.cursor.after = record.revision;
                history.watched += 1;
                self.apply(record, &mut history);
            }
            self.cursor = page.next;
            if page.complete {
                let mut load = BTreeMap::<&str, usize>::new();
                for node in self.objects.values().filter_map(|stored| stored.node.as_deref()) {
                    *load.entry(node).or_default() += 1;
                }
                for (node, pods) in load.into_iter().filter(|(_, pods)| *pods > CAPACITY) {
                    history.violation(format!("at revision {} {node} holds {pods} pods", self.cursor.after));
                }
                return Ok(());
            }
        }
    }

    fn apply(&mut self, record: &Record, history: &mut History) {
        if &*record.key.kind != "pods" {
            return;
        }
        let name = record.key.name.clone();
        if record.deleted {
            self.objects.remove(&name);
            return;
        }
        if let Some(node) = &record.node {
            let first = self.nodes.entry(record.uid.clone()).or_insert_with(|| node.clone());
            if first != node {
                history.violation(format!("{name} moved from {first} to {node}"));
            }
        }
        let known =
            record.body_is_known(self.cursor.complete).then(|| self.objects.get(&name).map(|stored| stored.counter));
        let counter = match known {
            Some(None) => {
                history.violation(format!("the feed leaves out the body of {name}, which was never sent"));
                None
            }
            Some(Some(counter)) => counter,
            None => serde_json::from_slice(&record.body).ok().as_ref().and_then(counter),
        };
        self.objects.insert(name, Stored { node: record.node.clone(), counter });
    }
}

/// All pods as the database holds them.
pub(crate) async fn read_all(store: &dyn Storage) -> BTreeMap<PodName, Stored> {
    let page = store.changes("default", &Cursor::default(), usize::MAX).await.expect("the database is there");
    let pods = page.records.iter().filter(|record| &*record.key.kind == "pods" && !record.deleted);
    pods.map(|record| {
        let counter = serde_json::from_slice(&record.body).ok().as_ref().and_then(counter);
        (record.key.name.clone(), Stored { node: record.node.clone(), counter })
    })
    .collect()
}
