//! Clusters: their names, their list, what they mirror, their removal.

use std::sync::Arc;

use super::{
    Service,
    error::{Error, Result, Subject},
    source::mirrored,
};
use crate::{
    live::{DEFAULT_CLUSTER, SYSTEM_CLUSTER},
    store::Standing,
    wire::source::ClusterSource,
};

/// A cluster and what it mirrors.
#[derive(Debug)]
pub struct Described {
    /// How many changes it has seen.
    pub revision: u64,
    /// The live cluster that it mirrors.
    pub source: Option<Arc<ClusterSource>>,
}

/// The clusters that hold anything, by name.
///
/// # Errors
/// Those of the store.
pub async fn list(service: &Service) -> Result<Vec<Standing>> {
    let heads = service.store.heads(&service.store.clusters().await?).await?;
    let mut found: Vec<_> = heads.clusters.into_iter().filter(|found| !found.removed).collect();
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
    if revision == 0 && name != DEFAULT_CLUSTER {
        return Err(Error::NotFound(Subject::new("podberth.io", "clusters", name)));
    }
    Ok(Described { revision, source: mirrored::stored(service, name).await? })
}

/// Removes a cluster with all its data.
///
/// # Errors
/// [`Error::NotFound`] if there is none of that name, [`Error::BadRequest`] for the default one.
pub async fn remove(service: &Service, name: &str, dry_run: bool) -> Result<()> {
    check_name(name)?;
    if matches!(name, DEFAULT_CLUSTER | SYSTEM_CLUSTER) {
        let message = format!("the cluster {name:?} cannot be removed: delete what is in it");
        return Err(Error::BadRequest(message));
    }
    let is_there =
        if dry_run { service.store.head(name).await?.revision > 0 } else { service.clusters.remove(name).await? };
    if is_there { Ok(()) } else { Err(Error::NotFound(Subject::new("podberth.io", "clusters", name))) }
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
