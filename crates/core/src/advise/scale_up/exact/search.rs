//! The proof: whether pods fit on given nodes at all, whatever goes where and in which order.
//!
//! Where no class reads more than the node that is judged, classes are spread over the nodes one after the other, and of equal nodes only one
//! distribution is tried. Otherwise every next pod of every class is tried on every node, and states that were seen are not tried again.

use std::collections::{HashMap, HashSet};

use super::{
    super::fork::Prepared,
    greedy::Plan,
    space::{Counts, Space, free, named},
};
use crate::{
    cycle::Cycle,
    model::{Name, Pod, Resources},
    node_info::NodeInfo,
    node_set::NodeSet,
    snapshot::Snapshot,
    work,
};

/// The outcome of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All fit, so.
    Plan(Plan),
    /// They cannot all fit.
    Nothing,
    /// The steps were used up.
    Unknown,
}

/// Steps of a state in which classes read more than a node, besides those for its size.
const STATE: usize = 8;

/// The deepest search. A thread has 2 MiB of stack, and a call takes up to some 2 KiB of it in a debug build.
pub(super) const DEEPEST: usize = 400;

/// Steps that may be taken.
pub(super) struct Steps(pub(super) u64);

impl Steps {
    /// Takes a step. Returns `false` if none is left.
    pub(super) fn take(&mut self) -> bool {
        self.take_for(1)
    }

    /// Takes as many steps as there are items, at least one. Returns `false` if none is left.
    pub(super) fn take_for(&mut self, items: usize) -> bool {
        let steps = u64::try_from(items).unwrap_or(u64::MAX).max(1);
        work::spend(steps);
        self.0 = self.0.saturating_sub(steps);
        self.0 > 0
    }
}

/// Searches for places for so many pods of each class on the nodes there and a mixture of new ones.
pub(super) fn search(space: &Space<'_, '_>, mixture: &Counts, need: &Counts, steps: &mut Steps) -> Found {
    // The search goes one call deeper with each pod, or with each class on each node; the stack has an end.
    let nodes = mixture.iter().sum::<usize>().saturating_add(space.there.len());
    let classes = need.iter().filter(|need| **need > 0).count();
    let deep = if space.is_near { nodes.saturating_add(1).saturating_mul(classes) } else { need.iter().sum() };
    if deep > DEEPEST {
        return Found::Unknown;
    }
    // Even a search that ends at once builds all nodes.
    if !steps.take_for(nodes) {
        return Found::Unknown;
    }
    let (snapshot, new) = space.with(mixture);
    if space.is_near {
        near(space, mixture, need, &snapshot, &new, steps)
    } else {
        far(space, mixture, need, snapshot, &new, steps)
    }
}

/// A node of a search.
struct Bin {
    info: NodeInfo,
    pool: Option<usize>,
    /// Pods of each class that were put on it.
    holds: Vec<usize>,
}

impl Bin {
    /// `true` if both are new nodes of one pool and hold the same of the first classes.
    fn is_like(&self, other: &Self, classes: usize) -> bool {
        self.pool.is_some() && self.pool == other.pool && self.holds[..classes] == other.holds[..classes]
    }
}

struct Near<'n, 's, 'a> {
    space: &'n Space<'s, 'a>,
    need: &'n Counts,
    prepared: Vec<Prepared<'n>>,
    bins: Vec<Bin>,
    steps: &'n mut Steps,
    /// The last class of which pods are needed.
    last: usize,
}

fn near(
    space: &Space<'_, '_>,
    mixture: &Counts,
    need: &Counts,
    snapshot: &Snapshot,
    new: &[(Name, usize)],
    steps: &mut Steps,
) -> Found {
    let Some(last) = need.iter().rposition(|need| *need > 0) else {
        return Found::Plan(Plan { mixture: mixture.clone(), places: Vec::new() });
    };
    let of = |class: &super::super::pending::Class| class.sample().clone();
    let samples: Vec<_> = space.classes.iter().map(of).collect();
    let prepared = samples.iter().map(|pod| Prepared::new(space.fork.profile(pod), pod, snapshot)).collect();
    let bin = |name: &Name, pool| {
        let info = snapshot.node(name)?;
        Some(Bin { info: (**info).clone(), pool, holds: vec![0; space.classes.len()] })
    };
    let there = space.there.iter().filter_map(|name| bin(name, None));
    let bins = there.chain(new.iter().filter_map(|(name, pool)| bin(name, Some(*pool)))).collect();
    let mut near = Near { space, need, prepared, bins, steps, last };
    match near.class(0) {
        Some(true) => Found::Plan(Plan { mixture: mixture.clone(), places: near.places() }),
        Some(false) => Found::Nothing,
        None => Found::Unknown,
    }
}

impl Near<'_, '_, '_> {
    /// Spreads the pods of a class and of those after it. `None` if the steps are used up.
    fn class(&mut self, class: usize) -> Option<bool> {
        if class > self.last {
            return Some(true);
        }
        if !self.may_hold(class) {
            return Some(false);
        }
        self.bin(class, 0, self.need[class])
    }

    /// `true` if all nodes together have what the class and those after it ask for.
    fn may_hold(&self, class: usize) -> bool {
        work::spend_on(self.bins.len());
        let mut left = Resources::default();
        self.bins.iter().for_each(|bin| left.add(&free(&bin.info)));
        let mut asked = Resources::default();
        for (class, need) in self.space.classes.iter().zip(self.need).skip(class) {
            super::space::add_times(&mut asked, &super::space::asked(class.sample()), *need);
        }
        named(&asked).all(|(name, amount)| amount <= left.get(name))
    }

    /// Spreads so many pods of a class over the nodes from one on.
    fn bin(&mut self, class: usize, at: usize, left: usize) -> Option<bool> {
        if left == 0 {
            return self.class(class + 1);
        }
        if at == self.bins.len() {
            return Some(false);
        }
        if !self.steps.take() {
            return None;
        }
        // Equal nodes hold fewer and fewer: other distributions are the same with the nodes exchanged.
        let is_twin = at > 0 && self.bins[at].is_like(&self.bins[at - 1], class);
        let most = if is_twin { left.min(self.bins[at - 1].holds[class]) } else { left };
        let mut held = 0;
        while held < most && self.put(class, at) {
            held += 1;
        }
        loop {
            match self.bin(class, at + 1, left - held) {
                Some(false) => {}
                ended => return ended,
            }
            // Nobody comes after the last class who would use the room.
            let is_last = class == self.last;
            if is_last || held == 0 {
                (0..held).for_each(|_| self.take_off(class, at));
                return Some(false);
            }
            self.take_off(class, at);
            held -= 1;
            if !self.steps.take() {
                return None;
            }
        }
    }

    fn put(&mut self, class: usize, at: usize) -> bool {
        let space = self.space;
        let bin = &mut self.bins[at];
        work::spend(4);
        if self.prepared[class].refuses(&bin.info) {
            return false;
        }
        let Some(pod) = space.pod(class, bin.holds[class]) else { return false };
        // The copy has a name of its own within the node, whichever pod of the class it stands for.
        bin.info.add(pod);
        bin.holds[class] += 1;
        true
    }

    fn take_off(&mut self, class: usize, at: usize) {
        let bin = &mut self.bins[at];
        bin.holds[class] = bin.holds[class].saturating_sub(1);
        if let Some(pod) = self.space.pod(class, bin.holds[class]) {
            bin.info.remove(pod);
        }
    }

    fn places(&self) -> Vec<(usize, Name, Option<usize>)> {
        let of = |bin: &Bin| {
            let holds: Vec<_> = bin.holds.iter().copied().enumerate().collect();
            let (name, pool) = (bin.info.name().clone(), bin.pool);
            holds.into_iter().flat_map(move |(class, count)| {
                let name = name.clone();
                (0..count).map(move |_| (class, name.clone(), pool))
            })
        };
        self.bins.iter().flat_map(of).collect()
    }
}

/// A state: what each node holds, and what is left.
#[derive(Clone)]
struct State {
    snapshot: Snapshot,
    left: Counts,
    places: Vec<(usize, Name, Option<usize>)>,
}

struct Far<'f, 's, 'a> {
    space: &'f Space<'s, 'a>,
    nodes: Vec<(Name, Option<usize>)>,
    seen: HashSet<Vec<u32>>,
    steps: &'f mut Steps,
}

fn far(
    space: &Space<'_, '_>,
    mixture: &Counts,
    need: &Counts,
    snapshot: Snapshot,
    new: &[(Name, usize)],
    steps: &mut Steps,
) -> Found {
    let there = space.there.iter().map(|name| (name.clone(), None));
    let nodes = there.chain(new.iter().map(|(name, pool)| (name.clone(), Some(*pool)))).collect();
    let mut far = Far { space, nodes, seen: HashSet::new(), steps };
    let state = State { snapshot, left: need.clone(), places: Vec::new() };
    match far.extend(&state) {
        Ok(Some(places)) => Found::Plan(Plan { mixture: mixture.clone(), places }),
        Ok(None) => Found::Nothing,
        Err(UsedUp) => Found::Unknown,
    }
}

/// The steps are used up.
struct UsedUp;

/// Places of pods.
type Places = Vec<(usize, Name, Option<usize>)>;

impl Far<'_, '_, '_> {
    /// Places one pod more, and all after it; `None` if they cannot all be placed.
    fn extend(&mut self, state: &State) -> Result<Option<Places>, UsedUp> {
        if state.left.iter().all(|left| *left == 0) {
            return Ok(Some(state.places.clone()));
        }
        let holds = self.holds(state);
        if !self.seen.insert(self.key(&holds)) {
            return Ok(None);
        }
        for class in 0..state.left.len() {
            if state.left[class] == 0 {
                continue;
            }
            let pods = &self.space.classes[class].pods;
            let pod = &pods[pods.len() - state.left[class]];
            for at in self.fitting(state, pod, &holds) {
                // A state takes longer, the more it has to tell.
                if !self.steps.take_for(STATE + self.nodes.len() * state.left.len() / 16) {
                    return Err(UsedUp);
                }
                let (node, pool) = self.nodes[at].clone();
                let mut next = state.clone();
                let mut fork = self.space.fork.at(next.snapshot);
                fork.put(pod, &node);
                next.snapshot = fork.snapshot;
                next.left[class] -= 1;
                next.places.push((class, node, pool));
                match self.extend(&next) {
                    Ok(None) => {}
                    ended => return ended,
                }
            }
        }
        Ok(None)
    }

    /// The nodes that take a pod, of equal new ones one.
    fn fitting(&self, state: &State, pod: &Pod, holds: &[Vec<u32>]) -> Vec<usize> {
        let snapshot = &state.snapshot;
        let nodes: NodeSet<'_> = self.nodes.iter().filter_map(|(name, _)| snapshot.node_ref(name)).collect();
        let fitting = Cycle::prepare(self.space.fork.profile(pod), pod, snapshot).fitting_of(&nodes);
        let fits = |at: &usize| {
            let node = snapshot.node_ref(&self.nodes[*at].0);
            node.is_some_and(|node| !node.node.unschedulable && fitting.contains(node))
        };
        let is_first = |at: &usize| {
            let (pool, holds_it) = (self.nodes[*at].1, &holds[*at]);
            pool.is_none() || !(0..*at).any(|other| self.nodes[other].1 == pool && holds[other] == *holds_it)
        };
        work::spend_on(self.nodes.len());
        (0..self.nodes.len()).filter(is_first).filter(fits).collect()
    }

    fn holds(&self, state: &State) -> Vec<Vec<u32>> {
        let at: HashMap<&Name, usize> = self.nodes.iter().enumerate().map(|(at, (name, _))| (name, at)).collect();
        let mut holds = vec![vec![0; state.left.len()]; self.nodes.len()];
        for (class, node, _) in &state.places {
            if let Some(at) = at.get(node) {
                holds[*at][*class] += 1;
            }
        }
        holds
    }

    /// Pods of all nodes, in one order for all exchanges of equal nodes.
    fn key(&self, holds: &[Vec<u32>]) -> Vec<u32> {
        let mut sorted: Vec<(Option<usize>, usize, &Vec<u32>)> = self
            .nodes
            .iter()
            .zip(holds)
            .enumerate()
            .map(|(at, ((_, pool), holds))| (*pool, if pool.is_some() { 0 } else { at }, holds))
            .collect();
        sorted.sort();
        sorted.into_iter().flat_map(|(_, _, holds)| holds.iter().copied()).collect()
    }
}
