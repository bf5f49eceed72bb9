//! Queries and bodies that say how stored objects are listed, written and deleted.

use serde::Deserialize;

use super::delete_options::not_dry_run;
use crate::{
    api::warning::FieldValidationQuery,
    service::{
        error::{Error, Result, Subject},
        objects::{Options, Preconditions},
    },
};

/// The query of a change.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WriteQuery {
    dry_run: Option<String>,
    field_validation: String,
}

impl WriteQuery {
    /// `true` if nothing must be stored.
    pub(super) fn dry_run(&self) -> Result<bool> {
        let values: Vec<String> = self.dry_run.iter().cloned().collect();
        if let Some(cause) = not_dry_run(&values) {
            return Err(Error::Invalid {
                subject: Subject::new("meta.k8s.io", "CreateOptions", ""),
                causes: vec![cause.into()],
            });
        }
        Ok(!values.is_empty())
    }

    /// The manner of the write.
    pub(super) fn options(self) -> Result<Options> {
        let dry_run = self.dry_run()?;
        let fields = FieldValidationQuery { field_validation: self.field_validation }.parse()?;
        Ok(Options { dry_run, fields, preconditions: Preconditions::default() })
    }
}
