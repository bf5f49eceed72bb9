//! `POST /reschedule`: which pods should leave their nodes.

use axum::response::Response;

use crate::{
    api::{
        context::{AtQuery, FreshnessQuery, PolicyQuery},
        openapi::{DecisionErrors, PastErrors},
        question::Question,
        warning::FieldValidationQuery,
    },
    service::{autoscale::reschedule::reschedule as answered, error::Result},
    wire::autoscale::reschedule::{RescheduleReport, RescheduleRequest},
};

/// Find pods that should move
///
/// `policy` is a `DeschedulerPolicy` (`descheduler/v1alpha2`). The reply tells which pods one cycle of the descheduler would evict and which disruption budgets
/// keep; and for each evicted pod, to which node the scheduler would bring it. `before` and `after` compare the cluster: broken rules, duplicates, evictions
/// that the policy still wants, utilization, and the price of the nodes in use.
///
/// With `"until": "best"` several rounds are tried on copies of the cluster. Evictions of no use are left out, as few as possible are kept, and the cluster is
/// never worse than before. `maxMoves` bounds the pods that leave their nodes.
///
/// Nothing is stored, and no pod is evicted. With `revision` (or `at`) it looks at the cluster as it was then.
///
/// Of pods in namespaces whose pods you may not list the reply has no names: they are numbered.
#[utoipa::path(post, path = "/reschedule", operation_id = "reschedule", tag = "decisions", params(PolicyQuery, FreshnessQuery, AtQuery, FieldValidationQuery),
    request_body(content = RescheduleRequest, example = json!({
        "policy": {"apiVersion": "descheduler/v1alpha2", "kind": "DeschedulerPolicy", "profiles": [{"name": "spread",
            "pluginConfig": [{"name": "RemoveDuplicates", "args": {}}],
            "plugins": {"balance": {"enabled": ["RemoveDuplicates"]}}}]},
        "until": "best", "maxMoves": 20
    })),
    responses((status = 200, description = "The pods that should move, and what becomes better.", body = RescheduleReport), DecisionErrors, PastErrors))]
pub async fn reschedule(question: Question) -> Result<Response> {
    question.answer("RescheduleRequest", answered).await
}
