//! Sets of nodes of one snapshot that are judged together.

use super::{
    block::{Block, NODES, NodeRef, places},
    work,
};

/// Some nodes of one snapshot, each once, in order of their slots.
#[derive(Clone, Default)]
pub struct NodeSet<'s>(Vec<Part<'s>>);

/// Those of one block; at least one.
#[derive(Clone, Copy)]
pub struct Part<'s> {
    /// The block.
    pub block: &'s Block,
    /// Which of its nodes.
    pub marked: u64,
    /// How many nodes are in the parts before.
    before: usize,
}

impl<'s> NodeSet<'s> {
    /// These nodes of these blocks, which come in order of their slots.
    pub fn new(blocks: impl IntoIterator<Item = (&'s Block, u64)>) -> Self {
        let mut before = 0;
        let part = |(block, marked): (&'s Block, u64)| {
            let part = Part { block, marked, before };
            before += marked.count_ones() as usize;
            part
        };
        Self(blocks.into_iter().filter(|(_, marked)| *marked != 0).map(part).collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.last().map_or(0, |last| last.before + last.marked.count_ones() as usize)
    }

    /// `true` if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Block by block.
    pub fn parts(&self) -> &[Part<'s>] {
        &self.0
    }

    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = NodeRef<'s>> + '_ {
        self.0.iter().flat_map(|part| places(part.marked).map(|at| NodeRef::new(part.block, at)))
    }

    /// How many of them come before this one; `None` where it is not one of them.
    pub fn position(&self, node_ref: NodeRef<'_>) -> Option<usize> {
        let (block, at) = node_ref.place();
        let number = block.number();
        // Mostly every block has a part.
        let part = match self.0.get(number).filter(|part| part.block.number() == number) {
            Some(part) => part,
            None => &self.0[self.0.binary_search_by_key(&number, |part| part.block.number()).ok()?],
        };
        let bit = 1_u64 << at;
        (part.marked & bit != 0).then(|| part.before + (part.marked & (bit - 1)).count_ones() as usize)
    }

    /// `true` if this node is in the set.
    pub fn contains(&self, node_ref: NodeRef<'_>) -> bool {
        self.position(node_ref).is_some()
    }

    /// Keeps the marked nodes that `keep` marks again, block by block.
    pub fn sift(&mut self, mut keep: impl FnMut(&'s Block, u64) -> u64) {
        work::spend_on(self.0.len() * NODES);
        let mut before = 0;
        self.0.retain_mut(|part| {
            part.marked &= keep(part.block, part.marked);
            part.before = before;
            before += part.marked.count_ones() as usize;
            part.marked != 0
        });
    }

    /// Those that are not among the others.
    #[must_use]
    pub fn without(&self, others: &Self) -> Self {
        let mut others = others.0.iter().peekable();
        Self::new(self.0.iter().map(|part| {
            while others.next_if(|other| other.block.number() < part.block.number()).is_some() {}
            let gone = others.peek().filter(|other| other.block.number() == part.block.number());
            (part.block, part.marked & !gone.map_or(0, |other| other.marked))
        }))
    }

    /// A number for each, in their order.
    pub fn map<T: Copy + Default>(&self, mut number: impl FnMut(NodeRef<'s>) -> T) -> Vec<T> {
        self.map_parts(|part, numbers| {
            for (at, slot) in places(part.marked).zip(numbers) {
                *slot = number(NodeRef::new(part.block, at));
            }
        })
    }

    /// Like [`Self::map`], block by block: `fill` writes a number for each node of a part, in their order.
    pub fn map_parts<T: Copy + Default>(&self, mut fill: impl FnMut(Part<'s>, &mut [T])) -> Vec<T> {
        work::spend_on(self.0.len() * NODES);
        let mut numbers = vec![T::default(); self.len()];
        let mut left = &mut numbers[..];
        for part in &self.0 {
            let (here, rest) = std::mem::take(&mut left).split_at_mut(part.marked.count_ones() as usize);
            fill(*part, here);
            left = rest;
        }
        numbers
    }
}

impl<'s> FromIterator<NodeRef<'s>> for NodeSet<'s> {
    fn from_iter<I: IntoIterator<Item = NodeRef<'s>>>(node_set: I) -> Self {
        let mut blocks: Vec<Option<(&'s Block, u64)>> = Vec::new();
        for (block, at) in node_set.into_iter().map(NodeRef::place) {
            if blocks.len() <= block.number() {
                blocks.resize(block.number() + 1, None);
            }
            blocks[block.number()].get_or_insert((block, 0)).1 |= 1 << (at % NODES);
        }
        Self::new(blocks.into_iter().flatten())
    }
}
