//! Small reusable numbers, so that data about things that come and go can be kept in arrays.

use imbl::OrdSet;

/// Gives out the smallest free number.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    /// Every number given out so far is below this.
    bound: u32,
    free: OrdSet<u32>,
}

impl Numbers {
    /// Takes a free number.
    pub(super) fn take(&mut self) -> u32 {
        self.free.remove_min().unwrap_or_else(|| {
            self.bound += 1;
            self.bound - 1
        })
    }

    /// Takes a number back.
    pub(super) fn give_back(&mut self, number: u32) {
        self.free.insert(number);
    }

    /// All numbers are below this: the length of an array of them.
    pub(super) fn bound(&self) -> usize {
        self.bound as usize
    }
}
