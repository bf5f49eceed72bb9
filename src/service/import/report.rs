//! The result of an import.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    service::error::{Error, FAULTS_LISTED, Subject},
    wire::status::StatusCause,
};

/// Largest number of objects with warnings in a reply.
const WARNED: usize = 100;

/// Faults that a refusal lists; `skipInvalid=true` with `dryRun=All` reports all.
const TOLD: usize = FAULTS_LISTED;

/// The changes made.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// Objects that were not there.
    pub created: u64,
    /// Objects that were there, and otherwise.
    pub updated: u64,
    /// Objects that were there just so.
    pub unchanged: u64,
    /// Objects that the body does not have (`replace=true`).
    pub deleted: u64,
    /// How many objects of each kind that is not stored were passed over. Secrets are among them on purpose.
    pub skipped: BTreeMap<String, u64>,
    /// The objects that cannot be read or named (`skipInvalid=true`).
    pub refused: Vec<RefusedObject>,
    /// Objects that were stored, as facts are, though a client could not write them so: the first hundred.
    pub warnings: Vec<RefusedObject>,
    /// How many more there are.
    pub warnings_left_out: u64,
    /// The cluster's revision afterwards.
    pub revision: u64,
}

/// An object that is not valid.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct RefusedObject {
    /// Its place in the body: `items[3]`; empty if it is the whole body.
    pub at: String,
    /// Its kind, if it has one.
    pub kind: String,
    /// Its namespace, if it has one.
    pub namespace: String,
    /// Its name, if it has one.
    pub name: String,
    /// Every fault.
    pub causes: Vec<StatusCause>,
}

impl ImportReport {
    /// Adds an object with warnings, within a bound.
    pub(super) fn warn(&mut self, object: RefusedObject) {
        if self.warnings.len() < WARNED {
            self.warnings.push(object);
        } else {
            self.warnings_left_out += 1;
        }
    }
}

impl RefusedObject {
    /// How people call it: `Pod default/web`.
    fn called(&self) -> String {
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        format!("{} {}{slash}{}", self.kind, self.namespace, self.name)
    }
}

/// The refusal of a whole import: each fault by its place in the body, with the object that has it.
pub(super) fn refusal(refused: &[RefusedObject]) -> Error {
    let faults = refused.iter().flat_map(|object| {
        let (at, called) = (&object.at, object.called());
        object.causes.iter().map(move |cause| StatusCause {
            field: if at.is_empty() { cause.field.clone() } else { format!("{at}.{}", cause.field) },
            reason: cause.reason.clone(),
            message: if called.trim().is_empty() {
                cause.message.clone()
            } else {
                format!("{} (of {called})", cause.message)
            },
            ..StatusCause::default()
        })
    });
    let mut causes: Vec<StatusCause> = faults.collect();
    let more = causes.len().saturating_sub(TOLD);
    if more > 0 {
        causes.truncate(TOLD);
        let message = format!("and {more} more faults: skipInvalid=true&dryRun=All reports them all");
        causes.push(StatusCause { message, ..StatusCause::default() });
    }
    Error::Invalid { subject: Subject::new("", "List", ""), causes }
}
