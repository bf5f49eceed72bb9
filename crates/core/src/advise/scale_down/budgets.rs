//! Disruption budgets that are used up along the way: what each still allows after the pods of nodes found unneeded before.
//!
//! Source: `cluster-autoscaler/core/scaledown/pdb/basic.go`.

use std::{collections::HashMap, sync::Arc};

use crate::{
    model::{Name, Pod, PodDisruptionBudget},
    snapshot::Snapshot,
    work,
};

/// Evictions that budgets still allow, by namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Budgets(HashMap<Name, Vec<(Arc<PodDisruptionBudget>, i64)>>);

impl Budgets {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut budgets = Self::default();
        for budget in snapshot.disruption_budgets() {
            let of_namespace = budgets.0.entry(budget.namespace.clone()).or_default();
            of_namespace.push((budget.clone(), i64::from(budget.disruptions_allowed)));
        }
        budgets
    }

    /// `true` if any budget covers the pod.
    pub(super) fn cover(&self, pod: &Pod) -> bool {
        self.covering(pod).next().is_some()
    }

    /// `true` if each budget that covers the pod has a disruption left.
    pub(super) fn allow(&self, pod: &Pod) -> bool {
        self.covering(pod).all(|(_, left)| *left >= 1)
    }

    /// `true` if all of the pods can go at once. Where they cannot, but one by one, the removal of their node is risky.
    pub(super) fn allow_at_once(&self, pods: &[Arc<Pod>]) -> bool {
        let mut needed: HashMap<(&Name, &Name), i64> = HashMap::new();
        for (budget, left) in pods.iter().flat_map(|pod| self.covering(pod)) {
            let count = needed.entry((&budget.namespace, &budget.name)).or_default();
            *count += 1;
            if *count > *left {
                return false;
            }
        }
        true
    }

    /// Uses up one disruption of each budget that covers a pod.
    pub(super) fn use_up(&mut self, pods: &[Arc<Pod>]) {
        for pod in pods {
            for (budget, left) in self.0.get_mut(&pod.namespace).into_iter().flatten() {
                if selects(budget, pod) {
                    *left = left.saturating_sub(1);
                }
            }
        }
    }

    fn covering(&self, pod: &Pod) -> impl Iterator<Item = &(Arc<PodDisruptionBudget>, i64)> {
        let of_namespace = self.0.get(&pod.namespace).map_or(&[][..], Vec::as_slice);
        work::spend_on(of_namespace.len());
        of_namespace.iter().filter(|(budget, _)| selects(budget, pod))
    }
}

/// `true` if the budget's selector matches the pod. Unlike for evictions a pod without labels is matched by an empty selector.
fn selects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    budget.selector.as_ref().is_some_and(|selector| selector.matches(&pod.labels))
}
