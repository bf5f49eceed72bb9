//! `PodLifeTime`: evicts pods that are older than `maxPodLifeTimeSeconds`, or that stay in one of some states.
//!
//! All that is given must hold. `states` match the phase, the reason of the status, or the reason for which a container waits or has ended (init
//! containers with `includingInitContainers`, ephemeral ones with `includingEphemeralContainers`). `exitCodes` match containers that have ended.
//! `ownerKinds` includes or excludes kinds of owners. The oldest pods go first.
//!
//! Source: `descheduler/pkg/framework/plugins/podlifetime`.

use std::collections::BTreeSet;

use super::{PodFilter, Strategy, Turn, age};
use crate::model::{ContainerState, Name, Phase, Pod};

/// Arguments of `PodLifeTime`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodLifeTime {
    /// `namespaces` and `labelSelector`.
    pub pods: PodFilter,
    /// `ownerKinds`.
    pub owners: OwnerKinds,
    /// `maxPodLifeTimeSeconds`.
    pub max_seconds: Option<u64>,
    /// `states`; empty for any.
    pub states: BTreeSet<Name>,
    /// `exitCodes`; empty for any.
    pub exit_codes: BTreeSet<i32>,
    /// `includingInitContainers`.
    pub with_init: bool,
}

/// Kinds of owners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OwnerKinds {
    /// Any, or none.
    #[default]
    Any,
    /// One of these.
    Only(BTreeSet<Name>),
    /// None of these.
    Except(BTreeSet<Name>),
}

impl OwnerKinds {
    /// `true` if the pod's owners are of these kinds.
    pub fn has(&self, pod: &Pod) -> bool {
        let mut kinds = owner_kinds(pod);
        match self {
            Self::Any => true,
            Self::Only(only) => kinds.any(|kind| only.contains(kind)),
            Self::Except(except) => !kinds.any(|kind| except.contains(kind)),
        }
    }
}

/// The kinds of a pod's owners.
pub(super) fn owner_kinds(pod: &Pod) -> impl Iterator<Item = &Name> {
    pod.controller.iter().map(|controller| &controller.kind).chain(&pod.facts().other_owners)
}

/// The name of a phase.
pub(super) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Running => "Running",
        Phase::Succeeded => "Succeeded",
        Phase::Failed => "Failed",
        Phase::Unknown => "Unknown",
    }
}

/// The containers of a pod that count.
pub(super) fn containers(pod: &Pod, with_init: bool) -> impl Iterator<Item = &ContainerState> {
    pod.facts().containers.iter().filter(move |container| with_init || !container.is_init)
}

impl PodLifeTime {
    /// The state for which a pod goes; `None` if it is in none of them.
    fn state<'p>(&self, pod: &'p Pod) -> Option<&'p str> {
        let facts = pod.facts();
        let of_containers = containers(pod, self.with_init).flat_map(|c| [&*c.waiting, &*c.terminated]);
        [phase_name(facts.phase), &*facts.reason]
            .into_iter()
            .chain(of_containers)
            .find(|state| !state.is_empty() && self.states.contains(*state))
    }

    fn has_exited(&self, pod: &Pod) -> bool {
        containers(pod, self.with_init).any(|c| c.exit_code.is_some_and(|code| self.exit_codes.contains(&code)))
    }

    fn chooses(&self, pod: &Pod, now: i64) -> bool {
        self.max_seconds.is_none_or(|max| age(now, pod.created).is_some_and(|age| age > max))
            && (self.states.is_empty() || self.state(pod).is_some())
            && self.owners.has(pod)
            && (self.exit_codes.is_empty() || self.has_exited(pod))
    }
}

impl Strategy for PodLifeTime {
    fn name(&self) -> &'static str {
        "PodLifeTime"
    }

    fn run(&self, turn: &mut Turn<'_, '_>) {
        let mut chosen = Vec::new();
        for node in turn.nodes() {
            for pod in turn.all_pods(node) {
                if self.chooses(pod, turn.now()) && turn.may_leave(&self.pods, pod) {
                    chosen.push(pod);
                }
            }
        }
        chosen.sort_by_key(|pod| pod.created);
        let now = turn.now();
        let why = |pod: &Pod| match (self.max_seconds.zip(age(now, pod.created)), self.state(pod)) {
            (Some((max, age)), _) => format!("it is {age} seconds old, more than {max}"),
            (None, Some(state)) => format!("its state is {state}"),
            (None, None) => "a container of it ended with one of exitCodes".into(),
        };
        let _ = turn.evict_all(chosen, why);
    }
}
