//! The queue of pods that wait to be scheduled, as kube-scheduler keeps it: active, backing off, unschedulable, gated.
//!
//! A pure state machine. Times are durations since any one beginning. A pod that fits nowhere sleeps until a change that may cure one of the
//! reasons ([`Changes`]), at most for [`LONGEST_SLEEP`]. Changes that come while a pod is decided count as if they came afterwards.
//!
//! Source: `pkg/scheduler/backend/queue/{scheduling_queue,active_queue,backoff_queue}.go`.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use crate::model::Name;

mod cures;
mod loops;

pub use cures::Changes;
pub use loops::Loops;

/// Shortest and longest time between two attempts (`podInitialBackoffSeconds`, `podMaxBackoffSeconds`).
const SHORTEST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// Longest time that a pod sleeps (`DefaultPodMaxInUnschedulablePodsDuration`).
pub const LONGEST_SLEEP: Duration = Duration::from_mins(5);

/// Namespace and name of a pod.
pub type PodKey = (Name, Name);

/// The pods.
#[derive(Debug, Default)]
pub struct Queue {
    pods: HashMap<PodKey, Waiting>,
    /// By priority, then by arrival.
    active: BTreeSet<(Reverse<i32>, u64, PodKey)>,
    /// By the time at which they are active again.
    backing_off: BTreeSet<(Duration, PodKey)>,
    /// Those that could not be decided, likewise.
    resting: BTreeSet<(Duration, PodKey)>,
    /// By the time at which they began to sleep.
    asleep: BTreeSet<(Duration, PodKey)>,
    /// The number of those that are being decided.
    deciding: usize,
    /// Those asleep, by the changes that wake them.
    by_cures: HashMap<Changes, BTreeSet<PodKey>>,
    arrivals: u64,
    /// Number of the last change, and of the last one of each kind with it.
    changed: u64,
    kinds: Vec<(Changes, u64)>,
}

/// One pod.
#[derive(Debug)]
struct Waiting {
    uid: Name,
    priority: i32,
    arrival: u64,
    /// Attempts that failed in a row.
    attempts: u32,
    /// When it was last decided.
    tried: Duration,
    place: Place,
}

/// The state of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Active,
    BackingOff(Duration),
    /// It could not be decided, so it is not tried before its time.
    Resting(Duration),
    Asleep(Duration, Changes),
    Gated,
    /// It is being decided, since the change of this number; `true` if it has changed meanwhile.
    Deciding(u64, bool),
}

/// The number of pods in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Counts {
    pub active: usize,
    pub backing_off: usize,
    pub unschedulable: usize,
    pub gated: usize,
    pub deciding: usize,
}

/// A pod to put into the queue.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its uid.
    pub uid: Name,
    /// Its priority.
    pub priority: i32,
    /// `true` if it has scheduling gates.
    pub is_gated: bool,
}

impl Queue {
    /// Takes a pod in that waits, or one that has changed. A change may let it fit.
    pub fn put(&mut self, key: &PodKey, pod: Pending) {
        let Pending { uid, priority, is_gated } = pod;
        let known = self.pods.get(key).filter(|known| known.uid == uid);
        let (arrival, attempts, tried, place) = if let Some(known) = known {
            (known.arrival, known.attempts, known.tried, Some(known.place))
        } else {
            self.arrivals += 1;
            (self.arrivals, 0, Duration::ZERO, None)
        };
        let place = match place {
            Some(Place::Deciding(since, _)) => Place::Deciding(since, true),
            _ if is_gated => Place::Gated,
            // Its time is not over yet.
            Some(place @ (Place::BackingOff(_) | Place::Resting(_))) => place,
            Some(Place::Asleep(..)) => Place::BackingOff(tried + backoff(attempts)),
            _ => Place::Active,
        };
        self.remove(key);
        self.insert(key, Waiting { uid, priority, arrival, attempts, tried, place });
    }

    /// Takes a pod out: it is bound, has ended, or is gone.
    pub fn remove(&mut self, key: &PodKey) {
        let Some(pod) = self.pods.remove(key) else { return };
        match pod.place {
            Place::Active => drop(self.active.remove(&(Reverse(pod.priority), pod.arrival, key.clone()))),
            Place::BackingOff(until) => drop(self.backing_off.remove(&(until, key.clone()))),
            Place::Resting(until) => drop(self.resting.remove(&(until, key.clone()))),
            Place::Asleep(since, cures) => {
                self.asleep.remove(&(since, key.clone()));
                if let Some(keys) = self.by_cures.get_mut(&cures) {
                    keys.remove(key);
                    if keys.is_empty() {
                        self.by_cures.remove(&cures);
                    }
                }
            }
            Place::Deciding(..) => self.deciding -= 1,
            Place::Gated => {}
        }
    }

    fn insert(&mut self, key: &PodKey, pod: Waiting) {
        match pod.place {
            Place::Active => drop(self.active.insert((Reverse(pod.priority), pod.arrival, key.clone()))),
            Place::BackingOff(until) => drop(self.backing_off.insert((until, key.clone()))),
            Place::Resting(until) => drop(self.resting.insert((until, key.clone()))),
            Place::Asleep(since, cures) => {
                self.asleep.insert((since, key.clone()));
                self.by_cures.entry(cures).or_default().insert(key.clone());
            }
            Place::Deciding(..) => self.deciding += 1,
            Place::Gated => {}
        }
        self.pods.insert(key.clone(), pod);
    }

    fn move_to(&mut self, key: &PodKey, place: impl FnOnce(&Waiting) -> Place) {
        let Some(known) = self.pods.get(key) else { return };
        let place = place(known);
        let Waiting { uid, priority, arrival, attempts, tried, .. } = known;
        let moved = Waiting {
            uid: uid.clone(),
            priority: *priority,
            arrival: *arrival,
            attempts: *attempts,
            tried: *tried,
            place,
        };
        self.remove(key);
        self.insert(key, moved);
    }

    /// The next pods to decide, at most so many: those of the highest priority, and among them the oldest. Where none is active those that back
    /// off are taken.
    pub fn take(&mut self, now: Duration, most: usize) -> Vec<PodKey> {
        self.wake_due(now);
        let mut keys: Vec<PodKey> = self.active.iter().take(most).map(|(_, _, key)| key.clone()).collect();
        if keys.is_empty() {
            keys = self.backing_off.iter().take(most).map(|(_, key)| key.clone()).collect();
        }
        for key in &keys {
            let since = self.changed;
            self.move_to(key, |_| Place::Deciding(since, false));
            if let Some(pod) = self.pods.get_mut(key) {
                pod.tried = now;
            }
        }
        keys
    }

    /// A pod that was taken fits nowhere, for reasons that these changes may cure.
    pub fn unschedulable(&mut self, key: &PodKey, cures: Changes, now: Duration) {
        let missed = |since: u64| self.kinds.iter().any(|(kind, at)| *at > since && kind.meets(cures));
        let Some(Place::Deciding(since, has_changed)) = self.pods.get(key).map(|pod| pod.place) else { return };
        let is_cured = has_changed || missed(since);
        self.failed(key, |pod| {
            if is_cured { Place::BackingOff(now + backoff(pod.attempts)) } else { Place::Asleep(now, cures) }
        });
    }

    /// A pod that was taken could not be decided: it is tried again.
    pub fn again(&mut self, key: &PodKey, now: Duration) {
        self.failed(key, |pod| Place::Resting(now + backoff(pod.attempts)));
    }

    fn failed(&mut self, key: &PodKey, place: impl FnOnce(&Waiting) -> Place) {
        let Some(pod) = self.pods.get_mut(key).filter(|pod| matches!(pod.place, Place::Deciding(..))) else { return };
        pod.attempts = pod.attempts.saturating_add(1);
        self.move_to(key, place);
    }

    /// Something has changed: pods that it may cure are to be tried again.
    pub fn changed(&mut self, changes: Changes) {
        if changes.is_empty() {
            return;
        }
        self.changed += 1;
        match self.kinds.iter_mut().find(|(kind, _)| *kind == changes) {
            Some((_, at)) => *at = self.changed,
            None => self.kinds.push((changes, self.changed)),
        }
        let cured: Vec<PodKey> = self
            .by_cures
            .iter()
            .filter(|(cures, _)| cures.meets(changes))
            .flat_map(|(_, keys)| keys.iter().cloned())
            .collect();
        for key in cured {
            self.move_to(&key, |pod| Place::BackingOff(pod.tried + backoff(pod.attempts)));
        }
    }

    /// Wakes those whose time is over.
    fn wake_due(&mut self, now: Duration) {
        let waits_until = self.backing_off.iter().chain(&self.resting);
        let backed_off = waits_until.filter(|(until, _)| *until <= now).map(|(_, key)| key.clone());
        let slept = self.asleep.iter().take_while(|(since, _)| *since + LONGEST_SLEEP <= now);
        let due: Vec<PodKey> = backed_off.chain(slept.map(|(_, key)| key.clone())).collect();
        for key in due {
            self.move_to(&key, |_| Place::Active);
        }
    }

    /// When a pod can be taken; `None` while none waits for its time.
    pub fn next(&self) -> Option<Duration> {
        if !self.active.is_empty() || !self.backing_off.is_empty() {
            return Some(Duration::ZERO);
        }
        let rested = self.resting.first().map(|(until, _)| *until);
        let slept = self.asleep.first().map(|(since, _)| *since + LONGEST_SLEEP);
        rested.into_iter().chain(slept).min()
    }

    /// `true` if a pod with this uid is in the queue.
    pub fn has(&self, key: &PodKey, uid: &str) -> bool {
        self.pods.get(key).is_some_and(|pod| *pod.uid == *uid)
    }

    /// Failed attempts of a pod in a row.
    pub fn attempts(&self, key: &PodKey) -> u32 {
        self.pods.get(key).map_or(0, |pod| pod.attempts)
    }

    /// The number of pods in each state.
    pub fn counts(&self) -> Counts {
        let (active, backing_off) = (self.active.len(), self.backing_off.len() + self.resting.len());
        let (unschedulable, deciding) = (self.asleep.len(), self.deciding);
        let gated = self.pods.len() - active - backing_off - unschedulable - deciding;
        Counts { active, backing_off, unschedulable, gated, deciding }
    }
}

/// Time until the next attempt after so many that failed.
fn backoff(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(8);
    (SHORTEST_BACKOFF * 2_u32.pow(doublings)).min(LONGEST_BACKOFF)
}

#[cfg(test)]
mod tests;
