//! Quotas: an object is stored together with what it takes of the quotas of its namespace, or not at all.
//!
//! The amount in use is counted from the objects that there are. The status of each quota is written for the revision that was read, in one
//! transaction with the object: of two objects that are created at the same moment, through whichever replica, the second one is counted anew.
//!
//! Source: `apiserver/pkg/admission/plugin/resourcequota/controller.go`.

use super::{examine::Accepted, patched::Part, target::Target, turns::Turn};
use crate::{
    core::snapshot::Kind,
    service::{
        Service,
        compute::read_on,
        error::{Error, Result},
    },
    store::{Change, ListQuery, Record, Write},
    wire::{
        decode::DecodeError,
        defaults,
        document::Document,
        kinds::{self, StoredKind},
    },
};

/// `true` if a write of a part of an object is counted. Objects other than these take as much after an update as before
/// (`Handles` in `pkg/quota/v1/evaluator/core`).
fn is_counted(kind: &StoredKind, is_new: bool, part: Part) -> bool {
    is_new
        || match part {
            Part::Resize => true,
            Part::Main => kind.is(Kind::PersistentVolumeClaim) || kind.kind == "Service",
            _ => false,
        }
}

/// The writes that charge the quotas of a namespace with an object that takes the place of `stored`. They are to be committed together with
/// it. `turn` spares two writes of this process to count for nothing: the second one waits until the first one is stored.
///
/// # Errors
/// [`Error::Forbidden`] if a quota has not as much left.
pub(super) async fn charges(
    service: &Service,
    target: &Target,
    accepted: &Accepted,
    stored: Option<&Record>,
    part: Part,
    turn: &Turn,
) -> Result<Vec<Write>> {
    let Some(quotas) = kinds::by_plural("", "resourcequotas") else { return Ok(Vec::new()) };
    if !service.admission.holds_for(target.kind)
        || target.namespace.is_none()
        || !is_counted(target.kind, stored.is_none(), part)
    {
        return Ok(Vec::new());
    }
    let list = async |kind: &StoredKind| -> Result<Vec<Record>> {
        let query = ListQuery { namespace: target.namespace.clone(), ..ListQuery::all(kind.key()) };
        Ok(service.store.list(&target.cluster, &query).await?.items)
    };
    if list(quotas).await?.is_empty() {
        return Ok(Vec::new());
    }
    turn.take(&service.quota_turns, (&*target.cluster, &target.namespace)).await;
    // First the quotas: what is stored after the objects were counted has changed one of them.
    let quotas = list(quotas).await?;
    let mut others = list(target.kind).await?;
    others.retain(|other| other.key.name != target.name);
    let (kind, subject) = (target.kind, target.subject());
    let (object, before) = (accepted.body.clone(), stored.cloned());
    let length = others.iter().map(|other| other.body.len()).sum::<usize>().saturating_add(object.len());
    let counted = move || {
        let read = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text);
        let object = read(&object).map_err(Error::internal)?;
        let before = before.and_then(|before| read(&before.body).ok());
        // Quotas that cannot be read limit nothing, objects count nothing.
        let limits: Vec<_> = quotas.iter().map(|quota| read(&quota.body).unwrap_or_default()).collect();
        let others: Vec<_> = others.iter().filter_map(|other| read(&other.body).ok()).collect();
        let charges = defaults::quota_charges(kind, &object, before.as_ref(), &limits, &others);
        let charges = charges.map_err(|message| Error::Forbidden { subject, message })?;
        let writes = charges.iter().filter_map(|(place, status)| Some(charge(quotas.get(*place)?, status)));
        writes.collect::<std::result::Result<_, _>>().map_err(Error::internal)
    };
    read_on(length, counted).await?
}

/// The write of a quota's status. Its fields keep their managers, as its owner is still the one who counts them.
fn charge(quota: &Record, status: &serde_json::Value) -> std::result::Result<Write, DecodeError> {
    let mut document = Document::parse(&quota.body)?;
    if let Ok(raw) = serde_json::value::to_raw_value(status) {
        document.set("status", raw);
    }
    Ok(Write::of(quota, Change::body(quota, document.into_body())))
}
