//! One cluster: what its watches tell goes into the queue, and batches out of it are decided.
//!
//! A watch tells the key of what has changed. What it means is read off two snapshots: the one of the last turn and the newest, which has all
//! that was told.

use std::{
    collections::HashSet,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, Stream, StreamExt, stream};
use metrics::gauge;
use tokio::time::sleep;

use super::{
    report::Reporter,
    resting::{Resting, overcommitted, refused_by},
};
use crate::{
    clock,
    core::{
        model::{Name, Pod},
        snapshot::{Kind, Snapshot},
        waiting::{Changes, LONGEST_SLEEP, Pending, PodKey, Queue},
    },
    live::{
        View,
        journal::{Event, Step},
    },
    service::{
        Service,
        access::sight::Sight,
        context::{self, Fresh},
        error::{Error, Result},
        lead::Lead,
        objects::{self, Begin, Target},
        schedule::{self, Answers},
        source::{ApiServer, mirrored},
    },
    telemetry::{self, seldom::Texts},
    wire::{
        decision::{AskedBy, CallKind},
        kinds::{self, StoredKind},
        schedule::{ScheduleRequest, ScheduleResult, ScheduledPod},
        selector::Query,
        source::ClusterSource,
    },
};

/// Pods of a batch.
const AT_ONCE: usize = 512;

/// Kinds besides those of decisions whose changes may let a pod fit.
const OTHERS: [(&str, &str); 1] = [("podberth.io", "policies")];

/// Longest age of the mirror of a live cluster on which pods are placed. Where nothing happens, watches end each minute.
const LONGEST_LAG: Duration = Duration::from_mins(2);

/// Pause before a mirror that is not whole is looked at again.
const WHOLE_AGAIN: Duration = Duration::from_secs(1);

/// Interval of counting overcommitted nodes.
const COUNTED_EVERY: Duration = Duration::from_secs(10);

/// Why batches broke off, by cluster.
static BROKEN_OFF: Texts = Texts::new();

/// A cluster and its schedulers.
pub(super) struct Scope<'s> {
    pub(super) service: &'s Service,
    pub(super) cluster: &'s Arc<str>,
    pub(super) schedulers: &'s [Name],
    /// The live cluster that it mirrors.
    pub(super) source: Option<Arc<ClusterSource>>,
    /// Its API server.
    pub(super) server: Option<Arc<dyn ApiServer>>,
    pub(super) lead: Lead,
}

/// The news of watches that the queue does not know yet.
#[derive(Default)]
struct News {
    pods: HashSet<PodKey>,
    nodes: HashSet<Name>,
    changes: Changes,
    /// Nodes whose kubelets refused a pod for want of room.
    refusing: Vec<Name>,
}

/// The loop over one cluster.
struct Loop<'s> {
    scope: Scope<'s>,
    queue: Queue,
    news: News,
    /// The snapshot of the last turn.
    seen: Snapshot,
    began: Instant,
    /// Breaks ties otherwise in each batch.
    batches: u64,
    reporter: Reporter,
    resting: Resting,
    /// When overcommitted nodes were counted last.
    counted: Option<Duration>,
}

type Steps = Pin<Box<dyn Stream<Item = (&'static StoredKind, Step)> + Send>>;

/// Schedules the pods that name one of these schedulers. Returns when a watch has ended, or the cluster mirrors another live one.
///
/// # Errors
/// Those of the store, and those that break off a batch.
pub(super) async fn run(scope: Scope<'_>) -> Result<()> {
    let (service, cluster) = (scope.service, scope.cluster);
    scope.waited_for_mirror().await;
    let mut steps = watches(service, cluster).await?;
    // It has all that the watches will not tell.
    let view = context::take(service, cluster, Fresh { is_newest: true, ..Fresh::default() }).await?.view;
    let mut running = Loop {
        queue: Queue::default(),
        news: News::default(),
        seen: view.snapshot.clone(),
        began: Instant::now(),
        batches: 0,
        reporter: Reporter::start(service, cluster, scope.server.clone()),
        resting: Resting::default(),
        counted: None,
        scope,
    };
    for pod in view.snapshot.pods() {
        running.sort_in(&view, &key(pod), None);
    }
    let mut is_paused = false;
    loop {
        if running.resting.end(running.began.elapsed()) {
            running.queue.changed(Changes::NODE_STATE);
        }
        let whole = running.scope.is_whole();
        let may_decide = whole.is_ok();
        match &whole {
            Err(why) if !is_paused => tracing::warn!(cluster = &**cluster, why, "the scheduling loop pauses"),
            Ok(()) if is_paused => tracing::info!(cluster = &**cluster, "the scheduling loop goes on"),
            _ => {}
        }
        is_paused = !may_decide;
        if may_decide {
            running.decide().await?;
        }
        running.measure();
        let now = running.began.elapsed();
        let next = running.queue.next().into_iter().chain(running.resting.next()).min();
        let pause = next.map_or(LONGEST_SLEEP, |at| at.saturating_sub(now));
        let pause = if may_decide { pause } else { WHOLE_AGAIN };
        tokio::select! {
            biased;
            step = steps.next() => if !running.note(step)? {
                return Ok(());
            },
            () = sleep(pause) => continue,
        }
        while let Some(step) = steps.next().now_or_never() {
            if !running.note(step)? {
                return Ok(());
            }
        }
        if !running.take_in().await? {
            return Ok(());
        }
    }
}

impl Scope<'_> {
    /// `Ok` if pods can be placed: the mirror of the live cluster is whole, if it is one.
    fn is_whole(&self) -> std::result::Result<(), String> {
        match self.source {
            Some(_) => mirrored::is_whole(self.service, self.cluster, clock::now(), LONGEST_LAG),
            None => Ok(()),
        }
    }

    /// Waits until pods can be placed.
    async fn waited_for_mirror(&self) {
        let mut is_told = false;
        while let Err(why) = self.is_whole() {
            if !std::mem::replace(&mut is_told, true) {
                tracing::info!(cluster = &**self.cluster, why, "pods are not scheduled yet");
            }
            sleep(WHOLE_AGAIN).await;
        }
    }
}

/// Watches of all kinds that decisions read, from now on.
async fn watches(service: &Service, cluster: &Arc<str>) -> Result<Steps> {
    let others = OTHERS.iter().filter_map(|(group, plural)| kinds::by_plural(group, plural));
    let mut all: Vec<Steps> = Vec::new();
    for kind in kinds::shared().filter(|kind| kind.core().is_some() && kind.is_stored_form()).chain(others) {
        let target = Target { cluster: cluster.clone(), kind, namespace: None, name: String::new() };
        let query = Query::parse(kind.selectable, "", "").map_err(Error::internal)?;
        let watch = objects::watch(service, &target, query, Begin::NotOlder { revision: 0, objects: false }).await?;
        let steps = stream::unfold(watch, move |mut watch| async move {
            let step = watch.next().await;
            Some(((kind, step), watch))
        });
        all.push(Box::pin(steps));
    }
    Ok(Box::pin(stream::select_all(all)))
}

fn key(pod: &Pod) -> PodKey {
    (pod.namespace.clone(), pod.name.clone())
}

impl Loop<'_> {
    /// Takes a step of a watch to the news; `false` if the watch has ended.
    fn note(&mut self, step: Option<(&'static StoredKind, Step)>) -> Result<bool> {
        match step {
            Some((kind, Step::Changes(changes))) => {
                for (_, event) in &changes {
                    self.news.add(kind, event);
                }
                Ok(true)
            }
            Some((_, Step::Objects(_) | Step::ObjectsEnd(_))) => Ok(true),
            Some((_, Step::Expired { .. })) => Err(Error::internal("a watch could not keep up; the queue begins anew")),
            Some((_, Step::Ended)) | None => Ok(false),
        }
    }

    /// Takes the news in: pods that wait go into the queue, and changes wake others there. `false` if the cluster mirrors another live one by now.
    async fn take_in(&mut self) -> Result<bool> {
        let view = context::take(self.scope.service, self.scope.cluster, Fresh::default()).await?.view;
        if view.source() != self.scope.source {
            return Ok(false);
        }
        let News { pods, nodes, mut changes, refusing } = std::mem::take(&mut self.news);
        for node in refusing {
            self.resting.rest(node, self.began.elapsed());
        }
        let before = std::mem::replace(&mut self.seen, view.snapshot.clone());
        for name in nodes {
            let of = |snapshot: &Snapshot| snapshot.node(&name).map(|info| info.node.clone());
            changes |= Changes::of_node(of(&before).as_deref(), of(&view.snapshot).as_deref());
        }
        for key in &pods {
            let of = |snapshot: &Snapshot| snapshot.pod(&key.0, &key.1).cloned();
            let (was, is) = (of(&before), of(&view.snapshot));
            changes |= Changes::of_pod(was.as_deref(), is.as_deref());
            self.sort_in(&view, key, was.as_deref());
        }
        self.queue.changed(changes);
        Ok(true)
    }

    /// Puts a pod into the queue if it waits for one of the schedulers, or takes it out. One that is as it `was` stays where it is.
    fn sort_in(&mut self, view: &View, key: &PodKey, was: Option<&Pod>) {
        let snapshot = &view.snapshot;
        let waits = |pod: &&Arc<Pod>| {
            self.scope.schedulers.contains(&pod.spec.scheduler_name)
                && !pod.terminal
                && !pod.terminating
                && view.bound_to(&key.0, &key.1).is_none()
        };
        let Some(pod) = snapshot.pod(&key.0, &key.1).filter(waits) else { return self.queue.remove(key) };
        if was.is_some_and(|was| *was == **pod) && self.queue.has(key, &pod.uid) {
            return;
        }
        let pending = Pending {
            uid: pod.uid.clone(),
            priority: snapshot.priority_of(pod),
            is_gated: !pod.spec.scheduling_gates.is_empty(),
        };
        self.queue.put(key, pending);
    }

    /// Decides a batch, if there is one.
    async fn decide(&mut self) -> Result<()> {
        let keys = self.queue.take(self.began.elapsed(), AT_ONCE);
        if keys.is_empty() {
            return Ok(());
        }
        let decided = self.batch(&keys).await;
        let now = self.began.elapsed();
        match decided {
            Ok(pods) => {
                for pod in pods {
                    self.settle(pod, now);
                }
            }
            Err(error) => {
                let (cluster, why) = (&**self.scope.cluster, error.for_log());
                if BROKEN_OFF.is_new(cluster, &why) {
                    tracing::warn!(cluster, why, "a batch broke off; its pods are tried again");
                }
            }
        }
        // Of those that were not told about nothing is known.
        for key in &keys {
            self.queue.again(key, now);
        }
        Ok(())
    }

    async fn batch(&mut self, keys: &[PodKey]) -> Result<Vec<ScheduledPod>> {
        self.batches += 1;
        let names = keys.iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
        let request = ScheduleRequest {
            pod_names: Some(names),
            suggestions: Some(false),
            seed: self.batches,
            ..ScheduleRequest::default()
        };
        let context = context::take(self.scope.service, self.scope.cluster, context::Fresh::default()).await?;
        let (view, epoch) = (context.view, context.epoch);
        let (service, cluster) = (self.scope.service.clone(), self.scope.cluster.clone());
        let mut runs = schedule::prepare(&request, b"{}", None, service, cluster, &view, Sight::default())?;
        if self.scope.source.is_some() {
            runs = runs.fenced(&self.scope.lead.fence().await?).avoiding(&self.resting.nodes());
        }
        let by = AskedBy { user: format!("loop of {}", self.scope.cluster), agent: String::new() };
        let runs = runs.recorded((CallKind::Loop, epoch), &by, None);
        let mut answers = Answers::collected();
        runs.run(&mut answers).await?;
        Ok(answers.into_pods())
    }

    /// Takes in the result for a pod.
    fn settle(&mut self, pod: ScheduledPod, now: Duration) {
        let key = (Name::from(&*pod.namespace), Name::from(&*pod.name));
        match pod.result {
            ScheduleResult::Bound | ScheduleResult::AlreadyBound => self.queue.remove(&key),
            ScheduleResult::Unschedulable => {
                let cures = Changes::curing(pod.message.as_deref().unwrap_or_default());
                self.queue.unschedulable(&key, cures, now);
            }
            _ => self.queue.again(&key, now),
        }
        if let Some(of) = self.seen.pod(&key.0, &key.1) {
            self.reporter.tell(of.clone(), pod);
        }
    }

    fn measure(&mut self) {
        let (now, cluster) = (self.began.elapsed(), self.scope.cluster);
        if self.counted.is_none_or(|at| at + COUNTED_EVERY <= now) {
            self.counted = Some(now);
            let nodes = overcommitted(&self.seen) as f64;
            gauge!(telemetry::NODES_OVERCOMMITTED, "cluster" => cluster.to_string()).set(nodes);
        }
        let counts = self.queue.counts();
        for (state, count) in [
            ("active", counts.active),
            ("backoff", counts.backing_off),
            ("unschedulable", counts.unschedulable),
            ("gated", counts.gated),
        ] {
            gauge!(telemetry::QUEUED_PODS, "cluster" => cluster.to_string(), "queue" => state).set(count as f64);
        }
    }
}

impl News {
    fn add(&mut self, kind: &StoredKind, event: &Event) {
        let Some((namespace, name)) = event.place() else { return };
        match kind.core() {
            Some(Kind::Pod) => {
                self.pods.insert((namespace.into(), name.into()));
                // One that has ended for long is no news.
                let was_there = event.before.is_some();
                let after = event.after.as_ref().filter(|_| was_there);
                self.refusing.extend(after.and_then(|state| refused_by(&state.record.body)));
            }
            Some(Kind::Node) => {
                self.nodes.insert(name.into());
            }
            Some(
                Kind::PersistentVolume
                | Kind::PersistentVolumeClaim
                | Kind::StorageClass
                | Kind::CsiNode
                | Kind::CsiDriver
                | Kind::CsiStorageCapacity
                | Kind::VolumeAttachment,
            ) => self.changes |= Changes::STORAGE,
            _ => self.changes |= Changes::OTHER,
        }
    }
}
