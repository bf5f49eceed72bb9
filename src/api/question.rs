//! A question about a cluster, as it is now, was once, or comes with the request: what `/simulate`, `/reschedule` and `/autoscale/scale-…` have in common.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    cluster::ClusterName,
    context::{AtQuery, FreshnessQuery, PolicyQuery, written},
    error::RequestError,
    extract::{JsonBytes, Query},
    state::AppState,
    warning::{FieldValidationQuery, warn},
};
use crate::{
    live::View,
    service::{
        access::{Caller, sight::Sight},
        compute::compute_long,
        error::{Error, Result},
        fields::examined,
        past,
    },
    wire::{decode, validation::fields::Examined},
};

/// The parts of such a request.
#[derive(Debug)]
pub struct Question {
    state: AppState,
    cluster: Arc<str>,
    caller: Caller,
    policy: Option<String>,
    fresh: FreshnessQuery,
    at: AtQuery,
    fields: FieldValidationQuery,
    body: Bytes,
}

impl FromRequest<AppState> for Question {
    type Rejection = RequestError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, RequestError> {
        let (mut parts, body) = request.into_parts();
        let Ok(ClusterName(cluster)) = ClusterName::from_request_parts(&mut parts, state).await;
        let Ok(caller) = Caller::from_request_parts(&mut parts, state).await;
        let Query(PolicyQuery { policy }) = Query::from_request_parts(&mut parts, state).await?;
        let Query(fresh) = Query::from_request_parts(&mut parts, state).await?;
        let Query(at) = Query::from_request_parts(&mut parts, state).await?;
        let Query(fields) = Query::from_request_parts(&mut parts, state).await?;
        let JsonBytes(body) = JsonBytes::from_request(Request::from_parts(parts, body), state).await?;
        Ok(Self { state: state.clone(), cluster, caller, policy, fresh, at, fields, body })
    }
}

impl Question {
    /// The reply to a body of this kind. `find` is given the body, the name of the policy of the query, the cluster's state, whether there is such a cluster,
    /// and the pods that the caller may name; it runs off the runtime's threads, in the turns of long computations.
    ///
    /// # Errors
    /// A query or a body that cannot be read, a past that is not kept, and those of `find`.
    pub async fn answer<R, A, F>(self, kind: &'static str, find: F) -> Result<Response>
    where
        R: DeserializeOwned,
        A: Serialize + Send + 'static,
        F: FnOnce(&R, Option<&str>, &View, Result<()>, Sight) -> Result<A> + Send + 'static,
    {
        let Self { state, cluster, caller, policy, fresh, at, fields, body } = self;
        let mode = fields.parse("CreateOptions")?;
        let at = at.with_body(&body).await?.resolve(&state, &cluster).await?;
        let context = past::take(&state, &cluster, fresh.fresh(), at).await?;
        let (headers, is_there, view) = (context.headers(), context.is_there(), context.view);
        let sight = Sight::of(&caller, &state, &cluster).await?;
        let work = move || -> Result<(A, Vec<String>)> {
            let Examined { json, odd, .. } = examined(kind, "the request cannot be read", &body, mode)?;
            let request: R = decode::from_slice(&json).map_err(|error| Error::BadRequest(error.to_string()))?;
            Ok((find(&request, policy.as_deref(), &view, is_there, sight)?, odd))
        };
        let (report, odd) = compute_long(false, work).await??;
        Ok(warn((headers, written(report, true).await?).into_response(), &odd))
    }
}
