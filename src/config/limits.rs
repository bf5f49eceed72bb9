//! Settings of the limits of what users ask at a time.

use clap::Args;

use super::count;
use crate::origin::TrustedProxies;

/// The limits of what users ask at a time.
#[derive(Clone, Debug, Args)]
pub struct LimitSettings {
    /// Requests that only read and are in progress at a time, without watches; further ones wait, in turns by user, or are answered 429
    #[arg(long, value_name = "N", default_value = "400", value_parser = count)]
    pub max_requests_inflight: usize,

    /// Requests that may change something and are in progress at a time; further ones wait, in turns by user, or are answered 429
    #[arg(long, value_name = "N", default_value = "1000", value_parser = count)]
    pub max_mutating_requests_inflight: usize,

    /// Watches of one user, where clients must be known; further ones are answered 429
    #[arg(long, value_name = "N", default_value = "1000", value_parser = count)]
    pub max_watches_per_user: usize,

    /// Proxies whose X-Forwarded-For tells the address of a client, for audit events and limits: none, or a list of addresses and networks as
    /// 10.0.0.0/8
    #[arg(long, value_name = "PROXIES", default_value = "none")]
    pub trusted_proxies: TrustedProxies,

    /// Watches at once; further ones are answered 429
    #[arg(long, value_name = "N", default_value = "10000")]
    pub max_watches: usize,
}
