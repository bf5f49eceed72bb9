//! Volumes of pods and of persistent volumes.
//!
//! Source: `pkg/apis/core/validation/validation.go` (`ValidateVolumes`, `validateVolumeSource`,
//! `ValidatePersistentVolumeSpec`). Of sources, only the fields that decisions read are checked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use crate::{
    fault::{Faults, Path},
    objects::{names, volume},
};

/// The fields of a volume, unread.
pub(super) type Written = BTreeMap<String, Box<RawValue>>;

/// Sources of a pod's volume, in the order in which the API server checks.
const SOURCES: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

/// Sources of a persistent volume.
const PERSISTENT: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// `true` if a field exists; `null` counts as absent.
pub(super) fn says(written: &Written, field: &str) -> bool {
    written.get(field).is_some_and(|value| value.get() != "null")
}

/// That at most one source is given. Answers how many are.
fn sources(written: &Written, known: &[&str], at: &Path<'_>, faults: &mut Faults) -> usize {
    let given = known.iter().filter(|source| says(written, source));
    for more in given.clone().skip(1) {
        faults.forbidden(&at.child(more), "may not specify more than 1 volume type");
    }
    given.count()
}

/// The volumes of a pod of this name.
pub(super) fn of_pod(pod: &str, volumes: &[volume::Volume], written: &[Written], at: &Path<'_>, faults: &mut Faults) {
    let ephemeral = |volume: &&volume::Volume| volume.ephemeral.is_some();
    let made: BTreeSet<String> = volumes.iter().filter(ephemeral).map(|v| format!("{pod}-{}", v.name)).collect();
    let mut named = BTreeSet::new();
    for (i, volume) in volumes.iter().enumerate() {
        let at = at.index(i);
        if let Some(written) = written.get(i) {
            sources(written, &SOURCES, &at, faults);
        }
        pod_source(volume, &at, faults);
        let name_at = at.child("name");
        if volume.name.is_empty() {
            faults.required(&name_at, "");
        } else if let Err(rule) = names::dns_label(&volume.name) {
            faults.invalid(&name_at, &volume.name, rule);
        } else if !named.insert(&volume.name) {
            faults.duplicate(&name_at, &volume.name);
        }
        if let Some(claim) = &volume.persistent_volume_claim {
            let (claim_at, name) = (at.child("persistentVolumeClaim"), &claim.claim_name);
            if name.is_empty() {
                faults.required(&claim_at.child("claimName"), "");
            } else if made.contains(name) {
                let why = "must not reference a PVC that gets created for an ephemeral volume";
                faults.invalid(&claim_at.child("claimName"), name, why);
            }
        }
    }
}

fn required(value: &str, at: &Path<'_>, field: &str, faults: &mut Faults) {
    if value.is_empty() {
        faults.required(&at.child(field), "");
    }
}

fn pod_source(volume: &volume::Volume, at: &Path<'_>, faults: &mut Faults) {
    if let Some(disk) = &volume.gce_persistent_disk {
        // The API server calls it so.
        required(&disk.pd_name, &at.child("persistentDisk"), "pdName", faults);
    }
    for (name, disk) in [
        ("awsElasticBlockStore", &volume.aws_elastic_block_store),
        ("cinder", &volume.cinder),
        ("portworxVolume", &volume.portworx_volume),
    ] {
        if let Some(disk) = disk {
            required(&disk.volume_id, &at.child(name), "volumeID", faults);
        }
    }
    if let Some(disk) = &volume.azure_disk {
        let at = at.child("azureDisk");
        required(&disk.disk_name, &at, "diskName", faults);
        required(&disk.data_disk_uri, &at, "diskURI", faults);
    }
    if let Some(image) = &volume.rbd {
        let at = at.child("rbd");
        if image.monitors.is_empty() {
            faults.required(&at.child("monitors"), "");
        }
        required(&image.image, &at, "image", faults);
    }
    if let Some(target) = &volume.iscsi {
        required(&target.iqn, &at.child("iscsi"), "iqn", faults);
    }
    if let Some(csi) = &volume.csi {
        driver(&csi.driver, &at.child("csi").child("driver"), faults);
    }
}

/// The source of a persistent volume.
pub(super) fn of_persistent(written: &Written, csi: Option<&volume::Csi>, at: &Path<'_>, faults: &mut Faults) {
    if sources(written, &PERSISTENT, at, faults) == 0 {
        faults.required(at, "must specify a volume type");
    }
    if let Some(csi) = csi {
        let at = at.child("csi");
        driver(&csi.driver, &at.child("driver"), faults);
        required(&csi.volume_handle, &at, "volumeHandle", faults);
    }
}

/// The name of a CSI driver (`ValidateCSIDriverName`).
pub(super) fn driver(name: &str, at: &Path<'_>, faults: &mut Faults) {
    if name.is_empty() {
        faults.required(at, "");
        return;
    }
    if name.len() > 63 {
        faults.too_long(at, 63);
    }
    if let Err(rule) = names::dns_subdomain(&name.to_lowercase()) {
        faults.invalid(at, name, rule);
    }
}
