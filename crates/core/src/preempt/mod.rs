//! Preemption: the running pods that would have to leave, and their node, for a pod that fits nowhere.
//!
//! 1. *Candidates* are the nodes whose pods might be in the way: all but those with the verdict
//!    [`Verdict::UnschedulableAndUnresolvable`](super::verdict::Verdict).
//! 2. On each, a dry run ([`DryRun`]) finds the fewest and least important pods without which the pod fits.
//! 3. Of the nodes with victims the one where preemption does the least harm is chosen (`choice.rs`).
//!
//! Nothing is evicted here: an [`Attempt`] and a [`Preemption`] are proposals.
//!
//! Source: `pkg/scheduler/framework/plugins/defaultpreemption/default_preemption.go`; 1.34 also
//! `pkg/scheduler/framework/preemption/preemption.go`. Differences:
//!
//! | | 1.22 | 1.34 |
//! |---|---|---|
//! | a pod with a nominated node waits while there are, of lower priority, | pods being deleted | pods being deleted for preemption |
//! | victims stand | those that break a budget first, each group by importance | by importance |
//! | "the highest victim" by which nodes are compared is | the first, so one that breaks a budget if there is any | the most important |
//!
//! Where kube-scheduler draws a random number (the first node to try, one of several equal nodes), a seed decides here, by
//! [`cycle::tie_break`].

mod budgets;
mod choice;
mod post_filter;
mod victims;

use std::{collections::BTreeMap, sync::Arc};

pub use budgets::charges;
pub use victims::DryRun;

use super::{
    cycle::{self, Cycle, NO_NODES},
    extenders::ExtenderAnswers,
    model::{Name, Pod},
    node_info::NodeInfo,
    policy::{PreemptionLimits, Profile},
    rule::Release,
    snapshot::Snapshot,
    verdict::{Reason, Verdict},
};

/// The message for a node on which no eviction could help.
const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";
/// The message for a node without pods of lower priority, or on which none of them is in the way.
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

/// A node that would take the pod once its victims have left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The node's name.
    pub node: Name,
    /// The pods that would have to leave, at least one, in kube-scheduler's order. Some may be leaving already.
    pub victims: Vec<Arc<Pod>>,
    /// How many of them a disruption budget would not let go.
    pub pdb_violations: usize,
}

/// All that came out of one attempt at preemption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The nodes where preemption helps, those that break no disruption budget first.
    pub candidates: Vec<Candidate>,
    /// The best candidate's node.
    pub selected: Option<Name>,
    /// The reason why there is no candidate, in kube-scheduler 1.34's words if it has some; else the proposal.
    pub message: String,
    /// The end of the unschedulable pod's sentence; `None` where there is a candidate, or the release says nothing.
    pub note: Option<String>,
}

/// The preemption that kube-scheduler would carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preemption {
    /// The node to nominate the pod to.
    pub node: Name,
    /// The pods to evict from it; one that is [`terminating`](Pod::terminating) needs no further call.
    pub victims: Vec<Arc<Pod>>,
    /// How many of them a disruption budget would not let go.
    pub pdb_violations: usize,
    /// How many nodes were candidates.
    pub candidates: usize,
    /// Pods of lower priority that are nominated to the node, and whose nomination is to be cleared.
    pub nominations_to_clear: Vec<Arc<Pod>>,
}

/// The preemption that would make room for a pod which fits nowhere; `None` where there is none, or the pod may not
/// preempt, or needs not.
pub fn select(profile: &Profile, pod: &Pod, snapshot: &Snapshot, seed: u64) -> Option<Preemption> {
    let Attempt { candidates, selected, .. } = attempt(profile, pod, snapshot, seed);
    let (count, selected) = (candidates.len(), selected?);
    let best = candidates.into_iter().find(|candidate| candidate.node == selected)?;
    Some(Preemption {
        nominations_to_clear: superseded_nominations(pod, snapshot, &best.node),
        node: best.node,
        victims: best.victims,
        pdb_violations: best.pdb_violations,
        candidates: count,
    })
}

/// The pods of lower priority that are nominated to a node: they may not fit there any more once `pod` is too
/// (`getLowerPriorityNominatedPods`).
pub fn superseded_nominations(pod: &Pod, snapshot: &Snapshot, node: &str) -> Vec<Arc<Pod>> {
    let priority = snapshot.priority_of(pod);
    let lower = |other: &&Arc<Pod>| !other.is_same(pod) && snapshot.priority_of(other) < priority;
    snapshot.nominated_to(node).iter().filter(lower).cloned().collect()
}

/// Looks for room on every node. The same input gives the same answer.
pub fn attempt(profile: &Profile, pod: &Pod, snapshot: &Snapshot, seed: u64) -> Attempt {
    attempt_with(profile, pod, snapshot, seed, &ExtenderAnswers::default())
}

/// Like [`attempt`], with the answers of extenders: if only an extender rules a node out, evictions do not help there.
pub fn attempt_with(
    profile: &Profile,
    pod: &Pod,
    snapshot: &Snapshot,
    seed: u64,
    extenders: &ExtenderAnswers,
) -> Attempt {
    let snapshot = &*snapshot.asked_about(pod);
    let cycle = Cycle::prepare(profile, pod, snapshot);
    match candidates(profile, pod, snapshot, &cycle, seed, extenders) {
        Ok(candidates) => {
            let best = best(&candidates, pod, snapshot, seed);
            let proposal = |best: &Candidate| {
                let (pods, plural) = (best.victims.len(), if best.victims.len() == 1 { "" } else { "s" });
                format!("{}/{} would fit on {} without {pods} pod{plural}.", pod.namespace, pod.name, best.node)
            };
            let message = best.map(proposal).unwrap_or_default();
            let selected = best.map(|best| best.node.clone());
            Attempt { candidates, selected, message, note: None }
        }
        Err(message) => {
            let note = post_filter::note(profile, pod, snapshot, &cycle, &message);
            Attempt { candidates: Vec::new(), selected: None, message, note }
        }
    }
}

/// The candidate on whose node preemption does the least harm (`pickOneNodeForPreemption`).
pub fn best<'c>(candidates: &'c [Candidate], pod: &Pod, snapshot: &Snapshot, seed: u64) -> Option<&'c Candidate> {
    choice::best(candidates, pod, snapshot, seed)
}

/// All candidates, at least one, or why there is none.
fn candidates(
    profile: &Profile,
    pod: &Pod,
    snapshot: &Snapshot,
    cycle: &Cycle<'_, '_>,
    seed: u64,
    extenders: &ExtenderAnswers,
) -> Result<Vec<Candidate>, String> {
    let Some(limits) = profile.preemption else { return Err("preemption is turned off".into()) };
    if snapshot.node_count() == 0 {
        return Err(NO_NODES.into());
    }
    let mut potential = Vec::new();
    let mut nominated_is_unresolvable = false;
    for node in snapshot.nodes() {
        let ruled_out = || extenders.verdicts.contains_key(node.name()).then_some(true);
        let Some(unresolvable) = is_unresolvable(profile, cycle, node).or_else(ruled_out) else {
            return Err(format!("the pod fits on {} as it is", node.name()));
        };
        nominated_is_unresolvable |= unresolvable && *node.name() == pod.nominated_node_name;
        if !unresolvable {
            potential.push(node);
        }
    }
    eligible(profile.release, pod, snapshot, nominated_is_unresolvable)?;

    let dry_run = DryRun::new(profile.release, pod, snapshot, cycle);
    let limit = limits.candidates(potential.len());
    // Where all nodes are tried it does not matter where to begin.
    let start = if limit < potential.len() { cycle::tie_break(seed, pod, "") % potential.len() as u64 } else { 0 };
    let (before, after) = potential.split_at(start as usize);
    let (mut sparing, mut breaking) = (Vec::new(), Vec::new());
    let mut reasons: BTreeMap<Reason, usize> = BTreeMap::new();
    for node in after.iter().chain(before) {
        match dry_run.victims(node) {
            Ok(found) => {
                let list = if found.pdb_violations == 0 { &mut sparing } else { &mut breaking };
                if list.len() < limit {
                    list.push(found);
                }
                if !sparing.is_empty() && sparing.len() + breaking.len() >= limit {
                    break;
                }
            }
            Err(verdict) => verdict.reasons().iter().for_each(|reason| {
                *reasons.entry(reason.clone()).or_default() += 1;
            }),
        }
    }
    sparing.append(&mut breaking);
    if !sparing.is_empty() {
        return Ok(sparing);
    }
    let (all, unresolvable) = (snapshot.node_count(), snapshot.node_count() - potential.len());
    if unresolvable > 0 {
        *reasons.entry(NOT_HELPFUL.into()).or_default() += unresolvable;
    }
    let mut told: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    told.sort();
    Err(format!("0/{all} nodes are available: {}.", told.join(", ")))
}

/// `true` if no eviction could help on a node that does not fit; `None` if it fits. A profile that stops at the first failing
/// predicate looks at that one, and leaves the others to the dry run.
fn is_unresolvable(profile: &Profile, cycle: &Cycle<'_, '_>, node: &NodeInfo) -> Option<bool> {
    if !profile.always_check_all_predicates {
        return cycle.first_failure(node).map(|failure| failure.verdict.is_unresolvable());
    }
    let failing: Vec<Verdict> =
        cycle.verdicts(node).into_iter().map(|v| v.verdict).filter(|verdict| !verdict.fits()).collect();
    (!failing.is_empty()).then(|| failing.iter().any(Verdict::is_unresolvable))
}

/// `Ok` if the pod may preempt others (`PodEligibleToPreemptOthers`); else the reason in 1.34's words.
fn eligible(release: Release, pod: &Pod, snapshot: &Snapshot, nominated_is_unresolvable: bool) -> Result<(), String> {
    if !snapshot.may_preempt(pod) {
        return Err("not eligible due to preemptionPolicy=Never.".into());
    }
    let Some(node) = snapshot.node(&pod.nominated_node_name).filter(|_| !nominated_is_unresolvable) else {
        return Ok(());
    };
    let priority = snapshot.priority_of(pod);
    let any_leaving = !release.facts().waits_for_preempted_pods_only;
    let is_leaving = |other: &Pod| other.terminating && (any_leaving || other.preempted);
    if node.pods.iter().any(|other| is_leaving(other) && snapshot.priority_of(other) < priority) {
        return Err("not eligible due to a terminating pod on the nominated node.".into());
    }
    Ok(())
}

impl PreemptionLimits {
    /// How many candidates suffice where there are `nodes` to try (`calculateNumCandidates`).
    fn candidates(self, nodes: usize) -> usize {
        let share = nodes as i64 * self.min_candidate_nodes_percentage / 100;
        usize::try_from(share.max(self.min_candidate_nodes_absolute)).unwrap_or(0).min(nodes)
    }
}

#[cfg(test)]
mod tests;
