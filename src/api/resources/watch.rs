//! Watches under the paths of early releases, `/api/v1/watch/…`, which kube-apiserver still has.

use axum::{Extension, extract::State, response::Response};

use super::{events, list_options::ListQuery};
use crate::{
    api::{extract::Query, state::AppState},
    service::{error::Result, objects::Target},
    wire::forms::Representation,
};

/// GET of such a path, which always is a watch: of a collection, or of one object.
pub(super) async fn watch(
    State(state): State<AppState>,
    target: Target,
    wanted: Option<Extension<Representation>>,
    Query(query): Query<ListQuery>,
) -> Result<Response> {
    events::watch(&state, &target, query.watch(&target)?, wanted).await
}
