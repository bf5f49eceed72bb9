//! `/debug/pprof/profile`: a CPU profile of the process, in the format of Go's programs. It is served with `--profiling` only and is no part
//! of the published document: it is for operators, not for clients.

use std::time::Duration;

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream::once;
use pprof::{ProfilerGuard, ProfilerGuardBuilder};
use serde::Deserialize;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::sleep,
};
use tracing::warn;

use super::extract::Query;
use crate::service::{
    compute::compute,
    error::{Error, Result},
};

mod format;

/// The route.
pub(super) const PATH: &str = "/debug/pprof/profile";

/// Samples per second of computing: no multiple of the usual intervals of programs.
const FREQUENCY: i32 = 99;

/// The longest profile, in seconds.
const LONGEST: u64 = 60;

/// Libraries in which code is not interrupted: the unwinder would need locks that they may hold.
const NOT_IN: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

/// How long to look.
#[derive(Debug, Deserialize)]
pub(super) struct ProfileQuery {
    #[serde(default = "half_a_minute")]
    seconds: u64,
}

/// Go's default.
fn half_a_minute() -> u64 {
    30
}

/// A CPU profile of the time from now on. One at a time, since the process has one profiling timer. The reply begins at
/// once, so that the time limit of requests does not end it; where the client leaves, the profile ends.
pub(super) async fn cpu(Query(ProfileQuery { seconds }): Query<ProfileQuery>) -> Result<Response> {
    static TURN: Semaphore = Semaphore::const_new(1);
    if !(1..=LONGEST).contains(&seconds) {
        return Err(Error::BadRequest(format!("seconds: Invalid value: {seconds}: must be 1 to {LONGEST}")));
    }
    let Ok(turn) = TURN.try_acquire() else {
        let message = "another profile is being taken".into();
        return Err(Error::TooManyRequests { message, retry_after_seconds: 1 });
    };
    let guard = ProfilerGuardBuilder::default().frequency(FREQUENCY).blocklist(&NOT_IN).build();
    let taking = Taking { guard: guard.map_err(Error::internal)?, _turn: turn };
    let profile = once(async move {
        sleep(Duration::from_secs(seconds)).await;
        let profile = compute(|| taking.end()).await.and_then(|profile| profile.map_err(Error::internal));
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
        Ok(format::profile(&self.guard.report().build()?))
    }
}
