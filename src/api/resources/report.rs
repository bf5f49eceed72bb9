//! What an import answers.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::target::status_cause;
use crate::{
    api::error::{ApiError, FAULTS_TOLD, Subject},
    wire::{fault::Cause, status::StatusCause},
};

/// Faults that a refusal lists; `skipInvalid=true` with `dryRun=All` reports all.
const TOLD: usize = FAULTS_TOLD;

/// What was done.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ImportReport {
    /// Objects that were not there.
    pub created: u64,
    /// Objects that were there, and otherwise.
    pub updated: u64,
    /// Objects that were there just so.
    pub unchanged: u64,
    /// Objects that the body does not have (`replace=true`).
    pub deleted: u64,
    /// How many objects of each kind that is not stored, such as `Deployment`, were passed over.
    pub skipped: BTreeMap<String, u64>,
    /// The objects that are not valid (`skipInvalid=true`).
    pub refused: Vec<RefusedObject>,
    /// The cluster's revision afterwards.
    pub revision: u64,
}

/// An object that is not valid.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct RefusedObject {
    /// Its kind, as far as it says.
    pub kind: String,
    /// Its namespace, as far as it says.
    pub namespace: String,
    /// Its name, as far as it says.
    pub name: String,
    /// Every fault.
    pub causes: Vec<StatusCause>,
}

/// Objects of any kinds.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "documents what `kubectl get -o json` prints; the items are read one by one")]
#[schema(as = ObjectList, example = json!({"kind": "List", "apiVersion": "v1", "items": [
    {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"},
     "status": {"allocatable": {"cpu": "4", "memory": "16Gi", "pods": "110"}}}
]}))]
pub struct ObjectList {
    /// `List`, or that of a list of one kind, such as `PodList`.
    kind: String,
    /// Of the list.
    #[schema(rename = "apiVersion")]
    api_version: String,
    /// The objects, each with its kind and version unless the list says them.
    items: Vec<BTreeMap<String, serde_json::Value>>,
}

/// The refusal of a whole import.
pub fn refusal(refused: &[RefusedObject]) -> ApiError {
    let faults = refused.iter().flat_map(|object| {
        let RefusedObject { kind, namespace, name, .. } = object;
        let slash = if namespace.is_empty() { "" } else { "/" };
        object.causes.iter().map(move |cause| {
            let field = format!("{kind} {namespace}{slash}{name}: {}", cause.field);
            Cause { field, reason: cause.reason.clone(), message: cause.message.clone(), unreadable: false }
        })
    });
    let mut causes: Vec<StatusCause> = faults.map(status_cause).collect();
    let more = causes.len().saturating_sub(TOLD);
    if more > 0 {
        causes.truncate(TOLD);
        let message = format!("and {more} more faults: skipInvalid=true&dryRun=All reports them all");
        causes.push(StatusCause { message, ..StatusCause::default() });
    }
    ApiError::Invalid { subject: Subject::new("", "List", ""), causes }
}
