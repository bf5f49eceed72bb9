//! How far mirrors are behind their live clusters, and what is refused on one that is too far behind (`--max-sync-lag`).
//!
//! Reads are answered with a warning. Nothing is decided: a pod that the mirror does not show yet takes room all the same, and a node that it shows
//! without pods may be full. To kube-scheduler that is an error of its extender, after which it tries the pod again; a reply that no node fits would
//! make it evict others.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Sources, lock,
    mirrored::{self, since},
};
use crate::{
    clock,
    service::{
        Service,
        error::{Error, Result},
    },
    wire::source::{KindStatus, SourceRead, SyncStatus},
};

/// Kinds that a message names at most.
const TOLD: usize = 3;

/// Seconds after which a request that was refused may be tried again.
const RETRY_SECONDS: u32 = 2;

impl Sources {
    /// Refuses decisions on mirrors that are further behind. It is set once, at the start.
    pub fn limit_lag(&self, most: Duration) {
        // A second limit is none of a running process.
        let _ = self.0.max_lag.set(most);
    }

    /// `true` if anything is known of any mirror.
    pub fn are_known(&self) -> bool {
        !lock(&self.0.statuses).is_empty()
    }

    /// How far the mirror of a cluster is, as far as this process knows.
    pub fn status(&self, cluster: &str) -> Option<SyncStatus> {
        lock(&self.0.statuses).get(cluster).cloned()
    }

    /// The time of which the mirror of a cluster is at least the state.
    pub fn as_of(&self, cluster: &str) -> Option<Timestamp> {
        lock(&self.0.statuses).get(cluster)?.as_of()
    }

    /// The part of a reply that tells of the mirror that it was read off.
    pub fn read(&self, cluster: &str, now: Timestamp) -> SourceRead {
        SourceRead {
            cluster: cluster.to_owned(),
            as_of: self.as_of(cluster),
            is_stale: self.why_stale(cluster, now).is_some(),
        }
    }

    /// `true` if nothing is to be decided on the mirror of a cluster now.
    pub fn is_stale(&self, cluster: &str, now: Timestamp) -> bool {
        self.why_stale(cluster, now).is_some()
    }

    /// The largest lag of a mirror on which anything is decided, in nanoseconds; `None` for any.
    pub fn max_lag(&self) -> Option<i64> {
        self.0.max_lag.get().map(|most| i64::try_from(most.as_nanos()).unwrap_or(i64::MAX))
    }

    /// Why nothing is to be decided on the mirror of a cluster now, if so: it never was whole, or is too far behind.
    pub fn why_stale(&self, cluster: &str, now: Timestamp) -> Option<String> {
        let most = self.0.max_lag.get();
        let Some(status) = self.status(cluster) else {
            return Some(format!("it is not known yet how far the mirror of the cluster {cluster:?} is"));
        };
        let Some(as_of) = status.as_of() else {
            return Some(format!("the mirror of the cluster {cluster:?} is not whole yet ({})", missing(&status)));
        };
        let (lag, most) = (since(as_of, now), most?);
        (lag > *most).then(|| {
            let behind = behind(&status, as_of);
            format!(
                "the mirror of the cluster {cluster:?} is {} seconds behind ({behind}), more than the {} of --max-sync-lag",
                lag.as_secs(),
                most.as_secs()
            )
        })
    }

    /// Waits, for readiness, until the mirrors of these clusters were whole once.
    pub fn await_whole(&self, clusters: impl IntoIterator<Item = String>) {
        lock(&self.0.awaited).extend(clusters);
    }

    /// Why this process is not ready: mirrors that never were whole, as far as it waits for them. Once one is whole, it does not wait for those that
    /// have trouble: a live cluster that is away takes no other one along.
    pub fn unready(&self) -> Option<String> {
        let waits: Vec<String> = lock(&self.0.awaited).iter().cloned().collect();
        let is_any_whole = lock(&self.0.statuses).values().any(|status| status.as_of().is_some());
        let mut why = Vec::new();
        for cluster in waits {
            let status = self.status(&cluster).unwrap_or_default();
            let is_troubled = status.kinds.values().any(|kind| kind.trouble.is_some());
            if status.as_of().is_some() {
                lock(&self.0.awaited).remove(&cluster);
            } else if !(is_any_whole && is_troubled) {
                why.push(format!("the mirror of the cluster {cluster:?} is not whole yet: {}", missing(&status)));
            }
        }
        (!why.is_empty()).then(|| why.join("; "))
    }

    /// The kinds that do not go on at the moment, with the reason of each, by cluster.
    pub fn troubles(&self) -> Option<String> {
        let statuses = lock(&self.0.statuses).clone();
        let troubled = |(cluster, status): (String, SyncStatus)| {
            let (kind, why) = status.kinds.into_iter().find_map(|(kind, status)| Some((kind, status.trouble?)))?;
            Some(format!("{cluster}: {kind}: {why}"))
        };
        let troubles: Vec<String> = statuses.into_iter().filter_map(troubled).take(TOLD).collect();
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }
}

/// Refuses decisions on the mirror of a cluster that is too far behind, if it is a mirror.
///
/// # Errors
/// [`Error::Unavailable`], and those of the store.
pub async fn check(service: &Service, cluster: &str) -> Result<()> {
    if mirrored::of(service, cluster).await?.is_none() {
        return Ok(());
    }
    match service.sources.why_stale(cluster, clock::now()) {
        Some(why) => Err(stale(why)),
        None => Ok(()),
    }
}

/// The refusal of a decision.
pub fn stale(message: String) -> Error {
    Error::Unavailable { message, retry_after_seconds: RETRY_SECONDS }
}

/// The kinds that were never listed as a whole.
fn missing(status: &SyncStatus) -> String {
    let absent: Vec<_> = status.kinds.iter().filter(|(_, kind)| kind.as_of.is_none()).collect();
    match absent.len() {
        0 => "nobody mirrors it yet".into(),
        count => {
            let named: Vec<String> = absent.into_iter().take(TOLD).map(|(name, kind)| told(name, kind)).collect();
            let more = if count > TOLD { format!(" and {} more kinds", count - TOLD) } else { String::new() };
            named.join(", ") + &more
        }
    }
}

/// The kind that is the furthest behind.
fn behind(status: &SyncStatus, as_of: Timestamp) -> String {
    let last = status.kinds.iter().find(|(_, kind)| kind.as_of == Some(as_of));
    last.map(|(name, kind)| told(name, kind)).unwrap_or_default()
}

fn told(name: &str, kind: &KindStatus) -> String {
    kind.trouble.as_ref().map_or_else(|| name.to_owned(), |why| format!("{name}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(kinds: &[(&str, Option<&str>, Option<&str>)]) -> SyncStatus {
        let of = |(name, as_of, trouble): &(&str, Option<&str>, Option<&str>)| {
            let as_of = as_of.map(|at| at.parse().expect("an instant"));
            let kind = KindStatus {
                as_of,
                source_version: String::new(),
                objects: 0,
                relists: 0,
                trouble: trouble.map(Into::into),
            };
            ((*name).to_owned(), kind)
        };
        SyncStatus { kinds: kinds.iter().map(of).collect(), ..SyncStatus::default() }
    }

    #[test]
    fn mirrors_are_as_old_as_their_oldest_kind() {
        let now: Timestamp = "2026-01-02T15:00:40Z".parse().expect("an instant");
        let sources = Sources::default();
        assert!(sources.is_stale("prod", now), "nothing is decided on an unknown mirror");
        sources.tell("prod", status(&[("nodes", Some("2026-01-02T15:00:39Z"), None), ("pods", None, Some("refused"))]));
        let why = sources.why_stale("prod", now).expect("a reason");
        assert!(why.contains("not whole yet (pods: refused)"), "{why}");

        let pods = "2026-01-02T15:00:09.5Z";
        sources.tell("prod", status(&[("nodes", Some("2026-01-02T15:00:39Z"), None), ("pods", Some(pods), None)]));
        assert_eq!(sources.why_stale("prod", now), None, "no limit");
        let read = sources.read("prod", now);
        assert_eq!((read.as_of, read.is_stale), (Some(pods.parse().expect("an instant")), false));
        sources.limit_lag(Duration::from_secs(30));
        let why = sources.why_stale("prod", now).expect("a reason");
        assert!(why.contains("30 seconds behind (pods)") && why.contains("--max-sync-lag"), "{why}");
        assert!(sources.read("prod", now).is_stale && sources.is_stale("other", now));
    }

    #[test]
    fn readiness_waits_for_each_mirror_once() {
        let sources = Sources::default();
        sources.await_whole(["prod".to_owned()]);
        assert!(sources.unready().is_some_and(|why| why.contains("nobody mirrors it yet")));
        sources.tell("prod", status(&[("nodes", None, Some("connection refused")), ("pods", None, None)]));
        let why = sources.unready().expect("a reason");
        assert!(why.contains("nodes: connection refused, pods"), "{why}");
        sources.tell("prod", status(&[("pods", Some("2026-01-02T15:00:10Z"), None)]));
        assert_eq!(sources.unready(), None);
        sources.tell("prod", status(&[("pods", None, Some("gone"))]));
        assert_eq!(sources.unready(), None, "it was whole once");
        assert_eq!(sources.troubles().as_deref(), Some("prod: pods: gone"));
        sources.await_whole(["away".to_owned()]);
        sources.tell("away", status(&[("pods", None, None)]));
        assert!(sources.unready().is_some_and(|why| why.contains("pods")), "it is on its way");
        sources.tell("away", status(&[("pods", None, Some("connection refused"))]));
        assert!(sources.unready().is_some(), "no other mirror is whole");
        sources.tell("prod", status(&[("pods", Some("2026-01-02T15:00:10Z"), None)]));
        assert_eq!(sources.unready(), None, "one that is away takes no other one along");
        sources.retain(|_| false);
        assert_eq!((sources.status("prod"), sources.troubles()), (None, None));
    }
}
