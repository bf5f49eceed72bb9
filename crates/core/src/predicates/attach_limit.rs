//! Shared parts of the predicates that count attached volumes, and the rule of the four that count one in-tree kind.
//!
//! Source: `pkg/scheduler/framework/plugins/nodevolumelimits/non_csi.go`.

use std::{borrow::Cow, collections::BTreeSet};

use super::{
    Demand, Predicate,
    csi_migration::InTreePlugin,
    volumes::{MountedClaim, NAMELESS_CLAIM, class_of, volume_of},
};
use crate::{
    model::{Labels, Name, PersistentVolumeClaim, Pod, VolumeSource},
    node_info::NodeInfo,
    rule::{Reads, Release},
    snapshot::Snapshot,
    verdict::Verdict,
};

/// The message of every predicate that counts attached volumes.
pub(super) const EXCEEDED: &str = "node(s) exceed max volume count";

/// The identity of a volume for counting: once, for any number of pods that mount it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum VolumeId<'a> {
    /// A volume that is there, by its own name.
    Volume(Cow<'a, str>),
    /// A volume that is yet to be made, by the namespace and name of its claim.
    Claim(&'a str, &'a str),
}

impl<'a> VolumeId<'a> {
    /// The volume that is to be made for a claim.
    pub(super) fn of_claim(claim: &'a PersistentVolumeClaim) -> Self {
        Self::Claim(&claim.namespace, &claim.name)
    }
}

/// How many volumes of one in-tree kind a node takes.
pub(super) struct AttachLimit {
    /// The release whose rules apply.
    pub(super) release: Release,
    /// The in-tree plugin, by its name and its provisioner's.
    pub(super) plugin: &'static str,
    /// The allocatable resource with the limit of a node.
    pub(super) resource: &'static str,
    /// The limit of a node without that resource, by its labels.
    pub(super) default: fn(&Labels) -> i64,
    /// The name of a volume of this kind; `None` for one of another.
    pub(super) id: fn(&VolumeSource) -> Option<&Name>,
}

impl Predicate for AttachLimit {
    fn prepare<'a>(&'a self, pod: &'a Pod, snapshot: &'a Snapshot) -> Demand<'a> {
        if self.release.facts().counts_in_tree_volumes_as_csi {
            return Demand::Nothing;
        }
        let mut wanted = BTreeSet::new();
        if !self.collect(pod, snapshot, &mut wanted) {
            return Demand::check(|_| Verdict::unresolvable(NAMELESS_CLAIM));
        }
        if wanted.is_empty() {
            return Demand::Nothing;
        }
        Demand::check(move |node| self.check(&wanted, node, snapshot))
    }

    fn reads(&self, pod: &Pod, _: &Snapshot) -> Reads {
        if pod.volumes.is_empty() { Reads::Nothing } else { Reads::Cluster }
    }
}

impl AttachLimit {
    fn check(&self, wanted: &BTreeSet<VolumeId<'_>>, node: &NodeInfo, snapshot: &Snapshot) -> Verdict {
        let csi_node = snapshot.csi_node(node.name()).map(|csi_node| &**csi_node);
        if InTreePlugin::named(self.plugin).is_some_and(|plugin| plugin.counts_as_csi_on(csi_node, self.release)) {
            return Verdict::Fits;
        }
        let mut attached = BTreeSet::new();
        if !node.pods.iter().all(|pod| self.collect(pod, snapshot, &mut attached)) {
            return Verdict::unresolvable(NAMELESS_CLAIM);
        }
        let new = wanted.iter().filter(|volume| !attached.contains(volume)).count();
        let limit = match node.node.allocatable.scalar.get(self.resource) {
            Some(limit) => *limit,
            None => (self.default)(node.labels()),
        };
        Verdict::fits_if((attached.len() + new) as i64 <= limit, || Verdict::unschedulable(EXCEEDED))
    }

    /// Adds a pod's volumes of this kind; `false` if one of its claims has no name.
    ///
    /// For a claim that is unbound, or bound to a volume that does not exist, the provisioner of its class decides the kind. A claim that does
    /// not exist does not count.
    fn collect<'a>(&self, pod: &'a Pod, snapshot: &'a Snapshot, into: &mut BTreeSet<VolumeId<'a>>) -> bool {
        into.extend(
            pod.volumes.iter().filter_map(|volume| (self.id)(&volume.source)).map(|id| VolumeId::Volume((**id).into())),
        );
        for MountedClaim { name, claim, .. } in MountedClaim::named(pod, snapshot) {
            if name.is_empty() {
                return false;
            }
            let Some(claim) = claim else { continue };
            match volume_of(claim, snapshot) {
                Some(volume) => into.extend((self.id)(&volume.source).map(|id| VolumeId::Volume((**id).into()))),
                None if self.provisions(claim, snapshot) => drop(into.insert(VolumeId::of_claim(claim))),
                None => {}
            }
        }
        true
    }

    /// `true` if the claim's volume will be of this kind.
    fn provisions(&self, claim: &PersistentVolumeClaim, snapshot: &Snapshot) -> bool {
        class_of(claim, snapshot).is_some_and(|class| *class.provisioner == *self.plugin)
    }
}
