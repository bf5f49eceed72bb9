//! Placement over many clusters: which of them take how many replicas of a workload.
//!
//! One engine works at two levels. The node engine ([`crate::cycle`], [`crate::batch`]) answers how many replicas a cluster has room for; the rules here
//! judge [`Cluster`]s as predicates and priorities judge nodes, and divide the replicas among those selected.
//!
//! # The cluster
//!
//! [`Cluster`] is what all of them read: name, labels, provider, region, zones, taints, served kinds, conditions, lag of the mirror, prices, nodes that its
//! autoscaler could add, and its deletion. The stored object is `podberth.io/v1` Cluster, `crates/wire` reads it; what the server knows
//! by itself (`Ready`, `Synced`, the lag) is filled in by the service. A cluster without an object is [`Cluster::named`]: nothing but a name,
//! and no rule rejects it for what nobody told, but for those that ask for it (a spread by region, an affinity).
//!
//! # Facts that are absent
//!
//! - No region, provider or zone: it takes part in no spread by them.
//! - No list of kinds ([`Apis::Untold`]): every kind is taken for served.
//! - No condition of a type: it is not held against the cluster.
//! - No price: it is the dearest. No node templates: it cannot grow.
//!
//! Source: `karmada/pkg/scheduler/core`, `karmada/pkg/scheduler/framework/plugins`, `karmada/pkg/util/helper/binding.go`.

mod api_enablement;
mod capacity;
mod cluster;
mod cluster_affinity;
mod cluster_eviction;
mod cluster_locality;
mod cluster_ready;
mod cluster_spread;
mod cluster_taint;
mod cost;
pub mod count;
mod deleting;
mod divide;
pub mod estimate;
pub mod failover;
mod fits_without_preemption;
mod groups;
mod place;
mod request;
mod scale_up_needed;
mod select;
mod selected;
mod skew;
mod webster;

use std::sync::Arc;

use crate::model::Name;

pub use cluster::{Apis, Cluster, Condition, Cost, NodeTemplate};
pub use place::{Outcome, Ranked, Reason, Rejected, Share, place};
pub use request::{Affinity, Division, Field, Live, Ranking, Request, Spread, SpreadBy, Term, Terms};

/// The highest score of a cluster by one priority; the lowest is 0.
pub const MAX_CLUSTER_SCORE: i64 = 100;

/// Every rule for clusters: predicates in the order in which their reasons are told, then priorities. [`capacity`] is both.
pub static ALL: &[Registration] = &[
    deleting::REGISTRATION,
    cluster_ready::REGISTRATION,
    cluster_affinity::REGISTRATION,
    cluster_taint::REGISTRATION,
    api_enablement::REGISTRATION,
    cluster_spread::REGISTRATION,
    cluster_eviction::REGISTRATION,
    cluster_locality::REGISTRATION,
    capacity::REGISTRATION,
    fits_without_preemption::REGISTRATION,
    scale_up_needed::REGISTRATION,
    cost::REGISTRATION,
];

/// A line of the registry.
#[derive(Clone, Copy, Debug)]
pub struct Registration {
    /// The name that users know.
    pub name: &'static str,
    /// Its sort.
    pub rule: Rule,
    /// The source file of the rule, from whose `//!` lines [`Self::documentation`] is read.
    pub source: &'static str,
}

/// A rule for clusters.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// Rules clusters out.
    Predicate(Rejects),
    /// Scores clusters.
    Priority(Scores),
}

/// The reason why a cluster is ruled out, if it is.
type Rejects = fn(&Judged<'_>) -> Option<String>;
/// The score of each cluster, 0..=[`MAX_CLUSTER_SCORE`].
type Scores = fn(&Request, &[&Candidate]) -> Vec<i64>;

const fn predicate(name: &'static str, source: &'static str, rejects: Rejects) -> Registration {
    Registration { name, rule: Rule::Predicate(rejects), source }
}

const fn priority(name: &'static str, source: &'static str, scores: Scores) -> Registration {
    Registration { name, rule: Rule::Priority(scores), source }
}

impl Registration {
    /// `ClusterPredicate` or `ClusterPriority`.
    pub fn kind(&self) -> &'static str {
        match self.rule {
            Rule::Predicate(_) => "ClusterPredicate",
            Rule::Priority(_) => "ClusterPriority",
        }
    }

    /// The rule's documentation: the `//!` lines at the head of its file, as Markdown.
    pub fn documentation(&self) -> String {
        crate::rule::documentation(self.source)
    }
}

/// The names of all priorities.
pub fn priorities() -> impl Iterator<Item = &'static str> {
    ALL.iter().filter(|of| matches!(of.rule, Rule::Priority(_))).map(|of| of.name)
}

/// The priority of this name.
fn find_priority(name: &str) -> Option<Scores> {
    ALL.iter().find_map(|of| match of.rule {
        Rule::Priority(scores) if of.name == name => Some(scores),
        _ => None,
    })
}

/// A cluster, and what is known of its room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// Room for further replicas.
    pub room: Room,
    /// The price of one replica for an hour, in billionths; `None` if it is not told.
    pub price: Option<i128>,
}

/// Replicas that a cluster takes besides those of the last answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// On nodes that are there, without evictions; `None` if nobody knows, which counts as room for all.
    pub on_existing: Option<i64>,
    /// Further ones for which other pods would be evicted.
    pub by_preemption: i64,
    /// Further ones on nodes that would be added.
    pub after_scale_up: i64,
}

impl Candidate {
    /// Replicas that it takes besides those of the last answer; all of them where nobody knows.
    pub fn free(&self, replicas: i64) -> i64 {
        self.rooms(replicas).into_iter().fold(0, i64::saturating_add)
    }

    /// Those replicas by source of the room.
    fn rooms(&self, replicas: i64) -> [i64; 3] {
        let Room { on_existing, by_preemption, after_scale_up } = self.room;
        match on_existing {
            _ if replicas == 0 => [0; 3],
            None => [replicas, 0, 0],
            Some(free) => [free, after_scale_up, by_preemption],
        }
    }
}

/// A cluster under judgement.
pub struct Judged<'a> {
    /// The request.
    request: &'a Request,
    /// Its clusters.
    scope: Scope<'a>,
    /// The cluster.
    cluster: &'a Cluster,
}

impl Judged<'_> {
    /// `true` if the cluster was in the last answer.
    fn was_chosen(&self) -> bool {
        self.request.previous_of(&self.cluster.name).is_some()
    }
}

/// Clusters that may be used, in groups.
#[derive(Clone, Copy, Debug)]
struct Scope<'a> {
    affinity: &'a Affinity,
    overflow: &'a [Affinity],
}

impl Scope<'_> {
    /// The first group to which the cluster belongs; `None` for none.
    fn tier(self, cluster: &Cluster) -> Option<usize> {
        std::iter::once(self.affinity).chain(self.overflow).position(|affinity| {
            crate::work::spend(affinity.cost());
            affinity.matches(cluster)
        })
    }
}

/// A part of a whole as a score; all of nothing is the highest.
fn part(part: i64, whole: i64) -> i64 {
    if whole <= 0 { MAX_CLUSTER_SCORE } else { part.clamp(0, whole).saturating_mul(MAX_CLUSTER_SCORE) / whole }
}

/// A score with the priority that gave it.
type Scored = (Name, i64);

#[cfg(test)]
mod tests;
