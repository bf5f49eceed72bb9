//! One request carried out, chunk by chunk.

use std::{collections::VecDeque, sync::Arc};

use metrics::{counter, histogram};

use super::{
    deciding::{AT_ONCE, Asking, Batched, Decided, FEW, noted},
    pods::{Settled, Task, already_bound, answer, failed},
    report::Answers,
};
use crate::{
    core::{
        batch::{self, Batch, Placed},
        claim_choice::ClaimChoice,
        model::{Effect, Name, Pod, Taint},
        snapshot::{Object, Snapshot},
        suggest,
    },
    live::{View, fork},
    service::{
        Service,
        bind::{Bind, BindOutcome, Binder, InStore, binder},
        compute::{compute, compute_chunk},
        context::{self, Chosen},
        decisions::{Made, Making},
        error::Result,
        reserve::lapsing_in,
    },
    store::{Refusal, Write},
    telemetry::{self, labels::PROFILES},
    wire::{
        decision::DecisionOutcome,
        explanation::{DecidingLevel, PodName},
        extender_calls::PodDocument,
        schedule::{ScheduleResult, ScheduleSummary, ScheduledPod},
        suggestion::Suggestion,
    },
};

/// Number of pods that are placed before they are bound and the view is renewed: a few milliseconds of work, so that a plan is seldom stale, and
/// enough to make a commit worth its time.
const CHUNK: usize = 512;

/// How often a pod is decided when others keep coming first. All that come at once choose the same volume, so of twenty the last one needs as
/// many attempts.
const ATTEMPTS: usize = 32;

/// The taint of nodes that get no pods for now; no stored node has it.
const RESTING: &str = "podberth.io/resting";

/// Number of kinds of pods that get suggestions.
const EXPLAINED: usize = 5;

/// A request, ready to be carried out.
pub(super) struct Run {
    pub(super) service: Service,
    pub(super) cluster: Arc<str>,
    pub(super) chosen: Chosen,
    pub(super) options: batch::Options,
    /// For how many seconds nodes are reserved instead of bound.
    pub(super) assume: Option<u32>,
    pub(super) is_trial: bool,
    pub(super) all_or_nothing: bool,
    pub(super) suggestions: bool,
    /// The first write of each call that binds: see [`InStore::fence`].
    pub(super) fence: Option<Write>,
    /// Nodes that get no pods for now.
    pub(super) avoids: Vec<Name>,
    /// The extenders of the policy, if any may be called.
    pub(super) asking: Option<Asking>,
    /// The snapshot of the first decisions.
    pub(super) snapshot: Snapshot,
    /// Notes the decisions.
    pub(super) making: Making,
    /// In the order in which they are placed.
    pub(super) tasks: Vec<Task>,
    /// Answers about which nothing is to be decided.
    pub(super) settled: Vec<Settled>,
}

/// A pod that fits nowhere, and why.
type Unschedulable = (Task, String);

/// Pods that were placed and are to be bound.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) placed: Vec<(Task, Placed)>,
    /// The pods that fit nowhere in this state.
    nowhere: Vec<Unschedulable>,
    /// The revision of a state that becomes the working copy when these are carried out and nothing else.
    pub(super) base: u64,
    /// `true` if they were decided on that state.
    pub(super) is_judged: bool,
    /// The notes of all decisions of the chunk.
    made: Made,
}

impl Chunk {
    fn is_empty(&self) -> bool {
        self.placed.is_empty() && self.nowhere.is_empty()
    }

    /// How many revisions it takes.
    fn revisions(&self) -> u64 {
        let evictions = |there: &Placed| there.victims.len() + there.charges.len() + there.nominations_to_clear.len();
        let volumes = |there: &Placed| there.volumes.iter().map(ClaimChoice::outcome_count).sum::<usize>();
        let revisions =
            |(task, there): &(Task, Placed)| usize::from(task.new.is_some()) + evictions(there) + 1 + volumes(there);
        self.placed.iter().map(revisions).sum::<usize>() as u64
    }
}

impl Run {
    /// Carries the request out and reports the result for each pod. Returns the summary and the state afterwards.
    pub(super) async fn run(mut self, answers: &mut Answers) -> Result<(ScheduleSummary, Snapshot)> {
        for (index, pod) in std::mem::take(&mut self.settled) {
            answers.tell(index, pod).await;
        }
        let tasks = std::mem::take(&mut self.tasks);
        let (batch, unschedulable, revision) = if self.all_or_nothing {
            Box::pin(self.together(tasks, answers)).await?
        } else {
            Box::pin(self.one_by_one(tasks.into(), answers)).await?
        };
        let after = if self.is_trial { batch.snapshot().clone() } else { self.newest().await?.snapshot.clone() };
        self.explain(batch, unschedulable, answers).await?;
        let summary = ScheduleSummary {
            revision,
            policy: self.chosen.used(),
            seed: self.options.seed,
            dry_run: self.is_trial,
            ..answers.counts.clone()
        };
        Ok((summary, after))
    }

    /// Each pod for itself. While a chunk is carried out the next one is decided, as if all of that were done already.
    async fn one_by_one(
        &mut self,
        mut tasks: VecDeque<Task>,
        answers: &mut Answers,
    ) -> Result<(Batched, Vec<Unschedulable>, u64)> {
        let mut batch = self.batch();
        self.making.begin(batch.base());
        let mut revision = batch.revision();
        let mut unschedulable = Vec::new();
        let mut underway = Chunk { base: revision, ..Chunk::default() };
        while !(answers.client_left() || tasks.is_empty() && underway.is_empty()) {
            let most = match &self.asking {
                None => CHUNK,
                Some(_) if underway.placed.is_empty() => AT_ONCE,
                Some(_) => 0,
            };
            let next = tasks.drain(..tasks.len().min(most)).collect();
            let (decided, outcomes) = tokio::join!(self.decide(batch, next, answers), self.bind_each(&mut underway));
            let ((worked, decided), outcomes) = (decided?, outcomes?);
            batch = worked;
            let made = noted(&mut self.making, &decided);
            let (mut placed, mut nowhere) = (Vec::new(), Vec::new());
            for (task, decided) in decided {
                match decided {
                    Decided::Placed(there) => placed.push((task, there)),
                    Decided::Unschedulable(message) => nowhere.push((task, message)),
                    Decided::AlreadyOn(node) => {
                        let result = already_bound(&task.pod.namespace, &task.pod.name, &node);
                        answers.tell_of(task, result).await;
                    }
                    Decided::Gone => answers.tell(task.index, gone(&task.pod)).await,
                    Decided::Failed(message) => {
                        let result = failed(&task.pod.namespace, &task.pod.name, message);
                        answers.tell_of(task, result).await;
                    }
                }
            }
            if self.is_trial {
                for (task, there) in placed {
                    let result = self.scheduled(&task.pod, &there);
                    answers.tell_of(task, result).await;
                }
                unschedulable.append(&mut nowhere);
                continue;
            }
            let expected = underway.base + underway.revisions();
            let view = self.newest().await?;
            // Each took a revision at least: where these are all, nothing else has happened.
            let is_as_decided = outcomes.iter().all(|outcome| matches!(outcome, BindOutcome::Bound { .. }))
                && view.snapshot.revision == expected;
            underway.made.ended(outcomes.iter().map(|outcome| self.ended(outcome)));
            let again = self.settle(underway.placed, outcomes, &view, &mut revision, answers).await;
            if again.is_empty() {
                unschedulable.append(&mut underway.nowhere);
            } else {
                // What fits nowhere in view of plans that came to nothing is decided again.
                let in_vain = underway.nowhere.into_iter().chain(std::mem::take(&mut nowhere));
                let anew: Vec<Task> = again.into_iter().chain(in_vain.map(|(task, _)| task)).collect();
                anew.into_iter().rev().for_each(|task| tasks.push_front(task));
            }
            // A node that was reserved before was not chosen here.
            let is_judged = self.asking.is_none() && placed.iter().all(|(task, _)| !task.pod.is_assigned());
            underway = Chunk { base: expected, is_judged: is_judged && is_as_decided, placed, nowhere, made };
            if !is_as_decided {
                underway.base = view.snapshot.revision;
                self.making.rebased(&view.snapshot, &underway.made);
                batch = rebased(batch, view.snapshot.clone(), &underway).await?;
            }
        }
        Ok((batch, unschedulable, revision))
    }

    /// Reports the results for placed pods. Returns the tasks with stale plans.
    async fn settle(
        &self,
        placed: Vec<(Task, Placed)>,
        outcomes: Vec<BindOutcome>,
        view: &View,
        revision: &mut u64,
        answers: &mut Answers,
    ) -> Vec<Task> {
        let mut again = Vec::new();
        for ((mut task, there), outcome) in placed.into_iter().zip(outcomes) {
            let pod = task.pod.clone();
            let result = match outcome {
                BindOutcome::Bound { revision: at, .. } => {
                    *revision = at.max(*revision);
                    count_victims(&there);
                    self.scheduled(&pod, &there)
                }
                BindOutcome::Refused(Refusal::AlreadyBound { node }) => already_bound(&pod.namespace, &pod.name, &node),
                BindOutcome::Refused(Refusal::NotFound | Refusal::UidMismatch { .. }) => gone(&pod),
                BindOutcome::NotBound(message) => {
                    self.count_error();
                    self.not_bound(&pod, &there, message)
                }
                BindOutcome::Waits { why, is_nominated } => self.waits(&pod, &there, why, is_nominated),
                BindOutcome::Refused(_) if task.stale + 1 < ATTEMPTS => {
                    task.stale += 1;
                    // Somebody else has stored a pod of this name: theirs counts.
                    if let Some(stored) = view.snapshot.pod(&pod.namespace, &pod.name).filter(|_| task.new.is_some()) {
                        task.pod = stored.clone();
                        task.new = None;
                    }
                    again.push(task);
                    continue;
                }
                BindOutcome::Refused(_) => {
                    self.count_error();
                    failed(&pod.namespace, &pod.name, "others took the room again and again: try again".into())
                }
            };
            answers.tell_of(task, result).await;
        }
        again
    }

    /// All pods or none.
    async fn together(
        &mut self,
        mut tasks: Vec<Task>,
        answers: &mut Answers,
    ) -> Result<(Batched, Vec<Unschedulable>, u64)> {
        for _ in 0..ATTEMPTS {
            let batch = self.batch();
            self.making.begin(batch.base());
            let (batch, mut decided) = Box::pin(self.decide(batch, tasks, answers)).await?;
            let made = noted(&mut self.making, &decided);
            let revision = batch.revision();
            if answers.client_left() {
                return Ok((batch, Vec::new(), revision));
            }
            let fits = decided.iter().all(|(_, d)| matches!(d, Decided::Placed(_) | Decided::AlreadyOn(_)));
            if !fits {
                return Ok((batch, self.hold_back(decided, answers).await, revision));
            }
            if self.is_trial {
                self.tell_all(decided, Vec::new(), answers).await;
                return Ok((batch, Vec::new(), revision));
            }
            if !decided.iter().any(|(_, decided)| matches!(decided, Decided::Placed(_))) {
                self.tell_all(decided, Vec::new(), answers).await;
                return Ok((batch, Vec::new(), revision));
            }
            let outcomes = self.bind_together(&mut decided, revision).await?;
            made.ended(outcomes.iter().map(|outcome| self.ended(outcome)));
            let done_at = |outcome: &BindOutcome| match outcome {
                BindOutcome::Bound { revision, .. } => Some(*revision),
                BindOutcome::NotBound(_) | BindOutcome::Waits { .. } => Some(revision),
                BindOutcome::Refused(_) => None,
            };
            if let Some(revision) = outcomes.iter().filter_map(done_at).max() {
                self.tell_all(decided, outcomes, answers).await;
                return Ok((batch, Vec::new(), revision));
            }
            self.snapshot = self.newest().await?.snapshot.clone();
            tasks = decided.into_iter().map(|(task, _)| self.as_stored(task)).collect();
        }
        for task in &tasks {
            self.count_error();
            let message = "others took the room again and again, and nothing was bound: try again".into();
            answers.tell(task.index, failed(&task.pod.namespace, &task.pod.name, message)).await;
        }
        let batch = self.batch();
        let revision = batch.revision();
        Ok((batch, Vec::new(), revision))
    }

    /// Reports the pods that would have been bound if all fitted. Returns the others.
    async fn hold_back(&self, decided: Vec<(Task, Decided)>, answers: &mut Answers) -> Vec<Unschedulable> {
        let mut unschedulable = Vec::new();
        for (task, decided) in decided {
            let pod = &task.pod;
            let result = match decided {
                Decided::Unschedulable(message) => {
                    unschedulable.push((task, message));
                    continue;
                }
                Decided::AlreadyOn(node) => already_bound(&pod.namespace, &pod.name, &node),
                Decided::Gone => gone(pod),
                Decided::Failed(message) => failed(&pod.namespace, &pod.name, message),
                Decided::Placed(there) => ScheduledPod {
                    message: Some(format!("it would fit on {}, but others of the request fit nowhere", there.node)),
                    ..answer(&pod.namespace, &pod.name, ScheduleResult::NotAttempted)
                },
            };
            answers.tell_of(task, result).await;
        }
        unschedulable
    }

    /// Tells of a gang. `outcomes` says what became of those that were placed, in their order, where anything was done.
    async fn tell_all(&self, decided: Vec<(Task, Decided)>, outcomes: Vec<BindOutcome>, answers: &mut Answers) {
        let mut outcomes = outcomes.into_iter();
        for (task, decided) in decided {
            let pod = &task.pod;
            let result = match decided {
                Decided::Placed(there) => {
                    let outcome = outcomes.next();
                    if !self.is_trial && !matches!(outcome, Some(BindOutcome::Waits { .. })) {
                        count_victims(&there);
                    }
                    match outcome {
                        None | Some(BindOutcome::Bound { .. }) => self.scheduled(pod, &there),
                        Some(BindOutcome::Refused(Refusal::AlreadyBound { node })) => {
                            already_bound(&pod.namespace, &pod.name, &node)
                        }
                        Some(BindOutcome::Refused(Refusal::NotFound | Refusal::UidMismatch { .. })) => gone(pod),
                        Some(BindOutcome::NotBound(message)) => self.not_bound(pod, &there, message),
                        Some(BindOutcome::Waits { why, is_nominated }) => self.waits(pod, &there, why, is_nominated),
                        Some(BindOutcome::Refused(_)) => {
                            self.not_bound(pod, &there, "the cluster changed meanwhile: try again".into())
                        }
                    }
                }
                Decided::AlreadyOn(node) => already_bound(&pod.namespace, &pod.name, &node),
                Decided::Unschedulable(message) | Decided::Failed(message) => {
                    failed(&pod.namespace, &pod.name, message)
                }
                Decided::Gone => gone(pod),
            };
            answers.tell_of(task, result).await;
        }
    }

    /// Reports why pods fit nowhere and, for the first of each kind, suggestions.
    async fn explain(&self, batch: Batched, unschedulable: Vec<Unschedulable>, answers: &mut Answers) -> Result<()> {
        if unschedulable.is_empty() || answers.client_left() {
            return Ok(());
        }
        // What helps against an extender's word is not known.
        let is_helped = |task: &Task| self.suggestions && !task.is_asked_about;
        let helped = unschedulable.iter().filter(|(task, _)| is_helped(task));
        let pods: Vec<Arc<Pod>> = helped.map(|(task, _)| task.pod.clone()).collect();
        let suggestions = if pods.is_empty() {
            Vec::new()
        } else {
            compute_chunk(pods.len() > FEW, move || what_would_help(&batch, &pods)).await?
        };
        let mut suggestions = suggestions.into_iter();
        for (task, message) in unschedulable {
            let suggestions = is_helped(&task).then(|| suggestions.next()).flatten().unwrap_or_default();
            let result = ScheduledPod {
                message: Some(message),
                suggestions,
                ..answer(&task.pod.namespace, &task.pod.name, ScheduleResult::Unschedulable)
            };
            answers.tell_of(task, result).await;
        }
        Ok(())
    }

    /// The binder of this request. `is_judged`: see [`InStore::is_judged`].
    async fn binder(&self, is_judged: bool) -> Result<Box<dyn Binder + '_>> {
        let reserve_until = match self.assume {
            Some(seconds) => Some(lapsing_in(self.service.clusters.now().await?, seconds)?),
            None => None,
        };
        let (service, profile) = (&self.service, Some(self.chosen.profile().clone()));
        let fence = self.fence.clone();
        let store = InStore { service, cluster: &self.cluster, profile, reserve_until, is_judged, fence };
        let source = self.service.clusters.get(&self.cluster).await?.view().source();
        Ok(binder(store, source.as_ref(), self.asking.as_ref().map(|Asking { chain, .. }| chain)))
    }

    /// The bind of a pod that was placed on the state of a revision.
    fn bind(&self, task: &Task, there: &Placed, revision: u64) -> Bind {
        // Nothing leaves a fork: its binds are made in it.
        let is_bound_here = self.assume.is_some() || fork::split(&self.cluster).is_some();
        let is_bound_by_extender = |document: &&PodDocument| {
            !is_bound_here && self.asking.as_ref().is_some_and(|asking| asking.chain.binder(document).is_some())
        };
        let document = task.document.as_ref().filter(is_bound_by_extender).cloned();
        let mut bind = Bind::new(&task.pod, there, revision);
        (bind.new, bind.document) = (task.new.clone(), document);
        bind
    }

    /// Carries out what was decided, each pod for itself.
    async fn bind_each(&self, chunk: &mut Chunk) -> Result<Vec<BindOutcome>> {
        let Chunk { placed, base, is_judged, .. } = chunk;
        let mut binds: Vec<Bind> = placed.iter().map(|(task, there)| self.bind(task, there, *base)).collect();
        let outcomes = self.binder(*is_judged).await?.bind(&mut binds, false).await?;
        for ((task, _), bind) in placed.iter_mut().zip(binds) {
            task.errors.extend(bind.errors);
        }
        Ok(outcomes)
    }

    /// Carries a gang out; what became of each pod that was placed.
    async fn bind_together(&self, decided: &mut [(Task, Decided)], revision: u64) -> Result<Vec<BindOutcome>> {
        let mut placed: Vec<(&mut Task, &Placed)> = decided
            .iter_mut()
            .filter_map(
                |(task, decided)| if let Decided::Placed(there) = decided { Some((task, &*there)) } else { None },
            )
            .collect();
        let mut binds: Vec<Bind> = placed.iter().map(|(task, there)| self.bind(task, there, revision)).collect();
        let outcomes = self.binder(false).await?.bind(&mut binds, true).await?;
        for ((task, _), bind) in placed.iter_mut().zip(binds) {
            task.errors.extend(bind.errors);
        }
        Ok(outcomes)
    }

    fn batch(&self) -> Batched {
        Batch::new(self.chosen.profile().clone(), self.snapshot.clone(), self.options)
    }

    async fn newest(&self) -> Result<Arc<View>> {
        let view = context::view(&self.service, &self.cluster).await?;
        if self.avoids.is_empty() {
            return Ok(view);
        }
        let mut avoiding = (*view).clone();
        avoiding.snapshot = self.as_avoided(avoiding.snapshot);
        Ok(Arc::new(avoiding))
    }

    /// The snapshot with a taint on each of the nodes that get no pods for now.
    pub(super) fn as_avoided(&self, snapshot: Snapshot) -> Snapshot {
        avoiding(snapshot, &self.avoids)
    }

    /// The task for the pod as it is stored by now.
    fn as_stored(&self, mut task: Task) -> Task {
        if let Some(stored) = self.snapshot.pod(&task.pod.namespace, &task.pod.name) {
            task.pod = stored.clone();
            task.new = None;
        }
        task
    }

    /// How the record of decisions calls an outcome.
    fn ended(&self, outcome: &BindOutcome) -> (DecisionOutcome, Option<String>) {
        let not_bound = |why: &str| (DecisionOutcome::NotBound, Some(why.to_owned()));
        match outcome {
            BindOutcome::Bound { .. } if self.assume.is_some() => (DecisionOutcome::Assumed, None),
            BindOutcome::Bound { .. } => (DecisionOutcome::Bound, None),
            outcome if outcome.is_stale() => (DecisionOutcome::Stale, None),
            BindOutcome::NotBound(why) | BindOutcome::Waits { why, .. } => not_bound(why),
            BindOutcome::Refused(Refusal::AlreadyBound { node }) => not_bound(&format!("it is on {node} already")),
            BindOutcome::Refused(_) => not_bound("the pod is gone"),
        }
    }

    fn scheduled(&self, pod: &Pod, there: &Placed) -> ScheduledPod {
        let result = match self.assume {
            _ if self.is_trial => ScheduleResult::WouldBind,
            Some(_) => ScheduleResult::Assumed,
            None => ScheduleResult::Bound,
        };
        let priority = |index: usize| self.chosen.profile().priorities.get(index);
        let level = |index| Some(DecidingLevel { level: index + 1, priority: priority(index)?.name.to_string() });
        let preempted = !there.victims.is_empty();
        let victim = |pod: &Arc<Pod>| PodName { namespace: pod.namespace.to_string(), name: pod.name.to_string() };
        ScheduledPod {
            node: Some(there.node.to_string()),
            total: (!preempted).then_some(there.total),
            decided_by: there.decided_at.and_then(level),
            nominated_node: preempted.then(|| there.node.to_string()),
            victims: there.victims.iter().map(victim).collect(),
            volumes: there.volumes.iter().map(Into::into).collect(),
            ..answer(&pod.namespace, &pod.name, result)
        }
    }

    /// A pod that its extender did not bind; its victims are gone anyway.
    fn not_bound(&self, pod: &Pod, there: &Placed, message: String) -> ScheduledPod {
        ScheduledPod { victims: self.scheduled(pod, there).victims, ..failed(&pod.namespace, &pod.name, message) }
    }

    /// A pod that cannot be bound to its node now.
    fn waits(&self, pod: &Pod, there: &Placed, why: String, is_nominated: bool) -> ScheduledPod {
        let mut waiting =
            ScheduledPod { message: Some(why), ..answer(&pod.namespace, &pod.name, ScheduleResult::Unschedulable) };
        if is_nominated {
            count_victims(there);
            let ScheduledPod { victims, nominated_node, .. } = self.scheduled(pod, there);
            (waiting.victims, waiting.nominated_node) = (victims, nominated_node);
        }
        waiting
    }

    fn count_error(&self) {
        let profile = PROFILES.of(self.chosen.name());
        counter!(telemetry::SCHEDULE_ATTEMPTS, "result" => "error", "profile" => profile).increment(1);
    }
}

/// A snapshot with a taint on each of some nodes, so that they get no pods that do not tolerate everything.
pub fn avoiding(mut snapshot: Snapshot, nodes: &[Name]) -> Snapshot {
    for name in nodes {
        let Some(mut tainted) = snapshot.node(name).map(|info| (*info.node).clone()) else { continue };
        let (key, value, effect) = (RESTING.into(), Name::default(), Effect::NoSchedule);
        tainted.taints.push(Taint { key, value, effect, added: None });
        snapshot.apply(Object::Node(tainted));
    }
    snapshot
}

fn count_victims(there: &Placed) {
    if !there.victims.is_empty() {
        counter!(telemetry::PREEMPTION_ATTEMPTS).increment(1);
        histogram!(telemetry::PREEMPTION_VICTIMS).record(there.victims.len() as f64);
    }
}

fn gone(pod: &Pod) -> ScheduledPod {
    failed(&pod.namespace, &pod.name, format!("pods {:?} not found", &*pod.name))
}

/// The batch on a newer snapshot, as if what is under way were done.
async fn rebased(mut batch: Batched, snapshot: Snapshot, underway: &Chunk) -> Result<Batched> {
    let placed: Vec<_> = underway.placed.iter().map(|(task, there)| (task.pod.clone(), there.clone())).collect();
    compute(move || {
        batch.rebase(snapshot);
        for (pod, there) in &placed {
            batch.put(pod, there);
        }
        batch
    })
    .await
}

/// Suggestions for the first of each kind of pods; none for the others.
fn what_would_help(batch: &Batched, pods: &[Arc<Pod>]) -> Vec<Vec<Suggestion>> {
    let mut kinds: Vec<(&Arc<Pod>, usize)> = Vec::new();
    let mut firsts = Vec::with_capacity(pods.len());
    for pod in pods {
        if let Some((_, alike)) = kinds.iter_mut().find(|(first, _)| first.is_like(pod)) {
            *alike += 1;
            firsts.push(None);
        } else if kinds.len() < EXPLAINED {
            firsts.push(Some(kinds.len()));
            kinds.push((pod, 1));
        } else {
            firsts.push(None);
        }
    }
    let mut found: Vec<Vec<Suggestion>> = kinds
        .iter()
        .map(|(pod, alike)| suggest::suggest(batch.profile(), pod, batch.snapshot(), *alike))
        .map(|suggestions| suggestions.iter().map(Suggestion::from).collect())
        .collect();
    firsts.into_iter().map(|kind| kind.map(|at| std::mem::take(&mut found[at])).unwrap_or_default()).collect()
}
