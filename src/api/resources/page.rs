//! The `continue` token of a list: the place where its next page begins.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::service::{
    error::{Error, Result},
    objects::Page,
};

/// The content of a token. Opaque to clients.
#[derive(Serialize, Deserialize)]
struct Token {
    #[serde(rename = "rv")]
    revision: u64,
    #[serde(rename = "past", default, skip_serializing_if = "std::ops::Not::not")]
    is_past: bool,
    #[serde(rename = "ns")]
    namespace: String,
    name: String,
}

/// Reads a token; an empty one begins at the beginning.
pub(super) fn parse(token: &str) -> Result<Option<Page>> {
    if token.is_empty() {
        return Ok(None);
    }
    let json = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
    let token = json.and_then(|json| serde_json::from_slice(&json).ok());
    let page = token.map(|Token { revision, is_past, namespace, name }| Page { revision, is_past, namespace, name });
    page.map(Some).ok_or_else(|| Error::BadRequest("invalid continue token: it is not one of this server".into()))
}

/// The token of a page.
pub(super) fn token(page: &Page) -> String {
    let Page { revision, is_past, namespace, name } = page.clone();
    // Plain data always serializes; an empty token would begin anew.
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&Token { revision, is_past, namespace, name }).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_garbage_does_not_pass() {
        for is_past in [false, true] {
            let page = Page { revision: 7, is_past, namespace: "shop".into(), name: "wéb".into() };
            assert_eq!(parse(&token(&page)).expect("its own token"), Some(page));
        }
        assert_eq!(parse("").expect("no token"), None);
        for garbage in ["!", "e30", "bnVsbA", "W10", "7"] {
            assert!(parse(garbage).is_err(), "{garbage}");
        }
    }
}
