//! `pods/{name}/eviction`: deletes a pod unless a disruption budget forbids it.

use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    delete_options::{DeleteOptions, DeleteQuery},
    show,
    subresource::BindingMetadata,
};
use crate::{
    api::{
        extract::{JsonBytes, Query},
        state::AppState,
    },
    service::{
        error::{Error, Result},
        evict,
        objects::Target,
    },
    wire::decode,
};

/// A request to evict a pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Eviction {
    /// `Eviction`
    pub kind: String,
    /// `policy/v1`
    pub api_version: String,
    /// The pod.
    pub metadata: BindingMetadata,
    /// `preconditions` (`uid`, `resourceVersion`), `gracePeriodSeconds` and `dryRun`, as for a deletion.
    #[serde(skip_serializing)]
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    delete_options: Option<DeleteOptions>,
}

/// POST of an eviction.
pub(super) async fn evict(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<DeleteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let eviction: Eviction = decode::from_slice(&body)?;
    if !matches!(eviction.kind.as_str(), "" | "Eviction")
        || !matches!(eviction.api_version.as_str(), "" | "policy/v1" | "policy/v1beta1")
    {
        return Err(Error::BadRequest("this path takes an Eviction of policy/v1".into()));
    }
    eviction.metadata.agrees_with(&target, "Eviction")?;
    let deletion = eviction.delete_options.unwrap_or_default().deletion(&query)?;
    evict::evict(&state, &target, &deletion).await?;
    Ok(show::done(StatusCode::CREATED))
}
