//! `/reschedule`: the descheduler's policy, which pods leave their nodes, and what becomes better.

mod args;
mod evictor;
mod plugin_config;
mod policy;
mod report;
mod request;
mod selectors;

pub use self::{
    plugin_config::PluginConfig,
    policy::{DeschedulerPolicy, PluginSet, Plugins, ProfileSpec},
    report::{BalanceReport, KeptReport, MeasureReport, MoveReport, RescheduleReport, SparedReport, ViolationsReport},
    request::{Asked, MOST_MOVES, MOST_ROUNDS, RescheduleRequest},
};
