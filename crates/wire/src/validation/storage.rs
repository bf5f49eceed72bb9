//! Persistent volumes, claims, storage classes, CSI nodes.
//!
//! Source: `pkg/apis/core/validation/validation.go` (`ValidatePersistentVolumeSpec`, `ValidatePersistentVolumeClaimSpec`),
//! `pkg/apis/storage/validation/validation.go` (`ValidateStorageClass`, `ValidateCSINode`).

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{Validate, resources, volume};
use crate::{
    decode::{self, DecodeError},
    fault::{Faults, Path},
    objects::{
        names,
        quantity::QuantityText,
        storage::{CsiNode, PersistentVolume, PersistentVolumeClaim, StorageClass, TopologySelectorTerm},
    },
};

/// How long the node's name in a driver's words may be.
const LONGEST_NODE_ID: usize = 192;

fn modes(modes: &[String], why: &str, at: &Path<'_>, faults: &mut Faults) {
    if modes.is_empty() {
        faults.required(at, why);
    }
    let known = |mode: &&String| matches!(mode.as_str(), "ReadWriteOnce" | "ReadOnlyMany" | "ReadWriteMany");
    if modes.iter().any(|mode| mode == "ReadWriteOncePod") && modes.iter().any(|mode| known(&mode)) {
        faults.forbidden(at, "may not use ReadWriteOncePod with other access modes");
    }
}

fn class(name: &str, at: &Path<'_>, faults: &mut Faults) {
    if !name.is_empty()
        && let Err(rule) = names::dns_subdomain(name)
    {
        faults.invalid(at, name, rule);
    }
}

/// That a size is more than nothing.
fn size(text: &QuantityText, at: &Path<'_>, faults: &mut Faults) {
    if let Some(size) = resources::amount(text).filter(|size| size.is_zero() || size.is_negative()) {
        faults.invalid(at, size.to_string(), "must be greater than zero");
    }
}

impl Validate for PersistentVolume {
    fn validate(&self, json: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Extra {
            spec: volume::Written,
        }
        let written = decode::from_slice::<Extra>(json)?.spec;
        let (spec, at) = (&self.spec, Path::ROOT.child("spec"));
        modes(&spec.access_modes, "", &at.child("accessModes"), faults);
        let capacity_at = at.child("capacity");
        if spec.capacity.is_empty() {
            faults.required(&capacity_at, "");
        }
        if spec.capacity.len() > 1 || !spec.capacity.contains_key("storage") {
            let names = spec.capacity.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            faults.not_supported(&capacity_at, &names, &["storage"]);
        }
        for (name, text) in &spec.capacity {
            size(text, &capacity_at.key(name), faults);
        }
        if volume::says(&written, "nodeAffinity") && spec.node_affinity.required.is_none() {
            let affinity = at.child("nodeAffinity");
            faults.required(&affinity.child("required"), "must specify required node constraints");
        }
        volume::of_persistent(&written, spec.csi.as_ref(), &at, faults);
        if volume::says(&written, "local") && !volume::says(&written, "nodeAffinity") {
            faults.required(&at.child("nodeAffinity"), "Local volume requires node affinity");
        }
        if !spec.volume_attributes_class_name.is_empty() && spec.csi.is_none() {
            faults.required(&at.child("csi"), "has to be specified when using volumeAttributesClassName");
        }
        class(&spec.storage_class_name, &at.child("storageClassName"), faults);
        class(&spec.volume_attributes_class_name, &at.child("volumeAttributesClassName"), faults);
        Ok(())
    }
}

impl Validate for PersistentVolumeClaim {
    fn validate(&self, _: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        let (spec, at) = (&self.spec, Path::ROOT.child("spec"));
        modes(&spec.access_modes, "at least 1 access mode is required", &at.child("accessModes"), faults);
        let resources_at = at.child("resources");
        let storage_at = resources_at.key("storage");
        match spec.resources.requests.get("storage") {
            None => faults.required(&storage_at, ""),
            Some(text) => size(text, &storage_at, faults),
        }
        class(spec.storage_class_name.as_deref().unwrap_or_default(), &at.child("storageClassName"), faults);
        class(&spec.volume_attributes_class_name, &at.child("volumeAttributesClassName"), faults);
        Ok(())
    }
}

impl Validate for StorageClass {
    fn validate(&self, json: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Extra {
            reclaim_policy: String,
        }
        let policy = decode::from_slice::<Extra>(json)?.reclaim_policy;
        if !self.provisioner.is_empty()
            && let Err(rule) = names::qualified_name(&self.provisioner.to_lowercase())
        {
            faults.invalid(&Path::ROOT.child("provisioner"), &self.provisioner, rule);
        }
        if !matches!(policy.as_str(), "" | "Delete" | "Retain") {
            faults.not_supported(&Path::ROOT.child("reclaimPolicy"), &policy, &["Delete", "Retain"]);
        }
        let terms_at = Path::ROOT.child("allowedTopologies");
        for (i, term) in self.allowed_topologies.iter().enumerate() {
            topology(term, &terms_at.index(i), faults);
        }
        Ok(())
    }
}

/// `ValidateTopologySelectorTerm`.
fn topology(term: &TopologySelectorTerm, at: &Path<'_>, faults: &mut Faults) {
    let expressions_at = at.child("matchLabelExpressions");
    let mut keys = BTreeSet::new();
    for (i, requirement) in term.match_label_expressions.iter().enumerate() {
        let at = expressions_at.index(i);
        let (key_at, values_at) = (at.child("key"), at.child("values"));
        if let Err(rule) = names::qualified_name(&requirement.key) {
            faults.invalid(&key_at, &requirement.key, rule);
        }
        if !keys.insert(&requirement.key) {
            faults.duplicate(&key_at, &requirement.key);
        }
        if requirement.values.is_empty() {
            faults.required(&values_at, "");
        }
        let mut values = BTreeSet::new();
        for (j, value) in requirement.values.iter().enumerate() {
            if let Err(rule) = names::label_value(value) {
                faults.invalid(&values_at.index(j), value, rule);
            }
            if !values.insert(value) {
                faults.duplicate(&values_at.index(j), value);
            }
        }
    }
}

impl Validate for CsiNode {
    fn validate(&self, _: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        let spec_at = Path::ROOT.child("spec");
        let drivers_at = spec_at.child("drivers");
        let mut named = BTreeSet::new();
        for (i, driver) in self.spec.drivers.iter().enumerate() {
            let at = drivers_at.index(i);
            let (name_at, keys_at) = (at.child("name"), at.child("topologyKeys"));
            if !driver.name.is_empty() {
                volume::driver(&driver.name, &name_at, faults);
                if !named.insert(&driver.name) {
                    faults.duplicate(&name_at, &driver.name);
                }
            }
            if driver.node_id.len() > LONGEST_NODE_ID {
                faults.too_long(&at.child("nodeID"), LONGEST_NODE_ID);
            }
            let mut keys = BTreeSet::new();
            for key in &driver.topology_keys {
                if let Err(rule) = names::qualified_name(key) {
                    faults.invalid(&keys_at, key, rule);
                }
                if !keys.insert(key) {
                    faults.duplicate(&keys_at, key);
                }
            }
        }
        Ok(())
    }
}
