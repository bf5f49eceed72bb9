//! A policy and its history, as API replies.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    ActiveProfile, Document, Remark,
    revision::{self, Revision},
    schema::PolicyDocument,
    tree::Tree,
};
use podberth_core::policy::Profile;

/// A policy: the document that was sent, and the resulting profile.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyState {
    /// Its name; `default` is the policy of `/policy`.
    #[schema(example = "default")]
    pub name: String,
    /// Counts the texts that this policy has had, and is never given twice; 0 where there is none and kube-scheduler
    /// 1.22's defaults hold.
    #[schema(example = 3)]
    pub revision: u64,
    /// When the revision came into force, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "2026-01-02T15:04:05Z")]
    pub created_at: Option<String>,
    /// The revision whose text this is again, where it came into force by a rollback.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rollback_to: Option<u64>,
    /// Settings that its author may not have meant.
    pub warnings: Vec<Remark>,
    /// The resulting profile: defaults filled in, names resolved.
    pub active: ActiveProfile,
    /// The policy as it was sent, as an object.
    #[schema(value_type = PolicyDocument)]
    pub document: Value,
    /// The policy as it was sent, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
}

impl PolicyState {
    /// A stored policy, or one that could be.
    pub fn new(name: &str, revision: &Revision, document: &Document, profile: &Profile) -> Self {
        Self {
            name: name.into(),
            revision: revision.revision,
            created_at: Some(revision.created_at.clone()),
            rollback_to: revision.rollback_to,
            warnings: Remark::placed(document.lint().into_iter().map(Remark::from).collect(), &revision.text),
            active: profile.into(),
            document: object(&revision.text),
            text: Some(revision.text.clone()),
        }
    }

    /// The policy of a cluster that has none.
    pub fn built_in(profile: &Profile) -> Self {
        Self {
            name: revision::DEFAULT.into(),
            revision: 0,
            created_at: None,
            rollback_to: None,
            warnings: Vec::new(),
            active: profile.into(),
            document: json!({"kind": "Policy", "apiVersion": "v1"}),
            text: None,
        }
    }
}

/// JSON or YAML as an object; an empty text is an empty one.
fn object(text: &str) -> Value {
    match Tree::parse(text, true).map(|tree| tree.to_json()) {
        Ok(object @ Value::Object(_)) => object,
        _ => json!({}),
    }
}

/// The policies of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyList {
    /// By name; `default` is always there.
    pub items: Vec<PolicySummary>,
}

/// A policy in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicySummary {
    /// Its name.
    #[schema(example = "default")]
    pub name: String,
    /// Its revision; 0 where kube-scheduler 1.22's defaults hold.
    #[schema(example = 3)]
    pub revision: u64,
    /// When the revision came into force, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub created_at: Option<String>,
}

/// A part of a policy's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyRevisionList {
    /// The newest first.
    pub items: Vec<Revision>,
    /// How many older ones follow.
    pub remaining: u64,
}

/// Which revision is to come into force again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RollbackRequest {
    /// Its number; where absent, the one before the revision in force or, after a deletion, the last.
    #[schema(required = false, nullable = false, example = 2)]
    pub revision: Option<u64>,
}
