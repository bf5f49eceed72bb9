//! `/reservations`: nodes that are held for pods.

use axum::{Json, extract::State};

use super::{
    cluster::ClusterName,
    context::PolicyQuery,
    extract::{JsonBytes, Path, Query, parse_json},
    openapi::{ReadErrors, WriteErrors},
    state::AppState,
};
use crate::{
    service::{
        access::{Caller, sight::Sight},
        error::Result,
        reserve,
    },
    wire::{
        reservation::{Reservation, ReservationList, ReservationRequest},
        status::Status,
    },
};

/// The reservations of the cluster
#[utoipa::path(get, path = "/reservations", operation_id = "listReservations", tag = "decisions",
    responses((status = 200, description = "By namespace and name of the pod.", body = ReservationList), ReadErrors))]
pub async fn list(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
) -> Result<Json<ReservationList>> {
    let sight = Sight::of(&caller, &state, &cluster).await?;
    reserve::list(&state, &cluster, sight).await.map(Json)
}

/// Reserve a node for a pod
///
/// `Assumed`: the pod counts as running there. This is judged like a bind: a 409 has the reason if it does not fit. `Nominated`: room is being made
/// for the pod there, so pods of lower priority do not get that room; this is not judged. An earlier reservation of the pod is replaced.
#[utoipa::path(put, path = "/reservations/{namespace}/{pod}", operation_id = "replaceReservation", tag = "decisions",
    params(("namespace" = String, Path, description = "The pod's namespace", example = "default"),
        ("pod" = String, Path, description = "The pod's name", example = "example"), PolicyQuery),
    request_body(content = ReservationRequest, example = json!({"node": "example", "kind": "Assumed", "ttlSeconds": 30})),
    responses((status = 200, description = "The node is reserved.", body = Reservation), WriteErrors))]
pub async fn replace(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Path((namespace, name)): Path<(String, String)>,
    Query(query): Query<PolicyQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Json<Reservation>> {
    let (request, policy): (ReservationRequest, _) = (parse_json(&body)?, query.policy.as_deref());
    reserve::reserve(&state, &cluster, (&namespace, &name), request, policy).await.map(Json)
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
    reserve::release(&state, &cluster, &namespace, &name).await?;
    Ok(Json(Status::success(200, None)))
}
