//! # Rule
//! Nodes are examined in this order: empty ones first (nothing would have to move), those without pods that are waited for before those with; then those
//! that were unneeded already; among equals as the cluster lists them. What is found unneeded first is also gone first, and the places of its pods are
//! taken for the nodes after it.
//!
//! A node counts as empty here without a look at disruption budgets and controllers. Of more than twelve candidates, equal ones come in the order that
//! Go's sort leaves.
//!
//! # Source
//! `cluster-autoscaler/processors/scaledowncandidates/sorting_processor.go`, `emptycandidates/empty_candidates_sorting.go`,
//! `previouscandidates/previous_candidates_sorting.go`

use super::{Input, budgets::Budgets, drainability::Drain, pdqsort, picture::Picture};
use crate::model::Name;

/// Puts candidates in the order in which they are examined.
pub(super) fn sort(candidates: &mut Vec<Name>, picture: &Picture, input: &Input<'_>) {
    let budgets = Budgets::default();
    // The cluster autoscaler reads its clock anew for this, a moment later.
    let now = input.now.saturating_add(1);
    let drain = Drain { snapshot: None, budgets: &budgets, options: input.options, now };
    let keyed = std::mem::take(candidates).into_iter().map(|name| {
        let pods = drain.sort(&picture.pods_of(&name)).ok().filter(|pods| pods.to_move.is_empty());
        let waits = pods.as_ref().is_some_and(|pods| !pods.on_completion.is_empty());
        let was_unneeded = input.state.unneeded_since.contains_key(&name);
        ((pods.is_none(), waits, !was_unneeded), name)
    });
    let mut keyed: Vec<_> = keyed.collect();
    pdqsort::sort(&mut keyed, |a, b| a.0 < b.0);
    candidates.extend(keyed.into_iter().map(|(_, name)| name));
}
