//! Queries and bodies that say how stored objects are listed, written and deleted.

use serde::Deserialize;

use super::page;
use crate::{
    api::{queries::dry_run, warning::FieldValidationQuery},
    service::{
        error::{Error, Result},
        objects::{self, NotOlder, Options, Preconditions, Selection},
    },
    wire::{decode, selector},
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

/// The query of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ListQuery {
    label_selector: String,
    field_selector: String,
    limit: Option<i64>,
    #[serde(rename = "continue")]
    token: String,
    resource_version: String,
    resource_version_match: String,
    watch: String,
}

impl ListQuery {
    /// The selection by labels and fields.
    pub(super) fn selector(&self) -> Result<selector::Query> {
        let parsed = selector::Query::parse(&self.label_selector, &self.field_selector);
        parsed.map_err(|error| Error::BadRequest(error.to_string()))
    }

    /// `true` for a watch.
    pub(super) fn is_watch(&self) -> bool {
        !matches!(self.watch.as_str(), "" | "0" | "false")
    }

    /// The objects that the list is to have.
    pub(super) fn selection(&self) -> Result<Selection> {
        let (selector, limit) = (self.selector()?, self.limit()?);
        let (from, not_older) = (page::parse(&self.token)?, self.not_older()?);
        Ok(Selection { selector, limit, from, not_older })
    }

    /// Largest number of items; 0 and absent stand for all.
    fn limit(&self) -> Result<Option<usize>> {
        match self.limit {
            None | Some(0) => Ok(None),
            Some(limit) => usize::try_from(limit)
                .map(Some)
                .map_err(|_| Error::BadRequest(format!("limit: Invalid value: {limit}: must not be negative"))),
        }
    }

    fn not_older(&self) -> Result<NotOlder> {
        let Some(wanted) = objects::revision(&self.resource_version)? else { return Ok(NotOlder::Any) };
        if !self.token.is_empty() {
            return Err(Error::BadRequest("specifying resource version is not allowed when using continue".into()));
        }
        let is_exact = self.resource_version_match == "Exact";
        Ok(if is_exact { NotOlder::Exactly(wanted) } else { NotOlder::Than(wanted) })
    }
}
