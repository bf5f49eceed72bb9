//! The rule of clusters that mirror live ones: nobody writes their objects here, since the next event of the API server would undo it.
//!
//! Every operation on objects asks [`check`] or [`check_all`] before anything else. What is left:
//!
//! - binds, reservations, policies, and other things of Podberth's own. Roles and bindings are among them: they decide who may do what *here*, and a
//!   right that was given must be revocable;
//! - annotations under [`OWN_ANNOTATIONS`](crate::wire::source::OWN_ANNOTATIONS), which the mirror leaves alone
//!   ([`annotated`](crate::service::objects)).
//!
//! Jobs that write objects by themselves ask [`mirrored::is_mirror`] for each cluster.

use std::sync::Arc;

use super::mirrored;
use crate::{
    live::View,
    service::{
        Service,
        error::{Error, Result},
    },
    wire::{access, kinds::StoredKind, source::ClusterSource},
};

/// The live cluster, if objects of the kind are its and not Podberth's own.
///
/// # Errors
/// Those of the store.
pub async fn source_for(service: &Service, cluster: &str, kind: &StoredKind) -> Result<Option<Arc<ClusterSource>>> {
    if is_own(kind) { Ok(None) } else { mirrored::of(service, cluster).await }
}

/// Refuses writes of objects of a kind in a cluster that mirrors a live one.
///
/// # Errors
/// [`Error::ReadOnly`], and those of the store.
pub async fn check(service: &Service, cluster: &str, kind: &StoredKind) -> Result<()> {
    match source_for(service, cluster, kind).await? {
        Some(source) => Err(refused(cluster, &source)),
        None => Ok(()),
    }
}

/// Refuses writes of objects of any kind in a cluster that mirrors a live one.
///
/// # Errors
/// As for [`check`].
pub async fn check_all(service: &Service, cluster: &str) -> Result<()> {
    match mirrored::of(service, cluster).await? {
        Some(source) => Err(refused(cluster, &source)),
        None => Ok(()),
    }
}

/// Refuses writes of objects of any kind if the view is of a mirrored cluster.
///
/// # Errors
/// [`Error::ReadOnly`]
pub fn check_view(view: &View, cluster: &str) -> Result<()> {
    view.source().map_or(Ok(()), |source| Err(refused(cluster, &source)))
}

/// The refusal of a write.
pub fn refused(cluster: &str, source: &ClusterSource) -> Error {
    Error::ReadOnly { cluster: cluster.to_owned(), source_title: source.title() }
}

/// `true` for kinds whose objects are Podberth's own in every cluster.
fn is_own(kind: &StoredKind) -> bool {
    !kind.is_shared() || kind.is_of_all() || access::resource(&kind.key()).is_some()
}
