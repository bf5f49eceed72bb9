//! Binds through an API server: a fake of it in memory, scripted replies, and processes that die at any step.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use podberth_testkit::memory::{Memory, Numbering};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Bind, BindOutcome, Binder, InStore, binder, by_api_server::Delivery, delivery::First, extender_bind,
    outbox::Outgoing, recovery::Rounds, replies::Delivered,
};
use crate::{
    core::{
        batch::Placed,
        model::{ControllerRef, Pod},
        plan::Step,
    },
    extenders::Extenders,
    live::Clusters,
    service::{
        Freshness, Service,
        error::Error,
        source::{ApiReply, ApiRequest, ApiServer, Connector, Sources},
    },
    store::{self, Atomicity, Change, Key, Precondition, Record, Refusal, Storage, Write},
    wire::{
        decision::AskedBy,
        extender::ExtenderBindingArgs,
        outbox::{self, PendingBind, shown},
        source::{self, BindMode, ClusterSource, KindStatus, SyncStatus},
    },
};

const CLUSTER: &str = "prod";

/// How the fake answers a request.
#[derive(Clone, Debug)]
enum Answer {
    /// As an API server does.
    Duly,
    /// It carries the request out, and the reply is lost.
    Lost,
    /// The request is lost.
    Dropped,
    /// With this code and text, and nothing else.
    With(u16, &'static str),
}

/// The API server of a live cluster with pods and nothing else.
#[derive(Debug, Default)]
struct Fake {
    /// Uid and node, by path.
    pods: Mutex<BTreeMap<String, (String, String)>>,
    answers: Mutex<VecDeque<Answer>>,
    /// Method and path of each request.
    log: Mutex<Vec<String>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().expect("no test panics with it")
}

fn path(pod: &str) -> String {
    format!("/api/v1/namespaces/shop/pods/{pod}")
}

impl Fake {
    fn put(&self, pod: &str, uid: &str, node: &str) {
        lock(&self.pods).insert(path(pod), (uid.into(), node.into()));
    }

    fn node_of(&self, pod: &str) -> Option<String> {
        lock(&self.pods).get(&path(pod)).map(|(_, node)| node.clone())
    }

    fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.answers).extend(answers);
    }

    fn requests(&self) -> Vec<String> {
        lock(&self.log).clone()
    }

    fn carry_out(&self, request: &ApiRequest) -> (u16, Value) {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut pods = lock(&self.pods);
        let refused = |code, text: String| {
            (
                code,
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": text, "code": code}),
            )
        };
        let of = request.path.trim_end_matches("/binding");
        let Some((uid, node)) = pods.get_mut(of) else { return refused(404, "pods not found".into()) };
        if request.method == "GET" {
            return (200, json!({"metadata": {"uid": uid}, "spec": {"nodeName": node}}));
        }
        let wanted = body["metadata"]["uid"].as_str().unwrap_or_default();
        if wanted != uid {
            return refused(
                409,
                format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}"),
            );
        }
        if !node.is_empty() {
            return refused(409, format!("pod p is already assigned to node {node:?}"));
        }
        *node = body["target"]["name"].as_str().unwrap_or_default().into();
        (201, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))
    }
}

#[async_trait]
impl ApiServer for Fake {
    async fn send(&self, request: ApiRequest) -> Result<ApiReply, String> {
        lock(&self.log).push(format!("{} {}", request.method, request.path));
        let answer = lock(&self.answers).pop_front().unwrap_or(Answer::Duly);
        // A request takes a moment, and so does its reply.
        tokio::task::yield_now().await;
        let (code, body) = match answer {
            Answer::Dropped => return Err("connection reset".into()),
            Answer::With(code, text) => (
                code,
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": text, "code": code}),
            ),
            Answer::Duly | Answer::Lost => self.carry_out(&request),
        };
        tokio::task::yield_now().await;
        match answer {
            Answer::Lost => Err("connection reset".into()),
            _ => Ok(ApiReply { code, retry_after: Some(Duration::ZERO), body: body.to_string().into() }),
        }
    }
}

#[derive(Debug)]
struct Only(Arc<Fake>);

#[async_trait]
impl Connector for Only {
    async fn connect(&self, _: &ClusterSource) -> Result<Arc<dyn ApiServer>, String> {
        Ok(self.0.clone())
    }
}

/// A mirrored cluster of two nodes and two pods, `p` and `q`.
struct World {
    store: Arc<dyn Storage>,
    fake: Arc<Fake>,
    service: Service,
}

fn write(kind: &str, namespace: &str, name: &str, uid: &str, body: &Value) -> Write {
    let change = Change::Put { body: body.to_string().into(), uid: uid.into(), node: None };
    Write { key: Key::new(kind, namespace, name), precondition: Precondition::default(), change }
}

fn pod_body(name: &str, uid: &str, node: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "uid": uid}, "spec": {"nodeName": node, "containers": [
        {"name": "c", "resources": {"requests": {"cpu": "1"}}}]}})
}

/// The status of a kind that has been mirrored whole.
fn whole() -> KindStatus {
    let as_of = Some(Timestamp::UNIX_EPOCH);
    KindStatus { as_of, source_version: "1".into(), objects: 1, relists: 0, trouble: None }
}

impl World {
    async fn new(bind: BindMode) -> Self {
        let store: Arc<dyn Storage> = Arc::new(Memory::new(Numbering::Counter).handle());
        store.migrate().await.expect("it migrates");
        let source = ClusterSource { kubeconfig_file: Some("x".into()), bind, ..ClusterSource::default() };
        let node =
            |name: &str| json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": "2", "pods": "9"}}});
        let writes = vec![
            write(source::KIND, "", source::NAME, "s", &serde_json::to_value(source).expect("it is JSON")),
            write("nodes", "", "n1", "n1", &node("n1")),
            write("nodes", "", "n2", "n2", &node("n2")),
            write("pods", "shop", "p", "u", &pod_body("p", "u", "")),
            write("pods", "shop", "q", "v", &pod_body("q", "v", "")),
        ];
        store.commit(CLUSTER, writes, Atomicity::AllOrNothing).await.expect("it is stored");
        let fake = Arc::<Fake>::default();
        fake.put("p", "u", "");
        fake.put("q", "v", "");
        let service = Self::process(&store, &fake);
        Self { store, fake, service }
    }

    fn process(store: &Arc<dyn Storage>, fake: &Arc<Fake>) -> Service {
        let clusters = Clusters::new(store.clone(), Duration::from_hours(1));
        let service = Service::new(clusters, Freshness::default(), Extenders::default());
        let sources = Sources::by(Arc::new(Only(fake.clone())));
        sources
            .tell(CLUSTER, SyncStatus { kinds: BTreeMap::from([("pods".into(), whole())]), ..SyncStatus::default() });
        Service { sources, ..service }
    }

    async fn bind_of(&self, node: &str) -> Bind {
        let cluster = self.service.clusters.get(CLUSTER).await.expect("the cluster is there");
        let pod = cluster.view().snapshot.pod("shop", "p").expect("the pod is there").clone();
        Bind::new(&pod, &Placed { node: node.into(), ..Placed::default() }, 0)
    }

    fn in_store(&self) -> InStore<'_> {
        let (profile, reserve_until) = (None, None);
        InStore { service: &self.service, cluster: CLUSTER, profile, reserve_until, is_judged: false, fence: None }
    }

    async fn bind(&self, node: &str) -> BindOutcome {
        let view = self.service.clusters.get(CLUSTER).await.expect("the cluster is there").view();
        let bind = self.bind_of(node).await;
        binder(self.in_store(), view.source().as_ref(), None).bind_one(bind).await.expect("the store answers")
    }

    async fn get(&self, kind: &str) -> Option<Record> {
        self.store.get(CLUSTER, &Key::new(kind, "shop", "p")).await.expect("the store answers")
    }

    /// The node of the pod's row, and the bind in the outbox.
    async fn state(&self) -> (Option<String>, Option<PendingBind>) {
        let pending = self.get(outbox::KIND).await.map(|record| PendingBind::parse(&record.body).expect("it is one"));
        (self.get("pods").await.and_then(|pod| pod.node), pending)
    }

    /// The mirror takes in the pod as the live cluster has it.
    async fn mirror(&self) {
        let live = lock(&self.fake.pods).get(&path("p")).cloned();
        let (pod, stored) = (self.get("pods").await, self.get(outbox::KIND).await);
        let pending = stored.as_ref().map(|record| PendingBind::parse(&record.body).expect("it is one"));
        let now = shown(pending.as_ref(), live.as_ref().map(|(uid, node)| (&**uid, &**node)));
        let mut writes = Vec::new();
        match (&live, &pod) {
            (Some((uid, node)), _) => {
                let body = pod_body("p", uid, node).to_string().into();
                let change = Change::Put { body, uid: uid.clone(), node: now.node.map(str::to_owned) };
                writes.push(Write { change, ..write("pods", "shop", "p", uid, &Value::Null) });
            }
            (None, Some(pod)) => writes.push(Write::of(pod, Change::Delete)),
            (None, None) => {}
        }
        writes.extend(stored.filter(|_| now.is_over).map(|record| Write::of(&record, Change::Delete)));
        self.store.commit(CLUSTER, writes, Atomicity::AllOrNothing).await.expect("it is stored");
    }

    fn rounds(&self) -> Rounds {
        Rounds::new(&self.service, &CLUSTER.into())
    }

    async fn recover(&self, rounds: &mut Rounds) {
        rounds.round(&write("leads.podberth.io", "", "binds", "l", &Value::Null)).await.expect("the store answers");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bind_is_done_here_when_the_mirror_shows_it() {
    let world = World::new(BindMode::ApiServer).await;
    assert!(matches!(world.bind("n1").await, BindOutcome::Bound { is_new: true, .. }));
    assert_eq!(world.fake.node_of("p").as_deref(), Some("n1"));
    assert_eq!(world.fake.requests(), ["POST /api/v1/namespaces/shop/pods/p/binding"]);
    let done = PendingBind { pod_uid: "u".into(), node: "n1".into(), is_done: true };
    assert_eq!(world.state().await, (Some("n1".into()), Some(done)), "an old state of the pod may be on its way");
    world.mirror().await;
    assert_eq!(world.state().await, (Some("n1".into()), None));
}

/// The outcome of a bind to `n1`, in a word.
fn word(outcome: &BindOutcome) -> &'static str {
    match outcome {
        BindOutcome::Bound { .. } => "bound",
        BindOutcome::Refused(Refusal::AlreadyBound { .. }) => "elsewhere",
        BindOutcome::Refused(Refusal::NotFound) => "gone",
        BindOutcome::Refused(_) => "stale",
        BindOutcome::NotBound(why) if why.contains("not known yet") => "not known",
        BindOutcome::NotBound(_) => "not bound",
        BindOutcome::Waits { .. } => "waits",
    }
}

#[tokio::test(start_paused = true)]
async fn each_reply_leaves_the_pod_where_the_api_server_has_it() {
    use Answer::{Dropped, Duly, Lost, With};
    type Row = (Option<(&'static str, &'static str)>, Vec<Answer>, &'static str, Option<&'static str>, bool);
    const DENIED: &str = "admission webhook \"w\" denied the request: not today";
    let row = |node: Option<&str>| node.map(str::to_owned);
    let many = |answer: Answer| vec![answer; 20];
    // Who else changes the pod before, the answers, the outcome, the row's node, and if the bind is still on its way.
    let table: Vec<Row> = vec![
        (None, vec![Lost], "bound", Some("n1"), true),
        (None, vec![Dropped], "bound", Some("n1"), true),
        (None, vec![With(503, "shutting down")], "bound", Some("n1"), true),
        (None, vec![With(429, "too many"), Duly, With(429, "too many")], "bound", Some("n1"), true),
        (None, vec![Lost, With(500, "no")], "bound", Some("n1"), true),
        (None, vec![Dropped, Duly, With(403, DENIED)], "not bound", None, false),
        (None, vec![With(403, DENIED)], "not bound", None, false),
        (None, vec![With(409, DENIED)], "not bound", None, false),
        (None, vec![With(400, "name in URL does not match name in Binding object")], "not bound", None, false),
        (Some(("u", "n2")), vec![], "elsewhere", Some("n2"), false),
        (Some(("u", "n1")), vec![], "bound", Some("n1"), true),
        (Some(("later", "")), vec![], "gone", None, false),
        (Some(("", "")), vec![], "gone", None, false),
        (None, many(Dropped), "not known", Some("n1"), true),
        (None, many(With(503, "no")), "not known", Some("n1"), true),
    ];
    for (other, answers, outcome, node, is_under_way) in table {
        let world = World::new(BindMode::ApiServer).await;
        match other {
            Some(("", _)) => lock(&world.fake.pods).clear(),
            Some((uid, node)) => world.fake.put("p", uid, node),
            None => {}
        }
        world.fake.script(answers.clone());
        let came = world.bind("n1").await;
        let (on, pending) = world.state().await;
        assert_eq!(
            (word(&came), on, pending.is_some()),
            (outcome, row(node), is_under_way),
            "{other:?} {answers:?} {came:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn of_binds_that_go_together_those_after_a_refused_one_are_not_sent() {
    let world = World::new(BindMode::ApiServer).await;
    world.fake.script([Answer::With(403, "denied")]);
    let view = world.service.clusters.get(CLUSTER).await.expect("the cluster is there").view();
    let of = |name: &str| {
        let pod = view.snapshot.pod("shop", name).expect("the pod is there");
        Bind::new(pod, &Placed { node: "n1".into(), ..Placed::default() }, 0)
    };
    let mut binds = [of("p"), of("q")];
    let outcomes = binder(world.in_store(), view.source().as_ref(), None).bind(&mut binds, true).await;
    let words: Vec<_> = outcomes.expect("the store answers").iter().map(word).collect();
    assert_eq!(words, ["not bound", "not bound"]);
    assert_eq!(world.fake.requests(), ["POST /api/v1/namespaces/shop/pods/p/binding"]);
    let held = world.store.list(CLUSTER, &store::ListQuery::all("pods")).await.expect("it reads").items;
    assert!(held.iter().all(|pod| pod.node.is_none()), "{held:?}");
    let left = world.store.list(CLUSTER, &store::ListQuery::all(outbox::KIND)).await.expect("it reads").items;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_bind_that_does_not_fit_is_not_sent() {
    let world = World::new(BindMode::ApiServer).await;
    let refused = world.bind("no such node").await;
    assert!(matches!(refused, BindOutcome::Refused(Refusal::Rejected(_))), "{refused:?}");
    assert_eq!(world.fake.requests(), Vec::<String>::new());
    assert_eq!(world.state().await, (None, None));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_bound_before_the_mirror_is_whole() {
    let world = World::new(BindMode::ApiServer).await;
    world.service.sources.tell(CLUSTER, SyncStatus::default());
    let kinds = BTreeMap::from([("nodes".into(), KindStatus { as_of: None, ..whole() })]);
    world.service.sources.tell(CLUSTER, SyncStatus { kinds, ..SyncStatus::default() });
    let view = world.service.clusters.get(CLUSTER).await.expect("the cluster is there").view();
    let bind = world.bind_of("n1").await;
    let refused = binder(world.in_store(), view.source().as_ref(), None).bind_one(bind).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    assert_eq!(world.state().await, (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_repeated_bind_takes_up_the_one_that_is_under_way() {
    let world = World::new(BindMode::ApiServer).await;
    let ask = async |uid: &str, node: &str| {
        let args = ExtenderBindingArgs {
            pod_name: "p".into(),
            pod_namespace: "shop".into(),
            pod_uid: uid.into(),
            node: node.into(),
        };
        extender_bind(&world.service, &CLUSTER.into(), args, None, &AskedBy::default())
            .await
            .expect("the store answers")
    };
    world.fake.script(vec![Answer::Dropped; 20]);
    let unknown = ask("u", "n1").await.expect("a reason");
    assert!(unknown.contains("not known yet"), "{unknown}");
    lock(&world.fake.answers).clear();
    let elsewhere = ask("u", "n2").await.expect("a reason");
    assert!(elsewhere.contains("already assigned to node \"n1\""), "{elsewhere}");
    let before = world.fake.requests().len();
    assert_eq!(ask("u", "n1").await, None, "kube-scheduler asks again, and now it is a fact");
    assert!(world.fake.requests()[before].starts_with("GET "), "somebody may have bound it");
    assert_eq!(world.fake.node_of("p").as_deref(), Some("n1"));
    world.mirror().await;
    let before = world.fake.requests().len();
    assert_eq!(ask("", "n1").await, None);
    assert_eq!(world.fake.requests().len(), before, "what the live cluster shows is not asked for again");
}

/// A fence of a process that leads no more.
fn lost_fence() -> Write {
    Write { precondition: Precondition::revision(999), ..write("leads.podberth.io", "", "loop", "l", &Value::Null) }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_lost_the_lead_evicts_nobody() {
    let world = World::new(BindMode::ApiServer).await;
    let view = world.service.clusters.get(CLUSTER).await.expect("the cluster is there").view();
    let victim = view.snapshot.pod("shop", "q").expect("the pod is there").clone();
    for (fence, requests) in [(Some(lost_fence()), 0), (None, 2)] {
        let mut bind = world.bind_of("n1").await;
        bind.plan.steps.insert(0, Step::Evict(victim.clone()));
        let came = binder(InStore { fence, ..world.in_store() }, view.source().as_ref(), None).bind_one(bind).await;
        match &came {
            Err(error) => assert!(error.for_log().contains("another process leads"), "{error}"),
            Ok(outcome) => assert_eq!(word(outcome), "waits"),
        }
        assert_eq!((came.is_err(), world.fake.requests().len()), (requests == 0, requests), "{came:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_static_pod_is_evicted_for_no_other_one() {
    let world = World::new(BindMode::ApiServer).await;
    let view = world.service.clusters.get(CLUSTER).await.expect("the cluster is there").view();
    let mut victim = Pod::clone(view.snapshot.pod("shop", "q").expect("the pod is there"));
    let [api_version, kind, name] = ["v1", "Node", "n1"].map(Into::into);
    victim.controller = Some(Arc::new(ControllerRef { api_version, kind, name, uid: "n1".into() }));
    let mut bind = world.bind_of("n1").await;
    bind.plan.steps.insert(0, Step::Evict(Arc::new(victim)));
    let came = binder(world.in_store(), view.source().as_ref(), None).bind_one(bind).await;
    assert!(matches!(&came, Ok(BindOutcome::Waits { why, .. }) if why.contains("static pod shop/q")), "{came:?}");
    assert_eq!(world.fake.requests(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_lost_lead_is_told_at_the_end_of_a_bind() {
    let world = World::new(BindMode::ApiServer).await;
    assert_eq!(word(&world.bind("n1").await), "bound");
    let record = world.get(outbox::KIND).await.expect("it is on its way");
    let (outgoing, _) = Outgoing::of(&record).expect("it is one");
    for delivered in [Delivered::Done, Delivered::Gone] {
        let ended = outgoing.settle(&world.service, CLUSTER, &delivered, Some(&lost_fence())).await;
        assert!(ended.is_err_and(|error| error.for_log().contains("another process leads")), "{delivered:?}");
    }
    assert_eq!(world.get(outbox::KIND).await.as_ref(), Some(&record));
}

#[tokio::test(start_paused = true)]
async fn a_noted_bind_that_nobody_carries_out_lapses() {
    let world = World::new(BindMode::Record).await;
    assert_eq!(word(&world.bind("n1").await), "bound");
    let mut rounds = world.rounds();
    world.recover(&mut rounds).await;
    assert_eq!(world.state().await.0.as_deref(), Some("n1"));
    tokio::time::advance(Duration::from_mins(5)).await;
    world.recover(&mut rounds).await;
    assert_eq!(world.state().await, (None, None), "the pod waits again");
}

#[tokio::test(start_paused = true)]
async fn a_noted_bind_holds_its_node_until_the_live_cluster_shows_one() {
    let world = World::new(BindMode::Record).await;
    assert_eq!(word(&world.bind("n1").await), "bound");
    assert_eq!(world.fake.requests(), Vec::<String>::new(), "another client carries it out");
    world.mirror().await;
    assert_eq!(world.state().await.0.as_deref(), Some("n1"), "the live cluster shows no node yet");
    world.fake.put("p", "u", "n1");
    world.mirror().await;
    assert_eq!(world.state().await, (Some("n1".into()), None));
}

/// Lets a future run for so many steps, and drops it then; its result if it ended before.
async fn for_steps<T>(steps: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = steps;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// A process that dies after so many steps of a bind, and another one that finds what it left; `true` if the bind ended before.
async fn dies_after(steps: usize, answers: &[Answer], node_goes: bool) -> bool {
    let world = World::new(BindMode::ApiServer).await;
    world.fake.script(answers.to_vec());
    let mut bind = world.bind_of("n1").await;
    let outgoing = Outgoing::of_bind(&bind);
    bind.outgoing = Some((outgoing.clone(), false));
    let process = async {
        let stored = world.in_store().bind_one(bind).await.expect("the store answers");
        let (service, cluster, server) = (world.service.clone(), CLUSTER.to_owned(), world.fake.clone());
        let (committed, first) = (Instant::now(), First::Send);
        Delivery { service, cluster, server, outgoing, committed, first }.run(stored).await
    };
    let ended = for_steps(steps, process).await.is_some();
    // What it had begun to commit is committed before another process reads.
    let flush = store::Call {
        writes: vec![write("leads.podberth.io", "", "x", "x", &json!(steps))],
        atomicity: Atomicity::Each,
    };
    world.service.clusters.commit(CLUSTER, flush, None).await.expect("the store answers");
    lock(&world.fake.answers).clear();
    let binds = || world.fake.requests().iter().filter(|request| request.ends_with("/binding")).count();
    let before = binds();
    if node_goes {
        let key = Key::new("nodes", "", "n1");
        let gone = Write { key, precondition: Precondition::default(), change: Change::Delete };
        world.store.commit(CLUSTER, vec![gone], Atomicity::Each).await.expect("it is stored");
    }
    let next = World {
        service: World::process(&world.store, &world.fake),
        store: world.store.clone(),
        fake: world.fake.clone(),
    };
    let mut rounds = next.rounds();
    next.recover(&mut rounds).await;
    let (row, _) = next.state().await;
    let live = next.fake.node_of("p").filter(|node| !node.is_empty());
    assert_eq!(row, live, "after {steps} steps of {answers:?}");
    next.mirror().await;
    next.recover(&mut rounds).await;
    assert_eq!(next.state().await, (live.clone(), None), "after {steps} steps of {answers:?}");
    let sent = binds() - before;
    assert!(sent <= usize::from(!node_goes), "after {steps} steps of {answers:?}: {:?}", world.fake.requests());
    ended
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_any_two_steps_is_harmless() {
    for answers in
        [vec![Answer::Duly], vec![Answer::Lost], vec![Answer::With(403, "denied")], vec![Answer::With(503, "no")]]
    {
        let mut steps = 0;
        while !dies_after(steps, &answers, false).await {
            steps += 1;
            assert!(steps < 200, "a bind ends");
        }
    }
    for steps in 0..10 {
        dies_after(steps, &[Answer::Dropped], true).await;
    }
}
