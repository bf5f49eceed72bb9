//! `/explain`: the whole decision for one pod, as a matrix of every node by every predicate and priority.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    cluster::ClusterName,
    error::{ApiError, Result, Subject},
    extract::{JsonBytes, Query},
    ground::{self, Chosen, FreshnessQuery, PolicyQuery},
    openapi::DecisionErrors,
    state::AppState,
};
use crate::{
    cluster::View,
    core::{
        cycle,
        model::{self, Name},
        policy::{Faults, Profile},
        snapshot::Snapshot,
    },
    wire::{
        cluster::Cluster,
        decode,
        explanation::Explanation,
        fault::Cause,
        objects::pod,
        policy::{self},
        status::StatusCause,
    },
};

/// A question: this pod, under this policy, on this cluster. Everything but the pod has a default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExplainRequest {
    /// The pod, in full.
    #[schema(nullable = false)]
    pub pod: Option<pod::Pod>,
    /// Instead of `pod`: a stored one, as `namespace/name` or, in the namespace `default`, `name`.
    #[schema(nullable = false, example = "default/web")]
    pub pod_name: Option<String>,
    /// A `kind: Policy` (or a KubeSchedulerConfiguration v1) to decide under instead of the one in force.
    #[schema(nullable = false, value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub policy: Option<Box<RawValue>>,
    /// Instead of `policy`: a KubeSchedulerConfiguration v1, or one profile of it.
    #[schema(nullable = false, value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub profile: Option<Box<RawValue>>,
    /// The cluster to decide over instead of the stored one. Nothing of it is stored.
    #[schema(nullable = false)]
    pub cluster: Option<Cluster>,
    /// Breaks ties: the same seed, the same answer.
    pub seed: u64,
}

/// Why each node can or cannot take a pod, and which is best
///
/// The whole decision: every node by every predicate (verdict and reasons) and every priority (score and weight), the
/// totals, the ranks, the node chosen and kube-scheduler's own message; over the stored cluster, or over one that comes
/// with the request. Of nodes with equal totals the one with the lower hash of seed, pod and node name ranks first, so
/// the same question always has the same answer.
#[utoipa::path(post, path = "/explain", operation_id = "explainPod", tag = "decisions", params(PolicyQuery, FreshnessQuery),
    request_body(content = ExplainRequest, example = json!({
        "pod": {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}},
        "cluster": {"nodes": [{"metadata": {"name": "node-a"}, "status": {"allocatable": {"cpu": "4", "pods": "110"}}}]}
    })),
    responses((status = 200, description = "The decision, with everything that led to it.", body = Explanation),
        DecisionErrors))]
pub async fn explain(
    State(state): State<AppState>,
    cluster: ClusterName,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let ground = ground::stand(&state, &cluster, &fresh).await?;
    let (headers, view) = (ground.headers(), ground.view);
    let answered = ground::compute(move || {
        let request = decode::from_slice(&body).map_err(|e| ApiError::BadRequest(e.to_string()))?;
        answer(request, &query, &view)
    });
    let explanation = answered.await??;
    Ok((headers, Json(explanation)).into_response())
}

/// Answers a question over a view.
pub fn answer(request: ExplainRequest, query: &PolicyQuery, view: &View) -> Result<Explanation> {
    let chosen = match (request.policy, request.profile) {
        (Some(_), Some(_)) => return Err(ApiError::BadRequest("policy and profile exclude each other".into())),
        (Some(text), None) => brought(policy::parse(text.get()).and_then(|d| d.compile(None)), "Policy")?,
        (None, Some(text)) => {
            let compiled = policy::parse_configuration(text.get()).and_then(|c| c.compile(None));
            brought(compiled, "KubeSchedulerConfiguration")?
        }
        (None, None) => ground::chosen(view, query)?,
    };
    let brought_cluster = request.cluster.map(|c| c.to_snapshot()).transpose();
    let brought_cluster = brought_cluster.map_err(|causes| invalid("Cluster", "", causes))?;
    let snapshot = brought_cluster.as_ref().unwrap_or(&view.snapshot);
    let pod = asked_pod(request.pod, request.pod_name.as_deref(), snapshot)?;
    let decision = cycle::decide(chosen.profile(), &pod, snapshot, request.seed);
    Ok(Explanation::new(&pod, &decision, chosen.used(), snapshot.revision, request.seed))
}

/// A policy that came with the request.
fn brought(compiled: std::result::Result<Profile, Faults>, kind: &str) -> Result<Chosen> {
    compiled.map(|profile| Chosen::Request(Arc::new(profile))).map_err(|faults| refused(kind, "", faults))
}

/// The error that tells a policy's faults.
pub fn refused(kind: &str, name: &str, faults: Faults) -> ApiError {
    let cause = |fault: crate::core::policy::Fault| StatusCause {
        reason: "FieldValueInvalid".into(),
        message: fault.message,
        field: fault.field,
    };
    ApiError::Invalid { subject: Subject::new("", kind, name), causes: faults.0.into_iter().map(cause).collect() }
}

fn invalid(kind: &str, name: &str, causes: Vec<Cause>) -> ApiError {
    ApiError::Invalid { subject: Subject::new("", kind, name), causes: causes.into_iter().map(Into::into).collect() }
}

/// The pod asked about. A stored one that is bound already is asked about as if it were not.
fn asked_pod(sent: Option<pod::Pod>, name: Option<&str>, snapshot: &Snapshot) -> Result<model::Pod> {
    match (sent, name) {
        (Some(_), Some(_)) => Err(ApiError::BadRequest("pod and podName exclude each other".into())),
        (Some(sent), None) => sent.to_core().lenient().map_err(|causes| invalid("Pod", &sent.metadata.name, causes)),
        (None, Some(name)) => {
            let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
            let stored = snapshot.pod(namespace, name);
            let stored = stored.ok_or_else(|| ApiError::NotFound(Subject::new("", "pods", name)))?;
            Ok(model::Pod { node_name: Name::default(), ..(**stored).clone() })
        }
        (None, None) => Err(ApiError::BadRequest("either pod or podName is needed".into())),
    }
}
