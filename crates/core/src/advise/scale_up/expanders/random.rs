//! Keeps one group, by chance. Chance follows from the seed and the groups' names: the same seed, the same group.
//!
//! Where all other expanders leave several groups, this one chooses among them.
//!
//! Source: `cluster-autoscaler/expander/random/random.go`.

use super::Candidate;
use crate::{advise::Advice, cycle::tie_break, model::Pod};

pub(super) const ADVICE: Advice = Advice { name: "random", kind: "Expander", source: include_str!("random.rs") };

pub(super) fn filter(seed: u64, candidates: Vec<Candidate<'_>>) -> Vec<Candidate<'_>> {
    let nobody = Pod::default();
    let key = |candidate: &Candidate<'_>| tie_break(seed, &nobody, &candidate.option.group);
    candidates.into_iter().min_by_key(key).into_iter().collect()
}
