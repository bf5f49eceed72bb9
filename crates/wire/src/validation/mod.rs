//! Validation: what kube-apiserver refuses of an object that can be read, by the paths and reasons that it tells.
//!
//! A conversion ([`super::objects`]) tells what it cannot take as it stands, such as a selector that selects nothing; the
//! rules here look at what stands beside what. One file per noun. Checked is what decisions read, and what would make an
//! object ambiguous to them. Where Podberth asks for less than the API server: a container needs no image, a service no
//! ports, a replica set no template.
//!
//! What a client writes is refused for any of these faults. A fact, told by `/import`, is stored nevertheless and the faults
//! are told as warnings: a running cluster may have let it in under other rules ([`unstorable`]).

mod containers;
mod csi;
mod disruption;
pub mod fields;
mod meta;
mod node;
mod pod;
mod resources;
mod storage;
#[cfg(test)]
mod tests;
pub mod update;
mod volume;
mod workload;

use super::{
    decode::{self, DecodeError},
    fault::{Cause, Faults},
};

/// An object with rules of its own, besides those of its conversion and its metadata.
pub trait Validate {
    /// Tells what is wrong with the object, of which `json` is the text.
    ///
    /// # Errors
    /// When a field that only rules read has the wrong type.
    fn validate(&self, json: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        let _ = (json, faults);
        Ok(())
    }
}

/// The faults of an object: those of its metadata and those of its own rules.
///
/// # Errors
/// As for [`Validate::validate`].
pub fn faults(object: &impl Validate, json: &[u8]) -> Result<Vec<Cause>, DecodeError> {
    let mut faults = Faults::default();
    decode::from_slice::<meta::Object>(json)?.metadata.validate(&mut faults);
    object.validate(json, &mut faults)?;
    Ok(faults.into_causes())
}

/// Whether an object with this fault can be no fact: it cannot be read, or not be named.
pub fn unstorable(cause: &Cause) -> bool {
    cause.unreadable || matches!(cause.field.as_str(), "metadata.name" | "metadata.namespace")
}
