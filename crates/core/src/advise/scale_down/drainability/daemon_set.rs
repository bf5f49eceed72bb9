//! # Rule
//! A pod of a DaemonSet goes with its node, and so does one with the annotation `cluster-autoscaler.kubernetes.io/daemonset-pod: "true"`.
//!
//! # Source
//! `cluster-autoscaler/simulator/drainability/rules/daemonset/rule.go`

use super::{Drain, Outcome};
use crate::model::Pod;

pub(super) fn judge(_: &Drain<'_>, pod: &Pod) -> Outcome {
    if super::is_daemon_set_pod(pod) { Outcome::GoesWithNode } else { Outcome::Undecided }
}
