//! One run: a database, replicas that come and go, clients, followers, and the weather. The seed decides all of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use podberth::live::{Clusters, CommitError, View};
use podberth::store::{Call, Commit, Keep, Schema, Storage, Upkeep};
use podberth_testkit::memory::{Copy, Memory, Numbering, Return};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::clients::{Client, Tickets};
use crate::faulty::{Faulty, Planted, Rates, Stream, Weather, lock};
use crate::followers;
use crate::history::{History, Rule, Violation};
use crate::watchers::{self, Watcher};

pub(crate) const CLUSTERS: [&str; 2] = ["default", "east"];

/// Places of the streams: five for each cluster of each replica, and of the tails; then the clients'; then the weather's;
/// then the watchers'.
pub(crate) const MOST_REPLICAS: usize = 4;
const FIRST_CLIENT: u64 = 50;
const MOST_CLIENTS: u64 = 8;

/// How often a replica reads the feed unasked, as the server does.
const POLL: Duration = Duration::from_millis(250);

/// Longest time until all reach the same state.
const SETTLES_WITHIN: Duration = Duration::from_mins(2);

/// The result of a run.
pub(crate) struct Report {
    pub(crate) violations: Vec<Violation>,
    /// Counts of events.
    pub(crate) tally: BTreeMap<&'static str, usize>,
    /// A number that is equal for equal histories.
    pub(crate) trace: u64,
}

/// A process that serves clients.
pub(crate) struct Replica {
    pub(crate) store: Arc<dyn Storage>,
    pub(crate) clusters: Clusters,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Replica {
    pub(crate) async fn view(&self, cluster: usize) -> Option<Arc<View>> {
        self.clusters.get(CLUSTERS[cluster]).await.ok().map(|live| live.view())
    }

    /// The view of a cluster that is kept already.
    pub(crate) fn shown(&self, cluster: usize) -> Option<Arc<View>> {
        self.clusters.followed(CLUSTERS[cluster]).map(|live| live.view())
    }

    pub(crate) async fn write(&self, cluster: usize, call: Call) -> Result<Commit, CommitError> {
        self.clusters.commit(CLUSTERS[cluster], call, None).await
    }
}

struct World {
    memory: Memory,
    history: Arc<History>,
    weather: Arc<Mutex<Weather>>,
    rates: Rates,
    planted: Planted,
    slots: Vec<Mutex<Option<Arc<Replica>>>>,
    /// Operations still to be begun.
    left: AtomicUsize,
    stamps: Arc<AtomicU64>,
    start: Instant,
}

/// Runs `operations` operations under a seed, on one thread and in virtual time.
pub(crate) fn run(seed: u64, operations: usize, planted: Planted) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(live(fastrand::Rng::with_seed(seed), operations, planted))
}

async fn live(mut chance: fastrand::Rng, operations: usize, planted: Planted) -> Report {
    let numbering = if planted == Planted::Sequence { Numbering::Sequence } else { Numbering::Counter };
    let memory = Memory::new(numbering);
    memory.migrate().await.expect("the fake migrates");
    // Some runs have no faults at all, and some have one kind only.
    let mut rate = |most: u32| if chance.bool() { chance.u32(0..most) } else { 0 };
    let rates = Rates {
        turned_away: rate(100),
        aborted: rate(100),
        cut: rate(200),
        deaf: rate(1_000),
        slow: rate(100),
        panics: rate(20),
    };
    let world = Arc::new(World {
        history: History::new(memory.handle(), &CLUSTERS),
        memory,
        weather: Arc::default(),
        rates,
        planted,
        slots: (0..chance.usize(1..=MOST_REPLICAS)).map(|_| Mutex::default()).collect(),
        left: AtomicUsize::new(operations),
        stamps: Arc::default(),
        start: Instant::now(),
    });
    for slot in 0..world.slots.len() {
        world.start(slot, &mut chance);
    }
    let mut clients = JoinSet::new();
    for place in 0..chance.u64(2..MOST_CLIENTS) {
        let own = Stream::new(chance.fork(), FIRST_CLIENT + place, world.start);
        clients.spawn(world.clone().client(chance.fork(), own));
    }
    let own = Stream::new(chance.fork(), FIRST_CLIENT + MOST_CLIENTS, world.start);
    let weather = tokio::spawn(world.clone().change_weather(chance.fork(), own)).abort_handle();
    let watchers = Watcher::all(&mut chance, world.start);
    let mut watching = JoinSet::new();
    for watcher in &watchers {
        watching.spawn(world.clone().watcher(watcher.clone()));
    }
    let mut tails = JoinSet::new();
    for cluster in 0..CLUSTERS.len() {
        let store = Arc::new(world.faulty(MOST_REPLICAS, chance.u64(..)));
        tails.spawn(followers::tail(store, cluster, chance.fork(), world.history.clone()));
    }
    while let Some(end) = clients.join_next().await {
        if let Err(error) = end {
            world.history.wrong(Rule::Settled, format!("a client: {error}"));
        }
    }
    weather.abort();
    world.settle(&mut chance).await;
    world.settle_watches(&watchers).await;
    watching.shutdown().await;
    tails.shutdown().await;
    for slot in 0..world.slots.len() {
        world.crash(slot);
    }
    let (violations, mut tally, trace) = world.history.finish();
    tally.extend(lock(&world.weather).tally.iter().map(|(what, count)| (*what, *count)));
    Report { violations, tally, trace }
}

impl World {
    fn faulty(&self, slot: usize, seed: u64) -> Faulty {
        Faulty::new(&self.memory, &self.weather, self.rates, self.planted, (slot, self.start, seed))
    }

    fn start(&self, slot: usize, chance: &mut fastrand::Rng) {
        let store: Arc<dyn Storage> = Arc::new(self.faulty(slot, chance.u64(..)));
        let clusters = Clusters::new(store.clone(), POLL);
        let viewers = (0..CLUSTERS.len()).map(|cluster| {
            let who = format!("replica {slot}");
            tokio::spawn(followers::view(clusters.clone(), cluster, who, self.history.clone())).abort_handle()
        });
        let tasks = Mutex::new(viewers.collect());
        *lock(&self.slots[slot]) = Some(Arc::new(Replica { store, clusters, tasks }));
    }

    /// Ends a replica with all its work, except for calls on their way to the database.
    fn crash(&self, slot: usize) {
        if let Some(replica) = lock(&self.slots[slot]).take() {
            lock(&replica.tasks).iter().for_each(AbortHandle::abort);
        }
    }

    async fn client(self: Arc<Self>, chance: fastrand::Rng, own: Stream) {
        let client = Arc::new(tokio::sync::Mutex::new(Client { chance, stamps: self.stamps.clone() }));
        let one_less = |left: usize| left.checked_sub(1);
        while self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            own.sleep(200).await;
            let slot = own.draw(|chance| chance.usize(0..self.slots.len()));
            let replica = lock(&self.slots[slot]).clone();
            let Some(replica) = replica else { continue };
            let tickets = Arc::<Tickets>::default();
            let (asked, history, client) = (tickets.clone(), self.history.clone(), client.clone());
            let asking = {
                let replica = replica.clone();
                tokio::spawn(async move { client.lock().await.ask(&replica, &asked, &history).await })
            };
            lock(&replica.tasks).push(asking.abort_handle());
            drop(replica);
            if let Err(error) = asking.await {
                if error.is_panic() {
                    self.history.wrong(Rule::Settled, format!("a request: {error}"));
                }
                let tickets = std::mem::take(&mut *lock(&tickets));
                tickets.into_iter().flatten().for_each(|ticket| self.history.unknown(ticket));
            }
        }
    }

    /// Watches at one replica after the other.
    async fn watcher(self: Arc<Self>, watcher: Arc<Watcher>) {
        loop {
            watcher.own.sleep(400).await;
            let slot = watcher.own.draw(|chance| chance.usize(0..self.slots.len()));
            let Some(replica) = lock(&self.slots[slot]).clone() else { continue };
            let watching = tokio::spawn(watchers::watch(watcher.clone(), replica.clone(), self.history.clone()));
            lock(&replica.tasks).push(watching.abort_handle());
            drop(replica);
            if let Err(error) = watching.await
                && error.is_panic()
            {
                self.history.wrong(Rule::Watch, format!("a watch: {error}"));
            }
        }
    }

    /// Waits until every client that watches has been told all.
    async fn settle_watches(&self, watchers: &[Arc<Watcher>]) {
        let deadline = Instant::now() + SETTLES_WITHIN;
        for watcher in watchers {
            while !watcher.has_seen(self.history.newest(watcher.cluster)) {
                if Instant::now() > deadline {
                    return self.history.wrong(Rule::Settled, format!("{watcher} is not told all"));
                }
                sleep(POLL).await;
            }
        }
    }

    async fn change_weather(self: Arc<Self>, mut chance: fastrand::Rng, own: Stream) {
        let (crashes, outages, losses) = (chance.bool(), chance.bool(), chance.u32(0..3) == 0);
        let compacts = chance.bool();
        let mut copies: Vec<Copy> = vec![self.memory.copy()];
        loop {
            own.sleep(6_000).await;
            lock(&self.weather).standby = self.memory.copy();
            match chance.u32(0..10) {
                0 | 1 if crashes => {
                    let slot = chance.usize(0..self.slots.len());
                    self.crash(slot);
                    self.history.count("crash");
                    own.sleep(6_000).await;
                    self.start(slot, &mut chance);
                }
                2 if outages => {
                    let until = Instant::now() + Duration::from_millis(chance.u64(0..5_000));
                    lock(&self.weather).away = Some(until);
                    self.history.count("outage");
                }
                3 | 4 => {
                    copies.push(self.memory.copy());
                }
                5 | 6 if losses => {
                    let copy = chance.usize(0..copies.len());
                    copies.truncate(copy + 1);
                    let (how, what) = if chance.u32(0..3) > 0 {
                        (Return::Silent, "silent history loss")
                    } else {
                        (Return::Declared, "declared history loss")
                    };
                    self.memory.bring_back(&copies[copy], how);
                    self.history.count(what);
                }
                7 | 8 if compacts => {
                    let keep = Keep { age: Duration::ZERO, revisions: chance.u64(0..3) };
                    for cluster in CLUSTERS {
                        if self.memory.compact(cluster, &keep).await.is_ok_and(|done| done.tombstones > 0) {
                            self.history.count("compaction");
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Ends all faults and waits until every replica shows the newest state.
    async fn settle(&self, chance: &mut fastrand::Rng) {
        {
            let mut weather = lock(&self.weather);
            (weather.calm, weather.away) = (true, None);
        }
        for slot in 0..self.slots.len() {
            if lock(&self.slots[slot]).is_none() {
                self.start(slot, chance);
            }
        }
        let deadline = Instant::now() + SETTLES_WITHIN;
        for slot in 0..self.slots.len() {
            for (cluster, name) in CLUSTERS.iter().enumerate() {
                let replica = lock(&self.slots[slot]).clone().expect("all are up");
                loop {
                    let view = replica.view(cluster).await;
                    if view.is_some_and(|view| self.history.is_newest(cluster, &view.snapshot)) {
                        break;
                    }
                    if Instant::now() > deadline {
                        let what = format!("replica {slot} does not come to the end of {name}");
                        return self.history.wrong(Rule::Settled, what);
                    }
                    sleep(POLL).await;
                }
            }
        }
    }
}
