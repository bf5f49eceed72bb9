//! Defaults that the API server fills in, as far as decisions read them: one rule, one file.
//!
//! # Applied when an object is read
//!
//! Defaults that follow from the object itself are applied each time it is parsed, wherever it comes from; the stored text stays as it
//! was sent. These are [`amounts`] (requests from limits, pod-level amounts), [`host_ports`], and [`name_label`] of namespaces. The
//! files of the objects add `allocatable` from `capacity`, the selector of a controller from its template, protocol, operator, binding
//! mode and scheduler name. Objects sent to the extender verbs have their defaults already; applying them again changes nothing.
//!
//! # Written when an object is created
//!
//! Defaults that follow from other objects are written into the text ([`admit`]), since those others may change or go: priority,
//! overhead, node selector and tolerations of pods (`priority.rs`, `runtime_class.rs`, `tolerations.rs`) and the class of claims
//! (`storage_class.rs`). They apply wherever an object is created: POST, the pods of `/schedule`, and objects of `/import` without a
//! uid. An object that was created elsewhere (it has a uid, or is a pod on a node) is a fact and stays as it is. PUT keeps the written
//! values ([`keep`]).
//!
//! Requests that create nothing refuse nothing, and fill in only absent fields. The pod of `/explain` gets its priority and the
//! demands of its runtime class ([`ask`]). Pods of a `cluster` in a request get the demands of their runtime class ([`in_cluster`]),
//! and their claims the default class. Both also get the defaults of every new pod ([`fill_new`]), unless they have a uid or a node and
//! so are facts.
//!
//! Left out: `LimitRanger` (limit ranges are stored and not applied), `TaintNodesByCondition` (nodes are facts).

pub mod amounts;
pub mod host_ports;
pub mod name_label;
mod pod;
mod priority;
mod runtime_class;
mod storage_class;
mod tolerations;
mod update;

pub use pod::{ask, fill_new, in_cluster};
pub use storage_class::fill as fill_claim;
pub use update::keep;

use super::{decode, document::Document, kinds::StoredKind, objects::disruption};
use podberth_core::snapshot::{Kind, Snapshot};

/// Why an object is not made: its words contradict other objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The field that is at fault.
    pub field: &'static str,
    /// Why, in one line.
    pub message: String,
    /// `true` if a class is missing from the snapshot that may already be stored.
    pub is_unknown: bool,
}

/// `true` if objects of a kind are checked against others when they are created.
pub fn is_admitted(kind: &StoredKind) -> bool {
    matches!(kind.core(), Some(Kind::Pod | Kind::PersistentVolumeClaim | Kind::PriorityClass))
}

/// `true` if objects of a kind are checked against others again when they are replaced.
pub fn is_admitted_again(kind: &StoredKind) -> bool {
    kind.is(Kind::PriorityClass)
}

/// Fills in a new object the fields that other objects decide. Unreadable fields are left to validation.
///
/// # Errors
/// If the object contradicts others, or names a class that does not exist.
pub fn admit(kind: &StoredKind, document: &mut Document, classes: &Snapshot) -> Result<(), Denied> {
    match kind.core() {
        Some(Kind::Pod) => pod::admit(document, classes),
        Some(Kind::PersistentVolumeClaim) => {
            storage_class::admit(document, classes);
            Ok(())
        }
        Some(Kind::PriorityClass) => match class_of(document) {
            Some(class) => priority::check_default(&class.to_core().object, classes),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn class_of(document: &Document) -> Option<disruption::PriorityClass> {
    decode::from_slice(document.to_json().as_bytes()).ok()
}
