//! # Rule
//! The price of one replica for an hour (`spec.cost` of the Cluster: CPU and memory that it requests): 100 for the cheapest cluster, 0 for the dearest, in proportion between. A
//! cluster without a price is the dearest. Where all cost the same, all have 100.
//!
//! # Source
//! Podberth's own.

use super::{Candidate, MAX_CLUSTER_SCORE, Registration, Request, priority};

/// The registry's line.
pub(super) const REGISTRATION: Registration = priority("Cost", include_str!("cost.rs"), score);

fn score(_: &Request, candidates: &[&Candidate]) -> Vec<i64> {
    let prices = || candidates.iter().filter_map(|of| of.price);
    let is_unknown = candidates.iter().any(|of| of.price.is_none());
    let (Some(least), Some(most)) = (prices().min(), prices().max()) else {
        return vec![MAX_CLUSTER_SCORE; candidates.len()];
    };
    // One of unknown price is dearer than all others.
    let most = if is_unknown { most.saturating_add(most - least).saturating_add(1) } else { most };
    let score = |of: &&Candidate| {
        let price = of.price.unwrap_or(most);
        if most == least {
            return MAX_CLUSTER_SCORE;
        }
        i64::try_from((most - price).saturating_mul(MAX_CLUSTER_SCORE.into()) / (most - least)).unwrap_or(0)
    };
    candidates.iter().map(score).collect()
}
