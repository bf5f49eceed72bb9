//! Where a CSI driver has room for a volume that is yet to be made.
//!
//! Source: `pkg/scheduler/framework/plugins/volumebinding/binder.go` (`hasEnoughCapacity`, `nodeHasAccess`); in 1.22
//! `pkg/controller/volume/scheduling/scheduler_binder.go`, behind the feature gate CSIStorageCapacity, on since 1.21.

use std::collections::{BTreeMap, HashSet};

use crate::core::{
    model::{Labels, Name, Operator, PersistentVolumeClaim, Selector, StorageClass},
    snapshot::Snapshot,
};

/// The nodes with access to room for one claim. As many objects may tell of room as there are nodes, so they are sorted
/// once for all nodes.
#[derive(Debug, Default)]
pub(super) struct Room<'a> {
    /// The values of one label that suffice, by its key.
    by_label: BTreeMap<&'a Name, HashSet<&'a Name>>,
    others: Vec<&'a Selector>,
}

impl<'a> Room<'a> {
    /// Where there is room for the claim; `None` where nobody keeps account: the class's driver is not known, or does not
    /// publish its room, or the claim asks for no size.
    pub(super) fn of(claim: &PersistentVolumeClaim, class: &StorageClass, snapshot: &'a Snapshot) -> Option<Self> {
        let keeps_account = snapshot.csi_driver(&class.provisioner).is_some_and(|driver| driver.storage_capacity);
        if !keeps_account || claim.request.is_zero() {
            return None;
        }
        let size = claim.request.value();
        let mut room = Self::default();
        let capacities = snapshot.storage_capacities().filter(|capacity| {
            capacity.storage_class_name == class.name && capacity.largest_volume.is_some_and(|l| l.value() >= size)
        });
        for topology in capacities.filter_map(|capacity| capacity.node_topology.as_ref()) {
            match topology.0.as_slice() {
                [only] if let Operator::In(values) = &only.operator => {
                    room.by_label.entry(&only.key).or_default().extend(values);
                }
                _ => room.others.push(topology),
            }
        }
        Some(room)
    }

    /// Whether a node with these labels has access to it.
    pub(super) fn is_reached_by(&self, labels: &Labels) -> bool {
        self.by_label.iter().any(|(key, values)| labels.get(key).is_some_and(|value| values.contains(value)))
            || self.others.iter().any(|topology| topology.matches(labels))
    }
}
