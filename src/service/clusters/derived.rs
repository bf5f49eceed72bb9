//! Clusters as placement judges them: their objects, and what this process knows of their mirrors by itself.
//!
//! A mirror is ready while its API server tells anything, and synced while all of it is told. Of a cluster without a source its object tells, or
//! nobody: then it is ready. One that is not ready has a NoExecute taint from the time at which that began, as a node that is not ready has in
//! Kubernetes.
//!
//! Source: `pkg/controller/nodelifecycle/node_lifecycle_controller.go` (`UnreachableTaintTemplate`, `NotReadyTaintTemplate`).

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    clock::{self, nanoseconds},
    core::{
        federation::{Cluster, Condition},
        model::{ConditionStatus, Effect, Name, Taint},
    },
    live::SYSTEM_CLUSTER,
    service::{Service, error::Result, source::mirrored::since},
    wire::{
        objects::member_cluster::{Member, READY, SYNCED},
        source::SyncStatus,
    },
};

/// The taint of a cluster that is known not to be ready.
pub const NOT_READY: &str = "podberth.io/not-ready";

/// The taint of a cluster of which it is not known.
pub const UNREACHABLE: &str = "podberth.io/unreachable";

/// Seconds without news after which a cluster is not ready, and not synced: the watches of a quiet cluster tell something once a minute.
const READY_FOR: u64 = 90;
const SYNCED_FOR: u64 = 120;

/// All clusters, by name: those that hold anything, and those with an object.
///
/// # Errors
/// Those of the store.
pub async fn all(service: &Service) -> Result<Vec<Arc<Cluster>>> {
    let members = service.clusters.fleet().await?.members();
    let standing = super::list(service).await?;
    let names = standing.iter().map(|standing| &*standing.name).filter(|name| *name != SYSTEM_CLUSTER);
    let now = clock::now();
    Ok(names.map(|name| one(service, name, members.get(name).map(|member| &**member), now)).collect())
}

/// One cluster; nothing but its name if it has no object.
fn one(service: &Service, name: &str, member: Option<&Member>, now: Timestamp) -> Arc<Cluster> {
    let sync = service.sources.status(name);
    match member {
        Some(member) if member.source.is_none() => tainted(&member.cluster),
        Some(member) => mirroring(&member.cluster, sync.as_ref(), now),
        None if sync.is_some() => mirroring(&Cluster::named(name), sync.as_ref(), now),
        None => Arc::new(Cluster::named(name)),
    }
}

/// A cluster that mirrors a live one: its lag and its conditions are those of the mirror.
fn mirroring(cluster: &Cluster, sync: Option<&SyncStatus>, now: Timestamp) -> Arc<Cluster> {
    let as_of = sync.and_then(SyncStatus::as_of);
    let lag = as_of.map(|as_of| i64::try_from(since(as_of, now).as_nanos()).unwrap_or(i64::MAX));
    let mut cluster = Cluster { lag, ..cluster.clone() };
    for (kind, told) in told(sync, now) {
        let before = cluster.condition(kind).filter(|before| before.status == told.status);
        let since = before.map_or(Some(nanoseconds(now)), |before| before.since);
        cluster.conditions.retain(|(name, _)| **name != *kind);
        cluster.conditions.push((kind.into(), Condition { since, ..told }));
    }
    tainted(&Arc::new(cluster))
}

/// A cluster with the taint of one that is not ready, if it is not.
fn tainted(cluster: &Arc<Cluster>) -> Arc<Cluster> {
    let Some(ready) = cluster.condition(READY).filter(|ready| ready.status != ConditionStatus::True) else {
        return cluster.clone();
    };
    let key = if ready.status == ConditionStatus::Unknown { UNREACHABLE } else { NOT_READY };
    let taint = Taint { key: key.into(), value: Name::from(""), effect: Effect::NoExecute, added: ready.since };
    let mut cluster = Cluster::clone(cluster);
    cluster.taints.push(taint);
    Arc::new(cluster)
}

/// The conditions of a cluster by its mirror. Their times are left to whoever knows the conditions before.
pub(super) fn told(sync: Option<&SyncStatus>, now: Timestamp) -> [(&'static str, Condition); 2] {
    let condition = |status, reason: &str, message: String| Condition {
        status,
        reason: reason.into(),
        message: message.into(),
        since: None,
    };
    let Some(sync) = sync else {
        let unknown =
            || condition(ConditionStatus::Unknown, "NotTold", "nobody has told yet how far the mirror is".into());
        return [(READY, unknown()), (SYNCED, unknown())];
    };
    let trouble = sync.kinds.values().find_map(|kind| kind.trouble.clone());
    let latest = sync.kinds.values().filter_map(|kind| kind.as_of).max();
    let is_within = |as_of: Timestamp, seconds: u64| since(as_of, now).as_secs() <= seconds;
    let why = |otherwise: String| trouble.clone().unwrap_or(otherwise);
    let ready = match latest {
        None => condition(ConditionStatus::Unknown, "NeverReached", why("its API server has told nothing yet".into())),
        Some(at) if is_within(at, READY_FOR) => condition(ConditionStatus::True, "Reached", String::new()),
        Some(at) => condition(
            ConditionStatus::False,
            "Unreachable",
            why(format!("its API server has told nothing since {}", clock::rfc3339(at))),
        ),
    };
    let synced = match sync.as_of() {
        None => condition(ConditionStatus::False, "NotWhole", why("the mirror is not whole yet".into())),
        Some(at) if is_within(at, SYNCED_FOR) => condition(ConditionStatus::True, "Whole", String::new()),
        Some(at) => {
            condition(ConditionStatus::False, "Behind", why(format!("the mirror is of {}", clock::rfc3339(at))))
        }
    };
    [(READY, ready), (SYNCED, synced)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::source::KindStatus;

    fn sync(kinds: &[(&str, Option<i64>, Option<&str>)]) -> SyncStatus {
        let of = |(name, at, trouble): &(&str, Option<i64>, Option<&str>)| {
            let as_of = at.map(|at| Timestamp::from_second(at).expect("an instant"));
            let trouble = trouble.map(Into::into);
            ((*name).to_owned(), KindStatus { as_of, source_version: String::new(), objects: 1, relists: 0, trouble })
        };
        SyncStatus { kinds: kinds.iter().map(of).collect(), ..SyncStatus::default() }
    }

    #[test]
    fn a_mirror_is_ready_while_anything_is_told_and_synced_while_all_is() {
        use ConditionStatus::{False, True, Unknown};
        let now = Timestamp::from_second(1_000).expect("an instant");
        let words = |sync: Option<&SyncStatus>| {
            told(sync, now).map(|(_, condition)| (condition.status, condition.reason.to_string()))
        };
        let word = |status, reason: &str| (status, reason.to_owned());
        assert_eq!(words(None), [word(Unknown, "NotTold"), word(Unknown, "NotTold")]);
        // 90 s at most since the newest news, 120 s since the oldest.
        for (kinds, ready, synced) in [
            (
                sync(&[("nodes", Some(910), None), ("pods", Some(880), None)]),
                word(True, "Reached"),
                word(True, "Whole"),
            ),
            (
                sync(&[("nodes", Some(910), None), ("pods", Some(879), None)]),
                word(True, "Reached"),
                word(False, "Behind"),
            ),
            (sync(&[("nodes", Some(909), None)]), word(False, "Unreachable"), word(True, "Whole")),
            (
                sync(&[("nodes", Some(1_000), None), ("pods", None, None)]),
                word(True, "Reached"),
                word(False, "NotWhole"),
            ),
            (sync(&[("nodes", None, Some("refused"))]), word(Unknown, "NeverReached"), word(False, "NotWhole")),
        ] {
            assert_eq!(words(Some(&kinds)), [ready, synced], "{kinds:?}");
        }
        let [(_, ready), _] = told(Some(&sync(&[("nodes", None, Some("refused"))])), now);
        assert_eq!(&*ready.message, "refused");
    }

    #[test]
    fn a_cluster_that_is_not_ready_has_a_taint_since_then() {
        let now = Timestamp::from_second(1_000).expect("an instant");
        let before =
            Condition { status: ConditionStatus::False, reason: "".into(), message: "".into(), since: Some(7) };
        let cluster = Cluster { conditions: vec![(READY.into(), before)], ..Cluster::named("a") };
        let derived = mirroring(&cluster, Some(&sync(&[("nodes", Some(900), None)])), now);
        let taint = derived.taints.first().expect("a taint");
        assert_eq!((&*taint.key, taint.effect, taint.added), (NOT_READY, Effect::NoExecute, Some(7)));
        assert_eq!(derived.lag, Some(100_000_000_000));
        let derived = mirroring(&cluster, Some(&sync(&[("nodes", Some(999), None)])), now);
        assert_eq!((derived.taints.len(), derived.condition(READY).expect("told").since), (0, Some(nanoseconds(now))));
        let derived = mirroring(&cluster, None, now);
        assert_eq!(&*derived.taints.first().expect("a taint").key, UNREACHABLE);
        let told = tainted(&Arc::new(cluster));
        assert_eq!(told.taints.first().and_then(|taint| taint.added), Some(7), "its object tells it");
    }
}
