//! `pods/{name}/eviction`: deletes a pod unless a disruption budget forbids it.

use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    binding::{BindingMetadata, same_object},
    examine, show,
    target::Target,
    write::{DeleteOptions, WriteQuery},
};
use crate::{
    api::{
        error::{ApiError, Result},
        extract::{JsonBytes, Query},
        state::AppState,
    },
    service::evict,
    store::Record,
};

/// A request to evict a pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Eviction {
    /// `Eviction`
    pub kind: String,
    /// `policy/v1`
    pub api_version: String,
    /// The pod.
    pub metadata: BindingMetadata,
    /// `preconditions` (`uid`, `resourceVersion`) and `dryRun`, as for a deletion.
    #[serde(skip_serializing)]
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub delete_options: Option<DeleteOptions>,
}

/// POST of an eviction.
pub async fn evict(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let eviction: Eviction = examine::decode(&body)?;
    if !matches!(eviction.kind.as_str(), "" | "Eviction")
        || !matches!(eviction.api_version.as_str(), "" | "policy/v1" | "policy/v1beta1")
    {
        return Err(ApiError::BadRequest("this path takes an Eviction of policy/v1".into()));
    }
    same_object(&target, &eviction.metadata.name, &eviction.metadata.namespace, "Eviction")?;
    let options = eviction.delete_options.unwrap_or_default();
    let dry_run = query.dry_run()? | options.dry_run()?;

    let may = |pod: &Record| options.check(&target, pod);
    match evict::evict(&state, &target.cluster, &target.key(), &may, dry_run).await? {
        Some(pod) => Ok(show::success(StatusCode::CREATED, &target, &pod.uid)),
        None => Err(target.modified()),
    }
}
