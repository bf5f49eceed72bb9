//! The clusters that mirror live ones, and if a mirror is whole.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{sleep, timeout};

use crate::{
    service::{
        Service,
        error::{Error, Result},
    },
    store::{Everywhere, Key},
    wire::source::{self, ClusterSource},
};

/// Time after which a cluster that tells nothing is looked at again: it may have been loaded anew.
const LOOKED_AT: Duration = Duration::from_secs(5);

/// Pause after an error.
const AGAIN: Duration = Duration::from_secs(2);

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

/// Resolves when a cluster has another source than this one.
pub async fn changed(service: &Service, cluster: &str, from: Option<&Arc<ClusterSource>>) {
    loop {
        let Ok(live) = service.clusters.get(cluster).await else {
            sleep(AGAIN).await;
            continue;
        };
        let mut progress = live.subscribe();
        if live.view().source.as_ref() != from {
            return;
        }
        if let Ok(Err(_)) = timeout(LOOKED_AT, progress.changed()).await {
            sleep(AGAIN).await;
        }
    }
}

/// Time from an instant to now; zero if the clock of the process that noted the instant is ahead.
pub fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// `Ok` if decisions are made on the mirror, and it has been whole within this time.
///
/// # Errors
/// Why decisions cannot be made on it, in one line.
pub fn is_whole(service: &Service, cluster: &str, now: Timestamp, within: Duration) -> std::result::Result<(), String> {
    if let Some(why) = service.sources.why_stale(cluster, now) {
        return Err(why);
    }
    let Some(as_of) = service.sources.as_of(cluster) else {
        return Err("the mirror of the live cluster is not whole yet".into());
    };
    let age = since(as_of, now);
    if age <= within { Ok(()) } else { Err(format!("the mirror of the live cluster is {} s old", age.as_secs())) }
}

/// The live cluster that a cluster mirrors, as it is stored now.
///
/// # Errors
/// Those of the store.
pub async fn stored(service: &Service, cluster: &str) -> Result<Option<Arc<ClusterSource>>> {
    let Some(record) = service.store.get(cluster, &key()).await? else { return Ok(None) };
    ClusterSource::parse(&record.body).map(|source| Some(Arc::new(source))).map_err(Error::internal)
}

/// The key of a cluster's source.
pub fn key() -> Key {
    Key::new(source::KIND, "", source::NAME)
}
