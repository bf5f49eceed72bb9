//! Autoscaling: what `/autoscale/…` answers, and the loops that act on it.

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
pub mod webhook;
