//! The scheduling cycle: filter → prioritize → select.
//!
//! A [`Cycle`] is one pod prepared against one snapshot under one profile; it can judge any node. [`decide`] judges all nodes and keeps
//! every verdict and score.
//!
//! Source: `pkg/scheduler/core/generic_scheduler.go` (`Schedule`, `selectHost`; 1.34: `pkg/scheduler/schedule_one.go`),
//! `pkg/scheduler/framework/types.go` (`FitError`).

use std::{collections::BTreeMap, sync::Arc};

use super::{
    block::NodeRef,
    block::pick,
    extenders::{ExtenderAnswers, ExtenderScore, ExtenderVerdict},
    model::{Name, Pod},
    node_info::NodeInfo,
    node_set::NodeSet,
    observe::{Observer, Point, observed},
    overlay::NodeOverlay,
    policy::{ActivePredicate, ActivePriority, Combination, Profile},
    predicates::{Check, Demand},
    ranking::{PriorityScores, Ranking},
    rule::Release,
    snapshot::Snapshot,
    verdict::{Reason, Verdict},
    work,
};

/// kube-scheduler's message for a cluster without nodes.
pub const NO_NODES: &str = "no nodes available to schedule pods";

/// One pod, prepared against one snapshot under one profile.
pub struct Cycle<'p, 's> {
    profile: &'p Profile,
    pod: &'s Pod,
    snapshot: &'s Snapshot,
    demands: Vec<(&'p ActivePredicate, Demand<'s>)>,
    rejection: Option<PredicateVerdict<'p>>,
    /// `true` if any pod is nominated to a node.
    nominations: bool,
    observer: Option<&'p dyn Observer>,
}

/// One predicate's answer for one node.
#[derive(Clone)]
pub struct PredicateVerdict<'a> {
    /// The predicate.
    pub predicate: &'a ActivePredicate,
    /// Its answer.
    pub verdict: Verdict,
}

impl<'p: 's, 's> Cycle<'p, 's> {
    /// Prepares every predicate of the profile for the pod.
    pub fn prepare(profile: &'p Profile, pod: &'s Pod, snapshot: &'s Snapshot) -> Self {
        Self::prepare_observed(profile, pod, snapshot, None)
    }

    /// Like [`Self::prepare`], with an observer that can time each plugin.
    pub fn prepare_observed(
        profile: &'p Profile,
        pod: &'s Pod,
        snapshot: &'s Snapshot,
        observer: Option<&'p dyn Observer>,
    ) -> Self {
        Self::of(profile, pod, snapshot, profile.predicates.iter(), observer)
    }

    /// Prepares only the predicates of these indices: those that [`Reads`](super::rule::Reads) something.
    pub(super) fn prepare_some(profile: &'p Profile, pod: &'s Pod, snapshot: &'s Snapshot, asked: &[usize]) -> Self {
        Self::of(profile, pod, snapshot, asked.iter().filter_map(|index| profile.predicates.get(*index)), None)
    }

    fn of(
        profile: &'p Profile,
        pod: &'s Pod,
        snapshot: &'s Snapshot,
        predicates: impl Iterator<Item = &'p ActivePredicate>,
        observer: Option<&'p dyn Observer>,
    ) -> Self {
        let prepare = |predicate: &'p ActivePredicate| {
            observed(observer, Point::PreFilter, predicate.plugin, || predicate.rule.prepare(pod, snapshot))
        };
        let demands: Vec<_> = predicates.map(|predicate| (predicate, prepare(predicate))).collect();
        let rejection = demands.iter().find_map(|(predicate, demand)| match demand {
            Demand::Reject(verdict) => Some(PredicateVerdict { predicate, verdict: verdict.clone() }),
            _ => None,
        });
        Self { profile, pod, snapshot, demands, rejection, nominations: snapshot.has_nominated_pods(), observer }
    }

    /// The reasons for which a node counts as ruled out: those of the first predicate that fails, or of all where the
    /// profile checks all; `None` where it fits.
    pub(super) fn reasons(&self, node: NodeRef<'_>) -> Option<Vec<Reason>> {
        if self.fits(node) {
            return None;
        }
        if let Some(reason) = self.untried(node.name()) {
            return Some(vec![reason]);
        }
        if !self.profile.always_check_all_predicates {
            return self.first_failure(&node).map(|failure| failure.verdict.reasons().to_vec());
        }
        let failing: Vec<_> = self.verdicts(&node).into_iter().filter(|v| !v.verdict.fits()).collect();
        let reasons = || failing.iter().flat_map(|v| v.verdict.reasons()).cloned().collect();
        (!failing.is_empty()).then(reasons)
    }

    /// The verdict that rules out all nodes alike, before any predicate looks at one.
    pub fn rejection(&self) -> Option<PredicateVerdict<'p>> {
        self.rejection.clone()
    }

    /// The reason that the sentence counts for a node which is not tried, since a demand names others; `None` for the other nodes
    /// (`pkg/scheduler/schedule_one.go`, `findNodesThatFitPod`).
    pub(super) fn untried(&self, node: &Name) -> Option<Reason> {
        let naming = self.demands.iter().find_map(|(predicate, demand)| match demand {
            Demand::OnlyNodes(names, _) => Some((predicate, names)),
            _ => None,
        });
        let (predicate, _) =
            naming.filter(|(_, names)| self.rejection.is_none() && names.binary_search(node).is_err())?;
        Some(format!("node(s) didn't satisfy plugin(s) [{}]", predicate.plugin).into())
    }

    /// The nodes that fit: those without a verdict of [`Self::first_failure`].
    pub fn fitting(&self) -> NodeSet<'s> {
        // Nodes that a demand does not name cannot meet it, so they are not even asked.
        let named = self.demands.iter().find_map(|(_, demand)| match demand {
            Demand::OnlyNodes(names, _) => Some(names),
            _ => None,
        });
        match named {
            Some(names) => self.fitting_of(&names.iter().filter_map(|name| self.snapshot.node_ref(name)).collect()),
            None => self.fitting_of(&self.snapshot.node_set()),
        }
    }

    /// Those of the nodes that fit. Asked block by block, predicate by predicate, which is far cheaper than node by node.
    pub fn fitting_of<'n>(&self, nodes: &NodeSet<'n>) -> NodeSet<'n> {
        self.sifted(nodes, |_, _, _| {})
    }

    /// Like [`Self::fitting_of`], and returns with each node that does not fit the verdict of [`Self::first_failure`].
    pub fn parted<'n>(
        &self,
        nodes: &NodeSet<'n>,
        mut refused: impl FnMut(NodeRef<'n>, PredicateVerdict<'p>),
    ) -> NodeSet<'n> {
        self.sifted(nodes, |asked, left, ruled_out_by| {
            for node in asked.without(left).iter() {
                // Where pods are nominated it may be another one that rules the node out first.
                let failure = ruled_out_by.filter(|_| !self.nominations).and_then(|(predicate, check)| {
                    let verdict = check.check(&node);
                    (!verdict.fits()).then_some(PredicateVerdict { predicate, verdict })
                });
                if let Some(failure) = failure.or_else(|| self.first_failure(&node)) {
                    refused(node, failure);
                }
            }
        })
    }

    /// The nodes that fit. After each step that rules nodes out `step` gets the nodes that were judged, those that are left, and the
    /// predicate if it was a single one.
    fn sifted<'n>(
        &self,
        nodes: &NodeSet<'n>,
        mut step: impl FnMut(&NodeSet<'n>, &NodeSet<'n>, Option<(&'p ActivePredicate, &dyn Check)>),
    ) -> NodeSet<'n> {
        if self.rejection.is_some() {
            step(nodes, &NodeSet::default(), None);
            return NodeSet::default();
        }
        let mut asked = nodes.clone();
        let mut left = nodes.clone();
        for (predicate, demand) in &self.demands {
            if let Some(check) = demand.as_check() {
                let ask = || left.sift(|block, asked| check.sift(block, asked));
                observed(self.observer, Point::Filter, predicate.plugin, ask);
                if left.len() < asked.len() {
                    step(&asked, &left, Some((predicate, check)));
                    asked.clone_from(&left);
                }
            }
        }
        if self.nominations {
            left.sift(|block, asked| pick(asked, |at| self.first_failure(&block.node_ref(at)).is_none()));
            step(&asked, &left, None);
        }
        left
    }

    /// `true` if [`Self::first_failure`] has no verdict against the node.
    pub fn fits(&self, node: NodeRef<'_>) -> bool {
        !self.fitting_of(&std::iter::once(node).collect()).is_empty()
    }

    /// Every predicate's answer for a node, in order of evaluation; of a pod that no node can take, the one rejection.
    ///
    /// Pods of at least the same priority that are nominated to the node count as if they ran there; where the pod then
    /// fits it must fit without them too (`RunFilterPluginsWithNominatedPods` in `framework/runtime/framework.go`).
    pub fn verdicts(&self, node: &NodeInfo) -> Vec<PredicateVerdict<'p>> {
        if let Some(rejection) = self.rejection() {
            return vec![rejection];
        }
        if let Some(crowded) = self.with_nominated(|| NodeOverlay::new(node), node.name()) {
            let verdicts = self.ask_all(|demand| demand.verdict_overlay(&crowded));
            if verdicts.iter().any(|v| !v.verdict.fits()) {
                return verdicts;
            }
        }
        self.ask_all(|demand| demand.verdict(node))
    }

    /// The first predicate that rules the node out; those after it are not asked. Nominated pods count as in
    /// [`Self::verdicts`].
    pub fn first_failure(&self, node: &NodeInfo) -> Option<PredicateVerdict<'p>> {
        self.rejection()
            .or_else(|| {
                let crowded = self.with_nominated(|| NodeOverlay::new(node), node.name())?;
                self.ask(|demand| demand.verdict_overlay(&crowded))
            })
            .or_else(|| self.ask(|demand| demand.verdict(node)))
    }

    /// Like [`Self::first_failure`], for a node with other pods on it.
    pub fn first_failure_overlay(&self, node: &NodeOverlay) -> Option<PredicateVerdict<'p>> {
        self.rejection()
            .or_else(|| {
                let crowded = self.with_nominated(|| node.clone(), node.name())?;
                self.ask(|demand| demand.verdict_overlay(&crowded))
            })
            .or_else(|| self.ask(|demand| demand.verdict_overlay(node)))
    }

    fn ask_all(&self, verdict: impl Fn(&Demand<'s>) -> Verdict) -> Vec<PredicateVerdict<'p>> {
        work::spend_on(1 + 2 * self.demands.len());
        let answer = |(predicate, demand): &(&'p ActivePredicate, Demand<'s>)| PredicateVerdict {
            predicate,
            verdict: verdict(demand),
        };
        self.demands.iter().map(answer).collect()
    }

    fn ask(&self, verdict: impl Fn(&Demand<'s>) -> Verdict) -> Option<PredicateVerdict<'p>> {
        work::spend_on(1 + 2 * self.demands.len());
        self.demands.iter().find_map(|(predicate, demand)| {
            let verdict = verdict(demand);
            (!verdict.fits()).then_some(PredicateVerdict { predicate, verdict })
        })
    }

    /// The node with the pods nominated to it to which this pod must yield; `None` where there are none.
    fn with_nominated(&self, node: impl FnOnce() -> NodeOverlay, name: &str) -> Option<NodeOverlay> {
        if !self.nominations {
            return None;
        }
        let nominated = self.snapshot.nominated_to(name);
        if nominated.is_empty() {
            return None;
        }
        let priority = self.snapshot.priority_of(self.pod);
        let outrank = |other: &&Arc<Pod>| !other.is_same(self.pod) && self.snapshot.priority_of(other) >= priority;
        let mut yielded_to = nominated.iter().filter(outrank).peekable();
        yielded_to.peek()?;
        let mut crowded = node();
        yielded_to.for_each(|other| crowded.add(other));
        Some(crowded)
    }

    /// Every priority's scores of the candidates, which are taken to fit.
    pub fn scores(&self, candidates: &NodeSet<'_>) -> Vec<PriorityScores<'p>> {
        let score = |priority: &'p ActivePriority| PriorityScores {
            priority,
            scores: observed(self.observer, Point::Score, priority.plugin, || {
                priority.rule.score(self.pod, self.snapshot, candidates)
            }),
        };
        self.profile.priorities.iter().map(score).collect()
    }

    /// The order of the `count` candidates by these scores of them, as the profile combines scores.
    pub fn rank(&self, scores: &[PriorityScores<'_>], count: usize) -> Ranking {
        Ranking::new(self.profile, scores, count)
    }

    /// The level of that index, from 0, where the profile's priorities are levels.
    pub fn level(&self, index: usize) -> Option<Level<'p>> {
        let priority = self.profile.priorities.get(index)?;
        Some(Level { number: index + 1, priority })
    }
}

impl Demand<'_> {
    /// The check to run on a node; `None` if there is none.
    fn as_check(&self) -> Option<&dyn Check> {
        match self {
            Demand::Check(check) | Demand::OnlyNodes(_, check) => Some(&**check),
            Demand::Nothing | Demand::Reject(_) => None,
        }
    }

    fn verdict(&self, node: &NodeInfo) -> Verdict {
        match self {
            Demand::Nothing => Verdict::Fits,
            Demand::Check(check) | Demand::OnlyNodes(_, check) => check.check(node),
            Demand::Reject(verdict) => verdict.clone(),
        }
    }

    fn verdict_overlay(&self, node: &NodeOverlay) -> Verdict {
        match self {
            Demand::Nothing => Verdict::Fits,
            Demand::Check(check) | Demand::OnlyNodes(_, check) => check.check_overlay(node),
            Demand::Reject(verdict) => verdict.clone(),
        }
    }
}

/// A level of a decision tree.
#[derive(Clone, Copy)]
pub struct Level<'a> {
    /// Its place, 1 being the most important.
    pub number: usize,
    /// The priority asked there.
    pub priority: &'a ActivePriority,
}

/// The whole decision for one pod: every node's every verdict and score.
pub struct Decision<'a> {
    /// All nodes, in order of their names.
    pub nodes: Vec<NodeDecision<'a>>,
    /// How the scores were combined.
    pub combination: Combination,
    /// The best node's name, or that of the node which the pod is nominated to if it fits there
    /// (`evaluateNominatedNode`); `None` where the pod fits nowhere.
    pub selected: Option<Name>,
    /// The level that parted the best node from the next best; `None` where they tie, where only one fits, and always
    /// under a weighted sum.
    pub decided_by: Option<Level<'a>>,
    /// Where the pod would go or, where it fits nowhere, kube-scheduler's own sentence.
    pub message: String,
}

/// A decision's part about one node.
pub struct NodeDecision<'a> {
    /// The node.
    pub node: Arc<NodeInfo>,
    /// The verdict of each predicate, in order of evaluation.
    pub verdicts: Vec<PredicateVerdict<'a>>,
    /// The verdict of an extender that rules it out.
    pub extenders: Option<ExtenderVerdict>,
    /// The score of each priority; empty if the node does not fit.
    pub scores: Vec<(&'a ActivePriority, i64)>,
    /// The score of each extender; empty if the node does not fit.
    pub extender_scores: Vec<ExtenderScore>,
    /// The scores combined ([`Ranking::totals`]), with those of extenders; 0 where the node does not fit.
    pub total: i64,
    /// The node's place among those that fit, 1 being the best; `None` where it does not fit.
    pub rank: Option<usize>,
    /// The level at which the node fell behind the best; `None` for the best, for those that tie with it, where the node
    /// does not fit, and always under a weighted sum.
    pub lost_at: Option<Level<'a>>,
}

impl NodeDecision<'_> {
    /// `true` if every predicate and extender accepts the node.
    pub fn fits(&self) -> bool {
        self.extenders.is_none() && self.verdicts.iter().all(|v| v.verdict.fits())
    }
}

/// Decides for one pod over all nodes of the snapshot. Equal input gives an equal answer, however the snapshot was built; among equal
/// nodes [`tie_break`] decides.
pub fn decide<'a>(profile: &'a Profile, pod: &Pod, snapshot: &Snapshot, seed: u64) -> Decision<'a> {
    decide_with(profile, pod, snapshot, seed, &ExtenderAnswers::default())
}

/// Like [`decide`], with the answers of extenders: the nodes that they rule out do not fit, and their scores, times their weights,
/// are added to the totals.
pub fn decide_with<'a>(
    profile: &'a Profile,
    pod: &Pod,
    snapshot: &Snapshot,
    seed: u64,
    extenders: &ExtenderAnswers,
) -> Decision<'a> {
    let snapshot = snapshot.asked_about(pod);
    let cycle = Cycle::prepare(profile, pod, &snapshot);
    let mut nodes: Vec<NodeDecision<'a>> = snapshot
        .nodes()
        .map(|node| NodeDecision {
            node: node.clone(),
            verdicts: cycle.verdicts(node),
            extenders: extenders.verdict(node.name()),
            scores: Vec::new(),
            extender_scores: Vec::new(),
            total: 0,
            rank: None,
            lost_at: None,
        })
        .collect();

    let candidates: NodeSet<'_> =
        snapshot.node_refs().zip(&nodes).filter(|(_, node)| node.fits()).map(|(node_ref, _)| node_ref).collect();
    let scores = cycle.scores(&candidates);
    let ranking = cycle.rank(&scores, candidates.len()).with_extenders(&extenders.sums(&candidates));
    let names: Vec<&Name> = candidates.iter().map(NodeRef::name).collect();
    let order = ranking.order(|column| (tie_break(seed, pod, names[column]), names[column].clone()));
    // Candidates come in order of their slots, nodes in order of their names.
    let mut place_of = vec![0; candidates.len()];
    for (place, node_ref) in snapshot.node_refs().enumerate() {
        if let Some(column) = candidates.position(node_ref) {
            place_of[column] = place;
        }
    }
    for (place, column) in order.iter().enumerate() {
        let node = &mut nodes[place_of[*column]];
        node.total = ranking.totals()[*column];
        node.rank = Some(place + 1);
        node.scores = scores.iter().map(|p| (p.priority, p.scores.of(*column))).collect();
        node.extender_scores = extenders.scores_of(names[*column]).collect();
        node.lost_at = ranking.lost_at(*column).and_then(|level| cycle.level(level));
    }
    let decided_by = ranking.decided_at().and_then(|level| cycle.level(level));
    if let Some(message) = extenders.failure.clone() {
        for node in &mut nodes {
            node.rank = None;
        }
        return Decision { nodes, combination: profile.combination, selected: None, decided_by: None, message };
    }
    let nominated = names.iter().find(|name| ***name == pod.nominated_node_name);
    let selected = nominated.or_else(|| order.first().map(|column| &names[*column]));
    let selected = selected.map(|name| Name::clone(name));
    let message = match &selected {
        Some(node) => {
            let fitting = candidates.len();
            format!("{}/{} would go to {node}: {fitting}/{} nodes are available.", pod.namespace, pod.name, nodes.len())
        }
        None => fit_error(&cycle, &nodes),
    };
    Decision { nodes, combination: profile.combination, selected, decided_by, message }
}

/// Among nodes of equal total the one with the smallest value is the better. It depends on the seed, the pod and the
/// node's name alone, so the same question has the same answer on every replica, and different pods do not crowd onto
/// the same one of several equals.
///
/// The function is FNV-1a (64 bits) over seed, namespace, pod and node, finished by a multiply-xorshift, and is part of
/// the public contract: it does not change between releases.
pub fn tie_break(seed: u64, pod: &Pod, node: &str) -> u64 {
    TieBreak::new(seed, pod).of(node)
}

/// [`tie_break`] of one pod, prepared for many nodes.
#[derive(Clone, Copy)]
pub(super) struct TieBreak(u64);

impl TieBreak {
    pub(super) fn new(seed: u64, pod: &Pod) -> Self {
        let texts = [&*pod.namespace, &*pod.name].into_iter().flat_map(terminated);
        Self(seed.to_le_bytes().into_iter().chain(texts).fold(0xcbf2_9ce4_8422_2325, fnv))
    }

    pub(super) fn of(self, node: &str) -> u64 {
        Self::end(node.bytes().fold(self.0, fnv))
    }

    /// The hash of no byte of a node's name.
    pub(super) fn begin(self) -> u64 {
        self.0
    }

    /// The hash of one byte more.
    pub(super) fn with(hash: u64, byte: u8) -> u64 {
        fnv(hash, byte)
    }

    /// Finishes the hash of a whole name.
    pub(super) fn end(hash: u64) -> u64 {
        let hash = fnv(hash, TERMINATOR);
        let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }
}

fn terminated(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().chain([TERMINATOR])
}

/// A byte that no UTF-8 text contains.
const TERMINATOR: u8 = 0xff;

fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
}

/// `0/N nodes are available: ` and how many nodes each reason rules out.
fn fit_error(cycle: &Cycle<'_, '_>, nodes: &[NodeDecision<'_>]) -> String {
    let profile = cycle.profile;
    let mut counts: BTreeMap<Reason, usize> = BTreeMap::new();
    for node in nodes {
        if let Some(reason) = cycle.untried(node.node.name()) {
            *counts.entry(reason).or_default() += 1;
            continue;
        }
        let verdicts = node.verdicts.iter().map(|v| &v.verdict).chain(node.extenders.iter().map(|o| &o.verdict));
        let most = if profile.always_check_all_predicates { usize::MAX } else { 1 };
        for reason in verdicts.filter(|v| !v.fits()).take(most).flat_map(Verdict::reasons) {
            *counts.entry(reason.clone()).or_default() += 1;
        }
    }
    let rejection = cycle.rejection.as_ref().map(|rejection| &rejection.verdict);
    unschedulable_message(profile.release, nodes.len(), &counts, rejection)
}

/// kube-scheduler's sentence for a pod that fits none of `nodes` nodes, from the number of nodes per reason and the verdict against all
/// nodes alike.
pub(super) fn unschedulable_message(
    release: Release,
    nodes: usize,
    counts: &BTreeMap<Reason, usize>,
    rejection: Option<&Verdict>,
) -> String {
    if nodes == 0 {
        return NO_NODES.to_owned();
    }
    if let Some(rejection) = rejection.filter(|_| release.facts().tells_common_rejection_once) {
        return format!("0/{nodes} nodes are available: {}.", rejection.reasons().join(", "));
    }
    let mut counted: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    counted.sort();
    format!("0/{nodes} nodes are available: {}.", counted.join(", "))
}

#[cfg(test)]
mod tests;
