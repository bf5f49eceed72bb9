//! Defaults that the API server fills in: one rule, one file.
//!
//! # Written by every write of a client
//!
//! [`normalized`] gives an object the form in which the API server stores it: types are checked, unknown fields dropped, quantities
//! canonical (`canonical.rs`), and the defaults that follow from the object itself are written (`fixed.rs`). [`created`] and [`updated`]
//! do what its strategies do: the status and the generation are not the client's (`prepared.rs`), `matchLabelKeys` become requirements
//! (`label_keys.rs`).
//!
//! # Applied when an object is read
//!
//! Facts (`/import`, `--admission=none`, the objects in a request) are stored as they were sent. So the defaults that decisions need are
//! applied each time an object is parsed, wherever it comes from. These are [`amounts`] (requests from limits, pod-level amounts),
//! [`host_ports`], and [`name_label`] of namespaces. The files of the objects add `allocatable` from `capacity`, the selector of a
//! controller from its template, protocol, operator, binding mode and scheduler name. Applying them again changes nothing.
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
//! Left out: `TaintNodesByCondition` (nodes are facts).

pub mod amounts;
mod canonical;
mod fixed;
pub mod host_ports;
pub(crate) mod job;
mod label_keys;
mod limit_range;
pub mod name_label;
mod normal;
mod pod;
mod prepared;
mod priority;
mod qos;
mod quota;
mod runtime_class;
mod storage_class;
mod tolerations;
mod update;
mod usage;

pub(crate) use canonical::{binary, decimal};
pub use pod::{ask, fill_new, in_cluster};
pub(crate) use qos::class as qos_class;
pub use quota::{charges as quota_charges, counted as counted_by, status as quota_status};
pub use storage_class::{class_of_growth, fill as fill_claim, lets_grow};
pub use update::keep;

use super::{
    decode::{self, DecodeError},
    document::Document,
    kinds::StoredKind,
    objects::disruption,
    tree,
};
use podberth_core::snapshot::{Kind, Snapshot};

/// The form in which the API server stores an object of this kind.
///
/// # Errors
/// If a value has not the type of its field, with the message of the API server.
pub fn normalized(kind: &'static StoredKind, document: &Document) -> Result<Document, DecodeError> {
    let fields = kind.stored().fields();
    document.edited(|object| normal::normalize(fields, object))
}

/// A normalized object as a new one. `now` is the time, RFC 3339.
///
/// # Errors
/// If it cannot be read.
pub fn created(kind: &'static StoredKind, document: &Document, now: &str) -> Result<Document, DecodeError> {
    document.edited(|object| {
        prepared::create(kind.stored(), object, now);
        Ok(())
    })
}

/// Gives a new object, which has its name and its uid, what is made of these: a job its selector.
///
/// # Errors
/// If it cannot be read.
pub fn identified(kind: &StoredKind, document: Document) -> Result<Document, DecodeError> {
    if kind.kind != "Job" {
        return Ok(document);
    }
    document.edited(|object| {
        job::select(object);
        Ok(())
    })
}

/// `true` if limit ranges say something about objects of a kind.
pub fn is_limited(kind: &StoredKind) -> bool {
    kind.is(Kind::Pod) || kind.is(Kind::PersistentVolumeClaim)
}

/// Fills in a normalized pod the amounts that the limit ranges of its namespace give, and checks the amounts of a pod or a claim against
/// them.
///
/// # Errors
/// If the object cannot be read. The inner error says why the ranges refuse it.
pub fn limited(
    kind: &StoredKind,
    document: &Document,
    ranges: &[serde_json::Value],
) -> Result<Result<Document, Denied>, DecodeError> {
    let mut refused = Vec::new();
    let filled = document.edited(|object| {
        if kind.is(Kind::Pod) {
            limit_range::fill(object, ranges);
            refused = limit_range::check_pod(object, ranges);
        } else {
            refused = limit_range::check_claim(object, ranges);
        }
        Ok(())
    })?;
    let message = match &refused[..] {
        [] => return Ok(Ok(filled)),
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    Ok(Err(Denied { field: "spec", message, is_unknown: false }))
}

/// A normalized object as the successor of a stored one.
///
/// # Errors
/// If one of them cannot be read.
pub fn updated(kind: &'static StoredKind, document: &Document, stored: &Document) -> Result<Document, DecodeError> {
    let stored = tree::parse(stored.to_json().as_bytes())?;
    let empty = serde_json::Map::new();
    let stored = stored.as_object().unwrap_or(&empty);
    document.edited(|object| {
        prepared::update(kind.stored(), object, stored);
        Ok(())
    })
}

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

/// Fills in a new object the fields that other objects decide. Unreadable fields are left to validation. `is_strict` is true of what a client
/// creates under `--admission=kubernetes`.
///
/// # Errors
/// If the object contradicts others, or names a class that does not exist.
pub fn admit(kind: &StoredKind, document: &mut Document, classes: &Snapshot, is_strict: bool) -> Result<(), Denied> {
    match kind.core() {
        Some(Kind::Pod) => pod::admit(document, classes, is_strict),
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
