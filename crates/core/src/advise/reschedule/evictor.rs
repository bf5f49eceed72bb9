//! `DefaultEvictor`: which pods may be evicted at all.
//!
//! A pod with the annotation `descheduler.alpha.kubernetes.io/evict` (any value) may always be evicted. Every other pod is spared if it is a
//! mirror pod, a static pod or being deleted, or if a protection holds for it:
//!
//! | protection | spares | on by default |
//! |---|---|---|
//! | `SystemCriticalPods` | priority 2,000,000,000 and above, and `priorityThreshold` and above | yes |
//! | `FailedBarePods` | pods without an owner; switched off, those that have not failed | yes |
//! | `PodsWithLocalStorage` | pods with an `emptyDir` or `hostPath` volume | yes |
//! | `DaemonSetPods` | pods of DaemonSets | yes |
//! | `PodsWithPVC` | pods with a claim to a volume (of `protectedStorageClasses`, if any are named) | no |
//! | `PodsWithoutPDB` | pods that no disruption budget covers | no |
//! | `PodsWithResourceClaims` | pods with claims to devices | no |
//!
//! `labelSelector`, `minReplicas` (of the pod's only owner), `minPodAge` and `noEvictionPolicy: Mandatory` (annotation
//! `descheduler.alpha.kubernetes.io/prefer-no-eviction`) spare further pods. `nodeFit` and `namespaceLabelSelector` are checked last, before the
//! eviction itself, also for annotated pods: with `nodeFit` another node (that `nodeSelector` selects) must have room.
//!
//! Source: `descheduler/pkg/framework/plugins/defaultevictor`.

use std::{collections::BTreeSet, sync::Arc};

use super::Cycle;
use crate::{
    model::{Name, Phase, Pod, Selector, VolumeSource},
    snapshot::Snapshot,
};

/// The name in policies.
pub const NAME: &str = "DefaultEvictor";
/// Pods of this priority and above are critical to the system (`descheduler/pkg/utils/priority.go`).
pub const SYSTEM_CRITICAL: i32 = 2_000_000_000;

/// Arguments of `DefaultEvictor`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a protection of its own")]
pub struct Evictor {
    /// `nodeSelector`: nodes among which `nodeFit` looks.
    pub node_selector: Selector,
    /// `labelSelector`.
    pub labels: Selector,
    /// `namespaceLabelSelector`.
    pub namespace_labels: Selector,
    /// `priorityThreshold`.
    pub priority: PriorityThreshold,
    /// `nodeFit`.
    pub node_fit: bool,
    /// `minReplicas`; up to 1 nothing is checked.
    pub min_replicas: usize,
    /// `minPodAge`, in nanoseconds.
    pub min_age: Option<i64>,
    /// `noEvictionPolicy: Mandatory`.
    pub obeys_no_eviction: bool,
    /// Protection `SystemCriticalPods`.
    pub spares_critical: bool,
    /// Protection `FailedBarePods`.
    pub spares_failed_bare: bool,
    /// Protection `PodsWithLocalStorage`.
    pub spares_local_storage: bool,
    /// Protection `DaemonSetPods`.
    pub spares_daemon_sets: bool,
    /// Protection `PodsWithPVC`: the storage classes, none for all.
    pub spares_claims: Option<Vec<Name>>,
    /// Protection `PodsWithoutPDB`.
    pub spares_without_budget: bool,
    /// Protection `PodsWithResourceClaims`.
    pub spares_devices: bool,
    /// Pods that would only come back: the uids of their controllers, and their nodes. No policy names them; the loop remembers them.
    pub came_back: Arc<BTreeSet<(Name, Name)>>,
}

impl Default for Evictor {
    fn default() -> Self {
        Self {
            node_selector: Selector::default(),
            labels: Selector::default(),
            namespace_labels: Selector::default(),
            priority: PriorityThreshold::Value(SYSTEM_CRITICAL),
            node_fit: false,
            min_replicas: 0,
            min_age: None,
            obeys_no_eviction: false,
            spares_critical: true,
            spares_failed_bare: true,
            spares_local_storage: true,
            spares_daemon_sets: true,
            spares_claims: None,
            spares_without_budget: false,
            spares_devices: false,
            came_back: Arc::default(),
        }
    }
}

/// The priority from which on pods are spared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PriorityThreshold {
    /// This one.
    Value(i32),
    /// That of a class.
    Class(Name),
}

impl PriorityThreshold {
    /// The priority in a cluster.
    ///
    /// # Errors
    /// If there is no such class, or its value is above [`SYSTEM_CRITICAL`].
    pub fn value(&self, snapshot: &Snapshot) -> Result<i32, String> {
        let value = match self {
            Self::Value(value) => *value,
            Self::Class(name) => {
                let class = snapshot.priority_class(name);
                class.map(|class| class.value).ok_or_else(|| format!("priority class {name:?} not found"))?
            }
        };
        if value > SYSTEM_CRITICAL {
            return Err(format!("the priority {value} is above the highest allowed, {SYSTEM_CRITICAL}"));
        }
        Ok(value)
    }
}

impl Evictor {
    /// Why a pod is spared; `None` if it may be evicted (`Filter`).
    pub(super) fn spares(&self, pod: &Pod, threshold: i32, of: &mut Cycle<'_>) -> Option<&'static str> {
        let facts = pod.facts();
        let key = |uid: &Name| (uid.clone(), pod.node_name.clone());
        let owner = pod.controller.as_ref().filter(|_| !self.came_back.is_empty());
        if owner.is_some_and(|owner| self.came_back.contains(&key(&owner.uid))) {
            return Some("one like it was evicted from its node a short while ago, and came back");
        }
        if facts.evict {
            return None;
        }
        let has_owner = pod.controller.is_some() || !facts.other_owners.is_empty();
        if self.obeys_no_eviction && facts.prefers_no_eviction {
            Some("it asks not to be evicted")
        } else if facts.mirror {
            Some("it is a mirror pod")
        } else if facts.static_pod {
            Some("it is a static pod")
        } else if pod.terminating {
            Some("it is being deleted")
        } else if self.spares_critical && pod.spec.priority.is_some_and(|priority| priority >= SYSTEM_CRITICAL) {
            Some("its priority is critical to the system")
        } else if self.spares_critical && pod.spec.priority.is_some_and(|priority| priority >= threshold) {
            Some("its priority reaches priorityThreshold")
        } else if !has_owner && (self.spares_failed_bare || facts.phase != Phase::Failed) {
            Some("it has no owner that would make it anew")
        } else if self.spares_local_storage && !facts.local_volumes.is_empty() {
            Some("it has local storage")
        } else if self.spares_daemon_sets && is_daemon(pod) {
            Some("a DaemonSet owns it")
        } else if self.spares_claims.as_ref().is_some_and(|classes| has_claim(pod, classes, of.snapshot)) {
            Some("it has a volume claim")
        } else if self.spares_without_budget && !of.ledger.has_budget(pod) {
            Some("no disruption budget covers it")
        } else if self.spares_devices && !pod.resource_claims.is_empty() {
            Some("it has claims to devices")
        } else if !self.labels.matches(&pod.labels) {
            Some("labelSelector does not select it")
        } else if self.min_replicas > 1 && of.replicas(pod).is_some_and(|replicas| replicas < self.min_replicas) {
            Some("its owner has fewer pods than minReplicas")
        } else if self.min_age.is_some_and(|min| pod.start_time.is_none_or(|start| of.now.saturating_sub(start) < min))
        {
            Some("it is younger than minPodAge")
        } else {
            None
        }
    }
}

fn is_daemon(pod: &Pod) -> bool {
    let others = &pod.facts().other_owners;
    pod.controller.iter().map(|controller| &controller.kind).chain(others).any(|kind| &**kind == "DaemonSet")
}

/// `true` if the pod claims a volume, of one of these classes if any are given. Claims without a known class count as protected.
fn has_claim(pod: &Pod, classes: &[Name], snapshot: &Snapshot) -> bool {
    pod.volumes.iter().any(|volume| {
        let VolumeSource::PersistentVolumeClaim { claim_name, .. } = &volume.source else { return false };
        let class = || snapshot.claim(&pod.namespace, claim_name).and_then(|claim| claim.storage_class_name.as_ref());
        classes.is_empty() || class().is_none_or(|class| class.is_empty() || classes.contains(class))
    })
}
