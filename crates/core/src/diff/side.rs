//! One side of a comparison: the working copy of a cluster, and what the profiles of one policy know about it.

use std::sync::Arc;

use crate::{
    batch::{self, Batch, Placed, Standing},
    cycle::{Cycle, PredicateVerdict},
    model::{Name, Pod},
    policy::Profile,
    snapshot::Snapshot,
};

/// Profiles of which boards are kept at a time.
const MOST_PROFILES: usize = 8;

/// Boards of each profile that are kept at a time: of as many kinds of pods.
const MOST_BOARDS: usize = 128;

/// A working copy, and a batch for each profile.
#[derive(Default)]
pub(super) struct Side {
    snapshot: Snapshot,
    /// Grows with every change of the working copy.
    generation: u64,
    /// The profile used last stands first.
    known: Vec<Known>,
}

struct Known {
    profile: Arc<Profile>,
    batch: Batch<Arc<Profile>>,
    /// The generation that the batch has seen.
    seen: u64,
}

impl Side {
    /// The working copy.
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Goes on with another cluster.
    pub(super) fn begin(&mut self, snapshot: Snapshot) {
        self.snapshot = snapshot;
        self.generation += 1;
    }

    /// The node that a profile chooses for a pod.
    pub(super) fn look(&mut self, profile: &Arc<Profile>, pod: &Arc<Pod>, seed: u64) -> Option<Name> {
        self.of(profile).batch.look(pod, seed)
    }

    /// A node as a profile sees it for a pod; `None` if the pod does not fit there.
    pub(super) fn standing(&mut self, profile: &Arc<Profile>, pod: &Arc<Pod>, node: &Name) -> Option<Standing> {
        self.of(profile).batch.standing(pod, node)
    }

    /// Why a pod fits nowhere.
    pub(super) fn sentence(&mut self, profile: &Arc<Profile>, pod: &Arc<Pod>) -> String {
        self.of(profile).batch.sentence(pod)
    }

    /// The first predicate that rules a node out for a pod.
    pub(super) fn failure<'p>(&self, profile: &'p Profile, pod: &Pod, node: &str) -> Option<PredicateVerdict<'p>> {
        let info = self.snapshot.node(node)?;
        Cycle::prepare(profile, pod, &self.snapshot).first_failure(info)
    }

    /// Puts a pod on the node that a profile chose: the pods after it see it there.
    pub(super) fn put(&mut self, profile: &Arc<Profile>, pod: &Pod, node: Name) {
        let known = self.of(profile);
        known.batch.settle(pod, Placed { node, ..Placed::default() });
        let snapshot = known.batch.snapshot().clone();
        known.seen += 1;
        self.begin(snapshot);
    }

    /// The batch of a profile, at the present generation.
    fn of(&mut self, profile: &Arc<Profile>) -> &mut Known {
        if let Some(at) = self.known.iter().position(|known| Arc::ptr_eq(&known.profile, profile)) {
            self.known[..=at].rotate_right(1);
            if self.known[0].seen != self.generation {
                self.known[0].batch.rebase(self.snapshot.clone());
                self.known[0].seen = self.generation;
            }
        } else {
            let options = batch::Options { preempt: false, ..batch::Options::default() };
            let batch = Batch::new(profile.clone(), self.snapshot.clone(), options).keeping(MOST_BOARDS);
            self.known.truncate(MOST_PROFILES - 1);
            self.known.insert(0, Known { profile: profile.clone(), batch, seen: self.generation });
        }
        &mut self.known[0]
    }
}
