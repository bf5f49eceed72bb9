//! The clusters that mirror live ones, and if a mirror is whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::{sleep, timeout};

use crate::{
    live::SYSTEM_CLUSTER,
    service::{
        Service,
        error::{Error, Result},
    },
    store::{Everywhere, Key, ListQuery, Storage, Store, StoreError},
    wire::{
        objects::member_cluster::{self, Member},
        source::{self, ClusterSource},
    },
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
    let members = service.clusters.fleet().await?.members();
    let mut sources = earlier(service).await?;
    sources.retain(|cluster, _| !members.contains_key(&**cluster));
    let own = members.iter().filter_map(|(name, member)| Some((name.to_string().into(), member.source.clone()?)));
    sources.extend(own);
    Ok(sources)
}

/// Those that an earlier release has stored in the clusters themselves.
async fn earlier(service: &Service) -> Result<BTreeMap<Arc<str>, Arc<ClusterSource>>> {
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

/// The live cluster that a cluster mirrors, as an earlier release has stored it in the cluster itself.
///
/// # Errors
/// Those of the store.
pub async fn earlier_of(service: &Service, cluster: &str) -> Result<Option<ClusterSource>> {
    let Some(record) = service.store.get(cluster, &key()).await? else { return Ok(None) };
    ClusterSource::parse(&record.body).map(Some).map_err(Error::internal)
}

/// The clusters that mirror live ones, by the store alone.
///
/// # Errors
/// Those of the store.
pub async fn names(store: &dyn Storage) -> std::result::Result<BTreeSet<String>, StoreError> {
    let objects = store.list(SYSTEM_CLUSTER, &ListQuery::all(member_cluster::KIND)).await?.items;
    let (mut told, mut mirrors) = (BTreeSet::new(), BTreeSet::new());
    for record in objects {
        let name = record.key.name;
        if mirrors_by(&record.body) {
            mirrors.insert(name.clone());
        }
        told.insert(name);
    }
    let earlier = store.everywhere(source::KIND).await?.found.into_iter().map(|(cluster, _)| cluster);
    mirrors.extend(earlier.filter(|cluster| !told.contains(cluster)));
    Ok(mirrors)
}

/// `true` if a cluster mirrors a live one, by the store alone.
///
/// # Errors
/// Those of the store.
pub async fn is_mirror(store: &dyn Store, cluster: &str) -> std::result::Result<bool, StoreError> {
    match store.get(SYSTEM_CLUSTER, &object_key(cluster)).await? {
        Some(object) => Ok(mirrors_by(&object.body)),
        None => Ok(store.get(cluster, &key()).await?.is_some()),
    }
}

/// `true` if a Cluster object names a source. One that cannot be read may.
fn mirrors_by(body: &[u8]) -> bool {
    Member::parse(body).map_or(true, |member| member.source.is_some())
}

/// The live cluster that a cluster mirrors; `None` if it mirrors none.
///
/// # Errors
/// Those of the store.
pub async fn of(service: &Service, cluster: &str) -> Result<Option<Arc<ClusterSource>>> {
    match service.clusters.fleet().await?.member(cluster) {
        Some(member) => Ok(member.source.clone()),
        None => Ok(service.clusters.get(cluster).await?.view().source()),
    }
}

/// Resolves when a cluster has another source than this one.
pub async fn changed(service: &Service, cluster: &str, from: Option<&Arc<ClusterSource>>) {
    loop {
        let (live, system) = tokio::join!(service.clusters.get(cluster), service.clusters.get(SYSTEM_CLUSTER));
        let (Ok(live), Ok(system)) = (live, system) else {
            sleep(AGAIN).await;
            continue;
        };
        let (mut own, mut told) = (live.subscribe(), system.subscribe());
        if live.view().source().as_ref() != from {
            return;
        }
        let changed = async {
            tokio::select! {
                changed = own.changed() => changed,
                changed = told.changed() => changed,
            }
        };
        if let Ok(Err(_)) = timeout(LOOKED_AT, changed).await {
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

/// The key of a cluster's object, in the system cluster.
pub fn object_key(cluster: &str) -> Key {
    Key::new(member_cluster::KIND, "", cluster)
}

/// The key of a cluster's source as earlier releases have stored it, in the cluster itself.
pub fn key() -> Key {
    Key::new(source::KIND, "", source::NAME)
}
