//! A faulty store between a replica and the database: calls are late, lost, refused and cut off in the middle of COMMIT. Each fault is drawn from
//! the replica's own random numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use podberth::store::{
    Bodies, Call, Changes, Compaction, Connections, Cursor, Entry, Everywhere, Head, Heads, Hints, Judge, Keep, Key,
    Ledger, List, ListQuery, Listener, MigrationStatus, Page, Past, Place, Reach, Record, Restore, Retain, Rewind,
    Scan, Schema, Source, Storage, Store, StoreError, Undone, Unjudged, Upkeep, Visitor, Written,
};
use podberth_testkit::memory::{Copy, Memory};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use crate::world::{CLUSTERS, MOST_REPLICAS};

/// A bug for the simulation to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    Nothing,
    /// Revisions come from a sequence.
    Sequence,
    /// After a lost reply to COMMIT the batch is written again without a look at its outcome.
    BlindRetry,
    /// The feed is read from a standby, which is behind.
    StandbyFeed,
    /// The reader of the feed does not report what it has seen, so that lost history cannot be noticed.
    Forgetful,
    /// A reader that drops the page it has read when the next one fails, with its cursor past it. Between the database and
    /// the reader the page loses its records, and the next one fails.
    DroppedPage,
    /// The journal of watches leaves out a change that it has read.
    LostEvent,
    /// The journal of watches does not report what it has seen.
    ForgetfulJournal,
    /// A writer that panics while it judges and is not replaced. After the panic the cluster can be neither read nor written
    /// from its replica, so that a new writer does not come up.
    DeadWriter,
}

/// How bad things are, in thousandths of all calls.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rates {
    /// Calls that reach no server, or are not served in time.
    pub(crate) turned_away: u32,
    /// Transactions that the database gives up, before COMMIT.
    pub(crate) aborted: u32,
    /// Connections lost in COMMIT.
    pub(crate) cut: u32,
    /// Wake-ups that do not arrive.
    pub(crate) deaf: u32,
    /// Slow transfers.
    pub(crate) slow: u32,
    /// Calls of a judge that panic.
    pub(crate) panics: u32,
}

/// The state of the network, shared by all replicas.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    pub(crate) calm: bool,
    /// Until then the database is unreachable.
    pub(crate) away: Option<Instant>,
    /// The state that the standby shows.
    pub(crate) standby: Copy,
    pub(crate) tally: BTreeMap<&'static str, usize>,
}

#[derive(Debug)]
pub(crate) struct Faulty {
    memory: Memory,
    weather: Arc<Mutex<Weather>>,
    rates: Rates,
    planted: Planted,
    streams: BTreeMap<(String, Verb), Arc<Stream>>,
    /// The connection of the watcher, which asks for all clusters at once.
    heads: Stream,
    hints: Hints,
    ear: AbortHandle,
    /// How many records a page of the feed has at most.
    page: usize,
    /// Clusters of which the next page fails, for [`Planted::DroppedPage`].
    failing: Mutex<BTreeSet<String>>,
    /// Clusters whose writer has panicked, for [`Planted::DeadWriter`].
    dead: Mutex<BTreeSet<String>>,
}

/// Concurrent kinds of calls, each with random numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verb {
    Changes,
    Write,
    /// A write without a judge, which waits for no other of its replica.
    Direct,
    Read,
    Hint,
    /// The journal of watches reads changes.
    Follow,
}

/// A source of random numbers, and a place within each [`ROUND`] at which nothing else happens.
///
/// The runtime wakes the waiters of a watch in a random order, so nothing may depend on it: tasks woken in one millisecond use different sources and
/// continue in different milliseconds.
#[derive(Debug)]
pub(crate) struct Stream {
    chance: Mutex<fastrand::Rng>,
    place: u64,
    start: Instant,
}

/// The first place of those that the watchers have, one for each slot.
const FIRST_HEADS: u64 = 59;

/// The first place of those of the journals.
const FIRST_JOURNAL: u64 = FIRST_HEADS + MOST_REPLICAS as u64 + 1;

/// The first place of those of the clients that watch.
pub(crate) const FIRST_WATCHER: u64 = FIRST_JOURNAL + 10;

/// Milliseconds, as many as there are streams.
const ROUND: u64 = 80;

impl Stream {
    pub(crate) fn new(chance: fastrand::Rng, place: u64, start: Instant) -> Self {
        assert!(place < ROUND, "each stream has a place of its own");
        Self { chance: Mutex::new(chance), place, start }
    }

    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut lock(&self.chance))
    }

    /// Sleeps for less than `most` milliseconds, and to the place.
    pub(crate) async fn sleep(&self, most: u64) {
        let earliest = self.start.elapsed().as_millis() as u64 + 1 + self.draw(|chance| chance.u64(0..most));
        let then = earliest + (self.place + ROUND - earliest % ROUND) % ROUND;
        sleep_until(self.start + Duration::from_millis(then)).await;
    }
}

/// Records that a replica reads at a time: few, so that catching up takes many pages, any of which may fail.
const PAGE: usize = 3;

const ATTEMPTS: u64 = 4;
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

impl Faulty {
    /// The connection of the process in `slot`.
    pub(crate) fn new(
        memory: &Memory,
        weather: &Arc<Mutex<Weather>>,
        rates: Rates,
        planted: Planted,
        (slot, start, seed): (usize, Instant, u64),
    ) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut streams = BTreeMap::new();
        for (cluster, name) in CLUSTERS.iter().enumerate() {
            for (i, verb) in [Verb::Changes, Verb::Write, Verb::Direct, Verb::Read, Verb::Hint].into_iter().enumerate()
            {
                let place = (slot * CLUSTERS.len() + cluster) * 5 + i;
                let stream = Stream::new(chance.fork(), place as u64, start);
                streams.insert(((*name).to_owned(), verb), Arc::new(stream));
            }
            let place = FIRST_JOURNAL + (slot * CLUSTERS.len() + cluster) as u64;
            let stream = Stream::new(chance.fork(), place, start);
            streams.insert(((*name).to_owned(), Verb::Follow), Arc::new(stream));
        }
        let hints = Hints::new(Reach::Everyone);
        let (mut news, heard) = (memory.hints(), hints.clone());
        let stream = streams[&(CLUSTERS[0].to_owned(), Verb::Hint)].clone();
        let ear = tokio::spawn(async move {
            while let Some(hint) = news.next().await {
                stream.sleep(20).await;
                if stream.draw(|chance| chance.u32(0..1_000)) >= rates.deaf {
                    heard.tell(hint);
                }
            }
        });
        let (memory, weather) = (memory.handle(), weather.clone());
        let heads = Stream::new(chance.fork(), FIRST_HEADS + slot as u64, start);
        // The tails choose for themselves.
        let page = if slot < MOST_REPLICAS { PAGE } else { usize::MAX };
        let (failing, dead) = Default::default();
        let ear = ear.abort_handle();
        Self { memory, weather, rates, planted, streams, heads, hints, ear, page, failing, dead }
    }

    fn stream(&self, cluster: &str, verb: Verb) -> &Stream {
        &self.streams[&(cluster.to_owned(), verb)]
    }

    /// Tells if an event of this rate happens now.
    fn happens(&self, stream: &Stream, rate: u32) -> bool {
        stream.draw(|chance| chance.u32(0..1_000)) < rate && !lock(&self.weather).calm
    }

    /// Refuses a cluster whose writer is dead.
    fn check_alive(&self, cluster: &str) -> Result<(), StoreError> {
        if lock(&self.dead).contains(cluster) {
            return Err(StoreError::Unavailable("the cluster's writer is dead".into()));
        }
        Ok(())
    }

    fn count(&self, what: &'static str) {
        *lock(&self.weather).tally.entry(what).or_default() += 1;
    }

    /// A transfer in one direction.
    async fn travel(&self, stream: &Stream) {
        stream.sleep(if self.happens(stream, self.rates.slow) { 6_000 } else { 80 }).await;
    }

    /// A transfer to a database that may be unreachable.
    async fn reach(&self, stream: &Stream) -> Result<(), StoreError> {
        self.travel(stream).await;
        if lock(&self.weather).away.is_some_and(|until| Instant::now() < until) {
            return Err(StoreError::Unavailable("the database is away".into()));
        }
        if self.happens(stream, self.rates.turned_away) {
            self.count("turned away");
            let why = || "injected".to_owned();
            let busy = stream.draw(fastrand::Rng::bool);
            return Err(if busy { StoreError::Busy(why()) } else { StoreError::Unavailable(why()) });
        }
        Ok(())
    }

    /// A read: the connection may be lost on the way back as well.
    async fn read<T>(
        &self,
        stream: &Stream,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.reach(stream).await?;
        let found = read.await;
        self.travel(stream).await;
        if self.happens(stream, self.rates.turned_away) {
            self.count("a read's reply lost");
            return Err(StoreError::Unavailable("the reply was lost".into()));
        }
        found
    }

    async fn attempt(
        &self,
        stream: &Arc<Stream>,
        cluster: &str,
        calls: &[Call],
        judge: &mut dyn Judge,
        token: Uuid,
        in_doubt: &mut Option<Written>,
    ) -> Result<Written, StoreError> {
        let busy = |_| StoreError::Busy("the lock could not be had in time".into());
        self.reach(stream).await?;
        if let Some(written) = in_doubt.take_if(|_| self.planted == Planted::BlindRetry) {
            self.count("retried blindly");
            drop(written);
        }
        if let Some(written) = in_doubt {
            let _counter = timeout(LOCK_TIMEOUT, self.memory.counter(cluster)).await.map_err(busy)?;
            match self.memory.is_written(cluster, written.head.revision, token) {
                Some(true) => {
                    self.count("found written");
                    return Ok(written.clone());
                }
                Some(false) => self.count("found not written"),
                None => {
                    self.count("found compacted");
                    return Err(StoreError::OutcomeUnknown("compacted".into()));
                }
            }
            *in_doubt = None;
        }
        let begun = self.memory.begin(cluster, calls, judge, token);
        let transaction = timeout(LOCK_TIMEOUT, begun).await.map_err(busy)??;
        self.travel(stream).await;
        if self.happens(stream, self.rates.aborted) {
            self.count("aborted");
            let aborted = stream.draw(fastrand::Rng::bool);
            let why = || "before COMMIT".to_owned();
            return Err(if aborted { StoreError::Aborted(why()) } else { StoreError::Unavailable(why()) });
        }
        let written = transaction.written().clone();
        let cut = self.happens(stream, self.rates.cut);
        let arrives = !cut || stream.draw(fastrand::Rng::bool);
        let late = if cut { 1_000 } else { 1 };
        let (reply, answer) = oneshot::channel();
        // COMMIT is on its way: nothing that happens to this replica calls it back.
        let way = stream.clone();
        tokio::spawn(async move {
            way.sleep(late).await;
            if arrives {
                let _ = reply.send(transaction.commit());
            }
        });
        let answer = if cut { None } else { answer.await.ok() };
        match answer {
            Some(Err(StoreError::Unavailable(why))) => {
                *in_doubt = Some(written);
                Err(StoreError::Unavailable(why))
            }
            Some(answer) => {
                self.travel(stream).await;
                answer
            }
            None => {
                self.count(if arrives { "reply lost" } else { "COMMIT lost" });
                *in_doubt = Some(written);
                Err(StoreError::Unavailable("the connection was lost in COMMIT".into()))
            }
        }
    }
}

/// Passes everything on to a judge, and panics now and then as a rule may.
struct Panicking<'a> {
    judge: &'a mut dyn Judge,
    way: &'a Faulty,
    cluster: &'a str,
    stream: &'a Stream,
}

impl Panicking<'_> {
    fn may_panic(&self, what: &'static str) {
        if self.way.happens(self.stream, self.way.rates.panics) {
            self.way.count(what);
            if self.way.planted == Planted::DeadWriter {
                lock(&self.way.dead).insert(self.cluster.to_owned());
            }
            // As a panic, without its words on the screen.
            std::panic::resume_unwind(Box::new("planted"));
        }
    }
}

impl Judge for Panicking<'_> {
    fn known(&self) -> u64 {
        self.judge.known()
    }

    fn seen(&self) -> Option<Head> {
        self.judge.seen()
    }

    fn bodies(&self) -> Bodies {
        self.judge.bodies()
    }

    fn begin(&mut self, head: Head, missed: &[Record]) {
        self.may_panic("panic at the beginning");
        self.judge.begin(head, missed);
    }

    fn may_bind(&mut self, place: Place, record: &Record, node: &str) -> Result<(), String> {
        self.may_panic("panic in judging a bind");
        self.judge.may_bind(place, record, node)
    }

    fn note(&mut self, record: &Record) {
        self.may_panic("panic in taking note");
        self.judge.note(record);
    }

    fn mark(&mut self) {
        self.judge.mark();
    }

    fn roll_back(&mut self) {
        self.judge.roll_back();
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.ear.abort();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Store for Faulty {
    /// Tries again as the engine on PostgreSQL does.
    async fn write(&self, cluster: &str, calls: &[Call], judge: &mut dyn Judge) -> Result<Written, StoreError> {
        let verb = if judge.known() == u64::MAX { Verb::Direct } else { Verb::Write };
        let stream = self.streams[&(cluster.to_owned(), verb)].clone();
        let token = stream.draw(|chance| Uuid::from_u64_pair(chance.u64(..), chance.u64(..)));
        let mut in_doubt = None;
        // A judge that knows nothing is no writer's.
        let mut panicking = Panicking { judge: &mut *judge, way: self, cluster, stream: &stream };
        let mut unjudged = Unjudged;
        let judge: &mut dyn Judge = if verb == Verb::Write { &mut panicking } else { &mut unjudged };
        for attempt in 1.. {
            self.check_alive(cluster)?;
            let error = match self.attempt(&stream, cluster, calls, judge, token, &mut in_doubt).await {
                Ok(written) => return Ok(written),
                Err(error) => error,
            };
            let again = in_doubt.is_some() || matches!(error, StoreError::Aborted(_) | StoreError::Unavailable(_));
            let gives_up = attempt == ATTEMPTS || self.happens(&stream, 200);
            if !again || gives_up {
                return Err(if in_doubt.is_some() { StoreError::OutcomeUnknown(error.to_string()) } else { error });
            }
            stream.sleep(20 * attempt).await;
        }
        Err(StoreError::Internal("the attempts are endless".into()))
    }

    async fn get(&self, cluster: &str, key: &Key) -> Result<Option<Record>, StoreError> {
        self.read(self.stream(cluster, Verb::Read), self.memory.get(cluster, key)).await
    }

    async fn list(&self, cluster: &str, query: &ListQuery) -> Result<List, StoreError> {
        self.read(self.stream(cluster, Verb::Read), self.memory.list(cluster, query)).await
    }

    async fn changes(&self, cluster: &str, from: &Cursor, limit: usize) -> Result<Changes, StoreError> {
        // The journal reads the bodies of the kinds that are watched: fewer than decisions read.
        let is_journal = matches!(from.bodies, Bodies::Of(kinds) if kinds.len() <= 2);
        let stream = self.stream(cluster, if is_journal { Verb::Follow } else { Verb::Changes });
        if self.planted == Planted::StandbyFeed && self.happens(stream, 300) {
            let standby = Memory::of(&lock(&self.weather).standby);
            return self.read(stream, standby.changes(cluster, from, limit)).await;
        }
        self.check_alive(cluster)?;
        if lock(&self.failing).remove(cluster) {
            return Err(StoreError::Unavailable("the page behind the dropped one".into()));
        }
        let forgets = self.planted == Planted::Forgetful || (is_journal && self.planted == Planted::ForgetfulJournal);
        let seen = from.seen.filter(|_| !forgets);
        let limit = limit.min(self.page);
        let page = self.read(stream, self.memory.changes(cluster, &Cursor { seen, ..*from }, limit)).await?;
        if is_journal && self.planted == Planted::LostEvent && self.happens(stream, 300) {
            let records = page.records.iter().skip(1).cloned().collect();
            return Ok(Changes { records, ..page });
        }
        let drops = self.planted == Planted::DroppedPage && self.page == PAGE && !is_journal;
        if drops && !page.complete && self.happens(stream, 300) {
            lock(&self.failing).insert(cluster.to_owned());
            return Ok(Changes { records: Vec::new(), ..page });
        }
        Ok(page)
    }

    /// The reader of the feed begins an epoch. The token is drawn here, so that the seed decides it.
    async fn begin_epoch(&self, cluster: &str, lost: &Head, _: Uuid) -> Result<Head, StoreError> {
        let stream = self.stream(cluster, Verb::Changes);
        let token = stream.draw(|chance| Uuid::from_u64_pair(chance.u64(..), chance.u64(..)));
        self.read(stream, self.memory.begin_epoch(cluster, lost, token)).await
    }

    async fn head(&self, cluster: &str) -> Result<Head, StoreError> {
        self.read(self.stream(cluster, Verb::Read), self.memory.head(cluster)).await
    }

    async fn heads(&self, clusters: &[String]) -> Result<Heads, StoreError> {
        match clusters {
            [one] => self.read(self.stream(one, Verb::Read), self.memory.heads(clusters)).await,
            _ => self.read(&self.heads, self.memory.heads(clusters)).await,
        }
    }

    async fn clusters(&self) -> Result<Vec<String>, StoreError> {
        self.read(self.stream(CLUSTERS[0], Verb::Read), self.memory.clusters()).await
    }

    fn hints(&self) -> Listener {
        self.hints.listen()
    }
}

#[async_trait]
impl Past for Faulty {
    async fn state_at(&self, cluster: &str, at: Option<u64>, visitor: &mut dyn Visitor) -> Result<(), StoreError> {
        self.read(self.stream(cluster, Verb::Read), self.memory.state_at(cluster, at, visitor)).await
    }

    async fn get_at(&self, cluster: &str, key: &Key, revision: u64) -> Result<Option<Record>, StoreError> {
        self.read(self.stream(cluster, Verb::Read), self.memory.get_at(cluster, key, revision)).await
    }

    async fn list_at(&self, cluster: &str, query: &ListQuery, revision: u64) -> Result<List, StoreError> {
        self.read(self.stream(cluster, Verb::Read), self.memory.list_at(cluster, query, revision)).await
    }

    async fn find_at(&self, cluster: &str, keys: &[Key], revision: u64) -> Result<Vec<Record>, StoreError> {
        self.read(self.stream(cluster, Verb::Read), self.memory.find_at(cluster, keys, revision)).await
    }

    async fn rows(&self, cluster: &str, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        self.read(self.stream(cluster, Verb::Read), self.memory.rows(cluster, keys)).await
    }

    async fn adopt(&self, cluster: &str, records: Vec<Record>) -> Result<u64, StoreError> {
        self.read(self.stream(cluster, Verb::Direct), self.memory.adopt(cluster, records)).await
    }

    async fn rewind(&self, cluster: &str, rewind: &Rewind, limit: usize) -> Result<Undone, StoreError> {
        self.read(self.stream(cluster, Verb::Read), self.memory.rewind(cluster, rewind, limit)).await
    }

    async fn revision_at(&self, cluster: &str, time: Timestamp) -> Result<Option<u64>, StoreError> {
        self.read(self.stream(cluster, Verb::Read), self.memory.revision_at(cluster, time)).await
    }

    async fn restore(&self, cluster: &str, source: &mut dyn Source, how: Restore) -> Result<Head, StoreError> {
        self.read(self.stream(cluster, Verb::Direct), self.memory.restore(cluster, source, how)).await
    }
}

#[async_trait]
impl Upkeep for Faulty {
    async fn compact_holding(&self, cluster: &str, keep: &Keep, hold: Option<u64>) -> Result<Compaction, StoreError> {
        self.read(self.stream(cluster, Verb::Direct), self.memory.compact_holding(cluster, keep, hold)).await
    }

    async fn lease(&self, name: &str, holder: Uuid, ttl: Duration) -> Result<bool, StoreError> {
        self.read(self.stream(CLUSTERS[0], Verb::Read), self.memory.lease(name, holder, ttl)).await
    }

    async fn leases(&self, beginning: &str) -> Result<Vec<String>, StoreError> {
        self.read(self.stream(CLUSTERS[0], Verb::Read), self.memory.leases(beginning)).await
    }

    async fn everywhere(&self, kind: &str) -> Result<Everywhere, StoreError> {
        self.read(self.stream(CLUSTERS[0], Verb::Read), self.memory.everywhere(kind)).await
    }

    async fn compactable(&self, keep: &Keep) -> Result<Vec<String>, StoreError> {
        self.read(self.stream(CLUSTERS[0], Verb::Read), self.memory.compactable(keep)).await
    }

    async fn remove(&self, cluster: &str) -> Result<bool, StoreError> {
        self.read(self.stream(cluster, Verb::Direct), self.memory.remove(cluster)).await
    }

    async fn sweep(&self, keep: Duration) -> Result<(), StoreError> {
        self.read(self.stream(CLUSTERS[0], Verb::Direct), self.memory.sweep(keep)).await
    }
}

#[async_trait]
impl Schema for Faulty {
    async fn migrate(&self) -> Result<(), StoreError> {
        self.memory.migrate().await
    }

    async fn migration_status(&self) -> Result<MigrationStatus, StoreError> {
        self.memory.migration_status().await
    }
}

#[async_trait]
impl Storage for Faulty {
    fn connections(&self) -> Connections {
        self.memory.connections()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(self.stream(CLUSTERS[0], Verb::Read), self.memory.ping()).await
    }

    async fn close(&self) {
        self.memory.close().await;
    }
}

#[async_trait]
impl Ledger for Faulty {
    async fn append(&self, entries: &[Entry]) -> Result<(), StoreError> {
        self.read(self.stream(CLUSTERS[0], Verb::Direct), self.memory.append(entries)).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        self.read(self.stream(CLUSTERS[0], Verb::Read), self.memory.scan(scan)).await
    }

    async fn prune(&self, cluster: &str, kind: &str, retain: &Retain) -> Result<u64, StoreError> {
        self.read(self.stream(CLUSTERS[0], Verb::Direct), self.memory.prune(cluster, kind, retain)).await
    }

    async fn books(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.read(self.stream(CLUSTERS[0], Verb::Read), self.memory.books()).await
    }
}
