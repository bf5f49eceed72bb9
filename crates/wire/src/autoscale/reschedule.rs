//! `/reschedule`: the descheduler's policy, which pods leave their nodes, and what becomes better.

mod args;
mod evictor;
mod policy;
mod report;
mod request;

pub use self::{
    policy::{DeschedulerPolicy, PluginConfig, PluginSet, Plugins, ProfileSpec},
    report::{BalanceReport, KeptReport, MeasureReport, MoveReport, RescheduleReport, SparedReport, ViolationsReport},
    request::{Asked, MOST_MOVES, MOST_ROUNDS, RescheduleRequest},
};
