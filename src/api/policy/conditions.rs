//! `If-Match` and `If-None-Match` (RFC 9110, section 13.1): writes that hold only for the revision they were made for.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use utoipa::IntoParams;

use crate::api::error::{ApiError, Result};

/// How the conditions are documented.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the OpenAPI document only")]
pub struct ConditionHeaders {
    /// Only if the revision in force is this one, as in `"3"`; `"0"` while there is none, `*` for any
    #[param(rename = "If-Match", required = false, value_type = String, nullable = false)]
    if_match: Option<String>,
    /// `*`: only if there is no policy yet
    #[param(rename = "If-None-Match", required = false, value_type = String, nullable = false)]
    if_none_match: Option<String>,
}

/// What must hold of the revision in force for a write to be carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    /// `*`
    Any,
    /// Revisions; a tag that is no number is none of ours and left out.
    These(Vec<u64>),
}

/// The entity tag of a revision.
pub fn tag(revision: u64) -> String {
    format!("\"{revision}\"")
}

impl Tags {
    fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>> {
        let malformed = || ApiError::BadRequest(format!("{name}: must be * or the ETag of a reply, as in \"3\""));
        let mut revisions = Vec::new();
        let mut present = false;
        for value in headers.get_all(name) {
            present = true;
            for tag in value.to_str().map_err(|_| malformed())?.split(',').map(str::trim) {
                if tag == "*" {
                    return Ok(Some(Self::Any));
                }
                // A proxy that compresses replies weakens their tags; the revision is the same.
                let quoted = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"').and_then(|t| t.strip_suffix('"'));
                revisions.extend(quoted.ok_or_else(malformed)?.parse::<u64>().ok());
            }
        }
        Ok(present.then_some(Self::These(revisions)))
    }

    /// `None`: no policy is stored.
    fn include(&self, revision: Option<u64>) -> bool {
        match self {
            Self::Any => revision.is_some(),
            Self::These(revisions) => revisions.contains(&revision.unwrap_or(0)),
        }
    }
}

impl Conditions {
    /// Whether they hold of the revision in force; `None` where no policy is stored.
    ///
    /// # Errors
    /// [`ApiError::PreconditionFailed`] when not.
    pub fn check(&self, revision: Option<u64>) -> Result<()> {
        let failed = |header: &str| {
            let current = revision.unwrap_or(0);
            ApiError::PreconditionFailed(format!("{header} does not hold: the revision in force is \"{current}\""))
        };
        match self {
            Self { if_match: Some(tags), .. } if !tags.include(revision) => Err(failed("If-Match")),
            Self { if_none_match: Some(tags), .. } if tags.include(revision) => Err(failed("If-None-Match")),
            _ => Ok(()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        Ok(Self {
            if_match: Tags::of(&parts.headers, &header::IF_MATCH)?,
            if_none_match: Tags::of(&parts.headers, &header::IF_NONE_MATCH)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_with_the_revision_in_force() {
        // header, value, revision in force, holds
        let table = [
            (header::IF_MATCH, "\"3\"", Some(3), true),
            (header::IF_MATCH, "W/\"3\"", Some(3), true),
            (header::IF_MATCH, "\"2\", \"3\"", Some(3), true),
            (header::IF_MATCH, "\"2\"", Some(3), false),
            (header::IF_MATCH, "\"abc\"", Some(3), false),
            (header::IF_MATCH, "*", Some(3), true),
            (header::IF_MATCH, "*", None, false),
            (header::IF_MATCH, "\"0\"", None, true),
            (header::IF_NONE_MATCH, "*", None, true),
            (header::IF_NONE_MATCH, "*", Some(3), false),
            (header::IF_NONE_MATCH, "\"3\"", Some(3), false),
            (header::IF_NONE_MATCH, "\"2\"", Some(3), true),
        ];
        for (name, value, revision, holds) in table {
            let headers = HeaderMap::from_iter([(name.clone(), value.parse().expect("a header"))]);
            let tags = Tags::of(&headers, &name).expect("well formed");
            let conditions = if name == header::IF_MATCH {
                Conditions { if_match: tags, if_none_match: None }
            } else {
                Conditions { if_match: None, if_none_match: tags }
            };
            assert_eq!(conditions.check(revision).is_ok(), holds, "{name}: {value} with {revision:?}");
        }
        assert!(Conditions::default().check(None).is_ok() && Conditions::default().check(Some(1)).is_ok());
        for malformed in ["3", "\"3", "", "\"1\",", "\u{e9}"] {
            let headers = HeaderMap::from_iter([(header::IF_MATCH, malformed.parse().expect("a header"))]);
            assert!(Tags::of(&headers, &header::IF_MATCH).is_err(), "{malformed:?}");
        }
    }
}
