//! `/preempt`: kube-scheduler's proposed victims, checked by Podberth's own predicates.
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

use axum::{extract::State, response::Response};
use metrics::histogram;

use super::{
    cluster::ClusterName,
    context::{FreshnessQuery, PolicyQuery},
    error::{ApiError, Result},
    extract::{JsonBytes, Query},
    openapi::DecisionErrors,
    state::AppState,
    verbs::{NO_POD, measured, timed, written},
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
    service::{
        context::{self, DecisionContext},
        decide::decidable,
    },
    telemetry,
    wire::extender::{
        ExtenderPreemptionArgs, ExtenderPreemptionResult, MetaPod, MetaVictims, PreemptionArgs, Proposed,
    },
};

const NO_PROPOSAL: &str = "the request has neither NodeNameToVictims nor NodeNameToMetaVictims";

/// Choose the pods to evict for a pod, node by node
///
/// kube-scheduler's extender verb `preempt`. The victims that kube-scheduler proposes on a node are kept. If the pod does not fit by the policy
/// without them, further pods of lower priority are added, as few as it needs. Nodes that cannot take the pod even then are left out. The reply
/// names victims by uid, for both forms of the request. Nothing durable is changed: kube-scheduler evicts. While the pod waits for victims that were
/// named earlier on its nominated node, the reply has only that node.
#[utoipa::path(post, path = "/preempt", operation_id = "preemptPods", tag = "extender", params(PolicyQuery, FreshnessQuery),
    request_body(content = ExtenderPreemptionArgs, example = json!({
        "Pod": {"metadata": {"name": "web", "namespace": "default"},
            "spec": {"priority": 1000, "containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}},
        "NodeNameToMetaVictims": {"node-a": {"Pods": [{"UID": "54c1a8b2-0001"}], "NumPDBViolations": 0}}
    })),
    responses((status = 200, description = "The victims on each node that remains.", body = ExtenderPreemptionResult),
        DecisionErrors))]
pub async fn preempt(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let context = context::stand(&state, &cluster, fresh.fresh()).await?;
    context.is_there()?;
    measured("preempt", context, body, move |body, context| {
        let args = match PreemptionArgs::parse(body) {
            Ok(args) => args,
            Err(error) => return ("none", Err(ApiError::BadRequest(error.to_string()))),
        };
        let form = match &args.proposed {
            Proposed::Pods(_) => "nodes",
            Proposed::Uids(_) => "names",
            Proposed::Absent => "none",
        };
        let policy = context::chosen(&context.view, query.policy.as_deref())
            .map(|chosen| chosen.pick_or_first(args.pod.as_ref()));
        let answer = timed("PostFilter", policy, |policy| {
            // The reply has no place for an error, so here each is an HTTP one.
            let pod = args.pod.as_ref().ok_or_else(|| ApiError::BadRequest(NO_POD.into()))?;
            decidable(pod)?;
            let left = match &args.proposed {
                Proposed::Absent => return Err(ApiError::BadRequest(NO_PROPOSAL.into())),
                Proposed::Pods(nodes) => sent_in_full(pod, nodes, context, policy?.profile()),
                Proposed::Uids(nodes) => sent_by_uid(pod, nodes, context, policy?.profile()),
            };
            written(&ExtenderPreemptionResult { node_name_to_meta_victims: left })
        });
        (form, answer)
    })
    .await
}

type Proposals<T> = BTreeMap<String, Vec<T>>;
type Answer = BTreeMap<String, MetaVictims>;

fn sent_by_uid(pod: &Pod, nodes: &Proposals<String>, context: &DecisionContext, profile: &Profile) -> Answer {
    let snapshot = context.view.snapshot.asked_about(pod);
    examined(pod, nodes, &snapshot, context, profile, |running, uid| *running.uid == **uid)
}

/// Pods sent in full are the truth about the nodes that they are on.
fn sent_in_full(pod: &Pod, nodes: &Proposals<Pod>, context: &DecisionContext, profile: &Profile) -> Answer {
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
) -> Answer {
    histogram!(telemetry::NODES_EVALUATED).record(nodes.len() as f64);
    if !snapshot.may_preempt(pod) {
        return Answer::new();
    }
    let awaited = context.in_flight.outstanding(pod, &context.view);
    let cycle = Cycle::prepare(profile, pod, snapshot);
    let dry_run = DryRun::new(profile.release, pod, snapshot, &cycle);
    let (mut left, mut named) = (Answer::new(), BTreeMap::new());
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
