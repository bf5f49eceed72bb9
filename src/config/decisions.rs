//! Settings of the record of decisions.

use std::time::Duration;

use clap::Args;

use super::{bytes, duration};
use crate::wire::decision::Share;

/// The settings of the record of decisions.
#[derive(Clone, Debug, Args)]
pub struct DecisionSettings {
    /// Decisions that are recorded, to be listed, explained and made again later: none; binds, those that bind pods; all, every call of /filter and
    /// /prioritize too; or a share of these calls, such as 0.01. Making them again takes --history-retention
    #[arg(long, value_name = "WHICH", default_value = "binds")]
    pub record_decisions: Share,

    /// How long decisions are kept; the oldest go first
    #[arg(long, value_name = "DURATION", default_value = "168h", value_parser = duration)]
    pub decisions_max_age: Duration,

    /// Bytes of decisions that are kept of each cluster; the oldest go first
    #[arg(long, value_name = "BYTES", default_value = "256Mi", value_parser = bytes)]
    pub decisions_max_bytes: usize,
}
