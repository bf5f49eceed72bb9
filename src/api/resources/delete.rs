//! Delete an object, or all selected ones of a collection.
//!
//! Source: `apiserver/pkg/endpoints/handlers/delete.go` (`DeleteResource`, `DeleteCollection`).

use axum::{extract::State, http::StatusCode, response::Response};

use super::{
    delete_options::{DeleteOptions, DeleteQuery},
    list_options::ListQuery,
    listed, show,
};
use crate::{
    api::{
        extract::{JsonBytes, Query},
        state::AppState,
    },
    service::{
        error::Result,
        objects::{self, Target},
    },
};

/// DELETE of an object.
pub(super) async fn delete(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<DeleteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let options = DeleteOptions::parse(&body, &query)?;
    let is_cascading = options.is_cascading();
    let deleted = objects::delete(&state, &target, &options.deletion(&query)?).await?;
    if deleted.is_gone && !target.kind.replies_with_object() {
        return Ok(show::deleted(&target, &deleted.uid));
    }
    let code = if is_cascading && !deleted.is_gone { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(show::body(code, target.kind, &deleted.body, deleted.revision))
}

/// DELETE of a collection: all selected objects.
pub(super) async fn delete_all(
    State(state): State<AppState>,
    target: Target,
    Query(chosen): Query<ListQuery>,
    Query(query): Query<DeleteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let deletion = DeleteOptions::parse(&body, &query)?.deletion(&query)?;
    let selection = chosen.selection(&target)?;
    let found = objects::delete_all(&state, &target, &selection.selector, selection.limit, &deletion).await?;
    listed::reply(target.kind, found).await
}
