//! Decisions as they are made: facts that are noted on the way of a request, and sent off to be written once it is known what became of them.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use jiff::Timestamp;
use metrics::counter;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Log, Shared, trimmed};
use crate::{
    clock,
    core::{
        batch::{Options, Placed},
        model::{Name, Pod},
        policy::Profile,
        snapshot::Snapshot,
    },
    service::context::Chosen,
    store::EntryId,
    telemetry,
    wire::{
        decision::{AskedBy, CallKind, Carried, DecisionOutcome, Share, WHOLE},
        explanation::PolicyUsed,
    },
};

/// The longest text of a policy that is recorded with each decision.
const LONGEST_POLICY: usize = 16 << 10;

/// Bits of an id that number the decisions of a batch.
const NUMBERS: u32 = 20;

/// The common part of the decisions of a request.
#[derive(Debug)]
pub struct About {
    /// The cluster.
    pub cluster: Arc<str>,
    /// The part of the cluster's history that they belong to.
    pub epoch: u64,
    /// The kind of call.
    pub call: CallKind,
    /// The user and the program that ask.
    pub by: AskedBy,
    /// The policy.
    pub policy: PolicyUsed,
    /// Its text without secrets, if it came with the request.
    pub text: Option<Box<RawValue>>,
    /// The profile that decides.
    pub profile: Arc<Profile>,
    /// How it decides.
    pub options: Options,
    /// Nodes that get no pods for now.
    pub avoided: Vec<Name>,
    /// The revision of the state that the pods were read from.
    pub read_at: u64,
    /// Why these decisions cannot be made again, if so.
    pub unrepeatable: Option<&'static str>,
}

impl About {
    /// The common part of decisions by a policy.
    pub fn new(cluster: &Arc<str>, call: CallKind, by: AskedBy, chosen: &Chosen, text: Option<&RawValue>) -> Self {
        let is_long = text.is_some_and(|text| text.get().len() > LONGEST_POLICY);
        Self {
            cluster: cluster.clone(),
            epoch: 0,
            call,
            by,
            policy: chosen.used(),
            text: text.filter(|_| !is_long).and_then(trimmed::policy),
            profile: chosen.profile().clone(),
            options: Options::default(),
            avoided: Vec::new(),
            read_at: 0,
            unrepeatable: is_long.then_some("the policy that came with its request is too long to be recorded"),
        }
    }
}

/// The answer of one decision.
#[derive(Clone, Debug)]
pub enum Said {
    /// The pod goes to a node.
    Placed(Placed),
    /// It fits nowhere; why.
    Nowhere(String),
}

/// One decision.
#[derive(Debug)]
pub(super) struct One {
    pub(super) number: u32,
    /// The number of pods that were placed in the batch before it.
    pub(super) place: usize,
    pub(super) pod: Arc<Pod>,
    /// The pod as it was sent, if it was.
    pub(super) body: Option<Bytes>,
    pub(super) said: Said,
    /// `None` until it is known.
    pub(super) outcome: Option<(DecisionOutcome, Option<String>)>,
}

/// The batch of a decision.
#[derive(Clone, Debug)]
pub(super) struct OfBatch {
    pub(super) time: Timestamp,
    chance: u64,
    /// The state that it began with.
    pub(super) base: Snapshot,
    pub(super) carried: Option<Carried>,
    /// The placements of those that were carried.
    pub(super) carried_pods: Vec<(Arc<Pod>, Placed)>,
}

impl OfBatch {
    fn new(base: &Snapshot) -> Self {
        let chance = Uuid::new_v4().as_u64_pair().0 << NUMBERS;
        Self { time: clock::now(), chance, base: base.clone(), carried: None, carried_pods: Vec::new() }
    }

    /// The id of the decision of this number.
    pub(super) fn id(&self, number: u32) -> EntryId {
        EntryId::new(self.time, self.chance | u64::from(number))
    }
}

/// Decisions of a batch that were made at once.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) about: Arc<About>,
    pub(super) batch: Arc<OfBatch>,
    pub(super) decisions: Vec<One>,
}

/// The decisions of a request in progress; nothing where they are not recorded.
#[derive(Default)]
pub struct Making(Option<Box<Progress>>);

struct Progress {
    shared: Arc<Shared>,
    about: Arc<About>,
    batch: Arc<OfBatch>,
    /// The number of the next decision of the batch.
    next: u32,
    /// How many pods were placed in it.
    placed: usize,
}

/// Decisions whose outcome is awaited. Those of which it does not become known are recorded as not bound.
#[derive(Default)]
pub struct Made(Option<(Arc<Shared>, Chunk)>);

impl Log {
    /// `true` if decisions that bind are recorded.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins to note decisions.
    pub fn making(&self, about: impl FnOnce() -> About) -> Making {
        let Some(shared) = self.0.clone() else { return Making::default() };
        let batch = Arc::new(OfBatch::new(&Snapshot::default()));
        Making(Some(Box::new(Progress { shared, about: Arc::new(about()), batch, next: 0, placed: 0 })))
    }

    /// `true` if this call of a verb is one of the share that is recorded.
    pub fn samples(&self, verb: CallKind) -> bool {
        let Some(shared) = &self.0 else { return false };
        let Share::Of(parts) = shared.share else { return false };
        let calls = if verb == CallKind::Filter { &shared.filters } else { &shared.priorities };
        // Evenly spread: this call is where the share of the calls so far grows by one.
        let before = calls.fetch_add(1, Ordering::Relaxed);
        let share = |calls: u64| u128::from(calls) * u128::from(parts) / u128::from(WHOLE);
        share(before.saturating_add(1)) > share(before)
    }
}

impl Making {
    /// A batch begins on this state.
    pub fn begin(&mut self, base: &Snapshot) {
        if let Some(progress) = &mut self.0 {
            progress.batch = Arc::new(OfBatch::new(base));
            (progress.next, progress.placed) = (0, 0);
        }
    }

    /// Some pods were decided one after the other; `body`: the pods that are not stored yet.
    pub fn decided(&mut self, decided: impl Iterator<Item = (Arc<Pod>, Option<Bytes>, Said)>) -> Made {
        let Some(progress) = &mut self.0 else { return Made::default() };
        let mut decisions = Vec::with_capacity(decided.size_hint().0);
        for (pod, body, said) in decided {
            let (number, place) = (progress.next, progress.placed);
            if number >> NUMBERS != 0 {
                lost(1, "dropped");
                continue;
            }
            progress.next += 1;
            progress.placed += usize::from(matches!(said, Said::Placed(_)));
            let outcome = matches!(said, Said::Nowhere(_)).then_some((DecisionOutcome::Unschedulable, None));
            decisions.push(One { number, place, pod, body, said, outcome });
        }
        if decisions.is_empty() {
            return Made::default();
        }
        let chunk = Chunk { about: progress.about.clone(), batch: progress.batch.clone(), decisions };
        Made(Some((progress.shared.clone(), chunk)))
    }

    /// A new batch begins on this state, on which the placements of `made`, the last of the batch before, count already.
    pub fn rebased(&mut self, base: &Snapshot, made: &Made) {
        let Some(progress) = &mut self.0 else { return };
        let mut batch = OfBatch::new(base);
        let placed = made.placed();
        batch.carried_pods = placed.map(|(_, pod, there)| (pod.clone(), there.clone())).collect();
        let count = batch.carried_pods.len();
        let from = made.placed().next().map_or(0, |(place, ..)| place);
        batch.carried = (count > 0).then(|| Carried { batch: progress.batch.id(0).to_string(), from, count });
        progress.batch = Arc::new(batch);
        (progress.next, progress.placed) = (0, count);
    }
}

impl Made {
    fn placed(&self) -> impl Iterator<Item = (usize, &Arc<Pod>, &Placed)> {
        let decisions = self.0.iter().flat_map(|(_, chunk)| &chunk.decisions);
        decisions.filter_map(|one| match &one.said {
            Said::Placed(there) => Some((one.place, &one.pod, there)),
            Said::Nowhere(_) => None,
        })
    }

    /// Takes in the outcomes for the pods that were placed, in their order.
    pub fn ended(mut self, outcomes: impl IntoIterator<Item = (DecisionOutcome, Option<String>)>) {
        if let Some((_, chunk)) = &mut self.0 {
            let waiting = chunk.decisions.iter_mut().filter(|one| one.outcome.is_none());
            for (one, outcome) in waiting.zip(outcomes) {
                one.outcome = Some(outcome);
            }
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some((shared, chunk)) = self.0.take() {
            shared.writing.push(chunk);
        }
    }
}

/// Counts decisions that are not recorded.
pub(super) fn lost(count: u64, why: &'static str) {
    if count > 0 {
        counter!(telemetry::DECISIONS_DROPPED, "reason" => why).increment(count);
    }
}
