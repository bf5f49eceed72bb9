//! The nodes of a cluster: in blocks by their slots, by name, and in order of their names.
//!
//! Its owner is the [`Snapshot`](super::snapshot::Snapshot). Parts that pods change are persistent, so that a change copies one block;
//! parts that only coming and going nodes change are copied whole.
//!
//! Invariants: every known node is in the directory, under its name and at its place in the order; every name that pods are bound to
//! without such a node is among the unknown nodes; no two names share a slot.

use std::sync::Arc;

use imbl::{OrdMap, Vector};

use super::{
    block::NodeRef,
    block::{Block, place_of, places},
    directory::Directory,
    index::Slot,
    model::{Name, Node},
    node_info::NodeInfo,
    node_set::NodeSet,
};

/// All nodes, and the names that pods are bound to though there is no such node.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeTable {
    blocks: Vector<Arc<Block>>,
    directory: Arc<Directory>,
    /// Pods bound to nodes that are not (or not yet) known, by node.
    unknown: OrdMap<Name, Slot>,
}

impl PartialEq for NodeTable {
    /// `true` if both have the same nodes with the same pods; slots are not compared.
    fn eq(&self, other: &Self) -> bool {
        fn unknown(node_table: &NodeTable) -> impl Iterator<Item = (&Name, Option<&Arc<NodeInfo>>)> {
            node_table.unknown.iter().map(|(name, slot)| (name, node_table.info(*slot)))
        }
        self.len() == other.len()
            && self.in_order().map(NodeRef::info).eq(other.in_order().map(NodeRef::info))
            && unknown(self).eq(unknown(other))
    }
}

/// Reading.
impl NodeTable {
    /// How many nodes are known.
    pub(super) fn len(&self) -> usize {
        self.directory.len()
    }

    /// A known node by name.
    pub(super) fn find(&self, name: &str) -> Option<NodeRef<'_>> {
        let (block, at) = place_of(self.directory.slot(name)?);
        Some(NodeRef::new(self.blocks.get(block)?, at))
    }

    /// All known nodes in order of their names.
    pub(super) fn in_order(&self) -> impl Iterator<Item = NodeRef<'_>> {
        let blocks: Vec<&Block> = self.blocks.iter().map(|block| &**block).collect();
        self.directory.in_order().iter().map(move |slot| {
            let (block, at) = place_of(*slot);
            NodeRef::new(blocks[block], at)
        })
    }

    /// All known nodes in order of their slots.
    pub(super) fn all(&self) -> NodeSet<'_> {
        NodeSet::new(self.blocks.iter().map(|block| (&**block, block.known())))
    }

    /// The slot of a name: of a known node, or of one that pods are bound to.
    pub(super) fn slot(&self, name: &Name) -> Option<Slot> {
        self.directory.slot(name).or_else(|| self.unknown.get(name).copied())
    }

    /// The known nodes by name.
    pub(super) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The node in a slot that a node is in.
    pub(super) fn node_ref(&self, slot: Slot) -> Option<NodeRef<'_>> {
        let (block, at) = place_of(slot);
        let block = self.blocks.get(block)?;
        (block.known() >> at & 1 == 1).then(|| NodeRef::new(block, at))
    }

    /// The known nodes that another table has in other memory, each with its like there. `None` if the tables may have other names or slots. Blocks in
    /// the same memory are passed over.
    pub(super) fn unlike<'a>(&'a self, other: &'a Self) -> Option<impl Iterator<Item = (NodeRef<'a>, NodeRef<'a>)>> {
        if !Arc::ptr_eq(&self.directory, &other.directory) {
            return None;
        }
        let blocks = self.blocks.iter().zip(&other.blocks).filter(|(new, old)| !Arc::ptr_eq(new, old));
        let pairs = blocks.flat_map(|(new, old)| {
            let known = places(new.known() & old.known());
            known.map(move |at| (NodeRef::new(new, at), NodeRef::new(old, at)))
        });
        Some(pairs.filter(|(new, old)| !Arc::ptr_eq(new.info(), old.info())))
    }

    /// `true` if a known node has this name.
    pub(super) fn knows(&self, name: &Name) -> bool {
        self.directory.slot(name).is_some()
    }

    fn info(&self, slot: Slot) -> Option<&Arc<NodeInfo>> {
        let (block, at) = place_of(slot);
        self.blocks.get(block)?.info(at)
    }
}

/// Changing.
impl NodeTable {
    /// Gives a free slot to a name that pods are bound to.
    pub(super) fn expect(&mut self, name: &Name, slot: Slot) {
        self.put(slot, Some(Arc::new(NodeInfo::new(slot))), false);
        self.unknown.insert(name.clone(), slot);
    }

    /// Puts a node into a slot: that of its name, or a free one. The pods there stay.
    pub(super) fn settle(&mut self, slot: Slot, node: Node) {
        let name = node.name.clone();
        let there = self.info(slot).cloned();
        let mut info = there.unwrap_or_else(|| Arc::new(NodeInfo::new(slot)));
        Arc::make_mut(&mut info).node = Arc::new(node);
        self.put(slot, Some(info), true);
        if !self.knows(&name) {
            self.unknown.remove(&name);
            Arc::make_mut(&mut self.directory).insert(&name, slot);
        }
    }

    /// Removes a known node; its pods stay bound to its name. Returns the node, its slot, and `true` if the slot is free again.
    pub(super) fn unsettle(&mut self, name: &Name) -> Option<(Arc<Node>, Slot, bool)> {
        self.directory.slot(name)?;
        let slot = Arc::make_mut(&mut self.directory).remove(name)?;
        let mut info = self.info(slot)?.clone();
        let node = info.node.clone();
        let is_free = info.pods.is_empty();
        if is_free {
            self.put(slot, None, false);
        } else {
            Arc::make_mut(&mut info).node = Arc::default();
            self.put(slot, Some(info), false);
            self.unknown.insert(name.clone(), slot);
        }
        Some((node, slot, is_free))
    }

    /// Changes a node's pods, known node or not.
    pub(super) fn change(&mut self, slot: Slot, change: impl FnOnce(&mut NodeInfo)) {
        let (block, at) = place_of(slot);
        if let Some(block) = self.blocks.get_mut(block) {
            Arc::make_mut(block).change(at, change);
        }
    }

    /// Forgets a name that pods were bound to, if none are any more and there is no such node; whether it did.
    pub(super) fn forget_if_empty(&mut self, name: &Name, slot: Slot) -> bool {
        let is_empty = !self.knows(name) && self.info(slot).is_some_and(|info| info.pods.is_empty());
        if is_empty {
            self.unknown.remove(name);
            self.put(slot, None, false);
        }
        is_empty
    }

    fn put(&mut self, slot: Slot, info: Option<Arc<NodeInfo>>, known: bool) {
        let (number, at) = place_of(slot);
        while self.blocks.len() <= number {
            self.blocks.push_back(Arc::new(Block::new(self.blocks.len() as Slot)));
        }
        if let Some(block) = self.blocks.get_mut(number) {
            Arc::make_mut(block).put(at, info, known);
        }
    }
}
