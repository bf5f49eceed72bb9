//! `RemoveFailedPods`: evicts pods that have failed (phase `Failed`).
//!
//! They must be `minPodLifetimeSeconds` old (3,600 where it is not given). With `reasons` the reason of the status, or that of a container, must be
//! one of them; with `exitCodes` a container must have ended with one of them (init containers with `includingInitContainers`).
//! `excludeOwnerKinds` spares pods of some owners.
//!
//! Source: `descheduler/pkg/framework/plugins/removefailedpods`.

use std::collections::BTreeSet;

use super::{
    PodFilter, Strategy, Turn, age,
    pod_life_time::{containers, owner_kinds},
};
use crate::model::{Name, Phase, Pod};

/// Arguments of `RemoveFailedPods`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveFailedPods {
    /// `namespaces` and `labelSelector`.
    pub pods: PodFilter,
    /// `excludeOwnerKinds`.
    pub excluded_owners: BTreeSet<Name>,
    /// `minPodLifetimeSeconds`.
    pub min_seconds: u64,
    /// `reasons`; empty for any.
    pub reasons: BTreeSet<Name>,
    /// `exitCodes`; empty for any.
    pub exit_codes: BTreeSet<i32>,
    /// `includingInitContainers`.
    pub with_init: bool,
}

impl RemoveFailedPods {
    fn chooses(&self, pod: &Pod, now: i64) -> bool {
        let facts = pod.facts();
        let of_containers = || containers(pod, self.with_init);
        let mut reasons =
            of_containers().flat_map(|c| [&c.waiting, &c.terminated]).chain([&facts.reason]).filter(|r| !r.is_empty());
        facts.phase == Phase::Failed
            && age(now, pod.created).is_some_and(|age| age >= self.min_seconds)
            && !owner_kinds(pod).any(|kind| self.excluded_owners.contains(kind))
            && (self.reasons.is_empty() || reasons.any(|reason| self.reasons.contains(reason)))
            && (self.exit_codes.is_empty()
                || of_containers().any(|c| c.exit_code.is_some_and(|code| self.exit_codes.contains(&code))))
    }
}

impl Strategy for RemoveFailedPods {
    fn name(&self) -> &'static str {
        "RemoveFailedPods"
    }

    fn run(&self, turn: &mut Turn<'_, '_>) {
        for node in turn.nodes() {
            let mut chosen = Vec::new();
            for pod in turn.all_pods(node) {
                if self.chooses(pod, turn.now()) && turn.may_leave(&self.pods, pod) {
                    chosen.push(pod);
                }
            }
            let why = |pod: &Pod| match &*pod.facts().reason {
                "" => "it has failed".to_owned(),
                reason => format!("it has failed: {reason}"),
            };
            if turn.evict_all(chosen, why).is_err() {
                return;
            }
        }
    }
}
