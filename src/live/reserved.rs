//! Reservations, applied to their pods.
//!
//! An assumed pod counts as running on its node until it is bound, deleted, or its reservation ends; a nominated one names its node. The pod
//! itself is kept beside, so that a reservation leaves no trace when it ends. This file does not know the time: the expiry job deletes
//! reservations that have lapsed.

use std::sync::Arc;

use imbl::OrdMap;

use crate::{
    core::{
        model::{Name, Pod},
        snapshot::{Object, Snapshot},
    },
    store::Record,
    wire::reservation::{ReservationKind, Stored},
};

/// A pod's namespace and name.
type PodKey = (Name, Name);

/// The reservations of one view.
#[derive(Clone, Debug, Default)]
pub(super) struct Reserved {
    held: OrdMap<PodKey, Arc<Held>>,
    /// The pods that the snapshot shows differently, in their own form.
    unreserved: OrdMap<PodKey, Arc<Pod>>,
}

#[derive(Clone, Debug)]
struct Held {
    pod_uid: Name,
    kind: ReservationKind,
    /// Empty while it is not granted.
    node: Name,
}

impl Held {
    fn is_about(&self, pod: &Pod) -> bool {
        let same = self.pod_uid.is_empty() || self.pod_uid == pod.uid;
        same && !self.node.is_empty() && !pod.is_assigned() && !pod.terminal
    }

    fn laid_over(&self, mut pod: Pod) -> Pod {
        match self.kind {
            ReservationKind::Assumed => pod.node_name = self.node.clone(),
            ReservationKind::Nominated => pod.nominated_node_name = self.node.clone(),
        }
        pod
    }
}

impl Reserved {
    /// A pod in its own form, without its reservation.
    pub(super) fn unreserved<'s>(
        &'s self,
        snapshot: &'s Snapshot,
        namespace: &str,
        name: &str,
    ) -> Option<&'s Arc<Pod>> {
        self.unreserved.get(&(namespace.into(), name.into())).or_else(|| snapshot.pod(namespace, name))
    }

    /// All pods in their own form.
    pub(super) fn all_unreserved<'s>(&'s self, snapshot: &'s Snapshot) -> impl Iterator<Item = &'s Arc<Pod>> {
        let own = |pod: &'s Arc<Pod>| {
            if self.unreserved.is_empty() {
                return pod; // No pod has to be looked up.
            }
            self.unreserved.get(&(pod.namespace.clone(), pod.name.clone())).unwrap_or(pod)
        };
        snapshot.pods().map(own)
    }

    /// Applies a pod.
    pub(super) fn apply_pod(&mut self, pod: Pod, snapshot: &mut Snapshot) {
        let key = (pod.namespace.clone(), pod.name.clone());
        let pod = if let Some(held) = self.held.get(&key).filter(|held| held.is_about(&pod)) {
            self.unreserved.insert(key, Arc::new(pod.clone()));
            held.laid_over(pod)
        } else {
            self.unreserved.remove(&key);
            pod
        };
        snapshot.apply(Object::Pod(Box::new(pod)));
    }

    /// A pod is gone.
    pub(super) fn forget_pod(&mut self, namespace: &Name, name: &Name) {
        self.unreserved.remove(&(namespace.clone(), name.clone()));
    }

    /// Takes in a reservation or its end; `complete` is the last revision of which the view was the exact state.
    pub(super) fn apply(&mut self, record: &Record, complete: u64, snapshot: &mut Snapshot) {
        let key: PodKey = (record.key.namespace.as_str().into(), record.key.name.as_str().into());
        match self.read(&key, record, complete) {
            Some(held) => drop(self.held.insert(key.clone(), Arc::new(held))),
            None => drop(self.held.remove(&key)),
        }
        if let Some(pod) = self.unreserved(snapshot, &key.0, &key.1).cloned() {
            self.apply_pod(Pod::clone(&pod), snapshot);
        }
    }

    fn read(&self, key: &PodKey, record: &Record, complete: u64) -> Option<Held> {
        if record.deleted {
            return None;
        }
        let node = record.node.as_deref().unwrap_or_default().into();
        if record.body_is_known(complete) {
            return self.held.get(key).map(|held| Held { node, ..Held::clone(held) });
        }
        let stored = Stored::parse(&record.body)
            .inspect_err(|error| tracing::error!(key = ?record.key, %error, "a stored reservation cannot be read"));
        stored.ok().map(|Stored { pod_uid, kind, .. }| Held { pod_uid: pod_uid.into(), kind, node })
    }
}
