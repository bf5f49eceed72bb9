//! Leading: of the processes on a database one carries a duty of a cluster out, and only its writes are committed.
//!
//! Who leads is decided by the database: a lease for each duty and cluster, by the database's clock. A lease alone does not keep a process that was paused
//! from writing when it wakes up. So the leader's writes carry a *fence* ([`Lead::fence`]): it writes an object of the cluster when it begins, and each
//! call of it is refused as a whole if that object has been written by another one since.
//!
//! Leads are spread over processes by rendezvous hashing. Whoever finds a lease free takes it at once; if a process that the hash prefers shows itself
//! afterwards, the leader hands over. A process shows itself by entries in the ledger.
//!
//! Source: the times are those of `k8s.io/client-go/tools/leaderelection`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::{
    sync::OnceCell,
    task::AbortHandle,
    time::{Instant, sleep, timeout_at},
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

/// Time that these entries are kept.
const SHOWN_KEPT: Duration = Duration::from_mins(5);

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
    fence: OnceCell<Write>,
}

impl Lead {
    fn new(service: &Service, duty: &'static str, cluster: &Arc<str>, holder: Uuid) -> Self {
        let (service, cluster) = (service.clone(), cluster.clone());
        Self(Arc::new(Held { service, duty, cluster, holder, fence: OnceCell::new() }))
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
        if !self.service.store.lease(&lease(self.duty, &self.cluster), self.holder, LEASED_FOR).await? {
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

/// The leads of a process for a duty; they end when this is dropped.
#[derive(Debug)]
pub struct Leads {
    service: Service,
    holder: Uuid,
    duty: &'static str,
    running: Supervised,
    held: Arc<Mutex<BTreeSet<Arc<str>>>>,
}

impl Leads {
    /// Ends them, and lets other processes lead at once.
    pub async fn end(self) {
        drop(self.running);
        let held = std::mem::take(&mut *lock(&self.held));
        for cluster in held {
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
    let held = Arc::<Mutex<_>>::default();
    let (of, noted) = (service.clone(), held.clone());
    let rounds = move || {
        let (wanted, run) = (wanted.clone(), run.clone());
        let mut of = Rounds::new(&of, holder, duty, noted.clone());
        async move {
            loop {
                match wanted(of.service.clone()).await {
                    Ok(clusters) => of.round(&clusters, &run).await,
                    Err(error) => tracing::debug!(duty, %error, "it is not known which clusters are to be led"),
                }
                sleep(AGAIN).await;
            }
        }
    };
    let running = Supervised::start("a loop under leases", AGAIN, rounds);
    Leads { service: service.clone(), holder, duty, running, held }
}

/// The rounds over the clusters of a duty.
struct Rounds {
    service: Service,
    holder: Uuid,
    duty: &'static str,
    running: BTreeMap<Arc<str>, Running>,
    /// The clusters of `running`, for the end of the process.
    held: Arc<Mutex<BTreeSet<Arc<str>>>>,
    /// When leads were handed over.
    left: BTreeMap<Arc<str>, Instant>,
    /// When this process showed itself last.
    shown: Option<Instant>,
}

/// A led cluster; the lead ends when it is dropped.
struct Running {
    began: Timestamp,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Rounds {
    fn new(service: &Service, holder: Uuid, duty: &'static str, held: Arc<Mutex<BTreeSet<Arc<str>>>>) -> Self {
        let (service, running, left) = (service.clone(), BTreeMap::new(), BTreeMap::new());
        Self { service, holder, duty, running, held, left, shown: None }
    }

    /// Begins and ends leads, once.
    async fn round<R, G>(&mut self, wanted: &BTreeSet<Arc<str>>, run: &R)
    where
        R: Fn(Lead) -> G + Clone + Send + Sync + 'static,
        G: Future<Output = ()> + Send + 'static,
    {
        self.running.retain(|_, running| !running.task.is_finished());
        let unwanted: Vec<Arc<str>> = self.running.keys().filter(|name| !wanted.contains(*name)).cloned().collect();
        for cluster in unwanted {
            self.end(&cluster).await;
        }
        self.left.retain(|_, at| at.elapsed() < HANDED_OVER);
        if !wanted.is_empty() {
            self.hand_over().await;
            self.take(wanted, run).await;
        }
        *lock(&self.held) = self.running.keys().cloned().collect();
    }

    /// Ends the leads of clusters that another process is to lead.
    async fn hand_over(&mut self) {
        match self.others().await {
            Ok(others) => {
                let preferring = |(name, running): (&Arc<str>, &Running)| {
                    let others = others.iter().filter(|(_, at)| **at > running.began).map(|(other, _)| *other);
                    (preferred(self.duty, name, self.holder, others) != self.holder).then(|| name.clone())
                };
                let given: Vec<Arc<str>> = self.running.iter().filter_map(preferring).collect();
                for cluster in given {
                    tracing::info!(duty = self.duty, cluster = &*cluster, "another process is to lead");
                    self.end(&cluster).await;
                    self.left.insert(cluster, Instant::now());
                }
            }
            Err(error) => tracing::debug!(duty = self.duty, %error, "other processes are not known"),
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
            match self.service.store.lease(&lease(self.duty, cluster), self.holder, LEASED_FOR).await {
                Ok(true) => {
                    tracing::info!(duty = self.duty, cluster = &**cluster, "this process leads");
                    let led = led(self.service.clone(), self.duty, cluster.clone(), self.holder, run.clone());
                    let task = tokio::spawn(led).abort_handle();
                    self.running.insert(cluster.clone(), Running { began: clock::now(), task });
                }
                Ok(false) => {}
                Err(error) => tracing::debug!(duty = self.duty, %error, "a lease cannot be had"),
            }
        }
    }

    /// Ends a lead, and lets others have the lease at once.
    async fn end(&mut self, cluster: &Arc<str>) {
        drop(self.running.remove(cluster));
        release(&self.service, self.duty, cluster, self.holder).await;
    }

    /// Shows this process, and returns when each other one showed itself last.
    async fn others(&mut self) -> Result<BTreeMap<Uuid, Timestamp>, StoreError> {
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
            since: ago(now, SHOWN_FOR),
            order: Order::OldestFirst,
            limit: MAX_PAGE,
            ..Scan::all(NO_CLUSTER, PROCESSES)
        };
        let entries = self.service.store.scan(&scan).await?.entries;
        let shown = entries.iter().filter_map(|entry| Some((entry.subject.parse().ok()?, entry.id.at())));
        Ok(shown.filter(|(process, _)| *process != self.holder).collect())
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
async fn led<R, G>(service: Service, duty: &'static str, cluster: Arc<str>, holder: Uuid, run: R)
where
    R: Fn(Lead) -> G + Clone + Send + Sync + 'static,
    G: Future<Output = ()> + Send + 'static,
{
    let running = {
        let (service, cluster) = (service.clone(), cluster.clone());
        // Each run has a fence of its own: the last one may have been lost.
        let run = move || run(Lead::new(&service, duty, &cluster, holder));
        Supervised::start("a duty of a cluster", AGAIN, run)
    };
    renewed(&service, duty, &cluster, holder).await;
    drop(running);
    tracing::info!(duty, cluster = &*cluster, "another process may lead");
}

/// Renews the lease; ends when it is lost, or could not be renewed before its end.
async fn renewed(service: &Service, duty: &str, cluster: &str, holder: Uuid) {
    let name = lease(duty, cluster);
    let mut ends = Instant::now() + LEASED_FOR;
    loop {
        sleep(RENEWED_AFTER.min(ends.saturating_duration_since(Instant::now()))).await;
        let asked = Instant::now();
        match timeout_at(ends, service.store.lease(&name, holder, LEASED_FOR)).await {
            Ok(Ok(true)) => ends = asked + LEASED_FOR,
            Ok(Ok(false)) | Err(_) => return,
            Ok(Err(_)) => sleep(AGAIN).await,
        }
    }
}

#[cfg(test)]
mod tests;
