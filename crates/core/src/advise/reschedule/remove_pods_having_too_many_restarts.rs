//! `RemovePodsHavingTooManyRestarts`: evicts pods whose containers were started again `podRestartThreshold` times or more, all together.
//!
//! Init containers count with `includingInitContainers`. With `states` the pod must be `Running`, or a container must wait in
//! `CrashLoopBackOff`, as the list says. Of each node the pods with the most restarts go first.
//!
//! Source: `descheduler/pkg/framework/plugins/removepodshavingtoomanyrestarts`.

use std::{cmp::Reverse, collections::BTreeSet};

use super::{
    PodFilter, Strategy, Turn,
    pod_life_time::{containers, phase_name},
};
use crate::model::{Name, Pod};

/// Arguments of `RemovePodsHavingTooManyRestarts`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovePodsHavingTooManyRestarts {
    /// `namespaces` and `labelSelector`.
    pub pods: PodFilter,
    /// `podRestartThreshold`.
    pub threshold: i32,
    /// `includingInitContainers`.
    pub with_init: bool,
    /// `states`; empty for any.
    pub states: BTreeSet<Name>,
}

impl RemovePodsHavingTooManyRestarts {
    fn restarts(&self, pod: &Pod) -> i32 {
        containers(pod, self.with_init).fold(0, |sum, container| container.restarts.saturating_add(sum))
    }

    fn is_in_state(&self, pod: &Pod) -> bool {
        self.states.is_empty()
            || self.states.contains(phase_name(pod.facts().phase))
            || containers(pod, self.with_init).any(|container| self.states.contains(&container.waiting))
    }
}

impl Strategy for RemovePodsHavingTooManyRestarts {
    fn name(&self) -> &'static str {
        "RemovePodsHavingTooManyRestarts"
    }

    fn run(&self, turn: &mut Turn<'_, '_>) {
        for node in turn.nodes() {
            let mut chosen = Vec::new();
            for pod in turn.all_pods(node) {
                if self.restarts(pod) >= self.threshold && self.is_in_state(pod) && turn.may_leave(&self.pods, pod) {
                    chosen.push(pod);
                }
            }
            chosen.sort_by_key(|pod| Reverse(self.restarts(pod)));
            let why = |pod: &Pod| {
                let (restarts, threshold) = (self.restarts(pod), self.threshold);
                format!("its containers were started again {restarts} times, the threshold is {threshold}")
            };
            if turn.evict_all(chosen, why).is_err() {
                return;
            }
        }
    }
}
