//! Choices for claims ([`podberth_core::claim_choice`]), written into the stored objects. Other fields stay as they are.

use super::{
    allocation,
    decode::DecodeError,
    document::{Document, raw},
};
use podberth_core::{
    claim_choice::{BIND_COMPLETED, BOUND_BY_CONTROLLER, SELECTED_NODE, YES, is_kept_for},
    model::{PersistentVolume, PersistentVolumeClaim},
};

/// The annotation of volumes and claims that a bind here bound to each other, and of claims whose node it chose. The choice survives
/// imports that do not mention it: the cluster that they come from has not heard of the bind yet.
const CHOSEN_HERE: &str = "podberth.io/volume-chosen-here";

/// A reference to a claim, as `reference.GetReference` makes it.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct ClaimReference<'a> {
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    api_version: &'a str,
    resource_version: String,
}

/// The body of a volume once it is bound to the claim, which was last changed at `revision`.
///
/// # Errors
/// When the body cannot be read.
pub fn bound_volume(
    body: &[u8],
    volume: &PersistentVolume,
    claim: &PersistentVolumeClaim,
    revision: u64,
) -> Result<String, DecodeError> {
    let mut document = Document::parse(body)?;
    if !is_kept_for(volume, claim) {
        document.set_annotation(BOUND_BY_CONTROLLER, YES)?;
    }
    document.set_annotation(CHOSEN_HERE, YES)?;
    let reference = ClaimReference {
        kind: "PersistentVolumeClaim",
        namespace: &claim.namespace,
        name: &claim.name,
        uid: &claim.uid,
        api_version: "v1",
        resource_version: revision.to_string(),
    };
    document.set_in("spec", "claimRef", raw(&reference)?)?;
    document.set_text_in("status", "phase", "Bound")?;
    Ok(document.into_body())
}

/// The body of a claim once it is bound to the volume, whose body is `volume`.
///
/// # Errors
/// When one of the bodies cannot be read.
pub fn bound_claim(body: &[u8], volume_name: &str, volume: &[u8]) -> Result<String, DecodeError> {
    let volume = Document::parse(volume)?;
    let mut document = Document::parse(body)?;
    document.set_annotation(BIND_COMPLETED, YES)?;
    document.set_annotation(BOUND_BY_CONTROLLER, YES)?;
    document.set_annotation(CHOSEN_HERE, YES)?;
    document.set_text_in("spec", "volumeName", volume_name)?;
    set_bound(&mut document, &volume)?;
    Ok(document.into_body())
}

/// Gives a claim the status of one that is bound to this volume.
pub(super) fn set_bound(claim: &mut Document, volume: &Document) -> Result<(), DecodeError> {
    claim.set_text_in("status", "phase", "Bound")?;
    for field in ["accessModes", "capacity"] {
        if let Some(said) = volume.get_in("spec", field)? {
            claim.set_in("status", field, said)?;
        }
    }
    Ok(())
}

/// The body of a claim once its volume is to be made for the node.
///
/// # Errors
/// When the body cannot be read.
pub fn claim_for_node(body: &[u8], node: &str) -> Result<String, DecodeError> {
    let mut document = Document::parse(body)?;
    document.set_annotation(SELECTED_NODE, node)?;
    document.set_annotation(CHOSEN_HERE, YES)?;
    Ok(document.into_body())
}

/// The body of an imported volume or claim, also a claim to devices, with the choice that a bind here made for the stored one. `None` if there is no choice, or if the
/// imported body itself names its claim, volume or node.
///
/// # Errors
/// If one of the bodies cannot be read.
pub fn kept_choice(told: &[u8], stored: &[u8]) -> Result<Option<String>, DecodeError> {
    const BINDINGS: [&str; 2] = ["claimRef", "volumeName"];
    let (mut document, stored) = (Document::parse(told)?, Document::parse(stored)?);
    if allocation::keep_devices(&mut document, &stored)? {
        return Ok(Some(document.into_body()));
    }
    if stored.annotation(CHOSEN_HERE).is_none() || document.annotation(SELECTED_NODE).is_some() {
        return Ok(None);
    }
    for field in BINDINGS {
        if document.get_in("spec", field)?.is_some() {
            return Ok(None);
        }
    }
    for key in [BIND_COMPLETED, BOUND_BY_CONTROLLER, SELECTED_NODE, CHOSEN_HERE] {
        if let Some(value) = stored.annotation(key) {
            document.set_annotation(key, &value)?;
        }
    }
    for field in BINDINGS {
        let Some(bound_to) = stored.get_in("spec", field)? else { continue };
        document.set_in("spec", field, bound_to)?;
        for field in ["phase", "accessModes", "capacity"] {
            if let Some(value) = stored.get_in("status", field)? {
                document.set_in("status", field, value)?;
            }
        }
    }
    Ok(Some(document.into_body()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::kinds;
    use podberth_core::{
        claim_choice::ClaimChoice,
        snapshot::{Kind, Object},
    };

    const VOLUME: &str = r#"{"metadata":{"name":"pv","uid":"u-pv","annotations":{"note":"x"}},"spec":{"capacity":{"storage":"10Gi"},"accessModes":["ReadWriteOnce"],"storageClassName":"local","local":{"path":"/d"}},"status":{"phase":"Available"}}"#;
    const CLAIM: &str = r#"{"metadata":{"name":"data","namespace":"shop","uid":"u-data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"5Gi"}},"storageClassName":"local"}}"#;

    fn read(kind: Kind, body: &str) -> Object {
        kinds::by_core(kind).unwrap().parse(body.as_bytes()).unwrap().strict().unwrap()
    }

    fn volume(body: &str) -> Arc<PersistentVolume> {
        let Object::PersistentVolume(volume) = read(Kind::PersistentVolume, body) else { unreachable!() };
        Arc::new(volume)
    }

    fn claim(body: &str) -> Arc<PersistentVolumeClaim> {
        let Object::PersistentVolumeClaim(claim) = read(Kind::PersistentVolumeClaim, body) else { unreachable!() };
        Arc::new(claim)
    }

    #[test]
    fn a_choice_is_written_as_kubernetes_writes_it() {
        let bound = bound_volume(VOLUME.as_bytes(), &volume(VOLUME), &claim(CLAIM), 7).unwrap();
        assert_eq!(
            bound,
            r#"{"metadata":{"name":"pv","uid":"u-pv","annotations":{"note":"x","pv.kubernetes.io/bound-by-controller":"yes","podberth.io/volume-chosen-here":"yes"}},"spec":{"capacity":{"storage":"10Gi"},"accessModes":["ReadWriteOnce"],"storageClassName":"local","local":{"path":"/d"},"claimRef":{"kind":"PersistentVolumeClaim","namespace":"shop","name":"data","uid":"u-data","apiVersion":"v1","resourceVersion":"7"}},"status":{"phase":"Bound"}}"#
        );
        assert_eq!(
            bound_claim(CLAIM.as_bytes(), "pv", VOLUME.as_bytes()).unwrap(),
            r#"{"metadata":{"name":"data","namespace":"shop","uid":"u-data","annotations":{"pv.kubernetes.io/bind-completed":"yes","pv.kubernetes.io/bound-by-controller":"yes","podberth.io/volume-chosen-here":"yes"}},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"5Gi"}},"storageClassName":"local","volumeName":"pv"},"status":{"phase":"Bound","accessModes":["ReadWriteOnce"],"capacity":{"storage":"10Gi"}}}"#
        );
        let made = claim_for_node(CLAIM.as_bytes(), "n1").unwrap();
        assert!(
            made.contains(
                r#""annotations":{"volume.kubernetes.io/selected-node":"n1","podberth.io/volume-chosen-here":"yes"}"#
            ),
            "{made}"
        );
    }

    #[test]
    fn a_choice_survives_an_import_that_omits_it() {
        let volume_after = bound_volume(VOLUME.as_bytes(), &volume(VOLUME), &claim(CLAIM), 7).unwrap();
        let claim_after = bound_claim(CLAIM.as_bytes(), "pv", VOLUME.as_bytes()).unwrap();
        let made = claim_for_node(CLAIM.as_bytes(), "n1").unwrap();
        let kept = |told: &str, stored: &str| kept_choice(told.as_bytes(), stored.as_bytes()).unwrap();
        for (told, stored) in [(VOLUME, &volume_after), (CLAIM, &claim_after), (CLAIM, &made)] {
            assert_eq!(kept(told, stored).as_ref(), Some(stored), "told again it changes nothing");
        }
        assert_eq!(kept(VOLUME, VOLUME), None, "nothing was chosen");
        let fact = claim_after.replace(r#","podberth.io/volume-chosen-here":"yes""#, "");
        assert_eq!(kept(CLAIM, &fact), None, "what was told may be taken back");
        let elsewhere = CLAIM.replace(
            r#""uid":"u-data""#,
            r#""uid":"u-data","annotations":{"volume.kubernetes.io/selected-node":"n2"}"#,
        );
        assert_eq!(kept(&elsewhere, &made), None, "a fact goes before our decision");
        assert_eq!(kept(&CLAIM.replace(r#""spec":{"#, r#""spec":{"volumeName":"other","#), &claim_after), None);
    }

    #[test]
    fn written_choices_parse_to_the_decision() {
        let kept = VOLUME.replace(r#""local":"#, r#""claimRef":{"namespace":"shop","name":"data"},"local":"#);
        for body in [VOLUME, &kept] {
            let choice = ClaimChoice::Bind { volume: volume(body), claim: claim(CLAIM) };
            let volume_after = bound_volume(body.as_bytes(), &volume(body), &claim(CLAIM), 7).unwrap();
            let claim_after = bound_claim(CLAIM.as_bytes(), "pv", body.as_bytes()).unwrap();
            let read_back =
                [read(Kind::PersistentVolume, &volume_after), read(Kind::PersistentVolumeClaim, &claim_after)];
            assert_eq!(choice.outcome(), read_back);
        }
        let choice = ClaimChoice::Make { claim: claim(CLAIM), node: "n1".into() };
        let after = claim_for_node(CLAIM.as_bytes(), "n1").unwrap();
        assert_eq!(choice.outcome(), [read(Kind::PersistentVolumeClaim, &after)]);
    }
}
