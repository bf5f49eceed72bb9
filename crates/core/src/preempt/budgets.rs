//! Victims that would break a disruption budget.
//!
//! Source: `default_preemption.go` (`filterPodsWithPDBViolation`).

use std::{ops::Range, sync::Arc};

use rustc_hash::FxHashMap;

use crate::{
    model::{Name, Pod, PodDisruptionBudget},
    snapshot::Snapshot,
    work,
};

/// Disruptions that the eviction of these pods uses up, per budget: one for each pod that the budget counts, at most all that it
/// allows. An eviction by the API does this too (`eviction.go`, `checkAndDecrement`), so a budget that allows one disruption allows it
/// once, to any evictor.
pub fn charges(victims: &[Arc<Pod>], snapshot: &Snapshot) -> Vec<(Arc<PodDisruptionBudget>, i32)> {
    if victims.is_empty() {
        return Vec::new();
    }
    let charge = |budget: &Arc<PodDisruptionBudget>| {
        let counts = |victim: &&Arc<Pod>| {
            budget.covers(victim) && budget.charges_for(victim) && !budget.disrupted_pods.contains(&victim.name)
        };
        let used = victims.iter().filter(counts).count();
        let used = i32::try_from(used).unwrap_or(i32::MAX).min(budget.disruptions_allowed);
        (used > 0).then(|| (budget.clone(), used))
    };
    snapshot.disruption_budgets().filter_map(charge).collect()
}

/// The cluster's disruption budgets.
pub(super) struct Budgets<'s> {
    all: Vec<&'s PodDisruptionBudget>,
    /// The range of a namespace's budgets in `all`.
    by_namespace: FxHashMap<&'s Name, Range<usize>>,
}

impl<'s> Budgets<'s> {
    pub(super) fn new(snapshot: &'s Snapshot) -> Self {
        let all: Vec<_> = snapshot.disruption_budgets().map(|budget| &**budget).collect();
        let mut by_namespace: FxHashMap<&Name, Range<usize>> = FxHashMap::default();
        for (at, budget) in all.iter().enumerate() {
            by_namespace.entry(&budget.namespace).or_insert(at..at).end = at + 1;
        }
        Self { all, by_namespace }
    }

    /// Parts the pods into those whose eviction some budget does not allow and the others, each in the order given.
    ///
    /// Every pod takes one from each budget that protects it, whether it will be a victim or not, so those in front use a
    /// budget up first. A pod whose eviction a budget has counted already takes nothing from that one.
    pub(super) fn split<'p>(&self, pods: &'p [Arc<Pod>]) -> (Vec<&'p Arc<Pod>>, Vec<&'p Arc<Pod>>) {
        let mut allowed: Vec<i32> = self.all.iter().map(|budget| budget.disruptions_allowed).collect();
        pods.iter().partition(|pod| {
            let mut breaks = false;
            for at in self.by_namespace.get(&pod.namespace).cloned().into_iter().flatten() {
                work::spend(1);
                let budget = self.all[at];
                if budget.protects(pod) && !budget.disrupted_pods.contains(&pod.name) {
                    allowed[at] = allowed[at].saturating_sub(1);
                    breaks |= allowed[at] < 0;
                }
            }
            breaks
        })
    }
}
