//! The extender verbs that judge nodes: `/filter` and `/prioritize`, as kube-scheduler calls them, and shared parts of all verbs. `/bind` is in
//! [`super::bind`], `/preempt` in [`super::preempt`].
//!
//! A refusal is a 200 with the reason in `Error` or per node, since kube-scheduler discards the body of any other status. Only an unreadable body is
//! an HTTP error.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicUsize},
};

use axum::{extract::State, response::Response};
use bytes::Bytes;
use metrics::{counter, histogram};

use super::{
    cluster::ClusterName,
    context::{FreshnessQuery, PolicyQuery},
    error::{ApiError, Result},
    extract::{JsonBytes, Query},
    observe::Stopwatch,
    openapi::{DecisionErrors, ReadErrors},
    state::AppState,
    verbs::{NO_POD, measured, timed, written},
};
use crate::{
    core::{
        block::NodeRef,
        cycle::{self, Cycle},
        model::{Name, Pod},
        node_set::NodeSet,
        policy::Profile,
        snapshot::{Object, Snapshot},
        verdict::Verdict,
    },
    service::{
        context::{self, Chosen, DecisionContext},
        decide::decidable,
    },
    telemetry::{self, trace},
    wire::extender::{
        Args, Candidates, ExtenderArgs, ExtenderFilterResult, HostPriority, Pieces, Reading, Why, filter_result,
        host_priorities,
    },
};

const NO_CANDIDATES: &str = "the request has neither Nodes nor NodeNames";
/// The reason for a candidate that was sent by name only and is not stored.
const UNKNOWN_NODE: &str = "node(s) not known to the extender";

/// Filter the nodes that a pod can run on
///
/// kube-scheduler's extender verb `filter`. The nodes that fit come back in the form of the request: names, or full nodes byte for byte. Every other
/// node is in `FailedNodes` or, if evicting pods cannot help, in `FailedAndUnresolvableNodes`, with the reasons of the first failing predicate.
/// Nothing durable is changed.
///
/// On the node that the pod is nominated to (`status.nominatedNodeName`), pods of lower priority count as gone if the pod would not fit otherwise:
/// kube-scheduler evicted them, and the stored state may lag.
#[utoipa::path(post, path = "/filter", operation_id = "filterNodes", tag = "extender", params(PolicyQuery, FreshnessQuery),
    request_body(content = ExtenderArgs<'_>, example = json!({
        "Pod": {"metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [{"name": "main"}]}},
        "NodeNames": ["example", "node-a"]
    })),
    responses((status = 200, description = "The nodes that fit, and why the others do not.", body = ExtenderFilterResult<'_>),
        ReadErrors))]
pub async fn filter(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let context = context::stand(&state, &cluster, fresh.fresh()).await?;
    answer(Verb::Filter, context, query, body, |body, args, context, policy| {
        let error = match (policy, args) {
            (Err(error), _) => error.to_string(),
            (_, Args { pod: None, .. }) => NO_POD.into(),
            (_, Args { candidates: Candidates::Absent, .. }) => NO_CANDIDATES.into(),
            (_, Args { pod: Some(Pod { excess: Some(excess), .. }), .. }) => too_much(excess),
            (Ok(policy), Args { pod: Some(pod), candidates }) => {
                return Ok(filtered(body, pod, candidates, context, policy.profile()));
            }
        };
        let in_full = matches!(args.candidates, Candidates::Nodes(_));
        written(&ExtenderFilterResult::failed(error, in_full))
    })
    .await
}

/// How good each node is for a pod
///
/// kube-scheduler's extender verb `prioritize`. The candidates are taken to fit; their totals are spread over 0..10 (or
/// over the policy's `scoring.extenderMaxScore`): the best gets the highest score, the worst 0. Of more groups than there
/// are numbers, under `Lexicographic`, the best have a number each and the rest 0. Nothing durable is changed. With the
/// setting `assume-extender-binds` one node alone has the highest score, and is assumed for that time to have the pod.
#[utoipa::path(post, path = "/prioritize", operation_id = "prioritizeNodes", tag = "extender", params(PolicyQuery, FreshnessQuery),
    request_body(content = ExtenderArgs<'_>, example = json!({
        "Pod": {"metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [{"name": "main"}]}},
        "NodeNames": ["example", "node-a"]
    })),
    responses((status = 200, description = "A score for each candidate.", body = Vec<HostPriority>), DecisionErrors))]
pub async fn prioritize(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let context = context::stand(&state, &cluster, fresh.fresh()).await?;
    answer(Verb::Prioritize, context, query, body, |_, args, context, policy| {
        // The reply has no place for an error, so here each is an HTTP one.
        let pod = args.pod.as_ref().ok_or_else(|| ApiError::BadRequest(NO_POD.into()))?;
        if matches!(args.candidates, Candidates::Absent) {
            return Err(ApiError::BadRequest(NO_CANDIDATES.into()));
        }
        decidable(pod)?;
        Ok(prioritized(pod, &args.candidates, context, policy?.profile()))
    })
    .await
}

/// The error for a pod beyond the limits.
fn too_much(excess: &str) -> String {
    format!("the pod asks for too much to be decided on: {excess}")
}

/// The verbs that judge candidates.
#[derive(Clone, Copy)]
enum Verb {
    Filter,
    Prioritize,
}

/// One call of a verb that judges candidates.
async fn answer(
    verb: Verb,
    context: DecisionContext,
    query: PolicyQuery,
    body: Bytes,
    verdict: impl FnOnce(&Bytes, &Args<'_>, &DecisionContext, Result<Chosen>) -> Result<Pieces> + Send + 'static,
) -> Result<Response> {
    let (name, point) = match verb {
        Verb::Filter => ("filter", "Filter"),
        Verb::Prioritize => ("prioritize", "Score"),
    };
    measured(name, context, body, move |body, context| {
        // No predicate reads images.
        let images = matches!(verb, Verb::Prioritize);
        let reading = Reading { known: &context.known, stored: &context.view.snapshot, images };
        let parsing = trace::phase("parse");
        let args = match Args::parse(body, reading) {
            Ok(args) => args,
            Err(error) => return ("none", Err(ApiError::BadRequest(error.to_string()))),
        };
        drop(parsing);
        let form = match &args.candidates {
            Candidates::Nodes(_) => "nodes",
            Candidates::Names(_) => "names",
            Candidates::Absent => "none",
        };
        if let (Candidates::Names(_), Err(error)) = (&args.candidates, context.is_there()) {
            return (form, Err(error));
        }
        let policy = context::chosen(&context.view, query.policy.as_deref())
            .map(|chosen| chosen.pick_or_first(args.pod.as_ref()));
        (form, timed(point, policy, |policy| verdict(body, &args, context, policy)))
    })
    .await
}

/// The cluster as the candidates are judged in it: nodes sent in full are the truth about nodes; what runs on them is what
/// is stored. Nodes that say what is known anyway change nothing.
fn asked_about<'s>(snapshot: &'s Snapshot, pod: &Pod, candidates: &Candidates<'_>) -> Cow<'s, Snapshot> {
    let mut judged = snapshot.asked_about(pod);
    if let Candidates::Nodes(sent) = candidates {
        for sent in sent {
            if judged.node(&sent.node.name).is_none_or(|known| known.node != sent.node) {
                judged.to_mut().apply(Object::Node(Arc::unwrap_or_clone(sent.node.clone())));
            }
        }
    }
    judged
}

/// The candidates by name, each in its place in the snapshot, if it has one.
fn node_set<'s, 'c>(candidates: &'c Candidates<'_>, snapshot: &'s Snapshot) -> Vec<(&'c str, Option<NodeRef<'s>>)> {
    let node_ref = |name: &'c str| (name, snapshot.node_ref(name));
    match candidates {
        Candidates::Nodes(sent) => sent.iter().map(|sent| node_ref(&sent.node.name)).collect(),
        Candidates::Names(names) => names.iter().map(|name| node_ref(name)).collect(),
        Candidates::Absent => Vec::new(),
    }
}

/// A reason against nodes: most nodes are ruled out for one of a few reasons.
struct Refusal<'p> {
    plugin: &'p str,
    verdict: Verdict,
    why: Why,
    nodes: u64,
}

/// Number of the latest reasons that a further one is compared with.
const ALIKE: usize = 16;

/// The reply of `/filter`: each candidate is in exactly one of its lists.
fn filtered(
    body: &Bytes,
    pod: &Pod,
    candidates: &Candidates<'_>,
    context: &DecisionContext,
    profile: &Profile,
) -> Pieces {
    static CYCLES: AtomicUsize = AtomicUsize::new(0);
    let DecisionContext { view, in_flight, .. } = context;
    let snapshot = asked_about(&view.snapshot, pod, candidates);
    let stopwatch = Stopwatch::if_wanted(&CYCLES);
    let cycle = Cycle::prepare_observed(profile, pod, &snapshot, stopwatch.as_ref().map(|watch| watch as _));
    let nodes = node_set(candidates, &snapshot);
    let departures = in_flight.departures(pod, view);
    let mut freed = Vec::new();
    let mut refused = Vec::new();
    let mut refusals: Vec<Refusal<'_>> = Vec::new();
    let mut fits = cycle.parted(&nodes.iter().filter_map(|(_, node_ref)| *node_ref).collect(), |node, failure| {
        if departures.as_ref().is_some_and(|departures| departures.make_room(&cycle, &node, &snapshot)) {
            freed.push(node);
            return;
        }
        let (plugin, verdict) = (failure.predicate.plugin, failure.verdict);
        let alike = |other: &Refusal<'_>| other.plugin == plugin && other.verdict == verdict;
        let first = refusals.len().saturating_sub(ALIKE);
        let refusal = refusals[first..].iter().position(alike).map_or(refusals.len(), |place| first + place);
        if refusal == refusals.len() {
            let why = Why::new(&verdict.reasons().join(", "));
            refusals.push(Refusal { plugin, verdict, why, nodes: 0 });
        }
        refusals[refusal].nodes += 1;
        refused.push((&**node.name(), refusal));
    });
    if !freed.is_empty() {
        fits = fits.iter().chain(freed).collect();
    }
    let fit = |(_, node_ref): &(&str, Option<NodeRef<'_>>)| node_ref.is_some_and(|node_ref| fits.contains(node_ref));
    let fitting: Vec<usize> = (0..nodes.len()).filter(|at| fit(&nodes[*at])).collect();
    in_flight.filtered(pod, if let [only] = fitting[..] { Some(nodes[only].0) } else { None }, view);
    let mut rejections = BTreeMap::<(&str, &str), u64>::new();
    for Refusal { plugin, verdict, nodes, .. } in &refusals {
        *rejections.entry((plugin, verdict.code())).or_default() += nodes;
    }
    for ((plugin, code), count) in rejections {
        counter!(telemetry::NODE_REJECTIONS, "plugin" => plugin.to_owned(), "reason_code" => code.to_owned())
            .increment(count);
    }
    histogram!(telemetry::NODES_EVALUATED).record(nodes.len() as f64);
    let is_unknown = Why::new(UNKNOWN_NODE);
    let (mut failed, mut unresolvable) = (Vec::new(), Vec::new());
    for (name, refusal) in refused {
        let Refusal { verdict, why, .. } = &refusals[refusal];
        let list = if verdict.is_unresolvable() { &mut unresolvable } else { &mut failed };
        list.push((name, why));
    }
    let unknown = nodes.iter().filter(|(_, node_ref)| node_ref.is_none());
    unresolvable.extend(unknown.map(|(name, _)| (*name, &is_unknown)));
    filter_result(body, candidates, &fitting, failed, unresolvable)
}

/// The reply of `/prioritize`: a line for each candidate; a node that is not stored gets the lowest score.
fn prioritized(pod: &Pod, candidates: &Candidates<'_>, context: &DecisionContext, profile: &Profile) -> Pieces {
    static CYCLES: AtomicUsize = AtomicUsize::new(0);
    let DecisionContext { view, in_flight, .. } = context;
    let assumed = in_flight.assumed(pod, view);
    let snapshot = asked_about(assumed.as_ref().unwrap_or(&view.snapshot), pod, candidates);
    let stopwatch = Stopwatch::if_wanted(&CYCLES);
    let cycle = Cycle::prepare_observed(profile, pod, &snapshot, stopwatch.as_ref().map(|watch| watch as _));
    let nodes = node_set(candidates, &snapshot);
    let known: NodeSet<'_> = nodes.iter().filter_map(|(_, node_ref)| *node_ref).collect();
    let scores = cycle.scores(&known);
    let selecting = trace::phase("select");
    let ranking = cycle.rank(&scores, known.len());
    let mut scores = ranking.extender_scores(profile.extender_max_score);
    if in_flight.assumes() {
        let names: Vec<&Name> = known.iter().map(NodeRef::name).collect();
        if let Some(best) = ranking.best(|column| (cycle::tie_break(0, pod, names[column]), names[column])) {
            leave_one_best(&mut scores, best);
            in_flight.assume(pod, names[best], view);
        }
    }
    drop(selecting);
    histogram!(telemetry::NODES_EVALUATED).record(nodes.len() as f64);
    let score = |node_ref: Option<NodeRef<'_>>| {
        node_ref.and_then(|node_ref| known.position(node_ref)).map_or(0, |column| scores[column])
    };
    host_priorities(candidates, nodes.iter().map(|(_, node_ref)| score(*node_ref)))
}

/// Makes the best score unique, so that kube-scheduler's choice can be predicted: the other nodes with the highest score get one less. A score of 1
/// stays, since 0 is the worst.
fn leave_one_best(scores: &mut [i64], best: usize) {
    let highest = scores[best];
    for (_, score) in scores.iter_mut().enumerate().filter(|(column, _)| *column != best) {
        *score = (*score).min((highest - 1).max(1));
    }
}
