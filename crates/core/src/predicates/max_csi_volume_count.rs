//! # Rule
//! The number of volumes of a CSI driver on a node is at most a limit. Volumes that the node's pods and the incoming pod mount by
//! claims count, each once. A pod without such a volume always fits.
//!
//! limit = the driver's `allocatable.count` in the node's CSINode; without one there is none
//!
//! The driver and the volume come from the persistent volume behind the claim. A claim that is not bound, or whose volume
//! does not exist, counts as one volume of its class's provisioner; without a class it is not counted. Volumes of an
//! in-tree plugin count as their CSI driver's where the plugin has moved to CSI:
//!
//! | in-tree plugin | driver | 1.22 | 1.34 |
//! |---|---|---|---|
//! | `kubernetes.io/aws-ebs` | `ebs.csi.aws.com` | never | where the node has a CSINode |
//! | `kubernetes.io/gce-pd` | `pd.csi.storage.gke.io` | never | where the node has a CSINode |
//! | `kubernetes.io/azure-disk` | `disk.csi.azure.com` | never | where the node has a CSINode |
//! | `kubernetes.io/cinder` | `cinder.csi.openstack.org` | where the CSINode lists it as migrated | where the node has a CSINode |
//! | `kubernetes.io/portworx-volume` | `pxd.portworx.com` | never | where the CSINode lists it as migrated |
//!
//! 1.34 also counts volumes of CSI drivers that are attached to the node (VolumeAttachment objects) though none of its pods mounts them:
//! they are being detached or attached. Such a volume counts twice if the incoming pod mounts it.
//!
//! # Policy name and framework plugin
//! `MaxCSIVolumeCountPred`; plugin `NodeVolumeLimits`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/nodevolumelimits/csi.go`.
//! - 1.6: not there yet; it came with 1.12.
//! - 1.22: a node's allocatable `attachable-volumes-csi-<driver>` is a limit too, below the CSINode's. (For drivers whose
//!   name has 40 letters or more that resource is named by a hash, which is not read here.) Claims that do not exist are not
//!   counted, nor are claims made for a pod (ephemeral volumes), nor volumes that stand in the pod itself.
//! - 1.34: a claim of the pod that does not exist rules the node out. Ephemeral volumes count, and volumes of a migrated
//!   plugin that stand in the pod itself.
//!
//! # Reason text
//! - `node(s) exceed max volume count`
//! - 1.34: `looking up PVC <namespace>/<name>: persistentvolumeclaim "<name>" not found`
//! - `PersistentVolumeClaim had no name`; 1.34: `PVC <namespace>/<name> was not created for pod <namespace>/<name> (pod is
//!   not owner)`, `converting volume(<name>) from inline to csi: <error>`
//!
//! # Can preemption help?
//! Yes: an evicted pod takes its volumes with it. A fault of a claim is unresolvable.
//!
//! # Example
//! ```json
//! {"kind": "Policy", "apiVersion": "v1", "predicates": [{"name": "MaxCSIVolumeCountPred"}]}
//! ```
//! A node's CSINode says `csi.example.com: 2`, and its pods mount two volumes of that driver. It takes another pod with one
//! of the two, and none with a third.

use std::{borrow::Cow, collections::BTreeSet};

use super::{
    Build, Demand, Predicate, Registration, Standing,
    attach_limit::{EXCEEDED, VolumeId},
    csi_migration::{InTreePlugin, csi_handle},
    volumes::{MountedClaim, NAMELESS_CLAIM, claim_not_found, class_of, is_made_for, not_owner, volume_of},
};
use crate::{
    model::{CsiNode, Labels, PersistentVolumeClaim, Pod, Volume, VolumeSource},
    node_info::NodeInfo,
    rule::{Identity, Reads, Release},
    snapshot::Snapshot,
    verdict::Verdict,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "MaxCSIVolumeCountPred",
        aliases: &[],
        plugin: "NodeVolumeLimits",
        modern_plugin: Some("NodeVolumeLimits"),
        arguments: &[],
        source: include_str!("max_csi_volume_count.rs"),
    },
    standing: Standing::Default,
    build: Build::Rule(|arguments| Box::new(MaxCsiVolumeCount { release: arguments.release })),
};

const NODE_LIMIT_PREFIX: &str = "attachable-volumes-";
const NODE_CSI_LIMIT_PREFIX: &str = "attachable-volumes-csi-";

struct MaxCsiVolumeCount {
    release: Release,
}

/// A volume with its driver.
type Attachment<'a> = (Cow<'a, str>, VolumeId<'a>);

impl Predicate for MaxCsiVolumeCount {
    fn prepare<'a>(&'a self, pod: &'a Pod, snapshot: &'a Snapshot) -> Demand<'a> {
        let facts = self.release.facts();
        let may_count = |volume: &Volume| match volume.source {
            VolumeSource::PersistentVolumeClaim { .. } => true,
            VolumeSource::Ephemeral => facts.counts_ephemeral_volumes,
            _ => facts.counts_in_tree_volumes_as_csi && InTreePlugin::of(&volume.source).is_some(),
        };
        if !pod.volumes.iter().any(may_count) {
            return Demand::Nothing;
        }
        Demand::check(move |node| {
            let counting = Counting {
                release: self.release,
                snapshot,
                csi_node: snapshot.csi_node(node.name()).map(|csi_node| &**csi_node),
            };
            counting.check(pod, node).unwrap_or_else(Verdict::unresolvable)
        })
    }

    fn reads(&self, pod: &Pod, _: &Snapshot) -> Reads {
        if pod.volumes.is_empty() { Reads::Nothing } else { Reads::Cluster }
    }
}

/// The rule on one node.
struct Counting<'a> {
    release: Release,
    snapshot: &'a Snapshot,
    csi_node: Option<&'a CsiNode>,
}

impl<'a> Counting<'a> {
    /// An error is what kube-scheduler fails with instead of an answer.
    fn check(&self, pod: &'a Pod, node: &NodeInfo) -> Result<Verdict, String> {
        let mut wanted = BTreeSet::new();
        self.collect(pod, true, &mut wanted)?;
        if wanted.is_empty() || !self.has_limits(node) {
            return Ok(Verdict::Fits);
        }
        let mut attached = BTreeSet::new();
        for other in &node.pods {
            self.collect(other, false, &mut attached)?;
        }
        let still_attached = self.still_attached(node, &attached);
        let exceeded = wanted.iter().filter(|volume| !attached.contains(volume)).any(|(driver, _)| {
            let total = wanted.union(&attached).chain(&still_attached).filter(|(other, _)| other == driver).count();
            self.limit(driver, node).is_some_and(|limit| total as i64 > limit)
        });
        Ok(Verdict::fits_if(!exceeded, || Verdict::unschedulable(EXCEEDED)))
    }

    /// The volumes that are attached to the node although no pod there mounts them (`getNodeVolumeAttachmentInfo`).
    fn still_attached(&self, node: &NodeInfo, mounted: &BTreeSet<Attachment<'_>>) -> BTreeSet<Attachment<'a>> {
        let counted = self.release.facts().counts_volumes_still_attached;
        let attachments = if counted { self.snapshot.attached_to(node.name()) } else { &[] };
        let counted = attachments.iter().filter(|attachment| !attachment.attacher.is_empty());
        let named = counted.filter_map(|attachment| {
            let VolumeSource::Csi { handle, .. } = &self.snapshot.volume(&attachment.volume_name)?.source else {
                return None;
            };
            Some((Cow::Borrowed(&*attachment.attacher), VolumeId::Volume(Cow::Borrowed(&**handle))))
        });
        named.filter(|volume: &Attachment<'_>| !mounted.contains(volume)).collect()
    }

    fn has_limits(&self, node: &NodeInfo) -> bool {
        let by_driver = self.csi_node.is_some_and(|csi| csi.drivers.iter().any(|d| d.allocatable_count.is_some()));
        let mut named = node.node.allocatable.scalar.keys();
        by_driver
            || (self.release.facts().reads_volume_limits_of_allocatable
                && named.any(|name| name.starts_with(NODE_LIMIT_PREFIX)))
    }

    fn limit(&self, driver: &str, node: &NodeInfo) -> Option<i64> {
        let drivers = self.csi_node.into_iter().flat_map(|csi_node| &csi_node.drivers);
        let count = drivers.filter(|d| *d.name == *driver).find_map(|d| d.allocatable_count);
        let named = || node.node.allocatable.scalar.get(format!("{NODE_CSI_LIMIT_PREFIX}{driver}").as_str()).copied();
        let reads = self.release.facts().reads_volume_limits_of_allocatable;
        count.map(i64::from).or_else(|| if reads { named() } else { None })
    }

    /// Adds a pod's volumes. What does not exist is passed over, but the claims of an incoming pod may have to exist.
    fn collect<'p>(&self, pod: &'p Pod, incoming: bool, into: &mut BTreeSet<Attachment<'p>>) -> Result<(), String>
    where
        'a: 'p,
    {
        let facts = self.release.facts();
        for volume in &pod.volumes {
            let Some(mounted) = MountedClaim::of(pod, volume, self.snapshot) else {
                if facts.counts_in_tree_volumes_as_csi {
                    into.extend(self.inline(volume)?);
                }
                continue;
            };
            if mounted.ephemeral && !facts.counts_ephemeral_volumes {
                continue;
            }
            if mounted.name.is_empty() {
                return Err(NAMELESS_CLAIM.into());
            }
            match mounted.claim {
                Some(claim) if mounted.ephemeral && !is_made_for(claim, pod) => return Err(not_owner(claim, pod)),
                Some(claim) => into.extend(self.attachment(claim)),
                None if incoming && facts.volume_count_requires_claims => {
                    let (namespace, name) = (&pod.namespace, &mounted.name);
                    return Err(format!("looking up PVC {namespace}/{name}: {}", claim_not_found(name)));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// A volume in the pod itself, as its driver identifies it.
    fn inline<'p>(&self, volume: &'p Volume) -> Result<Option<Attachment<'p>>, String> {
        let plugin = InTreePlugin::of(&volume.source);
        let Some(plugin) = plugin.filter(|plugin| plugin.counts_as_csi_on(self.csi_node, self.release)) else {
            return Ok(None);
        };
        let handle = csi_handle(&volume.source, &Labels::default())
            .map_err(|error| format!("converting volume({}) from inline to csi: {error}", volume.name))?;
        Ok(handle.map(|handle| (plugin.driver.into(), VolumeId::Volume(handle))))
    }

    /// The volume behind a claim, as its driver knows it; `None` for one that is not counted.
    fn attachment(&self, claim: &'a PersistentVolumeClaim) -> Option<Attachment<'a>> {
        let Some(volume) = volume_of(claim, self.snapshot) else {
            let provisioner = &*class_of(claim, self.snapshot)?.provisioner;
            let driver = match InTreePlugin::named(provisioner) {
                Some(plugin) => self.driver_of(plugin)?,
                None => provisioner,
            };
            return (!driver.is_empty()).then(|| (driver.into(), VolumeId::of_claim(claim)));
        };
        let (driver, handle) = match &volume.source {
            VolumeSource::Csi { driver, handle } => (&**driver, Cow::Borrowed(&**handle)),
            source => {
                let driver = self.driver_of(InTreePlugin::of(source)?)?;
                (driver, csi_handle(source, &volume.labels).ok()??)
            }
        };
        (!driver.is_empty() && !handle.is_empty()).then(|| (driver.into(), VolumeId::Volume(handle)))
    }

    fn driver_of(&self, plugin: &'static InTreePlugin) -> Option<&'static str> {
        plugin.counts_as_csi_on(self.csi_node, self.release).then_some(plugin.driver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PodBuilder, attachment, csi_node, node, pod, predicate, pv, pvc, storage_class, verdict_of};
    use crate::{rule::Arguments, snapshot::Object};

    const DRIVER: &str = "csi.example.com";
    const BOTH: [Release; 2] = [Release::V1_22, Release::V1_34];

    fn csi(handle: &str) -> VolumeSource {
        VolumeSource::Csi { driver: DRIVER.into(), handle: handle.into() }
    }

    fn ebs(id: &str) -> VolumeSource {
        VolumeSource::AwsElasticBlockStore { volume_id: id.into(), read_only: false }
    }

    /// Node `a`, whose driver takes two volumes, with a pod that mounts `one`.
    fn verdict(release: Release, more: &[Object], new: PodBuilder) -> Verdict {
        let rule = predicate("MaxCSIVolumeCountPred", &Arguments::defaults(release));
        let cluster = [
            node("a").into(),
            csi_node("a").driver(DRIVER, 2).driver("ebs.csi.aws.com", 0).into(),
            pod("old").claim("one").on("a").into(),
            pvc("one").bound_to("pv-1").into(),
            pv("pv-1").source(csi("h1")).into(),
        ];
        let cluster: Vec<Object> = cluster.into_iter().chain(more.iter().cloned()).collect();
        verdict_of(&*rule, new, &cluster, "a")
    }

    #[test]
    fn volumes_are_counted_once_each_by_driver() {
        let more = [
            storage_class("csi").into(),
            storage_class("other").provisioner("other.example.com").into(),
            pvc("same").bound_to("pv-same").into(),
            pv("pv-same").source(csi("h1")).into(),
            pvc("two").bound_to("pv-2").into(),
            pv("pv-2").source(csi("h2")).into(),
            pvc("three").class("csi").into(),
            pvc("gone").class("csi").bound_to("nowhere").into(),
            pvc("elsewhere").class("other").into(),
            pvc("classless").into(),
        ];
        let cases = [
            ("1 is attached already", pod("p").claim("one"), true),
            ("the same volume under another claim", pod("p").claim("same").claim("two"), true),
            ("1 + 1", pod("p").claim("two"), true),
            ("1 + 2 > 2: the unbound claim is its class's provisioner's", pod("p").claim("two").claim("three"), false),
            ("1 + 2 > 2: so is one whose volume is gone", pod("p").claim("three").claim("gone"), false),
            ("another driver has no limit", pod("p").claim("two").claim("elsewhere"), true),
            ("without a class nothing is known", pod("p").claim("two").claim("classless"), true),
        ];
        for release in BOTH {
            for (why, pod, fits) in &cases {
                let verdict = verdict(release, &more, pod.clone());
                assert_eq!(verdict.fits(), *fits, "{why}");
                assert!(!verdict.is_unresolvable(), "an evicted pod frees its volumes: {why}");
            }
        }
    }

    #[test]
    fn a_missing_claim_rules_the_node_out_since_1_34() {
        assert!(verdict(Release::V1_22, &[], pod("p").claim("lost")).fits());
        let text = "looking up PVC default/lost: persistentvolumeclaim \"lost\" not found";
        assert_eq!(verdict(Release::V1_34, &[], pod("p").claim("lost")), Verdict::unresolvable(text));
    }

    #[test]
    fn volumes_that_are_still_attached_count_since_1_34() {
        let volumes = |more: Object| {
            let (claim, volume) = (pvc("two").bound_to("pv-2"), pv("pv-2").source(csi("h2")));
            [claim.into(), volume.into(), pv("pv-9").source(csi("h9")).into(), more]
        };
        let cases = [
            ("1 mounted + 1 leaving + 1 new > 2", attachment(DRIVER, "pv-9", "a"), false),
            ("the one that is mounted is attached, of course", attachment(DRIVER, "pv-1", "a"), true),
            ("its own volume counts twice while it is attached", attachment(DRIVER, "pv-2", "a"), false),
            ("to another node", attachment(DRIVER, "pv-9", "b"), true),
            ("by another driver", attachment("other.example.com", "pv-9", "a"), true),
            ("of a volume that is gone", attachment(DRIVER, "gone", "a"), true),
        ];
        for (why, attached, fits) in cases {
            assert_eq!(
                verdict(Release::V1_34, &volumes(attached.clone()), pod("p").claim("two")).fits(),
                fits,
                "{why}"
            );
            assert!(
                verdict(Release::V1_22, &volumes(attached), pod("p").claim("two")).fits(),
                "1.22 looks at pods alone"
            );
        }
    }

    #[test]
    fn in_tree_volumes_count_as_their_drivers_since_1_34() {
        let behind_a_claim =
            [pvc("old-style").bound_to("pv-e").into(), pv("pv-e").source(ebs("aws://az1/vol-1")).into()];
        let to_be_made =
            [pvc("old-style").class("ebs").into(), storage_class("ebs").provisioner("kubernetes.io/aws-ebs").into()];
        for more in [&behind_a_claim[..], &to_be_made[..]] {
            assert!(verdict(Release::V1_22, more, pod("p").claim("old-style")).fits());
            assert!(!verdict(Release::V1_34, more, pod("p").claim("old-style")).fits(), "0 + 1 > 0");
        }
        assert!(
            !verdict(Release::V1_34, &[], pod("p").mounts(ebs("vol-1"))).fits(),
            "one in the pod itself counts too"
        );
    }

    #[test]
    fn cinder_volumes_count_in_1_22_where_the_plugin_has_moved() {
        let rule = predicate("MaxCSIVolumeCountPred", &Arguments::defaults(Release::V1_22));
        let full = |node| csi_node(node).driver("cinder.csi.openstack.org", 0);
        let cluster: [Object; 6] = [
            node("moved").into(),
            node("not-yet").into(),
            full("moved").migrated("kubernetes.io/cinder").into(),
            full("not-yet").into(),
            pvc("data").bound_to("v").into(),
            pv("v").source(VolumeSource::Cinder { volume_id: "c".into() }).into(),
        ];
        assert!(!verdict_of(&*rule, pod("p").claim("data"), &cluster, "moved").fits());
        assert!(verdict_of(&*rule, pod("p").claim("data"), &cluster, "not-yet").fits());
    }

    #[test]
    fn before_1_34_the_node_object_may_say_the_limit() {
        let limit = format!("attachable-volumes-csi-{DRIVER}");
        let cluster: [Object; 3] =
            [node("a").offers(&limit, "0").into(), pvc("data").bound_to("v").into(), pv("v").source(csi("h")).into()];
        let fits = |release| {
            let rule = predicate("MaxCSIVolumeCountPred", &Arguments::defaults(release));
            verdict_of(&*rule, pod("p").claim("data"), &cluster, "a").fits()
        };
        assert!(!fits(Release::V1_22) && fits(Release::V1_34));
    }

    #[test]
    fn ephemeral_volumes_count_since_1_34_and_must_be_the_pods_own() {
        let own = [pvc("p-v0").class("c").made_for("p").into(), storage_class("c").into()];
        let crowd = pod("p").mounts(VolumeSource::Ephemeral).claim("two");
        let two = [pvc("two").bound_to("pv-2").into(), pv("pv-2").source(csi("h2")).into()];
        let all: Vec<Object> = own.into_iter().chain(two).collect();
        assert!(verdict(Release::V1_22, &all, crowd.clone()).fits());
        assert!(!verdict(Release::V1_34, &all, crowd).fits(), "1 + 2 > 2");
        let stolen = verdict(Release::V1_34, &[pvc("p-v0").into()], pod("p").mounts(VolumeSource::Ephemeral));
        assert_eq!(stolen.reasons(), ["PVC default/p-v0 was not created for pod default/p (pod is not owner)"]);
    }
}
