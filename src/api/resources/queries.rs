//! Queries and bodies that say how stored objects are listed, written and deleted.

use serde::Deserialize;

use crate::{
    api::{queries::dry_run, warning::FieldValidationQuery},
    service::{
        error::Result,
        objects::{Options, Preconditions},
    },
    wire::decode,
};

/// The query of a change.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WriteQuery {
    dry_run: String,
    field_validation: String,
}

impl WriteQuery {
    /// `true` if nothing must be stored.
    pub(super) fn dry_run(&self) -> Result<bool> {
        dry_run(&self.dry_run)
    }

    /// The manner of the write.
    pub(super) fn options(self) -> Result<Options> {
        let dry_run = self.dry_run()?;
        let fields = FieldValidationQuery { field_validation: self.field_validation }.parse()?;
        Ok(Options { dry_run, fields, preconditions: Preconditions::default() })
    }
}

/// Options of a deletion in its body (`meta/v1` DeleteOptions).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct DeleteOptions {
    preconditions: Option<Preconditions>,
    dry_run: Option<Vec<String>>,
}

impl DeleteOptions {
    /// Reads the body of a deletion; an empty one has no conditions.
    pub(super) fn parse(body: &[u8]) -> Result<Self> {
        if body.is_empty() { Ok(Self::default()) } else { Ok(decode::from_slice(body)?) }
    }

    /// `true` if nothing must be stored.
    pub(super) fn dry_run(&self) -> Result<bool> {
        self.dry_run.iter().flatten().try_fold(false, |any, value| Ok(any | dry_run(value)?))
    }

    /// The manner of the deletion.
    pub(super) fn options(self, query: &WriteQuery) -> Result<Options> {
        let dry_run = query.dry_run()? | self.dry_run()?;
        Ok(Options { dry_run, preconditions: self.preconditions.unwrap_or_default(), ..Options::default() })
    }
}
