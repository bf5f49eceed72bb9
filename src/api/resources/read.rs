//! Read one object.

use axum::{extract::State, response::Response};

use super::{show, target::Target};
use crate::{
    api::{
        error::{ApiError, Result},
        state::AppState,
    },
    store::Record,
};

/// The object as it is now in the store.
pub(super) async fn current(state: &AppState, target: &Target) -> Result<Record> {
    let record = state.store.get(&target.cluster, &target.key()).await?;
    record.ok_or_else(|| ApiError::NotFound(target.subject()))
}

/// GET of an object, or of its `status`.
pub(super) async fn read(State(state): State<AppState>, target: Target) -> Result<Response> {
    show::object(target.kind, &current(&state, &target).await?)
}
