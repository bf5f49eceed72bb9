//! What every handler shares.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use metrics_exporter_prometheus::PrometheusHandle;

use super::check::Check;
use crate::{cluster::Clusters, extenders::Extenders, service::Service};

pub use crate::service::Freshness;

/// Handed to every handler; cloning it costs one reference count.
#[derive(Clone, Debug)]
pub struct AppState(Arc<Shared>);

/// The contents of [`AppState`].
#[derive(Debug)]
pub struct Shared {
    service: Service,
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
        let service = Service::new(clusters, freshness, extenders);
        Self(Arc::new(Shared { service, checks, metrics, stopping: AtomicBool::new(false) }))
    }
}

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl std::ops::Deref for Shared {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
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
