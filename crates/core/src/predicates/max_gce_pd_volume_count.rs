//! # Rule
//! A node takes so many Google persistent disks and no more: those of its pods and the pod's own together, each volume
//! counted once. Volumes that stand in a pod count, and those behind a claim, bound or not: of an unbound claim the
//! provisioner of its class tells (`kubernetes.io/gce-pd`). A claim that does not exist is not counted, nor one
//! made for a pod (ephemeral volumes). A pod that brings no such volume fits always.
//!
//! limit = the node's allocatable `attachable-volumes-gce-pd`, else 16
//!
//! Kubernetes lets the environment variable `KUBE_MAX_PD_VOLS` of kube-scheduler stand in for that default. It is not read
//! here: a decision depends on what is asked and stored alone.
//!
//! # Policy name and framework plugin
//! `MaxGCEPDVolumeCount`; plugin `GCEPDLimits`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/nodevolumelimits/non_csi.go`.
//! - 1.6: `MaxPDVolumeCountChecker` in `plugin/pkg/scheduler/algorithm/predicates/predicates.go`. A claim or volume that was
//!   not there counted as one; an unbound claim was an error.
//! - 1.22: the plugin's migration to CSI is off, so its volumes are counted here on every node.
//! - 1.34: the plugin is gone and the rule asks nothing. `NodeVolumeLimits` (`MaxCSIVolumeCountPred`) counts these volumes
//!   as their CSI driver's.
//!
//! # Reason text
//! `node(s) exceed max volume count`; `PersistentVolumeClaim had no name`
//!
//! # Can preemption help?
//! Yes: a pod that goes takes its volumes with it. A claim without a name is unresolvable.
//!
//! # Example
//! ```json
//! {"kind": "Policy", "apiVersion": "v1", "predicates": [{"name": "MaxGCEPDVolumeCount"}]}
//! ```
//! A node with allocatable `attachable-volumes-gce-pd: 2` runs a pod with two such volumes. It takes another pod that mounts
//! one of the two, and none that brings a third.

use super::{Build, Registration, Standing, attach_limit::AttachLimit, csi_migration};
use crate::{model::VolumeSource, rule::Identity};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "MaxGCEPDVolumeCount",
        aliases: &[],
        plugin: "GCEPDLimits",
        modern_plugin: None,
        source: include_str!("max_gce_pd_volume_count.rs"),
    },
    standing: Standing::Default,
    build: Build::Rule(|arguments| {
        Box::new(AttachLimit {
            release: arguments.release,
            plugin: csi_migration::GCE_PD,
            resource: "attachable-volumes-gce-pd",
            default: |_| 16,
            id: |source| match source {
                VolumeSource::GcePersistentDisk { pd_name, .. } => Some(pd_name),
                _ => None,
            },
        })
    }),
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod, predicate, verdict_of};
    use crate::{
        rule::{Arguments, Release},
        snapshot::Object,
    };

    fn disk(id: &str) -> VolumeSource {
        VolumeSource::GcePersistentDisk { pd_name: id.into(), read_only: false }
    }

    #[test]
    fn a_node_takes_what_it_offers_or_sixteen() {
        let rule = predicate("MaxGCEPDVolumeCount", &Arguments::defaults(Release::V1_22));
        let cluster: [Object; 3] = [
            node("a").offers("attachable-volumes-gce-pd", "1").into(),
            node("b").into(),
            pod("old").mounts(disk("d0")).on("a").into(),
        ];
        let fits = |count: usize, on| {
            let new = (0..count).fold(pod("new"), |pod, i| pod.mounts(disk(&format!("d{i}"))));
            verdict_of(&*rule, new, &cluster, on).fits()
        };
        assert!(fits(1, "a"), "the same disk is attached once");
        assert!(!fits(2, "a"), "2 > 1");
        assert!(fits(16, "b") && !fits(17, "b"), "17 > 16");
    }
}
