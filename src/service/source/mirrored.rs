//! The clusters that mirror live ones, and if a mirror is whole.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    service::{
        Service,
        error::{Error, Result},
    },
    store::{Everywhere, Order, Scan},
    wire::source::{self, ClusterSource, SyncStatus},
};

/// The live clusters that clusters mirror, by cluster.
///
/// # Errors
/// Those of the store.
pub async fn all(service: &Service) -> Result<BTreeMap<Arc<str>, Arc<ClusterSource>>> {
    let Everywhere { found, .. } = service.store.everywhere(source::KIND).await?;
    let mut sources = BTreeMap::new();
    for (cluster, record) in found {
        match record.map_err(Error::from).and_then(|r| ClusterSource::parse(&r.body).map_err(Error::internal)) {
            Ok(source) => drop(sources.insert(cluster.into(), Arc::new(source))),
            Err(error) => tracing::warn!(cluster, %error, "the source of a cluster cannot be read"),
        }
    }
    Ok(sources)
}

/// The live cluster that a cluster mirrors; `None` if it mirrors none.
///
/// # Errors
/// Those of the store.
pub async fn of(service: &Service, cluster: &str) -> Result<Option<Arc<ClusterSource>>> {
    Ok(service.clusters.get(cluster).await?.view().source.clone())
}

/// How far the mirror of a cluster is: as this process knows, or as the process told that mirrors it.
///
/// # Errors
/// Those of the store.
pub async fn status(service: &Service, cluster: &str) -> Result<Option<SyncStatus>> {
    if let Some(own) = service.sources.status(cluster) {
        return Ok(Some(own));
    }
    let scan = Scan { order: Order::NewestFirst, limit: 1, ..Scan::all(cluster, source::STATUS) };
    let told = service.store.scan(&scan).await?.entries.into_iter().next();
    Ok(told.and_then(|entry| serde_json::from_slice(&entry.body).ok()))
}

/// `Ok` if the mirror has been whole within this time.
///
/// # Errors
/// Why decisions cannot be made on it, in one line; or those of the store.
pub async fn is_whole(
    service: &Service,
    cluster: &str,
    now: Timestamp,
    within: Duration,
) -> Result<std::result::Result<(), String>> {
    let as_of = status(service, cluster).await?.and_then(|status| status.as_of());
    let Some(as_of) = as_of else { return Ok(Err("the mirror of the live cluster is not whole yet".into())) };
    let age = Duration::try_from(now.duration_since(as_of)).unwrap_or_default();
    if age > within {
        return Ok(Err(format!("the mirror of the live cluster is {} s old", age.as_secs())));
    }
    Ok(Ok(()))
}
