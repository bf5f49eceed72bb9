//! Queries that several resources share.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    service::error::{Error, Result},
    wire::policy::Reading,
};

/// `true` if a `dryRun` demands that nothing is stored.
pub fn dry_run(value: &str) -> Result<bool> {
    match value {
        "" => Ok(false),
        "All" => Ok(true),
        other => Err(Error::BadRequest(format!("dryRun: Unsupported value: {other:?}: supported values: \"All\""))),
    }
}

/// How a policy is to be changed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct WriteQuery {
    /// `All`: do everything but store it
    #[param(required = false, value_type = String, nullable = false)]
    dry_run: Option<String>,
    /// `warn`: plugins that do not exist here are passed over with a warning; refused where absent
    #[param(required = false, value_type = String, nullable = false)]
    unknown_plugins: Option<String>,
}

impl WriteQuery {
    /// How the text is read.
    pub fn reading(&self) -> Result<Reading> {
        match self.unknown_plugins.as_deref() {
            None | Some("" | "refuse") => Ok(Reading::default()),
            Some("warn") => Ok(Reading { pass_unknown_plugins: true, ..Reading::default() }),
            Some(other) => Err(Error::BadRequest(format!(
                "unknownPlugins: Unsupported value: {other:?}: supported values: \"refuse\", \"warn\""
            ))),
        }
    }

    /// `true` if nothing must be stored.
    pub fn dry_run(&self) -> Result<bool> {
        dry_run(self.dry_run.as_deref().unwrap_or_default())
    }
}
