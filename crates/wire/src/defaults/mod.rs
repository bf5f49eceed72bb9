//! What the API server fills in, as far as decisions read it: one rule, one file.
//!
//! # Read, and not written
//!
//! What follows from the object itself is filled in each time it is parsed, wherever it comes from, and its stored text
//! stays as it was sent: [`amounts`] (requests from limits, amounts of the pod as a whole), [`host_ports`], [`name_label`]
//! of namespaces, and besides, in the files of their objects, `allocatable` from `capacity`, the selector of a controller
//! from its template, protocol, operator, binding mode and scheduler name. What extenders are asked comes filled in
//! already; to fill it in again changes nothing.
//!
//! # Written when the object is made
//!
//! What follows from other objects is written into the text ([`admit`]), since those others may change or go: priority,
//! overhead, node selector and tolerations of pods (`priority.rs`, `runtime_class.rs`, `tolerations.rs`) and the class of
//! claims (`storage_class.rs`). That is done wherever an object is made: POST, the pods of `/schedule`, and objects of
//! `/import` that have no uid yet. An object that was made elsewhere (it has a uid, or is a pod on a node) is a fact and
//! stays as it is. PUT keeps what was written ([`keep`]).
//!
//! Where nothing is made, nothing is refused, and only what is not said is filled in. The pod of `/explain` gets its
//! priority and what its runtime class demands ([`ask`]). Pods of a `cluster` in a request get what their runtime class
//! demands ([`in_cluster`]), and their claims the default class. Both get besides what every new pod gets ([`fill_new`]),
//! unless they have a uid or a node and so are facts.
//!
//! Left out: `LimitRanger` (limit ranges are not stored), `TaintNodesByCondition` (nodes are facts).

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
    /// Whether a class is missing that may be stored already, though not in the snapshot yet.
    pub is_unknown: bool,
}

/// Whether objects of a kind are held against others when they are made.
pub fn is_admitted(kind: &StoredKind) -> bool {
    matches!(kind.core, Kind::Pod | Kind::PersistentVolumeClaim | Kind::PriorityClass)
}

/// Whether objects of a kind are held against others again when they are replaced.
pub fn is_admitted_again(kind: &StoredKind) -> bool {
    kind.core == Kind::PriorityClass
}

/// Fills in a new object what other objects decide. What cannot be read is left to validation.
///
/// # Errors
/// When the object contradicts others, or names a class that there is not.
pub fn admit(kind: &StoredKind, document: &mut Document, classes: &Snapshot) -> Result<(), Denied> {
    match kind.core {
        Kind::Pod => pod::admit(document, classes),
        Kind::PersistentVolumeClaim => {
            storage_class::admit(document, classes);
            Ok(())
        }
        Kind::PriorityClass => match class_of(document) {
            Some(class) => priority::check_default(&class.to_core().object, classes),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn class_of(document: &Document) -> Option<disruption::PriorityClass> {
    decode::from_slice(document.to_json().as_bytes()).ok()
}
