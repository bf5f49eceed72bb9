//! One revision of a policy, as the store keeps it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Document, Reading, parse_as};
use podberth_core::policy::{Faults, Profiles};

/// The store's kind under which the policies in force are kept, by name.
pub const IN_FORCE: &str = "policies.podberth.io";

/// The store's kind for revisions that were in force: the policy's name is the namespace, the revision in ten digits the name, so that they are
/// listed in order. The one in force is kept under [`IN_FORCE`] and, except in databases of earlier releases, not here too.
pub const HISTORY: &str = "policyrevisions.podberth.io";

/// The policy that holds where a request names none.
pub const DEFAULT: &str = "default";

/// A policy's text, unchanged, with the number under which it came into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PolicyRevision)]
pub struct Revision {
    /// 1 for a policy's first text, one more for each that followed; never given twice unless its history is purged.
    #[schema(example = 3)]
    pub revision: u64,
    /// When it came into force, RFC 3339.
    #[schema(example = "2026-01-02T15:04:05Z")]
    pub created_at: String,
    /// The revision whose text this is again, where it came into force by a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rollback_to: Option<u64>,
    /// JSON or YAML, as received.
    pub text: String,
}

/// Which revision a stored one is and when it came into force, read without its text.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// Its number.
    pub revision: u64,
    /// When, RFC 3339.
    pub created_at: String,
}

impl Made {
    /// Reads it off a stored revision.
    ///
    /// # Errors
    /// When the body is none.
    pub fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }
}

impl Revision {
    /// The name of the history's object.
    pub fn history_name(revision: u64) -> String {
        format!("{revision:010}")
    }

    /// Reads and compiles the text.
    ///
    /// # Errors
    /// All its faults; none if [`super::parse`] accepted it before it was stored.
    pub fn compile(&self) -> Result<(Document, Profiles), Faults> {
        self.compile_as(Reading::STORED)
    }

    /// Reads the text with the given options, and compiles it.
    ///
    /// # Errors
    /// All its faults.
    pub fn compile_as(&self, reading: Reading) -> Result<(Document, Profiles), Faults> {
        let document = parse_as(&self.text, reading)?;
        let profiles = document.compile_all()?;
        Ok((document, profiles))
    }
}
