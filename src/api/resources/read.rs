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
    show::object(target.kind, &objects::read(&state, &target, query.not_older()?).await?)
}
