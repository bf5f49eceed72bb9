//! The operations of Podberth, for all callers: the extender verbs, explaining, scheduling, binding, reserving, evicting, stored objects, importing,
//! policies.
//!
//! Callers (the HTTP API, the command line, a loop under a lease) parse a request, call a function of this module with a [`Service`], and render the
//! result in their own form. Nothing here knows HTTP.

use std::{sync::Arc, time::Duration};

use crate::{extenders::Extenders, live::Clusters, store::Storage};

pub mod access;
pub mod audit;
pub mod autoscale;
pub mod bind;
pub mod clusters;
pub mod compute;
pub mod context;
pub mod decide;
pub mod decisions;
pub mod error;
pub mod evict;
pub mod explain;
pub mod extenders;
pub mod fields;
pub mod filter;
pub mod fit;
pub mod forks;
pub mod import;
pub mod lead;
pub mod lifecycle;
pub mod limits;
pub mod memory;
pub mod objects;
pub mod overview;
pub mod past;
pub mod pending;
pub mod placements;
pub mod policies;
pub mod policy_diff;
pub mod preempt;
pub mod prioritize;
pub mod replay;
pub mod replicas;
pub mod reserve;
pub mod scenario;
pub mod schedule;
pub mod scheduler;
pub mod simulate;
pub mod source;
mod stopwatch;
pub mod supervised;
pub mod verbs;

/// The shared state of all services. Clones share it.
#[derive(Clone, Debug)]
pub struct Service {
    /// The database.
    pub store: Arc<dyn Storage>,
    /// The live clusters.
    pub clusters: Clusters,
    /// The extenders.
    pub extenders: Extenders,
    /// The demands on their snapshots.
    pub freshness: Freshness,
    /// The rules for what clients write.
    pub admission: objects::AdmissionMode,
    /// Turns of creations in namespaces with quotas.
    pub quota_turns: objects::Turns,
    /// Turns of writes that others were ahead of.
    pub object_turns: objects::Turns,
    /// The live clusters that clusters mirror.
    pub sources: source::Sources,
    /// The record of decisions.
    pub decisions: decisions::Log,
    /// The replicas that share the clusters.
    pub replicas: replicas::Replicas,
}

impl Service {
    /// Services over these clusters and their database, under which every write is a fact.
    pub fn new(clusters: Clusters, freshness: Freshness, extenders: Extenders) -> Self {
        Self {
            store: clusters.store().clone(),
            clusters,
            extenders,
            freshness,
            admission: objects::AdmissionMode::default(),
            quota_turns: objects::Turns::default(),
            object_turns: objects::Turns::default(),
            sources: source::Sources::default(),
            decisions: decisions::Log::default(),
            replicas: replicas::Replicas::default(),
        }
    }
}

/// The demands on the snapshot of a reply.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// How long ago it may have been known to hold everything that the database has.
    pub max_staleness: Duration,
    /// Longest wait for a revision that a request demands.
    pub max_wait: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { max_staleness: Duration::from_secs(30), max_wait: Duration::from_secs(5) }
    }
}
