//! Rescheduling: which running pods should leave their nodes, as the descheduler decides it.
//!
//! One cycle looks at the ready nodes that `nodeSelector` selects; with fewer than two of them it does nothing. First the strategies under
//! `deschedule` of all profiles run, then those under `balance`, each in the order of the policy. Every strategy looks at the cluster as it was at the
//! beginning: pods that were evicted still stand on their nodes until the cycle ends. So one that is chosen twice is evicted twice, and counts
//! twice for limits and budgets. Where the descheduler takes nodes or
//! pods in the random order of a map, they are taken by name here.
//!
//! Source: `descheduler/pkg/descheduler/descheduler.go` (`runProfiles`), `descheduler/pkg/framework/profile/profile.go`.

use std::{
    collections::{BTreeMap, HashSet},
    rc::Rc,
    sync::Arc,
};

use rustc_hash::FxHashMap;

use self::{
    ledger::{Denied, Ledger},
    node_fit::Places,
    nodes::{Nodes, ready},
};
use super::Advice;
use crate::{
    model::{Name, Pod},
    node_info::NodeInfo,
    snapshot::Snapshot,
    work,
};

mod best;
pub mod evictor;
pub mod high_node_utilization;
mod ledger;
pub mod low_node_utilization;
mod measure;
mod moves;
mod node_fit;
mod nodes;
pub mod pod_life_time;
pub mod policy;
pub mod remove_duplicates;
pub mod remove_failed_pods;
pub mod remove_pods_having_too_many_restarts;
pub mod remove_pods_violating_inter_pod_anti_affinity;
pub mod remove_pods_violating_node_affinity;
pub mod remove_pods_violating_node_taints;
pub mod remove_pods_violating_topology_spread_constraint;
pub mod utilization;

pub use self::{
    best::{Bounds, Plan, best},
    evictor::Evictor,
    ledger::{Charging, Eviction, Limits, Refused},
    measure::{Balance, Measure, Violations},
    moves::{Fate, Move, Scheduling, carry_out},
    policy::{Namespaces, PodFilter, Policy, Profile, Strategy},
};

#[cfg(test)]
mod tests;

const fn strategy(name: &'static str, source: &'static str) -> Advice {
    Advice { name, kind: "EvictionStrategy", source }
}

/// The strategies, and the evictor that they share.
pub static ALL: &[Advice] = &[
    Advice { name: evictor::NAME, kind: "Evictor", source: include_str!("evictor.rs") },
    strategy("HighNodeUtilization", include_str!("high_node_utilization.rs")),
    strategy("LowNodeUtilization", include_str!("low_node_utilization.rs")),
    strategy("PodLifeTime", include_str!("pod_life_time.rs")),
    strategy("RemoveDuplicates", include_str!("remove_duplicates.rs")),
    strategy("RemoveFailedPods", include_str!("remove_failed_pods.rs")),
    strategy("RemovePodsHavingTooManyRestarts", include_str!("remove_pods_having_too_many_restarts.rs")),
    strategy(
        "RemovePodsViolatingInterPodAntiAffinity",
        include_str!("remove_pods_violating_inter_pod_anti_affinity.rs"),
    ),
    strategy("RemovePodsViolatingNodeAffinity", include_str!("remove_pods_violating_node_affinity.rs")),
    strategy("RemovePodsViolatingNodeTaints", include_str!("remove_pods_violating_node_taints.rs")),
    strategy(
        "RemovePodsViolatingTopologySpreadConstraint",
        include_str!("remove_pods_violating_topology_spread_constraint.rs"),
    ),
];

/// The result of a cycle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Pods that are to leave their nodes, in the order in which they were chosen. One that was chosen twice is there twice.
    pub evicted: Vec<Eviction>,
    /// Pods that were chosen and that disruption budgets keep.
    pub refused: Vec<Refused>,
    /// How many evictions each limit kept from happening, by its field in the policy.
    pub limited: BTreeMap<&'static str, u64>,
    /// How many pods the evictor spared, by strategy and reason.
    pub spared: BTreeMap<(&'static str, &'static str), u64>,
    /// `true` if fewer than two nodes are ready and selected, so that nothing was done.
    pub has_too_few_nodes: bool,
}

impl Outcome {
    /// The evictions, one for each pod, and the pods of the others.
    pub fn once_each(&self) -> (Vec<Eviction>, Vec<Arc<Pod>>) {
        let mut seen = HashSet::new();
        let (first, again): (Vec<&Eviction>, Vec<&Eviction>) =
            self.evicted.iter().partition(|one| seen.insert((&*one.pod.namespace, &*one.pod.name)));
        (first.into_iter().cloned().collect(), again.into_iter().map(|one| one.pod.clone()).collect())
    }
}

/// A policy that does not suit the cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("profile {profile:?}: priorityThreshold.name: {why}")]
pub struct Unsuited {
    /// The profile.
    pub profile: Name,
    /// Why.
    pub why: String,
}

/// Runs one cycle. `now` is in nanoseconds since 1970.
///
/// # Errors
/// If a profile names a priority class that the cluster does not have.
pub fn reschedule(snapshot: &Snapshot, policy: &Policy, now: i64) -> Result<Outcome, Unsuited> {
    let mut cycle = Cycle::new(snapshot, policy, now);
    let mut thresholds = Vec::with_capacity(policy.profiles.len());
    for profile in &policy.profiles {
        let unsuited = |why| Unsuited { profile: profile.name.clone(), why };
        thresholds.push(profile.evictor.priority.value(snapshot).map_err(unsuited)?);
    }
    if cycle.nodes.list.len() < 2 {
        return Ok(Outcome { has_too_few_nodes: true, ..Outcome::default() });
    }
    let mut places: Vec<Option<Places<'_>>> = policy.profiles.iter().map(|_| None).collect();
    for is_balance in [false, true] {
        for (at, profile) in policy.profiles.iter().enumerate() {
            for strategy in if is_balance { &profile.balance } else { &profile.deschedule } {
                let name = strategy.name();
                let (places, threshold) = (&mut places[at], thresholds[at]);
                strategy.run(&mut Turn { cycle: &mut cycle, profile, strategy: name, places, threshold });
            }
        }
    }
    let Ledger { evicted, refused, limited, spared, .. } = cycle.ledger;
    Ok(Outcome { evicted, refused, limited, spared, has_too_few_nodes: false })
}

/// One cycle.
#[derive(Debug)]
pub struct Cycle<'s> {
    snapshot: &'s Snapshot,
    now: i64,
    /// The nodes that strategies look at.
    nodes: Rc<Nodes<'s>>,
    /// Pods that have ended, by their node.
    ended: Option<FxHashMap<&'s str, Vec<&'s Arc<Pod>>>>,
    /// How many pods each owner has, by its uid.
    replicas: Option<FxHashMap<&'s str, usize>>,
    ledger: Ledger<'s>,
}

impl<'s> Cycle<'s> {
    fn new(snapshot: &'s Snapshot, policy: &Policy, now: i64) -> Self {
        let nodes = Rc::new(Nodes::new(snapshot, &policy.node_selector));
        let ledger = Ledger::new(snapshot, policy.limits, policy.charging);
        Self { snapshot, now, nodes, ended: None, replicas: None, ledger }
    }

    /// How many pods the pod's owner has; `None` where it has not exactly one.
    fn replicas(&mut self, pod: &Pod) -> Option<usize> {
        let controller = pod.controller.as_ref().filter(|_| pod.facts().other_owners.is_empty())?;
        let snapshot = self.snapshot;
        let counts = self.replicas.get_or_insert_with(|| {
            work::spend_on(snapshot.pod_count());
            let mut counts = FxHashMap::default();
            for owner in snapshot.pods().filter_map(|pod| pod.controller.as_ref()) {
                *counts.entry(&*owner.uid).or_default() += 1;
            }
            counts
        });
        counts.get(&*controller.uid).copied()
    }
}

/// One strategy's turn in a cycle.
#[derive(Debug)]
pub struct Turn<'c, 's> {
    cycle: &'c mut Cycle<'s>,
    profile: &'c Profile,
    strategy: &'static str,
    /// Where evicted pods may go, for `nodeFit`.
    places: &'c mut Option<Places<'s>>,
    /// The priority from which on pods are spared.
    threshold: i32,
}

impl<'s> Turn<'_, 's> {
    fn now(&self) -> i64 {
        self.cycle.now
    }

    /// The nodes, in order of their names.
    fn nodes(&self) -> Vec<&'s Arc<NodeInfo>> {
        self.cycle.nodes.list.clone()
    }

    /// The nodes, by which pods can be looked up.
    fn known_nodes(&self) -> Rc<Nodes<'s>> {
        self.cycle.nodes.clone()
    }

    /// The pods of a node, those that have ended too, in order of namespace and name.
    fn all_pods(&mut self, node: &'s NodeInfo) -> Vec<&'s Arc<Pod>> {
        let snapshot = self.cycle.snapshot;
        let ended = self.cycle.ended.get_or_insert_with(|| {
            work::spend_on(snapshot.pod_count());
            let mut ended: FxHashMap<&str, Vec<&Arc<Pod>>> = FxHashMap::default();
            for pod in snapshot.pods().filter(|pod| pod.terminal && pod.is_assigned()) {
                ended.entry(&*pod.node_name).or_default().push(pod);
            }
            ended
        });
        let mut pods: Vec<_> = node.pods.iter().collect();
        if let Some(ended) = ended.get(&**node.name()) {
            pods.extend(ended);
            pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        }
        work::spend_on(pods.len());
        pods
    }

    /// `true` if the evictor does not spare the pod (`Filter`).
    fn may_evict(&mut self, pod: &Pod) -> bool {
        work::spend(1);
        let spared = self.profile.evictor.spares(pod, self.threshold, self.cycle);
        if let Some(reason) = spared {
            self.note_spared(reason);
        }
        spared.is_none()
    }

    /// `true` if nothing speaks against the eviction right before it (`PreEvictionFilter`).
    fn may_go(&mut self, pod: &'s Pod) -> bool {
        let Evictor { node_fit, node_selector, namespace_labels, .. } = &self.profile.evictor;
        if *node_fit {
            let snapshot = self.cycle.snapshot;
            let places = self.places.get_or_insert_with(|| Places::new(ready(snapshot, node_selector)));
            if !places.has_another(pod) {
                self.note_spared("no other node has room for it (nodeFit)");
                return false;
            }
        }
        let is_selected = namespace_labels.is_empty()
            || self.cycle.snapshot.has_namespace(&pod.namespace)
                && namespace_labels.matches(self.cycle.snapshot.namespace_labels(&pod.namespace));
        if !is_selected {
            self.note_spared("namespaceLabelSelector does not select its namespace");
        }
        is_selected
    }

    /// `true` if a pod that the strategy looks at may be evicted now: both filters.
    fn may_leave(&mut self, filter: &PodFilter, pod: &'s Pod) -> bool {
        filter.has(pod) && self.may_evict(pod) && self.may_go(pod)
    }

    fn note_spared(&mut self, reason: &'static str) {
        *self.cycle.ledger.spared.entry((self.strategy, reason)).or_default() += 1;
    }

    /// Evicts a pod, as far as limits and budgets allow.
    fn evict(&mut self, pod: &'s Arc<Pod>, why: impl FnOnce() -> String) -> Result<(), Denied> {
        self.cycle.ledger.evict(pod, (&self.profile.name, self.strategy), why)
    }

    /// Evicts pods one after the other. Those of a node that has reached its limit are passed over.
    ///
    /// # Errors
    /// If no further pod is evicted at all.
    fn evict_all(
        &mut self,
        pods: impl IntoIterator<Item = &'s Arc<Pod>>,
        mut why: impl FnMut(&'s Pod) -> String,
    ) -> Result<(), Denied> {
        let mut full: HashSet<&str> = HashSet::new();
        for pod in pods {
            if full.contains(&*pod.node_name) {
                continue;
            }
            match self.evict(pod, || why(pod)) {
                Err(Denied::Total) => return Err(Denied::Total),
                Err(Denied::Node) => drop(full.insert(&pod.node_name)),
                Ok(()) | Err(Denied::ThisPod) => {}
            }
        }
        Ok(())
    }
}

/// Sorts pods as they are evicted: by priority, the lowest first and those without one before all; among equals `BestEffort`, `Burstable` and
/// `Guaranteed`; then those that do not ask to stay (`SortPodsBasedOnPriorityLowToHigh`).
fn lowest_first(pods: &mut [&Arc<Pod>]) {
    pods.sort_by_key(|pod| {
        let quality = if pod.is_best_effort() { 0 } else { 1 + u8::from(pod.facts().guaranteed) };
        (pod.spec.priority, quality, pod.facts().prefers_no_eviction)
    });
}

/// Seconds since an instant; `None` where it lies ahead. Absent is very long ago.
fn age(now: i64, since: Option<i64>) -> Option<u64> {
    let nanos = now.saturating_sub(since.unwrap_or(i64::MIN));
    u64::try_from(nanos).ok().map(|nanos| nanos / 1_000_000_000)
}
