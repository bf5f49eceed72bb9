//! # Rule
//! A cluster whose deletion has begun (`metadata.deletionTimestamp`) takes nothing.
//!
//! # Source
//! `karmada/pkg/scheduler/core/generic_scheduler.go` (`findClustersThatFit`), which leaves it out without a word.
//!
//! # Reason text
//! `the cluster is being deleted`

use super::{Judged, Registration, predicate};

/// Its name.
pub(super) const NAME: &str = "Deleting";

/// The registry's line.
pub(super) const REGISTRATION: Registration = predicate(NAME, include_str!("deleting.rs"), rejects);

/// Why the cluster takes nothing, if it is being deleted.
pub(super) fn rejects(judged: &Judged<'_>) -> Option<String> {
    judged.cluster.deleted.map(|_| "the cluster is being deleted".to_owned())
}
