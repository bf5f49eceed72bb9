//! The extender verb `filter`: the nodes that a pod can run on.
//!
//! A refusal is a reason in `Error` or per node, since kube-scheduler discards the body of any other status than 200.

use std::{collections::BTreeMap, sync::atomic::AtomicUsize};

use bytes::Bytes;
use metrics::{counter, histogram};

use super::{
    context::DecisionContext,
    stopwatch::Stopwatch,
    verbs::{Answer, NO_CANDIDATES, NO_POD, answer, asked_about, node_set, written},
};
use crate::{
    core::{block::NodeRef, cycle::Cycle, model::Pod, policy::Profile, verdict::Verdict},
    telemetry,
    wire::extender::{Args, Candidates, ExtenderFilterResult, Pieces, Why, filter_result},
};

/// The reason for a candidate that was sent by name only and is not stored.
const UNKNOWN_NODE: &str = "node(s) not known to the extender";

/// Answers the question of a body, an `ExtenderArgs` in JSON.
pub fn filter(body: &Bytes, policy: Option<&str>, context: &DecisionContext) -> Answer {
    let mut remembers = false;
    // No predicate reads images.
    let answer = answer("Filter", false, body, policy, context, |args, policy| {
        let error = match (policy, args) {
            (Err(error), _) => error.to_string(),
            (_, Args { pod: None, .. }) => NO_POD.into(),
            (_, Args { candidates: Candidates::Absent, .. }) => NO_CANDIDATES.into(),
            (_, Args { pod: Some(Pod { excess: Some(excess), .. }), .. }) => too_much(excess),
            (Ok(policy), Args { pod: Some(pod), candidates }) => {
                let (reply, is_helped) = filtered(body, pod, candidates, context, policy.profile());
                remembers = is_helped;
                return Ok(reply);
            }
        };
        let in_full = matches!(args.candidates, Candidates::Nodes(_));
        written(&ExtenderFilterResult::failed(error, in_full))
    });
    Answer { remembers, ..answer }
}

/// The error for a pod beyond the limits.
fn too_much(excess: &str) -> String {
    format!("the pod asks for too much to be decided on: {excess}")
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

/// The reply: each candidate is in exactly one of its lists. `true`: pods that are about to leave counted as gone.
fn filtered(
    body: &Bytes,
    pod: &Pod,
    candidates: &Candidates<'_>,
    context: &DecisionContext,
    profile: &Profile,
) -> (Pieces, bool) {
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
    (filter_result(body, candidates, &fitting, failed, unresolvable), departures.is_some())
}
