//! Metadata, of every kind.
//!
//! Source: `apimachinery/pkg/api/validation/objectmeta.go` (`ValidateObjectMetaAccessor`, `ValidateAnnotations`,
//! `ValidateOwnerReferences`). Name, namespace and labels are checked where they are converted.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    fault::{Faults, Path},
    objects::{
        meta::OwnerReference,
        names::{self, NameRule},
    },
};

/// How many bytes keys and values of all annotations may have together.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// Of an object of any kind, its metadata.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Object {
    /// Its metadata.
    pub metadata: Metadata,
}

/// Fields of metadata that validation reads.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    generate_name: String,
    generation: i64,
    deletion_grace_period_seconds: Option<i64>,
    annotations: BTreeMap<String, String>,
    owner_references: Vec<OwnerReference>,
    finalizers: Vec<String>,
}

impl Metadata {
    /// Reports its faults; names follow a rule.
    pub(super) fn validate(&self, rule: NameRule, faults: &mut Faults) {
        let at = Path::ROOT.child("metadata");
        // A prefix may end where the rest of the name goes on.
        let prefix = self.generate_name.trim_end_matches('-');
        if !self.generate_name.is_empty()
            && let Err(rule) = rule(prefix)
        {
            faults.invalid(&at.child("generateName"), &self.generate_name, rule);
        }
        for (field, value) in [
            ("generation", self.generation),
            ("deletionGracePeriodSeconds", self.deletion_grace_period_seconds.unwrap_or_default()),
        ] {
            if value < 0 {
                faults.invalid(&at.child(field), value, "must be greater than or equal to 0");
            }
        }
        let annotations = at.child("annotations");
        for key in self.annotations.keys() {
            if let Err(rule) = names::qualified_name(&key.to_lowercase()) {
                faults.invalid(&annotations, key, rule);
            }
        }
        if self.annotations.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_ANNOTATIONS {
            faults.too_long(&annotations, MAX_ANNOTATIONS);
        }
        self.owners(&at.child("ownerReferences"), faults);
        for finalizer in &self.finalizers {
            if let Err(rule) = names::qualified_name(finalizer) {
                faults.invalid(&at.child("finalizers"), finalizer, rule);
            }
        }
    }

    fn owners(&self, at: &Path<'_>, faults: &mut Faults) {
        for owner in &self.owner_references {
            for (field, value) in
                [("apiVersion", &owner.api_version), ("kind", &owner.kind), ("name", &owner.name), ("uid", &owner.uid)]
            {
                if value.is_empty() {
                    faults.invalid(&at.child(field), value, "must not be empty");
                }
            }
        }
        let mut controllers = self.owner_references.iter().filter(|owner| owner.controller);
        if let (Some(one), Some(other)) = (controllers.next(), controllers.next()) {
            let why = "only one reference can have controller set to true";
            faults.invalid(at, format!("{}/{}, {}/{}", one.kind, one.name, other.kind, other.name), why);
        }
    }
}
