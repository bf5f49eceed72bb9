//! One placement: filter, order, selection, division; term after term.
//!
//! Source: `karmada/pkg/scheduler/core/generic_scheduler.go` (`Schedule`), `karmada/pkg/scheduler/scheduler.go`
//! (`scheduleResourceBindingWithClusterAffinities`).

use super::{
    ALL, Candidate, Division, Judged, Ranking, Request, Rule, Scope, Scored, Terms, capacity, deleting,
    divide::divide,
    find_priority,
    select::select,
    selected::{Selected, in_order},
};
use crate::{model::Name, work};

/// Why nothing was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No cluster passes the filter.
    NoClusterFits,
    /// Fewer clusters pass it than the spread wants.
    TooFewClusters,
    /// They are in fewer regions than the spread wants.
    TooFewRegions,
    /// No set of regions that is allowed has enough clusters.
    RegionsTooSmall,
    /// They have fewer values of the label than the spread wants.
    TooFewGroups,
    /// No set of values of the label that is allowed has enough clusters.
    GroupsTooSmall,
    /// The clusters have too little room.
    InsufficientReplicas,
}

impl Reason {
    /// Its name in replies.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoClusterFits => "NoClusterFits",
            Self::TooFewClusters => "TooFewClusters",
            Self::TooFewRegions => "TooFewRegions",
            Self::RegionsTooSmall => "RegionsTooSmall",
            Self::TooFewGroups => "TooFewGroups",
            Self::GroupsTooSmall => "GroupsTooSmall",
            Self::InsufficientReplicas => "InsufficientReplicas",
        }
    }
}

/// A rule that rejects a cluster, and its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The cluster.
    pub cluster: Name,
    /// The rules, each with its reason. Never empty.
    pub reasons: Vec<(&'static str, String)>,
}

/// Replicas for a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The cluster.
    pub cluster: Name,
    /// How many it gets, with those that it keeps.
    pub replicas: i64,
}

/// The place of a cluster in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// The cluster.
    pub cluster: Name,
    /// The score of each priority that takes part.
    pub scores: Vec<Scored>,
    /// The sum by which it is ordered; of a tree the score of its first priority.
    pub score: i64,
}

/// The answer to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Replicas by cluster.
    pub shares: Vec<Share>,
    /// Replicas without a place.
    pub unplaced: i64,
    /// Why nothing was placed, or not all.
    pub reason: Option<Reason>,
    /// The term that decided.
    pub term: Option<Name>,
    /// Clusters that do not pass the filter.
    pub rejected: Vec<Rejected>,
    /// Clusters that pass it, in their order.
    pub ranked: Vec<Ranked>,
    /// Those of them that took part in the division.
    pub selected: Vec<Name>,
}

/// Places the replicas. The order of the candidates has no meaning.
pub fn place(request: &Request, candidates: &[Candidate]) -> Outcome {
    let whole = Request { partial: false, ..request.clone() };
    let outcome = in_terms(&whole, candidates);
    if request.partial && outcome.reason == Some(Reason::InsufficientReplicas) {
        return in_terms(request, candidates);
    }
    outcome
}

/// Tries one term after the other. Where all fail the answer is that of the first one.
fn in_terms(request: &Request, candidates: &[Candidate]) -> Outcome {
    let (terms, observed) = match &request.affinity {
        Terms::One(affinity) => return within(request, Scope { affinity, overflow: &[] }, candidates),
        Terms::InOrder { terms, observed } => (terms, observed.as_ref().filter(|_| !request.fresh)),
    };
    let begin = observed.and_then(|name| terms.iter().position(|term| term.name == *name)).unwrap_or(0);
    let mut first = None;
    for term in &terms[begin..] {
        // Objects without replicas need no room, so nothing overflows.
        let overflow = if request.replicas > 0 { &*term.overflow } else { &[] };
        let outcome = within(request, Scope { affinity: &term.affinity, overflow }, candidates);
        if outcome.reason.is_none() || request.partial && !outcome.shares.is_empty() {
            return Outcome { term: Some(term.name.clone()), ..outcome };
        }
        first.get_or_insert(outcome);
    }
    first.unwrap_or_default()
}

fn within(request: &Request, scope: Scope<'_>, candidates: &[Candidate]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut fitting = Vec::new();
    for candidate in candidates {
        work::spend(1);
        let reasons = reasons(request, scope, candidate);
        if reasons.is_empty() {
            fitting.push(candidate);
        } else {
            outcome.rejected.push(Rejected { cluster: candidate.cluster.name.clone(), reasons });
        }
    }
    outcome.rejected.sort_by(|one, other| one.cluster.cmp(&other.cluster));
    match shares(request, scope, &fitting, &mut outcome) {
        Ok(shares) => {
            let placed: i64 = shares.iter().map(|(_, replicas)| replicas).sum();
            let is_counted = request.division != Division::Duplicated;
            outcome.unplaced = if is_counted { (request.replicas - placed).max(0) } else { 0 };
            outcome.reason = (outcome.unplaced > 0).then_some(Reason::InsufficientReplicas);
            outcome.shares = shares.into_iter().map(|(cluster, replicas)| Share { cluster, replicas }).collect();
        }
        Err(reason) => {
            outcome.unplaced = request.replicas;
            outcome.reason = Some(reason);
        }
    }
    outcome
}

/// The rules that reject a cluster. One that is being deleted is not judged by others.
fn reasons(request: &Request, scope: Scope<'_>, candidate: &Candidate) -> Vec<(&'static str, String)> {
    let judged = Judged { request, scope, cluster: &candidate.cluster };
    if let Some(why) = deleting::rejects(&judged) {
        return vec![(deleting::NAME, why)];
    }
    let predicates = ALL.iter().filter_map(|of| match of.rule {
        Rule::Predicate(rejects) => Some((of.name, rejects(&judged)?)),
        Rule::Priority(_) => None,
    });
    let capacity = capacity::rejects(request, candidate).map(|why| (capacity::NAME, why));
    predicates.chain(capacity).collect()
}

fn shares(
    request: &Request,
    scope: Scope<'_>,
    fitting: &[&Candidate],
    outcome: &mut Outcome,
) -> Result<Vec<(Name, i64)>, Reason> {
    if fitting.is_empty() {
        return Err(Reason::NoClusterFits);
    }
    let scored = scores(request, fitting);
    let clusters = fitting.iter().zip(&scored).map(|(candidate, scored)| Selected {
        candidate,
        tier: scope.tier(&candidate.cluster).unwrap_or(usize::MAX),
        scores: order(&request.ranking, scored),
        rooms: candidate.rooms(request.replicas),
        previous: request.previous_of(&candidate.cluster.name).unwrap_or(0),
    });
    let mut clusters: Vec<Selected<'_>> = clusters.collect();
    in_order(&mut clusters);
    let rank = |of: &Selected<'_>| {
        let at = fitting.iter().position(|candidate| candidate.cluster.name == *of.name());
        let scores = at.map(|at| scored[at].clone()).unwrap_or_default();
        Ranked { cluster: of.name().clone(), scores, score: of.score() }
    };
    outcome.ranked = clusters.iter().map(rank).collect();
    let selected = select(request, clusters)?;
    outcome.selected = selected.iter().map(|of| of.name().clone()).collect();
    divide(request, &selected, !scope.overflow.is_empty())
}

/// The scores of each cluster by the priorities that take part.
fn scores(request: &Request, fitting: &[&Candidate]) -> Vec<Vec<Scored>> {
    let names: Vec<&Name> = match &request.ranking {
        Ranking::Weights(weights) => weights.iter().map(|(name, _)| name).collect(),
        Ranking::Tree(names) => names.iter().collect(),
    };
    let mut scored = vec![Vec::with_capacity(names.len()); fitting.len()];
    for name in names {
        let Some(score) = find_priority(name) else { continue };
        work::spend(fitting.len() as u64);
        for (of, score) in scored.iter_mut().zip(score(request, fitting)) {
            of.push((name.clone(), score));
        }
    }
    scored
}

/// The scores by which a cluster is ordered, one after the other.
fn order(ranking: &Ranking, scored: &[Scored]) -> Vec<i64> {
    match ranking {
        Ranking::Tree(_) => scored.iter().map(|(_, score)| *score).collect(),
        Ranking::Weights(weights) => {
            let weighted = scored.iter().map(|(name, score)| {
                let weight = weights.iter().find(|(of, _)| of == name).map_or(0, |(_, weight)| *weight);
                score.saturating_mul(weight)
            });
            vec![weighted.fold(0, i64::saturating_add)]
        }
    }
}
