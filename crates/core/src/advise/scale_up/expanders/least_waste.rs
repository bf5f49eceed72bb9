//! Keeps the groups whose new nodes would be used best: those with the smallest sum of the parts of CPU and of memory that stay unused.
//!
//! The parts are of the nodes' capacity, over all nodes that the group would add. Only the pods that it would help count.
//!
//! Source: `cluster-autoscaler/expander/waste/waste.go`.

use super::{Candidate, lowest};
use crate::advise::Advice;

pub(super) const ADVICE: Advice =
    Advice { name: "least-waste", kind: "Expander", source: include_str!("least_waste.rs") };

pub(super) fn filter(candidates: Vec<Candidate<'_>>) -> Vec<Candidate<'_>> {
    lowest(candidates, |option| option.wasted_cpu + option.wasted_memory)
}
