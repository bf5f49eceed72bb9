//! Policy diff: what would change if another policy, the *candidate*, were in force.
//!
//! There are two modes. A [`Comparison`] of *decisions* decides each pod alone, on the cluster that its decision was made on: it shows where each
//! decision would have gone otherwise, and no change of one decision has an effect on another one. [`in_turn`] places pods one after another on two
//! working copies of one cluster, one for each policy: what one pod takes the next ones do not find, so that the copies show how well the nodes are
//! packed in the end.
//!
//! Both decide as [`Batch`](crate::batch::Batch) does without preemption: nothing is evicted, and a pod for which room would have to be made counts as
//! unschedulable under either policy. Extenders are not asked.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    batch,
    model::{Name, Pod},
    policy::{Profile, Profiles},
    snapshot::Snapshot,
};

pub use self::{
    packing::{Fill, MedianPod, Packing},
    spread::{KEYS, Spread},
    why::{Ruling, Scored, Shift, Why},
};
use self::{
    side::Side,
    spread::{Domains, Tally},
    why::View,
};

mod packing;
mod side;
mod spread;
mod why;

/// The differences between two policies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Differences {
    /// Pods that were decided.
    pub total: usize,
    /// Those whose outcome is the same: the same node, or none under either policy.
    pub same: usize,
    /// Those that go to another node.
    pub moved: Vec<Change>,
    /// Those that fit nowhere any more.
    pub newly_unschedulable: Vec<Change>,
    /// Those that fitted nowhere before.
    pub newly_schedulable: Vec<Change>,
    /// How many of the changes each rule caused ([`Why::rule`]).
    pub by_reason: BTreeMap<String, usize>,
    /// How the pods are spread under both policies, by topology key.
    pub spread: BTreeMap<&'static str, Both<Spread>>,
    /// How the nodes are packed under both policies; only of pods placed [in turn](in_turn).
    pub packing: Option<Both<Packing>>,
}

/// A value under the policy in force, and under the candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Both<T> {
    /// Under the policy in force.
    pub before: T,
    /// Under the candidate.
    pub after: T,
}

/// A pod whose outcome differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Its place, from 0, among the pods that were decided.
    pub index: usize,
    /// Its node under the policy in force.
    pub from: Option<Name>,
    /// Its node under the candidate.
    pub to: Option<Name>,
    /// The main cause.
    pub why: Why,
    /// Of a pod that fits nowhere under one of the two: why, in kube-scheduler's words.
    pub sentence: Option<String>,
}

/// A comparison under way.
pub struct Comparison {
    candidate: Profiles,
    before: Side,
    after: Side,
    /// The most changes of each kind that are listed.
    limit: usize,
    differences: Differences,
    domains: Domains,
    tallies: Both<Tally>,
    counts: [usize; 3],
}

impl Comparison {
    /// A comparison with a candidate. Of each kind of change at most `limit` are listed; all are counted.
    pub fn new(candidate: Profiles, limit: usize) -> Self {
        Self {
            candidate,
            before: Side::default(),
            after: Side::default(),
            limit,
            differences: Differences::default(),
            domains: Domains::default(),
            tallies: Both::default(),
            counts: [0; 3],
        }
    }

    /// Goes on with a cluster: the pods that follow are decided on it. Little is worked out again where it differs little from the one before.
    pub fn at(&mut self, snapshot: &Snapshot) {
        let is_known = Arc::ptr_eq(snapshot.directory(), self.before.snapshot().directory());
        if !is_known || self.differences.total == 0 {
            self.domains = Domains::of(snapshot);
        }
        self.before.begin(snapshot.clone());
        self.after.begin(snapshot.clone());
    }

    /// Decides a pod alone, as if it were on no node, under the policy that was in force and under the candidate.
    pub fn decide(&mut self, pod: &Arc<Pod>, in_force: &Profiles, seed: u64) {
        let there = self.before.snapshot().pod(&pod.namespace, &pod.name).filter(|pod| pod.is_assigned());
        if there.is_none() {
            self.compare(pod, in_force, seed, false);
            return;
        }
        let whole = self.before.snapshot().clone();
        let without = whole.without_pod(&pod.namespace, &pod.name);
        self.before.begin(without.clone());
        self.after.begin(without);
        self.compare(pod, in_force, seed, false);
        self.before.begin(whole.clone());
        self.after.begin(whole);
    }

    /// The differences, and how many changes there are: moved, newly unschedulable and newly schedulable.
    pub fn finish(self) -> (Differences, [usize; 3]) {
        let Self { mut differences, domains, tallies, counts, .. } = self;
        let mut after = tallies.after.over(&domains);
        for (key, before) in tallies.before.over(&domains) {
            let after = after.remove(key).unwrap_or_default();
            differences.spread.insert(key, Both { before, after });
        }
        for (key, after) in after {
            differences.spread.insert(key, Both { before: Spread::default(), after });
        }
        (differences, counts)
    }

    /// Decides a pod on both working copies; puts it there too, if `puts`.
    fn compare(&mut self, pod: &Arc<Pod>, in_force: &Profiles, seed: u64, puts: bool) {
        let index = self.differences.total;
        self.differences.total += 1;
        let (old, new) =
            (in_force.of(&pod.spec.scheduler_name).ok(), self.candidate.of(&pod.spec.scheduler_name).ok().cloned());
        let from = old.and_then(|profile| self.before.look(profile, pod, seed));
        let is_same = !puts && old.is_some_and(|old| new.as_ref().is_some_and(|new| Arc::ptr_eq(old, new)));
        let to =
            if is_same { from.clone() } else { new.as_ref().and_then(|profile| self.after.look(profile, pod, seed)) };
        count(&mut self.tallies.before, &self.before, from.as_ref());
        count(&mut self.tallies.after, if is_same { &self.before } else { &self.after }, to.as_ref());
        if from == to {
            self.differences.same += 1;
        } else {
            self.note(pod, index, (old, new.as_ref()), (from.as_ref(), to.as_ref()));
        }
        if puts {
            if let (Some(profile), Some(node)) = (old, from) {
                self.before.put(profile, pod, node);
            }
            if let (Some(profile), Some(node)) = (new, to) {
                self.after.put(&profile, pod, node);
            }
        }
    }

    /// Notes a pod whose outcome differs.
    fn note(
        &mut self,
        pod: &Arc<Pod>,
        index: usize,
        profiles: (Option<&Arc<Profile>>, Option<&Arc<Profile>>),
        (from, to): (Option<&Name>, Option<&Name>),
    ) {
        let (why, sentence) = match profiles {
            (Some(old), Some(new)) => {
                let why = self.why(pod, (old, new), (from, to));
                let sentence = match (from, to) {
                    (None, _) => Some(self.before.sentence(old, pod)),
                    (_, None) => Some(self.after.sentence(new, pod)),
                    _ => None,
                };
                (why, sentence)
            }
            (_, new) => (Why::NoProfile(new.is_none()), None),
        };
        *self.differences.by_reason.entry(why.rule().to_owned()).or_default() += 1;
        let (kind, list) = match (from, to) {
            (Some(_), Some(_)) => (0, &mut self.differences.moved),
            (_, None) => (1, &mut self.differences.newly_unschedulable),
            (None, _) => (2, &mut self.differences.newly_schedulable),
        };
        self.counts[kind] += 1;
        if list.len() < self.limit {
            let (pod, from, to) = (pod.clone(), from.cloned(), to.cloned());
            list.push(Change { pod, index, from, to, why, sentence });
        }
    }

    /// The main cause of a difference.
    fn why(
        &mut self,
        pod: &Arc<Pod>,
        (old, new): (&Arc<Profile>, &Arc<Profile>),
        (from, to): (Option<&Name>, Option<&Name>),
    ) -> Why {
        let ruling = |side: &Side, profile: &Profile, node: &Name| {
            side.failure(profile, pod, node).map(|failure| Ruling {
                predicate: failure.predicate.name.to_owned(),
                node: node.clone(),
                reasons: failure.verdict.reasons().to_vec(),
            })
        };
        let from_after = from.and_then(|from| self.after.standing(new, pod, from));
        if let (Some(from), None) = (from, &from_after)
            && let Some(ruling) = ruling(&self.after, new, from)
        {
            return Why::Rejected(ruling);
        }
        let to_before = to.and_then(|to| self.before.standing(old, pod, to));
        if let (Some(to), None) = (to, &to_before)
            && let Some(ruling) = ruling(&self.before, old, to)
        {
            return Why::Admitted(ruling);
        }
        let from_before = from.and_then(|from| self.before.standing(old, pod, from));
        let to_after = to.and_then(|to| self.after.standing(new, pod, to));
        match (from_before, to_before, from_after, to_after) {
            (Some(from_before), Some(to_before), Some(from_after), Some(to_after)) => Why::of_scores(
                &View { profile: old, from: from_before, to: to_before },
                &View { profile: new, from: from_after, to: to_after },
            ),
            _ => Why::Tie,
        }
    }
}

fn count(tally: &mut Tally, side: &Side, node: Option<&Name>) {
    if let Some(info) = node.and_then(|node| side.snapshot().node(node)) {
        tally.count(info.labels());
    }
}

/// Places pods that are on no node one after another, under the policy in force and under the candidate, each on its own working copy of the cluster:
/// by descending priority, and among equals as they come. A change names the pod by its place in `pods`.
pub fn in_turn(
    snapshot: &Snapshot,
    pods: &[Arc<Pod>],
    in_force: &Profiles,
    candidate: Profiles,
    (seed, limit): (u64, usize),
) -> (Differences, [usize; 3]) {
    let mut comparison = Comparison::new(candidate, limit);
    comparison.at(snapshot);
    let mut order: Vec<(usize, &Arc<Pod>)> = pods.iter().enumerate().collect();
    batch::in_order(&mut order, snapshot, |(_, pod)| pod);
    for (_, pod) in &order {
        comparison.compare(pod, in_force, seed, true);
    }
    let median = MedianPod::of(snapshot, pods.iter().map(|pod| &**pod));
    let before = Packing::of(comparison.before.snapshot(), median);
    let after = Packing::of(comparison.after.snapshot(), median);
    let (mut differences, counts) = comparison.finish();
    differences.packing = Some(Both { before, after });
    let lists = [&mut differences.moved, &mut differences.newly_unschedulable, &mut differences.newly_schedulable];
    for change in lists.into_iter().flatten() {
        change.index = order[change.index].0;
    }
    (differences, counts)
}

#[cfg(test)]
mod tests;
