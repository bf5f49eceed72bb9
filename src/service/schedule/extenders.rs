//! Pods that the policy's own extenders handle: filtered, scored and bound by them.
//!
//! Deciding goes one by one, since each pod sees those before it: nodes that fit → `filter` → `prioritize` → choice, and
//! where nothing fits `preempt`.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{
    deciding::{Batched, Decided, as_waiting, decide, known, measure},
    pods::Task,
    report::Answers,
    run::Run,
};
use crate::{
    core::{
        batch::Placed,
        cycle::{self, Cycle},
        extenders::ExtenderAnswers,
        model::{Name, Pod},
        policy::Profile,
        preempt::{self, Attempt, Candidate, DryRun},
        snapshot::Snapshot,
    },
    extenders::{Chain, Documents, Failure, Victims},
    service::{
        compute::compute,
        error::Result,
        extenders::{self, Stored},
    },
    store::Change,
    telemetry::trace,
    wire::{document::Document, extender_calls::PodDocument},
};

/// The result for one pod before preemption.
enum Settled {
    Placed(Placed),
    Nowhere(String, Attempt),
}

impl Run {
    /// Decides for the pods in order. Where the client leaves meanwhile, those that are left are dropped.
    pub(super) async fn decide(
        &self,
        mut batch: Batched,
        chunk: Vec<Task>,
        answers: &Answers,
    ) -> Result<(Batched, Vec<(Task, Decided)>)> {
        let _deciding = trace::phase("decide");
        let Some(asking) = &self.asking else { return decide(batch, chunk, &self.chosen).await };
        let stored = Stored { service: self.service.clone(), cluster: self.cluster.clone() };
        let documents: &dyn Documents = asking.sent.as_ref().map_or(&stored, |sent| sent);
        let mut decided = Vec::with_capacity(chunk.len());
        for mut task in chunk {
            if answers.client_left() {
                break;
            }
            let document = match document(&task, documents).await {
                Ok(document) => document.filter(|document| asking.chain.is_about(document)),
                Err(message) => {
                    decided.push((task, Decided::Failed(message)));
                    continue;
                }
            };
            task.document = document.clone();
            let is_asked = known(&task, &batch).is_none() && task.pod.spec.scheduling_gates.is_empty();
            let Some(document) = document.filter(|_| is_asked) else {
                let (worked, one) = decide(batch, vec![task], &self.chosen).await?;
                batch = worked;
                decided.extend(one);
                continue;
            };
            as_waiting(&mut task);
            let start = Instant::now();
            let (worked, said) = self.ask(batch, &mut task, &asking.chain, &document, documents).await?;
            batch = worked;
            measure(said.in_a_word(), self.chosen.name(), start.elapsed());
            decided.push((task, said));
        }
        Ok((batch, decided))
    }

    async fn ask(
        &self,
        batch: Batched,
        task: &mut Task,
        chain: &Chain,
        document: &PodDocument,
        documents: &dyn Documents,
    ) -> Result<(Batched, Decided)> {
        let (profile, pod, snapshot) = (self.chosen.profile().clone(), task.pod.clone(), batch.snapshot().clone());
        let fitting = compute(move || extenders::fitting(&profile, &pod, &snapshot)).await?;
        task.is_asked_about = !fitting.is_empty();
        let (extenders, failures) = extenders::ask(chain, document, &fitting, documents).await;
        task.errors.extend(failures.into_iter().map(Into::into));
        if let Some(failure) = extenders.failure {
            return Ok((batch, Decided::Failed(failure)));
        }
        let (pod, seed, may_preempt) = (task.pod.clone(), self.options.seed, self.options.preempt);
        let (batch, settled) = compute(move || settle(batch, &pod, seed, may_preempt, &extenders)).await?;
        let (message, attempt) = match settled {
            Settled::Placed(there) => return Ok((batch, Decided::Placed(there))),
            Settled::Nowhere(message, attempt) => (message, attempt),
        };
        if attempt.candidates.is_empty() {
            let note = attempt.note.map(|note| format!(" {note}"));
            return Ok((batch, Decided::Unschedulable(message + &note.unwrap_or_default())));
        }
        let snapshot = batch.snapshot().clone();
        let candidates = match approved(chain, document, attempt, &snapshot, documents).await {
            Ok((candidates, skipped)) => {
                task.errors.extend(skipped.into_iter().map(Into::into));
                candidates
            }
            Err(failure) => {
                let message = failure.to_string();
                task.errors.push(failure.into());
                return Ok((batch, Decided::Failed(message)));
            }
        };
        let pod = task.pod.clone();
        compute(move || {
            let mut batch = batch;
            match room(batch.profile(), &pod, &snapshot, seed, &candidates) {
                Some(there) => {
                    let there = batch.settle(&pod, there);
                    (batch, Decided::Placed(there))
                }
                None => (batch, Decided::Unschedulable(message)),
            }
        })
        .await
    }
}

/// The waiting pod for extenders; `None` if it is gone.
async fn document(task: &Task, documents: &dyn Documents) -> std::result::Result<Option<PodDocument>, String> {
    let text: Option<Arc<str>> = if let Some(Change::Put { body, .. }) = &task.new {
        std::str::from_utf8(body).ok().map(Into::into)
    } else {
        let name = (task.pod.namespace.clone(), task.pod.name.clone());
        documents.pods(&[name]).await?.into_iter().flatten().next()
    };
    let Some(text) = text else { return Ok(None) };
    let unreadable = |error: crate::wire::decode::DecodeError| format!("the pod cannot be read: {error}");
    let mut document = Document::parse(text.as_bytes()).map_err(unreadable)?;
    if task.pod.is_assigned() {
        document.set_text_in("spec", "nodeName", "").map_err(unreadable)?;
    }
    PodDocument::parse(document.to_json().as_bytes()).map(Some).map_err(unreadable)
}

/// Chooses a node for the pod and puts it there; where there is none, the attempt to make room.
fn settle(
    mut batch: Batched,
    pod: &Arc<Pod>,
    seed: u64,
    may_preempt: bool,
    extenders: &ExtenderAnswers,
) -> (Batched, Settled) {
    let decision = cycle::decide_with(batch.profile(), pod, batch.snapshot(), seed, extenders);
    let Some(node) = decision.selected else {
        let attempt = if may_preempt {
            preempt::attempt_with(batch.profile(), pod, batch.snapshot(), seed, extenders)
        } else {
            Attempt { candidates: Vec::new(), selected: None, message: String::new(), note: None }
        };
        let message = decision.message;
        return (batch, Settled::Nowhere(message, attempt));
    };
    let total = decision.nodes.iter().find(|there| *there.node.name() == node).map_or(0, |there| there.total);
    let placed = Placed {
        total,
        decided_at: decision.decided_by.map(|level| level.number - 1),
        fitting: decision.nodes.iter().filter(|node| node.rank.is_some()).count(),
        node,
        ..Placed::default()
    };
    let placed = batch.settle(pod, placed);
    (batch, Settled::Placed(placed))
}

/// The candidates that the extenders accept, and the ignorable extenders that did not answer. Since the commit that evicts also binds the pod,
/// extenders filter before it: a node that one rules out is no candidate, unless it says that evictions may help and checks the victims itself.
async fn approved(
    chain: &Chain,
    pod: &PodDocument,
    attempt: Attempt,
    snapshot: &Snapshot,
    documents: &dyn Documents,
) -> std::result::Result<(BTreeMap<Name, Victims>, Vec<Failure>), Failure> {
    let names: Vec<Name> = attempt.candidates.iter().map(|candidate| candidate.node.clone()).collect();
    let filtered = chain.filter(pod, &names, documents).await?;
    let is_ruled_out = |node: &Name| {
        let verdict = filtered.verdicts.get(node);
        verdict.is_some_and(|said| said.verdict.is_unresolvable() || !chain.knows_victims(pod, &said.by))
    };
    let victims = |Candidate { node, victims, pdb_violations }: Candidate| {
        (node, Victims { pods: victims, budget_violations: pdb_violations as i64 })
    };
    let candidates = attempt.candidates.into_iter().filter(|candidate| !is_ruled_out(&candidate.node)).map(victims);
    let preempted = chain.preempt(pod, candidates.collect(), snapshot, documents).await?;
    let skipped = filtered.skipped.into_iter().chain(preempted.skipped).collect();
    Ok((preempted.candidates, skipped))
}

/// The best of the candidates that extenders left. Candidates whose victims do not suffice, or are not all of lower priority, are skipped: an
/// extender cannot evict more than the policy would.
fn room(
    profile: &Profile,
    pod: &Arc<Pod>,
    snapshot: &Snapshot,
    seed: u64,
    left: &BTreeMap<Name, Victims>,
) -> Option<Placed> {
    let cycle = Cycle::prepare(profile, pod, snapshot);
    let dry_run = DryRun::new(profile.release, pod, snapshot, &cycle);
    let priority = snapshot.priority_of(pod);
    let acceptable = |(node, victims): (&Name, &Victims)| {
        let lower = victims.pods.iter().all(|victim| snapshot.priority_of(victim) < priority);
        let accepted = dry_run.accept(snapshot.node(node).filter(|_| lower)?, &victims.pods)?;
        (accepted.victims.len() == victims.pods.len()).then_some(accepted)
    };
    let candidates: Vec<Candidate> = left.iter().filter_map(acceptable).collect();
    let chosen = preempt::best(&candidates, pod, snapshot, seed)?;
    Some(Placed::preempting(pod, chosen, snapshot))
}
