//! Decisions that a scheduler made through the extender verbs and that the state does not show yet.
//!
//! The state is often a copy of a real cluster, and a copy lags: an evicted victim still runs there, a bound pod still waits. Two
//! tables bridge that gap. Each is bounded, and each entry ends after a time, or earlier when the state shows the outcome:
//!
//! - [`Preemptions`]: the victims named for a pod. They count as gone when that pod asks for their node.
//! - [`Assumed`]: pods that were probably bound. They count when nodes are scored, and nowhere else: a probable bind is no reason to
//!   refuse a node.
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

/// The state's view of a pod that has an entry.
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

    /// `true` if this ends the entry; `seen` tells if the state has had the pod before.
    fn ends(self, seen: bool) -> bool {
        self == Self::Settled || self == Self::Absent && seen
    }
}

/// `true` if two pods of one name are one pod. A pod without a uid is any pod of its name.
fn is_same_object(a: &Pod, b: &Pod) -> bool {
    a.uid == b.uid || a.uid.is_empty() || b.uid.is_empty()
}

fn key(pod: &Pod) -> NamespacedName {
    (pod.namespace.clone(), pod.name.clone())
}
