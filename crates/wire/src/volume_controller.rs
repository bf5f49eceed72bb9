//! Fields of volumes and claims that the volume controller writes. Other fields stay as they are.
//!
//! Source: `pkg/controller/volume/persistentvolume/pv_controller.go` (`syncVolume`, `bind`).

use serde_json::{Map, Value};

use super::{
    decode::{self, DecodeError},
    document::{Document, raw},
    volume_choice::set_bound,
};
use podberth_core::claim_choice::{BIND_COMPLETED, BOUND_BY_CONTROLLER, YES};

/// The body of a volume that is in a phase: `Available`, so that claims can have it, or `Released`.
///
/// # Errors
/// When the body cannot be read.
pub fn volume_in_phase(body: &[u8], phase: &str) -> Result<String, DecodeError> {
    let mut document = Document::parse(body)?;
    document.set_text_in("status", "phase", phase)?;
    Ok(document.into_body())
}

/// The body of a volume that is bound to the claim that it names, of this uid.
///
/// # Errors
/// When the body cannot be read.
pub fn bound_volume(body: &[u8], claim_uid: &str) -> Result<String, DecodeError> {
    let mut document = Document::parse(body)?;
    let reference = document.get_in("spec", "claimRef")?;
    let mut reference: Map<String, Value> = match &reference {
        Some(raw) => decode::from_slice(raw.get().as_bytes())?,
        None => Map::new(),
    };
    for (field, value) in [("kind", "PersistentVolumeClaim"), ("apiVersion", "v1"), ("uid", claim_uid)] {
        let present = reference.get(field).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        if !present {
            reference.insert(field.to_owned(), value.into());
        }
    }
    document.set_in("spec", "claimRef", raw(&reference)?)?;
    document.set_text_in("status", "phase", "Bound")?;
    Ok(document.into_body())
}

/// The body of a claim that is bound to the volume of this name, whose body is `volume`.
///
/// # Errors
/// When one of the bodies cannot be read.
pub fn bound_claim(body: &[u8], volume_name: &str, volume: &[u8]) -> Result<String, DecodeError> {
    let volume = Document::parse(volume)?;
    let mut document = Document::parse(body)?;
    let named: Option<String> = match document.get_in("spec", "volumeName")? {
        Some(raw) => decode::from_slice(raw.get().as_bytes())?,
        None => None,
    };
    if named.is_none_or(|name| name.is_empty()) {
        document.set_annotation(BOUND_BY_CONTROLLER, YES)?;
        document.set_text_in("spec", "volumeName", volume_name)?;
    }
    document.set_annotation(BIND_COMPLETED, YES)?;
    set_bound(&mut document, &volume)?;
    Ok(document.into_body())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_of_kube_scheduler_is_completed_on_both_sides() {
        let volume = r#"{"metadata":{"name":"pv","annotations":{"pv.kubernetes.io/bound-by-controller":"yes"}},"spec":{"capacity":{"storage":"10Gi"},"accessModes":["ReadWriteOnce"],"claimRef":{"kind":"PersistentVolumeClaim","namespace":"shop","name":"data","uid":"u","apiVersion":"v1"}},"status":{"phase":"Available"}}"#;
        let claim = r#"{"metadata":{"name":"data","namespace":"shop"},"spec":{"storageClassName":"local"},"status":{"phase":"Pending"}}"#;
        assert_eq!(bound_volume(volume.as_bytes(), "u").expect("a body"), volume.replace("Available", "Bound"));
        assert_eq!(
            bound_claim(claim.as_bytes(), "pv", volume.as_bytes()).expect("a body"),
            r#"{"metadata":{"name":"data","namespace":"shop","annotations":{"pv.kubernetes.io/bound-by-controller":"yes","pv.kubernetes.io/bind-completed":"yes"}},"spec":{"storageClassName":"local","volumeName":"pv"},"status":{"phase":"Bound","accessModes":["ReadWriteOnce"],"capacity":{"storage":"10Gi"}}}"#
        );
    }

    #[test]
    fn a_volume_kept_by_its_user_gets_the_uid_of_the_claim() {
        let volume = r#"{"metadata":{"name":"pv"},"spec":{"claimRef":{"namespace":"shop","name":"data"}}}"#;
        assert_eq!(
            bound_volume(volume.as_bytes(), "u").expect("a body"),
            r#"{"metadata":{"name":"pv"},"spec":{"claimRef":{"namespace":"shop","name":"data","kind":"PersistentVolumeClaim","apiVersion":"v1","uid":"u"}},"status":{"phase":"Bound"}}"#
        );
        let claim = r#"{"metadata":{"name":"data"},"spec":{"volumeName":"pv"}}"#;
        let bound = bound_claim(claim.as_bytes(), "pv", volume.as_bytes()).expect("a body");
        assert!(bound.contains("bind-completed") && !bound.contains("bound-by-controller"), "{bound}");
        assert!(volume_in_phase(b"{\"metadata\":{}}", "Available").expect("a body").contains(r#""phase":"Available""#));
    }
}
