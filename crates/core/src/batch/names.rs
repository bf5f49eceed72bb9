//! Fast tie-breaking among many nodes.
//!
//! [`TieBreak`] hashes a name byte by byte. Nodes created one after another have names with a common prefix, which is hashed once.

use std::sync::Arc;

use crate::{cycle::TieBreak, directory::Directory, index::Slot, model::Name, snapshot::Snapshot};

/// The names of a snapshot's nodes.
#[derive(Default)]
pub(super) struct Names {
    directory: Arc<Directory>,
    /// How many bytes the name in each slot shares with the one in the slot before.
    shared: Vec<usize>,
}

impl Names {
    /// Of all nodes of a snapshot.
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let directory = snapshot.directory().clone();
        let mut before = "";
        let shared = (0..directory.slots()).map(|slot| {
            let name = directory.letters(slot as Slot);
            std::mem::replace(&mut before, name).bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count()
        });
        Self { shared: shared.collect(), directory: directory.clone() }
    }

    /// The name of the node in a slot.
    pub(super) fn name(&self, slot: usize) -> &Name {
        self.directory.name(slot as Slot)
    }

    /// The slot of a name that a node has.
    pub(super) fn slot(&self, name: &Name) -> Option<usize> {
        self.directory.slot(name).map(|slot| slot as usize)
    }

    /// Which of the slots, which ascend, comes first: the tie-break decides, and between equals the name.
    pub(super) fn first(&self, tie_break: TieBreak, slots: impl Iterator<Item = usize>) -> Option<usize> {
        let mut best: Option<(u64, usize)> = None;
        // The hash of each beginning of the name that was hashed last.
        let mut hashes = vec![tie_break.begin()];
        let mut next = 0;
        for slot in slots {
            // The length of the prefix that it shares with all names since then.
            let shared = self.shared[next..=slot].iter().copied().min().unwrap_or(0);
            next = slot + 1;
            hashes.truncate(shared + 1);
            let mut hash = hashes[hashes.len() - 1];
            let name = self.directory.letters(slot as Slot);
            for byte in &name.as_bytes()[hashes.len() - 1..] {
                hash = TieBreak::with(hash, *byte);
                hashes.push(hash);
            }
            let drawn = TieBreak::end(hash);
            let is_before = |at: usize| name < self.directory.letters(at as Slot);
            let is_first = best.is_none_or(|(least, at)| drawn < least || (drawn == least && is_before(at)));
            if is_first {
                best = Some((drawn, slot));
            }
        }
        best.map(|(_, slot)| slot)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*, sample::select};

    use super::*;
    use crate::testing::{node, pod};

    proptest! {
        /// The result equals that of hashing each name whole, for any common prefixes and ties.
        #[test]
        fn the_first_is_the_first_of_all(
            nodes in btree_map("[ab]{0,3}[a-c]", any::<bool>(), 0..12).prop_map(|nodes| nodes.into_iter().collect::<Vec<_>>()).prop_shuffle(),
            seed in 0_u64..4,
            name in select(vec!["p", "q"]),
        ) {
            let snapshot: Snapshot = nodes.iter().map(|(name, _)| node(name).into()).collect();
            let names = Names::new(&snapshot);
            let tie_break = TieBreak::new(seed, &pod(name).build());
            let mut tied: Vec<usize> =
                nodes.iter().filter(|(_, ties)| *ties).filter_map(|(name, _)| names.slot(&name.as_str().into())).collect();
            tied.sort_unstable();
            let expected = tied.iter().copied().min_by_key(|slot| (tie_break.of(names.name(*slot)), names.name(*slot)));
            prop_assert_eq!(names.first(tie_break, tied.into_iter()), expected);
        }
    }
}
