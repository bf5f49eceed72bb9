//! Create and replace.

use axum::{extract::State, http::StatusCode, response::Response};

use super::{queries::WriteQuery, show};
use crate::{
    api::{
        extract::{JsonBytes, Query},
        state::AppState,
    },
    service::{
        error::Result,
        objects::{self, Intent, Target},
    },
};

/// POST of a collection.
pub(super) async fn create(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let written = objects::write(&state, &target, Intent::Create(body), &query.options()?).await?;
    Ok(show::written(StatusCode::CREATED, &written))
}

/// PUT of an object.
pub(super) async fn replace(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let written = objects::write(&state, &target, Intent::Replace(body), &query.options()?).await?;
    let code = if written.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(show::written(code, &written))
}

/// PUT of an object's `status`: everything else stays.
pub(super) async fn replace_status(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let written = objects::write(&state, &target, Intent::ReplaceStatus(body), &query.options()?).await?;
    Ok(show::written(StatusCode::OK, &written))
}
