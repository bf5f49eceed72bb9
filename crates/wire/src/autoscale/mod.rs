//! Requests and replies of autoscaling and rescheduling.

pub mod groups;
pub mod scale_down;
