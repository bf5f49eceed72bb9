//! The keeper of one cluster: one task that follows the change feed and writes what is queued, in batches.
//!
//! It alone holds the working view, so a batch is judged by exactly the state that it is written to. Only when a batch
//! is durable does its draft become the working view; then it is published, and only then are its callers answered:
//! whoever has an answer and then decides here decides on what was written.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use metrics::{counter, gauge, histogram};
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep},
};

use super::{
    Cluster, CommitError, Progress, View,
    draft::Draft,
    follow::Reader,
    queue::{Judgement, Queue, Waiting},
    rehearsal::Rehearsed,
};
use crate::{
    store::{Call, Commit, Head, Outcome, Refusal, Store, StoreError, Writable, Written},
    telemetry,
};

/// How often a batch is tried again when it turns out that the view is too far from the state to write on it.
const ATTEMPTS: usize = 5;

/// More records than this are read on a thread of their own.
const READ_AT_ONCE: usize = 32;

/// What became of a call of a batch.
enum Fate {
    Written(Commit),
    /// Nothing of it was written: for want of steps in the transaction a bind was refused that might do.
    Unjudged(Commit),
    /// It was left for a later batch.
    Left,
    Failed(StoreError),
}

/// Loads a cluster and keeps it until the returned value is dropped.
pub(super) async fn start(
    store: Arc<dyn Store>,
    name: &str,
    poll: Duration,
    most_waiting: usize,
) -> Result<Cluster, StoreError> {
    // Subscribed before the first read, so that no change between the two goes unnoticed.
    let hint = store.hint();
    let mut reader = Reader::new(store, name);
    reader.catch_up().await?;
    let view = Arc::new(ArcSwap::from_pointee(reader.working.clone()));
    let seen = reader.exact().unwrap_or_default();
    let (progress, watched) = watch::channel(Progress { revision: seen.revision, synced: Instant::now() });
    let queue = Arc::new(Queue::new(most_waiting));
    let keeper = Keeper {
        reader,
        poll,
        queue: queue.clone(),
        view: view.clone(),
        published: seen,
        progress,
        away: None,
        is_contended: false,
    };
    let running = tokio::spawn(keeper.run(hint));
    let task = running.abort_handle();
    tokio::spawn(told(name.to_owned(), running));
    Ok(Cluster { view, progress: watched, queue, keeper: task, known_nodes: Arc::default(), in_flight: Arc::default() })
}

/// Tells of a keeper that has ended by itself: it is replaced when its cluster is asked for again.
async fn told(cluster: String, running: JoinHandle<()>) {
    if let Err(error) = running.await
        && error.is_panic()
    {
        tracing::error!(cluster, %error, "the cluster's keeper panicked");
        counter!(telemetry::KEEPERS_ENDED).increment(1);
    }
}

struct Keeper {
    reader: Reader,
    poll: Duration,
    queue: Arc<Queue>,
    view: Arc<ArcSwap<View>>,
    /// Where the cluster stood at what `view` holds.
    published: Head,
    progress: watch::Sender<Progress>,
    /// Since when the database has not answered, or has taken no writes.
    away: Option<Instant>,
    /// Whether others came before the last batch, and its binds were judged in its transaction all the same.
    is_contended: bool,
}

impl Keeper {
    async fn run(mut self, mut hint: watch::Receiver<u64>) {
        loop {
            let batch = self.queue.take();
            self.measure_queue();
            if !batch.is_empty() {
                self.write(batch).await;
                continue;
            }
            // The store's hint is only that: the poll finds what a lost one would have told.
            let feed_is_due = tokio::select! {
                biased;
                () = self.queue.arrived() => self.queue.was_nudged(),
                hinted = hint.changed() => {
                    if hinted.is_err() {
                        return; // The store is gone.
                    }
                    true
                }
                () = sleep(self.poll) => true,
            };
            if feed_is_due {
                self.follow().await;
            }
            if self.away.is_some() {
                sleep(self.poll).await;
            }
        }
    }

    /// Reads the feed and publishes what is new.
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
            // Who does not wait any more needs no answer.
            drop(waiting.reply.send(answer));
        }
        self.queue.put_back(later);
    }

    /// What becomes of each call.
    async fn fates(&mut self, calls: Vec<Call>, judgements: Vec<Judgement>) -> Vec<Fate> {
        let calls = Arc::new(calls);
        let error = match self.commit(&calls, &judgements).await {
            Ok(fates) => return fates,
            Err(error) => error,
        };
        match &error {
            StoreError::Unavailable(_) | StoreError::Unwritable(_) => self.lose(&error),
            // Another's long transaction, or a database that does not answer? A read tells.
            StoreError::Busy(_) | StoreError::OutcomeUnknown(_) => self.follow().await,
            _ => {}
        }
        if error.is_transient() || calls.len() <= 1 {
            return calls.iter().map(|_| Fate::Failed(error.clone())).collect();
        }
        // One of the calls is not fit to be written, and nobody else is to suffer for it.
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
            let Some(seen) = self.reader.exact() else {
                self.reader.catch_up().await?;
                continue;
            };
            let draft = Draft::new(self.reader.working.clone(), seen, judgements.to_vec());
            let (mut judge, is_taken) = self.rehearsed(Rehearsed::new(draft), calls).await?;
            let some: Vec<Call>;
            let taken = if is_taken.contains(&false) {
                some = calls.iter().zip(&is_taken).filter(|(_, is)| **is).map(|(call, _)| call.clone()).collect();
                &some
            } else {
                &**calls
            };
            let start = Instant::now();
            match self.reader.store.write(&self.reader.name, taken, &mut judge).await {
                Ok(written) => {
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

    /// Judges the calls' binds ahead, on a thread of its own; which of the calls are to be written now.
    ///
    /// Where others write to the cluster all the time what is judged ahead seldom stands, and is not tried unless the steps
    /// in the transaction do not suffice.
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

    /// What was drafted is so.
    async fn adopt(&mut self, judge: Rehearsed, written: &Written) {
        let view = if judge.unread() > READ_AT_ONCE {
            let reading = spawn_blocking(move || judge.into_view());
            match reading.await {
                Ok(view) => view,
                // It is written all the same: the feed tells of it.
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
        let Some(working) = self.reader.exact() else { return false };
        // A compaction is no news; the same revision of another history is.
        let point = |head: &Head| (head.epoch, head.revision, head.token);
        let news = point(&working) != point(&self.published);
        if news {
            self.view.store(Arc::new(self.reader.working.clone()));
            self.published = working;
        }
        self.progress.send_replace(Progress { revision: working.revision, synced: Instant::now() });
        if self.away.is_some()
            && self.reader.store.writable() == Writable::Yes
            && let Some(since) = self.away.take()
        {
            self.queue.admit();
            gauge!(telemetry::CLUSTERS_AWAY).decrement(1.0);
            histogram!(telemetry::OUTAGE_DURATION).record(since.elapsed());
            tracing::info!(cluster = self.reader.name, "the database answers again");
        }
        news
    }

    /// The database does not answer or takes no writes: until it does, nobody waits for it.
    fn lose(&mut self, error: &StoreError) {
        if self.away.is_none() {
            tracing::warn!(cluster = self.reader.name, %error, "the database cannot be used; deciding on from the last snapshot");
            self.away = Some(Instant::now());
            gauge!(telemetry::CLUSTERS_AWAY).increment(1.0);
        }
        self.queue.refuse(error);
    }

    fn measure_queue(&self) {
        let (binds, others) = self.queue.lengths();
        gauge!(telemetry::COMMITS_WAITING, "cluster" => self.reader.name.clone(), "lane" => "binds").set(binds as f64);
        gauge!(telemetry::COMMITS_WAITING, "cluster" => self.reader.name.clone(), "lane" => "others")
            .set(others as f64);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if self.away.is_some() {
            gauge!(telemetry::CLUSTERS_AWAY).decrement(1.0);
        }
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
