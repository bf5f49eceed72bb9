//! The extender verb `preempt`: kube-scheduler's proposed victims, checked by Podberth's own predicates.
//!
//! kube-scheduler calls it when a pod fits nowhere, with the victims that it would choose on each node by **its** predicates. Podberth's policy may
//! have further reasons against a node. So:
//!
//! - The proposed victims are kept: kube-scheduler needs their room in any case.
//! - If the pod would still not fit by Podberth's policy, further pods of lower priority are added, as few as it needs,
//!   chosen by the rules of [`DryRun::victims`]. Otherwise kube-scheduler would evict for nothing: `/filter` would refuse
//!   the node afterwards.
//! - A node is left out if even that does not help, if it is not stored, or if there is no victim.
//! - Only pods on the node are named, since any other uid makes kube-scheduler give up the attempt. A pod that is
//!   not stored there is ignored unless it was sent in full.
//! - Disruption budgets are counted again, over the victims of the reply.
//! - While a pod waits for victims that were named earlier, only their node is offered: if the state still has them,
//!   it lags, and no further pods have to leave ([`crate::core::in_flight`]).

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use metrics::histogram;

use super::{
    context::{self, DecisionContext},
    decide::decidable,
    error::Error,
    verbs::{Answer, NO_POD, timed, written},
};
use crate::{
    core::{
        cycle::Cycle,
        in_flight::Victim,
        model::Pod,
        policy::Profile,
        preempt::{Candidate, DryRun},
        snapshot::{Object, Snapshot},
        work,
    },
    telemetry,
    wire::extender::{ExtenderPreemptionResult, MetaPod, MetaVictims, PreemptionArgs, Proposed},
};

const NO_PROPOSAL: &str = "the request has neither NodeNameToVictims nor NodeNameToMetaVictims";

/// Answers the question of a body, an `ExtenderPreemptionArgs` in JSON.
pub fn preempt(body: &Bytes, policy: Option<&str>, context: &DecisionContext) -> Answer {
    let args = match PreemptionArgs::parse(body) {
        Ok(args) => args,
        Err(error) => {
            return Answer { form: "none", body: Err(Error::BadRequest(error.to_string())), remembers: false };
        }
    };
    let form = match &args.proposed {
        Proposed::Pods(_) => "nodes",
        Proposed::Uids(_) => "names",
        Proposed::Absent => "none",
    };
    let policy = context::chosen(&context.view, policy).map(|chosen| chosen.pick_or_first(args.pod.as_ref()));
    let body = timed("PostFilter", policy, |policy| {
        // The reply has no place for an error, so each is one of the call.
        let pod = args.pod.as_ref().ok_or_else(|| Error::BadRequest(NO_POD.into()))?;
        decidable(pod)?;
        let left = match &args.proposed {
            Proposed::Absent => return Err(Error::BadRequest(NO_PROPOSAL.into())),
            Proposed::Pods(nodes) => sent_in_full(pod, nodes, context, policy?.profile()),
            Proposed::Uids(nodes) => sent_by_uid(pod, nodes, context, policy?.profile()),
        };
        written(&ExtenderPreemptionResult { node_name_to_meta_victims: left })
    });
    Answer { form, body, remembers: false }
}

type Proposals<T> = BTreeMap<String, Vec<T>>;
type Remaining = BTreeMap<String, MetaVictims>;

fn sent_by_uid(pod: &Pod, nodes: &Proposals<String>, context: &DecisionContext, profile: &Profile) -> Remaining {
    let snapshot = context.view.snapshot.asked_about(pod);
    examined(pod, nodes, &snapshot, context, profile, |running, uid| *running.uid == **uid)
}

/// Pods sent in full are the truth about the nodes that they are on.
fn sent_in_full(pod: &Pod, nodes: &Proposals<Pod>, context: &DecisionContext, profile: &Profile) -> Remaining {
    let snapshot = &context.view.snapshot;
    let mut sent = snapshot.asked_about(pod).into_owned();
    for (node, victims) in nodes.iter().filter(|(node, _)| snapshot.node(node).is_some()) {
        let there = victims.iter().filter(|victim| *victim.node_name == **node);
        for victim in there {
            sent.apply(Object::Pod(Box::new(victim.clone())));
        }
    }
    examined(pod, nodes, &sent, context, profile, Pod::is_same)
}

/// The remaining proposals, in the form of the reply; their victims are remembered. `is` tells if a pod on a node is a proposed one.
fn examined<T>(
    pod: &Pod,
    nodes: &Proposals<T>,
    snapshot: &Snapshot,
    context: &DecisionContext,
    profile: &Profile,
    is: impl Fn(&Pod, &T) -> bool,
) -> Remaining {
    histogram!(telemetry::NODES_EVALUATED).record(nodes.len() as f64);
    if !snapshot.may_preempt(pod) {
        return Remaining::new();
    }
    let awaited = context.in_flight.outstanding(pod, &context.view);
    let cycle = Cycle::prepare(profile, pod, snapshot);
    let dry_run = DryRun::new(profile.release, pod, snapshot, &cycle);
    let (mut left, mut named) = (Remaining::new(), BTreeMap::new());
    for (name, victims) in nodes.iter().filter(|(name, _)| awaited.as_ref().is_none_or(|node| **node == **name)) {
        let Some(node) = snapshot.node(name) else { continue };
        work::spend_on(node.pods.len().saturating_mul(1 + victims.len()));
        let is_proposed = |running: &&Arc<Pod>| victims.iter().any(|victim| is(running, victim));
        let proposed: Vec<Arc<Pod>> = node.pods.iter().filter(is_proposed).cloned().collect();
        let Some(candidate) = dry_run.accept(node, &proposed) else { continue };
        let Some(meta) = meta(&candidate) else { continue };
        let victim = |victim: &Arc<Pod>| Victim {
            pod: (victim.namespace.clone(), victim.name.clone()),
            uid: victim.uid.clone(),
            proposed: is_proposed(&victim),
        };
        named.insert(node.name().clone(), candidate.victims.iter().map(victim).collect());
        left.insert(name.clone(), meta);
    }
    context.in_flight.named(pod, named, &context.view);
    left
}

/// A candidate by uids; `None` where a victim has none, so that kube-scheduler could not find it.
fn meta(candidate: &Candidate) -> Option<MetaVictims> {
    let uid = |victim: &Arc<Pod>| (!victim.uid.is_empty()).then(|| MetaPod { uid: victim.uid.to_string() });
    let pods = candidate.victims.iter().map(uid).collect::<Option<_>>()?;
    Some(MetaVictims { pods, num_pdb_violations: candidate.pdb_violations as i64 })
}
