//! `POST /simulate`: steps on a copy of the cluster.

use axum::response::Response;

use crate::{
    api::{
        context::{AtQuery, FreshnessQuery, PolicyQuery},
        openapi::{DecisionErrors, PastErrors},
        question::Question,
        warning::FieldValidationQuery,
    },
    service::{error::Result, simulate::simulate as simulated},
    wire::simulation::{SimulateReport, SimulateRequest},
};

/// Try steps on a copy of the cluster
///
/// The steps are carried out one after the other on a copy of the stored cluster, or of one in the request; nothing is stored. After each step the pods
/// that wait are placed as `/schedule` places them, and the reply tells where they went, what moved, what is stuck and why, and how full the nodes
/// are. The pods of a node that goes are placed again if a controller owns them; those of DaemonSets go with it, and others are `lost`. A `drain` evicts
/// only what disruption budgets allow, and each evicted pod is placed before the next is evicted.
///
/// `howMany`, `nodesNeeded` and `whatFits` ask about the cluster after the steps: how many copies of a pod fit; the smallest number of further nodes with
/// which some pods fit, proved by what is stuck with one less; and which of some pods fit, each for itself. They evict nothing.
///
/// `overview` asks for all nodes before the first step and after the last one, in the form of `GET /overview`.
///
/// With `revision` (or `at`) it begins with the cluster as it was then.
///
/// A simulation has at most 100 steps, 20,000 nodes and 200,000 new pods, and ends when its client leaves.
///
/// Of pods in namespaces whose pods you may not list the reply has no names: they are numbered.
#[utoipa::path(post, path = "/simulate", operation_id = "simulate", tag = "decisions", params(PolicyQuery, FreshnessQuery, AtQuery, FieldValidationQuery),
    request_body(content = SimulateRequest, example = json!({
        "on": {"nodes": [{"metadata": {"name": "node-a"}, "status": {"allocatable": {"cpu": "4", "pods": "110"}}}]},
        "steps": [{"addPods": {"template": {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}}, "count": 3}}],
        "howMany": {"pod": {"metadata": {"name": "more"}, "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "500m"}}}]}}}
    })),
    responses((status = 200, description = "The cluster after each step, and the answers.", body = SimulateReport), DecisionErrors, PastErrors))]
pub async fn simulate(question: Question) -> Result<Response> {
    question.answer("SimulateRequest", simulated).await
}
