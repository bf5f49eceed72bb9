//! The storage class of a new claim without one, neither in the field nor in the old annotation: the default class; if there are several, the
//! newest. An empty name stays: it demands a volume without a class.
//!
//! Source: `plugin/pkg/admission/storage/storageclass/setdefault/admission.go`, `pkg/apis/core/helper/helpers.go`
//! (`PersistentVolumeClaimHasClass`), `pkg/volume/util/storageclass.go` (`GetDefaultClass`).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{decode, document::Document, objects::storage::BETA_STORAGE_CLASS};
use podberth_core::{model::PersistentVolumeClaim, snapshot::Snapshot};

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

#[cfg(test)]
mod tests {
    use super::*;
    use podberth_core::snapshot::Object;
    use podberth_testkit::storage_class;

    fn default_class(name: &str, created: Option<i64>) -> Object {
        storage_class(name).with(|class| (class.is_default, class.created) = (true, created)).into()
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
