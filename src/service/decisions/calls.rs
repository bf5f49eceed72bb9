//! Calls of `/filter` and `/prioritize`, and binds that clients asked for, as records.
//!
//! A call is handed over as it came and as it was answered; all else is read off these here, off its way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{BEST, KIND, LONGEST_POD, Log, trimmed};
use crate::{
    clock,
    core::snapshot::Snapshot,
    hex::hex,
    live::View,
    service::{audit::word, context},
    store::{Entry, EntryId},
    wire::{
        access::token,
        decision::{AskedBy, CallKind, Decision, DecisionOutcome, JudgedPod, NodeScore, VerdictCount},
        extender::{Args, Candidates, Pieces, Reading},
    },
};

/// Bytes of the names of candidates that are recorded at most.
const LONGEST_NAMES: usize = 64 << 10;

/// The user in records of actions that no client asked for.
const LOOPS: &str = "system:podberth";

/// A call that is to be recorded.
#[derive(Debug)]
pub struct Sample {
    /// The record.
    pub log: Log,
    /// The cluster.
    pub cluster: Arc<str>,
    /// The verb.
    pub call: CallKind,
    /// The user and the program that ask.
    pub by: AskedBy,
}

/// A call and its answer.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) cluster: Arc<str>,
    pub(super) kind: CallKind,
    pub(super) by: AskedBy,
    pub(super) policy: Option<String>,
    pub(super) at: Timestamp,
    pub(super) context: context::DecisionContext,
    pub(super) body: Bytes,
    pub(super) reply: Pieces,
    /// Victims or assumed pods of other calls counted.
    pub(super) remembers: bool,
}

/// A bind that a client asked for.
#[derive(Debug)]
pub struct NotedBind {
    /// The cluster.
    pub cluster: Arc<str>,
    /// The user and the program that asked.
    pub by: AskedBy,
    /// The pod's namespace and name.
    pub pod: (String, String),
    /// The node.
    pub node: String,
    /// The policy that was asked for.
    pub policy: Option<String>,
    /// The cluster's revision afterwards.
    pub revision: u64,
    /// The cluster afterwards.
    pub view: Arc<View>,
    /// The part of the cluster's history that it belongs to.
    pub epoch: u64,
}

impl Sample {
    /// Hands a call over to be recorded. `remembers`: victims or assumed pods of other calls counted.
    pub fn answered(
        self,
        context: &context::DecisionContext,
        policy: Option<&str>,
        body: &Bytes,
        (reply, remembers): (&Pieces, bool),
    ) {
        let Self { log, cluster, call, by } = self;
        if let Some(shared) = &log.0 {
            let (context, body, reply) = (context.clone(), body.clone(), reply.clone());
            let (policy, at) = (policy.map(ToOwned::to_owned), clock::now());
            shared.writing.push_call(Call { cluster, kind: call, by, policy, at, context, body, reply, remembers });
        }
    }
}

impl Log {
    /// Records an action of a loop.
    pub fn acted(&self, action: Action) {
        if let Some(shared) = &self.0 {
            shared.writing.push_action(action);
        }
    }

    /// Records a bind.
    pub fn bound(&self, bind: NotedBind) {
        if let Some(shared) = &self.0 {
            shared.writing.push_bind(bind);
        }
    }
}

/// An answer of `/filter` or `/prioritize` in short, whichever the order and the form of its nodes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// The nodes that fit.
    pub fitting: BTreeSet<String>,
    /// The nodes that do not, and why.
    pub failed: BTreeMap<String, String>,
    /// The scores.
    pub scores: BTreeMap<String, i64>,
    /// The reason why there is no answer.
    pub error: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct FilterReply {
    nodes: Option<Nodes>,
    node_names: Option<Vec<String>>,
    failed_nodes: BTreeMap<String, String>,
    failed_and_unresolvable_nodes: BTreeMap<String, String>,
    error: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Scored {
    host: String,
    score: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Nodes {
    items: Vec<Named>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
}

impl Answered {
    /// Reads the body of a reply.
    pub fn parse(call: CallKind, reply: Pieces) -> Option<Self> {
        let text = reply.finish().concat();
        if call == CallKind::Prioritize {
            let scores: Vec<Scored> = serde_json::from_slice(&text).ok()?;
            let scores = scores.into_iter().map(|Scored { host, score }| (host, score)).collect();
            return Some(Self { scores, ..Self::default() });
        }
        let reply: FilterReply = serde_json::from_slice(&text).ok()?;
        let mut fitting: BTreeSet<String> = reply.node_names.into_iter().flatten().collect();
        fitting.extend(reply.nodes.into_iter().flat_map(|nodes| nodes.items).map(|node| node.metadata.name));
        // The names of the two lists tell different things about a node.
        let unresolvable = reply.failed_and_unresolvable_nodes.into_iter().map(|(node, why)| (node, format!("{why}!")));
        let failed = reply.failed_nodes.into_iter().chain(unresolvable).collect();
        Some(Self { fitting, failed, scores: BTreeMap::new(), error: reply.error })
    }

    /// A digest of all of it.
    pub fn digest(&self) -> String {
        // The fields in this order, and all keys sorted.
        let Self { fitting, failed, scores, error } = self;
        let text = serde_json::json!([fitting, failed, scores, error]).to_string();
        hex(&token::digest(&text)[..16])
    }

    /// The nodes with the highest scores.
    pub fn best(&self) -> Vec<NodeScore> {
        let mut scores: Vec<_> = self.scores.iter().collect();
        scores.sort_by_key(|(node, score)| (std::cmp::Reverse(**score), *node));
        scores.into_iter().take(BEST).map(|(node, total)| NodeScore { node: node.clone(), total: *total }).collect()
    }

    /// How many nodes each reason rules out.
    pub fn counts(&self) -> Vec<VerdictCount> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for why in self.failed.values() {
            *counts.entry(why.trim_end_matches('!')).or_default() += 1;
        }
        counts.into_iter().map(|(reason, nodes)| VerdictCount { reason: reason.to_owned(), nodes }).collect()
    }
}

/// The pod of a call, as it was sent.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SentPod {
    #[serde(rename = "Pod", alias = "pod")]
    pod: Option<Box<RawValue>>,
}

fn chance() -> u64 {
    Uuid::new_v4().as_u64_pair().0
}

/// The entry of a call.
pub(super) fn entry_of_call(call: Call) -> Option<Entry> {
    let Call { cluster, kind: call, by, policy, at, context, body, reply, remembers } = call;
    let view = &context.view;
    let reading = Reading { known: &context.known, stored: &view.snapshot, images: call == CallKind::Prioritize };
    let args = Args::parse(&body, reading).ok()?;
    let pod = args.pod.as_ref()?;
    let chosen = context::chosen(view, policy.as_deref()).ok()?.pick_or_first(Some(pod));
    let text = serde_json::from_slice::<SentPod>(&body).ok().and_then(|sent| sent.pod);
    let answered = Answered::parse(call, reply)?;
    let mut decision = Decision {
        cluster: cluster.to_string(),
        call,
        by,
        pod: JudgedPod {
            namespace: pod.namespace.to_string(),
            name: pod.name.to_string(),
            uid: pod.uid.to_string(),
            revision: None,
            body: text.and_then(|text| trimmed::pod(&text)).filter(|text| text.get().len() <= LONGEST_POD),
        },
        policy: chosen.used(),
        revision: view.snapshot.revision,
        outcome: DecisionOutcome::Answered,
        message: (!answered.error.is_empty()).then(|| answered.error.clone()),
        digest: Some(answered.digest()),
        ..Decision::default()
    };
    if call == CallKind::Filter {
        decision.fitting = Some(answered.fitting.len());
        decision.verdicts = Some(answered.counts());
    } else {
        let scores = answered.best();
        decision.node = scores.first().map(|best| best.node.clone());
        decision.scores = Some(scores);
    }
    decision.unrepeatable = if decision.pod.body.is_none() {
        Some("its pod is too long to be recorded")
    } else if call == CallKind::Prioritize && context.in_flight.assumes() {
        Some("pods that were assumed to be bound counted")
    } else if remembers {
        Some("pods that were about to leave counted as gone")
    } else {
        candidates(&args.candidates, &view.snapshot).map_or_else(Some, |listed| {
            decision.candidates = listed;
            None
        })
    }
    .map(str::to_owned);
    finished(&cluster, &mut decision, EntryId::new(at, chance()))
}

/// The names of the candidates, `None` if they are all nodes; or why they cannot be named.
fn candidates(candidates: &Candidates<'_>, snapshot: &Snapshot) -> Result<Option<Vec<String>>, &'static str> {
    let mut names: Vec<String> = match candidates {
        Candidates::Names(names) => names.iter().map(|name| name.to_string()).collect(),
        Candidates::Nodes(nodes) => {
            let is_stored =
                |node: &crate::core::model::Node| snapshot.node(&node.name).is_some_and(|stored| *stored.node == *node);
            if !nodes.iter().all(|sent| is_stored(&sent.node)) {
                return Err("its nodes came with the call, and are others than those that are stored");
            }
            nodes.iter().map(|sent| sent.node.name.to_string()).collect()
        }
        Candidates::Absent => Vec::new(),
    };
    names.sort_unstable();
    names.dedup();
    let are_all = names.len() == snapshot.node_count() && names.iter().all(|name| snapshot.node(name).is_some());
    if are_all {
        return Ok(None);
    }
    if names.iter().map(|name| name.len() + 3).sum::<usize>() > LONGEST_NAMES {
        return Err("its candidates are too many to be recorded, and not all nodes");
    }
    Ok(Some(names))
}

/// The entry of a bind.
pub(super) fn entry_of_bind(bind: NotedBind) -> Option<Entry> {
    let NotedBind { cluster, by, pod: (namespace, name), node, policy, revision, view, epoch: _ } = bind;
    let pod = view.snapshot.pod(&namespace, &name);
    let chosen = context::chosen(&view, policy.as_deref()).ok()?.pick_or_first(pod.map(|pod| &**pod));
    let mut decision = Decision {
        cluster: cluster.to_string(),
        call: CallKind::Bind,
        by,
        pod: JudgedPod {
            uid: pod.map(|pod| pod.uid.to_string()).unwrap_or_default(),
            namespace,
            name,
            ..JudgedPod::default()
        },
        policy: chosen.used(),
        revision: revision.saturating_sub(1),
        outcome: DecisionOutcome::Bound,
        node: Some(node),
        unrepeatable: view.source().map(|_| "the API server of the live cluster judged it".into()),
        ..Decision::default()
    };
    finished(&cluster, &mut decision, EntryId::new(clock::now(), chance()))
}

/// An action of a loop, with its reason.
#[derive(Debug, Default)]
pub struct Action {
    /// The cluster.
    pub cluster: Arc<str>,
    /// The part of the cluster's history that it belongs to.
    pub epoch: u64,
    /// The loop.
    pub call: CallKind,
    /// The pod or the workload that it is about, by namespace and name; empty for none.
    pub object: (String, String),
    /// The node that it is about.
    pub node: Option<String>,
    /// The revision of the state on which it was decided.
    pub revision: u64,
    /// The action and its reason.
    pub message: String,
}

/// The entry of an action.
pub(super) fn entry_of_action(action: Action) -> Option<Entry> {
    let Action { cluster, epoch: _, call, object: (namespace, name), node, revision, message } = action;
    let mut decision = Decision {
        cluster: cluster.to_string(),
        call,
        by: AskedBy { user: LOOPS.into(), agent: String::new() },
        pod: JudgedPod { namespace, name, ..JudgedPod::default() },
        revision,
        outcome: DecisionOutcome::Acted,
        node,
        message: Some(message),
        unrepeatable: Some("it is an action of a loop and no placement".into()),
        ..Decision::default()
    };
    finished(&cluster, &mut decision, EntryId::new(clock::now(), chance()))
}

fn finished(cluster: &Arc<str>, decision: &mut Decision, id: EntryId) -> Option<Entry> {
    decision.id = id.to_string();
    decision.time = id.at().to_string();
    let body = serde_json::to_vec(decision).ok()?.into();
    Some(Entry {
        cluster: cluster.clone(),
        kind: KIND.into(),
        id,
        subject: word(decision.node.as_deref().unwrap_or_default()),
        object: word(&format!("{}/{}", decision.pod.namespace, decision.pod.name)),
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(call: CallKind, reply: &serde_json::Value) -> Answered {
        Answered::parse(call, serde_json::to_vec(reply).expect("JSON").into()).expect("an answer")
    }

    #[test]
    fn digests_stay_the_same_for_as_long_as_records_are_kept() {
        let filtered = serde_json::json!({"NodeNames": ["b", "a"], "FailedNodes": {"c": "Insufficient cpu"},
            "FailedAndUnresolvableNodes": {"d": "node(s) were unschedulable"}, "Error": ""});
        assert_eq!(answered(CallKind::Filter, &filtered).digest(), "c3080f3e5f7ebffc566df250564952fa");
        let scored = serde_json::json!([{"Host": "b", "Score": 10}, {"Host": "a", "Score": 0}]);
        assert_eq!(answered(CallKind::Prioritize, &scored).digest(), "c4a934c71653fa200efe03c24934ab01");
    }
}
