//! Small numbers for things that come and go, so that what is known of them can stand in an array.

use imbl::OrdSet;

/// Hands out the smallest number that is free.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    /// Every number handed out so far is below this.
    bound: u32,
    free: OrdSet<u32>,
}

impl Numbers {
    /// A number that nobody has.
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
