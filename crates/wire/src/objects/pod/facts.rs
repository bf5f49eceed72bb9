//! Facts of a pod that eviction and autoscaling read.

use std::collections::BTreeMap;

use super::{ContainerStatus, Pod};
use crate::objects::{
    meta::{ObjectMeta, read_instant},
    quantity::QuantityText,
    volume::Volume,
};
use podberth_core::model::{
    self, ContainerState, DAEMON_SET_POD, EVICT, LocalVolume, LocalVolumeKind, MIRROR, PREFER_NO_EVICTION, Phase,
    PodFacts, Quantity, RestartPolicy, SAFE_LOCAL_VOLUMES, SAFE_TO_EVICT, SOURCE, resources,
};

impl Pod {
    /// Its facts; `None` for those of a running pod that has none of its own. A time or a word that cannot be read counts as absent.
    pub(super) fn facts(&self) -> Option<Box<PodFacts>> {
        let ObjectMeta { annotations, deletion_timestamp, owner_references, .. } = &self.metadata;
        let (spec, status) = (&self.spec, &self.status);
        let text = |key: &str| annotations.get(key).map(|value| model::Name::from(value.as_str()));
        let unscheduled = status.conditions.iter().find(|condition| condition.kind == "PodScheduled");
        let facts = PodFacts {
            phase: match status.phase.as_str() {
                "Pending" => Phase::Pending,
                "Succeeded" => Phase::Succeeded,
                "Failed" => Phase::Failed,
                "Unknown" => Phase::Unknown,
                _ => Phase::Running,
            },
            reason: status.reason.as_str().into(),
            restart_policy: match spec.restart_policy.as_str() {
                "OnFailure" => RestartPolicy::OnFailure,
                "Never" => RestartPolicy::Never,
                _ => RestartPolicy::Always,
            },
            deleted: deletion_timestamp.as_deref().and_then(read_instant),
            grace_seconds: spec.termination_grace_period_seconds,
            other_owners: owner_references.iter().filter(|o| !o.controller).map(|o| o.kind.as_str().into()).collect(),
            safe_to_evict: text(SAFE_TO_EVICT),
            safe_local_volumes: text(SAFE_LOCAL_VOLUMES),
            guaranteed: self.is_guaranteed(),
            evict: annotations.contains_key(EVICT),
            prefers_no_eviction: annotations.contains_key(PREFER_NO_EVICTION),
            daemon_set_pod: annotations.get(DAEMON_SET_POD).is_some_and(|value| value == "true"),
            mirror: annotations.contains_key(MIRROR),
            static_pod: annotations.get(SOURCE).is_some_and(|source| source != "api"),
            local_volumes: spec.volumes.iter().filter_map(local).collect(),
            containers: states(&status.init_container_statuses, true)
                .chain(states(&status.container_statuses, false))
                .collect(),
            unschedulable_since: unscheduled
                .filter(|condition| condition.status == "False" && condition.reason == "Unschedulable")
                .and_then(|condition| condition.last_transition_time.as_deref().and_then(read_instant)),
        };
        (facts != PodFacts::default()).then(|| Box::new(facts))
    }
}

impl Pod {
    /// `true` if every container has limits of CPU and memory, and the sums of requests equal those of the limits
    /// (`pkg/apis/core/v1/helper/qos/qos.go`).
    fn is_guaranteed(&self) -> bool {
        let containers = || self.spec.containers.iter().chain(&self.spec.init_containers).map(|c| &c.resources);
        let is_equal = |name: &str| {
            sum(containers().map(|held| &held.limits), name).is_some_and(|limits| {
                let asked = containers().filter(|held| held.requests.contains_key(name)).map(|held| &held.requests);
                // A limit without a request is a request.
                let missing = containers().filter(|held| !held.requests.contains_key(name)).map(|held| &held.limits);
                sum(asked.chain(missing), name) == Some(limits)
            })
        };
        !self.spec.containers.is_empty() && [resources::CPU, resources::MEMORY].into_iter().all(is_equal)
    }
}

/// The sum of an amount over all lists; `None` if one of them has none.
fn sum<'a>(mut lists: impl Iterator<Item = &'a BTreeMap<String, QuantityText>>, name: &str) -> Option<Quantity> {
    lists.try_fold(Quantity::default(), |sum, list| {
        let amount: Quantity = list.get(name)?.0.trim().parse().ok()?;
        (!amount.is_zero()).then(|| sum.saturating_add(amount))
    })
}

fn local(volume: &Volume) -> Option<LocalVolume> {
    let kind = match (&volume.host_path, &volume.empty_dir) {
        (Some(_), _) => LocalVolumeKind::HostPath,
        (None, Some(directory)) if directory.medium == "Memory" => LocalVolumeKind::Memory,
        (None, Some(_)) => LocalVolumeKind::Disk,
        (None, None) => return None,
    };
    Some(LocalVolume { name: volume.name.as_str().into(), kind })
}

fn states(statuses: &[ContainerStatus], is_init: bool) -> impl Iterator<Item = ContainerState> {
    let state = move |status: &ContainerStatus| {
        let (waiting, terminated) = (status.state.waiting.as_ref(), status.state.terminated.as_ref());
        ContainerState {
            is_init,
            restarts: status.restart_count,
            waiting: waiting.map(|waiting| waiting.reason.as_str().into()).unwrap_or_default(),
            terminated: terminated.map(|terminated| terminated.reason.as_str().into()).unwrap_or_default(),
            exit_code: terminated.map(|terminated| terminated.exit_code),
        }
    };
    let plain = ContainerState { is_init, ..ContainerState::default() };
    statuses.iter().map(state).filter(move |state| *state != plain)
}
