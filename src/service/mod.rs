//! What is done, whoever asks: deciding, explaining, scheduling, binding, reserving, evicting, importing, policies.
//!
//! Callers (the HTTP API, the command line, a loop under a lease) parse what they are asked, call a function of this
//! module with a [`Service`], and tell its result in their own way. Nothing here knows HTTP.

use std::{sync::Arc, time::Duration};

use crate::{cluster::Clusters, extenders::Extenders, store::Store};

pub mod bind;
pub mod compute;
pub mod context;
pub mod decide;
pub mod error;
pub mod evict;
pub mod explain;
pub mod extenders;
pub mod memory;
pub mod objects;
pub mod policies;
pub mod reserve;
pub mod schedule;
mod volumes;

pub use error::{Error, Result};

/// What every service needs. Clones are the same.
#[derive(Clone, Debug)]
pub struct Service {
    /// The database.
    pub store: Arc<dyn Store>,
    /// What decisions are made on.
    pub clusters: Clusters,
    /// The way out to extenders.
    pub extenders: Extenders,
    /// What is asked of their snapshots.
    pub freshness: Freshness,
}

impl Service {
    /// Services over these clusters and their database.
    pub fn new(clusters: Clusters, freshness: Freshness, extenders: Extenders) -> Self {
        Self { store: clusters.store().clone(), clusters, extenders, freshness }
    }
}

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
