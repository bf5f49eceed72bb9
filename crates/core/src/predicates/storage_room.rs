//! Free capacity of CSI drivers for a volume to be made.
//!
//! Source: `pkg/scheduler/framework/plugins/volumebinding/binder.go` (`hasEnoughCapacity`, `nodeHasAccess`); in 1.22
//! `pkg/controller/volume/scheduling/scheduler_binder.go`, behind the feature gate CSIStorageCapacity, on since 1.21.

use std::collections::{BTreeMap, HashSet};

use crate::{
    model::{Labels, Name, Operator, PersistentVolumeClaim, Selector, StorageClass},
    snapshot::Snapshot,
    work,
};

/// The nodes with access to free capacity for one claim. There may be as many capacity objects as nodes, so they are sorted once for all
/// nodes.
#[derive(Debug, Default)]
pub(super) struct Room<'a> {
    /// The values of one label that suffice, by its key.
    by_label: BTreeMap<&'a Name, HashSet<&'a Name>>,
    others: Vec<&'a Selector>,
}

impl<'a> Room<'a> {
    /// The capacities for the claim; `None` if none are published: the class's driver is unknown or does not publish its capacity, or the
    /// claim has no size.
    pub(super) fn of(claim: &PersistentVolumeClaim, class: &StorageClass, snapshot: &'a Snapshot) -> Option<Self> {
        let keeps_account = snapshot.csi_driver(&class.provisioner).is_some_and(|driver| driver.storage_capacity);
        if !keeps_account || claim.request.is_zero() {
            return None;
        }
        let size = claim.request.value();
        let mut room = Self::default();
        let capacities = snapshot.storage_capacities().filter(|capacity| {
            work::spend(1);
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

    /// `true` if a node with these labels has access to it.
    pub(super) fn is_reached_by(&self, labels: &Labels) -> bool {
        work::spend_on(self.others.len());
        self.by_label.iter().any(|(key, values)| labels.get(key).is_some_and(|value| values.contains(value)))
            || self.others.iter().any(|topology| topology.matches(labels))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{csi_driver, node, pod, predicate, pvc, room, storage_class, verdict_of};
    use crate::{
        model::{Operator, Requirement, Selector, topology},
        rule::{Arguments, Release},
        snapshot::Object,
        verdict::Verdict,
    };

    /// The verdict on node `a` of zone az1 about a claim of 5Gi to class `csi`.
    fn verdict(more: Vec<Object>) -> Verdict {
        let cluster = [
            vec![
                node("a").zone("az1").into(),
                storage_class("csi").into(),
                pvc("data").class("csi").size("5Gi").into(),
            ],
            more,
        ];
        let verdicts = [Release::V1_22, Release::V1_34].map(|release| {
            let rule = predicate("CheckVolumeBinding", &Arguments::defaults(release));
            verdict_of(&*rule, pod("p").claim("data"), &cluster.concat(), "a")
        });
        assert_eq!(verdicts[0], verdicts[1], "both releases keep account");
        verdicts[0].clone()
    }

    fn zone(name: &str) -> Selector {
        Selector::from_map([(topology::ZONE, name)])
    }

    #[test]
    fn volumes_are_made_where_the_driver_has_room() {
        let none = Verdict::unresolvable("node(s) did not have enough free storage");
        let driver = || csi_driver("csi.example.com");
        let not = Requirement { key: topology::ZONE.into(), operator: Operator::NotIn(vec!["az2".into()]) };
        let cases = [
            ("the driver is not known", vec![], true),
            ("another driver publishes its room", vec![csi_driver("other.example.com")], true),
            ("there is no room at all", vec![driver()], false),
            ("5Gi of 5Gi", vec![driver(), room("csi", "5Gi", zone("az1"))], true),
            ("5Gi of 4Gi", vec![driver(), room("csi", "4Gi", zone("az1"))], false),
            ("elsewhere", vec![driver(), room("csi", "9Gi", zone("az2"))], false),
            ("for another class", vec![driver(), room("other", "9Gi", zone("az1"))], false),
            ("everywhere", vec![driver(), room("csi", "9Gi", Selector::default())], true),
            ("by any condition", vec![driver(), room("csi", "9Gi", Selector(vec![not]))], true),
        ];
        for (why, more, fits) in cases {
            assert_eq!(verdict(more), if fits { Verdict::Fits } else { none.clone() }, "{why}");
        }
    }

    #[test]
    fn a_claim_whose_volume_is_being_made_needs_its_room_still() {
        let chosen = |node| pvc("data").class("csi").size("5Gi").annotation("volume.kubernetes.io/selected-node", node);
        assert_eq!(verdict(vec![chosen("a").into()]), Verdict::Fits);
        assert!(!verdict(vec![chosen("a").into(), csi_driver("csi.example.com")]).fits());
        assert!(!verdict(vec![chosen("b").into()]).fits(), "it is made for another node");
    }
}
