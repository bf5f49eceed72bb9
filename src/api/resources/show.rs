//! Stored objects as clients read them.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::target::Target;
use crate::{
    api::error::Result,
    service::objects::with_node,
    store::Record,
    wire::{
        document,
        kinds::StoredKind,
        status::{Status, StatusDetails},
    },
};

/// A reply of JSON that is written already.
pub(crate) fn json(code: StatusCode, text: String) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// A reply of one stored object.
pub(crate) fn object(kind: &StoredKind, record: &Record) -> Result<Response> {
    Ok(json(StatusCode::OK, document::render(&with_node(record)?, kind, record.revision)))
}

/// A reply of an object that was only tried (`dryRun`): one that is new has no revision.
pub(crate) fn tried(code: StatusCode, kind: &StoredKind, body: &str, revision: Option<u64>) -> Response {
    let text = if let Some(revision) = revision {
        document::render(body, kind, revision)
    } else {
        let body = document::shown(body, kind);
        let rest = body.strip_prefix('{').unwrap_or("}");
        format!(r#"{{"kind":"{}","apiVersion":"{}",{rest}"#, kind.kind, kind.api_version())
    };
    json(code, text)
}

/// A reply that only reports success.
pub(crate) fn success(code: StatusCode, target: &Target, uid: &str) -> Response {
    let details = StatusDetails {
        name: target.name.clone(),
        group: target.kind.group.into(),
        kind: target.kind.plural.into(),
        uid: uid.into(),
        ..StatusDetails::default()
    };
    (code, Json(Status::success(code.as_u16(), Some(details)))).into_response()
}
