//! How a request asks for what its reply is to stand on, and how the reply tells.

use axum::{
    http::{HeaderName, header},
    response::IntoResponse,
};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::error::{ApiError, Result};
use crate::service::context::{DecisionContext, Fresh};

pub use crate::service::compute::{compute, read_on};

/// Which policy a decision is made under.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PolicyQuery {
    /// A policy of `/policies/{name}`; the one of `/policy` where absent
    #[param(required = false, value_type = String, nullable = false)]
    pub policy: Option<String>,
}

/// How fresh the state must be that a reply stands on.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct FreshnessQuery {
    /// Wait until the snapshot has reached this revision (a list's or an object's `resourceVersion`), so that whoever
    /// wrote through another replica reads its own write
    #[param(required = false, value_type = u64, nullable = false)]
    pub min_revision: Option<u64>,
    /// `true`: read up to the database's newest revision first
    #[param(required = false, value_type = bool, nullable = false)]
    pub consistent: Option<bool>,
}

impl FreshnessQuery {
    /// What is asked for.
    pub fn fresh(&self) -> Fresh {
        Fresh { min_revision: self.min_revision, is_newest: self.consistent == Some(true) }
    }
}

/// Says which revision of the state a reply was computed over.
pub const SNAPSHOT_REVISION: HeaderName = HeaderName::from_static("x-podberth-snapshot-revision");

/// Says how many seconds ago that state was last known to be all that the database has: 0 unless the database is away.
pub const SNAPSHOT_AGE: HeaderName = HeaderName::from_static("x-podberth-snapshot-age");

impl DecisionContext {
    /// The headers that tell about it.
    pub fn headers(&self) -> [(HeaderName, String); 2] {
        let (revision, age) = (self.view.snapshot.revision, self.age.as_secs());
        [(SNAPSHOT_REVISION, revision.to_string()), (SNAPSHOT_AGE, age.to_string())]
    }
}

/// A reply that may be long, written off the runtime's threads too.
pub async fn written<T: Serialize + Send + 'static>(reply: T) -> Result<impl IntoResponse> {
    let text = compute(move || serde_json::to_vec(&reply)).await?.map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text))
}
