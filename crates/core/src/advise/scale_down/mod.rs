//! Scale-down: nodes that the cluster can do without, and what keeps the others.
//!
//! [`plan`] does what one loop of the cluster autoscaler does. Candidates are examined one by one in their [order]: [eligibility], the pods
//! ([drainability]), a place for each pod that has to move ([picture]). A node that passes all this is unneeded, and the nodes after it are examined as
//! if it were gone. Which of the unneeded nodes may go now is decided by [limits], and which of those go in this round by [parallelism]. Where the
//! pods of the nodes that go would be placed by the scheduler is worked out at last ([moves]).
//!
//! Source: `cluster-autoscaler/core/scaledown/planner/planner.go`, version 1.36.1.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use self::{
    budgets::Budgets,
    drainability::{Drain, PodsOfNode},
    picture::Picture,
};
pub use self::{
    drainability::{BlockingPod, PodReason},
    eligibility::is_ready,
    picture::Move,
    reason::Reason,
    utilization::Utilization,
};
use super::{
    Advice,
    groups::Groups,
    plan::{AdvicePlan, StepKind, has_to_move},
};
use crate::{
    model::{Name, Node, Pod},
    policy::Profiles,
    snapshot::Snapshot,
    work,
};

mod budgets;
mod drainability;
mod eligibility;
mod limits;
mod moves;
mod options;
mod order;
mod parallelism;
mod pdqsort;
mod picture;
mod reason;
mod utilization;

pub use options::Options;

/// Nanoseconds in a second.
pub(crate) const SECOND: i64 = 1_000_000_000;

/// The taint of a node whose deletion has begun; its value is the time, in seconds since 1970.
pub const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// A drainability rule as `GET /plugins` lists it.
macro_rules! drainability {
    ($name:literal, $file:literal) => {
        Advice { name: $name, kind: "DrainabilityRule", source: include_str!($file) }
    };
}

/// The rules of this room: those for pods in the order in which they are asked, and those for nodes.
pub static ALL: &[Advice] = &[
    drainability!("Mirror", "drainability/mirror.rs"),
    drainability!("LongTerminating", "drainability/long_terminating.rs"),
    drainability!("ReplicaCount", "drainability/replica_count.rs"),
    drainability!("DaemonSet", "drainability/daemon_set.rs"),
    drainability!("SafeToEvict", "drainability/safe_to_evict.rs"),
    drainability!("Terminal", "drainability/terminal.rs"),
    drainability!("OnCompletion", "drainability/on_completion.rs"),
    drainability!("Replicated", "drainability/replicated.rs"),
    drainability!("System", "drainability/system.rs"),
    drainability!("NotSafeToEvict", "drainability/not_safe_to_evict.rs"),
    drainability!("LocalStorage", "drainability/local_storage.rs"),
    drainability!("PDB", "drainability/pdb.rs"),
    Advice { name: "CandidateOrder", kind: "ScaleDownRule", source: include_str!("order.rs") },
    Advice { name: "Eligibility", kind: "ScaleDownRule", source: include_str!("eligibility.rs") },
    Advice { name: "Utilization", kind: "ScaleDownRule", source: include_str!("utilization.rs") },
    Advice { name: "UnneededTimeAndLimits", kind: "ScaleDownRule", source: include_str!("limits.rs") },
    Advice { name: "Parallelism", kind: "ScaleDownRule", source: include_str!("parallelism.rs") },
];

/// Memory of the loop before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Nodes that were unneeded, and since when (nanoseconds since 1970).
    pub unneeded_since: BTreeMap<Name, i64>,
    /// Nodes that were found unremovable, and until when they are not looked at again.
    pub unremovable_until: BTreeMap<Name, i64>,
    /// Nodes whose deletion is under way; `true` for those that are drained.
    pub deleting: BTreeMap<Name, bool>,
}

/// All that an answer follows from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The cluster.
    pub snapshot: &'a Snapshot,
    /// The groups that may become smaller.
    pub groups: &'a Groups,
    /// The profiles that place pods.
    pub profiles: &'a Profiles,
    /// Options of the cluster.
    pub options: &'a Options,
    /// The loop before.
    pub state: &'a State,
    /// The nodes in the cluster's order; in the order of their names where empty.
    pub node_order: &'a [Name],
    /// `true` if pods that have ended hold their place until they are deleted.
    pub counts_ended_pods: bool,
    /// The time, in nanoseconds since 1970.
    pub now: i64,
}

/// Findings about a node.
#[derive(Clone, Debug)]
pub struct NodeAnswer {
    /// The node.
    pub name: Name,
    /// Its group.
    pub group: Option<Name>,
    /// `true` if it was to be examined.
    pub candidate: bool,
    /// How full it is, where that was measured.
    pub utilization: Option<Utilization>,
    /// `true` if the cluster can do without it.
    pub unneeded: bool,
    /// Since when it is unneeded.
    pub unneeded_since: Option<i64>,
    /// When it has been unneeded for long enough.
    pub removable_at: Option<i64>,
    /// `true` if its pods cannot all be evicted at once within their budgets.
    pub risky: bool,
    /// Where its pods would go if the nodes found before were gone.
    pub moves: Vec<Move>,
    /// The pods that are waited for.
    pub on_completion: Vec<Arc<Pod>>,
    /// Why it does not go now.
    pub reason: Option<Reason>,
    /// The pod that keeps it, or that fits nowhere else.
    pub blocking: Option<BlockingPod>,
    /// The pod that fits nowhere else.
    pub homeless: Option<Arc<Pod>>,
}

/// The nodes that go, and where their pods do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// The node.
    pub node: Name,
    /// The places of its pods, as the scheduler would choose them after all removals.
    pub moves: Vec<Move>,
}

/// Nodes without pods that have to move, and nodes with such pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Nothing has to move.
    pub empty: Vec<Name>,
    /// Pods have to move.
    pub drain: Vec<Name>,
}

/// The answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// All nodes, in the cluster's order.
    pub nodes: Vec<NodeAnswer>,
    /// Candidates in the order in which they are examined.
    pub order: Vec<Name>,
    /// Nodes that may go now.
    pub removable: Split,
    /// Of those, the ones that go in this round.
    pub delete: Split,
    /// These nodes with the places of their pods.
    pub removals: Vec<Removal>,
    /// Memory for the next loop.
    pub state: State,
}

impl Answer {
    /// The steps: the nodes that go in this round are cordoned, their pods move, and they are deleted. Expendable pods go without a place.
    pub fn plan(&self, snapshot: &Snapshot, groups: &Groups) -> AdvicePlan {
        let told: BTreeMap<&Name, &NodeAnswer> = self.nodes.iter().map(|node| (&node.name, node)).collect();
        let mut sizes: BTreeMap<&Name, u32> = groups.all().iter().map(|group| (&group.id, group.target)).collect();
        let mut steps = Vec::new();
        for Removal { node, moves } in &self.removals {
            let Some(group) = groups.of(node) else { continue };
            let why = told.get(node).and_then(|node| node.utilization.as_ref()).map_or_else(
                || "it is not needed".to_owned(),
                |of| format!("it is not needed: {:.0} % of its {} is asked for", of.value * 100.0, of.resource),
            );
            steps.push(StepKind::Cordon { node: node.clone() }.because(&*why));
            let because = |one: StepKind| one.because(format!("node {node} is not needed"));
            steps.extend(moves.iter().map(|one| because(StepKind::Move { pod: one.pod.clone(), to: one.to.clone() })));
            let moved: HashSet<(&str, &str)> = moves.iter().map(|one| (&*one.pod.namespace, &*one.pod.name)).collect();
            let there = snapshot.node(node).into_iter().flat_map(|info| &info.pods);
            let rest = there
                .filter(|pod| has_to_move(pod) && !pod.terminating && !moved.contains(&(&*pod.namespace, &*pod.name)));
            steps.extend(rest.map(|pod| because(StepKind::Evict { pod: pod.clone() })));
            let size = sizes.entry(&group.id).or_default();
            *size = size.saturating_sub(1);
            steps.push(StepKind::DeleteNode { node: node.clone(), group: group.id.clone(), to: *size }.because(why));
        }
        AdvicePlan { revision: snapshot.revision, steps }
    }
}

/// A node that the cluster can do without.
struct Unneeded {
    /// Its place in the answer.
    at: usize,
    node: Arc<Node>,
    group: usize,
    to_move: Vec<Arc<Pod>>,
    on_completion: Vec<Arc<Pod>>,
    risky: bool,
    since: i64,
    threshold: i64,
    reason: Option<Reason>,
}

impl Unneeded {
    fn needs_drain(&self) -> bool {
        !self.to_move.is_empty()
    }
}

/// One round of scale-down.
pub fn plan(input: &Input<'_>) -> Answer {
    let names = node_names(input);
    let first = Picture::new(input, names.clone());
    let mut answer = Answer { nodes: names.iter().map(|name| blank(name, input)).collect(), ..Answer::default() };
    let mut candidates: Vec<Name> =
        answer.nodes.iter().filter(|node| node.candidate).map(|node| node.name.clone()).collect();
    order::sort(&mut candidates, &first, input);
    let places: BTreeMap<&Name, usize> = names.iter().zip(0..).collect();
    let mut unneeded = search(&candidates, &places, first.clone(), input, &mut answer);
    let may_go = limits::apply(&mut unneeded, input);
    for node in &unneeded {
        let told = &mut answer.nodes[node.at];
        told.reason = node.reason;
        told.unneeded_since = Some(node.since);
        told.removable_at = Some(node.since.saturating_add(node.threshold));
        answer.state.unneeded_since.insert(told.name.clone(), node.since);
    }
    let (free, busy): (Vec<usize>, Vec<usize>) = may_go.iter().partition(|at| !unneeded[**at].needs_drain());
    answer.removable = Split { empty: named(&free, &unneeded), drain: named(&busy, &unneeded) };
    let mut may_go = may_go;
    loop {
        let (empty, drain) = parallelism::crop(&may_go, &unneeded, input);
        let going: Vec<&Unneeded> = empty.iter().chain(&drain).map(|at| &unneeded[*at]).collect();
        match moves::places(&going, &first) {
            Ok(removals) => {
                answer.removals = removals;
                answer.delete = Split { empty: named(&empty, &unneeded), drain: named(&drain, &unneeded) };
                break;
            }
            Err((stays, pod)) => {
                let node = going[stays];
                let told = &mut answer.nodes[node.at];
                (told.reason, told.homeless) = (Some(Reason::NoPlaceToMovePods), Some(pod));
                let at = node.at;
                may_go.retain(|other| unneeded[*other].at != at);
            }
        }
    }
    answer.order = candidates;
    answer.state.deleting.clone_from(&input.state.deleting);
    answer
}

fn named(of: &[usize], unneeded: &[Unneeded]) -> Vec<Name> {
    of.iter().map(|at| unneeded[*at].node.name.clone()).collect()
}

/// The nodes in the cluster's order.
fn node_names(input: &Input<'_>) -> Vec<Name> {
    let mut seen = std::collections::HashSet::new();
    let ordered = input.node_order.iter().chain(input.snapshot.nodes().map(|info| info.name()));
    ordered.filter(|name| input.snapshot.node(name).is_some() && seen.insert((*name).clone())).cloned().collect()
}

/// A node of which only its part in the search is known.
fn blank(name: &Name, input: &Input<'_>) -> NodeAnswer {
    let deleting = input.state.deleting.contains_key(name).then_some(Reason::CurrentlyBeingDeleted);
    let reason = eligibility::kept_out(name, input).or(deleting);
    NodeAnswer {
        name: name.clone(),
        group: input.groups.of(name).map(|group| group.id.clone()),
        candidate: reason.is_none(),
        utilization: None,
        unneeded: false,
        unneeded_since: None,
        removable_at: None,
        risky: false,
        moves: Vec::new(),
        on_completion: Vec::new(),
        reason,
        blocking: None,
        homeless: None,
    }
}

/// Examines the candidates one by one.
fn search(
    candidates: &[Name],
    places: &BTreeMap<&Name, usize>,
    mut picture: Picture,
    input: &Input<'_>,
    answer: &mut Answer,
) -> Vec<Unneeded> {
    let mut eligible = Vec::new();
    for name in candidates {
        let (Some(at), Some(info)) = (places.get(name), input.snapshot.node(name)) else { continue };
        let Some(group) = input.groups.index_of(name) else { continue };
        let pods = picture.pods_of(name);
        work::spend_on(1 + pods.len());
        let (reason, utilization) = eligibility::judge(&info.node, &input.groups.all()[group], &pods, input);
        let told = &mut answer.nodes[*at];
        told.utilization = utilization;
        told.reason = reason;
        if reason == Some(Reason::RecentlyUnremovable)
            && let Some(until) = input.state.unremovable_until.get(name)
        {
            answer.state.unremovable_until.insert(name.clone(), *until);
        }
        if reason.is_none() {
            eligible.push((*at, info.node.clone(), group));
        }
    }
    let mut budgets = Budgets::of(input.snapshot);
    let mut unneeded: Vec<Unneeded> = Vec::new();
    let (mut counted, most) = (0, input.options.most_unneeded(input.state.unneeded_since.len()));
    for (at, node, group) in eligible {
        if counted >= most {
            break;
        }
        let told = &mut answer.nodes[at];
        let pods = picture.pods_of(&node.name);
        let drain = Drain { snapshot: Some(input.snapshot), budgets: &budgets, options: input.options, now: input.now };
        let reason = match drain.sort(&pods) {
            Err(blocking) => {
                told.blocking = Some(blocking);
                Reason::BlockedByPod
            }
            Ok(PodsOfNode { to_move, on_completion }) => match picture.remove(&node.name, &to_move) {
                Err(pod) => {
                    told.homeless = Some(pod);
                    Reason::NoPlaceToMovePods
                }
                Ok(moves) => {
                    told.unneeded = true;
                    told.risky = !budgets.allow_at_once(&to_move);
                    told.moves = moves.into_iter().filter(|one| picture.was_there(&one.pod)).collect();
                    told.on_completion.clone_from(&on_completion);
                    budgets.use_up(&to_move);
                    let of_group = &input.groups.all()[group];
                    counted += usize::from(!of_group.zero_or_max);
                    unneeded.push(Unneeded {
                        at,
                        group,
                        to_move,
                        on_completion,
                        risky: told.risky,
                        since: input.state.unneeded_since.get(&node.name).copied().unwrap_or(input.now),
                        threshold: limits::threshold(&node, of_group, input),
                        reason: None,
                        node,
                    });
                    continue;
                }
            },
        };
        told.reason = Some(reason);
        let until = input.now.saturating_add(input.options.unremovable_node_recheck_timeout);
        answer.state.unremovable_until.insert(node.name.clone(), until);
    }
    unneeded
}

#[cfg(test)]
mod tests;
