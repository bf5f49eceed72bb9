//! Expanders: which of the groups that help is to grow.

use std::sync::Arc;

use super::{GroupOption, Options, limits::capacity};
use crate::{
    advise::Advice,
    model::{Node, Pod},
};

mod least_nodes;
mod least_waste;
mod most_pods;
mod price;
mod priority;
mod random;

pub use priority::{Priorities, PriorityError};

/// The expanders, by the names that cluster-autoscaler's `--expander` takes.
pub(super) static ALL: &[Advice] =
    &[least_waste::ADVICE, most_pods::ADVICE, least_nodes::ADVICE, price::ADVICE, priority::ADVICE, random::ADVICE];

/// An expander.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Expander {
    LeastWaste,
    MostPods,
    LeastNodes,
    Price,
    Priority,
    Random,
}

impl Expander {
    /// The expander of a name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "least-waste" => Self::LeastWaste,
            "most-pods" => Self::MostPods,
            "least-nodes" => Self::LeastNodes,
            "price" => Self::Price,
            "priority" => Self::Priority,
            "random" => Self::Random,
            _ => return None,
        })
    }

    /// The names of all expanders.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ALL.iter().map(|expander| expander.name)
    }

    fn filter<'o>(self, options: &Options, candidates: Vec<Candidate<'o>>) -> Vec<Candidate<'o>> {
        match self {
            Self::LeastWaste => least_waste::filter(candidates),
            Self::MostPods => most_pods::filter(candidates),
            Self::LeastNodes => least_nodes::filter(candidates),
            Self::Price => price::filter(candidates),
            Self::Priority => priority::filter(options.priorities.as_ref(), candidates),
            Self::Random => random::filter(options.seed, candidates),
        }
    }
}

/// An option to choose.
#[derive(Clone, Copy)]
pub(super) struct Candidate<'o> {
    pub(super) option: &'o GroupOption,
}

/// Applies the expanders one after the other. Where several options are left the seed chooses.
/// Source: `cluster-autoscaler/expander/factory/chain.go`.
pub(super) fn choose<'o>(options: &Options, mut candidates: Vec<Candidate<'o>>) -> Option<Candidate<'o>> {
    for expander in &options.expanders {
        candidates = expander.filter(options, candidates);
        if candidates.len() == 1 {
            break;
        }
    }
    random::filter(options.seed, candidates).pop()
}

/// The candidates with the lowest score.
fn lowest(candidates: Vec<Candidate<'_>>, score: impl Fn(&GroupOption) -> f64) -> Vec<Candidate<'_>> {
    let scores: Vec<f64> = candidates.iter().map(|candidate| score(candidate.option)).collect();
    let Some(lowest) = scores.iter().copied().min_by(f64::total_cmp) else { return candidates };
    let is_lowest = |score: &f64| score.total_cmp(&lowest).is_eq();
    candidates.into_iter().zip(scores).filter(|(_, score)| is_lowest(score)).map(|(candidate, _)| candidate).collect()
}

/// The parts of the CPU and of the memory of new nodes that pods leave unused.
pub(super) fn waste(node: &Node, nodes: usize, pods: &[Arc<Pod>]) -> (f64, f64) {
    let capacity = capacity(node);
    let nodes = i64::try_from(nodes).unwrap_or(i64::MAX);
    let part = |each: i64, asked: i64| {
        let all = each.saturating_mul(nodes);
        if all > 0 { all.saturating_sub(asked) as f64 / all as f64 } else { 0.0 }
    };
    let sum = |amount: fn(&Pod) -> i64| pods.iter().map(|pod| amount(pod)).fold(0, i64::saturating_add);
    (
        part(capacity.milli_cpu, sum(|pod| pod.spec.requests.milli_cpu)),
        part(capacity.memory, sum(|pod| pod.spec.requests.memory)),
    )
}
