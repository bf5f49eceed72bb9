//! `POST /reschedule`: which pods should leave their nodes.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};

use super::super::{
    cluster::ClusterName,
    context::{AtQuery, FreshnessQuery, PolicyQuery, written},
    extract::{JsonBytes, Query},
    openapi::{DecisionErrors, PastErrors},
    state::AppState,
    warning::{FieldValidationQuery, warn},
};
use crate::{
    clock,
    service::{
        access::{Caller, sight::Sight},
        autoscale::reschedule::reschedule as rescheduled,
        compute::compute_long,
        error::{Error, Result},
        fields::examined,
        past,
    },
    wire::{
        autoscale::reschedule::{RescheduleReport, RescheduleRequest},
        decode,
        validation::fields::Examined,
    },
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
#[expect(clippy::too_many_arguments, reason = "each is a part of the request")]
pub async fn reschedule(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    Query(at): Query<AtQuery>,
    Query(fields): Query<FieldValidationQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let mode = fields.parse("CreateOptions")?;
    let at = at.with_body(&body).await?.resolve(&state, &cluster).await?;
    let context = past::take(&state, &cluster, fresh.fresh(), at).await?;
    let (headers, is_there, view) = (context.headers(), context.is_there(), context.view);
    let sight = Sight::of(&caller, &state, &cluster).await?;
    let now = i64::try_from(clock::now().as_nanosecond()).map_err(Error::internal)?;
    let work = move || -> Result<(RescheduleReport, Vec<String>)> {
        let Examined { json, odd, .. } = examined("RescheduleRequest", "the request cannot be read", &body, mode)?;
        let request: RescheduleRequest =
            decode::from_slice(&json).map_err(|error| Error::BadRequest(error.to_string()))?;
        Ok((rescheduled(&request, query.policy.as_deref(), &view, is_there, sight, now)?, odd))
    };
    let (report, odd) = compute_long(false, work).await??;
    Ok(warn((headers, written(report, true).await?).into_response(), &odd))
}
