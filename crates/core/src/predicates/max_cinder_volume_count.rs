//! # Rule
//! The number of OpenStack Cinder volumes on a node, those of its pods and of the incoming pod together, is at most a
//! limit. Each volume counts once. Volumes in the pod itself count, and volumes behind its claims. For an unbound claim the
//! provisioner of its class decides (`kubernetes.io/cinder`). Claims that do not exist, and claims made for a pod (ephemeral
//! volumes), do not count. A pod without such a volume always fits.
//!
//! limit = the node's allocatable `attachable-volumes-cinder`, else 256
//!
//! kube-scheduler's environment variable `KUBE_MAX_PD_VOLS` overrides that default. Podberth does not read it: a decision
//! depends on the request and the stored state alone.
//!
//! # Policy name and framework plugin
//! `MaxCinderVolumeCount`; plugin `CinderLimits`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/nodevolumelimits/non_csi.go`.
//! - 1.6: not there yet; it came with 1.14.
//! - 1.22: a node whose CSINode lists `kubernetes.io/cinder` among the migrated plugins fits always: `MaxCSIVolumeCountPred` counts there.
//! - 1.34: the plugin is gone and the rule accepts every node. `NodeVolumeLimits` (`MaxCSIVolumeCountPred`) counts these volumes
//!   as their CSI driver's.
//!
//! # Reason text
//! `node(s) exceed max volume count`; `PersistentVolumeClaim had no name`
//!
//! # Can preemption help?
//! Yes: an evicted pod takes its volumes with it. A claim without a name is unresolvable.
//!
//! # Example
//! ```json
//! {"kind": "Policy", "apiVersion": "v1", "predicates": [{"name": "MaxCinderVolumeCount"}]}
//! ```
//! A node with allocatable `attachable-volumes-cinder: 2` runs a pod with two such volumes. It takes another pod that mounts
//! one of the two, and none that brings a third.

use super::{Build, Registration, Standing, attach_limit::AttachLimit, csi_migration};
use crate::{model::VolumeSource, rule::Identity};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "MaxCinderVolumeCount",
        aliases: &[],
        plugin: "CinderLimits",
        modern_plugin: None,
        arguments: &[],
        source: include_str!("max_cinder_volume_count.rs"),
    },
    standing: Standing::Optional,
    build: Build::Rule(|arguments| {
        Box::new(AttachLimit {
            release: arguments.release,
            plugin: csi_migration::CINDER,
            resource: "attachable-volumes-cinder",
            default: |_| 256,
            id: |source| match source {
                VolumeSource::Cinder { volume_id } => Some(volume_id),
                _ => None,
            },
        })
    }),
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{csi_node, node, pod, predicate, verdict_of};
    use crate::{
        rule::{Arguments, Release},
        snapshot::Object,
    };

    #[test]
    fn volumes_are_left_to_csi_where_the_plugin_has_moved() {
        let rule = predicate("MaxCinderVolumeCount", &Arguments::defaults(Release::V1_22));
        let cluster: [Object; 4] = [
            node("a").offers("attachable-volumes-cinder", "0").into(),
            node("b").offers("attachable-volumes-cinder", "0").into(),
            node("c").into(),
            csi_node("b").migrated("kubernetes.io/cinder").into(),
        ];
        let new = pod("p").mounts(VolumeSource::Cinder { volume_id: "v".into() });
        let fits = |on| verdict_of(&*rule, new.clone(), &cluster, on).fits();
        assert!(!fits("a"), "0 + 1 > 0");
        assert!(fits("b"), "counted by MaxCSIVolumeCountPred");
        assert!(fits("c"), "1 of 256");
    }
}
