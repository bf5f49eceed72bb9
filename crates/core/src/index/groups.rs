//! Groups of pods by the properties that selectors read: namespace, labels, and if they are being deleted.
//!
//! A cluster mostly has many pods and few such groups, so a selector is matched against groups. If each pod has labels of its own, as in
//! a stateful set, it is matched only against the groups with a label that it demands.

use imbl::{OrdMap, OrdSet};

use super::{Slot, counts::Counts};
use crate::{
    model::{Labels, Name, Pod, Selector},
    work,
};

/// Common properties of pods that no selector can tell apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    /// Their namespace.
    pub(crate) namespace: Name,
    /// Their labels.
    pub(crate) labels: Labels,
    /// `true` if they are being deleted.
    pub(crate) terminating: bool,
}

/// All groups that have a pod on a node, known or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    counts: OrdMap<Group, Counts>,
    /// Each group once for each of its labels, by key and value.
    by_label: OrdSet<(Name, Name, Group)>,
}

impl Group {
    fn of(pod: &Pod) -> Self {
        Self { namespace: pod.namespace.clone(), labels: pod.labels.clone(), terminating: pod.terminating }
    }

    /// A bound below every group of a namespace.
    fn first_of(namespace: &Name) -> Self {
        Self { namespace: namespace.clone(), labels: Labels::default(), terminating: false }
    }

    fn filed(&self) -> impl Iterator<Item = (Name, Name, Self)> {
        self.labels.iter().map(|(key, value)| (key.clone(), value.clone(), self.clone()))
    }
}

impl Groups {
    pub(super) fn add(&mut self, slot: Slot, pod: &Pod) {
        let group = Group::of(pod);
        if let Some(counts) = self.counts.get_mut(&group) {
            counts.add(slot);
            return;
        }
        self.by_label.extend(group.filed());
        self.counts.entry(group).or_default().add(slot);
    }

    pub(super) fn remove(&mut self, slot: Slot, pod: &Pod) {
        let group = Group::of(pod);
        if self.counts.get_mut(&group).is_some_and(|counts| counts.remove(slot)) {
            self.counts.remove(&group);
            for filed in group.filed() {
                self.by_label.remove(&filed);
            }
        }
    }

    /// The groups that a selector selects, of one namespace or of all.
    pub(crate) fn selected<'s>(
        &'s self,
        namespace: Option<&'s Name>,
        selector: &'s Selector,
    ) -> impl Iterator<Item = (&'s Group, &'s Counts)> + use<'s> {
        let from = || Group::first_of(namespace.unwrap_or(&Name::default()));
        let is_there = move |group: &Group| namespace.is_none_or(|namespace| group.namespace == *namespace);
        let label = selector.needed_label();
        let filed = label.map(|(key, value)| {
            let filed = self.by_label.range((key.clone(), value.clone(), from())..);
            let filed = filed.take_while(move |(k, v, group)| k == key && v == value && is_there(group));
            filed.filter_map(|(_, _, group)| self.counts.get_key_value(group))
        });
        let every = label.is_none().then(|| self.counts.range(from()..).take_while(move |(group, _)| is_there(group)));
        let candidates = filed.into_iter().flatten().chain(every.into_iter().flatten());
        let cost = selector.cost();
        candidates.filter(move |(group, _)| {
            work::spend(cost);
            selector.matches(&group.labels)
        })
    }
}
