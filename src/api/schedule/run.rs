//! One request carried out, chunk by chunk.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{counter, histogram};

use super::{
    commit::{Carried, Manner, Order, carry_out},
    pods::{Task, already_bound, answer, failed},
    report::Answers,
};
use crate::{
    api::{
        error::Result,
        ground::{self, Chosen},
        reservations::lapsing_in,
        state::AppState,
    },
    core::{
        batch::{self, Batch, Placed, Placement},
        model::{Name, Pod},
        plan::Plan,
        policy::Profile,
        snapshot::Snapshot,
        suggest,
    },
    telemetry,
    wire::{
        explanation::{DecidingLevel, PodName},
        schedule::{ScheduleResult, ScheduleSummary, ScheduledPod, Suggestion},
    },
};

/// Pods placed before they are bound and the view is taken anew: a few milliseconds of work, so that a plan is seldom
/// stale, and enough for the commit to be worth its time.
const CHUNK: usize = 512;

/// How often a pod is decided when others keep coming first.
const ATTEMPTS: usize = 8;

/// Kinds of pods that are told what would help.
const EXPLAINED: usize = 5;

/// A request, ready to be carried out.
pub(super) struct Run {
    pub(super) state: AppState,
    pub(super) cluster: Arc<str>,
    pub(super) chosen: Chosen,
    pub(super) options: batch::Options,
    /// For how many seconds nodes are reserved instead of bound.
    pub(super) assume: Option<u32>,
    pub(super) dry_run: bool,
    pub(super) all_or_nothing: bool,
    pub(super) suggestions: bool,
    /// What the first decisions are made on.
    pub(super) snapshot: Snapshot,
    /// In the order in which they are placed.
    pub(super) tasks: Vec<Task>,
    /// Answers about which nothing is to be decided.
    pub(super) settled: Vec<(usize, ScheduledPod)>,
}

type Batched = Batch<Arc<Profile>>;

/// What was decided for a pod.
enum Decided {
    AlreadyOn(String),
    /// It is not stored any more.
    Gone,
    Placed(Placed),
    Unschedulable(String),
}

/// A pod that fits nowhere, and why.
type Hopeless = (Task, String);

impl Run {
    /// Carries the request out and tells what became of each pod; what it all came to.
    pub(super) async fn run(mut self, answers: &mut Answers) -> Result<ScheduleSummary> {
        for (index, pod) in std::mem::take(&mut self.settled) {
            answers.tell(index, pod).await;
        }
        let tasks = std::mem::take(&mut self.tasks);
        let (batch, hopeless, revision) = if self.all_or_nothing {
            self.together(tasks, answers).await?
        } else {
            self.one_by_one(tasks.into(), answers).await?
        };
        self.explain(batch, hopeless, answers).await?;
        Ok(ScheduleSummary {
            revision,
            policy: self.chosen.used(),
            seed: self.options.seed,
            dry_run: self.dry_run,
            ..answers.counts.clone()
        })
    }

    /// Each pod for itself.
    async fn one_by_one(
        &mut self,
        mut tasks: VecDeque<Task>,
        answers: &mut Answers,
    ) -> Result<(Batched, Vec<Hopeless>, u64)> {
        let mut batch = self.batch();
        let mut revision = batch.revision();
        let mut hopeless = Vec::new();
        while !tasks.is_empty() && !answers.client_left() {
            let chunk: Vec<Task> = tasks.drain(..tasks.len().min(CHUNK)).collect();
            let (worked, decided) = decide(batch, chunk, &self.chosen).await?;
            batch = worked;
            let mut placed = Vec::new();
            for (task, decided) in decided {
                match decided {
                    Decided::Placed(there) => placed.push((task, there)),
                    Decided::Unschedulable(message) => hopeless.push((task, message)),
                    Decided::AlreadyOn(node) => {
                        let told = already_bound(&task.pod.namespace, &task.pod.name, &node);
                        answers.tell(task.index, told).await;
                    }
                    Decided::Gone => answers.tell(task.index, gone(&task.pod)).await,
                }
            }
            if self.dry_run {
                for (task, there) in placed {
                    answers.tell(task.index, self.told(&task.pod, &there)).await;
                }
                continue;
            }
            let again = self.bind(placed, batch.revision(), &mut revision, answers).await?;
            again.into_iter().rev().for_each(|task| tasks.push_front(task));
            if !tasks.is_empty() {
                batch.rebase(self.newest().await?);
            }
        }
        Ok((batch, hopeless, revision))
    }

    /// Binds what was placed; the tasks whose plans were stale.
    async fn bind(
        &self,
        placed: Vec<(Task, Placed)>,
        based_on: u64,
        revision: &mut u64,
        answers: &mut Answers,
    ) -> Result<Vec<Task>> {
        let order = |(task, there): &(Task, Placed)| Order {
            plan: there.plan(&task.pod, based_on),
            new: task.new.iter().map(|change| (task.pod.clone(), change.clone())).collect(),
        };
        let orders: Vec<Order> = placed.iter().map(order).collect();
        let carried = carry_out(&self.state, &self.cluster, &self.manner()?, &orders).await?;
        let view = ground::view(&self.state, &crate::api::cluster::ClusterName(self.cluster.clone())).await?;
        let mut again = Vec::new();
        for ((mut task, there), carried) in placed.into_iter().zip(carried) {
            let pod = task.pod.clone();
            let told = match carried {
                Carried::Out(at) => {
                    *revision = at.max(*revision);
                    self.count_victims(&there);
                    self.told(&pod, &there)
                }
                Carried::AlreadyOn(node) => already_bound(&pod.namespace, &pod.name, &node),
                Carried::Gone => gone(&pod),
                Carried::Stale if task.stale + 1 < ATTEMPTS => {
                    task.stale += 1;
                    // Somebody else has stored a pod of this name: theirs counts.
                    if let Some(stored) = view.snapshot.pod(&pod.namespace, &pod.name).filter(|_| task.new.is_some()) {
                        task.pod = stored.clone();
                        task.new = None;
                    }
                    again.push(task);
                    continue;
                }
                Carried::Stale => {
                    self.count_error();
                    failed(&pod.namespace, &pod.name, "others took the room again and again: try again".into())
                }
            };
            answers.tell(task.index, told).await;
        }
        Ok(again)
    }

    /// All pods or none.
    async fn together(&mut self, mut tasks: Vec<Task>, answers: &mut Answers) -> Result<(Batched, Vec<Hopeless>, u64)> {
        for _ in 0..ATTEMPTS {
            let (batch, decided) = decide(self.batch(), tasks, &self.chosen).await?;
            let revision = batch.revision();
            let fits = decided.iter().all(|(_, decided)| !matches!(decided, Decided::Unschedulable(_) | Decided::Gone));
            if !fits {
                return Ok((batch, self.hold_back(decided, answers).await, revision));
            }
            if self.dry_run {
                self.tell_all(decided, answers).await;
                return Ok((batch, Vec::new(), revision));
            }
            let order = gang(&decided, revision);
            if order.plan.steps.is_empty() {
                self.tell_all(decided, answers).await;
                return Ok((batch, Vec::new(), revision));
            }
            let carried = carry_out(&self.state, &self.cluster, &self.manner()?, &[order]).await?;
            if let Some(Carried::Out(revision)) = carried.first() {
                self.tell_all(decided, answers).await;
                return Ok((batch, Vec::new(), *revision));
            }
            self.snapshot = self.newest().await?;
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

    /// Tells which pods would have been bound if all did fit; those that do not.
    async fn hold_back(&self, decided: Vec<(Task, Decided)>, answers: &mut Answers) -> Vec<Hopeless> {
        let mut hopeless = Vec::new();
        for (task, decided) in decided {
            let pod = &task.pod;
            let told = match decided {
                Decided::Unschedulable(message) => {
                    hopeless.push((task, message));
                    continue;
                }
                Decided::AlreadyOn(node) => already_bound(&pod.namespace, &pod.name, &node),
                Decided::Gone => gone(pod),
                Decided::Placed(there) => ScheduledPod {
                    message: Some(format!("it would fit on {}, but others of the request fit nowhere", there.node)),
                    ..answer(&pod.namespace, &pod.name, ScheduleResult::NotAttempted)
                },
            };
            answers.tell(task.index, told).await;
        }
        hopeless
    }

    async fn tell_all(&self, decided: Vec<(Task, Decided)>, answers: &mut Answers) {
        for (task, decided) in decided {
            let pod = &task.pod;
            let told = match decided {
                Decided::Placed(there) => {
                    if !self.dry_run {
                        self.count_victims(&there);
                    }
                    self.told(pod, &there)
                }
                Decided::AlreadyOn(node) => already_bound(&pod.namespace, &pod.name, &node),
                Decided::Unschedulable(message) => failed(&pod.namespace, &pod.name, message),
                Decided::Gone => gone(pod),
            };
            answers.tell(task.index, told).await;
        }
    }

    /// Tells why pods fit nowhere and, of the first of each kind, what would help.
    async fn explain(&self, batch: Batched, hopeless: Vec<Hopeless>, answers: &mut Answers) -> Result<()> {
        if hopeless.is_empty() || answers.client_left() {
            return Ok(());
        }
        let pods: Vec<Arc<Pod>> = hopeless.iter().map(|(task, _)| task.pod.clone()).collect();
        let mut suggestions =
            if self.suggestions { ground::compute(move || what_would_help(&batch, &pods)).await? } else { Vec::new() };
        suggestions.resize_with(hopeless.len(), Vec::new);
        for ((task, message), suggestions) in hopeless.into_iter().zip(suggestions) {
            let told = ScheduledPod {
                message: Some(message),
                suggestions,
                ..answer(&task.pod.namespace, &task.pod.name, ScheduleResult::Unschedulable)
            };
            answers.tell(task.index, told).await;
        }
        Ok(())
    }

    fn manner(&self) -> Result<Manner> {
        let reserve_until = self.assume.map(lapsing_in).transpose()?;
        Ok(Manner { profile: self.chosen.profile().clone(), reserve_until })
    }

    fn batch(&self) -> Batched {
        Batch::new(self.chosen.profile().clone(), self.snapshot.clone(), self.options)
    }

    async fn newest(&self) -> Result<Snapshot> {
        let cluster = crate::api::cluster::ClusterName(self.cluster.clone());
        Ok(ground::view(&self.state, &cluster).await?.snapshot.clone())
    }

    /// The task for the pod as it is stored by now.
    fn as_stored(&self, mut task: Task) -> Task {
        if let Some(stored) = self.snapshot.pod(&task.pod.namespace, &task.pod.name) {
            task.pod = stored.clone();
            task.new = None;
        }
        task
    }

    fn told(&self, pod: &Pod, there: &Placed) -> ScheduledPod {
        let result = match self.assume {
            _ if self.dry_run => ScheduleResult::WouldBind,
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
            ..answer(&pod.namespace, &pod.name, result)
        }
    }

    fn count_victims(&self, there: &Placed) {
        if !there.victims.is_empty() {
            counter!(telemetry::PREEMPTION_ATTEMPTS).increment(1);
            histogram!(telemetry::PREEMPTION_VICTIMS).record(there.victims.len() as f64);
        }
    }

    fn count_error(&self) {
        let profile = self.chosen.used().name;
        counter!(telemetry::SCHEDULE_ATTEMPTS, "result" => "error", "profile" => profile).increment(1);
    }
}

fn gone(pod: &Pod) -> ScheduledPod {
    failed(&pod.namespace, &pod.name, format!("pods {:?} not found", &*pod.name))
}

/// Everything that a gang asks for in one plan: its new pods are stored first, its binds stand last.
fn gang(decided: &[(Task, Decided)], revision: u64) -> Order {
    let mut order = Order { plan: Plan { revision, steps: Vec::new() }, new: Vec::new() };
    for (task, decided) in decided {
        let Decided::Placed(there) = decided else { continue };
        order.plan.steps.extend(there.plan(&task.pod, revision).steps);
        order.new.extend(task.new.iter().map(|change| (task.pod.clone(), change.clone())));
    }
    order
}

/// Places a chunk on a thread of its own.
async fn decide(mut batch: Batched, chunk: Vec<Task>, chosen: &Chosen) -> Result<(Batched, Vec<(Task, Decided)>)> {
    let profile = chosen.used().name;
    ground::compute(move || {
        let mut decided = Vec::with_capacity(chunk.len());
        for mut task in chunk {
            let stored = batch.snapshot().pod(&task.pod.namespace, &task.pod.name);
            let known = match stored {
                Some(stored) if stored.uid != task.pod.uid && task.new.is_none() => Some(Decided::Gone),
                None if task.new.is_none() => Some(Decided::Gone),
                // Its node is reserved for it: the bind only makes that a fact.
                Some(stored) if stored.is_assigned() && task.pod.is_assigned() => {
                    Some(Decided::Placed(Placed { node: stored.node_name.clone(), ..Placed::default() }))
                }
                Some(stored) if stored.is_assigned() => Some(Decided::AlreadyOn(stored.node_name.to_string())),
                _ => None,
            };
            if let Some(known) = known {
                decided.push((task, known));
                continue;
            }
            if task.pod.is_assigned() {
                // What was reserved for it has lapsed.
                task.pod = Arc::new(Pod { node_name: Name::default(), ..(*task.pod).clone() });
            }
            let start = Instant::now();
            let placement = batch.place(&task.pod);
            measure(&placement, &profile, start.elapsed());
            decided.push((
                task,
                match placement {
                    Placement::Placed(there) => Decided::Placed(there),
                    Placement::Unschedulable(message) => Decided::Unschedulable(message),
                },
            ));
        }
        (batch, decided)
    })
    .await
}

fn measure(placement: &Placement, profile: &str, took: Duration) {
    let result = match placement {
        Placement::Placed(_) => "scheduled",
        Placement::Unschedulable(_) => "unschedulable",
    };
    counter!(telemetry::SCHEDULE_ATTEMPTS, "result" => result, "profile" => profile.to_owned()).increment(1);
    histogram!(telemetry::SCHEDULING_ATTEMPT_DURATION, "result" => result, "profile" => profile.to_owned())
        .record(took);
}

/// What would help, for the first of each kind of pods; nothing for the others.
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
