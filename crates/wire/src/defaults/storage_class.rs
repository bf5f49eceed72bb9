//! The storage class of a new claim without one, neither in the field nor in the old annotation: the default class; if there are several, the
//! newest. An empty name stays: it demands a volume without a class.
//!
//! Source: `plugin/pkg/admission/storage/storageclass/setdefault/admission.go`, `pkg/apis/core/helper/helpers.go`
//! (`PersistentVolumeClaimHasClass`), `pkg/volume/util/storageclass.go` (`GetDefaultClass`).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{decode, document::Document, objects::storage::BETA_STORAGE_CLASS};
use podberth_core::{
    model::{PersistentVolumeClaim, Quantity},
    snapshot::Snapshot,
};

/// Fills in the class of a claim of a request.
pub fn fill(claim: &mut PersistentVolumeClaim, classes: &Snapshot) {
    if claim.storage_class_name.is_none() && claim.volume_name.is_empty() {
        claim.storage_class_name = classes.default_storage_class().map(|class| class.name.clone());
    }
}

/// Writes the class into a new claim.
pub(super) fn admit(document: &mut Document, classes: &Snapshot) {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Spec {
        storage_class_name: Option<String>,
    }
    let Some(spec) = document.get("spec") else { return };
    let Ok(spec) = decode::from_slice::<Spec>(spec.get().as_bytes()) else { return };
    let annotations: BTreeMap<String, String> = document
        .metadata("annotations")
        .and_then(|raw| decode::from_slice(raw.get().as_bytes()).ok())
        .unwrap_or_default();
    if spec.storage_class_name.is_none()
        && !annotations.contains_key(BETA_STORAGE_CLASS)
        && let Some(class) = classes.default_storage_class()
    {
        // The spec was read as an object above, so that it can be written as one.
        let _ = document.set_text_in("spec", "storageClassName", &class.name);
    }
}

/// A claim, as its growth is judged.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Claim {
    metadata: Metadata,
    spec: ClaimSpec,
    status: ClaimStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSpec {
    storage_class_name: Option<String>,
    resources: Resources,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resources {
    requests: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClaimStatus {
    phase: String,
}

impl Claim {
    fn read(document: &Document) -> Self {
        decode::from_slice(document.to_json().as_bytes()).unwrap_or_default()
    }

    fn class(&self) -> &str {
        let old = self.metadata.annotations.get(BETA_STORAGE_CLASS);
        old.or(self.spec.storage_class_name.as_ref()).map_or("", String::as_str)
    }

    fn size(&self) -> Quantity {
        self.spec.resources.requests.get("storage").and_then(|size| size.parse().ok()).unwrap_or_default()
    }
}

/// The class that must let a bound claim grow, empty if it has none or changed it; `None` if the claim does not grow. The growth of a claim
/// that is not bound is refused by validation.
///
/// Source: `plugin/pkg/admission/storage/persistentvolume/resize/admission.go`.
pub fn class_of_growth(claim: &Document, before: &Document) -> Option<String> {
    let (claim, before) = (Claim::read(claim), Claim::read(before));
    if claim.size() <= before.size() || before.status.phase != "Bound" {
        return None;
    }
    Some(if claim.class() == before.class() { claim.class().to_owned() } else { String::new() })
}

/// `true` if a stored class lets its volumes grow.
pub fn lets_grow(class: &[u8]) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Class {
        allow_volume_expansion: Option<bool>,
    }
    decode::from_slice::<Class>(class).unwrap_or_default().allow_volume_expansion == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use podberth_core::snapshot::Object;
    use podberth_testkit::storage_class;

    fn default_class(name: &str, created: Option<i64>) -> Object {
        storage_class(name).with(|class| (class.is_default, class.created) = (true, created)).into()
    }

    #[test]
    fn a_bound_claim_grows_by_leave_of_its_class() {
        let claim = |size: &str, class: &str, phase: &str| {
            let text = format!(
                r#"{{"spec":{{"storageClassName":"{class}","resources":{{"requests":{{"storage":"{size}"}}}}}},"status":{{"phase":"{phase}"}}}}"#
            );
            Document::parse(text.as_bytes()).unwrap()
        };
        let before = claim("1Gi", "fast", "Bound");
        let asked = |claim: &Document| class_of_growth(claim, &before);
        assert_eq!(asked(&claim("2Gi", "fast", "Bound")).as_deref(), Some("fast"));
        assert_eq!(asked(&claim("2Gi", "slow", "Bound")).as_deref(), Some(""), "another class");
        assert_eq!(asked(&claim("1024Mi", "fast", "Bound")), None, "the same size");
        assert_eq!(class_of_growth(&claim("2Gi", "fast", ""), &claim("1Gi", "fast", "Pending")), None);
        assert!(lets_grow(br#"{"allowVolumeExpansion":true}"#) && !lets_grow(b"{}"));
    }

    #[test]
    fn claim_without_a_class_gets_the_newest_default() {
        let classes: Snapshot = [
            default_class("z-old", Some(1)),
            default_class("b", Some(2)),
            default_class("a", Some(2)),
            default_class("0", None),
            storage_class("other").into(),
        ]
        .into_iter()
        .collect();
        for (sent, expected) in [
            (r#"{"spec":{"volumeMode":"Block"}}"#, r#""spec":{"volumeMode":"Block","storageClassName":"a"}}"#),
            (r#"{"spec":{"storageClassName":null}}"#, r#""spec":{"storageClassName":"a"}}"#),
            (r#"{"spec":{"storageClassName":""}}"#, r#""spec":{"storageClassName":""}}"#),
            (r#"{"spec":{"storageClassName":"z-old"}}"#, r#""spec":{"storageClassName":"z-old"}}"#),
            (
                r#"{"metadata":{"annotations":{"volume.beta.kubernetes.io/storage-class":"x"}},"spec":{}}"#,
                r#""spec":{}}"#,
            ),
        ] {
            let mut document = Document::parse(sent.as_bytes()).unwrap();
            admit(&mut document, &classes);
            assert!(document.to_json().ends_with(expected), "{sent}: {}", document.to_json());
        }
    }
}
