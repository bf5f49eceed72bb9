//! Reservations: decisions about pods that are not facts yet. A reservation counts in every decision, on every replica, until its pod is bound, it
//! is deleted, or its time is over.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    Service,
    access::sight::Sight,
    context,
    error::{Error, Result, Subject},
};
use crate::{
    clock,
    store::{Atomicity, Call, Change, Key, ListQuery, Outcome, Precondition, Record, Refusal, Write},
    wire::reservation::{self, Reservation, ReservationKind, ReservationList, ReservationRequest, Stored},
};

/// Default time of a reservation.
pub(super) const TTL_SECONDS: u32 = 30;
/// How long a reservation lasts at most.
pub const LONGEST_TTL_SECONDS: u32 = 24 * 60 * 60;

/// The reservations of a cluster, by namespace and name of the pod, which are told as far as `sight` goes.
///
/// # Errors
/// The store's.
pub async fn list(service: &Service, cluster: &str, mut sight: Sight) -> Result<ReservationList> {
    let list = service.store.list(cluster, &ListQuery::all(reservation::KIND)).await?;
    let mut items = list.items.into_iter().map(shown).collect::<Result<Vec<_>>>()?;
    for item in &mut items {
        sight.mask(&mut item.namespace, &mut item.pod, Some(&mut item.pod_uid));
    }
    Ok(ReservationList { items, revision: list.revision })
}

/// Refuses a time for which nothing is reserved.
pub(super) fn check_ttl(seconds: u32) -> Result<()> {
    if (1..=LONGEST_TTL_SECONDS).contains(&seconds) {
        return Ok(());
    }
    Err(Error::BadRequest(format!("ttlSeconds: Invalid value: {seconds}: must be 1 to {LONGEST_TTL_SECONDS}")))
}

/// Reserves a node for a pod; an earlier reservation is replaced. `policy` judges it.
///
/// # Errors
/// [`Error::Conflict`] if the pod does not fit there, or has been replaced by another pod.
pub async fn reserve(
    service: &Service,
    cluster: &Arc<str>,
    (namespace, name): (&str, &str),
    request: ReservationRequest,
    policy: Option<&str>,
) -> Result<Reservation> {
    let ReservationRequest { node, kind, ttl_seconds, pod_uid } = request;
    if node.is_empty() {
        return Err(Error::BadRequest("node: Required value".into()));
    }
    let ttl = ttl_seconds.unwrap_or(TTL_SECONDS);
    check_ttl(ttl)?;
    let view = context::view(service, cluster).await?;
    let pod = view.snapshot.pod(namespace, name);
    let pod = pod.ok_or_else(|| Error::NotFound(Subject::new("", "pods", name)))?;
    let conflict = |message| Error::Conflict { subject: subject(namespace, name), message };
    if !pod_uid.is_empty() && *pod_uid != *pod.uid {
        return Err(conflict(format!("the pod has the uid {}", pod.uid)));
    }
    let stored = Stored { pod_uid: pod.uid.to_string(), kind, until: lapsing_in(service.clusters.now().await?, ttl)? };
    let judged_by = context::judged_by(service, cluster, policy, (namespace, name)).await?;
    let call = reserving(namespace, name, &node, &stored)?;
    let commit = service.clusters.commit(cluster, call, judged_by).await?;
    let refusal = commit.outcomes.into_iter().find_map(|outcome| match outcome {
        Outcome::Refused(refusal) if refusal != Refusal::NotAttempted => Some(refusal),
        _ => None,
    });
    match refusal {
        Some(Refusal::Rejected(why)) => return Err(conflict(why)),
        Some(_) => return Err(conflict("it has been modified meanwhile; please try again".into())),
        None => {}
    }
    let Stored { pod_uid, kind, until } = stored;
    Ok(Reservation {
        namespace: namespace.to_owned(),
        pod: name.to_owned(),
        pod_uid,
        node,
        kind,
        until,
        revision: commit.revision,
    })
}

/// Takes a pod's reservation back.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub async fn release(service: &Service, cluster: &str, namespace: &str, name: &str) -> Result<()> {
    let key = Key::new(reservation::KIND, namespace, name);
    // The first write creates a cluster, and this is no write.
    if service.store.get(cluster, &key).await?.is_none() {
        return Err(Error::NotFound(subject(namespace, name)));
    }
    let write = Write { key, precondition: Precondition::exists(), change: Change::Delete };
    let call = Call { writes: vec![write], atomicity: Atomicity::AllOrNothing };
    let commit = service.clusters.commit(cluster, call, None).await?;
    if commit.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))) {
        return Err(Error::NotFound(subject(namespace, name)));
    }
    Ok(())
}

/// The end of a period of `seconds`; `now` is the database's time, which ends it.
pub fn lapsing_in(now: Timestamp, seconds: u32) -> Result<String> {
    let until = now.saturating_add(SignedDuration::from_secs(seconds.into())).map_err(Error::internal)?;
    Ok(clock::rfc3339(until))
}

/// The call that reserves a node for a pod. An assumed pod's reservation is written without the node and then bound to it like a pod, since the
/// commit judges binds.
pub fn reserving(namespace: &str, name: &str, node: &str, stored: &Stored) -> Result<Call> {
    let key = Key::new(reservation::KIND, namespace, name);
    let body = serde_json::to_vec(stored).map_err(Error::internal)?.into();
    let nominated = (stored.kind == ReservationKind::Nominated).then(|| node.to_owned());
    let put = Change::Put { body, uid: Uuid::new_v4().to_string(), node: nominated };
    let mut writes = vec![Write { key: key.clone(), precondition: Precondition::default(), change: put }];
    if stored.kind == ReservationKind::Assumed {
        let change = Change::Bind { node: node.to_owned() };
        writes.push(Write { key, precondition: Precondition::default(), change });
    }
    Ok(Call { writes, atomicity: Atomicity::AllOrNothing })
}

fn subject(namespace: &str, name: &str) -> Subject {
    Subject::new("podberth.io", "reservations", format!("{namespace}/{name}"))
}

fn shown(record: Record) -> Result<Reservation> {
    let Stored { pod_uid, kind, until } = Stored::parse(&record.body).map_err(Error::internal)?;
    let Key { namespace, name, .. } = record.key;
    let node = record.node.unwrap_or_default();
    Ok(Reservation { namespace, pod: name, pod_uid, node, kind, until, revision: record.revision })
}
