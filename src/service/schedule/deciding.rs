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
    service::{compute::compute_chunk, context::Chosen, error::Result, extenders::Sent},
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
pub(super) type Batched = Batch<Arc<Profile>>;

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
            if let Some(known) = known(&task, &batch) {
                let known = match known {
                    Decided::Placed(there) => match batch.confirm(&task.pod, &there.node) {
                        Ok(there) => Decided::Placed(there),
                        Err(why) => Decided::Unschedulable(why),
                    },
                    known => known,
                };
                decided.push((task, known));
                continue;
            }
            as_waiting(&mut task);
            let start = Instant::now();
            let placement = batch.place(&task.pod);
            let took = start.elapsed();
            let said = match placement {
                Placement::Placed(there) => Decided::Placed(there),
                Placement::Unschedulable(message) => Decided::Unschedulable(message),
            };
            measure(said.in_a_word(), &profile, took);
            decided.push((task, said));
        }
        (batch, decided)
    })
    .await
}

pub(super) fn measure(result: &'static str, profile: &str, took: Duration) {
    let profile = PROFILES.of(profile);
    counter!(telemetry::SCHEDULE_ATTEMPTS, "result" => result, "profile" => profile.clone()).increment(1);
    histogram!(telemetry::SCHEDULING_ATTEMPT_DURATION, "result" => result, "profile" => profile).record(took);
}
