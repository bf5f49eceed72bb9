//! `/autoscale/…`: how many nodes and replicas there should be, and what containers should request.

pub mod hpa;
pub mod metrics;
pub mod reschedule;
pub mod scale_down;
pub mod scale_up;
pub mod status;
pub mod vpa;
