//! Stored objects as clients read them.

use std::borrow::Cow;

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::target::Target;
use crate::{
    api::error::{ApiError, Result},
    store::Record,
    wire::{
        decode,
        document::{self, Document},
        kinds::StoredKind,
        status::{Status, StatusDetails},
    },
};

/// The node a body says its pod is on.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Bound<'a> {
    #[serde(borrow)]
    spec: BoundSpec<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BoundSpec<'a> {
    #[serde(borrow)]
    node_name: Cow<'a, str>,
}

/// A record's body with the node that stands beside it: a bind writes the column and leaves the body.
pub fn body(record: &Record) -> Result<Cow<'_, str>> {
    let body = std::str::from_utf8(&record.body).map_err(ApiError::internal)?;
    let Some(node) = &record.node else { return Ok(Cow::Borrowed(body)) };
    if decode::from_slice::<Bound<'_>>(body.as_bytes()).is_ok_and(|bound| bound.spec.node_name == *node) {
        return Ok(Cow::Borrowed(body));
    }
    let mut document = Document::parse(body.as_bytes()).map_err(ApiError::internal)?;
    document.set_text_in("spec", "nodeName", node).map_err(ApiError::internal)?;
    Ok(Cow::Owned(document.into_body()))
}

/// A reply of JSON that is written already.
pub fn json(code: StatusCode, text: String) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// A reply of one stored object.
pub fn object(kind: &StoredKind, record: &Record) -> Result<Response> {
    Ok(json(StatusCode::OK, document::render(&body(record)?, kind, record.revision)))
}

/// A reply of an object that was only tried (`dryRun`): one that is new has no revision.
pub fn tried(code: StatusCode, kind: &StoredKind, body: &str, revision: Option<u64>) -> Response {
    let text = if let Some(revision) = revision {
        document::render(body, kind, revision)
    } else {
        let rest = body.strip_prefix('{').unwrap_or("}");
        format!(r#"{{"kind":"{}","apiVersion":"{}",{rest}"#, kind.kind, kind.api_version())
    };
    json(code, text)
}

/// A reply that says no more than that it is done.
pub fn success(code: StatusCode, target: &Target, uid: &str) -> Response {
    let details = StatusDetails {
        name: target.name.clone(),
        group: target.kind.group.into(),
        kind: target.kind.plural.into(),
        uid: uid.into(),
        ..StatusDetails::default()
    };
    (code, Json(Status::success(code.as_u16(), Some(details)))).into_response()
}
