//! Kubernetes' `Status`: the body of every error.
//!
//! Source: `apimachinery/pkg/apis/meta/v1/types.go` (`Status`, `StatusReason`), `apimachinery/pkg/api/errors/errors.go`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fault::Cause;

/// How a request ended, when not with an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Always `Status`.
    pub kind: String,
    /// Always `v1`.
    pub api_version: String,
    /// Always empty.
    pub metadata: StatusMeta,
    /// `Success` or `Failure`.
    pub status: String,
    /// What happened, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What happened, for programs: `NotFound`, `Conflict`, `Invalid`, …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What it happened to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub details: Option<StatusDetails>,
    /// The HTTP status code.
    pub code: u16,
}

/// The `metadata` of a `Status`: always empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusMeta {}

/// What an error is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusDetails {
    /// The object's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The object's API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The object's kind as it stands in paths: `pods`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The object's uid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Every fault, field by field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// After how many seconds trying again makes sense; 0 for unknown.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_zero(seconds: &u32) -> bool {
    *seconds == 0
}

/// The object that an error is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    /// Its API group; empty for the core group.
    pub group: &'a str,
    /// Its plural, as in paths: `pods`.
    pub plural: &'a str,
    /// Its kind: `Pod`.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
}

impl Subject<'_> {
    fn details(&self) -> StatusDetails {
        StatusDetails {
            name: self.name.into(),
            group: self.group.into(),
            kind: self.plural.into(),
            ..StatusDetails::default()
        }
    }

    /// `pods`, or `replicasets.apps`.
    fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.into() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `Pod`, or `ReplicaSet.apps`.
    fn group_kind(&self) -> String {
        if self.group.is_empty() { self.kind.into() } else { format!("{}.{}", self.kind, self.group) }
    }
}

impl Status {
    /// A request that went well and has no object to answer with.
    pub fn success() -> Self {
        Self { kind: "Status".into(), api_version: "v1".into(), status: "Success".into(), code: 200, ..Self::default() }
    }

    /// A failure of any kind.
    pub fn failure(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { status: "Failure".into(), reason: reason.into(), message: message.into(), code, ..Self::success() }
    }

    fn about(mut self, details: StatusDetails) -> Self {
        self.details = Some(details);
        self
    }

    fn retry_after(self, seconds: u32) -> Self {
        self.about(StatusDetails { retry_after_seconds: seconds, ..StatusDetails::default() })
    }

    /// 400: the request cannot be read.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", message)
    }

    /// 400 with the fields at fault.
    pub fn bad_fields(message: impl Into<String>, causes: Vec<Cause>) -> Self {
        Self::bad_request(message).about(StatusDetails { causes, ..StatusDetails::default() })
    }

    /// 404: there is no such object.
    pub fn not_found(subject: Subject<'_>) -> Self {
        let message = format!("{} {:?} not found", subject.resource(), subject.name);
        Self::failure(404, "NotFound", message).about(subject.details())
    }

    /// 404: there is nothing under this path.
    pub fn no_such_path() -> Self {
        Self::failure(404, "NotFound", "the server could not find the requested resource")
    }

    /// 405: the path is known, the method is not.
    pub fn method_not_allowed() -> Self {
        Self::failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    /// 406: no form that the client takes is one that we write.
    pub fn not_acceptable(message: impl Into<String>) -> Self {
        Self::failure(406, "NotAcceptable", message)
    }

    /// 409: there is such an object already.
    pub fn already_exists(subject: Subject<'_>) -> Self {
        let message = format!("{} {:?} already exists", subject.resource(), subject.name);
        Self::failure(409, "AlreadyExists", message).about(subject.details())
    }

    /// 409: the object changed in between.
    pub fn conflict(subject: Subject<'_>, why: &str) -> Self {
        let (resource, name) = (subject.resource(), subject.name);
        let message = format!("Operation cannot be fulfilled on {resource} {name:?}: {why}");
        Self::failure(409, "Conflict", message).about(subject.details())
    }

    /// 410: the revision asked for is too old.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, "Expired", message)
    }

    /// 413: the body is larger than what we take.
    pub fn too_large(limit: usize) -> Self {
        Self::failure(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {limit}"))
    }

    /// 415: the body's content type is none that we read.
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::failure(415, "UnsupportedMediaType", message)
    }

    /// 422: the object has faults.
    pub fn invalid(subject: Subject<'_>, causes: Vec<Cause>) -> Self {
        let mut faults: Vec<_> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        let list = if faults.len() == 1 { faults.remove(0) } else { format!("[{}]", faults.join(", ")) };
        let message = format!("{} {:?} is invalid: {list}", subject.group_kind(), subject.name);
        let details = StatusDetails { kind: subject.kind.into(), causes, ..subject.details() };
        Self::failure(422, "Invalid", message).about(details)
    }

    /// 429: too much at once, or an eviction that a disruption budget does not allow now.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::failure(429, "TooManyRequests", message).retry_after(retry_after_seconds)
    }

    /// 500: our own failure, which the log explains.
    pub fn internal() -> Self {
        Self::failure(500, "InternalError", "Internal error occurred")
    }

    /// 503: not ready, or the database cannot be reached.
    pub fn unavailable(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::failure(503, "ServiceUnavailable", message).retry_after(retry_after_seconds)
    }

    /// 504: it took too long.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::failure(504, "Timeout", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_read_as_kubectl_expects() {
        let subject = Subject { group: "apps", plural: "replicasets", kind: "ReplicaSet", name: "web" };
        assert_eq!(
            serde_json::to_string(&Status::not_found(subject)).unwrap(),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"replicasets.apps \"web\" not found","reason":"NotFound","details":{"name":"web","group":"apps","kind":"replicasets"},"code":404}"#
        );
        let cause = |field: &str| Cause {
            field: field.into(),
            reason: "FieldValueRequired".into(),
            message: "Required value".into(),
            unreadable: false,
        };
        let pod = Subject { group: "", plural: "pods", kind: "Pod", name: "p" };
        let status = Status::invalid(pod, vec![cause("a"), cause("b")]);
        assert_eq!(status.message, "Pod \"p\" is invalid: [a: Required value, b: Required value]");
        assert_eq!(status.details.unwrap().causes.len(), 2);
        assert_eq!(
            serde_json::to_string(&Status::too_many_requests("slow down", 1)).unwrap(),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"slow down","reason":"TooManyRequests","details":{"retryAfterSeconds":1},"code":429}"#
        );
    }
}
