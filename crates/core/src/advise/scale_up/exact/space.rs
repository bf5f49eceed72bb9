//! The problem: pods in classes, and the nodes on which they could go.

use std::{collections::BTreeMap, sync::Arc};

use super::super::{
    Considered, Options,
    fork::{Fork, Prepared},
    limits::capacity,
    pending::Class,
};
use crate::{
    cycle::Cycle,
    index::Slot,
    model::{Name, Pod, Resources, resources},
    node_info::NodeInfo,
    snapshot::Snapshot,
    work,
};

/// How many pods of each class, or how many nodes of each pool.
pub(super) type Counts = Vec<usize>;

/// A group from which new nodes may come.
pub(super) struct Pool<'s> {
    pub(super) of: &'s Considered<'s>,
    /// How many may come.
    pub(super) room: usize,
    /// The price of one.
    pub(super) cost: Option<f64>,
    /// The amounts that a new node has for pods.
    pub(super) free: Resources,
    /// Whole cores and bytes that a new node counts for.
    pub(super) cores: i64,
    pub(super) memory: i64,
}

/// Limits of all new nodes together.
pub(super) struct Limits {
    pub(super) nodes: usize,
    pub(super) cores: i64,
    pub(super) memory: i64,
}

/// Pods in classes, and pools of new nodes.
pub(super) struct Space<'s, 'a> {
    /// The cluster, in which all of the pods wait.
    pub(super) fork: Fork<'a>,
    /// The largest pods first.
    pub(super) classes: Vec<Class>,
    pub(super) pools: Vec<Pool<'s>>,
    pub(super) limits: Limits,
    /// `true` if every class reads nothing but the node that is judged: the order in which pods go to nodes does not matter.
    pub(super) is_near: bool,
    /// The nodes that are there and take at least one of the classes; all where classes read more than a node.
    pub(super) there: Vec<Name>,
    /// The amounts that these have left.
    pub(super) free_there: Resources,
}

/// Amounts that are left on a node, with the number of pods.
pub(super) fn free(info: &NodeInfo) -> Resources {
    let mut left = info.node.allocatable.clone();
    left.subtract(&info.requested);
    left.pods = left.pods.saturating_sub(i64::try_from(info.pods.len()).unwrap_or(i64::MAX));
    left.milli_cpu = left.milli_cpu.max(0);
    left.memory = left.memory.max(0);
    left.ephemeral_storage = left.ephemeral_storage.max(0);
    left.pods = left.pods.max(0);
    left.scalar.values_mut().for_each(|amount| *amount = (*amount).max(0));
    left
}

/// The amounts that a pod takes, with itself as one pod.
pub(super) fn asked(pod: &Pod) -> Resources {
    Resources { pods: 1, ..pod.spec.requests.clone() }
}

/// All names of resources of an amount.
pub(super) fn named(amounts: &Resources) -> impl Iterator<Item = (&str, i64)> {
    let plain = [resources::CPU, resources::MEMORY, resources::EPHEMERAL_STORAGE, resources::PODS];
    let plain = plain.into_iter().map(|name| (name, amounts.get(name)));
    plain.chain(amounts.scalar.iter().map(|(name, amount)| (&**name, *amount)))
}

/// Adds an amount so many times.
pub(super) fn add_times(sum: &mut Resources, amounts: &Resources, times: usize) {
    let times = i64::try_from(times).unwrap_or(i64::MAX);
    let of = |amount: i64| amount.saturating_mul(times);
    sum.add(&Resources {
        milli_cpu: of(amounts.milli_cpu),
        memory: of(amounts.memory),
        ephemeral_storage: of(amounts.ephemeral_storage),
        pods: of(amounts.pods),
        scalar: amounts.scalar.iter().map(|(name, amount)| (name.clone(), of(*amount))).collect(),
    });
}

impl<'s, 'a> Space<'s, 'a> {
    pub(super) fn new(
        fork: Fork<'a>,
        mut classes: Vec<Class>,
        considered: &'s [Considered<'s>],
        options: &Options,
        mut limits: Limits,
    ) -> Self {
        let mut pools: Vec<Pool<'s>> = considered.iter().map(|of| pool(&fork, of, options)).collect();
        // The largest first: they are likelier to be among few.
        pools.sort_by_key(|pool| std::cmp::Reverse((pool.free.milli_cpu, pool.free.memory)));
        limits.nodes = limits.nodes.min(pools.iter().map(|pool| pool.room).fold(0, usize::saturating_add));
        if options.max_nodes_per_scale_up > 0 {
            limits.nodes = limits.nodes.min(options.max_nodes_per_scale_up);
        }
        let mut largest = Resources::default();
        for pool in &pools {
            largest.raise_to(&pool.free);
        }
        classes.sort_by(|a, b| size(b.sample(), &largest).total_cmp(&size(a.sample(), &largest)));
        let is_near = classes.iter().all(|class| {
            let pod = class.sample();
            !pod.spec.affinity.names_pods()
                && pod.spec.topology_spread.is_empty()
                && pod.volumes.is_empty()
                && Prepared::new(fork.profile(pod), pod, &fork.snapshot).is_near()
        });
        let mut space =
            Self { fork, classes, pools, limits, is_near, there: Vec::new(), free_there: Resources::default() };
        space.find_room();
        space
    }

    /// Finds the nodes that are there and may take pods.
    fn find_room(&mut self) {
        let snapshot = &self.fork.snapshot;
        let mut found: BTreeMap<Slot, Name> = BTreeMap::new();
        if self.is_near {
            for class in &self.classes {
                let pod = class.sample();
                work::spend(64);
                let fitting = Cycle::prepare(self.fork.profile(pod), pod, snapshot).fitting();
                found.extend(fitting.iter().map(|node| (node.slot(), node.name().clone())));
            }
        } else {
            found.extend(snapshot.node_refs().map(|node| (node.slot(), node.name().clone())));
        }
        let there = found.into_values().filter(|name| snapshot.node(name).is_some_and(|info| !info.node.unschedulable));
        self.there = there.collect();
        for info in self.there.iter().filter_map(|name| snapshot.node(name)) {
            work::spend(1);
            self.free_there.add(&free(info));
        }
    }

    /// The amounts that so many pods of each class ask for and that nodes there do not have.
    pub(super) fn missing(&self, need: &Counts) -> Resources {
        let mut missing = Resources::default();
        for (class, count) in self.classes.iter().zip(need) {
            add_times(&mut missing, &asked(class.sample()), *count);
        }
        missing.subtract(&self.free_there);
        missing
    }

    /// A number of nodes below which the new ones offer less of a resource than is missing; `None` if no number is enough.
    pub(super) fn at_least(&self, need: &Counts) -> Option<usize> {
        let missing = self.missing(need);
        let mut least = 0;
        for (name, amount) in named(&missing).filter(|(_, amount)| *amount > 0) {
            let each = self.pools.iter().map(|pool| pool.free.get(name)).max().unwrap_or(0);
            if each <= 0 {
                return None;
            }
            let whole = amount.saturating_add(each - 1) / each;
            least = least.max(usize::try_from(whole).unwrap_or(usize::MAX));
        }
        Some(least)
    }

    /// `true` if new nodes offer what is missing, and keep the limits.
    pub(super) fn may_hold(&self, missing: &Resources, mixture: &Counts) -> bool {
        let mut offered = Resources::default();
        let (mut cores, mut memory) = (0_i64, 0_i64);
        for (pool, count) in self.pools.iter().zip(mixture) {
            add_times(&mut offered, &pool.free, *count);
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            cores = cores.saturating_add(pool.cores.saturating_mul(count));
            memory = memory.saturating_add(pool.memory.saturating_mul(count));
        }
        cores <= self.limits.cores
            && memory <= self.limits.memory
            && named(missing).all(|(name, amount)| offered.get(name) >= amount)
    }

    /// The cluster with new nodes, and each of these with its pool.
    pub(super) fn with(&self, mixture: &Counts) -> (Snapshot, Vec<(Name, usize)>) {
        let mut snapshot = self.fork.snapshot.clone();
        let mut new = Vec::new();
        for (at, (pool, count)) in self.pools.iter().zip(mixture).enumerate() {
            for number in 0..*count {
                work::spend(1);
                let name = pool.of.template.add_to(&mut snapshot, &format!("new-{number}"));
                new.push((name, at));
            }
        }
        (snapshot, new)
    }

    /// All pods.
    pub(super) fn all(&self) -> Counts {
        self.classes.iter().map(|class| class.pods.len()).collect()
    }

    /// The pods of a class, from one on.
    pub(super) fn pod(&self, class: usize, number: usize) -> Option<&Arc<Pod>> {
        self.classes.get(class)?.pods.get(number)
    }
}

fn pool<'s>(fork: &Fork<'_>, of: &'s Considered<'s>, options: &Options) -> Pool<'s> {
    let (snapshot, name) = super::super::estimate::with_one_node(fork, &of.template);
    let capacity = capacity(&of.template.node);
    Pool {
        of,
        room: super::super::room(of.group),
        cost: super::super::cost_of(of.group, &of.template.node, options),
        free: snapshot.node(&name).map(|info| free(info)).unwrap_or_default(),
        cores: capacity.milli_cpu.max(0).saturating_add(999) / 1000,
        memory: capacity.memory.max(0),
    }
}

/// The largest part of a node that a pod takes of any resource, and a little for the others.
fn size(pod: &Pod, node: &Resources) -> f64 {
    let parts = named(&pod.spec.requests).filter_map(|(name, amount)| {
        let offered = node.get(name);
        (offered > 0).then(|| amount as f64 / offered as f64)
    });
    let (largest, sum) = parts.fold((0.0, 0.0), |(largest, sum), part| (f64::max(largest, part), sum + part));
    largest + sum / 16.0
}
