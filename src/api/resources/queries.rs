//! Queries and bodies that say how stored objects are listed, written and deleted.

use axum::http::{HeaderMap, header};
use serde::Deserialize;

use super::delete_options::not_dry_run;
use crate::{
    api::{queries::is_set, warning::FieldValidationQuery},
    service::{
        error::{Error, Result},
        objects::{Manager, Options, Preconditions},
    },
    wire::{
        fault::{Faults, Path},
        patch::{self, PatchType},
    },
};

/// The query of a change.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WriteQuery {
    dry_run: Option<String>,
    field_validation: String,
    field_manager: String,
    force: Option<String>,
}

/// The name of the options that a request has in Kubernetes: errors about them name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Called {
    Create,
    Update,
    Patch(PatchType),
}

impl Called {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Patch(_) => "PatchOptions",
        }
    }
}

impl WriteQuery {
    /// `true` if nothing must be stored.
    pub(super) fn dry_run(&self) -> Result<bool> {
        self.is_dry_run(Called::Create.name())
    }

    fn is_dry_run(&self, options: &str) -> Result<bool> {
        let values: Vec<String> = self.dry_run.iter().cloned().collect();
        if let Some(cause) = not_dry_run(&values) {
            return Err(Error::invalid_options(options, vec![cause]));
        }
        Ok(!values.is_empty())
    }

    /// The manner of the write.
    pub(super) fn options(self, called: Called, headers: &HeaderMap) -> Result<Options> {
        let dry_run = self.is_dry_run(called.name())?;
        let force = self.check(called)?;
        let fields = FieldValidationQuery { field_validation: self.field_validation }.parse(called.name())?;
        let program = headers.get(header::USER_AGENT).and_then(|program| program.to_str().ok()).unwrap_or_default();
        let name = patch::manager_of(&self.field_manager, program).into_owned();
        let manager = Manager { name, is_named: !self.field_manager.is_empty() };
        Ok(Options { dry_run, fields, preconditions: Preconditions::default(), manager, force, by: None })
    }

    /// Checks the manager's name and `force`, and returns the latter.
    ///
    /// Source: `apimachinery/pkg/apis/meta/v1/validation/validation.go` (`ValidatePatchOptions`, `ValidateFieldManager`).
    fn check(&self, called: Called) -> Result<bool> {
        let (mut faults, manager, field) = (Faults::default(), &self.field_manager, Path::ROOT.child("fieldManager"));
        let is_apply = called == Called::Patch(PatchType::Apply);
        if is_apply && manager.is_empty() {
            faults.required(&field, "is required for apply patch");
        }
        if manager.len() > patch::LONGEST_MANAGER {
            faults.too_long(&field, patch::LONGEST_MANAGER);
        }
        if let Some((at, odd)) = manager.chars().enumerate().find(|(_, c)| c.is_control()) {
            let rule = format!("invalid character U+{:04X} (at position {at})", u32::from(odd));
            faults.invalid(&field, manager, rule);
        }
        if self.force.is_some() && matches!(called, Called::Patch(_)) && !is_apply {
            faults.forbidden(&Path::ROOT.child("force"), "may not be specified for non-apply patch");
        }
        Error::check_options(called.name(), faults)?;
        Ok(self.force.as_deref().is_some_and(is_set))
    }
}
