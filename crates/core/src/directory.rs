//! The known nodes by name.
//!
//! A request names thousands of nodes, and a tie may be among thousands. Their names are copied side by side here, so that reading many
//! of them does not wait for memory each time.
//!
//! Invariant: a known name has one slot and its place in the order, and its letters equal the name.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use super::{index::Slot, model::Name};

/// Slots by name, names by slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    by_name: HashTable<Slot>,
    /// By slot; empty where no node is known.
    names: Vec<Name>,
    /// Where the letters of each begin.
    starts: Vec<usize>,
    letters: String,
    in_order: Vec<Slot>,
}

impl Directory {
    /// How many nodes are known.
    pub(super) fn len(&self) -> usize {
        self.in_order.len()
    }

    /// The slot of a known node.
    pub(super) fn slot(&self, name: &str) -> Option<Slot> {
        self.by_name.find(hash(name), |slot| self.letters(*slot) == name).copied()
    }

    /// The slots in order of the names.
    pub(super) fn in_order(&self) -> &[Slot] {
        &self.in_order
    }

    /// How many slots there are names for, known nodes or not.
    pub(super) fn slots(&self) -> usize {
        self.names.len()
    }

    /// The name of the node in a slot; empty where none is known.
    pub(super) fn name(&self, slot: Slot) -> &Name {
        &self.names[slot as usize]
    }

    /// Like [`Self::name`], without a reference into other memory.
    pub(super) fn letters(&self, slot: Slot) -> &str {
        let start = self.starts[slot as usize];
        &self.letters[start..start + self.names[slot as usize].len()]
    }

    /// A node has come that is not known yet.
    pub(super) fn insert(&mut self, name: &Name, slot: Slot) {
        while self.names.len() <= slot as usize {
            self.names.push(Name::default());
            self.starts.push(0);
        }
        self.starts[slot as usize] = self.letters.len();
        self.letters.push_str(name);
        self.names[slot as usize] = name.clone();
        self.in_order.insert(self.place_in_order(name), slot);
        let Self { by_name, names, .. } = self;
        by_name.insert_unique(hash(name), slot, |slot| hash(&names[*slot as usize]));
    }

    /// A known node has gone; where it stood.
    pub(super) fn remove(&mut self, name: &str) -> Option<Slot> {
        let found = self.by_name.find_entry(hash(name), |slot| self.names[*slot as usize].as_ref() == name);
        let slot = found.ok()?.remove().0;
        self.in_order.remove(self.place_in_order(name));
        self.names[slot as usize] = Name::default();
        self.letters.clear();
        for (name, start) in self.names.iter().zip(&mut self.starts) {
            *start = self.letters.len();
            self.letters.push_str(name);
        }
        Some(slot)
    }

    fn place_in_order(&self, name: &str) -> usize {
        self.in_order.partition_point(|slot| self.letters(*slot) < name)
    }
}

fn hash(name: &str) -> u64 {
    FxBuildHasher.hash_one(name)
}
