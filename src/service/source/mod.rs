//! Live clusters as their mirrors' services see them: the API server that takes requests, and how far the mirror is.
//!
//! A cluster mirrors a live one if its view has a [`ClusterSource`]. What knows Kubernetes' transport and credentials (the room `sync`) is handed in
//! as a [`Connector`]; everything here is about requests and replies.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{
    features, telemetry,
    wire::source::{ClusterSource, SyncStatus},
};

pub mod configure;
pub mod guard;
pub mod lag;
pub mod lease;
pub mod mirrored;
pub mod naming;
pub mod requests;
mod rooms;

/// Requests that change something, under way at a time per cluster.
const MOST_UNDER_WAY: usize = 64;

/// Clusters whose mirrors `/metrics` lists.
const MOST_LISTED: usize = 100;

/// Connects to live clusters.
#[async_trait]
pub trait Connector: Debug + Send + Sync {
    /// A client for the API server of a source. Nothing is sent yet.
    ///
    /// # Errors
    /// Why its credentials cannot be used, in one line that shows none of them.
    async fn connect(&self, source: &ClusterSource) -> Result<Arc<dyn ApiServer>, String>;
}

/// The API server of a live cluster.
#[async_trait]
pub trait ApiServer: Debug + Send + Sync {
    /// Sends a request with the credentials of the source, and reads the whole reply.
    ///
    /// # Errors
    /// Why there is no reply: whether the request was carried out is not known.
    async fn send(&self, request: ApiRequest) -> Result<ApiReply, String>;
}

/// A request to an API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiRequest {
    /// `GET`, `POST`, `PATCH`, `DELETE`.
    pub method: &'static str,
    /// The path with its query, as in `/api/v1/namespaces/shop/pods/web/binding`.
    pub path: String,
    /// The type of the body; empty where there is none.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

/// The reply of an API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiReply {
    /// The HTTP status.
    pub code: u16,
    /// The time of the header `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The body: an object, or a `Status`.
    pub body: Bytes,
}

/// The live clusters that this process can reach. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Sources(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    connector: Option<Arc<dyn Connector>>,
    /// By cluster.
    connected: Mutex<BTreeMap<String, Connected>>,
    /// By cluster.
    statuses: Mutex<BTreeMap<String, SyncStatus>>,
    /// Notified of each status that is told.
    told: watch::Sender<()>,
    /// Turns of requests that change something, by cluster.
    turns: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    /// The clusters for whose first whole mirror this process waits.
    awaited: Mutex<BTreeSet<String>>,
    /// The lag beyond which nothing is decided.
    max_lag: OnceLock<Duration>,
    /// Room that is being made for pods.
    rooms: rooms::Rooms,
}

#[derive(Debug)]
struct Connected {
    source: Arc<ClusterSource>,
    server: Arc<dyn ApiServer>,
}

impl Sources {
    /// The room that is being made for pods of all mirrored clusters.
    pub(in crate::service) fn rooms(&self) -> &rooms::Rooms {
        &self.0.rooms
    }

    /// Live clusters that are reached by a connector.
    pub fn by(connector: Arc<dyn Connector>) -> Self {
        Self(Arc::new(Shared { connector: Some(connector), ..Shared::default() }))
    }

    /// `true` if this process reaches live clusters.
    pub fn are_reached(&self) -> bool {
        self.0.connector.is_some()
    }

    /// The API server of a cluster's source. One client serves all requests.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub async fn server(&self, cluster: &str, source: &Arc<ClusterSource>) -> Result<Arc<dyn ApiServer>, String> {
        if let Some(found) = lock(&self.0.connected).get(cluster).filter(|found| found.source == *source) {
            return Ok(found.server.clone());
        }
        let Some(connector) = &self.0.connector else {
            return Err(features::built_in("sync")
                .err()
                .unwrap_or_else(|| "this process reaches no live clusters".into()));
        };
        let server = connector.connect(source).await?;
        let connected = Connected { source: source.clone(), server: server.clone() };
        lock(&self.0.connected).insert(cluster.to_owned(), connected);
        Ok(server)
    }

    /// Waits for a turn to change something through a cluster's API server.
    ///
    /// # Errors
    /// Never: turns do not end.
    pub async fn turn(&self, cluster: &str) -> Result<OwnedSemaphorePermit, String> {
        let turns = {
            let mut all = lock(&self.0.turns);
            all.entry(cluster.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(MOST_UNDER_WAY))).clone()
        };
        turns.acquire_owned().await.map_err(|error| error.to_string())
    }

    /// Notes how far the mirror of a cluster is.
    pub fn tell(&self, cluster: &str, status: SyncStatus) {
        lock(&self.0.statuses).insert(cluster.to_owned(), status);
        self.0.told.send_replace(());
    }

    /// A receiver that is notified of every status that is told.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.0.told.subscribe()
    }

    /// The lag and the objects of each kind, as lines of `/metrics`.
    pub fn metrics(&self, now: Timestamp) -> String {
        let statuses = lock(&self.0.statuses);
        let kinds = statuses.iter().take(MOST_LISTED).flat_map(|(cluster, status)| {
            status.kinds.iter().map(move |(kind, status)| telemetry::Mirrored {
                cluster,
                kind,
                lag: status.as_of.map(|as_of| now.duration_since(as_of).as_secs_f64().max(0.0)),
                objects: status.objects,
            })
        });
        telemetry::mirrors(kinds)
    }

    /// Forgets the mirrors of other clusters.
    pub fn retain(&self, is_mirror: impl Fn(&str) -> bool) {
        lock(&self.0.statuses).retain(|cluster, _| is_mirror(cluster));
        lock(&self.0.connected).retain(|cluster, _| is_mirror(cluster));
        lock(&self.0.turns).retain(|cluster, _| is_mirror(cluster));
        lock(&self.0.awaited).retain(|cluster| is_mirror(cluster));
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change of it is one insertion.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
