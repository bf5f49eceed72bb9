//! In-tree volume plugins that have moved to CSI: the driver that replaced each plugin, the nodes where it did, and the driver's handle
//! of a plugin's volume.
//!
//! Source: `csi-translation-lib/translate.go`, `csi-translation-lib/plugins/*.go`;
//! `pkg/scheduler/framework/plugins/nodevolumelimits/utils.go` (`isCSIMigrationOn`);
//! `pkg/scheduler/framework/plugins/volumebinding/binder.go` (`tryTranslatePVToCSI`).

use std::borrow::Cow;

use crate::{
    model::{
        CsiNode, Labels, Name, NodeSelector, NodeSelectorTerm, Operator, PersistentVolume, Requirement, VolumeSource,
        topology,
    },
    rule::Release,
};

/// Parts the zones of a volume that spans several in one label value.
pub(super) const ZONE_SEPARATOR: &str = "__";

/// An in-tree plugin and the driver that takes its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InTreePlugin {
    /// The plugin's name, which is also its provisioner's.
    pub(super) name: &'static str,
    /// The CSI driver.
    pub(super) driver: &'static str,
    /// The node label with the driver's zone; `None` if volumes keep their node affinity.
    topology_key: Option<&'static str>,
    /// The first release that treats the plugin's volumes as the driver's; `None` for none of them.
    since: Option<Release>,
    /// `true` if the plugin's volumes count as the driver's on every node with a CSINode, annotated or not, where a release
    /// counts in-tree volumes as CSI drivers'.
    always: bool,
}

/// For 1.22 the defaults of the feature gates CSIMigration*, for 1.34 their final state.
static PLUGINS: [InTreePlugin; 7] = [
    InTreePlugin {
        name: AWS_EBS,
        driver: "ebs.csi.aws.com",
        topology_key: Some("topology.ebs.csi.aws.com/zone"),
        since: Some(Release::V1_34),
        always: true,
    },
    InTreePlugin {
        name: GCE_PD,
        driver: "pd.csi.storage.gke.io",
        topology_key: Some("topology.gke.io/zone"),
        since: Some(Release::V1_34),
        always: true,
    },
    InTreePlugin {
        name: AZURE_DISK,
        driver: "disk.csi.azure.com",
        topology_key: None,
        since: Some(Release::V1_34),
        always: true,
    },
    InTreePlugin {
        name: CINDER,
        driver: "cinder.csi.openstack.org",
        topology_key: Some("topology.cinder.csi.openstack.org/zone"),
        since: Some(Release::V1_22),
        always: true,
    },
    InTreePlugin {
        name: PORTWORX,
        driver: "pxd.portworx.com",
        topology_key: None,
        since: Some(Release::V1_34),
        always: false,
    },
    InTreePlugin {
        name: "kubernetes.io/azure-file",
        driver: "file.csi.azure.com",
        topology_key: None,
        since: None,
        always: false,
    },
    InTreePlugin {
        name: "kubernetes.io/vsphere-volume",
        driver: "csi.vsphere.vmware.com",
        topology_key: None,
        since: None,
        always: false,
    },
];

/// AWS elastic block store.
pub(super) const AWS_EBS: &str = "kubernetes.io/aws-ebs";
/// Google persistent disks.
pub(super) const GCE_PD: &str = "kubernetes.io/gce-pd";
/// Azure data disks.
pub(super) const AZURE_DISK: &str = "kubernetes.io/azure-disk";
/// OpenStack Cinder.
pub(super) const CINDER: &str = "kubernetes.io/cinder";
const PORTWORX: &str = "kubernetes.io/portworx-volume";

impl InTreePlugin {
    /// The plugin of that name, if it has moved to CSI.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        PLUGINS.iter().find(|plugin| plugin.name == name)
    }

    /// The plugin of a volume, if it has moved to CSI.
    pub(super) fn of(source: &VolumeSource) -> Option<&'static Self> {
        Self::named(match source {
            VolumeSource::AwsElasticBlockStore { .. } => AWS_EBS,
            VolumeSource::GcePersistentDisk { .. } => GCE_PD,
            VolumeSource::AzureDisk { .. } => AZURE_DISK,
            VolumeSource::Cinder { .. } => CINDER,
            VolumeSource::Portworx { .. } => PORTWORX,
            _ => return None,
        })
    }

    /// `true` if the node reports that the plugin has been migrated, and the release heeds it.
    pub(super) fn is_migrated_on(&self, csi_node: Option<&CsiNode>, release: Release) -> bool {
        self.since.is_some_and(|since| since <= release)
            && csi_node.is_some_and(|node| node.migrated_plugins.iter().any(|name| **name == *self.name))
    }

    /// `true` if the plugin's volumes count as the driver's on a node.
    pub(super) fn counts_as_csi_on(&self, csi_node: Option<&CsiNode>, release: Release) -> bool {
        self.is_migrated_on(csi_node, release)
            || (release.facts().counts_in_tree_volumes_as_csi && self.always && csi_node.is_some())
    }
}

/// The driver's handle of a volume that one of the [`PLUGINS`] made. `labels` are those of the persistent volume, empty for a volume
/// in the pod itself. `Ok(None)` is a volume of no such plugin.
pub(super) fn csi_handle<'a>(source: &'a VolumeSource, labels: &Labels) -> Result<Option<Cow<'a, str>>, String> {
    Ok(Some(match source {
        VolumeSource::AwsElasticBlockStore { volume_id, .. } => Cow::Borrowed(ebs_volume_id(volume_id)?),
        VolumeSource::GcePersistentDisk { pd_name, .. } => Cow::Owned(gce_disk_path(pd_name, labels)?),
        VolumeSource::AzureDisk { data_disk_uri, .. } => Cow::Borrowed(data_disk_uri),
        VolumeSource::Cinder { volume_id } | VolumeSource::Portworx { volume_id } => Cow::Borrowed(volume_id),
        _ => return Ok(None),
    }))
}

/// `vol-1` of `vol-1`, `aws:///vol-1` or `aws://zone/vol-1`.
fn ebs_volume_id(id: &str) -> Result<&str, String> {
    let Some(location) = id.strip_prefix("aws://") else { return Ok(id) };
    let path = location.split_once('/').map_or("", |(_, path)| path).trim_matches('/');
    if path.starts_with("vol-") && !path.contains('/') {
        Ok(path)
    } else {
        Err(format!("failed to translate Kubernetes ID to EBS Volume ID Invalid format for AWS volume ({id})"))
    }
}

fn gce_disk_path(disk: &str, labels: &Labels) -> Result<String, String> {
    let label = |key| labels.get(key).filter(|value| !value.is_empty());
    let Some(zones) = label(topology::BETA_ZONE).or_else(|| label(topology::ZONE)) else {
        return Ok(format!("projects/UNSPECIFIED/zones/UNSPECIFIED/disks/{disk}"));
    };
    if !zones.contains(ZONE_SEPARATOR) {
        return Ok(format!("projects/UNSPECIFIED/zones/{zones}/disks/{disk}"));
    }
    let mut regions = zones
        .split(ZONE_SEPARATOR)
        .map(|zone| zone.rsplit_once('-').map(|(region, _)| region).filter(|region| region.matches('-').count() == 1));
    let first = regions.next().flatten();
    match first.filter(|_| regions.all(|region| region == first)) {
        Some(region) => Ok(format!("projects/UNSPECIFIED/regions/{region}/disks/{disk}")),
        None => Err(format!("failed to get region from zones: {zones}")),
    }
}

/// The nodes that reach a volume, in the words of its plugin's driver.
///
/// Zones come from the volume's node affinity or, where that names none, from its labels.
pub(super) fn csi_node_affinity(volume: &PersistentVolume, plugin: &InTreePlugin) -> Option<NodeSelector> {
    let mut affinity = volume.node_affinity.clone();
    let Some(topology_key) = plugin.topology_key else { return affinity };
    let (zone, region) = topology_labels(volume);
    if has_values(affinity.as_ref(), zone) {
        rename_key(affinity.as_mut(), zone, topology_key);
    } else if let Some(label) = volume.labels.get(zone) {
        let mut zones: Vec<Name> =
            label.split(ZONE_SEPARATOR).map(str::trim).filter(|zone| !zone.is_empty()).map(Name::from).collect();
        zones.sort();
        zones.dedup();
        if !zones.is_empty() {
            let terms = &mut affinity.get_or_insert_default().0;
            if terms.is_empty() {
                terms.push(NodeSelectorTerm::default());
            }
            let requirement = Requirement { key: topology_key.into(), operator: Operator::In(zones) };
            for term in terms {
                term.match_expressions.push(requirement.clone());
            }
        }
    }
    if region == topology::BETA_REGION && has_values(affinity.as_ref(), region) {
        rename_key(affinity.as_mut(), region, topology::REGION);
    }
    affinity
}

/// The zone and region labels that a volume uses: the current ones, unless it knows only those from before 1.17.
fn topology_labels(volume: &PersistentVolume) -> (&'static str, &'static str) {
    let current = (topology::ZONE, topology::REGION);
    let beta = (topology::BETA_ZONE, topology::BETA_REGION);
    let affinity = volume.node_affinity.as_ref();
    let named = |label: &str| requirements(affinity).any(|r| *r.key == *label);
    let beta_only = if named(current.0) || named(beta.0) {
        !named(current.0)
    } else {
        volume.labels.has(beta.0) && !volume.labels.has(current.0)
    };
    if beta_only { beta } else { current }
}

fn requirements(affinity: Option<&NodeSelector>) -> impl Iterator<Item = &Requirement> {
    affinity.into_iter().flat_map(|selector| &selector.0).flat_map(|term| &term.match_expressions)
}

fn has_values(affinity: Option<&NodeSelector>, key: &str) -> bool {
    requirements(affinity).filter(|r| *r.key == *key).any(|r| match &r.operator {
        Operator::In(values) | Operator::NotIn(values) => !values.is_empty(),
        Operator::Gt(_) | Operator::Lt(_) => true,
        Operator::Exists | Operator::DoesNotExist => false,
    })
}

fn rename_key(affinity: Option<&mut NodeSelector>, from: &str, to: &str) {
    let terms = affinity.into_iter().flat_map(|selector| &mut selector.0);
    for requirement in terms.flat_map(|term| &mut term.match_expressions) {
        if *requirement.key == *from {
            requirement.key = to.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Object;
    use crate::testing::{VolumeBuilder, pv};

    fn gce(disk: &str) -> VolumeSource {
        VolumeSource::GcePersistentDisk { pd_name: disk.into(), read_only: false }
    }

    fn ebs(id: &str) -> VolumeSource {
        VolumeSource::AwsElasticBlockStore { volume_id: id.into(), read_only: false }
    }

    #[test]
    fn a_volume_has_one_name_at_its_driver() {
        let zone = |value: &str| [(topology::ZONE, value)].into_iter().collect::<Labels>();
        let cases = [
            (ebs("vol-1"), Labels::default(), Some("vol-1")),
            (ebs("aws://az1/vol-1"), Labels::default(), Some("vol-1")),
            (ebs("aws:///vol-1"), Labels::default(), Some("vol-1")),
            (ebs("aws://az1/disk"), Labels::default(), None),
            (gce("d"), Labels::default(), Some("projects/UNSPECIFIED/zones/UNSPECIFIED/disks/d")),
            (gce("d"), zone("eu-west1-b"), Some("projects/UNSPECIFIED/zones/eu-west1-b/disks/d")),
            (gce("d"), zone("eu-west1-b__eu-west1-c"), Some("projects/UNSPECIFIED/regions/eu-west1/disks/d")),
            (gce("d"), zone("eu-west1-b__us-east1-c"), None),
            (gce("d"), zone("b__c"), None),
        ];
        for (source, labels, expected) in cases {
            let handle = csi_handle(&source, &labels).ok().flatten();
            assert_eq!(handle.as_deref(), expected, "{source:?} with {labels:?}");
        }
    }

    #[test]
    fn zones_come_from_the_drivers_label() {
        let disk = VolumeSource::Cinder { volume_id: "c".into() };
        let plugin = InTreePlugin::of(&disk).unwrap();
        let in_driver_words = |volume: VolumeBuilder| {
            let Object::PersistentVolume(volume) = volume.source(disk.clone()).into() else { unreachable!() };
            csi_node_affinity(&volume, plugin)
        };
        let selector = |key: &str, values: &[&str]| {
            let operator = Operator::In(values.iter().map(|value| (*value).into()).collect());
            let requirement = Requirement { key: key.into(), operator };
            Some(NodeSelector(vec![NodeSelectorTerm { match_expressions: vec![requirement], match_fields: vec![] }]))
        };
        let key = "topology.cinder.csi.openstack.org/zone";
        assert_eq!(in_driver_words(pv("v")), None, "reached from everywhere");
        assert_eq!(in_driver_words(pv("v").reached_by(topology::ZONE, "z1")), selector(key, &["z1"]));
        assert_eq!(in_driver_words(pv("v").reached_by(topology::BETA_ZONE, "z1")), selector(key, &["z1"]));
        assert_eq!(in_driver_words(pv("v").label(topology::ZONE, "z2__z1")), selector(key, &["z1", "z2"]));
        let both = pv("v").reached_by(topology::ZONE, "z1").label(topology::ZONE, "z2");
        assert_eq!(in_driver_words(both), selector(key, &["z1"]), "the affinity wins over the label");
        let elsewhere = pv("v").reached_by(topology::HOSTNAME, "a");
        assert_eq!(in_driver_words(elsewhere), selector(topology::HOSTNAME, &["a"]));
    }
}
