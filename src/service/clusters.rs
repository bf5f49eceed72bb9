//! Clusters: their names, their list, what they mirror, their removal.

use std::{collections::BTreeSet, sync::Arc};

pub mod conditions;
pub mod derived;

pub use derived::all;

use super::{
    Service,
    error::{Error, Result, Subject},
    source::mirrored,
};
use crate::{
    live::{DEFAULT_CLUSTER, SYSTEM_CLUSTER},
    store::{Atomicity, Call, Change, Head, Precondition, Record, Standing, Write},
    wire::source::ClusterSource,
};

/// A cluster and what it mirrors.
#[derive(Debug)]
pub struct Described {
    /// How many changes it has seen.
    pub revision: u64,
    /// The live cluster that it mirrors.
    pub source: Option<Arc<ClusterSource>>,
    /// The object about it.
    pub object: Option<Record>,
}

/// The clusters that hold anything, or have an object, by name.
///
/// # Errors
/// Those of the store.
pub async fn list(service: &Service) -> Result<Vec<Standing>> {
    let heads = service.store.heads(&service.store.clusters().await?).await?;
    let mut found: Vec<_> = heads.clusters.into_iter().filter(|found| !found.removed).collect();
    let members = service.clusters.fleet().await?.members();
    let names: BTreeSet<String> = found.iter().map(|standing| standing.name.clone()).collect();
    let empty = members.keys().filter(|name| !names.contains(&***name));
    found.extend(empty.map(|name| Standing {
        name: name.to_string(),
        revision: 0,
        removed: false,
        head: Ok(Head::default()),
    }));
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// One cluster.
///
/// # Errors
/// [`Error::NotFound`], and those of the store.
pub async fn describe(service: &Service, name: &str) -> Result<Described> {
    check_name(name)?;
    let revision = service.store.head(name).await?.revision;
    if name != DEFAULT_CLUSTER && !exists(service, name).await? {
        return Err(Error::NotFound(Subject::new("podberth.io", "clusters", name)));
    }
    Ok(Described { revision, source: mirrored::of(service, name).await?, object: object(service, name).await? })
}

/// `true` if a cluster holds anything, or has an object.
///
/// # Errors
/// Those of the store.
pub async fn exists(service: &Service, name: &str) -> Result<bool> {
    let is_there = service.clusters.fleet().await?.member(name).is_some();
    Ok(is_there || service.store.head(name).await?.revision > 0)
}

/// The stored object about a cluster.
async fn object(service: &Service, name: &str) -> Result<Option<Record>> {
    Ok(service.store.get(SYSTEM_CLUSTER, &mirrored::object_key(name)).await?)
}

/// Removes a cluster with all its data, and the object about it.
///
/// # Errors
/// [`Error::NotFound`] if there is none of that name, [`Error::BadRequest`] for the default one.
pub async fn remove(service: &Service, name: &str, dry_run: bool) -> Result<()> {
    check_name(name)?;
    if matches!(name, DEFAULT_CLUSTER | SYSTEM_CLUSTER) {
        let message = format!("the cluster {name:?} cannot be removed: delete what is in it");
        return Err(Error::BadRequest(message));
    }
    let mut is_there = exists(service, name).await?;
    if !dry_run {
        // First: what it mirrors would be written again.
        remove_object(service, name).await?;
        is_there |= service.clusters.remove(name).await?;
    }
    if is_there { Ok(()) } else { Err(Error::NotFound(Subject::new("podberth.io", "clusters", name))) }
}

async fn remove_object(service: &Service, name: &str) -> Result<()> {
    if object(service, name).await?.is_some() {
        let key = mirrored::object_key(name);
        let write = Write { key, precondition: Precondition::default(), change: Change::Delete };
        let call = Call { writes: vec![write], atomicity: Atomicity::AllOrNothing };
        service.clusters.commit(SYSTEM_CLUSTER, call, None).await?;
    }
    Ok(())
}

/// Refuses invalid cluster names.
pub fn check_name(name: &str) -> Result<()> {
    if is_dns_label(name) {
        return Ok(());
    }
    Err(Error::BadRequest(format!(
        "the cluster's name {name:?} must be lower case letters, digits and '-', 63 at most"
    )))
}

/// `true` if a cluster can have that name.
fn is_dns_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}
