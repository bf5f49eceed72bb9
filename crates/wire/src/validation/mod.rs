//! Validation: refuses what kube-apiserver refuses of a readable object, with its paths and reasons.
//!
//! A conversion ([`super::objects`]) reports values that it cannot use, such as a selector that selects nothing; the rules here compare
//! fields with each other. There is one file per noun. They check the fields that decisions read, and fields that would make an object
//! ambiguous. [`complete`] has the rules for the other fields.
//!
//! A write by a client is refused for any of these faults, under `--admission=kubernetes` also for those of [`complete`]. A fact, sent to `/import`, is stored and the faults become warnings: a
//! running cluster may have admitted it under other rules ([`unstorable`]).

pub mod complete;
mod containers;
mod csi;
mod device;
mod disruption;
pub mod fields;
mod member_cluster;
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
    objects::names::{self, NameRule},
};

/// An object with rules of its own, besides those of its conversion and its metadata.
pub trait Validate {
    /// Reports the faults of the object, whose text is `json`.
    ///
    /// # Errors
    /// If a field that only validation reads has the wrong type.
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
    let mut causes = metadata(json, names::dns_subdomain)?;
    let mut faults = Faults::default();
    object.validate(json, &mut faults)?;
    causes.extend(faults.into_causes());
    Ok(causes)
}

/// The faults of an object's metadata besides its name, namespace and labels, which conversions check. Names follow a rule,
/// and so does what they are generated from.
///
/// # Errors
/// When a field of the metadata has the wrong type.
pub fn metadata(json: &[u8], rule: NameRule) -> Result<Vec<Cause>, DecodeError> {
    let mut faults = Faults::default();
    decode::from_slice::<meta::Object>(json)?.metadata.validate(rule, &mut faults);
    Ok(faults.into_causes())
}

/// `true` if an object with this fault cannot be stored as a fact: it cannot be read or named.
pub fn unstorable(cause: &Cause) -> bool {
    cause.unreadable || matches!(cause.field.as_str(), "metadata.name" | "metadata.namespace")
}
