//! # Rule
//! A pod with a volume on its node (`hostPath`, or `emptyDir` that is not in memory) stays, unless the annotation
//! `cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes` names all such volumes: exact names between commas, without blanks.
//!
//! # Reason
//! `LocalStorageRequested`
//!
//! # Source
//! `cluster-autoscaler/simulator/drainability/rules/localstorage/rule.go`, `utils/drain/drain.go` (`HasBlockingLocalStorage`); off with
//! `skipNodesWithLocalStorage: false`

use super::{Drain, Outcome, PodReason};
use crate::model::{LocalVolumeKind, Pod};

pub(super) fn judge(drain: &Drain<'_>, pod: &Pod) -> Outcome {
    if !drain.options.skip_local_storage {
        return Outcome::Undecided;
    }
    let facts = pod.facts();
    let safe = facts.safe_local_volumes.as_deref().unwrap_or_default();
    let is_safe = |name: &str| safe.split(',').any(|safe| !name.is_empty() && safe == name);
    let blocks = facts.local_volumes.iter().any(|volume| {
        matches!(volume.kind, LocalVolumeKind::HostPath | LocalVolumeKind::Disk) && !is_safe(&volume.name)
    });
    if blocks { Outcome::Block(PodReason::LocalStorageRequested) } else { Outcome::Undecided }
}
