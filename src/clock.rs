//! The only caller of `now()`: everything else is handed the time.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

/// The present instant.
#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// The present instant, in nanoseconds since 1970.
pub fn now_nanoseconds() -> i64 {
    nanoseconds(now())
}

/// An instant in nanoseconds since 1970; at most the last that there is.
pub fn nanoseconds(instant: Timestamp) -> i64 {
    i64::try_from(instant.as_nanosecond()).unwrap_or(if instant < Timestamp::UNIX_EPOCH { i64::MIN } else { i64::MAX })
}

/// The present instant, to the second, in RFC 3339 as Kubernetes writes `creationTimestamp`.
pub fn now_rfc3339() -> String {
    rfc3339(now())
}

/// An instant, to the second, in RFC 3339.
pub fn rfc3339(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A monotonic clock for data that is kept for a time; tests use their own.
#[derive(Clone)]
pub struct Elapsed(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Elapsed {
    /// A clock that returns the value of `elapsed`.
    pub fn new(elapsed: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(elapsed))
    }

    /// Time since a fixed instant.
    pub fn now(&self) -> Duration {
        (self.0)()
    }
}

impl Default for Elapsed {
    /// The process's own.
    fn default() -> Self {
        let start = Instant::now();
        Self::new(move || start.elapsed())
    }
}

impl fmt::Debug for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Elapsed").field(&self.now()).finish()
    }
}
