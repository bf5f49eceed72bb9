//! The task that records events: in the ledger of the database, and as lines of a file.
//!
//! Events that have come are recorded together, one append at a time. While an append fails, its events stay and it is tried again; changes that would begin
//! meanwhile are refused ([`Recorder::reserve`]), so that at most those in progress are not on record. A file that cannot be written is counted
//! and logged, and nothing waits for it.

use std::{
    collections::{BTreeSet, HashMap},
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use metrics::{counter, gauge};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch},
    time::{sleep, timeout},
};

use super::{
    log_file::LogFile,
    queue::{Queue, Waiting, lines},
};
use crate::{
    clock,
    service::{
        error::{Error, Result},
        supervised::Supervised,
    },
    store::{Entry, Ledger, Retain, Storage, Store, StoreError, ledger::MAX_ENTRIES},
    telemetry,
};

/// Changes in progress whose events have room.
const PLACES: usize = 1_024;

/// Longest wait for the event of a change before the change is answered.
const RECORDED_WITHIN: Duration = Duration::from_secs(5);

/// Before an append is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// Longest time for which a process that ends waits for its events.
const FLUSHED_WITHIN: Duration = Duration::from_secs(5);

/// Records events until it is dropped.
pub struct Recorder {
    shared: Arc<Shared>,
    _running: Supervised,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("waiting", &self.shared.queue().len()).finish_non_exhaustive()
    }
}

/// A sort of events, as metrics and the log name it.
#[derive(Clone, Copy, Debug)]
pub struct Sort {
    /// Its name in the log: `audit events`.
    pub name: &'static str,
    /// The counter of events that are recorded.
    pub recorded: &'static str,
    /// The counter of those that are not, by reason.
    pub lost: &'static str,
    /// The gauge of those that wait.
    pub waiting: &'static str,
    /// The end of the log's line while they cannot be recorded.
    pub meanwhile: &'static str,
    /// How long the first of them waits for others, so that they are recorded together.
    pub gathered_for: Duration,
}

/// The events of audit: nothing waits.
pub const AUDIT: Sort = Sort {
    name: "audit events",
    recorded: telemetry::AUDIT_EVENTS,
    lost: telemetry::AUDIT_EVENTS_LOST,
    waiting: telemetry::AUDIT_EVENTS_WAITING,
    meanwhile: "changes are refused until they can",
    gathered_for: Duration::ZERO,
};

/// Where events go.
pub struct Sinks {
    /// The database.
    pub ledger: Option<Arc<dyn Ledger>>,
    /// A file.
    pub file: Option<LogFile>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Something has come into the queue.
    work: Notify,
    /// How many have left the queue.
    left: watch::Sender<u64>,
    /// Those that wait are to be recorded now.
    hurry: Notify,
    sort: Sort,
    places: Arc<Semaphore>,
    ledger: Option<Arc<dyn Ledger>>,
    /// Tells the histories of clusters, if there are events that go with them.
    heads: Option<Arc<dyn Store>>,
    file: Option<Arc<Mutex<LogFile>>>,
    /// The file could not be written; it was logged.
    is_file_away: AtomicBool,
}

/// Room for the event of a change, which is taken before the change begins.
#[derive(Debug)]
pub struct Place {
    permit: OwnedSemaphorePermit,
}

impl Recorder {
    /// Starts the task. A panic ends a run of it, and another one goes on with what waits.
    pub fn start(sinks: Sinks, sort: Sort) -> Self {
        Self::begin(sinks, None, sort)
    }

    /// Like [`Self::start`], for events that go with their clusters.
    pub fn of_clusters(store: Arc<dyn Storage>, sort: Sort) -> Self {
        Self::begin(Sinks { ledger: Some(store.clone()), file: None }, Some(store), sort)
    }

    fn begin(sinks: Sinks, heads: Option<Arc<dyn Store>>, sort: Sort) -> Self {
        let Sinks { ledger, file } = sinks;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            work: Notify::new(),
            left: watch::Sender::new(0),
            hurry: Notify::new(),
            sort,
            places: Arc::new(Semaphore::new(PLACES)),
            ledger,
            heads,
            file: file.map(|file| Arc::new(Mutex::new(file))),
            is_file_away: AtomicBool::new(false),
        });
        let supervised = shared.clone();
        let run = move || {
            let shared = supervised.clone();
            async move { shared.run().await }
        };
        let running = Supervised::start(sort.name, AGAIN, run);
        Self { shared, _running: running }
    }

    /// Room for the event of a change that is about to begin.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while events cannot be recorded.
    pub async fn reserve(&self) -> Result<Place> {
        if self.shared.queue().is_failing() {
            return Err(Error::Unavailable {
                message: "the audit event of the change could not be recorded; nothing was changed".into(),
                retry_after_seconds: 1,
            });
        }
        let permit = self.shared.places.clone().acquire_owned().await.map_err(Error::internal)?;
        Ok(Place { permit })
    }

    /// Records the event of a change, and waits until it is recorded, for a while.
    pub async fn record(&self, place: Place, entry: Entry) {
        let (recorded, is_recorded) = oneshot::channel();
        self.shared.push(Waiting { entry, epoch: None, recorded: Some(recorded), is_kept: true });
        if timeout(RECORDED_WITHIN, is_recorded).await.is_err() {
            tracing::warn!("a change is answered whose audit event is not recorded yet");
        }
        drop(place.permit);
    }

    /// Records an event that nobody waits for. One of a change is never dropped.
    pub fn note(&self, entry: Entry, is_kept: bool) {
        self.shared.push(Waiting { entry, epoch: None, recorded: None, is_kept });
    }

    /// Records an event that nobody waits for, unless its cluster was removed since: `epoch` is the part of the cluster's history that it goes with.
    pub fn note_of(&self, entry: Entry, epoch: u64) {
        self.shared.push(Waiting { entry, epoch: Some(epoch), recorded: None, is_kept: false });
    }

    /// A mark behind all that has come.
    pub fn mark(&self) -> u64 {
        self.shared.queue().come()
    }

    /// Waits until all before a mark is recorded, or given up.
    pub async fn reached(&self, mark: u64) {
        let mut left = self.shared.left.subscribe();
        if *left.borrow() < mark {
            self.shared.hurry.notify_one();
        }
        // It ends with this recorder alone.
        let _ = left.wait_for(|left| *left >= mark).await;
    }

    /// Waits until all that has come is recorded, for a while.
    pub async fn flush(&self) {
        if timeout(FLUSHED_WITHIN, self.reached(self.mark())).await.is_err() {
            let (count, name) = (self.shared.queue().len(), self.shared.sort.name);
            tracing::error!(count, "{name} could not be recorded in time");
        }
    }
}

impl Shared {
    // Each change of the queue is one call, which leaves it whole.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: Waiting) {
        let mut queue = self.queue();
        let is_in = queue.push(event);
        let waiting = queue.len();
        gauge!(self.sort.waiting).set(waiting as f64);
        drop(queue);
        if is_in {
            self.work.notify_one();
        } else {
            self.lost(1, "dropped");
        }
        if waiting >= MAX_ENTRIES {
            self.hurry.notify_one();
        }
    }

    async fn run(&self) {
        loop {
            let (batch, epochs) = {
                let mut queue = self.queue();
                (queue.batch(), queue.epochs())
            };
            if batch.is_empty() {
                self.work.notified().await;
                if !self.sort.gathered_for.is_zero() {
                    // Either way there is something to record now.
                    let _ = timeout(self.sort.gathered_for, self.hurry.notified()).await;
                }
                continue;
            }
            let recorded = match self.append_current(&batch, &epochs).await {
                Ok(recorded) => recorded,
                Err(error) => {
                    if !self.queue().is_failing() {
                        let Sort { name, meanwhile, .. } = self.sort;
                        tracing::error!(%error, "{name} cannot be recorded; {meanwhile}");
                    }
                    self.queue().failed();
                    sleep(AGAIN).await;
                    continue;
                }
            };
            self.write(&batch).await;
            counter!(self.sort.recorded).increment(recorded as u64);
            let mut queue = self.queue();
            queue.done(batch.len());
            gauge!(self.sort.waiting).set(queue.len() as f64);
            self.left.send_replace(queue.left());
        }
    }

    /// Appends those of a batch to the ledger whose clusters were not removed meanwhile. Returns how many.
    async fn append_current(&self, batch: &[Entry], epochs: &[Option<u64>]) -> std::result::Result<usize, StoreError> {
        let going = || batch.iter().zip(epochs).filter(|(_, epoch)| epoch.is_some()).map(|(entry, _)| &entry.cluster);
        let clusters: Vec<String> = going().collect::<BTreeSet<_>>().into_iter().map(ToString::to_string).collect();
        let (Some(ledger), Some(store)) = (&self.ledger, self.heads.as_ref().filter(|_| !clusters.is_empty())) else {
            return self.append(batch).await.map(|()| batch.len());
        };
        let before = Histories::read(&**store, &clusters).await?;
        let current = batch.iter().zip(epochs).filter(|(entry, epoch)| before.are_at(&entry.cluster, **epoch));
        let current: Vec<Entry> = current.map(|(entry, _)| entry.clone()).collect();
        if !current.is_empty() {
            self.append(&current).await?;
            // One that is removed from here on takes them with it.
            let after = Histories::read(&**store, &clusters).await?;
            for cluster in clusters.iter().filter(|cluster| !after.are_at(cluster, before.of(cluster))) {
                let of_it = current.iter().filter(|entry| *entry.cluster == **cluster);
                let Some(last) = of_it.max_by_key(|entry| entry.id) else { continue };
                let since = last.id.at().checked_add(Duration::from_micros(1)).ok();
                ledger.prune(cluster, &last.kind, &Retain { since, ..Retain::default() }).await?;
            }
        }
        let over = batch.len() - current.len();
        if over > 0 {
            self.lost(over as u64, "removed");
        }
        Ok(current.len())
    }

    /// Appends a batch to the ledger. An event that the ledger will never take is given up.
    async fn append(&self, batch: &[Entry]) -> std::result::Result<(), StoreError> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        match ledger.append(batch).await {
            Err(StoreError::Invalid(_)) => {}
            done => return done,
        }
        for entry in batch {
            match ledger.append(std::slice::from_ref(entry)).await {
                Err(StoreError::Invalid(why)) => {
                    tracing::error!(why, "the ledger refused one of the {}", self.sort.name);
                    self.lost(1, "refused");
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// Writes a batch to the file, if there is one.
    async fn write(&self, batch: &[Entry]) {
        let Some(file) = self.file.clone() else { return };
        let (now, lines) = (clock::now(), lines(batch));
        let writing = move || file.lock().unwrap_or_else(PoisonError::into_inner).write(&lines, now);
        let written = tokio::task::spawn_blocking(writing).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let was_away = self.is_file_away.swap(written.is_err(), Ordering::Relaxed);
        if let Err(error) = written {
            self.lost(batch.len() as u64, "unwritten");
            if !was_away {
                tracing::error!(%error, "the file of {} cannot be written", self.sort.name);
            }
        }
    }

    fn lost(&self, events: u64, why: &'static str) {
        counter!(self.sort.lost, "reason" => why).increment(events);
    }
}

/// The parts of their histories that clusters are in; `None` for one that cannot be read.
struct Histories(HashMap<String, Option<u64>>);

impl Histories {
    async fn read(store: &dyn Store, clusters: &[String]) -> std::result::Result<Self, StoreError> {
        let standings = store.heads(clusters).await?.clusters.into_iter();
        Ok(Self(standings.map(|standing| (standing.name, standing.head.ok().map(|head| head.epoch))).collect()))
    }

    /// That of a cluster; one that the database does not have has its history before it.
    fn of(&self, cluster: &str) -> Option<u64> {
        self.0.get(cluster).copied().unwrap_or(Some(0))
    }

    /// `true` unless the cluster is known to be in another part of its history.
    fn are_at(&self, cluster: &str, epoch: Option<u64>) -> bool {
        self.of(cluster).zip(epoch).is_none_or(|(now, then)| now == then)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use async_trait::async_trait;
    use jiff::Timestamp;

    use super::*;
    use crate::store::{EntryId, Page, Retain, Scan};

    /// A ledger that fails as often as it is told to, and refuses entries about `bad`.
    #[derive(Debug, Default)]
    struct Failing {
        failures: AtomicUsize,
        appended: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Ledger for Failing {
        async fn append(&self, entries: &[Entry]) -> std::result::Result<(), StoreError> {
            let left = |left: usize| left.checked_sub(1);
            if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
                return Err(StoreError::Unavailable("away".into()));
            }
            if entries.iter().any(|entry| entry.subject == "bad") {
                return Err(StoreError::Invalid("bad".into()));
            }
            let subjects = entries.iter().map(|entry| entry.subject.clone());
            self.appended.lock().expect("no panic").extend(subjects);
            Ok(())
        }

        async fn scan(&self, scan: &Scan) -> std::result::Result<Page, StoreError> {
            Ok(scan.page(Vec::new()))
        }

        async fn prune(&self, _: &str, _: &str, _: &Retain) -> std::result::Result<u64, StoreError> {
            Ok(0)
        }

        async fn books(&self) -> std::result::Result<Vec<(String, String)>, StoreError> {
            Ok(Vec::new())
        }
    }

    fn event(subject: &str) -> Entry {
        let id = EntryId::new(Timestamp::UNIX_EPOCH, 0);
        let (cluster, kind) = ("".into(), "audit".into());
        Entry { cluster, kind, id, subject: subject.into(), object: String::new(), body: "{}".into() }
    }

    fn over(failures: usize) -> (Arc<Failing>, Recorder) {
        let ledger = Arc::new(Failing { failures: AtomicUsize::new(failures), ..Failing::default() });
        let recorder = Recorder::start(Sinks { ledger: Some(ledger.clone()), file: None }, AUDIT);
        (ledger, recorder)
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_refused_while_events_cannot_be_recorded() {
        let (ledger, recorder) = over(usize::MAX);
        let place = recorder.reserve().await.expect("nothing has failed yet");
        recorder.record(place, event("first")).await;
        let refused = recorder.reserve().await.expect_err("its event could not be recorded");
        assert!(matches!(refused, Error::Unavailable { retry_after_seconds: 1, .. }), "{refused}");
        ledger.failures.store(2, Ordering::SeqCst);
        recorder.flush().await;
        let place = recorder.reserve().await.expect("the ledger is back");
        recorder.record(place, event("second")).await;
        assert_eq!(*ledger.appended.lock().expect("no panic"), ["first", "second"], "nothing is lost");
    }

    #[tokio::test(start_paused = true)]
    async fn a_mark_is_reached_when_all_before_it_is_recorded() {
        let (ledger, recorder) = over(1);
        recorder.note(event("before"), true);
        let mark = recorder.mark();
        recorder.note(event("after"), true);
        recorder.reached(mark).await;
        assert_eq!(ledger.appended.lock().expect("no panic").first().map(|subject| &**subject), Some("before"));
        recorder.reached(0).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_the_ledger_refuses_keeps_no_other() {
        let (ledger, recorder) = over(0);
        for subject in ["a", "bad", "b"] {
            recorder.note(event(subject), true);
        }
        recorder.flush().await;
        assert_eq!(*ledger.appended.lock().expect("no panic"), ["a", "b"]);
    }
}
