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
        error::Result,
        objects::{self, Intent, Part, Target},
    },
};

/// POST of a collection.
pub(super) async fn create(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let options = query.options(Called::Create, &headers)?;
    let written = objects::write(&state, &target, Intent::Create(body), &options).await?;
    Ok(show::written(StatusCode::CREATED, &written))
}

/// PUT of an object.
pub(super) async fn replace(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let options = query.options(Called::Update, &headers)?;
    let written = objects::write(&state, &target, Intent::Replace(body), &options).await?;
    let code = if written.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(show::written(code, &written))
}

/// PUT of an object's `status`: everything else stays.
pub(super) async fn replace_status(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let options = query.options(Called::Update, &headers)?;
    let written = objects::write(&state, &target, Intent::ReplaceStatus(body), &options).await?;
    Ok(show::written(StatusCode::OK, &written))
}

/// PATCH of an object.
pub(super) async fn patch(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    body: PatchBody,
) -> Result<Response> {
    patched(&state, &target, query, &headers, body, Part::Main).await
}

/// PATCH of an object's `status`: everything else but the metadata stays.
pub(super) async fn patch_status(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    body: PatchBody,
) -> Result<Response> {
    patched(&state, &target, query, &headers, body, Part::Status).await
}

async fn patched(
    state: &AppState,
    target: &Target,
    query: WriteQuery,
    headers: &HeaderMap,
    PatchBody { patch, body }: PatchBody,
    part: Part,
) -> Result<Response> {
    let options = query.options(Called::Patch(patch), headers)?;
    let written = objects::write(state, target, Intent::Patch { patch, body, part }, &options).await?;
    let code = if written.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(show::written(code, &written))
}

/// PUT of a pod's ephemeral containers: everything else stays.
pub(super) async fn replace_ephemeral_containers(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let options = query.options(Called::Update, &headers)?;
    let written = objects::write(&state, &target, Intent::ReplaceEphemeralContainers(body), &options).await?;
    Ok(show::written(StatusCode::OK, &written))
}

/// PATCH of a pod's ephemeral containers: everything else stays.
pub(super) async fn patch_ephemeral_containers(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    body: PatchBody,
) -> Result<Response> {
    patched(&state, &target, query, &headers, body, Part::EphemeralContainers).await
}
