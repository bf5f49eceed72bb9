//! Decisions become entries of the ledger, on a task of their own.
//!
//! Why nodes were ruled out and the best nodes are worked out here and not where the decision is made: the decision knows the best node alone, and the
//! rest would cost it as much again. The time for that is bounded: a busy server leaves it out, and it is worked out when the decision is read.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    BEST, KIND, LONGEST_POD,
    calls::{Action, Call, NotedBind, entry_of_action, entry_of_bind, entry_of_call},
    made::{About, Chunk, OfBatch, One, Said, lost},
    trimmed,
};
use crate::{
    core::{
        batch::{Batch, Placed},
        model::Pod,
        summary::{self, Summary},
    },
    service::{
        audit::{Recorder, word},
        supervised::Supervised,
    },
    store::Entry,
    wire::{
        decision::{BatchPlace, Charge, Decision, DecisionOutcome, Effects, JudgedPod, NodeScore, VerdictCount},
        explanation::PodName,
    },
};

/// Decisions that wait to be written, and bytes of their pods.
const MOST: usize = 20_000;
const MOST_BYTES: usize = 16 << 20;

/// Longest wait of a reader for what was decided before.
const FLUSHED_WITHIN: Duration = Duration::from_secs(2);

/// Before a task that ended begins again.
const AGAIN: Duration = Duration::from_millis(250);

/// The part of the time that summaries take, as one in so many, and the time that they may take at once.
const TIME_FOR_SUMMARIES: u32 = 40;
const AT_ONCE: Duration = Duration::from_secs(1);

/// Placements before a decision in its batch that are done again for its summary.
const MOST_BEFORE: usize = 1_024;

enum Message {
    Chunk(Chunk),
    Call(Box<Call>),
    Bind(Box<NotedBind>),
    Action(Box<Action>),
    /// Asks for the recorder's mark behind all before.
    Mark(oneshot::Sender<u64>),
}

/// Writes decisions until it is dropped.
pub(super) struct Writing {
    messages: mpsc::UnboundedSender<Message>,
    waiting: Arc<Waiting>,
    recorder: Arc<Recorder>,
    _running: Supervised,
}

/// Counts of decisions that wait.
#[derive(Default)]
struct Waiting {
    decisions: AtomicUsize,
    bytes: AtomicUsize,
}

impl Message {
    /// The number of its decisions, and the bytes that it keeps.
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Chunk(chunk) => {
                let bodies = chunk.decisions.iter().filter_map(|one| one.body.as_ref());
                (chunk.decisions.len(), bodies.map(Bytes::len).sum())
            }
            Self::Call(call) => (1, call.body.len().saturating_mul(2)),
            Self::Bind(_) | Self::Action(_) => (1, 0),
            Self::Mark(_) => (0, 0),
        }
    }

    /// The part of its cluster's history that it belongs to.
    fn epoch(&self) -> u64 {
        match self {
            Self::Chunk(chunk) => chunk.about.epoch,
            Self::Call(call) => call.context.epoch,
            Self::Bind(bind) => bind.epoch,
            Self::Action(action) => action.epoch,
            Self::Mark(_) => 0,
        }
    }

    /// The entries of its decisions.
    fn entries(self, budget: &mut Budget) -> Vec<Entry> {
        match self {
            Self::Chunk(chunk) => entries(&chunk, budget),
            Self::Call(call) => entry_of_call(*call).into_iter().collect(),
            Self::Bind(bind) => entry_of_bind(*bind).into_iter().collect(),
            Self::Action(action) => entry_of_action(*action).into_iter().collect(),
            Self::Mark(_) => Vec::new(),
        }
    }
}

impl Writing {
    /// Starts the task.
    pub(super) fn start(recorder: Recorder) -> Self {
        let (messages, received) = mpsc::unbounded_channel();
        let waiting = Arc::new(Waiting::default());
        let (received, recorder) = (Arc::new(tokio::sync::Mutex::new(received)), Arc::new(recorder));
        let (budget, of, to) = (Arc::new(Mutex::new(Budget::new())), waiting.clone(), recorder.clone());
        let run = move || {
            let (received, recorder) = (received.clone(), to.clone());
            let (budget, waiting) = (budget.clone(), of.clone());
            async move {
                let mut received = received.lock().await;
                while let Some(message) = received.recv().await {
                    if let Message::Mark(reader) = message {
                        // It may be gone.
                        let _ = reader.send(recorder.mark());
                        continue;
                    }
                    let (count, bytes) = message.size();
                    // It waits until its entries are made: they are counted by the recorder.
                    let _room = Room { waiting: &waiting, count, bytes };
                    let (budget, epoch) = (budget.clone(), message.epoch());
                    let writing = move || {
                        let mut budget = budget.lock().unwrap_or_else(PoisonError::into_inner);
                        message.entries(&mut budget)
                    };
                    let entries = tokio::task::spawn_blocking(writing).await.unwrap_or_else(|error| {
                        tracing::error!(%error, "decisions are not recorded");
                        Vec::new()
                    });
                    lost(count.saturating_sub(entries.len()) as u64, "unreadable");
                    for entry in entries {
                        recorder.note_of(entry, epoch);
                    }
                }
            }
        };
        Self { messages, waiting, recorder, _running: Supervised::start("the record of decisions", AGAIN, run) }
    }

    /// Takes decisions in, if there is room for them.
    pub(super) fn push(&self, chunk: Chunk) {
        self.send(Message::Chunk(chunk));
    }

    /// Takes a call in, if there is room for it.
    pub(super) fn push_call(&self, call: Call) {
        self.send(Message::Call(Box::new(call)));
    }

    /// Takes a bind in, if there is room for it.
    pub(super) fn push_bind(&self, bind: NotedBind) {
        self.send(Message::Bind(Box::new(bind)));
    }

    /// Takes an action in, if there is room for it.
    pub(super) fn push_action(&self, action: Action) {
        self.send(Message::Action(Box::new(action)));
    }

    fn send(&self, message: Message) {
        let (count, bytes) = message.size();
        let decisions = self.waiting.decisions.fetch_add(count, Ordering::Relaxed);
        let before = self.waiting.bytes.fetch_add(bytes, Ordering::Relaxed);
        // Any one is taken in where nothing waits.
        let is_full = decisions > 0 && (decisions + count > MOST || before + bytes > MOST_BYTES);
        if is_full || self.messages.send(message).is_err() {
            drop(Room { waiting: &self.waiting, count, bytes });
            lost(count as u64, "dropped");
        }
    }

    /// Waits until all that was decided before is recorded, for a while.
    pub(super) async fn flush(&self) {
        let (reader, mark) = oneshot::channel();
        let recorded = async {
            if self.messages.send(Message::Mark(reader)).is_ok()
                && let Ok(mark) = mark.await
            {
                self.recorder.reached(mark).await;
            }
        };
        if timeout(FLUSHED_WITHIN, recorded).await.is_err() {
            tracing::debug!("decisions are read that are not recorded yet");
        }
    }
}

/// The room of decisions that wait, until it is dropped.
struct Room<'w> {
    waiting: &'w Waiting,
    count: usize,
    bytes: usize,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.waiting.decisions.fetch_sub(self.count, Ordering::Relaxed);
        self.waiting.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The time that is left for summaries.
struct Budget {
    left: Duration,
    since: Instant,
}

impl Budget {
    fn new() -> Self {
        Self { left: AT_ONCE, since: Instant::now() }
    }

    /// Does some work, if there is time for it.
    fn spend<T>(&mut self, work: impl FnOnce() -> T) -> Option<T> {
        let begun = Instant::now();
        self.left = (self.left + (begun - self.since) / TIME_FOR_SUMMARIES).min(AT_ONCE);
        self.since = begun;
        if self.left.is_zero() {
            return None;
        }
        let done = work();
        self.left = self.left.saturating_sub(begun.elapsed());
        Some(done)
    }
}

/// The entries of a chunk.
fn entries(chunk: &Chunk, budget: &mut Budget) -> Vec<Entry> {
    let Chunk { about, batch, decisions } = chunk;
    let mut summaries = budget.spend(|| summaries(chunk)).unwrap_or_default().into_iter();
    decisions.iter().filter_map(|one| entry(about, batch, one, summaries.next())).collect()
}

/// The summaries of the decisions, in their order, as far as they are cheap: the placements before a decision are done again.
fn summaries(chunk: &Chunk) -> Vec<Summary> {
    let Chunk { about, batch: of, decisions } = chunk;
    // Placements of an earlier chunk are not known here.
    let first = decisions.first().map_or(0, |one| one.place);
    if about.unrepeatable.is_some() || first != of.carried_pods.len() || first + decisions.len() > MOST_BEFORE {
        return Vec::new();
    }
    let mut batch = Batch::new(&*about.profile, of.base.clone(), about.options);
    of.carried_pods.iter().for_each(|(pod, there)| batch.put(pod, there));
    let summary = |one: &One| {
        let summary = summary::summarize(&about.profile, &one.pod, batch.snapshot(), about.options.seed, BEST);
        if let Said::Placed(there) = &one.said {
            batch.put(&one.pod, there);
        }
        summary
    };
    decisions.iter().map(summary).collect()
}

fn entry(about: &About, batch: &OfBatch, one: &One, summary: Option<Summary>) -> Option<Entry> {
    let id = batch.id(one.number);
    let mut decision = record(about, batch, one);
    decision.id = id.to_string();
    decision.time = batch.time.to_string();
    if let Some(summary) = summary {
        summarized(&mut decision, &summary);
    }
    written(about, &decision).map(|body| Entry {
        cluster: about.cluster.clone(),
        kind: KIND.into(),
        id,
        subject: word(decision.node.as_deref().unwrap_or_default()),
        object: word(&format!("{}/{}", one.pod.namespace, one.pod.name)),
        body,
    })
}

fn written(about: &About, decision: &Decision) -> Option<Bytes> {
    let text = serde_json::to_vec(decision);
    text.inspect_err(|error| tracing::error!(%error, cluster = &*about.cluster, "a decision cannot be written"))
        .ok()
        .map(Bytes::from)
}

/// Puts why nodes are ruled out and the best nodes into a record.
pub fn summarized(decision: &mut Decision, summary: &Summary) {
    let count = |(reason, nodes): (&_, &usize)| VerdictCount { reason: format!("{reason}"), nodes: *nodes };
    decision.verdicts = Some(summary.counts.iter().map(|(reason, nodes)| count((reason, nodes))).collect());
    let score = |(node, total): &(crate::core::model::Name, i64)| NodeScore { node: node.to_string(), total: *total };
    decision.scores = Some(summary.best.iter().map(score).collect());
    decision.fitting.get_or_insert(summary.fitting);
}

fn name_of(pod: &Arc<Pod>) -> PodName {
    PodName { namespace: pod.namespace.to_string(), name: pod.name.to_string() }
}

/// Changes of a placement besides the pod's node and its victims.
pub fn effects(there: &Placed) -> Effects {
    let charges = there.charges.iter().map(|(budget, used)| Charge {
        namespace: budget.namespace.to_string(),
        name: budget.name.to_string(),
        used: *used,
    });
    Effects {
        charges: charges.collect(),
        cleared: there.nominations_to_clear.iter().map(name_of).collect(),
        claims: there.volumes.len(),
    }
}

fn record(about: &About, batch: &OfBatch, one: &One) -> Decision {
    let mut unrepeatable = about.unrepeatable.map(str::to_owned);
    let is_short = |body: &&Bytes| body.len() <= LONGEST_POD;
    if one.body.as_ref().is_some_and(|body| !is_short(&body)) {
        unrepeatable = Some("its pod is too long to be recorded".into());
    }
    let body = one.body.as_ref().filter(is_short);
    let body = body.and_then(|body| serde_json::from_slice::<&RawValue>(body).ok()).and_then(trimmed::pod);
    let stored = batch.base.pod(&one.pod.namespace, &one.pod.name);
    let is_as_stored =
        one.body.is_some() || stored.is_some_and(|stored| Arc::ptr_eq(stored, &one.pod) || **stored == *one.pod);
    let (outcome, why) = one.outcome.clone().unwrap_or((DecisionOutcome::NotBound, None));
    let mut decision = Decision {
        cluster: about.cluster.to_string(),
        call: about.call,
        by: about.by.clone(),
        pod: JudgedPod {
            namespace: one.pod.namespace.to_string(),
            name: one.pod.name.to_string(),
            uid: one.pod.uid.to_string(),
            revision: (!is_as_stored).then_some(about.read_at),
            body,
        },
        policy: about.policy.clone(),
        policy_text: about.text.clone(),
        revision: batch.base.revision,
        seed: about.options.seed,
        preempt: about.options.preempt,
        batch: Some(BatchPlace { id: batch.id(0).to_string(), place: one.place, carried: batch.carried.clone() }),
        avoided: about.avoided.iter().map(ToString::to_string).collect(),
        outcome,
        message: why,
        unrepeatable,
        ..Decision::default()
    };
    match &one.said {
        Said::Placed(there) => {
            decision.node = Some(there.node.to_string());
            decision.total = there.victims.is_empty().then_some(there.total);
            decision.fitting = Some(there.fitting);
            decision.victims = there.victims.iter().map(name_of).collect();
            decision.effects = effects(there);
        }
        Said::Nowhere(message) => decision.message = Some(message.clone()),
    }
    decision
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_take_a_bounded_part_of_the_time() {
        let mut budget = Budget::new();
        assert_eq!(budget.spend(|| 7), Some(7));
        budget.left = Duration::ZERO;
        budget.since = Instant::now() + Duration::from_secs(1);
        assert_eq!(budget.spend(|| 7), None, "there is no time left");
    }
}
