//! Stored objects as clients read them.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    api::warning::warn,
    service::{
        error::Result,
        objects::{Target, Written, with_node},
    },
    store::{Body, Record},
    wire::{
        document,
        kinds::StoredKind,
        status::{Status, StatusDetails},
    },
};

/// A reply of JSON that is written already.
pub(super) fn json(code: StatusCode, text: String) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// A reply of one stored object.
pub(super) fn object(kind: &StoredKind, record: &Record) -> Result<Response> {
    Ok(json(StatusCode::OK, document::render(&with_node(record)?, kind, record.revision)))
}

/// A reply of an object that was written, with warnings. One that is new in a dry run has no revision.
pub(super) fn written(code: StatusCode, written: &Written) -> Response {
    let (kind, body) = (written.target.kind, written.body.as_ref().and_then(Body::as_text).unwrap_or("{}"));
    let text = if let Some(revision) = written.revision {
        document::render(body, kind, revision)
    } else {
        let body = document::shown(body, kind);
        let rest = body.strip_prefix('{').unwrap_or("}");
        format!(r#"{{"kind":"{}","apiVersion":"{}",{rest}"#, kind.kind, kind.api_version())
    };
    warn(json(code, text), &written.warnings)
}

/// A reply that reports success alone.
pub(super) fn done(code: StatusCode) -> Response {
    (code, Json(Status::success(code.as_u16(), None))).into_response()
}

/// A reply that only reports success.
pub(super) fn success(code: StatusCode, target: &Target, uid: &str) -> Response {
    let details = StatusDetails {
        name: target.name.clone(),
        group: target.kind.group.into(),
        kind: target.kind.plural.into(),
        uid: uid.into(),
        ..StatusDetails::default()
    };
    (code, Json(Status::success(code.as_u16(), Some(details)))).into_response()
}
