//! # Rule
//! A pod does not fit a node on which another pod mounts the same disk, if the disk cannot be shared:
//!
//! | volume | the same when | shared when |
//! |---|---|---|
//! | GCE persistent disk | same `pdName` | both mount it read-only |
//! | AWS elastic block store | same `volumeID` | never |
//! | Ceph RBD | same pool and image, and a monitor in common | both mount it read-only |
//! | iSCSI | same `iqn` | both mount it read-only |
//!
//! Only volumes in the pod itself are compared, not those behind a claim.
//!
//! In 1.34 a claim with access mode `ReadWriteOncePod` also belongs to one pod at a time: while any pod on any node uses it, no node
//! takes another. A claim that does not exist rules every node out.
//!
//! # Policy name and framework plugin
//! `NoDiskConflict`; plugin `VolumeRestrictions`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/volumerestrictions/volume_restrictions.go` (`isVolumeConflict`). In 1.6:
//! `NoDiskConflict` in `plugin/pkg/scheduler/algorithm/predicates/predicates.go`, which took two iSCSI volumes for the
//! same only when LUN and target portal agreed too. In 1.22 `ReadWriteOncePod` stood behind a feature gate that was off,
//! and a Policy did not switch that part on at all; by 1.34 it is always on.
//!
//! # Reason text
//! - `node(s) had no available disk`
//! - 1.34: `node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod`
//! - 1.34: `persistentvolumeclaim "<name>" not found`, for every node alike
//!
//! # Can preemption help?
//! Yes: the pod that holds the disk or the claim can go. A missing claim is unresolvable.
//!
//! # Example
//! ```json
//! {"kind": "Policy", "apiVersion": "v1", "predicates": [{"name": "NoDiskConflict"}]}
//! ```
//! On node `a` runs a pod that mounts GCE disk `data` for reading. A second reader may join it; a pod that wants to write
//! to `data` may not.

use super::{
    Build, Check, Demand, Predicate, Registration, Standing,
    volumes::{MountedClaim, claim_not_found},
};
use crate::{
    model::{AccessMode, Name, Pod, VolumeSource},
    node_info::NodeInfo,
    overlay::NodeOverlay,
    rule::{Identity, Reads, Release},
    snapshot::Snapshot,
    verdict::Verdict,
    work,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "NoDiskConflict",
        aliases: &[],
        plugin: "VolumeRestrictions",
        modern_plugin: Some("VolumeRestrictions"),
        arguments: &[],
        source: include_str!("no_disk_conflict.rs"),
    },
    standing: Standing::Default,
    build: Build::Rule(|arguments| Box::new(NoDiskConflict { release: arguments.release })),
};

const DISK_TAKEN: &str = "node(s) had no available disk";
const CLAIM_TAKEN: &str =
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod";

struct NoDiskConflict {
    release: Release,
}

impl Predicate for NoDiskConflict {
    fn prepare<'a>(&'a self, pod: &'a Pod, snapshot: &'a Snapshot) -> Demand<'a> {
        let mut claims = Vec::new();
        if self.release.facts().enforces_read_write_once_pod {
            match one_pod_claims(pod, snapshot) {
                Ok(found) => claims = found,
                Err(missing) => return Demand::Reject(Verdict::unresolvable(missing)),
            }
        }
        let claims_taken = if claims.is_empty() { 0 } else { in_use(&claims, pod, snapshot) };
        let disks: Vec<&VolumeSource> =
            pod.volumes.iter().map(|v| &v.source).filter(|source| is_disk(source)).collect();
        if disks.is_empty() && claims_taken == 0 {
            return Demand::Nothing;
        }
        Demand::Check(Box::new(Wanted { disks, claims, claims_taken }))
    }

    fn reads(&self, pod: &Pod, _: &Snapshot) -> Reads {
        if pod.volumes.is_empty() { Reads::Nothing } else { Reads::Cluster }
    }
}

/// The volumes that the pod cannot share.
struct Wanted<'a> {
    disks: Vec<&'a VolumeSource>,
    /// The claims that only one pod may use.
    claims: Vec<Name>,
    /// How many of them a pod uses.
    claims_taken: i64,
}

impl Wanted<'_> {
    fn judge(&self, node: &NodeInfo, claims_taken: i64) -> Verdict {
        if is_taken(&self.disks, node) {
            Verdict::unschedulable(DISK_TAKEN)
        } else {
            Verdict::fits_if(claims_taken <= 0, || Verdict::unschedulable(CLAIM_TAKEN))
        }
    }
}

impl Check for Wanted<'_> {
    fn check(&self, node: &NodeInfo) -> Verdict {
        self.judge(node, self.claims_taken)
    }

    /// Follows `conflictingPVCRefCountForPod`: removed and added pods are compared by the claims' names alone, in any namespace.
    fn check_overlay(&self, node: &NodeOverlay) -> Verdict {
        let uses = |pod: &Pod| pod.volumes.iter().filter(|volume| names_claim(&volume.source, &self.claims)).count();
        self.judge(node.info(), self.claims_taken + node.difference(|pod| uses(pod) as i64))
    }
}

/// `true` if the rule looks at volumes of this kind.
fn is_disk(source: &VolumeSource) -> bool {
    use VolumeSource::{AwsElasticBlockStore, GcePersistentDisk, Iscsi, Rbd};
    matches!(source, GcePersistentDisk { .. } | AwsElasticBlockStore { .. } | Rbd { .. } | Iscsi { .. })
}

fn is_taken(disks: &[&VolumeSource], node: &NodeInfo) -> bool {
    work::spend_on(node.pods.len().saturating_mul(disks.len()) / 4);
    let mut mounted = node.pods.iter().flat_map(|pod| &pod.volumes);
    mounted.any(|volume| disks.iter().any(|disk| conflict(disk, &volume.source)))
}

fn conflict(a: &VolumeSource, b: &VolumeSource) -> bool {
    use VolumeSource::{AwsElasticBlockStore, GcePersistentDisk, Iscsi, Rbd};
    match (a, b) {
        (
            GcePersistentDisk { pd_name: a, read_only: a_reads },
            GcePersistentDisk { pd_name: b, read_only: b_reads },
        )
        | (Iscsi { iqn: a, read_only: a_reads }, Iscsi { iqn: b, read_only: b_reads }) => {
            a == b && !(*a_reads && *b_reads)
        }
        (AwsElasticBlockStore { volume_id: a, .. }, AwsElasticBlockStore { volume_id: b, .. }) => a == b,
        (
            Rbd { monitors: a, pool: a_pool, image: a_image, read_only: a_reads },
            Rbd { monitors: b, pool: b_pool, image: b_image, read_only: b_reads },
        ) => {
            let same_cluster = a.iter().any(|monitor| b.contains(monitor));
            same_cluster && a_pool == b_pool && a_image == b_image && !(*a_reads && *b_reads)
        }
        _ => false,
    }
}

/// The pod's claims that only one pod may use; an error names the first claim that is not there.
fn one_pod_claims(pod: &Pod, snapshot: &Snapshot) -> Result<Vec<Name>, String> {
    let mut claims = Vec::new();
    for MountedClaim { name, claim, .. } in MountedClaim::named(pod, snapshot) {
        let claim = claim.ok_or_else(|| claim_not_found(&name))?;
        if claim.access_modes.contains(&AccessMode::ReadWriteOncePod) && !claims.contains(&name) {
            claims.push(name);
        }
    }
    Ok(claims)
}

/// How many of the claims pods on nodes use.
fn in_use(claims: &[Name], pod: &Pod, snapshot: &Snapshot) -> i64 {
    let running = snapshot.nodes().flat_map(|node| &node.pods).filter(|other| other.namespace == pod.namespace);
    let mounted: Vec<&VolumeSource> = running.flat_map(|other| &other.volumes).map(|volume| &volume.source).collect();
    let is_used = |claim: &&Name| mounted.iter().any(|source| names_claim(source, std::slice::from_ref(*claim)));
    claims.iter().filter(is_used).count() as i64
}

fn names_claim(source: &VolumeSource, claims: &[Name]) -> bool {
    match source {
        VolumeSource::PersistentVolumeClaim { claim_name, .. } => claims.contains(claim_name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PodBuilder, node, pod, predicate, pvc, verdict_of};
    use crate::{rule::Arguments, snapshot::Object};

    fn gce(disk: &str, read_only: bool) -> VolumeSource {
        VolumeSource::GcePersistentDisk { pd_name: disk.into(), read_only }
    }

    fn ebs(volume: &str, read_only: bool) -> VolumeSource {
        VolumeSource::AwsElasticBlockStore { volume_id: volume.into(), read_only }
    }

    fn iscsi(iqn: &str, read_only: bool) -> VolumeSource {
        VolumeSource::Iscsi { iqn: iqn.into(), read_only }
    }

    fn rbd(monitors: &[&str], pool: &str, image: &str, read_only: bool) -> VolumeSource {
        let monitors = monitors.iter().map(|monitor| (*monitor).into()).collect();
        VolumeSource::Rbd { monitors, pool: pool.into(), image: image.into(), read_only }
    }

    #[test]
    fn a_disk_that_cannot_be_shared_keeps_others_off_the_node() {
        let cases = [
            ("one writer suffices", gce("d", false), gce("d", true), false),
            ("two readers share a GCE disk", gce("d", true), gce("d", true), true),
            ("another disk", gce("d", false), gce("e", false), true),
            ("an EBS volume is never shared", ebs("v", true), ebs("v", true), false),
            ("another kind under the same name", ebs("d", false), gce("d", false), true),
            ("iSCSI: a reader and a writer", iscsi("q", true), iscsi("q", false), false),
            ("iSCSI: two readers", iscsi("q", true), iscsi("q", true), true),
            ("RBD: one monitor in common", rbd(&["m", "n"], "p", "i", false), rbd(&["n"], "p", "i", false), false),
            ("RBD: another Ceph cluster", rbd(&["m"], "p", "i", false), rbd(&["n"], "p", "i", false), true),
            ("RBD: another pool", rbd(&["m"], "p", "i", false), rbd(&["m"], "q", "i", false), true),
            ("RBD: another image", rbd(&["m"], "p", "i", false), rbd(&["m"], "p", "j", false), true),
            ("RBD: two readers", rbd(&["m"], "p", "i", true), rbd(&["m"], "p", "i", true), true),
        ];
        for release in [Release::V1_22, Release::V1_34] {
            let rule = predicate("NoDiskConflict", &Arguments::defaults(release));
            for (why, wanted, mounted, fits) in &cases {
                let cluster: [Object; 3] =
                    [node("a").into(), node("b").into(), pod("old").mounts(mounted.clone()).on("a").into()];
                let verdict = |on| verdict_of(&*rule, pod("new").mounts(wanted.clone()), &cluster, on);
                assert_eq!(verdict("a").fits(), *fits, "{why}");
                assert!(verdict("b").fits(), "on another node the disk is free: {why}");
                if !fits {
                    assert_eq!(verdict("a"), Verdict::unschedulable(DISK_TAKEN), "eviction frees the disk");
                }
            }
        }
    }

    #[test]
    fn a_claim_for_one_pod_is_held_across_all_nodes_since_1_34() {
        let cluster: [Object; 5] = [
            node("a").into(),
            node("b").into(),
            pvc("mine").with(|claim| claim.access_modes = vec![AccessMode::ReadWriteOncePod]).into(),
            pvc("shared").into(),
            pod("old").claim("mine").claim("shared").on("a").into(),
        ];
        let verdict = |release, new: PodBuilder| {
            verdict_of(&*predicate("NoDiskConflict", &Arguments::defaults(release)), new, &cluster, "b")
        };
        assert_eq!(verdict(Release::V1_34, pod("new").claim("mine")), Verdict::unschedulable(CLAIM_TAKEN));
        assert!(verdict(Release::V1_34, pod("new").claim("shared")).fits(), "another access mode");
        assert!(verdict(Release::V1_22, pod("new").claim("mine")).fits(), "not yet a rule");
        let missing = Verdict::unresolvable("persistentvolumeclaim \"lost\" not found");
        assert_eq!(verdict(Release::V1_34, pod("new").claim("lost")), missing);
        assert!(verdict(Release::V1_22, pod("new").claim("lost")).fits(), "left to CheckVolumeBinding");
    }
}
