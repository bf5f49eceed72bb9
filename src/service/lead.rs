//! Leading: of the processes on a database one carries a duty of a cluster out, and only its writes are committed.
//!
//! The database decides which process leads: a lease for each duty and cluster, by the database's clock. A lease alone does not keep a process that was paused
//! from writing when it wakes up. So the leader's writes carry a *fence* ([`Lead::fence`]): it writes an object of the cluster when it begins, and each
//! call of it is refused as a whole if that object has been written by another one since.
//!
//! Leads are spread over processes by rendezvous hashing. Whoever finds a lease free takes it at once; if a process that the hash prefers shows itself
//! afterwards, the leader hands over. Where replicas share clusters, the owners of a cluster lead its duties. A process shows itself by entries in the ledger. No clock of another process counts for that: a process is there
//! if its newest entry is another one than at the last look.
//!
//! Whatever may still ask for a lease holds a token (a receiver of [`watch`]): a lease is given back when all tokens of its lead are gone.
//!
//! Source: the times are those of `k8s.io/client-go/tools/leaderelection`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::{
    sync::{OnceCell, watch},
    task::AbortHandle,
    time::{Instant, sleep, timeout, timeout_at},
};
use uuid::Uuid;

use super::{
    Service,
    error::{Error, Result},
    supervised::Supervised,
};
use crate::{
    clock,
    store::{
        Atomicity, Call, Change, Entry, EntryId, Key, Order, Outcome, Precondition, Refusal, Retain, Scan, StoreError,
        Write,
        ledger::{MAX_PAGE, NO_CLUSTER},
    },
};

/// The store's kind of the objects by which calls are fenced, each under the name of its duty.
pub const KIND: &str = "leads.podberth.io";

/// The ledger's kind of the entries by which processes show themselves, with the duty as object.
const PROCESSES: &str = "processes";

/// Time that a lease lasts, and after which it is renewed (`LeaseDuration`, `RenewDeadline`).
const LEASED_FOR: Duration = Duration::from_secs(15);
const RENEWED_AFTER: Duration = Duration::from_secs(5);

/// Time between two attempts to get a lease, and after an error (`RetryPeriod`).
const AGAIN: Duration = Duration::from_secs(2);

/// Interval in which processes show themselves, and time after which one that did not is not counted on.
const SHOWN_EVERY: Duration = Duration::from_secs(5);
const SHOWN_FOR: Duration = Duration::from_secs(15);

/// Time that these entries are kept, and how far back they are looked at.
const SHOWN_KEPT: Duration = Duration::from_mins(5);
const LOOKED_BACK: Duration = Duration::from_mins(1);

/// Longest wait, at the end of a lead, for what is still under way in it.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

/// Time for which a process leaves a lead alone that it handed over.
const HANDED_OVER: Duration = Duration::from_secs(10);

/// The lead of one duty of one cluster, for as long as it is held.
#[derive(Clone, Debug)]
pub struct Lead(Arc<Held>);

#[derive(Debug)]
struct Held {
    service: Service,
    duty: &'static str,
    cluster: Arc<str>,
    holder: Uuid,
    token: Token,
    fence: OnceCell<Write>,
}

/// Held by whatever is under way in a lead.
type Token = watch::Receiver<()>;

/// The leases that a process may have; each sender tells when all tokens of the lead are gone.
type Leases = Arc<Mutex<BTreeMap<Arc<str>, watch::Sender<()>>>>;

impl Lead {
    fn new(service: &Service, duty: &'static str, cluster: &Arc<str>, holder: Uuid, token: &Token) -> Self {
        let (service, cluster, token) = (service.clone(), cluster.clone(), token.clone());
        Self(Arc::new(Held { service, duty, cluster, holder, token, fence: OnceCell::new() }))
    }

    /// The cluster.
    pub fn cluster(&self) -> &Arc<str> {
        &self.0.cluster
    }

    /// The first write of each call that is to be committed only while this process leads; the call has to be [`Atomicity::AllOrNothing`]. Where
    /// another process leads by now, the write is refused ([`Self::is_lost`]).
    ///
    /// # Errors
    /// Those of the store, and that another process leads already.
    pub async fn fence(&self) -> Result<Write> {
        self.0.fence.get_or_try_init(|| self.0.raise()).await.cloned()
    }

    /// `true` if the outcome of the fence's write says that another process leads.
    pub fn is_lost(fence: &Outcome) -> bool {
        matches!(fence, Outcome::Refused(refusal) if *refusal != Refusal::NotAttempted)
    }
}

impl Held {
    /// Writes the object of the fence. Whoever did so before has lost the lead by it.
    async fn raise(&self) -> Result<Write> {
        let key = Key::new(KIND, "", self.duty);
        let before = self.service.store.get(&self.cluster, &key).await?;
        // Read before the lease is asked for, so that nobody who got it since is written over.
        if !leased(&self.service, lease(self.duty, &self.cluster), self.holder, &self.token).await? {
            return Err(lost(self.duty, &self.cluster));
        }
        let precondition = before.map_or_else(Precondition::absent, |record| Precondition::revision(record.revision));
        // Each lead has a body of its own, so that it is written.
        let change = Change::Put { body: Uuid::new_v4().to_string().into(), uid: self.duty.to_owned(), node: None };
        let call = Call {
            writes: vec![Write { key: key.clone(), precondition, change: change.clone() }],
            atomicity: Atomicity::AllOrNothing,
        };
        let commit = self.service.clusters.commit(&self.cluster, call, None).await?;
        match commit.outcomes.first() {
            Some(Outcome::Written { revision, .. }) => {
                Ok(Write { key, precondition: Precondition::revision(*revision), change })
            }
            _ => Err(lost(self.duty, &self.cluster)),
        }
    }
}

fn lost(duty: &str, cluster: &str) -> Error {
    Error::internal(format!("another process has the lead of {} by now", lease(duty, cluster)))
}

/// The name of a lease.
fn lease(duty: &str, cluster: &str) -> String {
    format!("{duty}/{cluster}")
}

/// Takes or renews a lease. The call is carried out to its end, with a token, also when this is dropped: none comes after the lease was given back.
async fn leased(service: &Service, name: String, holder: Uuid, token: &Token) -> Result<bool, StoreError> {
    let (store, token) = (service.store.clone(), token.clone());
    let call = tokio::spawn(async move {
        let leased = store.lease(&name, holder, LEASED_FOR).await;
        drop(token);
        leased
    });
    call.await.unwrap_or_else(|error| Err(StoreError::Internal(error.to_string())))
}

/// Waits until all tokens are gone, but not for long.
async fn over(tokens: &watch::Sender<()>) {
    if timeout(ENDED_WITHIN, tokens.closed()).await.is_err() {
        tracing::debug!("a lead does not end in time");
    }
}

/// The leads of a process for a duty; they end when this is dropped.
#[derive(Debug)]
pub struct Leads {
    service: Service,
    holder: Uuid,
    duty: &'static str,
    running: Supervised,
    /// Tells when the rounds are over.
    rounds: watch::Sender<()>,
    held: Leases,
}

impl Leads {
    /// Ends them, and lets other processes lead at once.
    pub async fn end(self) {
        drop(self.running);
        over(&self.rounds).await;
        let held = std::mem::take(&mut *lock(&self.held));
        join_all(held.values().map(over)).await;
        for cluster in held.into_keys() {
            release(&self.service, self.duty, &cluster, self.holder).await;
        }
    }
}

/// Gives a lease back.
async fn release(service: &Service, duty: &str, cluster: &str, holder: Uuid) {
    if let Err(error) = service.store.lease(&lease(duty, cluster), holder, Duration::ZERO).await {
        tracing::debug!(duty, cluster, %error, "a lease could not be given back; it ends by itself");
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change of it is one call.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Carries a duty out, in each of the `wanted` clusters that this process leads, by `run`; the run ends when the lead is lost, and begins again after a
/// pause when it ends by itself. `holder` names this process.
pub fn lead<W, F, R, G>(service: &Service, holder: Uuid, duty: &'static str, wanted: W, run: R) -> Leads
where
    W: Fn(Service) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<BTreeSet<Arc<str>>>> + Send + 'static,
    R: Fn(Lead) -> G + Clone + Send + Sync + 'static,
    G: Future<Output = ()> + Send + 'static,
{
    let held = Leases::default();
    let (of, noted) = (service.clone(), held.clone());
    let (rounds, going_on) = watch::channel(());
    let again = move || {
        let (wanted, run, going_on) = (wanted.clone(), run.clone(), going_on.clone());
        let of = Rounds::new(&of, holder, duty, noted.clone());
        async move {
            // Dropped last.
            let _going_on = going_on;
            let mut of = of;
            loop {
                match wanted(of.service.clone()).await {
                    Ok(mut clusters) => {
                        // An owner has the cluster in memory anyway.
                        clusters.retain(|cluster| of.service.replicas.keep(cluster));
                        of.round(&clusters, &run).await;
                    }
                    Err(error) => {
                        tracing::debug!(duty, error = error.for_log(), "it is not known which clusters are to be led");
                    }
                }
                sleep(AGAIN).await;
            }
        }
    };
    let running = Supervised::start("a loop under leases", AGAIN, again);
    Leads { service: service.clone(), holder, duty, running, rounds, held }
}

/// The rounds over the clusters of a duty.
struct Rounds {
    service: Service,
    holder: Uuid,
    duty: &'static str,
    running: BTreeMap<Arc<str>, Running>,
    /// Those of `running`, and one that is being asked for.
    held: Leases,
    /// When leads were handed over.
    left: BTreeMap<Arc<str>, Instant>,
    /// When this process showed itself last.
    shown: Option<Instant>,
    others: Others,
}

/// The other processes of a duty.
#[derive(Debug, Default)]
struct Others {
    has_looked: bool,
    /// The newest entry of each, and when it was seen first; `None` if it was there at the first look, since its process may have ended by then.
    seen: BTreeMap<Uuid, (EntryId, Option<Instant>)>,
}

impl Others {
    /// Takes in the newest entry of each.
    fn look(&mut self, newest: BTreeMap<Uuid, EntryId>, now: Instant) {
        let is_first = !std::mem::replace(&mut self.has_looked, true);
        let mut before = std::mem::take(&mut self.seen);
        let shown = |(process, id): (Uuid, EntryId)| {
            let shown = match before.remove(&process) {
                Some((seen, shown)) if seen == id => shown,
                None if is_first => None,
                _ => Some(now),
            };
            (process, (id, shown))
        };
        self.seen = newest.into_iter().map(shown).collect();
    }

    /// Those that have shown themselves since a time, and not too long ago.
    fn shown_since(&self, since: Instant, now: Instant) -> impl Iterator<Item = Uuid> {
        let is_there = move |shown: Instant| shown >= since && now.duration_since(shown) < SHOWN_FOR;
        self.seen.iter().filter(move |(_, (_, shown))| shown.is_some_and(is_there)).map(|(process, _)| *process)
    }
}

/// A led cluster; the lead ends when it is dropped.
struct Running {
    began: Instant,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Rounds {
    fn new(service: &Service, holder: Uuid, duty: &'static str, held: Leases) -> Self {
        let (service, running, left) = (service.clone(), BTreeMap::new(), BTreeMap::new());
        Self { service, holder, duty, running, held, left, shown: None, others: Others::default() }
    }

    /// Begins and ends leads, once.
    async fn round<R, G>(&mut self, wanted: &BTreeSet<Arc<str>>, run: &R)
    where
        R: Fn(Lead) -> G + Clone + Send + Sync + 'static,
        G: Future<Output = ()> + Send + 'static,
    {
        let is_over = |running: &Running| running.task.is_finished();
        for (cluster, _) in self.running.extract_if(.., |_, running| is_over(running)) {
            lock(&self.held).remove(&cluster);
        }
        let unwanted: Vec<Arc<str>> = self.running.keys().filter(|name| !wanted.contains(*name)).cloned().collect();
        for cluster in unwanted {
            self.end(&cluster).await;
        }
        self.left.retain(|_, at| at.elapsed() < HANDED_OVER);
        if !wanted.is_empty() {
            self.hand_over().await;
            self.take(wanted, run).await;
        }
    }

    /// Ends the leads of clusters that another process is to lead.
    async fn hand_over(&mut self) {
        if let Err(error) = self.look().await {
            tracing::debug!(duty = self.duty, %error, "other processes are not known");
            return;
        }
        let now = Instant::now();
        let given = |(name, running): (&Arc<str>, &Running)| {
            let others = self.others.shown_since(running.began, now);
            (preferred(self.duty, name, self.holder, others) != self.holder).then(|| name.clone())
        };
        let given: Vec<Arc<str>> = self.running.iter().filter_map(given).collect();
        for cluster in given {
            tracing::info!(duty = self.duty, cluster = &*cluster, "another process is to lead");
            self.end(&cluster).await;
            self.left.insert(cluster, Instant::now());
        }
    }

    /// Begins the leads that can be had.
    async fn take<R, G>(&mut self, wanted: &BTreeSet<Arc<str>>, run: &R)
    where
        R: Fn(Lead) -> G + Clone + Send + Sync + 'static,
        G: Future<Output = ()> + Send + 'static,
    {
        for cluster in wanted {
            if self.running.contains_key(cluster) || self.left.contains_key(cluster) {
                continue;
            }
            let (tokens, token) = watch::channel(());
            // Before it is asked for: if the process ends meanwhile, it is given back.
            lock(&self.held).insert(cluster.clone(), tokens);
            match leased(&self.service, lease(self.duty, cluster), self.holder, &token).await {
                Ok(true) => {
                    tracing::info!(duty = self.duty, cluster = &**cluster, "this process leads");
                    let led = led(self.service.clone(), self.duty, cluster.clone(), self.holder, token, run.clone());
                    let task = tokio::spawn(led).abort_handle();
                    self.running.insert(cluster.clone(), Running { began: Instant::now(), task });
                }
                Ok(false) => drop(lock(&self.held).remove(cluster)),
                // It may have been had all the same.
                Err(error) => tracing::debug!(duty = self.duty, %error, "a lease cannot be had"),
            }
        }
    }

    /// Ends a lead, and lets others have the lease at once.
    async fn end(&mut self, cluster: &Arc<str>) {
        drop(self.running.remove(cluster));
        let tokens = lock(&self.held).get(cluster).cloned();
        if let Some(tokens) = tokens {
            over(&tokens).await;
        }
        release(&self.service, self.duty, cluster, self.holder).await;
        lock(&self.held).remove(cluster);
    }

    /// Shows this process, and looks for others.
    async fn look(&mut self) -> Result<(), StoreError> {
        let now = clock::now();
        if self.shown.is_none_or(|at| at.elapsed() >= SHOWN_EVERY) {
            let entry = Entry {
                cluster: NO_CLUSTER.into(),
                kind: PROCESSES.into(),
                id: EntryId::new(now, self.holder.as_u64_pair().1),
                subject: self.holder.to_string(),
                object: self.duty.to_owned(),
                body: bytes::Bytes::new(),
            };
            self.service.store.append(&[entry]).await?;
            let retain = Retain { since: ago(now, SHOWN_KEPT), ..Retain::default() };
            self.service.store.prune(NO_CLUSTER, PROCESSES, &retain).await?;
            self.shown = Some(Instant::now());
        }
        let scan = Scan {
            object: Some(self.duty.to_owned()),
            since: ago(now, LOOKED_BACK),
            order: Order::NewestFirst,
            limit: MAX_PAGE,
            ..Scan::all(NO_CLUSTER, PROCESSES)
        };
        let entries = self.service.store.scan(&scan).await?.entries;
        let mut newest = BTreeMap::new();
        for entry in &entries {
            if let Ok(process) = entry.subject.parse::<Uuid>()
                && process != self.holder
            {
                newest.entry(process).or_insert(entry.id);
            }
        }
        self.others.look(newest, Instant::now());
        Ok(())
    }
}

fn ago(now: Timestamp, age: Duration) -> Option<Timestamp> {
    now.checked_sub(age).ok()
}

/// The process that is to lead, of this one and others: the one with the largest hash.
fn preferred(duty: &str, cluster: &str, own: Uuid, others: impl Iterator<Item = Uuid>) -> Uuid {
    let weight = |process: &Uuid| -> [u8; 32] {
        Sha256::new()
            .chain_update(duty)
            .chain_update([0])
            .chain_update(cluster)
            .chain_update([0])
            .chain_update(process.as_bytes())
            .finalize()
            .into()
    };
    others.chain([own]).max_by_key(weight).unwrap_or(own)
}

/// Runs the duty until the lease is lost.
async fn led<R, G>(service: Service, duty: &'static str, cluster: Arc<str>, holder: Uuid, token: Token, run: R)
where
    R: Fn(Lead) -> G + Clone + Send + Sync + 'static,
    G: Future<Output = ()> + Send + 'static,
{
    let running = {
        let (service, cluster, token) = (service.clone(), cluster.clone(), token.clone());
        // Each run has a fence of its own: the last one may have been lost.
        let run = move || run(Lead::new(&service, duty, &cluster, holder, &token));
        Supervised::start("a duty of a cluster", AGAIN, run)
    };
    renewed(&service, duty, &cluster, holder, &token).await;
    drop(running);
    tracing::info!(duty, cluster = &*cluster, "another process may lead");
}

/// Renews the lease; ends when it is lost, or could not be renewed before its end.
async fn renewed(service: &Service, duty: &str, cluster: &str, holder: Uuid, token: &Token) {
    let mut ends = Instant::now() + LEASED_FOR;
    loop {
        sleep(RENEWED_AFTER.min(ends.saturating_duration_since(Instant::now()))).await;
        let asked = Instant::now();
        match timeout_at(ends, leased(service, lease(duty, cluster), holder, token)).await {
            Ok(Ok(true)) => ends = asked + LEASED_FOR,
            Ok(Ok(false)) | Err(_) => return,
            Ok(Err(_)) => sleep(AGAIN).await,
        }
    }
}

#[cfg(test)]
mod tests;
