//! What every handler shares.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use metrics_exporter_prometheus::PrometheusHandle;

use super::health::Check;
use crate::{cluster::Clusters, extenders::Extenders, store::Store};

/// Handed to every handler; cloning it costs one reference count.
#[derive(Clone, Debug)]
pub struct AppState(Arc<Shared>);

/// What is asked of the snapshot that a reply stands on.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// How long ago it may have been known to hold everything that the database has.
    pub max_staleness: Duration,
    /// How long to wait for it to reach a revision that a request asks for.
    pub max_wait: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { max_staleness: Duration::from_secs(30), max_wait: Duration::from_secs(5) }
    }
}

/// The contents of [`AppState`].
#[derive(Debug)]
pub struct Shared {
    /// The database.
    pub store: Arc<dyn Store>,
    /// What decisions are made on.
    pub clusters: Clusters,
    /// The way out to extenders.
    pub extenders: Extenders,
    /// What is asked of their snapshots.
    pub freshness: Freshness,
    /// What must hold for this process to be ready, in the order it is told.
    pub checks: Vec<Check>,
    /// Renders what the process has measured.
    pub metrics: PrometheusHandle,
    /// Whether the process is going away: not ready any more, while it still answers.
    stopping: AtomicBool,
}

impl AppState {
    /// The state of a process that is up and calls no extender.
    pub fn new(clusters: Clusters, freshness: Freshness, checks: Vec<Check>, metrics: PrometheusHandle) -> Self {
        Self::with_extenders(clusters, freshness, checks, metrics, Extenders::default())
    }

    /// The state of a process that is up.
    pub fn with_extenders(
        clusters: Clusters,
        freshness: Freshness,
        checks: Vec<Check>,
        metrics: PrometheusHandle,
        extenders: Extenders,
    ) -> Self {
        let (store, stopping) = (clusters.store().clone(), AtomicBool::new(false));
        Self(Arc::new(Shared { store, clusters, extenders, freshness, checks, metrics, stopping }))
    }
}

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Shared {
    /// Says that the process is going away, so that no new traffic is sent here.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
