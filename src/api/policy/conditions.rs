//! `If-Match` and `If-None-Match` (RFC 9110, section 13.1): writes that hold only for the revision they were made for.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use utoipa::IntoParams;

use crate::service::{
    error::{Error, Result},
    policies::{Conditions, Tags},
};

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

/// The entity tag of a revision.
pub fn tag(revision: u64) -> String {
    format!("\"{revision}\"")
}

/// The revisions that a header names. A tag that is no number is none of ours and left out.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>> {
    let malformed = || Error::BadRequest(format!("{name}: must be * or the ETag of a reply, as in \"3\""));
    let mut revisions = Vec::new();
    let mut present = false;
    for value in headers.get_all(name) {
        present = true;
        for tag in value.to_str().map_err(|_| malformed())?.split(',').map(str::trim) {
            if tag == "*" {
                return Ok(Some(Tags::Any));
            }
            // A proxy that compresses replies weakens their tags; the revision is the same.
            let quoted = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"').and_then(|t| t.strip_suffix('"'));
            revisions.extend(quoted.ok_or_else(malformed)?.parse::<u64>().ok());
        }
    }
    Ok(present.then_some(Tags::These(revisions)))
}

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        Ok(Self {
            if_match: tags(&parts.headers, &header::IF_MATCH)?,
            if_none_match: tags(&parts.headers, &header::IF_NONE_MATCH)?,
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
            let tags = tags(&headers, &name).expect("well formed");
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
            assert!(tags(&headers, &header::IF_MATCH).is_err(), "{malformed:?}");
        }
    }
}
