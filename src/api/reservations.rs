//! `/reservations`: what was decided about pods and is not a fact yet. A reservation counts in every decision, on every
//! replica, until its pod is bound, it is deleted, or its time is over.

use axum::{Json, extract::State};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    cluster::ClusterName,
    context::{self, PolicyQuery},
    error::{ApiError, Result, Subject},
    extract::{JsonBytes, Path, Query, parse_json},
    openapi::{ReadErrors, WriteErrors},
    state::AppState,
};
use crate::{
    clock,
    store::{Atomicity, Call, Change, Key, ListQuery, Outcome, Precondition, Record, Refusal, Write},
    wire::{
        reservation::{self, Reservation, ReservationKind, ReservationList, ReservationRequest, Stored},
        status::Status,
    },
};

/// How long a reservation lasts unless told.
const TTL_SECONDS: u32 = 30;
/// How long a reservation lasts at most.
pub const LONGEST_TTL_SECONDS: u32 = 24 * 60 * 60;

/// The reservations of the cluster
#[utoipa::path(get, path = "/reservations", operation_id = "listReservations", tag = "decisions",
    responses((status = 200, description = "By namespace and name of the pod.", body = ReservationList), ReadErrors))]
pub async fn list(State(state): State<AppState>, ClusterName(cluster): ClusterName) -> Result<Json<ReservationList>> {
    let list = state.store.list(&cluster, &ListQuery::all(reservation::KIND)).await?;
    let items = list.items.into_iter().map(shown).collect::<Result<_>>()?;
    Ok(Json(ReservationList { items, revision: list.revision }))
}

/// Reserves a node for a pod
///
/// `Assumed`: the pod counts as running there, which is judged like a bind: a 409 tells why it does not fit. `Nominated`:
/// room is being made for it there, so pods of a lower priority do not get that room; it is not judged. A reservation
/// that the pod had before is replaced.
#[utoipa::path(put, path = "/reservations/{namespace}/{pod}", operation_id = "replaceReservation", tag = "decisions",
    params(("namespace" = String, Path, description = "The pod's namespace", example = "default"),
        ("pod" = String, Path, description = "The pod's name", example = "example"), PolicyQuery),
    request_body(content = ReservationRequest, example = json!({"node": "example", "kind": "Assumed", "ttlSeconds": 30})),
    responses((status = 200, description = "The node is reserved.", body = Reservation), WriteErrors))]
pub async fn replace(
    State(state): State<AppState>,
    cluster: ClusterName,
    Path((namespace, name)): Path<(String, String)>,
    Query(query): Query<PolicyQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Json<Reservation>> {
    let ReservationRequest { node, kind, ttl_seconds, pod_uid } = parse_json(&body)?;
    if node.is_empty() {
        return Err(ApiError::BadRequest("node: Required value".into()));
    }
    let ttl = ttl_seconds.unwrap_or(TTL_SECONDS);
    if !(1..=LONGEST_TTL_SECONDS).contains(&ttl) {
        return Err(ApiError::BadRequest(format!(
            "ttlSeconds: Invalid value: {ttl}: must be 1 to {LONGEST_TTL_SECONDS}"
        )));
    }
    let view = context::view(&state, &cluster).await?;
    let pod = view.snapshot.pod(&namespace, &name);
    let pod = pod.ok_or_else(|| ApiError::NotFound(Subject::new("", "pods", &*name)))?;
    let conflict = |message| ApiError::Conflict { subject: subject(&namespace, &name), message };
    if !pod_uid.is_empty() && *pod_uid != *pod.uid {
        return Err(conflict(format!("the pod has the uid {}", pod.uid)));
    }
    let stored = Stored { pod_uid: pod.uid.to_string(), kind, until: lapsing_in(state.clusters.now().await?, ttl)? };
    let judged_by = context::judged_by(&state, &cluster, &query, (&namespace, &name)).await?;
    let call = reserving(&namespace, &name, &node, &stored)?;
    let commit = state.clusters.commit(&cluster.0, call, judged_by).await?;
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
    Ok(Json(Reservation { namespace, pod: name, pod_uid, node, kind, until, revision: commit.revision }))
}

/// When what lasts so many seconds lapses; `now` is the database's time, by which it is ended.
pub fn lapsing_in(now: Timestamp, seconds: u32) -> Result<String> {
    let until = now.saturating_add(SignedDuration::from_secs(seconds.into())).map_err(ApiError::internal)?;
    Ok(clock::rfc3339(until))
}

/// The call that reserves a node for a pod. An assumed one is written without its node and then bound to it like a pod,
/// since binds are what is judged at the commit.
pub fn reserving(namespace: &str, name: &str, node: &str, stored: &Stored) -> Result<Call> {
    let key = Key::new(reservation::KIND, namespace, name);
    let body = serde_json::to_vec(stored).map_err(ApiError::internal)?.into();
    let nominated = (stored.kind == ReservationKind::Nominated).then(|| node.to_owned());
    let put = Change::Put { body, uid: Uuid::new_v4().to_string(), node: nominated };
    let mut writes = vec![Write { key: key.clone(), precondition: Precondition::default(), change: put }];
    if stored.kind == ReservationKind::Assumed {
        let change = Change::Bind { node: node.to_owned() };
        writes.push(Write { key, precondition: Precondition::default(), change });
    }
    Ok(Call { writes, atomicity: Atomicity::AllOrNothing })
}

/// Takes a pod's reservation back
#[utoipa::path(delete, path = "/reservations/{namespace}/{pod}", operation_id = "deleteReservation", tag = "decisions",
    params(("namespace" = String, Path, description = "The pod's namespace", example = "default"),
        ("pod" = String, Path, description = "The pod's name", example = "example")),
    responses((status = 200, description = "It is gone.", body = Status), WriteErrors))]
pub async fn delete(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<Status>> {
    let key = Key::new(reservation::KIND, &*namespace, &*name);
    // A cluster comes to be with its first write, and this is none.
    if state.store.get(&cluster, &key).await?.is_none() {
        return Err(ApiError::NotFound(subject(&namespace, &name)));
    }
    let write = Write { key, precondition: Precondition::exists(), change: Change::Delete };
    let call = Call { writes: vec![write], atomicity: Atomicity::AllOrNothing };
    let commit = state.clusters.commit(&cluster, call, None).await?;
    if commit.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))) {
        return Err(ApiError::NotFound(subject(&namespace, &name)));
    }
    Ok(Json(Status::success(200, None)))
}

fn subject(namespace: &str, name: &str) -> Subject {
    Subject::new("podberth.io", "reservations", format!("{namespace}/{name}"))
}

fn shown(record: Record) -> Result<Reservation> {
    let Stored { pod_uid, kind, until } = Stored::parse(&record.body).map_err(ApiError::internal)?;
    let Key { namespace, name, .. } = record.key;
    let node = record.node.unwrap_or_default();
    Ok(Reservation { namespace, pod: name, pod_uid, node, kind, until, revision: record.revision })
}
