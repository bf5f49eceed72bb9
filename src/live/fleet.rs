//! The Cluster objects of all clusters, which are those of the cluster [`SYSTEM_CLUSTER`].
//!
//! They tell what each cluster mirrors, so every published [`View`] has a way to them. Its writer puts the system cluster's own here at each
//! publication; [`Clusters::fleet`] loads it, and it stays loaded.

use std::sync::Arc;

use arc_swap::ArcSwap;
use imbl::OrdMap;

use super::{Clusters, SYSTEM_CLUSTER, View};
use crate::{
    core::model::Name,
    store::{Record, StoreError},
    wire::objects::member_cluster::Member,
};

/// Cluster objects by name.
pub type Members = OrdMap<Name, Arc<Member>>;

/// The newest Cluster objects of this process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Fleet(Arc<ArcSwap<Members>>);

impl Fleet {
    /// All of them.
    pub fn members(&self) -> Arc<Members> {
        self.0.load_full()
    }

    /// The object about a cluster.
    pub fn member(&self, cluster: &str) -> Option<Arc<Member>> {
        self.0.load().get(cluster).cloned()
    }
}

/// The cluster that a view is of, and the way to the object about it.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    cluster: Name,
    fleet: Fleet,
}

impl Place {
    pub(super) fn new(cluster: &str, fleet: &Fleet) -> Self {
        Self { cluster: cluster.into(), fleet: fleet.clone() }
    }

    /// The object about the cluster.
    pub(super) fn member(&self) -> Option<Arc<Member>> {
        self.fleet.member(&self.cluster)
    }

    /// The view to be published.
    pub(super) fn publishes(&self, view: &View) -> View {
        if *self.cluster == *SYSTEM_CLUSTER {
            self.fleet.0.store(Arc::new(view.members().clone()));
        }
        view.at(self)
    }
}

impl Clusters {
    /// The Cluster objects. They are loaded at the first call, and followed from then on.
    ///
    /// # Errors
    /// Those of the store, while they cannot be loaded.
    pub async fn fleet(&self) -> Result<&Fleet, StoreError> {
        self.get(SYSTEM_CLUSTER).await?;
        Ok(self.registry.fleet())
    }
}

/// The object in a record; `None` for a tombstone. One that cannot be read mirrors nothing, and nothing is known of its cluster.
pub(super) fn read(record: &Record) -> Option<Arc<Member>> {
    if record.deleted {
        return None;
    }
    let member = Member::parse(&record.body);
    let member = member.inspect_err(|error| {
        tracing::error!(cluster = record.key.name, error, "a stored Cluster object cannot be read");
    });
    member.ok().map(Arc::new)
}
