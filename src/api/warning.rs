//! Warnings about requests that were carried out, in headers as kube-apiserver sends them.
//!
//! Source: `apimachinery/pkg/util/net/http.go` (`NewWarningHeader`), `apiserver/pkg/endpoints/filters/warning.go`.

use axum::{
    http::{HeaderValue, header},
    response::Response,
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    service::error::{Error, Result},
    wire::{
        fault::{Faults, Path},
        validation::fields::FieldValidation,
    },
};

/// How many characters a warning has at most, and all of a reply together.
const LONGEST: usize = 256;
const LONGEST_ALL: usize = 4 * 1024;

/// The treatment of unknown and repeated fields.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct FieldValidationQuery {
    /// Unknown and repeated fields: `Warn` (default) lists them in `Warning` headers, `Strict` refuses the request, `Ignore` ignores them
    #[param(required = false, value_type = String)]
    pub field_validation: String,
}

impl FieldValidationQuery {
    /// The treatment of the request, whose options have this name in Kubernetes.
    pub fn parse(&self, options: &str) -> Result<FieldValidation> {
        FieldValidation::parse(&self.field_validation).ok_or_else(|| {
            let mut faults = Faults::default();
            let at = Path::ROOT.child("fieldValidation");
            faults.not_supported(&at, &self.field_validation, &["", "Ignore", "Strict", "Warn"]);
            Error::invalid_options(options, faults.into_causes())
        })
    }
}

/// Adds warnings to a reply. Text that no header can hold is left out.
pub fn warn(mut response: Response, warnings: &[String]) -> Response {
    let mut room = LONGEST_ALL;
    for warning in warnings {
        let text: String = warning.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
        room = match room.checked_sub(text.chars().count()) {
            Some(room) => room,
            None => break,
        };
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn warnings_are_quoted_and_bounded() {
        let many: Vec<String> =
            (0..100).map(|i| format!("unknown field \"spec.\u{7}{i}{}\"", "x".repeat(300))).collect();
        let response = warn("".into_response(), &many);
        let headers: Vec<_> = response.headers().get_all(header::WARNING).iter().collect();
        assert_eq!(headers.len(), LONGEST_ALL / LONGEST);
        assert!(headers[0].to_str().is_ok_and(|h| h.starts_with(r#"299 - "unknown field \"spec.0xxx"#)), "{headers:?}");
    }
}
