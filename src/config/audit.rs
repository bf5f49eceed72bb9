//! Settings of the record of requests. Those of the file are kube-apiserver's.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::duration;

/// The settings of the record of requests.
#[derive(Clone, Debug, Args)]
pub struct AuditSettings {
    /// Audit policy as kube-apiserver has it (kind Policy of audit.k8s.io/v1): which requests are recorded, and how much of each. Without it the
    /// changes by known users are, without their bodies, where clients must be known or --audit-log-path is set. It is read at the start
    #[arg(long, value_name = "FILE")]
    pub audit_policy_file: Option<PathBuf>,

    /// How long audit events are kept in the database; 0s records none there
    #[arg(long, value_name = "DURATION", default_value = "720h", value_parser = duration)]
    pub audit_retention: Duration,

    /// Maximum number of audit events in the database; the oldest go first
    #[arg(long, value_name = "N", default_value = "1000000")]
    pub audit_retention_events: u64,

    /// File that gets audit events too, one JSON document a line; - for standard output
    #[arg(long, value_name = "FILE")]
    pub audit_log_path: Option<PathBuf>,

    /// Megabytes after which this file is renamed and another one begins
    #[arg(long, value_name = "MB", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    pub audit_log_maxsize: u32,

    /// Days for which renamed files are kept; 0 keeps them for ever
    #[arg(long, value_name = "DAYS", default_value = "0")]
    pub audit_log_maxage: u32,

    /// Number of renamed files that are kept; 0 keeps all
    #[arg(long, value_name = "N", default_value = "0")]
    pub audit_log_maxbackup: usize,
}
