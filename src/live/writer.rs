//! The writer of one cluster: one task that follows the change feed and commits the queued calls, in batches.
//!
//! It alone has the working view, so a batch is judged by exactly the state that it is written to. When a batch is durable, its draft becomes
//! the working view; then it is published, and then its callers get their replies. So a caller that decides here after its reply decides on its
//! own write.

use std::{collections::BTreeSet, sync::Arc};

use arc_swap::ArcSwap;
use metrics::{counter, histogram};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::Instant,
};

use super::{
    Cluster, CommitError, View,
    draft::Draft,
    fleet::Place,
    fork::Origin,
    journal::{self, Journal, Recorder},
    judgement::Judgement,
    queue::{Queue, Waiting},
    reader::{PAGE, READ_AT_ONCE, Reader},
    rehearsal::Rehearsed,
    status::{Progress, Status, is_same},
};
use crate::{
    store::{Call, Commit, Head, Outcome, Refusal, Store, StoreError, Writable, Written},
    telemetry,
};

/// How often a batch is tried again when it turns out that the view is too far from the state to write on it.
const ATTEMPTS: usize = 5;

/// The outcome of a call in a batch.
enum Fate {
    Written(Commit),
    /// Nothing of it was written: for want of steps in the transaction a bind was refused that might do.
    Unjudged(Commit),
    /// It was left for a later batch.
    Left,
    Failed(StoreError),
}

/// Loads a cluster and keeps it until the returned value is dropped. A fork begins with `origin`.
/// The task that is returned ends with an error where the writer ends by itself.
pub(super) async fn start(
    store: Arc<dyn Store>,
    name: &str,
    origin: Option<Origin>,
    place: Place,
    (most_waiting, kept): (usize, journal::Bounds),
) -> Result<(Cluster, JoinHandle<()>), StoreError> {
    let mut reader = Reader::beginning(store.clone(), name, PAGE, origin);
    reader.catch_up().await?;
    let (view, seen) = reader.at_head().map(|(view, head)| (view.clone(), head)).unwrap_or_default();
    let view = Arc::new(ArcSwap::from_pointee(place.publishes(&view)));
    let status = Arc::new(Status::new(seen));
    let queue = Arc::new(Queue::new(most_waiting));
    let journal = Arc::new(Journal::new(store, name, status.progress.subscribe(), kept));
    let writer = Writer {
        reader,
        queue: queue.clone(),
        view: view.clone(),
        place,
        published: seen,
        status: status.clone(),
        journal: journal.clone(),
        is_contended: false,
    };
    let running = tokio::spawn(writer.run());
    let task = running.abort_handle();
    let (known_nodes, in_flight) = (Arc::default(), Arc::default());
    let (writer, journal) = (Some(task), Some(journal));
    Ok((Cluster { view, status, queue, writer, journal, known_nodes, in_flight, fork: None }, running))
}

/// Waits until a writer has ended; `true` if it has panicked and was not released.
pub(super) async fn has_panicked(cluster: &str, running: JoinHandle<()>) -> bool {
    match running.await {
        Err(error) if error.is_panic() => {
            tracing::error!(cluster, %error, "the cluster's writer panicked; it is replaced");
            counter!(telemetry::WRITERS_ENDED).increment(1);
            true
        }
        _ => false,
    }
}

struct Writer {
    reader: Reader,
    queue: Arc<Queue>,
    view: Arc<ArcSwap<View>>,
    place: Place,
    /// The head at which `view` was read.
    published: Head,
    status: Arc<Status>,
    journal: Arc<Journal>,
    /// `true` if others wrote before the last batch and its binds were judged in its transaction all the same.
    is_contended: bool,
}

impl Writer {
    async fn run(mut self) {
        loop {
            let batch = self.queue.take();
            if batch.is_empty() {
                self.queue.arrived().await;
            } else {
                self.write(batch).await;
            }
            // What this writer has written itself it need not read.
            if self.queue.take_nudge() > self.published.revision {
                self.follow().await;
            }
        }
    }

    /// Reads the feed and publishes the changes.
    async fn follow(&mut self) {
        let start = Instant::now();
        match self.reader.catch_up().await {
            Ok(()) => {
                if self.publish() {
                    histogram!(telemetry::FEED_DURATION).record(start.elapsed());
                }
            }
            Err(error) => self.lose(&error),
        }
    }

    /// Writes a batch and answers its callers.
    async fn write(&mut self, batch: Vec<Waiting>) {
        let part = |waiting: &Waiting| (waiting.call.clone(), waiting.judgement.clone());
        let (calls, judgements): (Vec<Call>, Vec<Judgement>) = batch.iter().map(part).unzip();
        let fates = self.fates(calls, judgements).await;
        let mut later = Vec::new();
        for (mut waiting, fate) in batch.into_iter().zip(fates) {
            let answer = match fate {
                Fate::Left => {
                    later.push(waiting);
                    continue;
                }
                Fate::Unjudged(_) if waiting.tries < ATTEMPTS => {
                    waiting.tries += 1;
                    later.push(waiting);
                    continue;
                }
                Fate::Written(commit) | Fate::Unjudged(commit) => Ok(commit),
                Fate::Failed(error) => Err(CommitError::from(error)),
            };
            let result = if answer.is_ok() { "written" } else { "failed" };
            histogram!(telemetry::COMMIT_DURATION, "result" => result).record(waiting.since.elapsed());
            // A dropped caller needs no answer.
            drop(waiting.reply.send(answer));
        }
        self.queue.put_back(later);
    }

    /// The outcome of each call.
    async fn fates(&mut self, calls: Vec<Call>, judgements: Vec<Judgement>) -> Vec<Fate> {
        let calls = Arc::new(calls);
        let error = match self.commit(&calls, &judgements).await {
            Ok(fates) => return fates,
            Err(error) => error,
        };
        match &error {
            StoreError::Unavailable(_) | StoreError::Unwritable(_) => self.lose(&error),
            // A long transaction of another process, or an unreachable database? A read shows which.
            StoreError::Busy(_) | StoreError::OutcomeUnknown(_) => self.follow().await,
            _ => {}
        }
        if error.is_transient() || calls.len() <= 1 {
            return calls.iter().map(|_| Fate::Failed(error.clone())).collect();
        }
        // One of the calls cannot be written, and must not affect the others.
        let mut fates = Vec::with_capacity(calls.len());
        for (call, judgement) in calls.iter().zip(&judgements) {
            let alone = self.commit(&Arc::new(vec![call.clone()]), std::slice::from_ref(judgement)).await;
            let missing = || Fate::Failed(StoreError::Internal("the store did not answer a call".into()));
            fates.push(alone.map_or_else(Fate::Failed, |mut fates| fates.pop().unwrap_or_else(missing)));
        }
        fates
    }

    /// Writes calls in one transaction and publishes the state after it. Binds are judged before it as far as may be.
    async fn commit(&mut self, calls: &Arc<Vec<Call>>, judgements: &[Judgement]) -> Result<Vec<Fate>, StoreError> {
        let mut attempt = 1;
        loop {
            let Some((view, seen)) = self.reader.at_head() else {
                self.reader.catch_up().await?;
                continue;
            };
            let draft = Draft::new(view.clone(), seen, judgements.to_vec());
            let (mut judge, is_taken) = self.rehearsed(Rehearsed::new(draft), calls).await?;
            let some: Vec<Call>;
            let taken = if is_taken.contains(&false) {
                some = calls.iter().zip(&is_taken).filter(|(_, is)| **is).map(|(call, _)| call.clone()).collect();
                &some
            } else {
                &**calls
            };
            let start = Instant::now();
            let mut recorder = Recorder::new(&mut judge, self.journal.is_on());
            match self.reader.store.write(&self.reader.name, taken, &mut recorder).await {
                Ok(written) => {
                    self.journal.committed(recorder.into_batch(written.head));
                    histogram!(telemetry::BATCH_DURATION).record(start.elapsed());
                    measure_batch(taken, &written);
                    let unjudged = judge.unjudged().clone();
                    self.is_contended = judge.is_overtaken() && unjudged.is_empty();
                    self.adopt(judge, &written).await;
                    return Ok(fates(&is_taken, written.commits, &unjudged));
                }
                Err(StoreError::Behind { .. }) if attempt < ATTEMPTS => {
                    counter!(telemetry::BATCHES_RETRIED).increment(1);
                    attempt += 1;
                    self.reader.catch_up().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Rehearses the calls' binds on a thread of its own. Returns the calls to write now.
    ///
    /// If others keep writing to the cluster, a rehearsal seldom holds. It is then skipped unless the steps within the transaction do not suffice.
    async fn rehearsed(
        &self,
        mut judge: Rehearsed,
        calls: &Arc<Vec<Call>>,
    ) -> Result<(Rehearsed, Vec<bool>), StoreError> {
        if self.is_contended || !judge.is_needed(calls) {
            return Ok((judge, vec![true; calls.len()]));
        }
        let calls = calls.clone();
        let rehearsing = spawn_blocking(move || {
            let is_taken = judge.rehearse(&calls);
            (judge, is_taken)
        });
        rehearsing.await.map_err(|error| StoreError::Internal(error.to_string()))
    }

    /// Makes the draft the published state.
    async fn adopt(&mut self, judge: Rehearsed, written: &Written) {
        let view = if judge.unread() > READ_AT_ONCE {
            let reading = spawn_blocking(move || judge.into_view());
            match reading.await {
                Ok(view) => view,
                // It is written all the same: the feed will bring it.
                Err(error) => {
                    tracing::error!(cluster = self.reader.name, %error, "what was written cannot be taken in");
                    self.follow().await;
                    return;
                }
            }
        } else {
            judge.into_view()
        };
        self.reader.advance(view, written.head);
        self.publish();
    }

    /// The working view is the store's head; whether that is news.
    fn publish(&mut self) -> bool {
        let Some((view, working)) = self.reader.at_head() else { return false };
        let news = !is_same(&working, &self.published);
        if news {
            self.view.store(Arc::new(self.place.publishes(view)));
            self.published = working;
        }
        if self.reader.store.writable() == Writable::Yes {
            self.status.recover(&self.queue, &self.reader.name);
        }
        self.status.progress.send_replace(Progress::at(working));
        news
    }

    /// Marks the cluster as unreadable, or the database as refusing writes: until that changes, calls fail at once.
    fn lose(&mut self, error: &StoreError) {
        self.status.lose(&self.queue, Some(&self.reader.name), error);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.refuse(&StoreError::Unavailable("the cluster is not kept any more".into()));
    }
}

/// The calls' fates, of those that were written and those that were left.
fn fates(is_taken: &[bool], commits: Vec<Commit>, unjudged: &BTreeSet<usize>) -> Vec<Fate> {
    let is_refused = |outcome: &Outcome| matches!(outcome, Outcome::Refused(_));
    let mut written = commits.into_iter().enumerate().map(|(at, commit)| {
        let may_do = unjudged.contains(&at) && commit.outcomes.iter().all(is_refused);
        if may_do { Fate::Unjudged(commit) } else { Fate::Written(commit) }
    });
    let missing = || Fate::Failed(StoreError::Internal("the store did not answer a call".into()));
    is_taken.iter().map(|is| if *is { written.next().unwrap_or_else(missing) } else { Fate::Left }).collect()
}

fn measure_batch(calls: &[Call], written: &Written) {
    let rows: usize = calls.iter().map(|call| call.writes.len()).sum();
    histogram!(telemetry::BATCH_ROWS).record(rows as f64);
    histogram!(telemetry::BATCH_CALLS).record(calls.len() as f64);
    for outcome in written.commits.iter().flat_map(|commit| &commit.outcomes) {
        if let Outcome::Refused(refusal) = outcome {
            counter!(telemetry::WRITES_REFUSED, "reason" => word(refusal)).increment(1);
        }
    }
}

/// How a metric calls a refusal.
fn word(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NotFound => "NotFound",
        Refusal::AlreadyExists { .. } => "AlreadyExists",
        Refusal::Conflict { .. } => "Conflict",
        Refusal::UidMismatch { .. } => "UidMismatch",
        Refusal::AlreadyBound { .. } => "AlreadyBound",
        Refusal::Rejected(_) => "Rejected",
        Refusal::NotAttempted => "NotAttempted",
    }
}

#[cfg(test)]
mod tests;
