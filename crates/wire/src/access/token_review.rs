//! `TokenReview`: the question of another service, whose a token is.
//!
//! Source: `staging/src/k8s.io/api/authentication/v1/types.go`, `pkg/registry/authentication/tokenreview/storage.go`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::review::user_to_json;
use crate::decode::{self, DecodeError};
use podberth_core::access::User;

/// The audience that tokens of this server are for.
pub const AUDIENCE: &str = "podberth";

/// A review as it is sent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TokenReview {
    metadata: Option<Value>,
    /// The question.
    pub spec: Spec,
}

/// The question of a review.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// The token.
    pub token: String,
    /// The audiences, of which the token must have one; any if there are none.
    pub audiences: Vec<String>,
}

impl std::fmt::Debug for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spec").field("audiences", &self.audiences).finish_non_exhaustive()
    }
}

impl TokenReview {
    /// Reads a review.
    ///
    /// # Errors
    /// If the text is not JSON or a field has the wrong type. The error does not show the token.
    pub fn parse(json: &[u8]) -> Result<Self, DecodeError> {
        decode::from_slice(json).map_err(|error: DecodeError| {
            let message = if error.field.starts_with("spec") { "it has the wrong type".into() } else { error.message };
            DecodeError { message, ..error }
        })
    }

    /// `true` if a token for [`AUDIENCE`] is meant.
    pub fn is_for_us(&self) -> bool {
        let audiences = &self.spec.audiences;
        audiences.is_empty() || audiences.iter().any(|audience| audience == AUDIENCE)
    }

    /// The reply, without the token: the user that the token has, or the reason why it has none.
    pub fn answered(&self, found: Result<&User, &str>) -> Value {
        let mut status = Map::new();
        match found {
            Ok(user) => {
                status.insert("authenticated".into(), true.into());
                status.insert("user".into(), user_to_json(user));
                if !self.spec.audiences.is_empty() {
                    status.insert("audiences".into(), [AUDIENCE].as_slice().into());
                }
            }
            Err(why) => {
                // False is the zero value, which Go leaves out of replies.
                status.insert("user".into(), Map::new().into());
                status.insert("error".into(), why.into());
            }
        }
        let mut reply = Map::new();
        reply.insert("kind".into(), "TokenReview".into());
        reply.insert("apiVersion".into(), "authentication.k8s.io/v1".into());
        reply.insert("metadata".into(), self.metadata.clone().unwrap_or_else(|| Map::new().into()));
        reply.insert("spec".into(), Map::new().into());
        reply.insert("status".into(), status.into());
        reply.into()
    }
}
