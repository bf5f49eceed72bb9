//! The differences between the overviews of two snapshots. Parts that both have in the same memory are passed over.

use std::sync::Arc;

use super::{Asked, Columns, Row, Sums, resource_names, sums};
use crate::{
    model::{Name, Pod},
    pending::is_pending,
    snapshot::Snapshot,
    work,
};

/// The way from an overview to that of a later snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Both are equal.
    Same,
    /// Some nodes differ.
    Changes(Box<Changes>),
    /// There are other nodes, labels or resources: all is to be told anew.
    Anew,
}

/// The nodes and sums that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The names of the resources that have columns.
    pub resources: Vec<Name>,
    /// The places of the nodes in the overview.
    pub index: Vec<usize>,
    /// Their columns.
    pub columns: Columns,
    /// The groups that differ, each with its place.
    pub groups: Vec<(usize, Name, Sums)>,
    /// The sums of all nodes.
    pub totals: Sums,
    /// Pods of the cluster that wait for a node.
    pub pending: usize,
}

/// The way from the overview of `old`, of which `pending` is known, to that of `new`. `sees` is as for [`super::overview`].
pub fn after(
    old: &Snapshot,
    new: &Snapshot,
    asked: &Asked,
    pending: usize,
    mut sees: impl FnMut(&Name) -> bool,
) -> Step {
    if old.node_count() != new.node_count() {
        return Step::Anew;
    }
    let pending_now = pending_after(old, new, pending);
    let (mut place, mut found) = (0, Vec::new());
    for (before, now) in old.nodes().zip(new.nodes()) {
        let is_same = Arc::ptr_eq(before, now);
        if !is_same && (before.name() != now.name() || before.labels() != now.labels()) {
            return Step::Anew;
        }
        work::spend(asked.nodes.cost());
        if !asked.nodes.matches(now.labels()) {
            continue;
        }
        if !is_same {
            let row = Row::of(now, asked, &mut sees);
            if row != Row::of(before, asked, &mut sees) {
                found.push((place, row));
            }
        }
        place += 1;
    }
    if found.is_empty() && pending_now == pending {
        return Step::Same;
    }
    let resources = resource_names(new, asked);
    if resources != resource_names(old, asked) {
        return Step::Anew;
    }
    let (were, are) = (sums(old, asked), sums(new, asked));
    let groups = were.groups.values().zip(are.groups).enumerate();
    let groups = groups.filter(|(_, (were, (_, are)))| *were != are).map(|(at, (_, (name, are)))| (at, name, are));
    let mut changes = Changes {
        groups: groups.collect(),
        columns: Columns::of(&resources, asked),
        resources,
        totals: are.totals,
        pending: pending_now,
        ..Changes::default()
    };
    for (place, row) in found {
        changes.index.push(place);
        changes.columns.push(row);
    }
    Step::Changes(Box::new(changes))
}

/// How many pods wait after the changes between two snapshots.
fn pending_after(old: &Snapshot, new: &Snapshot, pending: usize) -> usize {
    let waits = |pod: Option<&Arc<Pod>>| usize::from(pod.is_some_and(|pod| is_pending(pod)));
    new.pods_unlike(old).fold(pending, |pending, (before, now)| {
        work::spend(1);
        (pending + waits(now)).saturating_sub(waits(before))
    })
}
