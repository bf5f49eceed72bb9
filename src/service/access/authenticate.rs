//! The users of tokens: a chain of the ways by which a token may be known.

use std::{collections::HashMap, sync::Arc};

use super::{
    issuers::Issuers,
    reviewer::{Reviewer, WATCHED_SECONDS},
    tokens,
    uses::Uses,
};
use crate::{
    clock,
    core::access::{ANONYMOUS, UNAUTHENTICATED, User},
    live::SYSTEM_CLUSTER,
    service::{Service, error::Result},
    wire::access::{
        authentication::Anonymous,
        jwt,
        token::{self, Token, TokenDigest, TokenKind},
    },
};

/// The ways by which users are known.
#[derive(Clone, Debug, Default)]
pub struct Authenticator {
    /// The tokens of `--token-auth-file` and `--bootstrap-token-file`.
    fixed: Arc<HashMap<TokenDigest, Arc<User>>>,
    /// The issuers of JSON Web Tokens.
    issuers: Option<Arc<Issuers>>,
    /// The cluster whose API server is asked about all other tokens.
    reviewer: Option<Arc<Reviewer>>,
    /// The requests without a token that are let in.
    anonymous: Arc<Anonymous>,
    /// The last uses of stored tokens.
    pub uses: Uses,
}

/// The place of a token in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The header `Authorization`.
    InHeader,
    /// The path, as a scheduler sends it, which can send no header.
    InPath,
}

/// The sender of a request, as it is known.
#[derive(Clone, Debug)]
pub struct Known {
    /// The user.
    pub user: Arc<User>,
    /// The stored token by which the user is known.
    token: Option<Arc<Token>>,
    /// The second since 1970 at which the token of an issuer ends.
    pub ends: Option<i64>,
}

impl Known {
    /// A user who needs no token.
    pub fn new(user: Arc<User>) -> Self {
        Self { user, token: None, ends: None }
    }

    /// A user who told nothing.
    fn anonymous() -> Self {
        Self::new(Arc::new(User::new(ANONYMOUS, [UNAUTHENTICATED])))
    }

    /// The stored token.
    pub fn token(&self) -> Option<&Arc<Token>> {
        self.token.as_ref()
    }

    /// The name of the token, if it is not for a cluster.
    pub fn is_kept_out_of(&self, cluster: &str) -> Option<&str> {
        let token = self.token.as_ref()?;
        let is_for = token.clusters.is_empty() || crate::core::access::is_one_of(&token.clusters, cluster);
        (!is_for).then_some(&*token.name)
    }
}

/// `true` while a token neither has ended nor is revoked, as far as can be told.
pub async fn is_valid(service: &Service, token: &Token) -> bool {
    if token.expires_at.is_some_and(|end| clock::now() >= end) {
        return false;
    }
    // A database that is away revokes nothing.
    service.clusters.get(SYSTEM_CLUSTER).await.map_or(true, |cluster| cluster.view().access.has(token))
}

impl Authenticator {
    /// Knows these tokens besides the stored ones.
    pub fn new(fixed: HashMap<TokenDigest, Arc<User>>) -> Self {
        Self { fixed: Arc::new(fixed), ..Self::default() }
    }

    /// Knows the tokens of these issuers as well.
    #[must_use]
    pub fn with_issuers(self, issuers: Issuers) -> Self {
        Self { issuers: Some(Arc::new(issuers)), ..self }
    }

    /// Asks a cluster's API server about all other tokens.
    #[must_use]
    pub fn with_reviewer(self, reviewer: Reviewer) -> Self {
        Self { reviewer: Some(Arc::new(reviewer)), ..self }
    }

    /// Lets in these requests without a token, instead of all.
    #[must_use]
    pub fn with_anonymous(self, anonymous: Anonymous) -> Self {
        Self { anonymous: Arc::new(anonymous), ..self }
    }

    /// The user of a request without a token for a path; `None` if it is not let in.
    pub fn unknown(&self, path: &str) -> Option<Known> {
        self.anonymous.allows(path).then(Known::anonymous)
    }

    /// The user of a token; `None` if it is no valid one. The time it takes tells nothing of other tokens: they are looked up by
    /// their digest.
    ///
    /// # Errors
    /// Those of the store, if the tokens cannot be loaded.
    pub async fn user(&self, service: &Service, text: &str, sent: Sent) -> Result<Option<Known>> {
        let digest = token::digest(text);
        if sent == Sent::InHeader
            && let Some(user) = self.fixed.get(&digest)
        {
            return Ok(Some(Known::new(user.clone())));
        }
        if !token::is_well_formed(text) {
            return Ok(if sent == Sent::InHeader { self.of_others(service, text, &digest).await } else { None });
        }
        let view = service.clusters.get(SYSTEM_CLUSTER).await?.view();
        let Some(token) = view.access.token(&digest) else { return Ok(None) };
        let now = clock::now();
        let is_valid = token.expires_at.is_none_or(|end| now < end)
            && (sent == Sent::InHeader || token.kind == TokenKind::Extender);
        if is_valid {
            self.uses.note(&token.name, now);
        }
        Ok(is_valid.then(|| Known { token: Some(token.clone()), ..Known::new(token.user.clone()) }))
    }

    /// The user of a token that was made elsewhere.
    async fn of_others(&self, service: &Service, text: &str, digest: &TokenDigest) -> Option<Known> {
        if let Some(issuers) = self.issuers.as_ref().filter(|_| jwt::is_formed(text)) {
            match issuers.user(text, digest).await {
                Ok((user, ends)) => return Some(Known { ends: Some(ends), ..Known::new(user) }),
                Err(refusal) => tracing::debug!(%refusal, "a JSON Web Token is not valid"),
            }
        }
        let user = self.reviewer.as_ref()?.user(service, text, digest).await?;
        Some(Known { ends: Some(clock::now().as_second() + WATCHED_SECONDS), ..Known::new(user) })
    }

    /// The user of the token by which a process is first reached.
    pub fn first_user() -> User {
        User::new(tokens::FIRST_USER, [crate::core::access::MASTERS, crate::core::access::AUTHENTICATED])
    }
}
