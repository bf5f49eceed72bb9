//! The `continue` token of a list: where its next page begins.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::api::error::{ApiError, Result};

/// Where a page begins. Opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Page {
    /// The list's revision: that of its first page.
    #[serde(rename = "rv")]
    pub revision: u64,
    /// The namespace of the last object of the page.
    #[serde(rename = "ns")]
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Page {
    /// Reads a token; an empty one begins at the beginning.
    pub(super) fn parse(token: &str) -> Result<Option<Self>> {
        if token.is_empty() {
            return Ok(None);
        }
        let json = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
        let page = json.and_then(|json| serde_json::from_slice(&json).ok());
        page.map(Some).ok_or_else(|| ApiError::BadRequest("the continue token is not one of this server".into()))
    }

    /// The token.
    pub(super) fn token(&self) -> String {
        // Plain data always serializes; an empty token would begin anew.
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_garbage_does_not_pass() {
        let page = Page { revision: 7, namespace: "shop".into(), name: "wéb".into() };
        assert_eq!(Page::parse(&page.token()).expect("its own token"), Some(page));
        assert_eq!(Page::parse("").expect("no token"), None);
        for garbage in ["!", "e30", "bnVsbA", "W10", "7"] {
            assert!(Page::parse(garbage).is_err(), "{garbage}");
        }
    }
}
