//! `/debug/pprof/profile`: what the process spends its time on, as Go's programs answer it. Served with `--profiling` only,
//! and no part of the published document: it is for whoever runs the process, not for its clients.

use std::time::Duration;

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream::once;
use pprof::{ProfilerGuard, ProfilerGuardBuilder, protos::Message};
use serde::Deserialize;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::sleep,
};
use tracing::warn;

use super::{
    context::compute,
    error::{ApiError, Result},
    extract::Query,
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
    #[serde(default = "half_a_minute")]
    seconds: u64,
}

/// Go's default is the same.
fn half_a_minute() -> u64 {
    30
}

/// A CPU profile of the time from now on. One at a time, since the process has one profiling timer. The reply begins at
/// once, so that the time limit of requests does not end it; where the client leaves, the profile ends.
pub(super) async fn cpu(Query(ProfileQuery { seconds }): Query<ProfileQuery>) -> Result<Response> {
    static TURN: Semaphore = Semaphore::const_new(1);
    if !(1..=LONGEST).contains(&seconds) {
        return Err(ApiError::BadRequest(format!("seconds: Invalid value: {seconds}: must be 1 to {LONGEST}")));
    }
    let Ok(turn) = TURN.try_acquire() else {
        let message = "another profile is being taken".into();
        return Err(ApiError::TooManyRequests { message, retry_after_seconds: 1 });
    };
    let guard = ProfilerGuardBuilder::default().frequency(FREQUENCY).blocklist(&NOT_IN).build();
    let taking = Taking { guard: guard.map_err(ApiError::internal)?, _turn: turn };
    let profile = once(async move {
        sleep(Duration::from_secs(seconds)).await;
        let profile = compute(|| taking.end()).await.and_then(|profile| profile.map_err(ApiError::internal));
        profile.inspect_err(|error| warn!(?error, "a profile could not be made"))
    });
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], Body::from_stream(profile)).into_response())
}

/// A profile that is being taken. The turn is given back after the timer, hence the order.
struct Taking {
    guard: ProfilerGuard<'static>,
    _turn: SemaphorePermit<'static>,
}

impl Taking {
    fn end(self) -> pprof::Result<Vec<u8>> {
        Ok(self.guard.report().build()?.pprof()?.encode_to_vec())
    }
}
