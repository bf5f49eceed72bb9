//! Nodes.
//!
//! Source: `pkg/apis/core/validation/validation.go` (`ValidateNode`, `validateNodeTaints`, `ValidateNodeResources`,
//! `ValidateAvoidPodsInNodeAnnotations`). The API server speaks of taints as if they were metadata, and of a resource as a
//! field of its list.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Validate, resources};
use crate::{
    decode::{self, DecodeError},
    fault::{Faults, Path},
    objects::{
        names,
        node::{Node, NodeTaint, effect},
        quantity::QuantityText,
    },
};
use podberth_core::model::PREFER_AVOID_PODS;

impl Validate for Node {
    fn validate(&self, _: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        let (metadata, status) = (Path::ROOT.child("metadata"), Path::ROOT.child("status"));
        if let Some(annotation) = self.metadata.annotations.get(PREFER_AVOID_PODS) {
            avoided(annotation, &metadata.child("annotations"), faults);
        }
        taints(&self.spec.taints, &metadata.child("taints"), faults);
        amounts(&self.status.capacity, &status.child("capacity"), faults);
        if let Some(allocatable) = &self.status.allocatable {
            amounts(allocatable, &status.child("allocatable"), faults);
        }
        for (i, image) in self.status.images.iter().enumerate() {
            if image.size_bytes < 0 {
                let images = status.child("images");
                let at = images.index(i);
                faults.invalid(&at.child("sizeBytes"), image.size_bytes, "must be greater than or equal to 0");
            }
        }
        Ok(())
    }
}

pub(super) fn taints(taints: &[NodeTaint], at: &Path<'_>, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for (i, taint) in taints.iter().enumerate() {
        let at = at.index(i);
        if let Err(rule) = names::qualified_name(&taint.key) {
            faults.invalid(&at.child("key"), &taint.key, rule);
        }
        if let Err(rule) = names::label_value(&taint.value) {
            faults.invalid(&at.child("value"), &taint.value, rule);
        }
        effect(&taint.effect, &at.child("effect"), faults);
        if !seen.insert((&taint.key, &taint.effect)) {
            faults.duplicate(&at, format_args!("{}:{}", taint.key, taint.effect));
        }
    }
}

fn amounts(list: &BTreeMap<String, QuantityText>, at: &Path<'_>, faults: &mut Faults) {
    for (name, text) in list {
        if let Some(quantity) = resources::amount(text) {
            resources::value(name, quantity, &at.child(name), faults);
        }
    }
}

/// The annotation that names controllers whose pods should rather not come.
fn avoided(annotation: &str, at: &Path<'_>, faults: &mut Faults) {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct AvoidPods<'a> {
        #[serde(borrow)]
        prefer_avoid_pods: Vec<Entry<'a>>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Entry<'a> {
        #[serde(borrow)]
        pod_signature: BTreeMap<String, &'a RawValue>,
    }
    match decode::from_slice::<AvoidPods<'_>>(annotation.as_bytes()) {
        Err(error) => faults.invalid(&at.child("AvoidPods"), PREFER_AVOID_PODS, error),
        Ok(avoid) => {
            for (i, entry) in avoid.prefer_avoid_pods.iter().enumerate() {
                if entry.pod_signature.is_empty() {
                    let at = at.child(PREFER_AVOID_PODS);
                    faults.required(&at.index(i).child("PodSignature"), "");
                }
            }
        }
    }
}
