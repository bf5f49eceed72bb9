//! Queries that several resources share.
//!
//! Source: `apimachinery/pkg/runtime/conversion.go` (flags and numbers).

use std::num::{IntErrorKind, ParseIntError};

use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    service::error::{Error, Result},
    wire::policy::Reading,
};

/// `true` if the text of a flag sets it: anything but `0` and `false`, in letters of any case (`Convert_Slice_string_To_bool`).
pub fn is_set(text: &str) -> bool {
    !(text == "0" || text.eq_ignore_ascii_case("false"))
}

/// A whole number.
///
/// # Errors
/// In the words of `strconv.ParseInt`.
pub fn number(text: &str) -> Result<i64> {
    text.parse().map_err(|error: ParseIntError| {
        let why = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        Error::BadRequest(format!("strconv.ParseInt: parsing {text:?}: {why}"))
    })
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_as_in_go() {
        for text in ["", "1", "true", "TRUE", "no", "00", "maybe"] {
            assert!(is_set(text), "{text}");
        }
        for text in ["0", "false", "False", "FALSE"] {
            assert!(!is_set(text), "{text}");
        }
    }

    #[test]
    fn numbers_are_read_as_in_go() {
        for (text, value) in [("0", 0), ("-7", -7), ("+7", 7), ("007", 7)] {
            assert!(matches!(number(text), Ok(read) if read == value), "{text}");
        }
        for (text, why) in
            [("", "invalid syntax"), ("++7", "invalid syntax"), ("9223372036854775808", "value out of range")]
        {
            assert!(number(text).is_err_and(|error| error.to_string().ends_with(why)), "{text}");
        }
    }
}
