//! Create, replace, patch.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};

use super::{
    queries::{Called, WriteQuery},
    show,
};
use crate::{
    api::{
        extract::{JsonBytes, PatchBody, Query},
        state::AppState,
    },
    service::{
        access::Caller,
        error::Result,
        objects::{self, Intent, Options, Part, Target},
    },
};

/// POST of a collection.
pub(super) async fn create(
    State(state): State<AppState>,
    target: Target,
    caller: Caller,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let options = Options { by: caller.limited().cloned(), ..query.options(Called::Create, &headers)? };
    let written = objects::write(&state, &target, Intent::Create(body), &options).await?;
    Ok(show::written(StatusCode::CREATED, &written))
}

/// PUT of an object.
pub(super) async fn replace(
    State(state): State<AppState>,
    target: Target,
    caller: Caller,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    written(&state, &target, &caller, query, &headers, Called::Update, Intent::Replace(body)).await
}

/// PUT of an object's `status`: everything else stays.
pub(super) async fn replace_status(
    State(state): State<AppState>,
    target: Target,
    caller: Caller,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    written(&state, &target, &caller, query, &headers, Called::Update, Intent::ReplaceStatus(body)).await
}

/// PATCH of an object.
pub(super) async fn patch(
    State(state): State<AppState>,
    target: Target,
    caller: Caller,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    body: PatchBody,
) -> Result<Response> {
    patched(&state, &target, &caller, query, &headers, body, Part::Main).await
}

/// PATCH of an object's `status`: everything else but the metadata stays.
pub(super) async fn patch_status(
    State(state): State<AppState>,
    target: Target,
    caller: Caller,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    body: PatchBody,
) -> Result<Response> {
    patched(&state, &target, &caller, query, &headers, body, Part::Status).await
}

async fn patched(
    state: &AppState,
    target: &Target,
    caller: &Caller,
    query: WriteQuery,
    headers: &HeaderMap,
    PatchBody { patch, body }: PatchBody,
    part: Part,
) -> Result<Response> {
    written(state, target, caller, query, headers, Called::Patch(patch), Intent::Patch { patch, body, part }).await
}

/// Carries out a change of an object, which may create it.
async fn written(
    state: &AppState,
    target: &Target,
    caller: &Caller,
    query: WriteQuery,
    headers: &HeaderMap,
    called: Called,
    intent: Intent,
) -> Result<Response> {
    let options = Options { by: caller.limited().cloned(), ..query.options(called, headers)? };
    let written = objects::write(state, target, intent, &options).await?;
    let code = if written.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(show::written(code, &written))
}

/// PUT of a pod's ephemeral containers: everything else stays.
pub(super) async fn replace_ephemeral_containers(
    State(state): State<AppState>,
    target: Target,
    caller: Caller,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    written(&state, &target, &caller, query, &headers, Called::Update, Intent::ReplaceEphemeralContainers(body)).await
}

/// PATCH of a pod's ephemeral containers: everything else stays.
pub(super) async fn patch_ephemeral_containers(
    State(state): State<AppState>,
    target: Target,
    caller: Caller,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    body: PatchBody,
) -> Result<Response> {
    patched(&state, &target, &caller, query, &headers, body, Part::EphemeralContainers).await
}
