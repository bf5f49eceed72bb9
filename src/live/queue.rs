//! The queue of changes to one cluster: two lanes, bounded, taken in batches.

use std::{
    collections::VecDeque,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use metrics::counter;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{CommitError, Judgement, judgement::is_bind};
use crate::{
    store::{Call, Change, Commit, StoreError},
    telemetry,
};

/// Largest number of rows of a batch, unless a single call has more: its transaction holds the cluster's counter.
const BATCH_ROWS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// Largest number of rows of binds in a batch while other changes wait, so that binds go first and starve no other change.
const BIND_ROWS: usize = BATCH_ROWS / 4 * 3;

/// A call and who waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) call: Call,
    pub(super) judgement: Judgement,
    pub(super) reply: oneshot::Sender<Result<Commit, CommitError>>,
    /// When it was queued.
    pub(super) since: Instant,
    /// How many batches have left it for a later one after they had begun to write.
    pub(super) tries: usize,
    /// Bytes of the bodies.
    bytes: usize,
}

impl Waiting {
    /// A call as it is queued, and where its answer will come.
    pub(super) fn new(call: Call, judgement: Judgement) -> (Self, oneshot::Receiver<Result<Commit, CommitError>>) {
        let (reply, answer) = oneshot::channel();
        let body = |change: &Change| if let Change::Put { body, .. } = change { body.len() } else { 0 };
        let bytes = call.writes.iter().map(|write| body(&write.change)).sum();
        (Self { call, judgement, reply, since: Instant::now(), tries: 0, bytes }, answer)
    }

    fn rows(&self) -> usize {
        self.call.writes.len()
    }

    fn binds(&self) -> bool {
        self.call.writes.iter().any(is_bind)
    }
}

/// The calls that wait for one cluster's writer.
#[derive(Debug)]
pub(super) struct Queue {
    lanes: Mutex<Lanes>,
    arrived: Notify,
    most: usize,
}

#[derive(Debug, Default)]
struct Lanes {
    binds: VecDeque<Waiting>,
    others: VecDeque<Waiting>,
    /// A call too large to share a batch was taken last: it is the binds' turn.
    large_was_last: bool,
    /// The revision up to which the feed must be read; 0: none.
    nudged: u64,
    /// The error that every call gets at once.
    refusing: Option<StoreError>,
}

impl Queue {
    /// An empty queue for at most `most` calls.
    pub(super) fn new(most: usize) -> Self {
        Self { lanes: Mutex::default(), arrived: Notify::new(), most }
    }

    /// Queues a call.
    ///
    /// # Errors
    /// [`CommitError::Overloaded`] if it is full, or the error that every call gets at the moment.
    pub(super) fn push(&self, waiting: Waiting) -> Result<(), CommitError> {
        let mut lanes = self.lock();
        if let Some(error) = &lanes.refusing {
            return Err(error.clone().into());
        }
        let length = lanes.binds.len().saturating_add(lanes.others.len());
        if length >= self.most {
            counter!(telemetry::COMMITS_REJECTED).increment(1);
            return Err(CommitError::Overloaded { waiting: length });
        }
        let lane = if waiting.binds() { &mut lanes.binds } else { &mut lanes.others };
        lane.push_back(waiting);
        drop(lanes);
        self.arrived.notify_one();
        Ok(())
    }

    /// Puts calls back that were taken, before all that wait. None is turned away for want of room.
    pub(super) fn put_back(&self, calls: Vec<Waiting>) {
        let mut lanes = self.lock();
        let Some(error) = lanes.refusing.clone() else {
            for waiting in calls.into_iter().rev() {
                let lane = if waiting.binds() { &mut lanes.binds } else { &mut lanes.others };
                lane.push_front(waiting);
            }
            return;
        };
        drop(lanes);
        for waiting in calls {
            // A dropped caller needs no answer.
            drop(waiting.reply.send(Err(error.clone().into())));
        }
    }

    /// The next batch, in the order in which it is to be written; empty when nothing waits. Calls whose caller is gone
    /// are left out.
    pub(super) fn take(&self) -> Vec<Waiting> {
        let mut lanes = self.lock();
        lanes.binds.retain(|waiting| !waiting.reply.is_closed());
        lanes.others.retain(|waiting| !waiting.reply.is_closed());
        let mut batch = Batch::default();
        let large = lanes.others.front().is_some_and(|first| !Batch::default().has_room(first, BATCH_ROWS));
        if large && (lanes.binds.is_empty() || !mem::replace(&mut lanes.large_was_last, true)) {
            return lanes.others.pop_front().into_iter().collect();
        }
        lanes.large_was_last = false;
        let first_share = if lanes.others.is_empty() || large { BATCH_ROWS } else { BIND_ROWS };
        batch.fill(&mut lanes.binds, first_share);
        batch.fill(&mut lanes.others, BATCH_ROWS);
        batch.fill(&mut lanes.binds, BATCH_ROWS);
        batch.calls
    }

    /// Resolves when something was queued or [`Self::nudge`] was called since the last time.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Makes the writer read the feed unless it has reached a revision; `u64::MAX`: in any case.
    pub(super) fn nudge(&self, revision: u64) {
        let mut lanes = self.lock();
        lanes.nudged = lanes.nudged.max(revision);
        drop(lanes);
        self.arrived.notify_one();
    }

    /// The revision requested by [`Self::nudge`] since the last call; 0: none.
    pub(super) fn take_nudge(&self) -> u64 {
        mem::take(&mut self.lock().nudged)
    }

    /// Answers this to all that wait and all that come, until [`Self::admit`].
    pub(super) fn refuse(&self, error: &StoreError) {
        let mut lanes = self.lock();
        lanes.refusing = Some(error.clone());
        let (binds, others) = (mem::take(&mut lanes.binds), mem::take(&mut lanes.others));
        drop(lanes);
        for waiting in binds.into_iter().chain(others) {
            // A dropped caller needs no answer.
            drop(waiting.reply.send(Err(error.clone().into())));
        }
    }

    /// Takes calls again.
    pub(super) fn admit(&self) {
        self.lock().refusing = None;
    }

    /// How many wait: binds, others.
    pub(super) fn lengths(&self) -> (usize, usize) {
        let lanes = self.lock();
        (lanes.binds.len(), lanes.others.len())
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        // The lanes are whole after any panic: each change of them is one call.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Batch {
    calls: Vec<Waiting>,
    rows: usize,
    bytes: usize,
}

impl Batch {
    fn has_room(&self, next: &Waiting, rows: usize) -> bool {
        self.rows.saturating_add(next.rows()) <= rows && self.bytes.saturating_add(next.bytes) <= BATCH_BYTES
    }

    /// Takes calls from a lane, in order, until the next call exceeds the rows.
    fn fill(&mut self, lane: &mut VecDeque<Waiting>, rows: usize) {
        while let Some(next) = lane.front()
            && (self.calls.is_empty() || self.has_room(next, rows))
            && let Some(next) = lane.pop_front()
        {
            self.rows = self.rows.saturating_add(next.rows());
            self.bytes = self.bytes.saturating_add(next.bytes);
            self.calls.push(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Atomicity, Key, Precondition, Write};

    type Answer = oneshot::Receiver<Result<Commit, CommitError>>;

    /// Queues a call with `rows` rows and `bytes` bytes in each.
    fn push(queue: &Queue, name: &str, rows: usize, bytes: Option<usize>) -> Answer {
        let change = match bytes {
            Some(bytes) => Change::Put { body: vec![b' '; bytes].into(), uid: String::new(), node: None },
            None => Change::Bind { node: "n".into() },
        };
        let write = Write { key: Key::new("pods", "", name), precondition: Precondition::default(), change };
        let call = Call { writes: vec![write; rows], atomicity: Atomicity::Each };
        let (waiting, answer) = Waiting::new(call, Judgement::default());
        queue.push(waiting).expect("there is room");
        answer
    }

    fn taken(queue: &Queue) -> Vec<String> {
        queue.take().iter().map(|waiting| waiting.call.writes[0].key.name.clone()).collect()
    }

    #[tokio::test]
    async fn a_batch_is_bounded_in_rows_and_bytes() {
        let queue = Queue::new(100);
        let _answers = [
            push(&queue, "a", 200, Some(1)),
            push(&queue, "b", 56, Some(1)),
            push(&queue, "c", 1, Some(600_000)),
            push(&queue, "d", 1, Some(600_000)),
        ];
        assert_eq!([taken(&queue), taken(&queue), taken(&queue)], [vec!["a", "b"], vec!["c"], vec!["d"]]);
        assert!(taken(&queue).is_empty());
    }

    #[tokio::test]
    async fn a_large_call_goes_alone_and_binds_get_their_turn() {
        let queue = Queue::new(100);
        let _answers = [
            push(&queue, "large", 1_000, Some(1)),
            push(&queue, "larger", 2_000, Some(1)),
            push(&queue, "small", 1, Some(1)),
            push(&queue, "x", 1, None),
            push(&queue, "y", 256, None),
        ];
        let batches: Vec<Vec<String>> = (0..5).map(|_| taken(&queue)).collect();
        assert_eq!(batches, [vec!["large"], vec!["x"], vec!["larger"], vec!["y"], vec!["small"]]);
    }

    #[tokio::test]
    async fn refused_and_dropped_calls_are_answered_at_once() {
        let queue = Queue::new(100);
        let (waiting, gone) = (push(&queue, "a", 1, None), push(&queue, "b", 1, Some(1)));
        drop(gone);
        assert_eq!(taken(&queue), ["a"]);
        assert!(waiting.await.is_err(), "who took it has dropped it");
        let waiting = push(&queue, "a", 1, None);
        let away = StoreError::Unavailable("away".into());
        queue.refuse(&away);
        assert_eq!(waiting.await, Ok(Err(away.clone().into())));
        let call = Call { writes: Vec::new(), atomicity: Atomicity::Each };
        assert_eq!(queue.push(Waiting::new(call, Judgement::default()).0), Err(away.into()));
        queue.admit();
        let _answer = push(&queue, "b", 1, None);
        assert_eq!(queue.lengths(), (1, 0));
    }
}
