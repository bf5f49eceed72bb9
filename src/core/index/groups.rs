//! Pods by what selectors read of them: their namespace, their labels, and whether they are being deleted.
//!
//! A cluster has many pods and few such groups, so that a selector is held against these.

use imbl::OrdMap;

use super::{Slot, counts::Counts};
use crate::core::model::{Labels, Name, Pod};

/// What pods have in common that no selector tells apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::core) struct Group {
    /// Their namespace.
    pub(in crate::core) namespace: Name,
    /// Their labels.
    pub(in crate::core) labels: Labels,
    /// Whether they are being deleted.
    pub(in crate::core) terminating: bool,
}

/// All groups that have a pod on a node, known or not.
#[derive(Clone, Debug, Default)]
pub(in crate::core) struct Groups(OrdMap<Group, Counts>);

impl Group {
    fn of(pod: &Pod) -> Self {
        Self { namespace: pod.namespace.clone(), labels: pod.labels.clone(), terminating: pod.terminating }
    }
}

impl Groups {
    pub(super) fn add(&mut self, slot: Slot, pod: &Pod) {
        self.0.entry(Group::of(pod)).or_default().add(slot);
    }

    pub(super) fn remove(&mut self, slot: Slot, pod: &Pod) {
        let group = Group::of(pod);
        if self.0.get_mut(&group).is_some_and(|counts| counts.remove(slot)) {
            self.0.remove(&group);
        }
    }

    /// The labels of the group that the pod is one of, if there is one: equal to the pod's own, and shared.
    pub(super) fn labels_like(&self, pod: &Pod) -> Option<&Labels> {
        self.0.get_key_value(&Group::of(pod)).map(|(group, _)| &group.labels)
    }

    /// All groups.
    pub(in crate::core) fn all(&self) -> impl Iterator<Item = (&Group, &Counts)> {
        self.0.iter()
    }

    /// The groups of one namespace.
    pub(in crate::core) fn within<'s>(
        &'s self,
        namespace: &'s Name,
    ) -> impl Iterator<Item = (&'s Group, &'s Counts)> + use<'s> {
        let from = Group { namespace: namespace.clone(), labels: Labels::default(), terminating: false };
        self.0.range(from..).take_while(move |(group, _)| group.namespace == *namespace)
    }
}
