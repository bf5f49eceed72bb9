//! Create, replace, delete.

use axum::{extract::State, http::StatusCode, response::Response};

use super::{
    list_options::ListQuery,
    queries::{DeleteOptions, WriteQuery},
    show,
};
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
    Ok(show::written(StatusCode::OK, &written))
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

/// DELETE of an object.
pub(super) async fn delete(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let options = DeleteOptions::parse(&body)?.options(&query)?;
    let deleted = objects::write(&state, &target, Intent::Delete, &options).await?;
    Ok(show::success(StatusCode::OK, &target, &deleted.uid))
}

/// DELETE of a collection: all selected objects.
pub(super) async fn delete_all(
    State(state): State<AppState>,
    target: Target,
    Query(chosen): Query<ListQuery>,
    Query(query): Query<WriteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let options = DeleteOptions::parse(&body)?.options(&query)?;
    objects::delete_all(&state, &target, &chosen.selector(&target)?, options.dry_run).await?;
    Ok(show::success(StatusCode::OK, &target, ""))
}
