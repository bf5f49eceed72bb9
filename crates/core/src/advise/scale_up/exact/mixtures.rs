//! All ways to take a number of new nodes from the groups.

use std::ops::ControlFlow;

use super::{
    search::{DEEPEST, Steps},
    space::{Counts, Space, add_times, named},
};
use crate::{model::Resources, work};

/// Treatment of a mixture.
type Each<'e> = dyn FnMut(&Counts, &mut Steps) -> ControlFlow<()> + 'e;

struct Mixing<'m, 's, 'a> {
    space: &'m Space<'s, 'a>,
    missing: Resources,
    /// The most that one node of a pool, or of any after it, offers of each resource.
    most_from: Vec<Resources>,
    mixture: Counts,
}

/// Calls for every mixture of so many nodes that offers what is missing and keeps the limits, those of the first pools first. Ends when it is told to,
/// or when the steps are used up.
pub(super) fn mixtures(
    space: &Space<'_, '_>,
    nodes: usize,
    need: &Counts,
    steps: &mut Steps,
    each: &mut Each<'_>,
) -> ControlFlow<()> {
    if space.pools.len() > DEEPEST {
        steps.0 = 0;
        return ControlFlow::Break(());
    }
    let mut most_from = vec![Resources::default(); space.pools.len() + 1];
    for at in (0..space.pools.len()).rev() {
        let mut most = most_from[at + 1].clone();
        most.raise_to(&space.pools[at].free);
        most_from[at] = most;
    }
    let mixture = vec![0; space.pools.len()];
    Mixing { space, missing: space.missing(need), most_from, mixture }.spread(0, nodes, steps, each)
}

impl Mixing<'_, '_, '_> {
    /// Takes so many nodes from one pool and those after it.
    fn spread(&mut self, pool: usize, left: usize, steps: &mut Steps, each: &mut Each<'_>) -> ControlFlow<()> {
        if !steps.take() {
            return ControlFlow::Break(());
        }
        work::spend_on(self.space.pools.len());
        if pool == self.space.pools.len() {
            let holds = left == 0 && self.space.may_hold(&self.missing, &self.mixture);
            return if holds { each(&self.mixture, steps) } else { ControlFlow::Continue(()) };
        }
        if !self.may_offer(pool, left) {
            return ControlFlow::Continue(());
        }
        let rest = self.space.pools[pool + 1..].iter().map(|pool| pool.room).fold(0, usize::saturating_add);
        for count in (left.saturating_sub(rest)..=left.min(self.space.pools[pool].room)).rev() {
            self.mixture[pool] = count;
            self.spread(pool + 1, left - count, steps, each)?;
        }
        self.mixture[pool] = 0;
        ControlFlow::Continue(())
    }

    /// `true` if the nodes taken, with the largest of what is left, offer what is missing.
    fn may_offer(&self, pool: usize, left: usize) -> bool {
        let mut offered = Resources::default();
        for (pool, count) in self.space.pools.iter().zip(&self.mixture[..pool]) {
            add_times(&mut offered, &pool.free, *count);
        }
        add_times(&mut offered, &self.most_from[pool], left);
        named(&self.missing).all(|(name, amount)| offered.get(name) >= amount)
    }
}
