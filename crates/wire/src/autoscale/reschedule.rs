//! `/reschedule`: the descheduler's policy, and which pods leave their nodes.

mod args;
mod evictor;
mod policy;

pub use policy::{DeschedulerPolicy, PluginConfig, PluginSet, Plugins, ProfileSpec};
