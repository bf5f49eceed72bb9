//! `POST /placements` and `POST /placements/estimate`: their requests and replies. [`estimator`] has those of Karmada's estimator.

pub mod clusters;
pub mod estimate;
pub mod estimator;
pub mod quota;
pub mod reply;
pub mod request;
pub mod summary;
pub mod template;
pub mod unschedulable;

use crate::fault::{Faults, Path};

/// Names in a list: clusters, providers, regions, zones.
pub(crate) const MOST_NAMES: usize = 10_000;

/// Refuses a list with more entries than `most`.
fn bounded(count: usize, most: usize, at: &Path<'_>, faults: &mut Faults) {
    if count > most {
        faults.too_many(at, format!("Too many: {count}: must have at most {most} items"));
    }
}
