//! Requests and replies of autoscaling and rescheduling.

pub mod groups;
pub mod hpa;
pub mod reschedule;
pub mod scale_down;
pub mod scale_up;
pub mod status;
pub mod step;
pub mod vpa;
