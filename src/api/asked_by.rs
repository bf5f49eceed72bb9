//! The sender of a request, as decisions are recorded with.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};

use crate::{
    service::{access::Caller, audit::shortened},
    wire::decision::AskedBy,
};

/// Bytes of a program's name that are recorded.
const LONGEST_AGENT: usize = 256;

/// The sender.
#[derive(Clone, Debug)]
pub struct By(pub AskedBy);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let caller = parts.extensions.get::<Caller>().cloned().unwrap_or_default();
        let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        Ok(Self(AskedBy { user: caller.0.name.to_string(), agent: shortened(agent, LONGEST_AGENT) }))
    }
}
