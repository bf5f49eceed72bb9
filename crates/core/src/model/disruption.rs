//! Pod disruption budgets and priority classes.
//!
//! Source: `api/policy/v1/types.go`, `api/scheduling/v1/types.go`, `pkg/registry/core/pod/storage/eviction.go`.

use std::sync::{Arc, LazyLock};

use super::{Name, Pod, Selector};

/// How many pods of a group may be evicted at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodDisruptionBudget {
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// The pods it protects; `None` protects none.
    pub selector: Option<Selector>,
    /// `status.disruptionsAllowed`.
    pub disruptions_allowed: i32,
    /// The pods whose eviction is under way already and counted (`status.disruptedPods`), by name.
    pub disrupted_pods: Vec<Name>,
    /// `true` if pods that are not ready may be evicted at no cost: `spec.unhealthyPodEvictionPolicy` is `AlwaysAllow`, or enough pods
    /// are healthy.
    pub spares_unready: bool,
}

impl PodDisruptionBudget {
    /// `true` if the budget protects `pod`. An empty or absent selector protects no pod, and no budget protects a pod without labels
    /// (`filterPodsWithPDBViolation`).
    pub fn protects(&self, pod: &Pod) -> bool {
        self.namespace == pod.namespace
            && !pod.labels.is_empty()
            && self.selector.as_ref().is_some_and(|s| !s.is_empty() && s.matches(&pod.labels))
    }

    /// `true` if the budget counts evictions of `pod`. Unlike for [`Self::protects`], an empty selector selects every pod that has
    /// labels (`GetPodPodDisruptionBudgets`).
    pub fn covers(&self, pod: &Pod) -> bool {
        self.namespace == pod.namespace
            && !pod.labels.is_empty()
            && self.selector.as_ref().is_some_and(|s| s.matches(&pod.labels))
    }

    /// `true` if the eviction of a pod that the budget covers uses up one of the allowed disruptions. A pod that has not started, has
    /// ended or is being deleted costs nothing (`canIgnorePDB`), and neither does one that is not ready if those are spared.
    pub fn charges_for(&self, pod: &Pod) -> bool {
        !(pod.pending || pod.terminal || pod.terminating || !pod.ready && self.spares_unready)
    }
}

/// Permission of a pod to preempt others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PreemptionPolicy {
    /// It may evict pods of lower priority.
    #[default]
    PreemptLowerPriority,
    /// It waits.
    Never,
}

/// A priority by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriorityClass {
    /// Its name.
    pub name: Name,
    /// The priority of its pods.
    pub value: i32,
    /// `true` if pods without a class name get this class.
    pub global_default: bool,
    /// Permission of its pods to preempt.
    pub preemption_policy: PreemptionPolicy,
}

/// The classes that every cluster has (`pkg/apis/scheduling/v1/helpers.go`).
static SYSTEM: LazyLock<[Arc<PriorityClass>; 2]> = LazyLock::new(|| {
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)]
        .map(|(name, value)| Arc::new(PriorityClass { name: name.into(), value, ..PriorityClass::default() }))
});

impl PriorityClass {
    /// The highest value that a class may have which is not the system's own.
    pub const HIGHEST_USER_VALUE: i32 = 1_000_000_000;
    /// Names that begin so are kept for the system's own classes.
    pub const SYSTEM_PREFIX: &str = "system-";

    /// A class that every cluster has, stored or not.
    pub fn system(name: &str) -> Option<&'static Arc<Self>> {
        SYSTEM.iter().find(|class| *class.name == *name)
    }
}
