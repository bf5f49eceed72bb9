//! Lists of objects as clients read them.

use std::fmt::Write as _;

use axum::{http::StatusCode, response::Response};

use super::{page, show};
use crate::{
    service::{
        compute::compute,
        error::Result,
        objects::{Found, with_node},
    },
    wire::{document, kinds::StoredKind},
};

/// The reply of a list of objects.
pub(super) async fn reply(kind: &'static StoredKind, mut found: Found) -> Result<Response> {
    let turn = found.turn.take();
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
