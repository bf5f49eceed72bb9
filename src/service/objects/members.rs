//! Writes of Cluster objects: what they mean to the clusters themselves.
//!
//! The object tells what a cluster mirrors. Releases before this one have stored that in the cluster itself: a new object takes it over, and what was
//! stored is deleted after it.

use std::sync::Arc;

use serde_json::value::to_raw_value;

use super::Target;
use crate::{
    core::access::{Attributes, User},
    live::SYSTEM_CLUSTER,
    service::{
        Service, access,
        clusters::check_name,
        error::{Error, Result},
        source::{
            mirrored,
            naming::{forget_progress, use_of},
        },
    },
    store::{Atomicity, Call, Change, Precondition, Record, Write},
    wire::{document::Document, objects::member_cluster::Member},
};

/// Fills in a new object: without a source it has the one that an earlier release has stored.
///
/// # Errors
/// [`Error::NotAllowed`] if no cluster of this name may be made, and those of the store.
pub(super) async fn begin(service: &Service, document: &mut Document) -> Result<()> {
    let name = document.metadata_text("name").unwrap_or_default();
    if check_name(&name).is_err() {
        // Validation refuses it.
        return Ok(());
    }
    service.clusters.check_may_be_made(&name).await?;
    let Some(source) = mirrored::earlier_of(service, &name).await? else { return Ok(()) };
    if document.get_in("spec", "source").map_err(Error::internal)?.is_none() {
        let source = to_raw_value(&source).map_err(Error::internal)?;
        document.set_in("spec", "source", source).map_err(Error::internal)?;
    }
    Ok(())
}

/// Prepares the commit of an object: whoever names another source must be allowed to use it, and how far an earlier mirror was says nothing of a
/// new one.
///
/// # Errors
/// [`Error::Denied`], [`Error::BadRequest`] for a source of the cluster that has the tokens, and those of the store.
pub(super) async fn check(
    service: &Service,
    by: Option<&User>,
    target: &Target,
    (next, before): (&[u8], Option<&Record>),
    dry_run: bool,
) -> Result<()> {
    let read = |body: &[u8]| Member::parse(body).map_err(Error::internal);
    let Some(next) = read(next)?.source else { return Ok(()) };
    let before = match before {
        Some(before) => Member::parse(&before.body).ok().and_then(|member| member.source),
        None if check_name(&target.name).is_ok() => mirrored::earlier_of(service, &target.name).await?.map(Arc::new),
        None => None,
    };
    if before.as_ref() == Some(&next) {
        return Ok(());
    }
    if target.name == SYSTEM_CLUSTER {
        return Err(Error::BadRequest(format!("the cluster {:?} has the tokens and mirrors none", target.name)));
    }
    if let Some(user) = by {
        let attributes = Attributes::Resource(use_of(&next));
        access::check(service, SYSTEM_CLUSTER, user, &attributes).await?;
    }
    if before.is_none() && !dry_run {
        forget_progress(service, &target.name).await?;
    }
    Ok(())
}

/// Deletes the source that an earlier release has stored in a cluster.
///
/// # Errors
/// Those of the store.
pub(in crate::service) async fn forget_earlier(service: &Service, cluster: &str) -> Result<()> {
    if check_name(cluster).is_err() || mirrored::earlier_of(service, cluster).await?.is_none() {
        return Ok(());
    }
    let write = Write { key: mirrored::key(), precondition: Precondition::default(), change: Change::Delete };
    let call = Call { writes: vec![write], atomicity: Atomicity::AllOrNothing };
    service.clusters.commit(cluster, call, None).await?;
    Ok(())
}
