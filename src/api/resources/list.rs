//! List objects: all, of a namespace, by selectors, page by page.

use std::fmt::Write as _;

use axum::{Extension, extract::State, http::StatusCode, response::Response};

use super::{events, list_options::ListQuery, page, show};
use crate::{
    api::{extract::Query, state::AppState},
    service::{
        compute::compute,
        error::Result,
        objects::{self, Found, Target, with_node},
    },
    wire::{document, forms::Representation, kinds::StoredKind},
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
    let mut found = objects::list(&state, &target, query.selection(&target)?).await?;
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
        document::render_item_into(&mut text, &with_node(record)?, kind, record.revision);
    }
    text.push_str("]}");
    Ok(text)
}
