//! Evictions of a cycle, and the limits and disruption budgets that they use up.
//!
//! Every eviction counts for `maxNoOfPodsToEvictTotal`, `maxNoOfPodsToEvictPerNode` and `maxNoOfPodsToEvictPerNamespace`. Then the disruption
//! budgets are asked: a pod that two budgets cover is refused, and one budget must have a disruption left, which the eviction uses up. Which pods
//! cost a disruption is set by [`Charging`].
//!
//! Source: `descheduler/pkg/descheduler/evictions/evictions.go` (`EvictPod`), `pkg/registry/core/pod/storage/eviction.go`.

use std::{collections::BTreeMap, sync::Arc};

use rustc_hash::FxHashMap;

use crate::{
    model::{Name, Pod, PodDisruptionBudget},
    snapshot::Snapshot,
    work,
};

/// How many pods one cycle may evict; `None` for any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of the whole cluster.
    pub total: Option<u64>,
    /// Of one node.
    pub per_node: Option<u64>,
    /// Of one namespace.
    pub per_namespace: Option<u64>,
}

/// Which evictions use up a disruption of a budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charging {
    /// Those of all pods that it covers. This is the careful choice: no eviction that it allows is refused later.
    #[default]
    EveryPod,
    /// As kube-apiserver counts: pods that have not started, have ended or are being deleted cost nothing (`canIgnorePDB`), and those that are not
    /// ready may.
    AsApiServer,
    /// None: no budget is asked.
    Never,
}

/// A pod that is to leave its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// The pod.
    pub pod: Arc<Pod>,
    /// The profile whose strategy chose it.
    pub profile: Name,
    /// The strategy that chose it.
    pub strategy: &'static str,
    /// Why it chose it.
    pub why: String,
}

/// A pod that a strategy chose and a disruption budget keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The pod.
    pub pod: Arc<Pod>,
    /// The strategy that chose it.
    pub strategy: &'static str,
    /// The budgets that keep it.
    pub why: String,
}

/// Why a pod is not evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No further pod is evicted.
    Total,
    /// No further pod of its node is evicted.
    Node,
    /// Others may still be evicted.
    ThisPod,
}

/// Evictions so far.
#[derive(Debug, Default)]
pub(super) struct Ledger<'s> {
    limits: Limits,
    charging: Charging,
    total: u64,
    by_node: FxHashMap<&'s str, u64>,
    by_namespace: FxHashMap<&'s str, u64>,
    /// The budgets of a namespace, with the disruptions that each has left.
    budgets: FxHashMap<&'s str, Vec<(&'s PodDisruptionBudget, i32)>>,
    pub(super) evicted: Vec<Eviction>,
    pub(super) refused: Vec<Refused>,
    /// How many evictions each limit kept from happening, by its field in the policy.
    pub(super) limited: BTreeMap<&'static str, u64>,
    /// How many pods the evictor spared, by strategy and reason.
    pub(super) spared: BTreeMap<(&'static str, &'static str), u64>,
}

impl<'s> Ledger<'s> {
    pub(super) fn new(snapshot: &'s Snapshot, limits: Limits, charging: Charging) -> Self {
        let mut budgets: FxHashMap<&str, Vec<_>> = FxHashMap::default();
        for budget in snapshot.disruption_budgets() {
            budgets.entry(&budget.namespace).or_default().push((&**budget, budget.disruptions_allowed));
        }
        Self { limits, charging, budgets, ..Self::default() }
    }

    /// `true` if a budget covers the pod.
    pub(super) fn has_budget(&self, pod: &Pod) -> bool {
        let budgets = self.budgets.get(&*pod.namespace).map_or(&[][..], Vec::as_slice);
        work::spend_on(budgets.len());
        // Unlike for the eviction API, a pod without labels has one where the selector is empty (`IsPodCoveredByPDB`).
        budgets.iter().any(|(budget, _)| budget.selector.as_ref().is_some_and(|selector| selector.matches(&pod.labels)))
    }

    /// Evicts a pod, as far as limits and budgets allow.
    pub(super) fn evict(
        &mut self,
        pod: &'s Arc<Pod>,
        (profile, strategy): (&Name, &'static str),
        why: impl FnOnce() -> String,
    ) -> Result<(), Denied> {
        let full = |count: u64, most: Option<u64>| most.is_some_and(|most| count >= most);
        let (node, namespace) = (&*pod.node_name, &*pod.namespace);
        let of = |counts: &FxHashMap<&str, u64>, key: &str| counts.get(key).copied().unwrap_or(0);
        let over = if full(self.total, self.limits.total) {
            Some(("maxNoOfPodsToEvictTotal", Denied::Total))
        } else if full(of(&self.by_node, node), self.limits.per_node) {
            Some(("maxNoOfPodsToEvictPerNode", Denied::Node))
        } else if full(of(&self.by_namespace, namespace), self.limits.per_namespace) {
            Some(("maxNoOfPodsToEvictPerNamespace", Denied::ThisPod))
        } else {
            None
        };
        if let Some((limit, denied)) = over {
            *self.limited.entry(limit).or_default() += 1;
            return Err(denied);
        }
        if let Err(why) = self.charge(pod) {
            self.refused.push(Refused { pod: pod.clone(), strategy, why });
            return Err(Denied::ThisPod);
        }
        self.total += 1;
        *self.by_node.entry(node).or_default() += 1;
        *self.by_namespace.entry(namespace).or_default() += 1;
        self.evicted.push(Eviction { pod: pod.clone(), profile: profile.clone(), strategy, why: why() });
        Ok(())
    }

    /// Takes the pod off its budget.
    fn charge(&mut self, pod: &Pod) -> Result<(), String> {
        if self.charging == Charging::Never {
            return Ok(());
        }
        let is_lenient = self.charging == Charging::AsApiServer;
        if is_lenient && (pod.pending || pod.terminal || pod.terminating) {
            return Ok(());
        }
        let Some(budgets) = self.budgets.get_mut(&*pod.namespace) else { return Ok(()) };
        work::spend_on(budgets.len());
        let mut covering = budgets.iter_mut().filter(|(budget, _)| budget.covers(pod));
        let Some((budget, left)) = covering.next() else { return Ok(()) };
        if let Some((second, _)) = covering.next() {
            let (one, two) = (&budget.name, &second.name);
            return Err(format!("the disruption budgets {one} and {two} both cover it: the eviction API refuses that"));
        }
        if is_lenient && !budget.charges_for(pod) {
            return Ok(());
        }
        if *left <= 0 {
            return Err(format!("the disruption budget {} allows no disruption at the moment", budget.name));
        }
        *left -= 1;
        Ok(())
    }
}
