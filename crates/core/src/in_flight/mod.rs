//! What a scheduler has decided through the extender verbs and the state does not show yet.
//!
//! The state that a decision stands on is often a copy of a real cluster, and a copy is behind: a victim that was evicted
//! still runs there, a pod that was bound still waits. Two tables bridge that gap, each bounded, each with a time after
//! which an entry counts no more, and each ended by the state itself once it shows what happened:
//!
//! - [`Preemptions`]: the victims that were named for a pod. They count as gone where that pod asks for their node.
//! - [`Assumed`]: pods that were in all likelihood bound. They count when nodes are scored, and nowhere else: what is
//!   only likely is no reason to refuse a node.
//!
//! Times are nanoseconds since any fixed instant.

mod assumed;
mod preemptions;

pub use assumed::Assumed;
pub use preemptions::{Departures, Preemptions, Victim};

use super::{
    model::Pod,
    snapshot::{NamespacedName, Snapshot},
};

/// What the state says of a pod that something is remembered about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is not (or not any more) in the state.
    Absent,
    /// It waits for a node.
    Waits,
    /// It has a node, ran to its end, or another pod has its name.
    Settled,
}

impl Standing {
    fn of(pod: &Pod, state: &Snapshot) -> Self {
        match state.pod(&pod.namespace, &pod.name) {
            None => Self::Absent,
            Some(stored) if stored.is_assigned() || stored.terminal || !is_same_object(stored, pod) => Self::Settled,
            Some(_) => Self::Waits,
        }
    }

    /// Whether this ends what is remembered; `seen` says whether the state has had the pod before.
    fn ends(self, seen: bool) -> bool {
        self == Self::Settled || self == Self::Absent && seen
    }
}

/// Whether two pods of one name are one pod. A pod without a uid is any pod of its name.
fn is_same_object(a: &Pod, b: &Pod) -> bool {
    a.uid == b.uid || a.uid.is_empty() || b.uid.is_empty()
}

fn key(pod: &Pod) -> NamespacedName {
    (pod.namespace.clone(), pod.name.clone())
}
