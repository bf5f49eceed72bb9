//! `POST /schedule`: decides for any number of pods and binds them.
//!
//! The way of a request: which pods ([`pods`]) → chunk by chunk: place them on a working snapshot off the runtime's
//! threads (asking the policy's extenders where it has some, [`extenders`]), carry the plans out ([`commit`]), go on from the view that shows them ([`run`]) → what would help those that
//! fit nowhere → the summary. A pod whose plan turns out to be stale is placed again.

mod commit;
mod extenders;
mod pods;
mod report;
mod run;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use tokio::sync::mpsc;

use self::{
    extenders::Asking,
    pods::Task,
    report::{Answers, Sink},
    run::Run,
};
use super::{
    cluster::ClusterName,
    context::{self, Chosen, FreshnessQuery, PolicyQuery},
    decoding,
    error::{ApiError, Result},
    explain,
    extenders::{RawQuestion, Sent},
    extract::{JsonBytes, Query},
    openapi::ScheduleErrors,
    reservations::LONGEST_TTL_SECONDS,
    state::AppState,
    warning::{self, FieldValidationQuery, warn},
};
use crate::{
    cluster::View,
    core::{batch, model::Pod, work::Stop},
    telemetry::trace::{self, Here},
    wire::{
        decode,
        schedule::{ScheduleLine, ScheduleReport, ScheduleRequest, ScheduleSummary},
        validation::fields::Examined,
    },
};

const NDJSON: &str = "application/x-ndjson";

/// Lines that wait for a client that reads slowly.
const LINES_WAITING: usize = 1_024;

/// Decide for pods and bind them
///
/// Pods are taken by priority, the highest first, and among equals as they stand in the request (those found by selector
/// by namespace and name; of a `cluster` in the request in the order of its list). Each sees those before it; the outcome is the same as one by one with the same seed. A bind is
/// judged again on the state that it is written to; where others came first the pod is decided anew. A pod that is
/// bound already is answered as such, so a request may be repeated. Where a pod fits nowhere, pods of lower priority are
/// evicted as kube-scheduler would choose them (`preempt`): they are deleted at once, without a grace period, in the same
/// commit in which the pod is bound. What fits nowhere is told why and what would help.
///
/// With `Accept: application/x-ndjson` each pod is told in a line of its own, a `ScheduleLine`, as soon as it is bound; the
/// last line has the summary.
#[utoipa::path(post, path = "/schedule", operation_id = "schedulePods", tag = "decisions", params(PolicyQuery, FreshnessQuery, FieldValidationQuery),
    request_body(content = ScheduleRequest, example = json!({
        "pods": [{"metadata": {"name": "web"}, "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}}],
        "cluster": {"nodes": [{"metadata": {"name": "node-a"}, "status": {"allocatable": {"cpu": "4", "pods": "110"}}}]},
        "dryRun": true
    })),
    responses((status = 200, description = "What became of each pod.", body = ScheduleReport), ScheduleErrors))]
pub async fn schedule(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    Query(fields): Query<FieldValidationQuery>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let context = context::stand(&state, &ClusterName(cluster.clone()), &fresh).await?;
    let (context_headers, is_there, view) = (context.headers(), context.is_there(), context.view);
    let mode = fields.parse()?;
    let run = context::compute_on(body.len(), move || -> Result<(Runs, Vec<String>)> {
        let parsing = trace::phase("parse");
        let Examined { json, odd, .. } =
            warning::examined("ScheduleRequest", "the request cannot be read", &body, mode)?;
        let request: ScheduleRequest =
            decode::from_slice(&json).map_err(|error| ApiError::BadRequest(error.to_string()))?;
        drop(parsing);
        if request.cluster.is_none() {
            is_there?;
        }
        Ok((prepare(&request, &json, &query, state, cluster, &view)?, odd))
    });
    let (run, odd) = run.await??;
    if !wants_lines(&headers) {
        let mut answers = Answers::collected();
        let summary = Box::pin(run.run(&mut answers)).await?;
        let report = ScheduleReport { pods: answers.into_pods(), summary };
        return Ok(warn((context_headers, context::written(report).await?).into_response(), &odd));
    }
    let (lines, mut written) = mpsc::channel(LINES_WAITING);
    let work = async move {
        let mut answers = Answers::new(Sink::Lines(lines));
        let line = match Box::pin(run.run(&mut answers)).await {
            Ok(summary) => ScheduleLine { summary: Some(summary), ..ScheduleLine::default() },
            Err(error) => {
                tracing::warn!(%error, "scheduling ended before its end");
                ScheduleLine { error: Some(error.status()), ..ScheduleLine::default() }
            }
        };
        answers.line(&line).await;
    };
    let stop = Stop::default();
    let reader = stop.on_drop();
    tokio::spawn(decoding::kept(Here::carry(Here::now(), context::computing_until(stop, work))));
    let lines = futures_util::stream::poll_fn(move |context| {
        let _reader = &reader;
        written.poll_recv(context)
    });
    let lines = futures_util::StreamExt::map(lines, Ok::<_, std::convert::Infallible>);
    let response = (context_headers, [(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response();
    Ok(warn(response, &odd))
}

/// Whether the client asks for a line per pod.
fn wants_lines(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|media| {
        let media = media.split(';').next().unwrap_or_default().trim();
        media.eq_ignore_ascii_case(NDJSON) || media.eq_ignore_ascii_case("application/jsonl")
    })
}

/// Everything that a request asks for, checked.
#[allow(clippy::needless_pass_by_value, reason = "what runs afterwards keeps them")]
fn prepare(
    request: &ScheduleRequest,
    body: &[u8],
    query: &PolicyQuery,
    state: AppState,
    cluster: Arc<str>,
    view: &View,
) -> Result<Runs> {
    let chosen = explain::decided_under(request.policy.as_deref(), request.profile.as_deref(), query, view)?;
    if request.cluster.is_some() && !request.dry_run {
        return Err(ApiError::BadRequest("cluster: a cluster that comes with the request takes dryRun: true".into()));
    }
    if let Some(seconds) = request.assume.filter(|seconds| !(1..=LONGEST_TTL_SECONDS).contains(seconds)) {
        let message = format!("assume: Invalid value: {seconds}: must be 1 to {LONGEST_TTL_SECONDS}");
        return Err(ApiError::BadRequest(message));
    }
    let brought = request.cluster.as_ref().map(explain::brought_cluster).transpose()?;
    let snapshot = brought.unwrap_or_else(|| view.snapshot.clone());
    let bound_to = |pod: &Pod| match &request.cluster {
        Some(_) => pod.is_assigned(),
        None => view.bound_to(&pod.namespace, &pod.name).is_some(),
    };
    let (tasks, mut settled) = pods::asked(request, &snapshot, &bound_to)?;
    let mut stretches: Vec<(Chosen, Vec<Task>)> = Vec::new();
    let mut scheduler = None;
    for task in tasks {
        let name = task.pod.scheduler_name.clone();
        match stretches.last_mut() {
            Some((_, tasks)) if scheduler.as_ref() == Some(&name) => tasks.push(task),
            _ => match chosen.clone().pick(&name) {
                Ok(picked) => {
                    // Where there is but one profile, all pods are of it.
                    scheduler = Some(name);
                    match stretches.last_mut() {
                        Some((_, tasks)) if !matches!(picked, Chosen::Picked(..)) => tasks.push(task),
                        _ => stretches.push((picked, vec![task])),
                    }
                }
                Err(error) if request.pods.is_some() => return Err(error),
                Err(error) => {
                    settled.push((task.index, pods::failed(&task.pod.namespace, &task.pod.name, error.to_string())));
                }
            },
        }
    }
    if stretches.len() > 1 && request.all_or_nothing {
        let message =
            "allOrNothing: the pods pick different profiles by their schedulerName; ask for those of one at a time";
        return Err(ApiError::BadRequest(message.into()));
    }
    if stretches.is_empty() {
        stretches.push((chosen.clone(), Vec::new()));
    }
    let extenders = &chosen.profile().extenders;
    let asking = if extenders.is_empty() || !state.extenders.is_on() {
        None
    } else {
        let raw: RawQuestion<'_> = decode::from_slice(body).map_err(|error| ApiError::BadRequest(error.to_string()))?;
        let sent = raw.cluster.map(Sent::new);
        Some(Asking { chain: state.extenders.chain(extenders, chosen.origin()), sent })
    };
    let run = |(chosen, tasks): (Chosen, Vec<Task>)| Run {
        options: batch::Options { seed: request.seed, preempt: request.preempt.unwrap_or(true), reuse: true },
        assume: request.assume,
        is_trial: request.dry_run,
        all_or_nothing: request.all_or_nothing,
        suggestions: request.suggestions.unwrap_or(true),
        asking: asking.clone(),
        state: state.clone(),
        cluster: cluster.clone(),
        chosen,
        snapshot: snapshot.clone(),
        tasks,
        settled: std::mem::take(&mut settled),
    };
    Ok(Runs(stretches.into_iter().map(run).collect()))
}

/// A request carried out: in one go or, where its pods pick different profiles, one stretch of them after the other.
struct Runs(Vec<Run>);

impl Runs {
    async fn run(self, answers: &mut Answers) -> Result<ScheduleSummary> {
        let mut last = None;
        let are_several = self.0.len() > 1;
        for mut run in self.0 {
            if let Some((_, snapshot)) = last.take() {
                run.snapshot = snapshot;
            }
            last = Some(Box::pin(run.run(answers)).await?);
        }
        let summary = last.map(|(mut summary, _): (ScheduleSummary, _)| {
            // No one profile decided for all.
            summary.policy.profile = summary.policy.profile.filter(|_| !are_several);
            summary
        });
        summary.ok_or_else(|| ApiError::internal("a request was carried out in no part"))
    }
}
