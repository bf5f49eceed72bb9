//! Autoscaling: what `/autoscale/…` answers, and the loops that act on it.

pub mod machine;
pub mod nodes;
pub mod status;
pub mod webhook;
