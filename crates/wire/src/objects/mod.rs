//! Kubernetes objects: the fields that scheduling reads, in their wire form, and their conversion to the core.
//!
//! The structs are also the published schemas, so their documentation speaks to users. Unknown fields are ignored here;
//! [`super::document`] keeps an object whole.

pub mod affinity;
pub(crate) mod bounds;
pub mod csi;
pub mod device;
pub mod disruption;
pub mod member_cluster;
pub mod meta;
pub mod names;
pub mod node;
pub mod node_group;
pub mod pod;
pub mod quantity;
pub mod runtime_class;
pub mod storage;
pub mod unread;
pub mod volume;
pub mod workload;

#[cfg(test)]
mod tests;

use super::fault::{Cause, Faults, TOO_MANY};

/// The result of converting an object, with all its faults.
///
/// A faulty part is read as kube-scheduler would read it: a selector that does not parse selects nothing, a toleration with an unknown
/// operator tolerates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted<T> {
    /// The object.
    pub object: T,
    /// Its faults in the order of their fields.
    pub causes: Vec<Cause>,
}

impl<T> Converted<T> {
    /// The object if it has no fault at all.
    ///
    /// # Errors
    /// All its faults.
    pub fn strict(self) -> Result<T, Vec<Cause>> {
        if self.causes.is_empty() { Ok(self.object) } else { Err(self.causes) }
    }

    /// The object, if it is readable and within the limits. Requests may bring only such objects.
    ///
    /// # Errors
    /// The faults that make it unreadable, and the limits that it exceeds.
    pub fn bounded(mut self) -> Result<T, Vec<Cause>> {
        self.causes.retain(|c| c.unreadable || c.reason == TOO_MANY);
        self.strict()
    }

    /// The object if it is readable. An object in a request to decide needs no more.
    ///
    /// # Errors
    /// The faults that Kubernetes' own decoder would refuse.
    pub fn lenient(mut self) -> Result<T, Vec<Cause>> {
        self.causes.retain(|c| c.unreadable);
        self.strict()
    }

    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Converted<U> {
        Converted { object: f(self.object), causes: self.causes }
    }
}

/// Runs a conversion and collects its faults.
fn converted<T>(convert: impl FnOnce(&mut Faults) -> T) -> Converted<T> {
    let mut faults = Faults::default();
    let object = convert(&mut faults);
    Converted { object, causes: faults.into_causes() }
}
