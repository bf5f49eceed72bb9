//! # Rule
//! The number of AWS elastic block store volumes on a node, those of its pods and of the incoming pod together, is at most a
//! limit. Each volume counts once. Volumes in the pod itself count, and volumes behind its claims. For an unbound claim the
//! provisioner of its class decides (`kubernetes.io/aws-ebs`). Claims that do not exist, and claims made for a pod (ephemeral
//! volumes), do not count. A pod without such a volume always fits.
//!
//! limit = the node's allocatable `attachable-volumes-aws-ebs`, else 39, or 25 on a Nitro instance (an instance type that begins with `c5`, `m5` or `r5`, or holds `t3` or `z1d`)
//!
//! kube-scheduler's environment variable `KUBE_MAX_PD_VOLS` overrides that default. Podberth does not read it: a decision
//! depends on the request and the stored state alone.
//!
//! # Policy name and framework plugin
//! `MaxEBSVolumeCount`; plugin `EBSLimits`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/nodevolumelimits/non_csi.go`.
//! - 1.6: `MaxPDVolumeCountChecker` in `plugin/pkg/scheduler/algorithm/predicates/predicates.go`, with 39 for every node. A
//!   claim or volume that did not exist counted as one; an unbound claim was an error.
//! - 1.22: the plugin's migration to CSI is off, so its volumes are counted here on every node.
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
//! {"kind": "Policy", "apiVersion": "v1", "predicates": [{"name": "MaxEBSVolumeCount"}]}
//! ```
//! A node with allocatable `attachable-volumes-aws-ebs: 2` runs a pod with two such volumes. It takes another pod that mounts
//! one of the two, and none that brings a third.

use super::{Build, Registration, Standing, attach_limit::AttachLimit, csi_migration};
use crate::{
    model::{Labels, VolumeSource},
    rule::Identity,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "MaxEBSVolumeCount",
        aliases: &[],
        plugin: "EBSLimits",
        modern_plugin: None,
        arguments: &[],
        source: include_str!("max_ebs_volume_count.rs"),
    },
    standing: Standing::Default,
    build: Build::Rule(|arguments| {
        Box::new(AttachLimit {
            release: arguments.release,
            plugin: csi_migration::AWS_EBS,
            resource: "attachable-volumes-aws-ebs",
            default: default_limit,
            id: |source| match source {
                VolumeSource::AwsElasticBlockStore { volume_id, .. } => Some(volume_id),
                _ => None,
            },
        })
    }),
};

/// The limit, by instance type, of a node that does not report one.
fn default_limit(labels: &Labels) -> i64 {
    let keys = ["node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type"];
    let instance = keys.into_iter().find_map(|key| labels.get(key)).map_or("", |value| &**value);
    let nitro = ["c5", "m5", "r5"].iter().any(|family| instance.starts_with(family))
        || ["t3", "z1d"].iter().any(|family| instance.contains(family));
    if nitro { 25 } else { 39 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NodeBuilder, PodBuilder, node, pod, predicate, pv, pvc, storage_class, verdict_of};
    use crate::{
        rule::{Arguments, Release},
        snapshot::Object,
        verdict::Verdict,
    };

    fn ebs(id: &str) -> VolumeSource {
        VolumeSource::AwsElasticBlockStore { volume_id: id.into(), read_only: false }
    }

    fn verdict(release: Release, node: NodeBuilder, others: &[Object], pod: PodBuilder) -> Verdict {
        let rule = predicate("MaxEBSVolumeCount", &Arguments::defaults(release));
        let cluster: Vec<Object> = [node.into()].into_iter().chain(others.iter().cloned()).collect();
        verdict_of(&*rule, pod, &cluster, "a")
    }

    #[test]
    fn volumes_are_counted_once_each_and_against_the_nodes_own_limit() {
        let two = || node("a").offers("attachable-volumes-aws-ebs", "2");
        let volumes: [Object; 8] = [
            pod("old").mounts(ebs("v1")).claim("bound").on("a").into(),
            pvc("bound").bound_to("pv-2").into(),
            pv("pv-2").source(ebs("v2")).into(),
            storage_class("ebs").with(|class| class.provisioner = "kubernetes.io/aws-ebs".into()).into(),
            storage_class("other").into(),
            pvc("unbound").class("ebs").into(),
            pvc("pv-is-gone").class("ebs").bound_to("nowhere").into(),
            pvc("other").class("other").into(),
        ];
        let cases = [
            ("nothing to attach", pod("p"), true),
            ("v1 is attached already", pod("p").mounts(ebs("v1")), true),
            ("v2 is attached already, by way of a claim", pod("p").mounts(ebs("v2")), true),
            ("v1 and v2 and v3 are three", pod("p").mounts(ebs("v3")), false),
            ("the class says that it will be one", pod("p").claim("unbound"), false),
            ("the volume is not there, but its class says what it was", pod("p").claim("pv-is-gone"), false),
            ("another provisioner", pod("p").claim("other"), true),
            ("a claim that is not there is not counted", pod("p").claim("missing"), true),
        ];
        for (why, pod, fits) in cases {
            let verdict = verdict(Release::V1_22, two(), &volumes, pod);
            assert_eq!(verdict.fits(), fits, "{why}");
            assert!(!verdict.is_unresolvable(), "an evicted pod frees its volumes: {why}");
        }
    }

    #[test]
    fn without_a_limit_of_its_own_the_instance_type_decides() {
        let label = "node.kubernetes.io/instance-type";
        let holds = |node: NodeBuilder, count: usize| {
            let many = (0..count).fold(pod("p"), |pod, i| pod.mounts(ebs(&format!("v{i}"))));
            verdict(Release::V1_22, node, &[], many).fits()
        };
        assert!(holds(node("a"), 39) && !holds(node("a"), 40));
        for nitro in ["m5.large", "c5d.xlarge", "t3.micro", "z1d.large"] {
            assert!(holds(node("a").label(label, nitro), 25) && !holds(node("a").label(label, nitro), 26), "{nitro}");
        }
        assert!(holds(node("a").label(label, "m4.large"), 39), "no Nitro");
    }

    #[test]
    fn the_rule_is_gone_in_1_34() {
        let full = node("a").offers("attachable-volumes-aws-ebs", "0");
        assert!(verdict(Release::V1_34, full, &[], pod("p").mounts(ebs("v"))).fits());
    }
}
