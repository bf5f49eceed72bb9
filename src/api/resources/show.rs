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
    store::Record,
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
    let (kind, body) = (written.target.kind, written.body.as_text().unwrap_or("{}"));
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

/// A reply of an object by its stored body.
pub(super) fn body(code: StatusCode, kind: &StoredKind, body: &str, revision: u64) -> Response {
    json(code, document::render(body, kind, revision))
}

/// A reply that reports the deletion of an object.
pub(super) fn deleted(target: &Target, uid: &str) -> Response {
    (StatusCode::OK, Json(Status::success(0, Some(details(target, uid))))).into_response()
}

fn details(target: &Target, uid: &str) -> StatusDetails {
    StatusDetails {
        name: target.name.clone(),
        group: target.kind.group.into(),
        kind: target.kind.plural.into(),
        uid: uid.into(),
        ..StatusDetails::default()
    }
}
