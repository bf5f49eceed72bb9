//! `/debug/pprof/profile`: what the process spends its time on, as Go's programs answer it. Served with `--profiling` only,
//! and no part of the published document: it is for whoever runs the process, not for its clients.

use std::{backtrace::Backtrace, time::Duration};

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use pprof::{ProfilerGuardBuilder, protos::Message};
use serde::Deserialize;
use tokio::{sync::Semaphore, time::sleep};

use super::{
    error::{ApiError, Result},
    extract::Query,
    ground::compute,
};

/// The route.
pub(super) const PATH: &str = "/debug/pprof/profile";

/// Samples in a second of computing: no multiple of what programs do at regular times.
const FREQUENCY: i32 = 99;

/// The longest profile, in seconds.
const LONGEST: u64 = 60;

/// What code is not interrupted in: the unwinder would want locks that it may hold.
const NOT_IN: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

/// How long to look.
#[derive(Debug, Deserialize)]
pub(super) struct ProfileQuery {
    /// Go's default is the same.
    #[serde(default = "half_a_minute")]
    seconds: u64,
}

fn half_a_minute() -> u64 {
    30
}

/// A CPU profile of the time from now on. One at a time, since the process has one profiling timer.
pub(super) async fn cpu(Query(ProfileQuery { seconds }): Query<ProfileQuery>) -> Result<Response> {
    static TURN: Semaphore = Semaphore::const_new(1);
    if !(1..=LONGEST).contains(&seconds) {
        return Err(ApiError::BadRequest(format!("seconds: Invalid value: {seconds}: must be 1 to {LONGEST}")));
    }
    let Ok(_turn) = TURN.try_acquire() else {
        let message = "another profile is being taken".into();
        return Err(ApiError::TooManyRequests { message, retry_after_seconds: 1 });
    };
    // The unwinder sets itself up at its first use; that is not to be in a signal handler.
    drop(Backtrace::force_capture());
    let guard = ProfilerGuardBuilder::default().frequency(FREQUENCY).blocklist(&NOT_IN).build();
    let guard = guard.map_err(ApiError::internal)?;
    sleep(Duration::from_secs(seconds)).await;
    let profile = compute(move || guard.report().build()?.pprof()).await?.map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], profile.encode_to_vec()).into_response())
}
