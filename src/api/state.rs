//! The state shared by all handlers.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use metrics_exporter_prometheus::PrometheusHandle;

use super::{check::Check, passing::Passing};
use crate::{
    extenders::Extenders,
    live::Clusters,
    origin::TrustedProxies,
    service::{Freshness, Service, access::authenticate::Authenticator, audit::Audit},
};

/// Handed to every handler; cloning it costs one reference count.
///
/// It is behind a trait for the compiler alone, which proves for each handler several times that its state may be sent to another thread. Without the
/// trait that proof goes through all types that a cluster consists of, and took a tenth of the crate's build.
#[derive(Clone, Debug)]
pub struct AppState(Arc<dyn Held>);

/// The contents of an [`AppState`], behind the trait.
trait Held: Debug + Send + Sync {
    fn shared(&self) -> &Shared;
}

impl Held for Shared {
    fn shared(&self) -> &Shared {
        self
    }
}

/// The manner in which a process is asked.
#[derive(Debug, Default)]
pub struct Manner {
    /// The URL at which others reach the server, without a slash at its end; `None`: the host that each request names.
    pub public_url: Option<String>,
    /// The ways by which users are known; `None` where nobody is asked who they are.
    pub authenticator: Option<Authenticator>,
    /// The proxies that tell the address of a client.
    pub proxies: TrustedProxies,
    /// The record of requests; `None` where there is none.
    pub audit: Option<Audit>,
    /// The way to the other replicas; `None` where all requests are answered here.
    pub passing: Option<Passing>,
}

/// The contents of [`AppState`].
#[derive(Debug)]
pub struct Shared {
    service: Service,
    /// The readiness checks, in the order of the reply.
    pub checks: Vec<Check>,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// Its manner of being asked.
    pub manner: Manner,
    /// `true` while the process is stopping: not ready any more, but still answering.
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
        Self::of(Service::new(clusters, freshness, extenders), checks, metrics)
    }

    /// The state of a process with these services.
    pub fn of(service: Service, checks: Vec<Check>, metrics: PrometheusHandle) -> Self {
        Self::asked(Manner::default(), service, checks, metrics)
    }

    /// The state of a process with these services, which is asked in this manner.
    pub fn asked(manner: Manner, service: Service, checks: Vec<Check>, metrics: PrometheusHandle) -> Self {
        Self(Arc::new(Shared { service, checks, metrics, manner, stopping: AtomicBool::new(false) }))
    }
}

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        self.0.shared()
    }
}

impl std::ops::Deref for Shared {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl Shared {
    /// Marks the process as stopping, so that it gets no new traffic.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// `true` after [`Self::stop`].
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
