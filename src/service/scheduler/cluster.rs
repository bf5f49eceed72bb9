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

use super::report::Reporter;
use crate::{
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
        objects::{self, Begin, Target},
        schedule::{self, Answers},
    },
    telemetry,
    wire::{
        kinds::{self, StoredKind},
        schedule::{ScheduleRequest, ScheduleResult, ScheduledPod},
        selector::Query,
    },
};

/// Pods of a batch.
const AT_ONCE: usize = 512;

/// Kinds besides those of decisions whose changes may let a pod fit.
const OTHERS: [(&str, &str); 1] = [("podberth.io", "policies")];

/// The news of watches that the queue does not know yet.
#[derive(Default)]
struct News {
    pods: HashSet<PodKey>,
    nodes: HashSet<Name>,
    changes: Changes,
}

/// The loop over one cluster.
struct Loop<'s> {
    service: &'s Service,
    cluster: &'s Arc<str>,
    schedulers: &'s [Name],
    queue: Queue,
    news: News,
    /// The snapshot of the last turn.
    seen: Snapshot,
    began: Instant,
    /// Breaks ties otherwise in each batch.
    batches: u64,
    reporter: Reporter,
}

type Steps = Pin<Box<dyn Stream<Item = (&'static StoredKind, Step)> + Send>>;

/// Schedules the pods that name one of these schedulers. Returns when a watch has ended.
///
/// # Errors
/// Those of the store, and those that break off a batch.
pub(super) async fn run(service: &Service, cluster: &Arc<str>, schedulers: &[Name]) -> Result<()> {
    let mut steps = watches(service, cluster).await?;
    // It has all that the watches will not tell.
    let view = context::take(service, cluster, Fresh { is_newest: true, ..Fresh::default() }).await?.view;
    let mut of = Loop {
        service,
        cluster,
        schedulers,
        queue: Queue::default(),
        news: News::default(),
        seen: view.snapshot.clone(),
        began: Instant::now(),
        batches: 0,
        reporter: Reporter::start(service, cluster),
    };
    for pod in view.snapshot.pods() {
        of.sort_in(&view, &key(pod), None);
    }
    loop {
        of.decide().await?;
        of.measure();
        let now = of.began.elapsed();
        let pause = of.queue.next().map_or(LONGEST_SLEEP, |at| at.saturating_sub(now));
        tokio::select! {
            biased;
            step = steps.next() => if !of.note(step)? {
                return Ok(());
            },
            () = sleep(pause) => continue,
        }
        while let Some(step) = steps.next().now_or_never() {
            if !of.note(step)? {
                return Ok(());
            }
        }
        of.take_in().await?;
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

    /// Takes the news in: pods that wait go into the queue, and changes wake others there.
    async fn take_in(&mut self) -> Result<()> {
        let view = context::take(self.service, self.cluster, Fresh::default()).await?.view;
        let News { pods, nodes, mut changes } = std::mem::take(&mut self.news);
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
        Ok(())
    }

    /// Puts a pod into the queue if it waits for one of the schedulers, or takes it out. One that is as it `was` stays where it is.
    fn sort_in(&mut self, view: &View, key: &PodKey, was: Option<&Pod>) {
        let snapshot = &view.snapshot;
        let waits = |pod: &&Arc<Pod>| {
            self.schedulers.contains(&pod.scheduler_name)
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
            is_gated: !pod.scheduling_gates.is_empty(),
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
                tracing::warn!(cluster = &**self.cluster, %error, "a batch broke off; its pods are tried again");
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
        let view = context::view(self.service, self.cluster).await?;
        let (service, cluster) = (self.service.clone(), self.cluster.clone());
        let runs = schedule::prepare(&request, b"{}", None, service, cluster, &view, Sight::default())?;
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

    fn measure(&self) {
        let counts = self.queue.counts();
        for (state, count) in [
            ("active", counts.active),
            ("backoff", counts.backing_off),
            ("unschedulable", counts.unschedulable),
            ("gated", counts.gated),
        ] {
            gauge!(telemetry::QUEUED_PODS, "cluster" => self.cluster.to_string(), "queue" => state).set(count as f64);
        }
    }
}

impl News {
    fn add(&mut self, kind: &StoredKind, event: &Event) {
        let Some((namespace, name)) = event.place() else { return };
        match kind.core() {
            Some(Kind::Pod) => {
                self.pods.insert((namespace.into(), name.into()));
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
