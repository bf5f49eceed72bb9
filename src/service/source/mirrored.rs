//! The clusters that mirror live ones, and if a mirror is whole.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    service::{
        Service,
        error::{Error, Result},
    },
    store::Everywhere,
    wire::source::{self, ClusterSource},
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

/// `Ok` if the mirror has been whole within this time.
///
/// # Errors
/// Why decisions cannot be made on it, in one line.
pub fn is_whole(service: &Service, cluster: &str, now: Timestamp, within: Duration) -> std::result::Result<(), String> {
    let Some(as_of) = service.sources.as_of(cluster) else {
        return Err("the mirror of the live cluster is not whole yet".into());
    };
    let age = Duration::try_from(now.duration_since(as_of)).unwrap_or_default();
    if age <= within { Ok(()) } else { Err(format!("the mirror of the live cluster is {} s old", age.as_secs())) }
}
