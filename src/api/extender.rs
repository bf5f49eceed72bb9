//! The extender verbs that judge nodes: `/filter` and `/prioritize`, as kube-scheduler calls them, and what all verbs share.
//! `/bind` is in [`super::bind`], `/preempt` in [`super::preempt`].
//!
//! What the domain says no to stands in a 200, in `Error` or per node, since kube-scheduler throws away the body of any
//! other code; only a body that cannot be read is an HTTP error.

use std::{collections::BTreeMap, time::Instant};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use metrics::{counter, histogram};

use super::{
    cluster::ClusterName,
    error::{ApiError, Result},
    extract::{JsonBytes, Query},
    ground::{self, Chosen, FreshnessQuery, Ground, PolicyQuery},
    openapi::{DecisionErrors, ReadErrors},
    state::AppState,
};
use crate::{
    cluster::View,
    core::{
        cycle::{self, Cycle},
        model::Pod,
        policy::Profile,
        rule::Release,
        seat::{Seat, Seats},
        snapshot::Snapshot,
    },
    telemetry,
    wire::extender::{Args, Candidates, ExtenderArgs, ExtenderFilterResult, HostPriority},
};

pub(super) const NO_POD: &str = "the request has no Pod";
const NO_CANDIDATES: &str = "the request has neither Nodes nor NodeNames";
/// Told of a candidate that was sent by name only and is not stored.
const UNKNOWN_NODE: &str = "node(s) not known to the extender";

/// Which nodes a pod can run on
///
/// kube-scheduler's extender verb `filter`. The nodes that fit come back in the form in which they were sent: names for
/// names, full nodes byte for byte for full nodes. Every other node stands, with the first failing predicate's reasons,
/// in `FailedNodes` or, where evicting pods cannot help, in `FailedAndUnresolvableNodes`. Nothing is changed.
#[utoipa::path(post, path = "/filter", operation_id = "filterNodes", tag = "extender", params(PolicyQuery, FreshnessQuery),
    request_body(content = ExtenderArgs<'_>, example = json!({
        "Pod": {"metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [{"name": "main"}]}},
        "NodeNames": ["node-a", "node-b"]
    })),
    responses((status = 200, description = "The nodes that fit, and why the others do not.", body = ExtenderFilterResult<'_>),
        ReadErrors))]
pub async fn filter(
    State(state): State<AppState>,
    cluster: ClusterName,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let ground = ground::stand(&state, &cluster, &fresh).await?;
    answer("filter", ground, query, body, |args, view, policy| {
        let in_full = matches!(args.candidates, Candidates::Nodes(_));
        let reply = match (policy, &args) {
            (Err(error), _) => ExtenderFilterResult::failed(error.to_string(), in_full),
            (_, Args { pod: None, .. }) => ExtenderFilterResult::failed(NO_POD, in_full),
            (_, Args { candidates: Candidates::Absent, .. }) => ExtenderFilterResult::failed(NO_CANDIDATES, in_full),
            (Ok(policy), Args { pod: Some(pod), candidates }) => filtered(pod, candidates, view, policy.profile()),
        };
        serde_json::to_vec(&reply).map_err(ApiError::internal)
    })
    .await
}

/// How good each node is for a pod
///
/// kube-scheduler's extender verb `prioritize`. The candidates are taken to fit; their totals are spread over 0..10 (or
/// over the policy's `scoring.extenderMaxScore`): the best gets the highest score, the worst 0. Of more groups than there
/// are numbers, under `Lexicographic`, the best have a number each and the rest 0. Nothing is changed.
#[utoipa::path(post, path = "/prioritize", operation_id = "prioritizeNodes", tag = "extender", params(PolicyQuery, FreshnessQuery),
    request_body(content = ExtenderArgs<'_>, example = json!({
        "Pod": {"metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [{"name": "main"}]}},
        "NodeNames": ["node-a", "node-b"]
    })),
    responses((status = 200, description = "A score for each candidate.", body = Vec<HostPriority>), DecisionErrors))]
pub async fn prioritize(
    State(state): State<AppState>,
    cluster: ClusterName,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let ground = ground::stand(&state, &cluster, &fresh).await?;
    answer("prioritize", ground, query, body, |args, view, policy| {
        // The reply has no place for an error, so here each is an HTTP one.
        let pod = args.pod.as_ref().ok_or_else(|| ApiError::BadRequest(NO_POD.into()))?;
        if matches!(args.candidates, Candidates::Absent) {
            return Err(ApiError::BadRequest(NO_CANDIDATES.into()));
        }
        let reply = prioritized(pod, &args.candidates, view, policy?.profile());
        serde_json::to_vec(&reply).map_err(ApiError::internal)
    })
    .await
}

/// One call of a verb that judges candidates.
async fn answer(
    verb: &'static str,
    ground: Ground,
    query: PolicyQuery,
    body: Bytes,
    verdict: impl FnOnce(Args<'_>, &View, Result<Chosen>) -> Result<Vec<u8>> + Send + 'static,
) -> Result<Response> {
    measured(verb, ground, move |view| {
        let args = match Args::parse(&body) {
            Ok(args) => args,
            Err(error) => return ("none", Err(ApiError::BadRequest(error.to_string()))),
        };
        let form = match &args.candidates {
            Candidates::Nodes(_) => "nodes",
            Candidates::Names(_) => "names",
            Candidates::Absent => "none",
        };
        let point = if verb == "filter" { "Filter" } else { "Score" };
        (form, timed(point, ground::chosen(view, &query), |policy| verdict(args, view, policy)))
    })
    .await
}

/// One call of a verb: parse and compute off the runtime's threads, reply in one piece, measured.
/// `work` answers the form of the request (`nodes`, `names`, or `none` where it has neither) and the reply's body.
pub(super) async fn measured(
    verb: &'static str,
    ground: Ground,
    work: impl FnOnce(&View) -> (&'static str, Result<Vec<u8>>) + Send + 'static,
) -> Result<Response> {
    let start = Instant::now();
    let (headers, view) = (ground.headers(), ground.view);
    let (form, reply) = ground::compute(move || work(&view)).await?;
    let code = reply.as_ref().map_or_else(|error| error.reason().code, |_| StatusCode::OK);
    counter!(telemetry::EXTENDER_REQUESTS, "verb" => verb, "form" => form, "code" => code.as_str().to_owned())
        .increment(1);
    histogram!(telemetry::EXTENDER_REQUEST_DURATION, "verb" => verb).record(start.elapsed());
    Ok(([(header::CONTENT_TYPE, "application/json")], headers, reply?).into_response())
}

/// Measures one extension point's part of a call.
pub(super) fn timed(
    point: &'static str,
    policy: Result<Chosen>,
    decide: impl FnOnce(Result<Chosen>) -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let start = Instant::now();
    let profile = policy.as_ref().map_or_else(|_| String::new(), |policy| policy.used().name);
    let reply = decide(policy);
    let status = if reply.is_ok() { "Success" } else { "Error" };
    histogram!(telemetry::EXTENSION_POINT_DURATION, "extension_point" => point, "status" => status,
        "profile" => profile)
    .record(start.elapsed());
    reply
}

/// The cluster as the candidates are judged in it: nodes sent in full are the truth about nodes; what runs on them is what
/// is stored.
fn asked_about(release: Release, snapshot: &Snapshot, pod: &Pod, candidates: &Candidates<'_>) -> Snapshot {
    let snapshot = cycle::scene(release, pod, snapshot).into_owned();
    match candidates {
        Candidates::Nodes(sent) => snapshot.with_nodes(sent.iter().map(|s| s.node.clone())),
        Candidates::Names(_) | Candidates::Absent => snapshot,
    }
}

fn names<'c>(candidates: &'c Candidates<'_>) -> Vec<&'c str> {
    match candidates {
        Candidates::Nodes(sent) => sent.iter().map(|s| &*s.node.name).collect(),
        Candidates::Names(names) => names.iter().map(|n| &**n).collect(),
        Candidates::Absent => Vec::new(),
    }
}

/// The reply of `/filter`: each candidate stands in exactly one of its lists.
fn filtered<'c>(pod: &Pod, candidates: &'c Candidates<'_>, view: &View, profile: &Profile) -> ExtenderFilterResult<'c> {
    let snapshot = asked_about(profile.release, &view.snapshot, pod, candidates);
    let cycle = Cycle::prepare(profile, pod, &snapshot);
    let names = names(candidates);
    let (mut failed, mut unresolvable) = (BTreeMap::new(), BTreeMap::new());
    let mut rejections = BTreeMap::<(&str, &str), u64>::new();
    let fits = cycle.fitting_of(&names.iter().filter_map(|name| snapshot.seat(name)).collect());
    let mut fitting = Vec::new();
    for (at, name) in names.iter().copied().enumerate() {
        let Some(node) = snapshot.seat(name) else {
            unresolvable.insert(name, UNKNOWN_NODE.to_owned());
            continue;
        };
        let failure = if fits.contains(node) { None } else { cycle.first_failure(&node) };
        let Some(failure) = failure else {
            fitting.push(at);
            continue;
        };
        *rejections.entry((failure.predicate.plugin, failure.verdict.code())).or_default() += 1;
        let list = if failure.verdict.is_unresolvable() { &mut unresolvable } else { &mut failed };
        list.insert(name, failure.verdict.reasons().join(", "));
    }
    for ((plugin, code), count) in rejections {
        counter!(telemetry::NODE_REJECTIONS, "plugin" => plugin.to_owned(), "reason_code" => code.to_owned())
            .increment(count);
    }
    histogram!(telemetry::NODES_EVALUATED).record(names.len() as f64);
    let reply = ExtenderFilterResult {
        failed_nodes: failed,
        failed_and_unresolvable_nodes: unresolvable,
        ..ExtenderFilterResult::default()
    };
    match candidates {
        Candidates::Nodes(sent) => {
            ExtenderFilterResult { nodes: Some(fitting.into_iter().map(|at| sent[at].raw).collect()), ..reply }
        }
        Candidates::Names(sent) => {
            ExtenderFilterResult { node_names: Some(fitting.into_iter().map(|at| &*sent[at]).collect()), ..reply }
        }
        Candidates::Absent => reply,
    }
}

/// The reply of `/prioritize`: a line for each candidate; a node that is not stored gets the lowest score.
fn prioritized(pod: &Pod, candidates: &Candidates<'_>, view: &View, profile: &Profile) -> Vec<HostPriority> {
    let snapshot = asked_about(profile.release, &view.snapshot, pod, candidates);
    let cycle = Cycle::prepare(profile, pod, &snapshot);
    let names = names(candidates);
    let nodes: Vec<Option<Seat<'_>>> = names.iter().map(|name| snapshot.seat(name)).collect();
    let known: Seats<'_> = nodes.iter().copied().flatten().collect();
    let ranking = cycle.rank(&cycle.scores(&known), known.len());
    let scores = ranking.extender_scores(profile.extender_max_score);
    histogram!(telemetry::NODES_EVALUATED).record(nodes.len() as f64);
    let score = |node: Option<Seat<'_>>| node.and_then(|node| known.position(node)).map_or(0, |column| scores[column]);
    let line = |(host, node): (&str, _)| HostPriority { host: host.to_owned(), score: score(node) };
    names.into_iter().zip(nodes).map(line).collect()
}
