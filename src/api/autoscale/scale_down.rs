//! `POST /autoscale/scale-down`: nodes that the cluster can do without, and what keeps the others.

use axum::response::Response;

use crate::{
    api::{
        context::{AtQuery, FreshnessQuery, PolicyQuery},
        openapi::{DecisionErrors, PastErrors},
        question::Question,
        warning::FieldValidationQuery,
    },
    service::{autoscale::scale_down::scale_down as answered, error::Result},
    wire::autoscale::scale_down::{ScaleDownReport, ScaleDownRequest},
};

/// Find nodes that can go
///
/// One round of scale-down, as the cluster autoscaler does it, on the stored cluster and its NodeGroups, or on those of the request. Nothing is stored.
///
/// Each node has its utilization, whether it is unneeded and since when, where its pods would go, and the `reason` why it does not go now: for
/// `BlockedByPod` the pod, and what to do about it. `removable` are the nodes that may go now, `delete` those that go in this round (by default ten, of
/// which one with pods), and `plan` has the places where the scheduler would put their pods.
///
/// Ages are counted over rounds: give `unneededSince` (and `unremovableUntil`) of the reply to the next request. A node that is not in it is unneeded from
/// now on.
///
/// With `revision` (or `at`) the stored cluster is read as it was then; `now` is still the present unless the request has one.
///
/// Of pods in namespaces whose pods you may not list the reply has no names: they are numbered.
#[utoipa::path(post, path = "/autoscale/scale-down", operation_id = "scaleDown", tag = "autoscaling",
    params(PolicyQuery, FreshnessQuery, AtQuery, FieldValidationQuery),
    request_body(content = ScaleDownRequest, example = json!({
        "now": "2026-01-05T12:00:00Z",
        "nodeGroups": [{"id": "pool-a", "minSize": 0, "maxSize": 5, "targetSize": 1, "nodes": ["node-a"]}],
        "unneededSince": {"node-a": "2026-01-05T11:30:00Z"},
        "cluster": {"nodes": [{"metadata": {"name": "node-a"}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}]}}]}
    })),
    responses((status = 200, description = "The nodes, and those that go.", body = ScaleDownReport), DecisionErrors, PastErrors))]
pub async fn scale_down(question: Question) -> Result<Response> {
    question.answer("ScaleDownRequest", answered).await
}
