//! The keeper of one cluster: one task that follows the change feed and writes what is queued, in batches.
//!
//! It alone holds the working view, so a batch is judged by exactly the state that it is written to. Only when a batch
//! is durable does its draft become the working view; then it is published, and only then are its callers answered:
//! whoever has an answer and then decides here decides on what was written.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use metrics::{counter, gauge, histogram};
use tokio::{
    sync::watch,
    task::yield_now,
    time::{Instant, sleep},
};

use super::{
    Cluster, CommitError, Progress, View,
    draft::Draft,
    follow::Reader,
    queue::{Judgement, Queue, Waiting},
};
use crate::{
    store::{Call, Commit, Head, Outcome, Refusal, Store, StoreError, Writable, Written},
    telemetry,
};

/// How often a batch is tried again when it turns out that the view is too far from the state to write on it.
const ATTEMPTS: usize = 5;

/// So many records are read before other tasks get their turn.
const READ_AT_ONCE: usize = 250;

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
    let keeper =
        Keeper { reader, poll, queue: queue.clone(), view: view.clone(), published: seen, progress, away: None };
    let task = tokio::spawn(keeper.run(hint)).abort_handle();
    Ok(Cluster { view, progress: watched, queue, keeper: task, known_nodes: Arc::default(), in_flight: Arc::default() })
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
        let (mut calls, mut judgements, mut replies) = (Vec::new(), Vec::new(), Vec::new());
        for Waiting { call, judgement, reply, since, .. } in batch {
            calls.push(call);
            judgements.push(judgement);
            replies.push((reply, since));
        }
        let answers = self.answers(&calls, &judgements).await;
        for ((reply, since), answer) in replies.into_iter().zip(answers) {
            let result = if answer.is_ok() { "written" } else { "failed" };
            histogram!(telemetry::COMMIT_DURATION, "result" => result).record(since.elapsed());
            // Who does not wait any more needs no answer.
            drop(reply.send(answer.map_err(CommitError::from)));
        }
    }

    /// One answer for each call.
    async fn answers(&mut self, calls: &[Call], judgements: &[Judgement]) -> Vec<Result<Commit, StoreError>> {
        let error = match self.commit(calls, judgements).await {
            Ok(commits) => return commits.into_iter().map(Ok).collect(),
            Err(error) => error,
        };
        match &error {
            StoreError::Unavailable(_) | StoreError::Unwritable(_) => self.lose(&error),
            // Another's long transaction, or a database that does not answer? A read tells.
            StoreError::Busy(_) | StoreError::OutcomeUnknown(_) => self.follow().await,
            _ => {}
        }
        if error.is_transient() || calls.len() <= 1 {
            return vec![Err(error); calls.len()];
        }
        // One of the calls is not fit to be written, and nobody else is to suffer for it.
        let mut answers = Vec::with_capacity(calls.len());
        for (call, judgement) in calls.iter().zip(judgements) {
            let alone = self.commit(std::slice::from_ref(call), std::slice::from_ref(judgement)).await;
            answers.push(alone.and_then(|mut commits| {
                commits.pop().ok_or_else(|| StoreError::Internal("the store did not answer a call".into()))
            }));
        }
        answers
    }

    /// Writes calls in one transaction and publishes the state after it.
    async fn commit(&mut self, calls: &[Call], judgements: &[Judgement]) -> Result<Vec<Commit>, StoreError> {
        let mut attempt = 1;
        loop {
            let Some(seen) = self.reader.exact() else {
                self.reader.catch_up().await?;
                continue;
            };
            let Reader { store, name, working, .. } = &self.reader;
            let mut draft = Draft::new(working.clone(), seen, judgements.to_vec());
            let start = Instant::now();
            match store.write(name, calls, &mut draft).await {
                Ok(written) => {
                    histogram!(telemetry::BATCH_DURATION).record(start.elapsed());
                    measure_batch(calls, &written);
                    self.adopt(draft, &written).await;
                    return Ok(written.commits);
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

    /// What was drafted is so.
    async fn adopt(&mut self, mut draft: Draft, written: &Written) {
        let mut read = 0_usize;
        while draft.read_next() {
            read += 1;
            if read.is_multiple_of(READ_AT_ONCE) {
                yield_now().await;
            }
        }
        self.reader.advance(draft.into_view(), written.head);
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
