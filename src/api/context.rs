//! The context of a reply: the query that demands its freshness, and the headers that describe it.

use axum::{
    body::Bytes,
    http::{HeaderName, header},
    response::IntoResponse,
};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::service::{
    compute::compute_chunk,
    context::{DecisionContext, Fresh},
    error::{Error, Result},
    past::{self, At},
};

/// Which policy a decision is made under.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PolicyQuery {
    /// A policy of `/policies/{name}`; the one of `/policy` where absent
    #[param(required = false, value_type = String, nullable = false)]
    pub policy: Option<String>,
}

/// The freshness that a request demands of the state.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct FreshnessQuery {
    /// Wait until the snapshot has reached this revision (a list's or an object's `resourceVersion`), so that a client that wrote through another
    /// replica reads its own write
    #[param(required = false, value_type = u64, nullable = false)]
    pub min_revision: Option<u64>,
    /// `true`: read up to the database's newest revision first
    #[param(required = false, value_type = bool, nullable = false)]
    pub consistent: Option<bool>,
}

impl FreshnessQuery {
    /// The parsed query.
    pub fn fresh(&self) -> Fresh {
        Fresh { min_revision: self.min_revision, is_newest: self.consistent == Some(true) }
    }
}

/// The past state that a request is about.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AtQuery {
    /// A revision of the past: the state is read as it was then. 410 with the revisions that are left if it is not kept any more
    #[param(required = false, value_type = u64, nullable = false)]
    pub revision: Option<String>,
    /// Instead of `revision` a time, as in 2026-01-02T15:04:05Z: the newest revision of then
    #[param(required = false, value_type = String, nullable = false)]
    pub at: Option<String>,
}

impl AtQuery {
    /// The parsed query.
    ///
    /// # Errors
    /// [`Error::BadRequest`] if a value cannot be read.
    pub fn parse(&self) -> Result<At> {
        let revision = self.revision.as_deref().map(|text| {
            let why = "it is the number of a revision, as the resourceVersion of a list";
            text.parse().map_err(|_| Error::BadRequest(format!("revision: Invalid value: {text:?}: {why}")))
        });
        let time = self.at.as_deref().map(|text| {
            let why = "it is a time of RFC 3339, as 2026-01-02T15:04:05Z";
            text.parse().map_err(|_| Error::BadRequest(format!("at: Invalid value: {text:?}: {why}")))
        });
        Ok(At { revision: revision.transpose()?, time: time.transpose()? })
    }

    /// The parsed query of a request whose body may have the field `revision` as well.
    ///
    /// # Errors
    /// As for [`Self::parse`] and [`past::of_request`].
    pub async fn with_body(&self, body: &Bytes) -> Result<At> {
        past::of_request(self.parse()?, body.clone()).await
    }
}

/// The revision of the state of a reply.
pub const SNAPSHOT_REVISION: HeaderName = HeaderName::from_static("x-podberth-snapshot-revision");

/// Seconds since that state was last known to be the newest: 0 unless the database is unreachable.
pub const SNAPSHOT_AGE: HeaderName = HeaderName::from_static("x-podberth-snapshot-age");

impl DecisionContext {
    /// The headers that describe it.
    pub fn headers(&self) -> [(HeaderName, String); 2] {
        let (revision, age) = (self.view.snapshot.revision, self.age.as_secs());
        [(SNAPSHOT_REVISION, revision.to_string()), (SNAPSHOT_AGE, age.to_string())]
    }
}

/// A reply that may be long, written off the runtime's threads too; in the turns of long computations if it is one's.
pub async fn written<T: Serialize + Send + 'static>(reply: T, is_heavy: bool) -> Result<impl IntoResponse> {
    let text = compute_chunk(is_heavy, move || serde_json::to_vec(&reply)).await?.map_err(Error::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text))
}
