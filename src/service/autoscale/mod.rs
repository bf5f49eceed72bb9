//! Autoscaling: what `/autoscale/…` answers, and the loops that act on it.

use super::error::Error;
use crate::wire::fault::Cause;

mod advised;
pub mod hpa;
pub mod machine;
pub mod metrics;
pub mod nodes;
#[cfg(feature = "externalgrpc")]
pub mod provider;
pub mod reschedule;
pub mod scale_down;
pub mod scale_up;
pub mod status;
pub mod vpa;
pub mod webhook;

/// The error of a request with these faults.
fn refused(causes: &[Cause]) -> Error {
    let one = |cause: &Cause| format!("{}: {}", cause.field, cause.message);
    Error::BadRequest(causes.iter().map(one).collect::<Vec<_>>().join(", "))
}
