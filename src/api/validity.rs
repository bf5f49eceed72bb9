//! The end of a long reply with the credential by which it was asked for: a watch of a token or certificate that is revoked or has ended ends.

use std::{sync::Arc, time::Duration};

use axum::{body::HttpBody, extract::Request, response::Response};
use tokio::time::sleep;

use super::{ending::ending, state::AppState};
use crate::{clock, net::Secured, service::access::authenticate::is_valid, wire::access::token::Token};

/// Interval of looking if a credential is still valid.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The credential by which a request was let in, if it may end.
#[derive(Clone, Debug)]
pub(super) enum Credential {
    /// A stored token.
    Token(AppState, Arc<Token>),
    /// The certificate of the connection.
    Certificate(Secured),
    /// A token of an issuer, which ends at a second since 1970.
    Until(i64),
}

impl Credential {
    /// That of a request.
    pub(super) fn of(request: &Request) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    async fn is_valid(&self) -> bool {
        let now = clock::now().as_second();
        match self {
            Self::Token(state, token) => is_valid(state, token).await,
            Self::Certificate(Secured { tls, certificate }) => {
                certificate.as_ref().is_some_and(|certificate| certificate.user(tls, now).is_ok())
            }
            Self::Until(end) => now < *end,
        }
    }

    /// The reply, which ends with the credential if it has no known end.
    pub(super) fn bound(self, response: Response) -> Response {
        if response.body().size_hint().upper().is_some() {
            return response;
        }
        ending(response, async move {
            loop {
                sleep(LOOK_EVERY).await;
                if !self.is_valid().await {
                    return;
                }
            }
        })
    }
}
