//! `Status` of `meta/v1`: the body of every error reply (Kubernetes: `apimachinery/pkg/apis/meta/v1/types.go`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fault::Cause;

/// The reply to a request that failed, or that has no other result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Always `Status`.
    #[schema(example = "Status")]
    pub kind: String,
    /// Always `v1`.
    #[schema(example = "v1")]
    pub api_version: String,
    /// Empty: a `Status` is not stored.
    pub metadata: StatusMetadata,
    /// `Success` or `Failure`.
    #[schema(example = "Failure")]
    pub status: String,
    /// The kind of failure in one word, for programs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(example = "NotFound")]
    pub reason: String,
    /// The error, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(example = "pods \"web\" not found")]
    pub message: String,
    /// The HTTP status code; absent in the reply to a deletion.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schema(required = false, example = 404)]
    pub code: u16,
    /// The subject of the failure, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub details: Option<StatusDetails>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(code: &u16) -> bool {
    *code == 0
}

impl Status {
    /// A success with this HTTP code (0: the reply does not tell it), and its subject.
    pub fn success(code: u16, details: Option<StatusDetails>) -> Self {
        Self {
            kind: "Status".into(),
            api_version: "v1".into(),
            metadata: StatusMetadata::default(),
            status: "Success".into(),
            reason: String::new(),
            message: String::new(),
            code,
            details,
        }
    }
}

/// The `metadata` of a Status, which is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusMetadata {}

/// The object that a Status is about, and its causes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusDetails {
    /// The object's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub name: String,
    /// The API group of `kind`; the core group has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub group: String,
    /// The object's resource (`pods`), or in an invalid object its kind (`Pod`).
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub kind: String,
    /// The object's unique identifier.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub uid: String,
    /// Every fault that was found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub causes: Vec<StatusCause>,
    /// After how many seconds another attempt makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub retry_after_seconds: Option<u32>,
}

/// One fault of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct StatusCause {
    /// The kind of fault in one word: `FieldValueRequired`, `FieldValueInvalid`, `FieldValueDuplicate`…
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false, example = "FieldValueRequired")]
    pub reason: String,
    /// The fault, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false, example = "Required value")]
    pub message: String,
    /// The path of the field in the request.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false, example = "spec.containers[0].name")]
    pub field: String,
    /// The line of the field in a text that was sent as one, from 1; absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub line: Option<u32>,
    /// The column in the line, from 1, in UTF-16 code units.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub column: Option<u32>,
}

impl From<Cause> for StatusCause {
    fn from(cause: Cause) -> Self {
        Self { reason: cause.reason, message: cause.message, field: cause.field, ..Self::default() }
    }
}
