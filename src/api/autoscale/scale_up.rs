//! `POST /autoscale/scale-up`: node groups that are to grow for the pods that fit nowhere.

use axum::response::Response;

use crate::{
    api::{
        context::{AtQuery, FreshnessQuery, PolicyQuery},
        openapi::{DecisionErrors, PastErrors},
        question::Question,
        warning::FieldValidationQuery,
    },
    service::{autoscale::scale_up::scale_up as answered, error::Result},
    wire::autoscale::scale_up::{ScaleUpReport, ScaleUpRequest},
};

/// Find node groups that are to grow
///
/// How many nodes of which group the pods need that fit on no node, on the stored cluster and its NodeGroups, or on those of the request. Nothing is
/// stored. Nodes that a group awaits (`targetSize` above the number of its nodes) count as there.
///
/// By default it decides as one loop of cluster-autoscaler: `options` has what each group would do, the expanders choose the `best`, and pods that only
/// others help wait for the next round (`podsAwaitEvaluation`). `podsRemainUnschedulable` says of each pod that no group helps why each does not.
///
/// `"engine": "exact"` finds the smallest number of nodes, of any mixture of groups, on which the pods fit, and proves it (`exact.proven`); the search is
/// bounded, and says where it could not. `exact.unbound` are pods that the scheduler, deciding in an order of its own, would leave waiting there;
/// with `"exact": {"goal": "scheduler"}` the increase is one on which it leaves none.
///
/// With `revision` (or `at`) the stored cluster is read as it was then; `now` is still the present unless the request has one.
///
/// Of pods in namespaces whose pods you may not list the reply has no names: they are numbered.
#[utoipa::path(post, path = "/autoscale/scale-up", operation_id = "scaleUp", tag = "autoscaling",
    params(PolicyQuery, FreshnessQuery, AtQuery, FieldValidationQuery),
    request_body(content = ScaleUpRequest, example = json!({
        "nodeGroups": [{"id": "workers", "maxSize": 5,
            "template": {"status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}}}],
        "cluster": {"pods": [{"metadata": {"name": "web"},
            "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}}]}
    })),
    responses((status = 200, description = "The groups, and what each would do.", body = ScaleUpReport), DecisionErrors, PastErrors))]
pub async fn scale_up(question: Question) -> Result<Response> {
    question.answer("ScaleUpRequest", answered).await
}
