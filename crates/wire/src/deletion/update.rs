//! The part that deletion has in an update.
//!
//! Source: `staging/src/k8s.io/apiserver/pkg/registry/rest/update.go` (`BeforeUpdate`), `apimachinery/pkg/api/validation/objectmeta.go`
//! (`ValidateObjectMetaAccessorUpdate`, `ValidateNoNewFinalizers`), `registry/generic/registry/store.go` (`ShouldDeleteDuringUpdate`),
//! `pkg/registry/core/namespace/storage/storage.go` (`ShouldDeleteNamespaceDuringUpdate`).

use super::{Meta, namespace_finalizers};
use crate::{
    decode::DecodeError,
    document::Document,
    fault::{Cause, Faults, Path},
    kinds::StoredKind,
};
use podberth_core::snapshot::Kind;

/// Keeps the mark of an object that is being deleted, and returns the faults of an update that changes it.
///
/// # Errors
/// If a field has the wrong type.
pub fn keep(next: &mut Document, stored: &Document) -> Result<Vec<Cause>, DecodeError> {
    let before = Meta::of(stored)?;
    if before.deletion_timestamp.is_some()
        && let Some(at) = stored.metadata("deletionTimestamp")
    {
        next.set_metadata("deletionTimestamp", at.to_owned());
    }
    if let Some(grace) = stored.metadata("deletionGracePeriodSeconds")
        && next.metadata("deletionGracePeriodSeconds").is_none_or(|raw| raw.get() == "null")
    {
        next.set_metadata("deletionGracePeriodSeconds", grace.to_owned());
    }
    let after = Meta::of(next)?;
    let (mut faults, metadata) = (Faults::default(), Path::ROOT.child("metadata"));
    let immutable = "field is immutable";
    if after.deletion_timestamp != before.deletion_timestamp {
        let said = next.metadata_text("deletionTimestamp").unwrap_or_default();
        faults.invalid(&metadata.child("deletionTimestamp"), said, immutable);
    }
    if after.deletion_grace_period_seconds != before.deletion_grace_period_seconds {
        let said = after.deletion_grace_period_seconds.unwrap_or_default();
        faults.invalid(&metadata.child("deletionGracePeriodSeconds"), said, immutable);
    }
    if before.deletion_timestamp.is_some() {
        let new: Vec<_> = after.finalizers.iter().filter(|one| !before.finalizers.contains(one)).collect();
        if !new.is_empty() {
            let listed = new.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().join(", ");
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}"
            );
            faults.forbidden(&metadata.child("finalizers"), &why);
        }
    }
    Ok(faults.into_causes())
}

/// `true` if an update removes the object, since nobody waits for it any more.
///
/// # Errors
/// If a field has the wrong type.
pub fn ends(kind: &StoredKind, next: &Document, stored: &Document) -> Result<bool, DecodeError> {
    let before = Meta::of(stored)?;
    if before.deletion_timestamp.is_none() || !Meta::of(next)?.finalizers.is_empty() {
        return Ok(false);
    }
    let is_over = before.deletion_grace_period_seconds.is_none_or(|seconds| seconds == 0);
    Ok(is_over && (!kind.is(Kind::Namespace) || namespace_finalizers(next)?.is_empty()))
}
