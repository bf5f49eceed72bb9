//! `/autoscale/…`: how many nodes and replicas there should be, and what containers should request.

pub mod scale_down;
pub mod status;
