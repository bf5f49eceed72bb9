//! Read one object.

use axum::{extract::State, response::Response};

use super::{list_options::ReadQuery, show};
use crate::{
    api::{extract::Query, state::AppState},
    service::{
        error::Result,
        objects::{self, Target},
    },
};

/// GET of an object, or of its `status`.
pub(super) async fn read(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<ReadQuery>,
) -> Result<Response> {
    let record = match query.at()?.resolve(&state, &target.cluster).await? {
        None => objects::read(&state, &target, query.not_older()?).await?,
        Some(revision) => objects::read_at(&state, &target, revision).await?,
    };
    show::object(target.kind, &record)
}
