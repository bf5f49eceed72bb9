//! The clusters that mirror live ones: those of the settings are stored, so that every process on the database knows them.
//!
//! A source stays stored when it is no longer in the settings, since other processes may have it in theirs: `PUT /clusters/{name}` ends a mirror.

use std::collections::BTreeMap;

use super::Error;
use crate::{
    api::check::Check,
    config::Settings,
    features,
    service::{
        Service,
        source::{configure, mirrored},
    },
    wire::source::ClusterSource,
};

/// The live clusters of the settings, by the clusters that mirror them.
pub(super) fn configured(settings: &Settings) -> Result<BTreeMap<String, ClusterSource>, Error> {
    let sources = settings.sync.sources(settings.clusters.as_ref()).map_err(Error::Sync)?;
    if !sources.is_empty() {
        features::built_in("sync").map_err(Error::Sync)?;
    }
    Ok(sources)
}

/// Stores those that are not stored so, and has readiness wait for every mirror that there is.
pub(super) async fn store(service: &Service, sources: &BTreeMap<String, ClusterSource>) -> Result<(), Error> {
    for (cluster, source) in sources {
        let stored = configure::configure(service, cluster, source).await;
        stored
            .map_err(|error| Error::Sync(format!("the source of the cluster {cluster:?} cannot be stored: {error}")))?;
        tracing::info!(cluster, source = source.title(), "the cluster mirrors a live one");
    }
    let sources = mirrored::all(service).await.map_err(|error| Error::Sync(error.to_string()))?;
    service.sources.await_whole(sources.into_keys().map(|cluster| cluster.to_string()));
    Ok(())
}

/// The readiness check: each mirror that this process makes was whole once. Health is told to everybody: names of clusters and kinds, and the words
/// of API servers, only where nobody is asked who they are (`is_open`).
pub(super) fn check(service: &Service, is_open: bool) -> Check {
    let (sources, remarks) = (service.sources.clone(), service.sources.clone());
    let told =
        move |why: String, what: &str| if is_open { why } else { format!("{what}: GET /clusters/NAME tells why") };
    Check::new("sync", move || {
        let unready = sources.unready().map(|why| told(why, "a mirror is not whole yet"));
        async move { unready.map_or(Ok(()), Err) }
    })
    .with_remark(move || remarks.troubles().map(|why| told(why, "a mirror does not go on at the moment")))
}
