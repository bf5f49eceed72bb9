//! Fields that may not change.
//!
//! Source: `pkg/apis/core/validation/validation.go` (`ValidateNodeUpdate`, `ValidatePersistentVolumeUpdate`,
//! `ValidatePersistentVolumeClaimUpdate`, `ValidateConfigMapUpdate`, `ValidateServiceUpdate`, `ValidateResourceQuotaUpdate`),
//! `pkg/apis/apps/validation/validation.go`, `pkg/apis/storage/validation/validation.go` (also `ValidateCSINodeUpdate`), `pkg/apis/rbac/validation/validation.go`,
//! `apimachinery/pkg/api/validation/objectmeta.go` (`ValidateObjectMetaAccessorUpdate`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{device, job, part::Part};
use crate::{fault::Faults, kinds::StoredKind};

/// Fields of a volume that are not its source.
const NOT_SOURCE: [&str; 9] = [
    "capacity",
    "accessModes",
    "claimRef",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "mountOptions",
    "volumeMode",
    "nodeAffinity",
    "volumeAttributesClassName",
];

const SET_FIELDS: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
                          'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
const SET_CHANGEABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

pub(super) fn of_kind(kind: &StoredKind, sent: &Part<'_>, stored: &Part<'_>, faults: &mut Faults) {
    let (new, old) = (sent.get("spec"), stored.get("spec"));
    let same = |field: &'static str, faults: &mut Faults| {
        new.get(field).unchanged(&old.get(field), faults);
    };
    match kind.kind {
        "Node" => node(&new, &old, faults),
        "PersistentVolume" => volume(&new, &old, faults),
        "PersistentVolumeClaim" => claim(&new, &old, stored.get("status").get("phase").text() == "Bound", faults),
        "StorageClass" => class(sent, stored, faults),
        "ConfigMap" => config_map(sent, stored, faults),
        "ReplicaSet" | "Deployment" | "DaemonSet" => same("selector", faults),
        "Job" => job::changes(sent, stored, faults),
        "ResourceClaim" => device::claim(sent, stored, faults),
        "ResourceClaimTemplate" => new.unchanged(&old, faults),
        "ResourceSlice" => device::slice(&new, &old, faults),
        "ResourceQuota" => quota(&new, &old, faults),
        "CSINode" => csi_node(&new, &old, faults),
        "StatefulSet" => {
            let rest = |spec: &Value| {
                let mut spec = spec.clone();
                for field in SET_CHANGEABLE {
                    spec.as_object_mut().map(|spec| spec.remove(field));
                }
                spec
            };
            if rest(new.value) != rest(old.value) {
                faults.forbidden(&new.at, SET_FIELDS);
            }
        }
        "RoleBinding" | "ClusterRoleBinding" => {
            let (new, old) = (sent.get("roleRef"), stored.get("roleRef"));
            if new.value != old.value {
                faults.invalid_json(&new.at, new.value, "cannot change roleRef");
            }
        }
        "RuntimeClass" => sent.get("handler").unchanged(&stored.get("handler"), faults),
        // A service that leaves its address out gets that of the stored one.
        "Service"
            if [&new, &old]
                .into_iter()
                .all(|spec| spec.get("type").text() != "ExternalName" && !spec.get("clusterIP").text().is_empty()) =>
        {
            same("clusterIP", faults);
        }
        "CSIDriver" => {
            for field in ["attachRequired", "fsGroupPolicy", "volumeLifecycleModes"] {
                same(field, faults);
            }
        }
        "VolumeAttachment" if new.value != old.value => {
            faults.invalid_json(&new.at, new.value, "field is immutable");
        }
        "CSIStorageCapacity" => {
            for field in ["nodeTopology", "storageClassName"] {
                sent.get(field).unchanged(&stored.get(field), faults);
            }
        }
        _ => {}
    }
}

fn node(new: &Part<'_>, old: &Part<'_>, faults: &mut Faults) {
    let set_once = |field: &'static str, is_set: bool, why: &str, faults: &mut Faults| {
        if is_set && new.get(field).value != old.get(field).value {
            faults.forbidden(&new.get(field).at, why);
        }
    };
    let has_ranges = old.get("podCIDRs").items().count() > 0;
    set_once("podCIDRs", has_ranges, "node updates may not change podCIDR except from \"\" to valid", faults);
    let has_id = !old.get("providerID").text().is_empty();
    set_once("providerID", has_id, "node updates may not change providerID except from \"\" to valid", faults);
    set_once("externalID", true, "may not be updated", faults);
}

fn volume(new: &Part<'_>, old: &Part<'_>, faults: &mut Faults) {
    let source = |spec: &Value| {
        let mut spec = spec.clone();
        for field in NOT_SOURCE {
            spec.as_object_mut().map(|spec| spec.remove(field));
        }
        spec
    };
    let (mut sent, stored) = (source(new.value), source(old.value));
    let secret = "/csi/controllerExpandSecretRef";
    if stored.pointer(secret).is_none()
        && let Some(csi) = sent.get_mut("csi").and_then(Value::as_object_mut)
    {
        csi.remove("controllerExpandSecretRef");
    }
    if sent != stored {
        let why = "spec.persistentvolumesource is immutable after creation";
        faults.forbidden(&new.get("persistentvolumesource").at, why);
    }
    let top = Part::whole(new.value);
    top.get("volumeMode").unchanged(&old.get("volumeMode"), faults);
    if !old.get("nodeAffinity").is_absent() && new.get("nodeAffinity").value != old.get("nodeAffinity").value {
        let at = top.get("nodeAffinity");
        faults.invalid_json(&at.at, at.value, "field is immutable, except for updating from beta label to GA");
    }
}

fn claim(new: &Part<'_>, old: &Part<'_>, is_bound: bool, faults: &mut Faults) {
    let (mut sent, mut stored) = (new.value.clone(), old.value.clone());
    let take = |spec: &mut Value, field: &str| spec.as_object_mut().map(|spec| spec.remove(field));
    if old.get("volumeName").text().is_empty() {
        take(&mut sent, "volumeName");
    }
    if old.get("storageClassName").is_absent() {
        take(&mut sent, "storageClassName");
    }
    if is_bound {
        for spec in [&mut sent, &mut stored] {
            take(spec, "volumeAttributesClassName");
            let requests = spec.pointer_mut("/resources/requests").and_then(Value::as_object_mut);
            requests.map(|requests| requests.remove("storage"));
        }
    }
    if sent != stored {
        let why =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        faults.forbidden(&new.at, why);
    }
    let size = |spec: &Part<'_>| spec.get("resources").get("requests").get("storage").quantity();
    if let (Some(sent), Some(stored)) = (size(new), size(old))
        && sent < stored
    {
        let (resources, requests) = (new.get("resources"), "requests");
        let at = resources.get(requests);
        faults.forbidden(&at.get("storage").at, "field can not be less than status.capacity");
    }
    Part::whole(new.value).get("volumeMode").unchanged(&old.get("volumeMode"), faults);
}

fn class(sent: &Part<'_>, stored: &Part<'_>, faults: &mut Faults) {
    for (field, why) in [
        ("parameters", "updates to parameters are forbidden."),
        ("provisioner", "updates to provisioner are forbidden."),
        ("reclaimPolicy", "updates to reclaimPolicy are forbidden."),
    ] {
        if sent.get(field).value != stored.get(field).value {
            faults.forbidden(&sent.get(field).at, why);
        }
    }
    sent.get("volumeBindingMode").unchanged(&stored.get("volumeBindingMode"), faults);
}

/// The scopes of a quota stay, in whatever order.
fn quota(new: &Part<'_>, old: &Part<'_>, faults: &mut Faults) {
    let scopes = |spec: &Value| -> BTreeSet<String> {
        let scopes = spec["scopes"].as_array().into_iter().flatten();
        scopes.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
    };
    if scopes(new.value) != scopes(old.value) {
        faults.invalid_json(&new.get("scopes").at, &new.value["scopes"], "field is immutable");
    }
}

/// Drivers of a node come and go; what one has told stays (1.34 has `MutableCSINodeAllocatableCount` off).
fn csi_node(new: &Part<'_>, old: &Part<'_>, faults: &mut Faults) {
    let (drivers, before) = (new.get("drivers"), old.get("drivers"));
    for driver in drivers.items() {
        let is_changed =
            |before: &Part<'_>| before.value["name"] == driver.value["name"] && before.value != driver.value;
        if before.items().any(|before| is_changed(&before)) {
            faults.invalid_json(&drivers.at, driver.value, "field is immutable");
        }
    }
}

fn config_map(sent: &Part<'_>, stored: &Part<'_>, faults: &mut Faults) {
    if stored.get("immutable").value != true {
        return;
    }
    let why = "field is immutable when `immutable` is set";
    if sent.get("immutable").value != true {
        faults.forbidden(&sent.get("immutable").at, why);
    }
    for field in ["data", "binaryData"] {
        if sent.get(field).value != stored.get(field).value {
            faults.forbidden(&sent.get(field).at, why);
        }
    }
}
