//! Blocks of 64 nodes. A block copies the numbers that nearly every decision reads into columns, so that a rule runs along one column
//! and looks at a node itself only where it must.
//!
//! Invariant: the copies equal the [`NodeInfo`]s. Only [`Block::put`] and [`Block::change`] write either.

use std::{fmt, ops::Deref, sync::Arc};

use super::{
    index::Slot,
    model::{Labels, Name, Resources},
    node_info::NodeInfo,
    rule::Release,
};

/// Number of nodes in a block: one for each bit of a mask.
pub const NODES: usize = 64;

/// One number of each node of a block.
pub type Column = [i64; NODES];

/// One resource on each node of a block.
#[derive(Clone, Debug)]
pub struct Amounts {
    /// Amounts that the node offers.
    pub offered: Column,
    /// Amounts that its pods request.
    pub requested: Column,
    /// Offered minus requested; below 0 if the pods request more than the node offers.
    pub free: Column,
}

/// Up to [`NODES`] nodes. A mask has a bit for each of them, the lowest for the first.
#[derive(Clone, Debug)]
pub struct Block {
    number: Slot,
    known: u64,
    infos: [Option<Arc<NodeInfo>>; NODES],
    /// Which nodes are cordoned.
    pub unschedulable: u64,
    /// On which nodes a pod takes a host port.
    pub with_ports: u64,
    /// Amounts as the specs of their pods ask.
    counted: Counted,
    /// Nodes on which pods are resized in place.
    with_surplus: u64,
    /// Amounts of all nodes as far as resizing in place has come, if any node is in `with_surplus`.
    resized: Option<Box<Counted>>,
    /// How many more pods it takes; 0 or below for none.
    pub free_places: Column,
}

/// A node in the snapshot: cheap to pass on, and a step away from the [`NodeInfo`] that it can be read as.
#[derive(Clone, Copy)]
pub struct NodeRef<'s> {
    block: &'s Block,
    at: usize,
}

impl<'s> NodeRef<'s> {
    pub(super) fn new(block: &'s Block, at: usize) -> Self {
        Self { block, at }
    }

    /// The node with the pods on it.
    ///
    /// # Panics
    /// Never for a node of a snapshot: there is a node in each.
    #[expect(clippy::expect_used, reason = "a reference is only made to a place that a node stands in")]
    pub fn info(self) -> &'s Arc<NodeInfo> {
        self.block.info(self.at).expect("there is a node in this place")
    }

    /// Where the snapshot's indexes have the node.
    pub fn slot(self) -> Slot {
        self.block.slot(self.at)
    }

    /// The node's name.
    pub fn name(self) -> &'s Name {
        self.info().name()
    }

    /// The node's labels.
    pub fn labels(self) -> &'s Labels {
        self.info().labels()
    }

    /// Its block and its place there.
    pub fn place(self) -> (&'s Block, usize) {
        (self.block, self.at)
    }
}

impl Deref for NodeRef<'_> {
    type Target = NodeInfo;

    fn deref(&self) -> &NodeInfo {
        self.info()
    }
}

impl fmt::Debug for NodeRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NodeRef").field(self.name()).finish()
    }
}

/// The resources of each node of a block, as a release counts them.
#[derive(Clone, Debug)]
pub struct Counted {
    /// In thousandths of a core.
    pub cpu: Amounts,
    /// In bytes.
    pub memory: Amounts,
    /// In bytes.
    pub ephemeral_storage: Amounts,
    /// CPU that its pods ask for, as scoring counts it.
    pub non_zero_cpu: Column,
    /// Memory that its pods ask for, as scoring counts it.
    pub non_zero_memory: Column,
}

/// The block in which a slot is, and its place there.
pub(super) fn place_of(slot: Slot) -> (usize, usize) {
    (slot as usize / NODES, slot as usize % NODES)
}

/// The asked nodes for which `holds`.
pub fn pick(asked: u64, mut holds: impl FnMut(usize) -> bool) -> u64 {
    places(asked).fold(0, |picked, at| picked | u64::from(holds(at)) << at)
}

/// The asked nodes with at least `wanted`.
pub fn at_least(column: &Column, wanted: i64, asked: u64) -> u64 {
    // To ask about all of them without a branch is quicker than to ask about many one by one.
    if asked.count_ones() < 8 {
        return pick(asked, |at| column[at] >= wanted);
    }
    let bit = |(at, amount): (usize, &i64)| u64::from(*amount >= wanted) << at;
    column.iter().enumerate().map(bit).fold(0, |picked, bit| picked | bit) & asked
}

/// The places that a mask marks, in order.
pub fn places(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = (mask != 0).then(|| mask.trailing_zeros() as usize % NODES);
        mask &= mask.wrapping_sub(1);
        at
    })
}

fn mark(mask: &mut u64, at: usize, holds: bool) {
    *mask = *mask & !(1 << at) | u64::from(holds) << at;
}

impl Amounts {
    const NONE: Self = Self { offered: [0; NODES], requested: [0; NODES], free: [0; NODES] };

    fn set(&mut self, at: usize, offered: i64, requested: i64) {
        self.offered[at] = offered;
        self.requested[at] = requested;
        self.free[at] = offered.saturating_sub(requested);
    }
}

impl Counted {
    const NONE: Self = Self {
        cpu: Amounts::NONE,
        memory: Amounts::NONE,
        ephemeral_storage: Amounts::NONE,
        non_zero_cpu: [0; NODES],
        non_zero_memory: [0; NODES],
    };

    fn set(&mut self, at: usize, offered: &Resources, held: &Resources, non_zero: &Resources) {
        self.cpu.set(at, offered.milli_cpu, held.milli_cpu);
        self.memory.set(at, offered.memory, held.memory);
        self.ephemeral_storage.set(at, offered.ephemeral_storage, held.ephemeral_storage);
        self.non_zero_cpu[at] = non_zero.milli_cpu;
        self.non_zero_memory[at] = non_zero.memory;
    }
}

impl Block {
    /// A block without nodes.
    pub(super) fn new(number: Slot) -> Self {
        Self {
            number,
            known: 0,
            infos: [const { None }; NODES],
            unschedulable: 0,
            with_ports: 0,
            counted: Counted::NONE,
            with_surplus: 0,
            resized: None,
            free_places: [0; NODES],
        }
    }

    /// The slot of the first of its nodes, a multiple of [`NODES`].
    pub fn first_slot(&self) -> Slot {
        self.number * NODES as Slot
    }

    /// The slot of one of its nodes.
    pub fn slot(&self, at: usize) -> Slot {
        self.first_slot() + at as Slot
    }

    /// Its place among the blocks.
    pub(super) fn number(&self) -> usize {
        self.number as usize
    }

    /// Which places are those of a known node.
    pub fn known(&self) -> u64 {
        self.known
    }

    /// The resources of its nodes, as a release counts them.
    pub fn counted(&self, release: Release) -> &Counted {
        match &self.resized {
            Some(resized) if release.facts().counts_resizes_in_place => resized,
            _ => &self.counted,
        }
    }

    /// A known node, with its place.
    pub fn node_ref(&self, at: usize) -> NodeRef<'_> {
        NodeRef::new(self, at)
    }

    /// The node at a place with the pods on it; also one that is not known, as long as pods are bound to it.
    pub(super) fn info(&self, at: usize) -> Option<&Arc<NodeInfo>> {
        self.infos[at].as_ref()
    }

    /// Gives a place to a node, known or not, or takes it away.
    pub(super) fn put(&mut self, at: usize, info: Option<Arc<NodeInfo>>, known: bool) {
        self.infos[at] = info;
        mark(&mut self.known, at, known);
        self.copy(at);
    }

    /// Changes the node at a place, if there is one.
    pub(super) fn change(&mut self, at: usize, change: impl FnOnce(&mut NodeInfo)) {
        if let Some(info) = &mut self.infos[at] {
            change(Arc::make_mut(info));
            self.copy(at);
        }
    }

    fn copy(&mut self, at: usize) {
        let Some(info) = &self.infos[at] else {
            mark(&mut self.with_surplus, at, false);
            return;
        };
        let offered = &info.node.allocatable;
        self.counted.set(at, offered, &info.requested, &info.non_zero_requested);
        self.free_places[at] = info.node.allocatable.pods.saturating_sub(info.pods.len() as i64);
        mark(&mut self.unschedulable, at, info.node.unschedulable);
        mark(&mut self.with_ports, at, !info.used_ports.is_empty());
        mark(&mut self.with_surplus, at, info.has_surplus());
        if self.with_surplus == 0 {
            self.resized = None;
        } else {
            let resized = self.resized.get_or_insert_with(|| Box::new(self.counted.clone()));
            resized.set(at, offered, &info.resized(), &info.non_zero_resized());
        }
    }
}
