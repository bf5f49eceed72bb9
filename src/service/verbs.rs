//! Shared parts of the extender verbs that judge nodes: the question, the policy, and the candidates in their cluster.

use std::{borrow::Cow, sync::Arc, time::Instant};

use bytes::Bytes;
use metrics::histogram;
use serde::Serialize;

use super::{
    context::{self, Chosen, DecisionContext},
    decisions::Sample,
    error::{Error, Result},
};
use crate::{
    core::{
        block::NodeRef,
        model::Pod,
        snapshot::{Object, Snapshot},
    },
    telemetry::{self, labels::PROFILES, trace},
    wire::extender::{Args, Candidates, Pieces, Reading},
};

/// The error for a request without a pod.
pub(super) const NO_POD: &str = "the request has no Pod";
/// The error for a request without candidates.
pub(super) const NO_CANDIDATES: &str = "the request has neither Nodes nor NodeNames";

/// The answer of a verb.
#[derive(Debug)]
pub struct Answer {
    /// The form of the request: `nodes`, `names`, or `none` where it has neither.
    pub form: &'static str,
    /// The body of the reply.
    pub body: Result<Pieces>,
    /// `true` if victims or assumed pods of other calls counted.
    pub remembers: bool,
}

impl Answer {
    /// Hands the call over to be recorded, if it is one of the share that is.
    pub fn noted(&self, sample: Option<Sample>, context: &DecisionContext, policy: Option<&str>, body: &Bytes) {
        if let (Some(sample), Ok(reply)) = (sample, &self.body) {
            sample.answered(context, policy, body, (reply, self.remembers));
        }
    }
}

/// Reads a question about candidates, and answers it under its policy. `point` is the extension point, `images` tells if the images of nodes are read.
pub(super) fn answer(
    point: &'static str,
    images: bool,
    body: &Bytes,
    policy: Option<&str>,
    context: &DecisionContext,
    verdict: impl FnOnce(&Args<'_>, Result<Chosen>) -> Result<Pieces>,
) -> Answer {
    let reading = Reading { known: &context.known, stored: &context.view.snapshot, images };
    let parsing = trace::phase("parse");
    let args = match Args::parse(body, reading) {
        Ok(args) => args,
        Err(error) => {
            return Answer { form: "none", body: Err(Error::BadRequest(error.to_string())), remembers: false };
        }
    };
    drop(parsing);
    let form = match &args.candidates {
        Candidates::Nodes(_) => "nodes",
        Candidates::Names(_) => "names",
        Candidates::Absent => "none",
    };
    if let (Candidates::Names(_), Err(error)) = (&args.candidates, context.is_there()) {
        return Answer { form, body: Err(error), remembers: false };
    }
    let policy = context::chosen(&context.view, policy).map(|chosen| chosen.pick_or_first(args.pod.as_ref()));
    Answer { form, remembers: false, body: timed(point, policy, |policy| verdict(&args, policy)) }
}

/// Measures one extension point's part of a call.
pub(super) fn timed(
    point: &'static str,
    policy: Result<Chosen>,
    decide: impl FnOnce(Result<Chosen>) -> Result<Pieces>,
) -> Result<Pieces> {
    let start = Instant::now();
    let profile = policy.as_ref().map_or_else(|_| String::new(), |policy| policy.name().to_owned());
    let reply = decide(policy);
    let status = if reply.is_ok() { "Success" } else { "Error" };
    histogram!(telemetry::EXTENSION_POINT_DURATION, "extension_point" => point, "status" => status,
        "profile" => PROFILES.of(&profile))
    .record(start.elapsed());
    reply
}

/// A reply that is short.
pub(super) fn written(reply: &impl Serialize) -> Result<Pieces> {
    serde_json::to_vec(reply).map(Pieces::from).map_err(Error::internal)
}

/// The cluster as the candidates are judged in it: nodes sent in full are the truth about nodes; what runs on them is what
/// is stored. Nodes that say what is known anyway change nothing.
pub(super) fn asked_about<'s>(snapshot: &'s Snapshot, pod: &Pod, candidates: &Candidates<'_>) -> Cow<'s, Snapshot> {
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
pub(super) fn node_set<'s, 'c>(
    candidates: &'c Candidates<'_>,
    snapshot: &'s Snapshot,
) -> Vec<(&'c str, Option<NodeRef<'s>>)> {
    let node_ref = |name: &'c str| (name, snapshot.node_ref(name));
    match candidates {
        Candidates::Nodes(sent) => sent.iter().map(|sent| node_ref(&sent.node.name)).collect(),
        Candidates::Names(names) => names.iter().map(|name| node_ref(name)).collect(),
        Candidates::Absent => Vec::new(),
    }
}
