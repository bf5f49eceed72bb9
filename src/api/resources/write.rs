//! Create, replace, patch.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{MethodRouter, put},
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

/// PUT and PATCH of a part of an object: everything else stays.
pub(super) fn part(part: Part) -> MethodRouter<AppState> {
    let patch =
        move |State(state): State<AppState>,
              target: Target,
              caller: Caller,
              Query(query): Query<WriteQuery>,
              headers: HeaderMap,
              body: PatchBody| async move { patched(&state, &target, &caller, query, &headers, body, part).await };
    replace_part(part).patch(patch)
}

/// PUT of a part of an object: everything else stays.
pub(super) fn replace_part(part: Part) -> MethodRouter<AppState> {
    put(
        move |State(state): State<AppState>,
              target: Target,
              caller: Caller,
              Query(query): Query<WriteQuery>,
              headers: HeaderMap,
              JsonBytes(body): JsonBytes| async move {
            written(&state, &target, &caller, query, &headers, Called::Update, Intent::ReplacePart(body, part)).await
        },
    )
}
