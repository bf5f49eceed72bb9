//! The sender of a request, as decisions are recorded with.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};

use super::{cluster::ClusterName, state::AppState};
use crate::{
    live::DEFAULT_CLUSTER,
    service::{access::Caller, audit::shortened, decisions::Sample},
    wire::{
        access::token,
        decision::{AskedBy, CallKind},
    },
};

/// Bytes of a program's name that are recorded.
const LONGEST_AGENT: usize = 256;

/// The sender.
#[derive(Clone, Debug)]
pub struct By(pub AskedBy);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(sender(parts)))
    }
}

fn sender(parts: &Parts) -> AskedBy {
    let caller = parts.extensions.get::<Caller>().cloned().unwrap_or_default();
    let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    AskedBy { user: caller.0.name.to_string(), agent: shortened(&token::masked(agent), LONGEST_AGENT) }
}

/// A call of `/filter` or `/prioritize` that is to be recorded; most are none.
#[derive(Debug)]
pub struct Sampled(pub Option<Sample>);

impl FromRequestParts<AppState> for Sampled {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let is_filter = parts.uri.path().ends_with("filter");
        let call = if is_filter { CallKind::Filter } else { CallKind::Prioritize };
        if !state.decisions.samples(call) {
            return Ok(Self(None));
        }
        let cluster = parts.extensions.get::<ClusterName>().map(|ClusterName(name)| name.clone());
        let cluster = cluster.unwrap_or_else(|| DEFAULT_CLUSTER.into());
        Ok(Self(Some(Sample { log: state.decisions.clone(), cluster, call, by: sender(parts) })))
    }
}
