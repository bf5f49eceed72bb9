//! Quotas: a new object is counted with those that there are, and stored before the next one of its namespace is counted.

use super::{examine::undecodable, target::Target, turns::Turn};
use crate::{
    service::{
        Service,
        compute::read_on,
        error::{Error, Result},
    },
    store::{ListQuery, Record},
    wire::{
        defaults,
        document::Document,
        kinds::{self, StoredKind},
    },
};

/// Checks a new object against the quotas of its namespace. What is used is counted from the objects that there are. `turn` is to be kept until the
/// object is stored: of two creations, the second one then counts what the first one stored. Objects that are created through several replicas at
/// the same moment may still exceed a quota.
///
/// The API server charges the quota's status with a conditional write instead (`plugin/pkg/admission/resourcequota/controller.go`).
///
/// # Errors
/// [`Error::Forbidden`] if a quota has not as much left.
pub(super) async fn count(
    service: &Service,
    target: &Target,
    document: &Document,
    length: usize,
    turn: &Turn,
) -> Result<()> {
    let Some(quotas) = kinds::by_plural("", "resourcequotas") else { return Ok(()) };
    if !service.admission.holds_for(target.kind) || target.namespace.is_none() {
        return Ok(());
    }
    let list = async |kind: &StoredKind| -> Result<Vec<Record>> {
        let query = ListQuery { namespace: target.namespace.clone(), ..ListQuery::all(kind.key()) };
        Ok(service.store.list(&target.cluster, &query).await?.items)
    };
    let quotas = list(quotas).await?;
    if quotas.is_empty() {
        return Ok(());
    }
    turn.take(&service.quota_turns, (&*target.cluster, &target.namespace)).await;
    let others = list(target.kind).await?;
    let length = others.iter().map(|other| other.body.len()).sum::<usize>().saturating_add(length);
    let (kind, name) = (target.kind, document.metadata_text("name").unwrap_or_default());
    let document = document.clone();
    let counted = move || {
        // Objects that cannot be read count nothing.
        let read = |records: Vec<Record>| -> Vec<serde_json::Value> {
            records.iter().filter_map(|record| serde_json::from_slice(&record.body).ok()).collect()
        };
        defaults::over_quota(kind, &document, &read(quotas), &read(others))
    };
    match read_on(length, counted).await?.map_err(|error| undecodable(kind, &error))? {
        Some(denied) => Err(Error::Forbidden { subject: target.named(name).subject(), message: denied.message }),
        None => Ok(()),
    }
}
