//! Objects of an API server into the store: compared with the stored ones, and written where they differ.
//!
//! Every write is compare-and-set on the record that it was compared with. If one is refused, somebody was faster, as a bind is: the objects are read
//! and compared again.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use metrics::counter;
use tokio::time::sleep;

use crate::{
    service::{Service, lead::Lead},
    store::{Atomicity, Call, Key, ListQuery, Outcome, Record, StoreError, Write},
    telemetry::{self, labels::CLUSTERS},
    wire::outbox::{self, PendingBind},
};

use super::{
    board::Board,
    compare::{Difference, Stored, Told, difference},
    object::{Mirrored, SourceObject},
    stream,
};

/// Objects that are compared and written at a time.
pub(super) const BATCH: usize = 128;

/// Stored objects that are looked through at a time for those that are gone.
const PAGE: usize = 1_000;

/// The shortest and the longest pause while the store takes no writes.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Pause after which objects that others keep changing are compared again, from the third time on.
const CROWDED: Duration = Duration::from_millis(20);

/// Where the mirror writes.
pub(super) trait Target: Send + Sync {
    /// Those of some objects that are stored.
    fn find<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Record>, StoreError>>;

    /// A page of the stored objects of a kind.
    fn list<'a>(&'a self, query: &'a ListQuery) -> BoxFuture<'a, Result<Vec<Record>, StoreError>>;

    /// Carries writes out, all or none.
    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, Committed>;
}

/// The outcome of writes.
#[derive(Debug)]
pub(super) enum Committed {
    /// They are durable.
    Done(Vec<Outcome>),
    /// One of them was refused: the object is not as it was compared.
    Refused,
    /// They may be written or not.
    Away(String),
    /// Another process leads.
    Lost,
}

/// The mirroring ends here: another process leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost;

/// A cluster of the service, for as long as this process leads its mirror.
#[derive(Debug)]
pub(super) struct Led {
    pub(super) service: Service,
    pub(super) lead: Lead,
}

impl Target for Led {
    fn find<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Record>, StoreError>> {
        Box::pin(async move { self.service.store.find(self.lead.cluster(), keys).await })
    }

    fn list<'a>(&'a self, query: &'a ListQuery) -> BoxFuture<'a, Result<Vec<Record>, StoreError>> {
        Box::pin(async move { Ok(self.service.store.list(self.lead.cluster(), query).await?.items) })
    }

    fn commit(&self, mut writes: Vec<Write>) -> BoxFuture<'_, Committed> {
        Box::pin(async move {
            let fence = match self.lead.fence().await {
                Ok(fence) => fence,
                Err(error) => return Committed::Away(error.to_string()),
            };
            writes.insert(0, fence);
            let call = Call { writes, atomicity: Atomicity::AllOrNothing };
            match self.service.clusters.commit(self.lead.cluster(), call, None).await {
                Ok(mut commit) if !commit.outcomes.is_empty() => {
                    let fence = commit.outcomes.remove(0);
                    if Lead::is_lost(&fence) {
                        Committed::Lost
                    } else if commit.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))) {
                        Committed::Refused
                    } else {
                        Committed::Done(commit.outcomes)
                    }
                }
                Ok(_) => Committed::Away("the store did not answer a call".into()),
                Err(error) => Committed::Away(error.to_string()),
            }
        })
    }
}

/// The stored objects of one kind.
#[derive(Debug)]
pub(super) struct Applier<T> {
    pub(super) of: Arc<Mirrored>,
    target: T,
    /// The objects of the list that is being read.
    marks: HashSet<u64>,
    hasher: RandomState,
    /// Objects in the mirror; exact after a whole list.
    pub(super) objects: u64,
    /// Objects that could not be read, ever.
    pub(super) unreadable: u64,
    /// Where outages of the store are told.
    pub(super) board: Option<Board>,
}

impl<T: Target> Applier<T> {
    pub(super) fn new(of: Arc<Mirrored>, target: T) -> Self {
        Self { of, target, marks: HashSet::new(), hasher: RandomState::new(), objects: 0, unreadable: 0, board: None }
    }

    /// A list begins.
    pub(super) fn begin(&mut self) {
        self.marks = HashSet::new();
    }

    /// Stores objects of the list that differ, and notes all.
    pub(super) async fn listed(&mut self, objects: Vec<SourceObject>) -> Result<(), Lost> {
        let mut objects = objects.into_iter().peekable();
        while objects.peek().is_some() {
            let batch: Vec<Told> = objects.by_ref().take(BATCH).map(Told::Present).collect();
            for told in &batch {
                let mark = self.mark(told.key());
                self.marks.insert(mark);
            }
            self.store(batch).await?;
        }
        Ok(())
    }

    /// Deletes what the list did not have.
    pub(super) async fn sweep(&mut self) -> Result<(), Lost> {
        let mut query = ListQuery { limit: Some(PAGE), ..ListQuery::all(self.of.key.clone()) };
        let mut outage = Outage::default();
        loop {
            let page = match self.target.list(&query).await {
                Ok(page) => page,
                Err(error) => {
                    self.wait(&mut outage, &error.to_string()).await;
                    continue;
                }
            };
            self.over(&mut outage);
            let is_last = page.len() < PAGE;
            query.after = page.last().map(|record| (record.key.namespace.clone(), record.key.name.clone()));
            let gone = page.into_iter().filter(|record| !self.marks.contains(&self.mark(&record.key)));
            let gone: Vec<Told> = gone.map(|record| Told::Gone(gone_object(record.key))).collect();
            for batch in gone.chunks(BATCH) {
                self.store(batch.to_vec()).await?;
            }
            if is_last {
                break;
            }
        }
        self.objects = self.marks.len() as u64;
        self.marks = HashSet::new();
        Ok(())
    }

    /// Makes stored objects equal to what was told of them, at most [`BATCH`], each told once.
    pub(super) async fn store(&mut self, told: Vec<Told>) -> Result<(), Lost> {
        let mut outage = Outage::default();
        for attempt in 0_u32.. {
            if attempt > 2 {
                sleep(CROWDED).await;
            }
            let found = match self.find(&told).await {
                Ok(found) => found,
                Err(error) => {
                    self.wait(&mut outage, &error.to_string()).await;
                    continue;
                }
            };
            let (writes, unreadable) = self.writes(&told, &found);
            let own: Vec<bool> = writes.iter().map(|write| write.key.kind == self.of.key).collect();
            let committed =
                if writes.is_empty() { Committed::Done(Vec::new()) } else { self.target.commit(writes).await };
            match committed {
                Committed::Done(outcomes) => {
                    self.over(&mut outage);
                    self.count(own.into_iter().zip(&outcomes));
                    for (name, why) in unreadable {
                        self.skipped(&name, &why);
                    }
                    break;
                }
                Committed::Refused => {}
                Committed::Away(why) => self.wait(&mut outage, &why).await,
                Committed::Lost => return Err(Lost),
            }
        }
        Ok(())
    }

    /// Waits while the store takes no writes.
    async fn wait(&self, outage: &mut Outage, why: &str) {
        if let Some(board) = &self.board {
            board.trouble(&self.of.key, &format!("the store takes no writes: {why}"));
        }
        outage.wait(&self.of, why).await;
    }

    /// The store answers again, if it did not.
    fn over(&self, outage: &mut Outage) {
        if let Some(board) = self.board.as_ref().filter(|_| !outage.pause.is_zero()) {
            board.well(&self.of.key);
        }
        *outage = Outage::default();
    }

    /// The stored objects of these names, and the pending binds.
    async fn find(&self, told: &[Told]) -> Result<Vec<Record>, StoreError> {
        let mut keys: Vec<Key> = told.iter().map(|told| told.key().clone()).collect();
        if self.of.is_pods() {
            let binds = told.iter().map(|told| pending_key(told.key()));
            keys.extend(binds.collect::<Vec<_>>());
        }
        self.target.find(&keys).await
    }

    fn writes(&self, told: &[Told], found: &[Record]) -> (Vec<Write>, Vec<(String, String)>) {
        let mut stored: HashMap<&Key, &Record> = found.iter().map(|one| (&one.key, one)).collect();
        let (mut writes, mut unreadable) = (Vec::new(), Vec::new());
        for one in told {
            let pending = stored.remove(&pending_key(one.key()));
            // A pending bind that cannot be read is none, and is deleted as such by whoever looks after them.
            let read = pending.and_then(|record| Some((PendingBind::parse(&record.body).ok()?, record)));
            let pending = read.as_ref().map(|(pending, record)| (pending, *record));
            let stored = Stored { object: stored.get(one.key()).copied(), pending };
            let Difference { writes: more, unreadable: why } = difference(&self.of, one, stored);
            writes.extend(more);
            unreadable.extend(why.map(|why| (format!("{}/{}", one.key().namespace, one.key().name), why)));
        }
        (writes, unreadable)
    }

    /// Counts the objects of the kind; other writes are those of pending binds.
    fn count<'o>(&mut self, outcomes: impl Iterator<Item = (bool, &'o Outcome)>) {
        for (_, outcome) in outcomes.filter(|(is_own, _)| *is_own) {
            match outcome {
                Outcome::Written { created: true, .. } => self.objects = self.objects.saturating_add(1),
                Outcome::Deleted { .. } => self.objects = self.objects.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// Notes that an object is not mirrored because it cannot be read. The first one of the kind is logged.
    pub(super) fn skipped(&mut self, name: &str, why: &str) {
        if self.unreadable == 0 {
            let name = stream::printable(name);
            let why = stream::printable(why);
            tracing::warn!(
                kind = &*self.of.key,
                name,
                why,
                "an object of the API server cannot be read and is left out"
            );
        }
        self.unreadable = self.unreadable.saturating_add(1);
        let cluster = self.board.as_ref().map_or("", |board| &**board.cluster());
        let labels = [("cluster", CLUSTERS.of(cluster)), ("kind", self.of.key.to_string())];
        counter!(telemetry::SYNC_UNREADABLE, &labels).increment(1);
    }

    fn mark(&self, key: &Key) -> u64 {
        self.hasher.hash_one((&key.namespace, &key.name))
    }
}

fn pending_key(pod: &Key) -> Key {
    Key::new(outbox::KIND, pod.namespace.clone(), pod.name.clone())
}

/// An object of which nothing but the name is known.
fn gone_object(key: Key) -> SourceObject {
    SourceObject { key, uid: String::new(), version: String::new(), node: String::new(), body: String::new() }
}

/// A time in which the store takes no writes. It is logged once.
#[derive(Debug, Default)]
struct Outage {
    pause: Duration,
}

impl Outage {
    async fn wait(&mut self, of: &Mirrored, why: &str) {
        if self.pause.is_zero() {
            tracing::warn!(kind = &*of.key, why, "the mirror waits for the store");
        }
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        sleep(self.pause).await;
    }
}

impl Told {
    pub(super) fn key(&self) -> &Key {
        let (Self::Present(object) | Self::Gone(object)) = self;
        &object.key
    }

    fn uid(&self) -> &str {
        let (Self::Present(object) | Self::Gone(object)) = self;
        &object.uid
    }
}

/// The last that was told of each object. The deletion of an earlier object of a name does not count against a later one.
pub(super) fn last_of_each(told: Vec<Told>) -> Vec<Told> {
    let mut last: Vec<Told> = Vec::with_capacity(told.len());
    let mut places = HashMap::<Key, usize>::new();
    for one in told {
        let Some(&place) = places.get(one.key()) else {
            places.insert(one.key().clone(), last.len());
            last.push(one);
            continue;
        };
        let Some(before) = last.get_mut(place) else { continue };
        let is_earlier = matches!((&one, &*before), (Told::Gone(_), Told::Present(_))) && one.uid() != before.uid();
        if !is_earlier {
            *before = one;
        }
    }
    last
}
