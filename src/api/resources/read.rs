//! Read one object.

use axum::{extract::State, response::Response};

use super::show;
use crate::{
    api::state::AppState,
    service::{
        error::Result,
        objects::{self, Target},
    },
};

/// GET of an object, or of its `status`.
pub(super) async fn read(State(state): State<AppState>, target: Target) -> Result<Response> {
    show::object(target.kind, &objects::read(&state, &target).await?)
}
