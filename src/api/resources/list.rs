//! List objects: all, of a namespace, by selectors, page by page.

use axum::{Extension, extract::State, response::Response};

use super::{events, list_options::ListQuery, listed};
use crate::{
    api::{extract::Query, state::AppState},
    service::{
        error::Result,
        objects::{self, Selection, Target},
    },
    wire::forms::Representation,
};

/// GET of a collection: a list, or a watch.
pub(super) async fn list(
    State(state): State<AppState>,
    target: Target,
    wanted: Option<Extension<Representation>>,
    Query(query): Query<ListQuery>,
) -> Result<Response> {
    if query.is_watch() {
        return events::watch(&state, &target, query.watch(&target)?, wanted).await;
    }
    let at = query.at()?.resolve(&state, &target.cluster).await?;
    let selection = Selection { at, ..query.selection(&target)? };
    listed::reply(target.kind, objects::list(&state, &target, selection).await?).await
}
