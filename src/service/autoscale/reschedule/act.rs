//! Moves carried out: each pod is evicted by the eviction API, which asks the disruption budgets once more.

use std::sync::Arc;

use metrics::counter;

use crate::{
    core::{
        advise::reschedule::{Move, Policy},
        snapshot::Kind,
    },
    service::{
        Service,
        decisions::Action,
        error::{Error, Result},
        evict,
        objects::{Deletion, Preconditions, Target},
    },
    telemetry,
    wire::{decision::CallKind, deletion, kinds},
};

/// The cluster that is acted on, and the state of it on which the moves were decided.
pub(super) struct On<'a> {
    pub(super) service: &'a Service,
    pub(super) cluster: &'a Arc<str>,
    pub(super) revision: u64,
    pub(super) epoch: u64,
}

impl On<'_> {
    /// Evicts the pods of a plan. A pod that a budget keeps meanwhile, or that is gone or another one by now, stays as it is.
    ///
    /// # Errors
    /// Those of the store; the pods before are evicted then.
    pub(super) async fn evict_all(&self, policy: &Policy, moves: &[Move]) -> Result<()> {
        let kind = kinds::by_core(Kind::Pod).ok_or_else(|| Error::internal("pods are no stored kind"))?;
        for one in moves {
            let pod = &one.eviction.pod;
            let target = Target {
                cluster: self.cluster.clone(),
                kind,
                namespace: Some(pod.namespace.to_string()),
                name: pod.name.to_string(),
            };
            let uid = Some(pod.uid.to_string()).filter(|uid| !uid.is_empty());
            let options =
                deletion::Options { grace_period_seconds: policy.grace_seconds, ..deletion::Options::default() };
            let preconditions = Preconditions { uid, resource_version: None };
            let deletion = Deletion { options, preconditions, dry_run: false };
            let result = match evict::evict(self.service, &target, &deletion).await {
                Ok(_) => {
                    self.note(one, "evicted");
                    "evicted"
                }
                Err(Error::Disruption { .. }) => "refused",
                Err(Error::NotFound(_) | Error::Conflict { .. }) => "stale",
                Err(error) => return Err(error),
            };
            counter!(telemetry::RESCHEDULE_EVICTIONS, "result" => result).increment(1);
        }
        Ok(())
    }

    /// Records a move with its reason.
    pub(super) fn note(&self, one: &Move, what: &str) {
        let pod = &one.eviction.pod;
        self.service.decisions.acted(Action {
            cluster: self.cluster.clone(),
            epoch: self.epoch,
            call: CallKind::Reschedule,
            object: (pod.namespace.to_string(), pod.name.to_string()),
            node: Some(pod.node_name.to_string()),
            revision: self.revision,
            message: format!("{what}: {}", one.step()),
        });
    }
}
