//! Requests and replies of autoscaling and rescheduling.
