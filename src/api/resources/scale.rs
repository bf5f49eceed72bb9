//! `scale` of workloads: read and write the number of their pods (`autoscaling/v1` Scale).

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
        context::AtQuery,
        extract::{JsonBytes, PatchBody, Query},
        state::AppState,
    },
    service::{
        error::Result,
        objects::{self, Scaling, Target},
    },
};

/// GET of a scale.
pub(super) async fn read(State(state): State<AppState>, target: Target, Query(at): Query<AtQuery>) -> Result<Response> {
    let at = at.parse()?.resolve(&state, &target.cluster).await?;
    Ok(show::json(StatusCode::OK, objects::scale(&state, &target, at).await?))
}

/// PUT of a scale.
pub(super) async fn replace(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let options = query.options(Called::Update, &headers)?;
    let scale = objects::set_scale(&state, &target, &Scaling::Replace(body), &options).await?;
    Ok(show::json(StatusCode::OK, scale))
}

/// PATCH of a scale.
pub(super) async fn patch(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    PatchBody { patch, body }: PatchBody,
) -> Result<Response> {
    let options = query.options(Called::Patch(patch), &headers)?;
    let scale = objects::set_scale(&state, &target, &Scaling::Patch(patch, body), &options).await?;
    Ok(show::json(StatusCode::OK, scale))
}
