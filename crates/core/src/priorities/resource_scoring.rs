//! Shared parts of the priorities that score resources: the share of each resource that a node would have given away if the pod came
//! to it.
//!
//! Source: `pkg/scheduler/framework/plugins/noderesources/resource_allocation.go`.

use super::{Scores, arithmetic::quotient, scores::narrow};
use crate::{
    argument::{Argument, Form, ScoringStrategy, checks},
    block::{Block, Column, NODES, places},
    fault::Fault,
    model::{Name, Pod, resources},
    node_set::NodeSet,
    rule::{Arguments, Release, ResourceWeight},
};

/// `scoringStrategy`: how `NodeResourcesFit` scores, and by which resources. A Policy has priorities instead, which look at
/// CPU and memory unless `RequestedToCapacityRatio` is told others.
pub(crate) const STRATEGY: Argument<ScoringStrategy> = Argument {
    plugin: "NodeResourcesFit",
    name: "scoringStrategy",
    form: Form::ScoringStrategy,
    in_policy: None,
    help: "The kind of the score, its resources with their weights, and the line from utilization to score",
    default: |_| ScoringStrategy {
        kind: ScoringStrategy::KINDS[0].0.into(),
        resources: ResourceWeight::cpu_and_memory(),
        shape: None,
    },
    check: |strategy, field, faults| {
        let at = format!("{field}.scoringStrategy");
        if !ScoringStrategy::KINDS.iter().any(|(kind, _)| *kind == &*strategy.kind) {
            let supported = ScoringStrategy::KINDS.map(|(kind, _)| format!("{kind:?}")).join(", ");
            let why = format!("Unsupported value: {:?}: supported values: {supported}", strategy.kind);
            faults.push(Fault::new(format!("{at}.type"), why));
        }
        let resources = ResourceWeight::weighted(&strategy.resources);
        checks::resources(&format!("{at}.resources"), &resources, Some(MAX_RESOURCE_WEIGHT), faults);
        // kube-scheduler crashes where the strategy has no shape at all.
        if strategy.shape.is_some() || &*strategy.kind == "RequestedToCapacityRatio" {
            let shape = strategy.shape.as_deref().unwrap_or_default();
            let at = format!("{at}.requestedToCapacityRatio.shape");
            checks::shape(&at, shape, "values must be sorted in increasing order", faults);
        }
    },
};

const MAX_RESOURCE_WEIGHT: i64 = 100;

/// Weights below this cannot overflow the sum of scores times weights, for any number of resources.
const LIGHT: i64 = 1 << 32;

/// The requests to compare with the amounts of a node. The choice matters for CPU and memory only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Requests {
    /// With a default for each container that names none.
    NonZero,
    /// As they are written.
    Real,
}

/// One resource on one node.
pub(super) struct Share {
    /// Weight of the resource.
    pub weight: i64,
    /// Sum of the requests of the pods on the node and of the incoming pod.
    pub requested: i64,
    /// Amount that the node offers, never 0.
    pub allocatable: i64,
}

/// The resources that a priority scores, and the way it counts them.
pub(super) struct ResourceScoring {
    release: Release,
    requests: Requests,
    resources: Vec<Looked>,
}

/// A resource that is looked at.
struct Looked {
    name: Name,
    what: Amount,
    weight: i64,
}

/// The place of a resource's amounts.
enum Amount {
    Cpu,
    Memory,
    EphemeralStorage,
    Scalar(Name),
    /// Nowhere: no node offers it.
    Other,
}

impl ResourceScoring {
    /// Of a resource named twice the last weight may be the one that counts.
    pub(super) fn new(release: Release, requests: Requests, resources: &[ResourceWeight]) -> Self {
        let overridden = |i: usize, r: &ResourceWeight| resources.iter().skip(i + 1).any(|later| later.name == r.name);
        let repeats = release.facts().scores_repeated_resources_twice;
        let counted = resources.iter().enumerate().filter(|(i, r)| repeats || !overridden(*i, r));
        let looked = |r: &ResourceWeight| Looked { name: r.name.clone(), what: Amount::of(&r.name), weight: r.weight };
        Self { release, requests, resources: counted.map(|(_, r)| looked(r)).collect() }
    }

    /// The resources of `LeastRequestedPriority` and `MostRequestedPriority`; a Policy cannot configure them.
    pub(super) fn of_requests(arguments: &Arguments) -> Self {
        let resources = ResourceWeight::scored(&arguments.get(&STRATEGY).resources);
        Self::new(arguments.release, Requests::NonZero, &resources)
    }

    /// Amounts that the incoming pod counts as, in the order of the resources.
    pub(super) fn pod_requests(&self, pod: &Pod) -> Vec<i64> {
        let facts = self.release.facts();
        let counted = match self.requests {
            Requests::NonZero => &pod.spec.scored_requests,
            Requests::Real => match &pod.held {
                Some(held) if facts.counts_resizes_in_place => &held.requests,
                _ => &pod.spec.requests,
            },
        };
        let amount = |name: &str| match pod.spec.overhead.get(name) {
            Some(overhead) if name == resources::CPU && facts.scores_cpu_overhead_in_cores => {
                counted.milli_cpu.saturating_sub(overhead.milli_value()).saturating_add(overhead.value())
            }
            _ => counted.get(name),
        };
        self.resources.iter().map(|r| amount(&r.name)).collect()
    }

    /// Scores each candidate by applying `formula` to its shares. There is no share of a resource that the node does not offer, or of a
    /// scalar resource that the pod does not request.
    pub(super) fn score(&self, pod: &Pod, candidates: &NodeSet<'_>, formula: impl Fn(&[Share]) -> i64) -> Scores {
        let wanted = self.pod_requests(pod);
        let mut sources = Vec::with_capacity(self.resources.len());
        let mut shares = Vec::with_capacity(self.resources.len());
        Scores::Each(candidates.map_parts(|part, scores| {
            let of_block = |(resource, wanted): (_, &i64)| self.source(part.block, resource, *wanted);
            sources.clear();
            sources.extend(self.resources.iter().zip(&wanted).filter_map(of_block));
            for (at, score) in places(part.marked).zip(scores) {
                // CPU and memory, on a node that offers both, are what is mostly looked at: they need no list.
                if let [Source { amounts: Ok(one), .. }, Source { amounts: Ok(other), .. }] = &sources[..]
                    && one.offered[at] != 0
                    && other.offered[at] != 0
                {
                    *score = narrow(formula(&[sources[0].share(one.at(at)), sources[1].share(other.at(at))]));
                    continue;
                }
                shares.clear();
                let amounts = sources.iter().map(|source| (source, source.amounts_at(part.block, at)));
                let offered = amounts.filter(|(_, (_, allocatable))| *allocatable != 0);
                shares.extend(offered.map(|(source, amounts)| source.share(amounts)));
                *score = narrow(formula(&shares));
            }
        }))
    }

    /// The mean, by their weights and rounded down, of what `score` makes of the shares of each candidate, 0..=100 each; 0 of
    /// a candidate that has none.
    pub(super) fn mean(&self, pod: &Pod, candidates: &NodeSet<'_>, score: impl Fn(&Share) -> i64) -> Scores {
        if self.resources.iter().any(|resource| resource.weight >= LIGHT) {
            return self.score(pod, candidates, |shares| {
                let (sum, weights) = weighted_sum(shares, &score);
                if weights == 0 { 0 } else { (sum / weights) as i64 }
            });
        }
        let wanted = self.pod_requests(pod);
        Scores::Each(candidates.map_parts(|part, scores| {
            let (mut sums, mut weights) = ([0; NODES], [0; NODES]);
            for (resource, wanted) in self.resources.iter().zip(&wanted) {
                let Some(source) = self.source(part.block, resource, *wanted) else { continue };
                let mut add = |at: usize, amounts: (i64, i64)| {
                    if amounts.1 != 0 {
                        sums[at] += score(&source.share(amounts)) * source.weight;
                        weights[at] += source.weight;
                    }
                };
                match &source.amounts {
                    // Going along a whole column is quicker than to pick out most of it.
                    Ok(columns) if part.marked.count_ones() > NODES as u32 / 2 => {
                        (0..NODES).for_each(|at| add(at, columns.at(at)));
                    }
                    _ => places(part.marked).for_each(|at| add(at, source.amounts_at(part.block, at))),
                }
            }
            for (at, score) in places(part.marked).zip(scores) {
                *score = if weights[at] == 0 { 0 } else { narrow(quotient(sums[at], weights[at])) };
            }
        }))
    }

    /// Where a block has the resource's amounts; `None` where they do not count.
    fn source<'b>(&self, block: &'b Block, resource: &'b Looked, wanted: i64) -> Option<Source<'b>> {
        let columns = |taken, offered| Ok(Columns { taken, offered });
        let counted = block.counted(self.release);
        let amounts = match (&resource.what, self.requests) {
            (Amount::Cpu, Requests::NonZero) => columns(&counted.non_zero_cpu, &counted.cpu.offered),
            (Amount::Cpu, Requests::Real) => columns(&counted.cpu.requested, &counted.cpu.offered),
            (Amount::Memory, Requests::NonZero) => columns(&counted.non_zero_memory, &counted.memory.offered),
            (Amount::Memory, Requests::Real) => columns(&counted.memory.requested, &counted.memory.offered),
            (Amount::EphemeralStorage, _) => {
                columns(&counted.ephemeral_storage.requested, &counted.ephemeral_storage.offered)
            }
            (Amount::Scalar(name), _) if wanted != 0 => Err(name),
            _ => return None,
        };
        Some(Source { release: self.release, weight: resource.weight, wanted, amounts })
    }
}

/// One resource in one block.
struct Source<'b> {
    release: Release,
    weight: i64,
    wanted: i64,
    /// The block's columns, or the name under which each node has the amounts.
    amounts: Result<Columns<'b>, &'b Name>,
}

/// The amounts that pods request and nodes offer.
struct Columns<'b> {
    taken: &'b Column,
    offered: &'b Column,
}

impl Columns<'_> {
    fn at(&self, at: usize) -> (i64, i64) {
        (self.taken[at], self.offered[at])
    }
}

impl Source<'_> {
    fn amounts_at(&self, block: &Block, at: usize) -> (i64, i64) {
        match &self.amounts {
            Ok(columns) => columns.at(at),
            Err(name) => {
                let node = block.node_ref(at);
                (node.held(self.release).get(name), node.node.allocatable.get(name))
            }
        }
    }

    fn share(&self, (taken, allocatable): (i64, i64)) -> Share {
        Share { weight: self.weight, requested: taken.saturating_add(self.wanted), allocatable }
    }
}

impl Amount {
    fn of(name: &Name) -> Self {
        match &**name {
            resources::CPU => Self::Cpu,
            resources::MEMORY => Self::Memory,
            resources::EPHEMERAL_STORAGE => Self::EphemeralStorage,
            scalar if resources::is_scalar(scalar) => Self::Scalar(name.clone()),
            _ => Self::Other,
        }
    }
}

/// Σ score × weight and Σ weight.
pub(super) fn weighted_sum<'s>(
    shares: impl IntoIterator<Item = &'s Share>,
    score: impl Fn(&Share) -> i64,
) -> (i128, i128) {
    shares.into_iter().fold((0, 0), |(sum, weights), share| {
        (sum + i128::from(score(share)) * i128::from(share.weight), weights + i128::from(share.weight))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cluster, node, pod};

    fn scoring(release: Release, requests: Requests, names: &[(&str, i64)]) -> ResourceScoring {
        let resources: Vec<_> =
            names.iter().map(|(name, weight)| ResourceWeight { name: (*name).into(), weight: *weight }).collect();
        ResourceScoring::new(release, requests, &resources)
    }

    #[test]
    fn requests_that_the_incoming_pod_counts_with() {
        let asks = pod("p")
            .cpu("1")
            .container(&[("memory", "1Mi")])
            .overhead(&[("cpu", "250m"), ("memory", "2Mi")])
            .pod_level(&[("cpu", "5")])
            .build();
        let amounts = |release, requests| scoring(release, requests, &[("cpu", 1), ("memory", 1)]).pod_requests(&asks);
        let mi = 1024 * 1024;
        // containers 1000 + 100 (default), overhead 250; memory 200Mi (default) + 1Mi + 2Mi
        assert_eq!(amounts(Release::V1_34, Requests::NonZero), [1350, 203 * mi]);
        // the pod-level 5000, overhead 250; memory 1Mi + 2Mi
        assert_eq!(amounts(Release::V1_34, Requests::Real), [5250, 3 * mi]);
        // the overhead of 250m counts as 1
        assert_eq!(amounts(Release::V1_22, Requests::NonZero), [1101, 203 * mi]);
    }

    #[test]
    fn which_resources_have_a_share() {
        let offers = node("n").cpu("4").offers("example.com/foo", "4").offers("ephemeral-storage", "8");
        let there = pod("there").on("n").requests("example.com/foo", "1").requests("ephemeral-storage", "2");
        let snapshot = cluster([offers.into(), there.into()]);
        let nodes = snapshot.node_set();
        let names = ["cpu", "memory", "ephemeral-storage", "example.com/foo", "example.com/bar", "pods"];
        let shares = |pod: crate::testing::PodBuilder| {
            let found = std::cell::RefCell::new(Vec::new());
            scoring(Release::V1_34, Requests::NonZero, &names.map(|n| (n, 1))).score(&pod.build(), &nodes, |shares| {
                found.replace(shares.iter().map(|s| (s.requested, s.allocatable)).collect());
                0
            });
            found.into_inner()
        };
        // cpu 100 (there) + 100; no memory offered; storage 2; foo is not requested
        assert_eq!(shares(pod("p")), [(200, 4000), (2, 8)]);
        // foo 1 (there) + 2; bar is requested but not offered
        let asks = pod("p").requests("example.com/foo", "2").requests("example.com/bar", "1");
        assert_eq!(shares(asks), [(200, 4000), (2, 8), (3, 4)]);
    }

    #[test]
    fn a_resource_named_twice_counts_once_in_1_22() {
        let counted = |release| scoring(release, Requests::Real, &[("cpu", 1), ("memory", 1), ("cpu", 3)]).resources;
        assert_eq!(counted(Release::V1_22).iter().map(|r| r.weight).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(counted(Release::V1_34).len(), 3);
    }
}
