//! A plan that is good and quickly found: node after node, each of the group whose node holds the most of what is left.

use super::{
    super::fork::{Among, Fork, Prepared},
    space::{Counts, Space},
};
use crate::{
    model::{Name, Pod, Resources},
    work,
};

/// New nodes, and what they help.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// New nodes of each pool.
    pub(super) mixture: Counts,
    /// Where pods go: class, node, and the number of the pool for a new one.
    pub(super) places: Vec<(usize, Name, Option<usize>)>,
}

impl Plan {
    pub(super) fn nodes(&self) -> usize {
        self.mixture.iter().sum()
    }

    /// How many pods of each class find a place.
    pub(super) fn helped(&self, classes: usize) -> Counts {
        let mut helped = vec![0; classes];
        self.places.iter().for_each(|(class, ..)| helped[*class] += 1);
        helped
    }
}

/// Measure of a node.
#[derive(Clone, Copy)]
pub(super) enum Measure {
    /// The number of pods that it holds.
    Pods,
    /// The amounts that these ask for.
    Amounts,
}

/// Fills nodes one after the other.
struct Filling<'g, 's, 'a> {
    space: &'g Space<'s, 'a>,
    fork: Fork<'a>,
    left: Counts,
    plan: Plan,
    weights: Vec<f64>,
}

/// A plan for as many pods as possible.
pub(super) fn plan(space: &Space<'_, '_>, measure: Measure) -> Plan {
    let weights = space.classes.iter().map(|class| match measure {
        Measure::Pods => 1.0,
        Measure::Amounts => weight(class.sample(), &space.missing(&space.all())),
    });
    let mut filling = Filling {
        space,
        fork: space.fork.clone(),
        left: space.all(),
        weights: weights.collect(),
        plan: Plan { mixture: vec![0; space.pools.len()], places: Vec::new() },
    };
    filling.on_nodes_there();
    while filling.left.iter().any(|left| *left > 0) && filling.plan.nodes() < space.limits.nodes {
        if !filling.add_best() {
            break;
        }
    }
    if space.is_near { filling.plan } else { at_once(space, &filling.plan) }
}

/// The places of a plan where all of its nodes are there from the beginning: a zone without a node does not count for spread, one with a node
/// does.
fn at_once(space: &Space<'_, '_>, plan: &Plan) -> Plan {
    let (snapshot, new) = space.with(&plan.mixture);
    let mut fork = space.fork.at(snapshot);
    let mut among = Among::default();
    let names = space.there.iter().chain(new.iter().map(|(name, _)| name));
    names.filter_map(|name| fork.snapshot.node_ref(name)).for_each(|node| among.add(node.slot()));
    let mut numbers = vec![0; space.classes.len()];
    let mut again = Plan { mixture: plan.mixture.clone(), places: Vec::new() };
    let mut waiting: Vec<&(usize, Name, Option<usize>)> = plan.places.iter().collect();
    // A pod that is refused may fit after others.
    loop {
        let before = waiting.len();
        waiting.retain(|(class, node, pool)| {
            let Some(pod) = space.pod(*class, numbers[*class]) else { return false };
            let place = if fork.refusal(pod, node).is_none() {
                fork.put(pod, node);
                (*class, node.clone(), *pool)
            } else if let Some(node) = fork.place(pod, Some(&among)) {
                let pool = new.iter().find(|(name, _)| *name == node).map(|(_, pool)| *pool);
                (*class, node, pool)
            } else {
                return true;
            };
            numbers[*class] += 1;
            again.places.push(place);
            false
        });
        if waiting.len() == before {
            return again;
        }
    }
}

/// The part of all that is missing that a pod asks for.
fn weight(pod: &Pod, missing: &Resources) -> f64 {
    let part = |asked: i64, of: i64| if of > 0 { asked as f64 / of as f64 } else { 0.0 };
    part(pod.spec.requests.milli_cpu, missing.milli_cpu)
        + part(pod.spec.requests.memory, missing.memory)
        + part(1, missing.pods)
}

impl Filling<'_, '_, '_> {
    /// Places pods on the nodes that are there.
    fn on_nodes_there(&mut self) {
        let mut there = Among::default();
        self.space
            .there
            .iter()
            .filter_map(|name| self.fork.snapshot.node_ref(name))
            .for_each(|node| there.add(node.slot()));
        for class in 0..self.left.len() {
            while let Some(pod) = self.next(class) {
                let Some(node) = self.fork.place(&pod, Some(&there)) else { break };
                self.placed(class, node, None);
            }
        }
    }

    fn next(&self, class: usize) -> Option<std::sync::Arc<Pod>> {
        let pods = &self.space.classes[class].pods;
        let left = self.left[class];
        if left == 0 { None } else { self.space.pod(class, pods.len() - left).cloned() }
    }

    fn placed(&mut self, class: usize, node: Name, pool: Option<usize>) {
        self.left[class] -= 1;
        self.plan.places.push((class, node, pool));
    }

    /// Adds the node that holds the most. Returns `false` if no node holds any pod.
    fn add_best(&mut self) -> bool {
        let mut best: Option<(f64, usize, Counts)> = None;
        for at in 0..self.space.pools.len() {
            if !self.may_add(at) {
                continue;
            }
            let held = self.tried(at);
            let value: f64 = held.iter().zip(&self.weights).map(|(count, weight)| *count as f64 * weight).sum();
            if value > 0.0 && best.as_ref().is_none_or(|(other, ..)| value > *other) {
                best = Some((value, at, held));
            }
        }
        let Some((_, at, held)) = best else { return false };
        loop {
            self.add(at, &held);
            let again = self.space.is_near && held.iter().zip(&self.left).all(|(count, left)| count <= left);
            if !again || self.left.iter().all(|left| *left == 0) || !self.may_add(at) {
                return true;
            }
        }
    }

    fn may_add(&self, at: usize) -> bool {
        let mut mixture = self.plan.mixture.clone();
        mixture[at] += 1;
        mixture[at] <= self.space.pools[at].room
            && mixture.iter().sum::<usize>() <= self.space.limits.nodes
            && self.space.may_hold(&Resources::default(), &mixture)
    }

    /// How many pods of each class one more node of a pool would hold.
    fn tried(&self, at: usize) -> Counts {
        let mut fork = self.fork.clone();
        let number = self.plan.mixture[at];
        let node = self.space.pools[at].of.template.add_to(&mut fork.snapshot, &format!("new-{number}"));
        let mut held = vec![0; self.left.len()];
        for (class, held) in held.iter_mut().enumerate() {
            let left = self.left[class];
            if left == 0 {
                continue;
            }
            let first = self.space.classes[class].pods.len() - left;
            let before = fork.snapshot.clone();
            let sample = self.space.classes[class].sample();
            let prepared = Prepared::new(fork.profile(sample), sample, &before);
            for pod in &self.space.classes[class].pods[first..] {
                work::spend(1);
                let refused =
                    if prepared.is_near() { prepared.refusal(&fork.snapshot, &node) } else { fork.refusal(pod, &node) };
                if refused.is_some() {
                    break;
                }
                fork.put(pod, &node);
                *held += 1;
            }
        }
        held
    }

    fn add(&mut self, at: usize, held: &Counts) {
        let number = self.plan.mixture[at];
        let template = &self.space.pools[at].of.template;
        let node = template.add_to(&mut self.fork.snapshot, &format!("new-{number}"));
        self.plan.mixture[at] += 1;
        for (class, count) in held.iter().enumerate() {
            for _ in 0..*count {
                let Some(pod) = self.next(class) else { break };
                self.fork.put(&pod, &node);
                self.placed(class, node.clone(), Some(at));
            }
        }
        if !self.space.is_near {
            self.on_nodes_there();
        }
    }
}
