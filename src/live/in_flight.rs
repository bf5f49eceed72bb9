//! Victims and assumed pods that the extender verbs of one cluster keep between calls, in this process: see
//! [`crate::core::in_flight`].

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::View;
use crate::{
    clock::Elapsed,
    core::{
        in_flight::{Assumed, Departures, Preemptions, Victim},
        model::{Name, Pod},
        snapshot::Snapshot,
    },
};

/// The times for which victims and assumed pods are kept.
#[derive(Clone, Debug, Default)]
pub struct Remembering {
    /// Victims that `/preempt` named; zero: not at all.
    pub victims_for: Duration,
    /// Pods that were in all likelihood bound after `/filter` or `/prioritize`; zero: not at all.
    pub binds_for: Duration,
    /// The clock.
    pub elapsed: Elapsed,
}

/// The memory of one cluster's extender verbs.
#[derive(Debug, Default)]
pub struct InFlight {
    elapsed: Elapsed,
    /// How many pods have victims outstanding, to be looked at without a lock.
    preempting: AtomicUsize,
    preemptions: Mutex<AsOf<Preemptions>>,
    assumes: bool,
    assumed: Mutex<AsOf<Assumed>>,
}

/// Something that was brought up to date with a view.
#[derive(Debug, Default)]
struct AsOf<T> {
    view: Option<Arc<View>>,
    value: T,
}

impl<T> AsOf<T> {
    /// `true` if this is another view than the last time.
    fn turns_to(&mut self, view: &Arc<View>) -> bool {
        let is_new = self.view.as_ref().is_none_or(|known| !Arc::ptr_eq(known, view));
        if is_new {
            self.view = Some(view.clone());
        }
        is_new
    }
}

impl InFlight {
    /// Nothing is remembered yet.
    pub(super) fn new(remembering: &Remembering) -> Self {
        let Remembering { victims_for, binds_for, elapsed } = remembering;
        Self {
            elapsed: elapsed.clone(),
            preempting: AtomicUsize::default(),
            preemptions: Mutex::new(AsOf { view: None, value: Preemptions::new(nanos(*victims_for)) }),
            assumes: !binds_for.is_zero(),
            assumed: Mutex::new(AsOf { view: None, value: Assumed::new(nanos(*binds_for)) }),
        }
    }

    /// The pods that count as gone when a pod asks for nodes; `None` if there are none.
    pub fn departures(&self, pod: &Pod, view: &Arc<View>) -> Option<Departures> {
        if pod.nominated_node_name.is_empty() && self.preempting.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.preemptions(view).value.departures(pod, &view.snapshot)
    }

    /// The node whose victims a pod waits for, so that no other is to be offered.
    pub fn outstanding(&self, pod: &Pod, view: &Arc<View>) -> Option<Name> {
        self.preemptions(view).value.outstanding(pod)
    }

    /// Remembers the victims that were named for a pod, by node.
    pub fn named(&self, pod: &Pod, victims: BTreeMap<Name, Vec<Victim>>, view: &Arc<View>) {
        let now = self.now();
        let mut preemptions = self.preemptions(view);
        preemptions.value.offer(pod, victims, now);
        self.preempting.store(preemptions.value.len(), Ordering::Relaxed);
    }

    /// `true` if binds are assumed at all.
    pub fn assumes(&self) -> bool {
        self.assumes
    }

    /// The cluster with the assumed pods on their nodes, for scoring this pod, whose own entry ends now. `None` if that equals the view.
    pub fn assumed(&self, pod: &Pod, view: &Arc<View>) -> Option<Snapshot> {
        if !self.assumes {
            return None;
        }
        let mut assumed = self.assumed_as_of(view);
        assumed.value.forget_pod(pod);
        (!assumed.value.is_empty()).then(|| assumed.value.state().clone())
    }

    /// Records that a pod was filtered: it is assumed on the node if only one fits, or nowhere.
    pub fn filtered(&self, pod: &Pod, only: Option<&str>, view: &Arc<View>) {
        if self.assumes {
            let now = self.now();
            let mut assumed = self.assumed_as_of(view);
            assumed.value.forget_pod(pod);
            if let Some(node) = only {
                assumed.value.assume(pod, &node.into(), now);
            }
        }
    }

    /// Assumes that a pod goes to a node.
    pub fn assume(&self, pod: &Pod, node: &Name, view: &Arc<View>) {
        if self.assumes {
            let now = self.now();
            self.assumed_as_of(view).value.assume(pod, node, now);
        }
    }

    fn preemptions(&self, view: &Arc<View>) -> MutexGuard<'_, AsOf<Preemptions>> {
        let now = self.now();
        let mut preemptions = lock(&self.preemptions);
        if preemptions.turns_to(view) || preemptions.value.next_end().is_some_and(|end| end <= now) {
            preemptions.value.settle(&view.snapshot, now);
            self.preempting.store(preemptions.value.len(), Ordering::Relaxed);
        }
        if preemptions.value.is_empty() {
            preemptions.view = None; // No old view is kept for nothing.
        }
        preemptions
    }

    fn assumed_as_of(&self, view: &Arc<View>) -> MutexGuard<'_, AsOf<Assumed>> {
        let now = self.now();
        let mut assumed = lock(&self.assumed);
        if assumed.turns_to(view) {
            assumed.value.rebase(&view.snapshot, now);
        }
        assumed.value.expire(now);
        assumed
    }

    fn now(&self) -> u64 {
        nanos(self.elapsed.now())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A panic between two changes leaves at worst something that is remembered for too long.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
