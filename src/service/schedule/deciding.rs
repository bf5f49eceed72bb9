//! Pods decided one after the other, each in view of those before it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{counter, histogram};

use super::pods::Task;
use crate::{
    core::{
        batch::{Batch, Placed, Placement},
        model::{Name, Pod},
        policy::Profile,
    },
    extenders::Chain,
    service::{
        compute::compute_chunk,
        context::Chosen,
        decisions::{Made, Making, Said},
        error::Result,
        extenders::Sent,
    },
    store::{Body, Change},
    telemetry::{self, labels::PROFILES},
};

/// Pods that are decided without waiting for a turn.
pub(super) const FEW: usize = 32;

/// Pods of a chunk with extenders, and concurrent binds.
pub(super) const AT_ONCE: usize = 16;

/// The extenders of a request.
#[derive(Clone)]
pub(super) struct Asking {
    /// The extenders of its policy.
    pub(super) chain: Chain,
    /// The documents of a cluster that came with it.
    pub(super) sent: Option<Sent>,
}

/// A working copy of the cluster with the pods placed so far.
pub type Batched = Batch<Arc<Profile>>;

/// The decision for a pod.
pub(super) enum Decided {
    AlreadyOn(String),
    /// It is not stored any more.
    Gone,
    Placed(Placed),
    Unschedulable(String),
    /// There is no decision: an extender that is needed did not answer.
    Failed(String),
}

impl Decided {
    /// For metrics.
    pub(super) fn in_a_word(&self) -> &'static str {
        match self {
            Self::AlreadyOn(_) | Self::Placed(_) => "scheduled",
            Self::Unschedulable(_) => "unschedulable",
            Self::Gone | Self::Failed(_) => "error",
        }
    }
}

/// The result for a pod that needs no decision.
pub(super) fn known(task: &Task, batch: &Batched) -> Option<Decided> {
    match batch.snapshot().pod(&task.pod.namespace, &task.pod.name) {
        Some(stored) if stored.uid != task.pod.uid && task.new.is_none() => Some(Decided::Gone),
        None if task.new.is_none() => Some(Decided::Gone),
        // Its node is reserved for it: the bind only makes that a fact.
        Some(stored) if stored.is_assigned() && task.pod.is_assigned() => {
            Some(Decided::Placed(Placed { node: stored.node_name.clone(), ..Placed::default() }))
        }
        Some(stored) if stored.is_assigned() => Some(Decided::AlreadyOn(stored.node_name.to_string())),
        _ => None,
    }
}

/// Treats the pod as waiting: its reservation has lapsed.
pub(super) fn as_waiting(task: &mut Task) {
    if task.pod.is_assigned() {
        task.pod = Arc::new(Pod { node_name: Name::default(), ..(*task.pod).clone() });
    }
}

/// Decides for one pod. `true` beside the result: it was placed anew, which takes time.
pub(super) fn judge(batch: &mut Batched, task: &mut Task) -> (Decided, bool) {
    if let Some(known) = known(task, batch) {
        let known = match known {
            Decided::Placed(there) => match batch.confirm(&task.pod, &there.node) {
                Ok(there) => Decided::Placed(there),
                Err(why) => Decided::Unschedulable(why),
            },
            known => known,
        };
        return (known, false);
    }
    as_waiting(task);
    let decided = match batch.place(&task.pod) {
        Placement::Placed(there) => Decided::Placed(there),
        Placement::Unschedulable(message) => Decided::Unschedulable(message),
    };
    (decided, true)
}

/// The answer of a decision that is made again.
pub enum Again {
    /// There is one.
    Said(Said),
    /// There is nothing to decide: the pod is gone, or on a node.
    Nothing(String),
}

/// Makes a decision again, with the pods placed before it, and puts the pod where it goes. `is_sent`: the pod came with its request.
pub fn decide_again(batch: &mut Batched, pod: Arc<Pod>, is_sent: bool) -> Again {
    let new = is_sent.then(|| Change::Put { body: Body::default(), uid: pod.uid.to_string(), node: None });
    match judge(batch, &mut Task::new(0, pod, new)).0 {
        Decided::Placed(there) => Again::Said(Said::Placed(there)),
        Decided::Unschedulable(message) => Again::Said(Said::Nowhere(message)),
        Decided::AlreadyOn(node) => Again::Nothing(format!("the pod is on {node} in that state")),
        Decided::Gone | Decided::Failed(_) => Again::Nothing("the pod is not in that state".into()),
    }
}

/// Places a chunk on a thread of its own.
pub(super) async fn decide(
    mut batch: Batched,
    chunk: Vec<Task>,
    chosen: &Chosen,
) -> Result<(Batched, Vec<(Task, Decided)>)> {
    let profile = chosen.name().to_owned();
    compute_chunk(chunk.len() > FEW, move || {
        let mut decided = Vec::with_capacity(chunk.len());
        for mut task in chunk {
            let start = Instant::now();
            let (said, is_new) = judge(&mut batch, &mut task);
            if is_new {
                measure(said.in_a_word(), &profile, start.elapsed());
            }
            decided.push((task, said));
        }
        (batch, decided)
    })
    .await
}

/// Notes what was decided, as far as it is recorded.
pub(super) fn noted(making: &mut Making, decided: &[(Task, Decided)]) -> Made {
    let of_task = |(task, decided): &(Task, Decided)| {
        let said = match decided {
            Decided::Placed(there) => Said::Placed(there.clone()),
            Decided::Unschedulable(message) => Said::Nowhere(message.clone()),
            Decided::AlreadyOn(_) | Decided::Gone | Decided::Failed(_) => return None,
        };
        let body = if let Some(Change::Put { body, .. }) = &task.new { Some(body.unparsed().into()) } else { None };
        Some((task.pod.clone(), body, said))
    };
    making.decided(decided.iter().filter_map(of_task))
}

pub(super) fn measure(result: &'static str, profile: &str, took: Duration) {
    let profile = PROFILES.of(profile);
    counter!(telemetry::SCHEDULE_ATTEMPTS, "result" => result, "profile" => profile.clone()).increment(1);
    histogram!(telemetry::SCHEDULING_ATTEMPT_DURATION, "result" => result, "profile" => profile).record(took);
}
