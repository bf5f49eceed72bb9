//! Keeps the groups that would add the fewest nodes.
//!
//! Source: `cluster-autoscaler/expander/leastnodes/leastnodes.go`.

use super::{Candidate, lowest};
use crate::advise::Advice;

pub(super) const ADVICE: Advice =
    Advice { name: "least-nodes", kind: "Expander", source: include_str!("least_nodes.rs") };

pub(super) fn filter(candidates: Vec<Candidate<'_>>) -> Vec<Candidate<'_>> {
    lowest(candidates, |option| option.nodes as f64)
}
