//! The extender verb `prioritize`: how good each node is for a pod.

use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use metrics::histogram;

use super::{
    context::DecisionContext,
    decide::decidable,
    error::Error,
    stopwatch::Stopwatch,
    verbs::{Answer, NO_CANDIDATES, NO_POD, answer, asked_about, node_set},
};
use crate::{
    core::{
        block::NodeRef,
        cycle::{self, Cycle},
        model::{Name, Pod},
        node_set::NodeSet,
        policy::Profile,
    },
    telemetry::{self, trace},
    wire::extender::{Candidates, Pieces, host_priorities},
};

/// Answers the question of a body, an `ExtenderArgs` in JSON.
pub fn prioritize(body: &Bytes, policy: Option<&str>, context: &DecisionContext) -> Answer {
    let mut remembers = false;
    let answer = answer("Score", true, body, policy, context, |args, policy| {
        // The reply has no place for an error, so each is one of the call.
        let pod = args.pod.as_ref().ok_or_else(|| Error::BadRequest(NO_POD.into()))?;
        if matches!(args.candidates, Candidates::Absent) {
            return Err(Error::BadRequest(NO_CANDIDATES.into()));
        }
        decidable(pod)?;
        let (reply, is_assumed) = prioritized(pod, &args.candidates, context, policy?.profile());
        remembers = is_assumed;
        Ok(reply)
    });
    Answer { remembers, ..answer }
}

/// The reply: a line for each candidate; a node that is not stored gets the lowest score. `true`: assumed pods counted.
fn prioritized(pod: &Pod, candidates: &Candidates<'_>, context: &DecisionContext, profile: &Profile) -> (Pieces, bool) {
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
    (host_priorities(candidates, nodes.iter().map(|(_, node_ref)| score(*node_ref))), assumed.is_some())
}

/// Makes the best score unique, so that kube-scheduler's choice can be predicted: the other nodes with the highest score get one less. A score of 1
/// stays, since 0 is the worst.
fn leave_one_best(scores: &mut [i64], best: usize) {
    let highest = scores[best];
    for (_, score) in scores.iter_mut().enumerate().filter(|(column, _)| *column != best) {
        *score = (*score).min((highest - 1).max(1));
    }
}
