//! List objects: all, of a namespace, by selectors, page by page.

use std::fmt::Write as _;

use axum::{extract::State, http::StatusCode, response::Response};

use super::{page, queries::ListQuery, show};
use crate::{
    api::{extract::Query, state::AppState},
    service::{
        compute::compute,
        error::{Error, Result},
        objects::{self, Found, Target, with_node},
    },
    wire::{document, kinds::StoredKind},
};

/// GET of a collection.
pub(super) async fn list(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<ListQuery>,
) -> Result<Response> {
    if query.is_watch() {
        return Err(Error::BadRequest("watch is not built yet: list again".into()));
    }
    let mut found = objects::list(&state, &target, query.selection()?).await?;
    let turn = found.turn.take();
    let kind = target.kind;
    let text = compute(move || render(kind, &found)).await??;
    let mut reply = show::json(StatusCode::OK, text);
    if let Some(turn) = turn {
        reply.extensions_mut().insert(turn);
    }
    Ok(reply)
}

/// The list as JSON.
fn render(kind: &StoredKind, found: &Found) -> Result<String> {
    let length = found.items.iter().fold(256_usize, |sum, record| sum.saturating_add(record.body.len() + 128));
    let mut text = String::with_capacity(length);
    let _ = write!(
        text,
        r#"{{"kind":"{}List","apiVersion":"{}","metadata":{{"resourceVersion":"{}""#,
        kind.kind,
        kind.api_version(),
        found.revision
    );
    if let Some(next) = &found.next {
        let _ = write!(text, r#","continue":"{}""#, page::token(next));
    }
    if let Some(remaining) = found.remaining {
        let _ = write!(text, r#","remainingItemCount":{remaining}"#);
    }
    text.push_str("},\"items\":[");
    for (i, record) in found.items.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        document::render_into(&mut text, &with_node(record)?, kind, record.revision);
    }
    text.push_str("]}");
    Ok(text)
}
