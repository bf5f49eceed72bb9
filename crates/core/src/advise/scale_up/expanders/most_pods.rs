//! Keeps the groups that would help the most pods.
//!
//! Source: `cluster-autoscaler/expander/mostpods/mostpods.go`.

use super::{Candidate, lowest};
use crate::advise::Advice;

pub(super) const ADVICE: Advice = Advice { name: "most-pods", kind: "Expander", source: include_str!("most_pods.rs") };

pub(super) fn filter(candidates: Vec<Candidate<'_>>) -> Vec<Candidate<'_>> {
    lowest(candidates, |option| -(option.pods.len() as f64))
}
