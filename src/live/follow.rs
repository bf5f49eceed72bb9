//! Following a cluster: its newest view, and the next one that is newer.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, watch as channel};

use super::{Cluster, Clusters, Progress, View, WatchError};

/// A cluster that is followed. It counts as a watch, and is not released.
#[derive(Debug)]
pub struct Follow {
    clusters: Clusters,
    name: String,
    cluster: Arc<Cluster>,
    progress: channel::Receiver<Progress>,
    /// `true` once the server stops.
    stop: channel::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
}

impl Clusters {
    /// Begins to follow a cluster.
    ///
    /// # Errors
    /// [`WatchError`]
    pub async fn follow(&self, name: &str) -> Result<Follow, WatchError> {
        let (permit, stop) = self.registry.admit_watch(self.limits.watches.most)?;
        let cluster = match self.followed(name) {
            Some(cluster) => cluster,
            None => self.keep(name).await?,
        };
        let progress = cluster.subscribe();
        Ok(Follow { clusters: self.clone(), name: name.to_owned(), cluster, progress, stop, _permit: permit })
    }
}

impl Follow {
    /// The newest view.
    pub fn view(&self) -> Arc<View> {
        self.cluster.view()
    }

    /// `true` if there will be no newer view: the server stops, or the cluster is not kept any more.
    pub fn is_over(&self) -> bool {
        let is_kept = || self.clusters.followed(&self.name).is_some_and(|kept| Arc::ptr_eq(&kept, &self.cluster));
        *self.stop.borrow() || !is_kept()
    }

    /// A view of another revision, once there is one; `None` at the end. If the future is dropped, nothing is lost.
    pub async fn other_than(&mut self, revision: u64) -> Option<Arc<View>> {
        loop {
            self.progress.mark_unchanged();
            if self.is_over() {
                return None;
            }
            let view = self.view();
            if view.snapshot.revision != revision {
                return Some(view);
            }
            tokio::select! {
                changed = self.progress.changed() => changed.ok()?,
                // An error says that the server is gone.
                stopped = self.stop.changed() => stopped.ok()?,
            }
        }
    }
}
