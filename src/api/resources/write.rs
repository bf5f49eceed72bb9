//! Create, replace, patch.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{self, MethodRouter},
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

/// PUT and PATCH of a part of an object.
pub(super) fn part(part: Part) -> MethodRouter<AppState> {
    replace(part).merge(patch(part))
}

/// PUT of an object, or of a part of it: everything else stays.
pub(super) fn replace(part: Part) -> MethodRouter<AppState> {
    routing::put(
        move |State(state): State<AppState>,
              target: Target,
              caller: Caller,
              Query(query): Query<WriteQuery>,
              headers: HeaderMap,
              JsonBytes(body): JsonBytes| async move {
            let intent = Intent::Replace { body, part };
            written(&state, &target, &caller, query, &headers, Called::Update, intent).await
        },
    )
}

/// PATCH of an object, or of a part of it: everything else stays.
pub(super) fn patch(part: Part) -> MethodRouter<AppState> {
    routing::patch(
        move |State(state): State<AppState>,
              target: Target,
              caller: Caller,
              Query(query): Query<WriteQuery>,
              headers: HeaderMap,
              PatchBody { patch, body }: PatchBody| async move {
            let intent = Intent::Patch { patch, body, part };
            written(&state, &target, &caller, query, &headers, Called::Patch(patch), intent).await
        },
    )
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
