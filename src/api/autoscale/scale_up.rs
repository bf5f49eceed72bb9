//! `POST /autoscale/scale-up`: node groups that are to grow for the pods that fit nowhere.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};

use crate::{
    api::{
        cluster::ClusterName,
        context::{AtQuery, FreshnessQuery, PolicyQuery, written},
        extract::{JsonBytes, Query},
        openapi::{DecisionErrors, PastErrors},
        state::AppState,
        warning::{FieldValidationQuery, warn},
    },
    clock,
    service::{
        access::{Caller, sight::Sight},
        autoscale::scale_up::scale_up as answered,
        compute::compute_long,
        error::{Error, Result},
        fields::examined,
        past,
    },
    wire::{
        autoscale::scale_up::{ScaleUpReport, ScaleUpRequest},
        decode,
        validation::fields::Examined,
    },
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
#[expect(clippy::too_many_arguments, reason = "each is a part of the request")]
pub async fn scale_up(
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
    let work = move || -> Result<(ScaleUpReport, Vec<String>)> {
        let Examined { json, odd, .. } = examined("ScaleUpRequest", "the request cannot be read", &body, mode)?;
        let request: ScaleUpRequest =
            decode::from_slice(&json).map_err(|error| Error::BadRequest(error.to_string()))?;
        Ok((answered(&request, query.policy.as_deref(), &view, is_there, sight, clock::now())?, odd))
    };
    let (report, odd) = compute_long(false, work).await??;
    Ok(warn((headers, written(report, true).await?).into_response(), &odd))
}
