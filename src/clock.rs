//! The only caller of `now()`: everything else is handed the time.

use jiff::Timestamp;

/// The present instant.
#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// The present instant, to the second, in RFC 3339 as Kubernetes writes `creationTimestamp`.
pub fn now_rfc3339() -> String {
    rfc3339(now())
}

/// An instant, to the second, in RFC 3339.
pub fn rfc3339(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
