//! # Rule
//! A mirror pod stands for one that the kubelet runs by itself: it goes with its node and is passed over.
//!
//! # Source
//! `cluster-autoscaler/simulator/drainability/rules/mirror/rule.go`

use super::{Drain, Outcome};
use crate::model::Pod;

pub(super) fn judge(_: &Drain<'_>, pod: &Pod) -> Outcome {
    if pod.facts().mirror { Outcome::Skip } else { Outcome::Undecided }
}
