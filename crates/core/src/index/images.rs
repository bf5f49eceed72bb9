//! The nodes that hold each image.
//!
//! Source: `addNodeImageStates` in `pkg/scheduler/internal/cache/cache.go`.

use std::collections::BTreeMap;

use imbl::OrdMap;

use super::Slot;
use crate::{
    block::place_of,
    model::{Image, Name},
};

/// An image, as far as nodes hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageState {
    /// Bytes, as reported by the first node that held it.
    pub size: i64,
    /// By block, bit by bit; no mask is empty.
    holders: OrdMap<usize, u64>,
}

/// All images that nodes hold, by each of their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Images(OrdMap<Name, ImageState>);

impl ImageState {
    /// How many nodes hold it.
    pub fn nodes(&self) -> usize {
        self.holders.values().map(|mask| mask.count_ones() as usize).sum()
    }

    /// Which nodes of a block hold it.
    pub(crate) fn holders(&self, block: usize) -> u64 {
        self.holders.get(&block).copied().unwrap_or(0)
    }
}

impl Images {
    pub(super) fn add(&mut self, slot: Slot, images: &[Image]) {
        for (name, size) in by_name(images) {
            let state = self.0.entry(name.clone()).or_insert_with(|| ImageState { size, holders: OrdMap::new() });
            let (block, at) = place_of(slot);
            *state.holders.entry(block).or_default() |= 1 << at;
        }
    }

    pub(super) fn remove(&mut self, slot: Slot, images: &[Image]) {
        for (name, _) in by_name(images) {
            if let Some(state) = self.0.get_mut(name) {
                let (block, at) = place_of(slot);
                let left = state.holders(block) & !(1 << at);
                match left {
                    0 => drop(state.holders.remove(&block)),
                    _ => drop(state.holders.insert(block, left)),
                }
                if state.holders.is_empty() {
                    self.0.remove(name);
                }
            }
        }
    }

    /// `true` if both share their memory.
    pub(crate) fn ptr_eq(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }

    /// An image by one of its names.
    pub(crate) fn get(&self, name: &str) -> Option<&ImageState> {
        self.0.get(name)
    }
}

/// Each name once, with the first size reported for it.
fn by_name(images: &[Image]) -> BTreeMap<&Name, i64> {
    let mut sizes = BTreeMap::new();
    for (name, size) in images.iter().flat_map(|image| image.names.iter().map(|name| (name, image.size))) {
        sizes.entry(name).or_insert(size);
    }
    sizes
}
