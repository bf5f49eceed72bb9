//! Property of the mirror: after any operations and faults it equals its source, object by object, and a list of objects that did not change
//! writes nothing.
//!
//! The source is a model that holds all its versions; the store is the one in memory. Everything between is the real thing but for HTTP.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures_util::future::BoxFuture;
use podberth_testkit::memory::{Memory, Numbering};
use proptest::prelude::*;

use super::{
    apply::{Applier, Committed, Target, last_of_each},
    compare::Told,
    follow::{Effect, Event, Follow, Request},
    object::{Mirrored, SourceObject},
};
use crate::{
    store::{Atomicity, Change, Key, ListQuery, Outcome, Precondition, Record, Schema, Store, StoreError, Write},
    wire::{
        kinds,
        outbox::{self, PendingBind},
        source::Trim,
    },
};

const CLUSTER: &str = "mirrored";

/// One thing that happens.
#[derive(Clone, Debug)]
enum Happens {
    /// A pod is made or changed at the source: its content, and its node (0: none).
    Put(u8, u8, u8),
    /// A pod is deleted at the source.
    Delete(u8),
    /// A pod is bound here to a node that the source does not know of.
    BindHere(u8),
    /// It is bound here while the mirror is between reading and writing.
    BindBetween(u8),
    /// The request that is to be sent is answered; a watch tells so many events.
    Answer(u8),
    /// A list is answered by a server that is so many versions behind.
    AnswerStale(u8),
    /// An event is left out.
    Drop,
    /// An event comes twice.
    Double,
    /// Two events come in the wrong order.
    Swap,
    /// An old event comes again.
    Replay(u8),
    /// A bookmark comes.
    Bookmark,
    /// 410
    Expire,
    /// There is no answer, or the watch ends.
    Lose,
    /// The process ends; another one begins. It knows how far the mirror was, or not.
    Crash(bool),
}

fn happens() -> impl Strategy<Value = Happens> {
    let pod = || 0_u8..5;
    prop_oneof![
        8 => (pod(), 0_u8..3, 0_u8..3).prop_map(|(pod, content, node)| Happens::Put(pod, content, node)),
        3 => pod().prop_map(Happens::Delete),
        2 => pod().prop_map(Happens::BindHere),
        1 => pod().prop_map(Happens::BindBetween),
        9 => (0_u8..4).prop_map(Happens::Answer),
        1 => (1_u8..9).prop_map(Happens::AnswerStale),
        1 => Just(Happens::Drop),
        1 => Just(Happens::Double),
        1 => Just(Happens::Swap),
        1 => any::<u8>().prop_map(Happens::Replay),
        1 => Just(Happens::Bookmark),
        1 => Just(Happens::Expire),
        1 => Just(Happens::Lose),
        1 => any::<bool>().prop_map(Happens::Crash),
    ]
}

/// An API server: each version is a change of one pod, to a text or to nothing.
#[derive(Default)]
struct Source {
    changes: Vec<(String, Option<String>, String)>,
    uids: u32,
}

impl Source {
    fn version(&self) -> usize {
        self.changes.len()
    }

    fn at(&self, version: usize) -> BTreeMap<String, String> {
        let mut pods = BTreeMap::new();
        for (name, now, _) in &self.changes[..version.min(self.changes.len())] {
            match now {
                Some(text) => drop(pods.insert(name.clone(), text.clone())),
                None => drop(pods.remove(name)),
            }
        }
        pods
    }

    fn put(&mut self, pod: u8, content: u8, node: u8) {
        let name = format!("p{pod}");
        let before = self.at(self.version());
        let uid = before.get(&name).map(|text| text.split("\"uid\":\"").nth(1).unwrap().split('"').next().unwrap());
        let uid = uid.map_or_else(
            || {
                self.uids += 1;
                format!("u{}", self.uids)
            },
            str::to_owned,
        );
        let version = self.version() + 1;
        let node = if node == 0 { String::new() } else { format!(r#""nodeName":"n{node}","#) };
        let text = format!(
            r#"{{"metadata":{{"name":"{name}","namespace":"shop","uid":"{uid}","resourceVersion":"{version}","labels":{{"content":"{content}"}}}},"spec":{{{node}"containers":[]}}}}"#
        );
        self.changes.push((name, Some(text.clone()), text));
    }

    fn delete(&mut self, pod: u8) {
        let name = format!("p{pod}");
        let Some(before) = self.at(self.version()).remove(&name) else { return };
        let version = self.version() + 1;
        let (head, rest) = before.split_once("\"resourceVersion\":\"").unwrap();
        let rest = rest.split_once('"').unwrap().1;
        self.changes.push((name, None, format!(r#"{head}"resourceVersion":"{version}"{rest}"#)));
    }

    /// The event of a version.
    fn event(&self, version: usize, of: &Mirrored) -> Event<SourceObject> {
        let (_, now, text) = &self.changes[version - 1];
        let object = of.read(text).expect("it can be read");
        let version = object.version.clone();
        if now.is_some() { Event::Applied { version, object } } else { Event::Deleted { version, object } }
    }
}

/// The store, with a bind that comes in between.
#[derive(Clone, Debug)]
struct Stored {
    store: Arc<Memory>,
    between: Arc<Mutex<Option<String>>>,
}

impl Target for Stored {
    fn find<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Record>, StoreError>> {
        Box::pin(async move { self.store.find(CLUSTER, keys).await })
    }

    fn list<'a>(&'a self, query: &'a ListQuery) -> BoxFuture<'a, Result<Vec<Record>, StoreError>> {
        Box::pin(async move { Ok(self.store.list(CLUSTER, query).await?.items) })
    }

    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, Committed> {
        Box::pin(async move {
            let between = self.between.lock().expect("it is whole").take();
            if let Some(name) = between {
                self.bind(&name).await;
            }
            let commit = self.store.commit(CLUSTER, writes, Atomicity::AllOrNothing).await.expect("memory takes all");
            if commit.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))) {
                return Committed::Refused;
            }
            Committed::Done(commit.outcomes)
        })
    }
}

impl Stored {
    /// Binds a pod that is on no node, with its pending bind.
    async fn bind(&self, name: &str) {
        let found = self.store.get(CLUSTER, &Key::new("pods", "shop", name)).await.expect("memory reads");
        let Some(record) = found.filter(|record| record.node.is_none()) else { return };
        let pending = PendingBind { pod_uid: record.uid.clone(), node: "here".into(), is_done: false };
        let body = serde_json::to_string(&pending).expect("it is JSON");
        let writes = vec![
            Write::of(&record, Change::Bind { node: "here".into() }),
            Write {
                key: Key::new(outbox::KIND, "shop", name),
                precondition: Precondition::absent(),
                change: Change::Put { body: body.into(), uid: record.uid.clone(), node: None },
            },
        ];
        let commit = self.store.commit(CLUSTER, writes, Atomicity::AllOrNothing).await.expect("memory takes all");
        assert!(!commit.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))), "{commit:?}");
    }

    async fn revision(&self) -> u64 {
        self.store.head(CLUSTER).await.expect("memory reads").revision
    }
}

struct World {
    source: Source,
    of: Arc<Mirrored>,
    stored: Stored,
    follow: Follow,
    applier: Applier<Stored>,
    /// The version that the mirror told last.
    reached: String,
    /// The page that is to come of a list, and the version of the list.
    list: Option<(usize, Vec<String>)>,
    /// The version up to which the watch told.
    told: usize,
}

impl World {
    async fn new() -> Self {
        let store = Memory::new(Numbering::Counter);
        store.migrate().await.expect("it migrates");
        let of = Arc::new(Mirrored::new(kinds::by_key("pods").expect("they are stored"), Trim::Scheduling));
        let stored = Stored { store: Arc::new(store), between: Arc::default() };
        let applier = Applier::new(of.clone(), stored.clone());
        let (source, follow) = (Source::default(), Follow::new("", false));
        Self { source, of, stored, follow, applier, reached: String::new(), list: None, told: 0 }
    }

    async fn step(&mut self, event: Event<SourceObject>) {
        let effects = self.follow.step(event);
        self.carry_out(effects).await;
    }

    async fn carry_out(&mut self, effects: Vec<Effect<SourceObject>>) {
        let mut told = Vec::new();
        for effect in effects {
            match effect {
                Effect::Store(object) => told.push(Told::Present(object)),
                Effect::Delete(object) => told.push(Told::Gone(object)),
                Effect::Reached(version) => self.reached = version,
                other => {
                    self.applier.store(last_of_each(std::mem::take(&mut told))).await.expect("it leads");
                    match other {
                        Effect::Begin => self.applier.begin(),
                        Effect::Listed(objects) => self.applier.listed(objects).await.expect("it leads"),
                        Effect::Sweep => self.applier.sweep().await.expect("it leads"),
                        _ => {}
                    }
                }
            }
        }
        self.applier.store(last_of_each(told)).await.expect("it leads");
    }

    /// Answers the request that is to be sent, by a server at a version; a watch tells so many events in one go.
    async fn answer(&mut self, version: usize, events: usize) {
        match self.follow.next() {
            Request::List { from: None, .. } => {
                let pods = self.source.at(version).into_values().collect();
                self.list = Some((version, pods));
                self.page().await;
            }
            Request::List { .. } => self.page().await,
            Request::Watch { version: from } => {
                let from: usize = from.parse().expect("a number");
                if from > self.source.version() {
                    return self.step(refused(504)).await;
                }
                let mut effects = Vec::new();
                for version in (from + 1..=self.source.version()).take(events) {
                    effects.extend(self.follow.step(self.source.event(version, &self.of)));
                    self.told = version;
                }
                self.carry_out(effects).await;
            }
        }
    }

    /// Tells the next page, of two pods.
    async fn page(&mut self) {
        let Some((version, mut pods)) = self.list.take() else { return self.step(refused(410)).await };
        let rest = pods.split_off(pods.len().min(2));
        let objects = pods.iter().map(|text| self.of.read(text).expect("it can be read")).collect();
        let next = if rest.is_empty() { String::new() } else { format!("before the last {}", rest.len()) };
        if !rest.is_empty() {
            self.list = Some((version, rest));
        }
        self.step(Event::Page { version: version.to_string(), next, objects }).await;
    }

    /// The version up to which the watch came, if it is one.
    fn watched(&self) -> Option<usize> {
        match self.follow.next() {
            Request::Watch { version } => version.parse().ok(),
            Request::List { .. } => None,
        }
    }

    async fn happen(&mut self, what: Happens) {
        match what {
            Happens::Put(pod, content, node) => self.source.put(pod, content, node),
            Happens::Delete(pod) => self.source.delete(pod),
            Happens::BindHere(pod) => self.stored.bind(&format!("p{pod}")).await,
            Happens::BindBetween(pod) => {
                *self.stored.between.lock().expect("it is whole") = Some(format!("p{pod}"));
            }
            Happens::Answer(events) => self.answer(self.source.version(), events.into()).await,
            Happens::AnswerStale(behind) => {
                let version = self.source.version().saturating_sub(behind.into());
                if matches!(self.follow.next(), Request::List { .. }) {
                    self.answer(version, 0).await;
                }
            }
            Happens::Drop => {
                // The next event pretends that there was nothing before it.
                if let Some(at) = self.watched().filter(|at| at + 2 <= self.source.version()) {
                    self.step(self.source.event(at + 2, &self.of)).await;
                }
            }
            Happens::Double => {
                if let Some(at) = self.watched().filter(|at| *at < self.source.version()) {
                    let mut effects = self.follow.step(self.source.event(at + 1, &self.of));
                    effects.extend(self.follow.step(self.source.event(at + 1, &self.of)));
                    self.carry_out(effects).await;
                }
            }
            Happens::Swap => {
                if let Some(at) = self.watched().filter(|at| at + 2 <= self.source.version()) {
                    let mut effects = self.follow.step(self.source.event(at + 2, &self.of));
                    effects.extend(self.follow.step(self.source.event(at + 1, &self.of)));
                    self.carry_out(effects).await;
                }
            }
            Happens::Replay(back) => {
                if let Some(at) = self.watched().filter(|at| *at > 0 && *at <= self.source.version()) {
                    let version = at - usize::from(back) % at;
                    self.step(self.source.event(version, &self.of)).await;
                }
            }
            Happens::Bookmark => {
                if let Some(at) = self.watched() {
                    self.step(Event::Bookmark { version: at.to_string() }).await;
                }
            }
            Happens::Expire => self.step(refused(410)).await,
            Happens::Lose => self.step(Event::Lost { why: "planned".into() }).await,
            Happens::Crash(is_known) => {
                let reached = if is_known { self.reached.clone() } else { String::new() };
                self.follow = Follow::new(reached, false);
                self.applier = Applier::new(self.of.clone(), self.stored.clone());
                self.list = None;
            }
        }
    }

    /// Lists anew, and tells all that there is.
    async fn settle(&mut self) {
        self.follow = Follow::new(self.reached.clone(), false);
        self.list = None;
        for _ in 0..100 {
            self.answer(self.source.version(), 100).await;
            if self.watched() == Some(self.source.version()) {
                return;
            }
        }
        panic!("the mirror never catches up");
    }

    /// The stored pods: body and node.
    async fn mirrored(&self) -> BTreeMap<String, (String, Option<String>)> {
        let list = self.stored.store.list(CLUSTER, &ListQuery::all("pods")).await.expect("memory reads");
        let pod = |record: Record| (record.key.name, (String::from_utf8_lossy(&record.body).into_owned(), record.node));
        list.items.into_iter().map(pod).collect()
    }

    async fn pending(&self) -> BTreeMap<String, PendingBind> {
        let list = self.stored.store.list(CLUSTER, &ListQuery::all(outbox::KIND)).await.expect("memory reads");
        let pending = |record: Record| (record.key.name, PendingBind::parse(&record.body).expect("it is one"));
        list.items.into_iter().map(pending).collect()
    }
}

fn refused(code: u16) -> Event<SourceObject> {
    Event::Refused { code, retry_after: None, why: "planned".into() }
}

async fn holds(history: Vec<Happens>) -> Result<(), TestCaseError> {
    let mut world = World::new().await;
    for what in history {
        world.happen(what).await;
    }
    world.settle().await;
    let pending = world.pending().await;
    let source = world.source.at(world.source.version());
    let expected: BTreeMap<_, _> = source
        .iter()
        .map(|(name, text)| {
            let object = world.of.read(text).expect("it can be read");
            let here = pending.get(name).map(|pending| pending.node.clone());
            let node = if object.node.is_empty() { here } else { Some(object.node.clone()) };
            (name.clone(), (object.body, node))
        })
        .collect();
    prop_assert_eq!(world.mirrored().await, expected);
    for (name, bind) in &pending {
        let object = source.get(name).map(|text| world.of.read(text).expect("it can be read"));
        let waits = object.is_some_and(|object| object.uid == bind.pod_uid && object.node.is_empty());
        prop_assert!(waits, "{} is still pending", name);
    }
    let before = world.stored.revision().await;
    world.settle().await;
    prop_assert_eq!(world.stored.revision().await, before, "a list of objects that did not change writes nothing");
    prop_assert_eq!(world.applier.objects, source.len() as u64);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_mirror_equals_its_source_after_any_faults(history in prop::collection::vec(happens(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(holds(history))?;
    }
}
