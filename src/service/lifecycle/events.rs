//! Events expire: they tell what has happened lately. The API server gives each a time to live, anew with every write.
//!
//! Source: `pkg/registry/core/event/strategy.go`, `--event-ttl` of kube-apiserver.

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::{
    live::{Clusters, upkeep::Job},
    service::source::mirrored,
    store::{Atomicity, Change, ListQuery, Precondition, Record, Storage, StoreError, Write},
    wire::decode,
};

/// The kind's key: both groups of events are one kind.
const EVENTS: &str = "events";

/// Events read, and at most deleted, at a time.
const PAGE: usize = 500;

/// How far the clock of a client may be ahead.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// Deletes the events whose time is over.
#[derive(Debug, Clone)]
pub struct ExpireEvents {
    /// How often.
    pub every: Duration,
    /// Time for which an event is kept after it happened last; zero: for ever.
    pub keep: Duration,
    /// Whose clock counts.
    pub clusters: Clusters,
}

/// The times of an event. Which ones it has depends on who wrote it.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "eventTime is the field's name in Kubernetes")]
struct Event {
    metadata: Metadata,
    first_timestamp: Option<String>,
    last_timestamp: Option<String>,
    event_time: Option<String>,
    series: Option<Series>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    creation_timestamp: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Series {
    last_observed_time: Option<String>,
}

impl Event {
    /// The last time that it tells. Times from a clock that is far ahead do not count.
    fn last(&self, now: Timestamp) -> Option<Timestamp> {
        let times = [
            self.metadata.creation_timestamp.as_ref(),
            self.first_timestamp.as_ref(),
            self.last_timestamp.as_ref(),
            self.event_time.as_ref(),
            self.series.as_ref().and_then(|series| series.last_observed_time.as_ref()),
        ];
        let latest = now.checked_add(AHEAD).unwrap_or(now);
        let times = times.into_iter().flatten().filter_map(|text| text.parse::<Timestamp>().ok());
        times.filter(|time| *time <= latest).max()
    }
}

/// `true` if an event is older than `keep`. One without a time that can be read is kept.
fn is_over(body: &[u8], now: Timestamp, keep: Duration) -> bool {
    let last = decode::from_slice::<Event>(body).ok().and_then(|event| event.last(now));
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
    last.is_some_and(|last| now.duration_since(last) > keep)
}

impl ExpireEvents {
    async fn expire(&self, store: &dyn Storage, cluster: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut query = ListQuery { limit: Some(PAGE), ..ListQuery::all(EVENTS) };
        loop {
            let page = store.list(cluster, &query).await?;
            let Some(last) = page.items.last() else { return Ok(()) };
            query.after = Some((last.key.namespace.clone(), last.key.name.clone()));
            let over = page.items.into_iter().filter(|event| is_over(&event.body, now, self.keep));
            let writes: Vec<Write> = over.map(delete).collect();
            if !writes.is_empty() {
                store.commit(cluster, writes, Atomicity::Each).await?;
            }
            if page.remaining.is_none() {
                return Ok(());
            }
        }
    }
}

/// The write that deletes an event, if it has not happened again.
fn delete(event: Record) -> Write {
    Write { key: event.key, precondition: Precondition::revision(event.revision), change: Change::Delete }
}

impl Job for ExpireEvents {
    fn name(&self) -> &'static str {
        "expire events"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn run<'a>(&'a self, store: &'a dyn Storage) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if self.keep.is_zero() {
                return Ok(());
            }
            let now = self.clusters.now().await?;
            for cluster in store.having(EVENTS).await? {
                if mirrored::is_mirror(store, &cluster).await? {
                    continue;
                }
                match self.expire(store, &cluster, now).await {
                    Ok(()) => {}
                    Err(error @ StoreError::Unavailable(_)) => return Err(error),
                    // The others are not to suffer for it.
                    Err(error) => tracing::error!(cluster, %error, "the events of the cluster cannot expire"),
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_as_old_as_the_last_time_that_they_tell() {
        let now: Timestamp = "2026-11-26T10:00:00Z".parse().expect("an instant");
        let hour = Duration::from_hours(1);
        let cases = [
            (r#"{"metadata":{"creationTimestamp":"2026-11-26T08:59:59Z"}}"#, true),
            (r#"{"metadata":{"creationTimestamp":"2026-11-26T09:00:00Z"}}"#, false),
            (
                r#"{"metadata":{"creationTimestamp":"2026-11-26T08:00:00Z"},"lastTimestamp":"2026-11-26T09:30:00Z"}"#,
                false,
            ),
            (
                r#"{"metadata":{"creationTimestamp":"2026-11-26T08:00:00Z"},"eventTime":"2026-11-26T09:30:00.000001Z"}"#,
                false,
            ),
            (r#"{"metadata":{},"series":{"count":2,"lastObservedTime":"2026-11-26T09:30:00.000000Z"}}"#, false),
            // A clock that is far ahead keeps no event for ever.
            (
                r#"{"metadata":{"creationTimestamp":"2026-11-26T08:00:00Z"},"lastTimestamp":"2099-01-01T00:00:00Z"}"#,
                true,
            ),
            (
                r#"{"metadata":{"creationTimestamp":"2026-11-26T08:00:00Z"},"lastTimestamp":"2026-11-26T10:00:09Z"}"#,
                false,
            ),
            (
                r#"{"metadata":{"creationTimestamp":"2026-11-26T08:00:00Z"},"eventTime":null,"lastTimestamp":null}"#,
                true,
            ),
            (r#"{"metadata":{}}"#, false),
            ("{", false),
        ];
        for (body, is_gone) in cases {
            assert_eq!(is_over(body.as_bytes(), now, hour), is_gone, "{body}");
        }
    }
}
