//! `POST /schedule`: decides for any number of pods and binds them.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use tokio::sync::mpsc;

use super::{
    asked_by::By,
    cluster::ClusterName,
    context::{FreshnessQuery, PolicyQuery, written},
    extract::{JsonBytes, Query},
    openapi::ScheduleErrors,
    state::AppState,
    warning::{FieldValidationQuery, warn},
};
use crate::{
    core::{access::ResourceAttributes, work::Stop},
    service::{
        Service,
        access::{Caller, sight::Sight},
        compute::{compute_on, computing_until},
        context,
        error::{Error, Result},
        fields::examined,
        memory::kept,
        schedule::{Answers, Runs, prepare},
    },
    telemetry::trace::{self, Here},
    wire::{
        decision::CallKind,
        decode,
        schedule::{ScheduleLine, ScheduleReport, ScheduleRequest},
        validation::fields::Examined,
    },
};

const NDJSON: &str = "application/x-ndjson";

/// Lines that wait for a client that reads slowly.
const LINES_WAITING: usize = 1_024;

/// Place pods and bind them
///
/// Pods are placed by descending priority. Pods of equal priority keep their order in the request; selected pods are ordered by namespace and name,
/// pods of a `cluster` in the request by its list. Each pod sees the pods placed before it; the outcome equals that of one request per pod with the
/// same seed. A bind is judged again on the state that it is written to; if another writer came first, the pod is decided again. A pod that is bound
/// already is reported as such, so a request may be repeated. If a pod fits nowhere, pods of lower priority are evicted as kube-scheduler would
/// choose them (`preempt`): they are deleted at once, without a grace period, in the commit that binds the pod. Unschedulable pods get a reason and
/// suggestions.
///
/// Of pods in namespaces whose pods you may neither list nor bind the reply has no names: victims there are numbered, and such pods are not selected.
///
/// With `Accept: application/x-ndjson` each pod has a line of its own, a `ScheduleLine`, as soon as it is bound; the last line has the summary.
#[utoipa::path(post, path = "/schedule", operation_id = "schedulePods", tag = "decisions", params(PolicyQuery, FreshnessQuery, FieldValidationQuery),
    request_body(content = ScheduleRequest, example = json!({
        "pods": [{"metadata": {"name": "web"}, "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}}],
        "cluster": {"nodes": [{"metadata": {"name": "node-a"}, "status": {"allocatable": {"cpu": "4", "pods": "110"}}}]},
        "dryRun": true
    })),
    responses((status = 200, description = "The outcome for each pod.", body = ScheduleReport), ScheduleErrors))]
#[expect(clippy::too_many_arguments, reason = "each is a part of the request")]
pub async fn schedule(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    By(by): By,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    Query(fields): Query<FieldValidationQuery>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let context = context::take(&state, &cluster, fresh.fresh()).await?;
    let (context_headers, is_there, may_decide) = (context.headers(), context.is_there(), context.may_decide());
    let (view, epoch, source) = (context.view, context.epoch, context.source);
    let mode = fields.parse("CreateOptions")?;
    let (service, of) = (Service::clone(&state), cluster.clone());
    let sight = Sight::of(&caller, &state, &cluster).await?;
    let run = compute_on(body.len(), move || -> Result<(Runs, Vec<String>)> {
        let parsing = trace::phase("parse");
        let Examined { json, odd, .. } = examined("ScheduleRequest", "the request cannot be read", &body, mode)?;
        let request: ScheduleRequest =
            decode::from_slice(&json).map_err(|error| Error::BadRequest(error.to_string()))?;
        drop(parsing);
        if request.cluster.is_none() {
            is_there?;
            if !request.dry_run {
                may_decide?;
            }
        }
        let text = request.policy.as_deref().or(request.profile.as_deref());
        let runs = prepare(&request, &json, query.policy.as_deref(), service, cluster, &view, sight)?;
        Ok((runs.recorded((CallKind::Schedule, epoch), &by, text), odd))
    });
    let (run, odd) = run.await??;
    for namespace in &run.binds_in {
        caller.check_bind(&state, &of, namespace, "").await?;
    }
    for namespace in &run.creates_in {
        let create = ResourceAttributes::new("create", "", "pods").within(namespace);
        caller.check(&state, &of, create).await?;
    }
    run.check_limits(&state, &of).await?;
    if !wants_lines(&headers) {
        let mut answers = Answers::collected();
        let mut summary = Box::pin(run.run(&mut answers)).await?;
        summary.read_from(source);
        let report = ScheduleReport { pods: answers.into_pods(), summary };
        return Ok(warn((context_headers, written(report, false).await?).into_response(), &odd));
    }
    let (lines, mut written) = mpsc::channel(LINES_WAITING);
    let work = async move {
        let mut answers = Answers::lines(lines);
        let line = match Box::pin(run.run(&mut answers)).await {
            Ok(mut summary) => {
                summary.read_from(source);
                ScheduleLine { summary: Some(summary), ..ScheduleLine::default() }
            }
            Err(error) => {
                tracing::warn!(%error, "scheduling ended before its end");
                ScheduleLine { error: Some(error.status()), ..ScheduleLine::default() }
            }
        };
        answers.line(&line).await;
    };
    let stop = Stop::default();
    let reader = stop.on_drop();
    tokio::spawn(kept(Here::carry(Here::now(), computing_until(stop, work))));
    let lines = futures_util::stream::poll_fn(move |context| {
        let _reader = &reader;
        written.poll_recv(context)
    });
    let lines = futures_util::StreamExt::map(lines, Ok::<_, std::convert::Infallible>);
    let response = (context_headers, [(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response();
    Ok(warn(response, &odd))
}

/// `true` if the client asks for a line per pod.
fn wants_lines(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|media| {
        let media = media.split(';').next().unwrap_or_default().trim();
        media.eq_ignore_ascii_case(NDJSON) || media.eq_ignore_ascii_case("application/jsonl")
    })
}
