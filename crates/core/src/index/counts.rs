//! Counts per node.

use imbl::OrdMap;

use super::Slot;
use crate::work;

/// A number for each node that has any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts(OrdMap<Slot, u32>);

impl Counts {
    /// One more.
    pub(super) fn add(&mut self, slot: Slot) {
        *self.0.entry(slot).or_default() += 1;
    }

    /// One fewer; whether none are left anywhere.
    pub(super) fn remove(&mut self, slot: Slot) -> bool {
        match self.0.get_mut(&slot) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.0.remove(&slot)),
        }
        self.0.is_empty()
    }

    /// The nodes with their numbers: a step of work each, taken at once.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, i64)> + '_ {
        work::spend_on(self.0.len());
        self.0.iter().map(|(slot, count)| (*slot, i64::from(*count)))
    }
}
