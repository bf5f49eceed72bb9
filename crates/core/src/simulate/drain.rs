//! A node is emptied, as `kubectl drain` empties it: by evictions, each of which the disruption budgets allow.
//!
//! An evicted pod is placed at once, so that one that finds a place is healthy again before the next is evicted, and its budgets allow what they
//! allowed before. One that finds none has used its budgets up by one.
//!
//! Source: `staging/src/k8s.io/kubectl/pkg/drain/filters.go`, `pkg/registry/core/pod/storage/eviction.go`.

use std::sync::Arc;

use super::{MadeAnew, Outcome, Simulation, made_anew};
use crate::{
    model::{Name, Pod, PodDisruptionBudget},
    snapshot::{Kind, Object},
};

/// A pod that stays on its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Why it is not evicted.
    pub why: String,
}

/// Evicts the pods of a node that is cordoned, and places each before the next is evicted.
pub(super) fn drain(of: &mut Simulation, node: &Name, outcome: &mut Outcome) {
    let Some(info) = of.snapshot.node(node) else { return };
    let pods = info.pods.clone();
    for pod in &pods {
        match made_anew(pod) {
            MadeAnew::WithItsNode => continue,
            MadeAnew::Never => {
                let why = "no controller makes it anew: delete it, or run it under one".into();
                outcome.blocked.push(Blocked { pod: pod.clone(), why });
                continue;
            }
            MadeAnew::Elsewhere => {}
        }
        let budgets = charged(of, pod);
        if let Some(full) = budgets.iter().find(|budget| budget.disruptions_allowed <= 0) {
            let why = format!("the disruption budget {} allows no disruption at the moment", full.name);
            outcome.blocked.push(Blocked { pod: pod.clone(), why });
            continue;
        }
        of.snapshot.delete(Kind::Pod, &pod.namespace, &pod.name);
        let others = std::mem::take(&mut of.waiting);
        of.wait(pod, node);
        of.place(outcome);
        let is_placed =
            of.waiting.iter().all(|(waiting, _)| waiting.name != pod.name || waiting.namespace != pod.namespace);
        of.waiting.extend(others);
        if !is_placed {
            for budget in budgets {
                let disruptions_allowed = budget.disruptions_allowed.saturating_sub(1);
                let used = PodDisruptionBudget { disruptions_allowed, ..(*budget).clone() };
                of.snapshot.apply(Object::PodDisruptionBudget(used));
            }
        }
    }
    // Those that found no place are told of when all that wait are placed.
    outcome.stuck.clear();
}

/// The budgets that count an eviction of a pod.
fn charged(of: &Simulation, pod: &Pod) -> Vec<Arc<PodDisruptionBudget>> {
    let budgets = of.snapshot.disruption_budgets();
    budgets.filter(|budget| budget.covers(pod) && budget.charges_for(pod)).cloned().collect()
}
