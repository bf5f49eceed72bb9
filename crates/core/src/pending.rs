//! Pods that wait for a node, in groups that wait for equal reasons.
//!
//! Pods with equal demands are judged once. Pods are of one group if the same reasons keep them from nodes, however many nodes each reason
//! rules out: copies of one workload and others like it then are one line.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    batch::{class_key, gated},
    cycle::{Cycle, unschedulable_message},
    model::{Name, Pod, VolumeSource},
    policy::Profiles,
    snapshot::Snapshot,
    verdict::Reason,
    work,
};

/// Pods of a group that are named.
const NAMED: usize = 20;

/// Classes that a pod is compared with: more only differ where the key of a class does not look.
const COMPARED: usize = 64;

/// Pods that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// How many there are.
    pub pods: usize,
    /// Those that were not judged, since there are too many with different demands.
    pub unjudged: usize,
    /// The groups, the largest first.
    pub groups: Vec<Group>,
}

/// Pods that wait for equal reasons. Numbers of nodes are those of the pod for which they are largest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// How many there are.
    pub count: usize,
    /// The creation of the oldest, in nanoseconds since 1970; `None` if none tells.
    pub oldest: Option<i64>,
    /// How many nodes each reason rules out. A node counts for the reasons of its first failing predicate, or of all where the profile checks all.
    pub reasons: BTreeMap<Reason, usize>,
    /// How many nodes fit: above 0 they wait for a scheduler alone.
    pub fitting: usize,
    /// How many nodes eviction might make fit.
    pub resolvable: usize,
    /// kube-scheduler's sentence for the oldest; for a pod that fits, how many nodes do.
    pub message: String,
    /// The oldest pods, the oldest first.
    pub pods: Vec<Arc<Pod>>,
}

/// `true` if a pod is on no node, has not ended and is not being deleted.
pub fn is_pending(pod: &Pod) -> bool {
    !pod.is_assigned() && !pod.terminal && !pod.terminating
}

/// The pods that wait in a cluster, or in one namespace of it, under the profile of each. At most `most` pods with different demands are judged,
/// those with the most pods like them first.
pub fn pending(profiles: &Profiles, snapshot: &Snapshot, namespace: Option<&Name>, most: usize) -> Pending {
    let is_meant = |pod: &&Arc<Pod>| is_pending(pod) && namespace.is_none_or(|namespace| pod.namespace == *namespace);
    work::spend_on(snapshot.pod_count() / 16);
    let mut classes = classes(snapshot.pods().filter(is_meant));
    let pods = classes.iter().map(Vec::len).sum();
    let unjudged = classes.split_off(classes.len().min(most)).iter().map(Vec::len).sum();
    let mut groups: BTreeMap<(bool, BTreeSet<Reason>), Group> = BTreeMap::new();
    for class in classes {
        let Some(pod) = class.first() else { continue };
        let judged = judged(profiles, snapshot, pod);
        let key = (judged.fitting > 0, judged.reasons.keys().cloned().collect());
        groups.entry(key).or_default().take(judged, class);
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by(|one, other| (Reverse(one.count), &one.message).cmp(&(Reverse(other.count), &other.message)));
    Pending { pods, unjudged, groups }
}

/// A pod's place in order of age.
fn age(pod: &Pod) -> (bool, Option<i64>, &Name, &Name) {
    (pod.created.is_none(), pod.created, &pod.namespace, &pod.name)
}

/// The pods by their demands, each class with the oldest first; the largest class first.
fn classes<'s>(pods: impl Iterator<Item = &'s Arc<Pod>>) -> Vec<Vec<Arc<Pod>>> {
    let mut classes: Vec<Vec<Arc<Pod>>> = Vec::new();
    let mut by_key: HashMap<u64, Vec<usize>> = HashMap::new();
    for pod in pods {
        let candidates = by_key.entry(class_key(pod)).or_default();
        work::spend_on(1 + candidates.len().min(COMPARED));
        // A claim that is named after its pod is no other pod's.
        let is_alone = pod.volumes.iter().any(|volume| volume.source == VolumeSource::Ephemeral);
        let found = candidates.iter().rev().take(COMPARED).find(|class| !is_alone && classes[**class][0].is_like(pod));
        if let Some(class) = found {
            classes[*class].push(pod.clone());
        } else {
            candidates.push(classes.len());
            classes.push(vec![pod.clone()]);
        }
    }
    for class in &mut classes {
        class.sort_by(|one, other| age(one).cmp(&age(other)));
    }
    classes.sort_by(|one, other| (Reverse(one.len()), age(&one[0])).cmp(&(Reverse(other.len()), age(&other[0]))));
    classes
}

/// A group without pods: why this pod waits.
fn judged(profiles: &Profiles, snapshot: &Snapshot, pod: &Pod) -> Group {
    let nodes = snapshot.node_count();
    let everywhere = |reason: String| Group {
        reasons: [(Reason::from(reason.clone()), nodes)].into(),
        message: reason,
        ..Group::default()
    };
    if let Some(excess) = &pod.excess {
        return everywhere(format!("the pod asks for too much to be decided on: {excess}"));
    }
    if !pod.spec.scheduling_gates.is_empty() {
        return everywhere(gated(pod));
    }
    let profile = match profiles.of(&pod.spec.scheduler_name) {
        Ok(profile) => profile,
        Err(error) => return everywhere(error.to_string()),
    };
    let cycle = Cycle::prepare(profile, pod, snapshot);
    let mut group = Group::default();
    let fitting = cycle.parted(&snapshot.node_set(), |node, failure| {
        group.resolvable += usize::from(!failure.verdict.is_unresolvable());
        let told = match cycle.untried(node.name()) {
            Some(reason) => vec![reason],
            None if profile.always_check_all_predicates => cycle.reasons(node).unwrap_or_default(),
            None => failure.verdict.reasons().to_vec(),
        };
        for reason in told {
            *group.reasons.entry(reason).or_default() += 1;
        }
    });
    group.fitting = fitting.len();
    group.message = if fitting.is_empty() {
        let rejection = cycle.rejection();
        unschedulable_message(profile.release, nodes, &group.reasons, rejection.as_ref().map(|r| &r.verdict))
    } else {
        group.reasons.clear();
        format!("{}/{nodes} nodes are available.", fitting.len())
    };
    group
}

impl Group {
    /// Takes in the pods of a class, the oldest first, and why they wait.
    fn take(&mut self, judged: Group, pods: Vec<Arc<Pod>>) {
        let is_oldest = match (self.pods.first(), pods.first()) {
            (Some(mine), Some(theirs)) => age(theirs) < age(mine),
            (mine, _) => mine.is_none(),
        };
        if is_oldest {
            self.message = judged.message;
            self.oldest = pods.first().and_then(|pod| pod.created);
        }
        self.count += pods.len();
        self.fitting = self.fitting.max(judged.fitting);
        self.resolvable = self.resolvable.max(judged.resolvable);
        for (reason, nodes) in judged.reasons {
            let most = self.reasons.entry(reason).or_default();
            *most = nodes.max(*most);
        }
        self.pods.extend(pods.into_iter().take(NAMED));
        self.pods.sort_by(|one, other| age(one).cmp(&age(other)));
        self.pods.truncate(NAMED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cycle::decide,
        model::Effect,
        policy::Policy,
        testing::{cluster, node, pod},
    };

    fn profiles() -> Profiles {
        Arc::new(Policy::default().compile().expect("the default compiles")).into()
    }

    fn told(pending: &Pending) -> Vec<(usize, usize, usize, &str)> {
        pending.groups.iter().map(|of| (of.count, of.fitting, of.resolvable, &*of.message)).collect()
    }

    #[test]
    fn pods_that_wait_for_equal_reasons_are_one_group() {
        let taint = |name: &str| node(name).cpu("9").taint("gpu", "", Effect::NoSchedule);
        let mut objects = vec![node("a").cpu("2").into(), node("b").cpu("4").into(), taint("c").into()];
        objects.extend(
            (0..30).map(|at| pod(&format!("large-{at:02}")).cpu("8").with(|p| p.created = Some(50 - at)).into()),
        );
        objects.push(pod("larger").cpu("5").namespace("other").with(|p| p.created = Some(1)).into());
        objects.push(pod("fits").cpu("1").into());
        objects.push(pod("gated").with(|p| p.spec_mut().scheduling_gates = vec!["x.io/quota".into()]).into());
        objects.push(pod("runs").cpu("1").on("a").into());
        objects.push(pod("leaves").cpu("1").terminating().into());
        let pending = pending(&profiles(), &cluster(objects), None, 100);
        let sentence =
            "0/3 nodes are available: 1 node(s) had taint {gpu: }, that the pod didn't tolerate, 2 Insufficient cpu.";
        let gates = "waiting for scheduling gates: [x.io/quota]";
        assert_eq!(told(&pending), [(31, 0, 2, sentence), (1, 2, 0, "2/3 nodes are available."), (1, 0, 0, gates)]);
        let group = &pending.groups[0];
        assert_eq!((group.oldest, group.pods.len(), &*group.pods[0].name), (Some(1), NAMED, "larger"));
        assert_eq!(&*group.pods[1].name, "large-29", "the oldest first");
        assert_eq!((pending.pods, pending.unjudged), (33, 0));
    }

    #[test]
    fn the_sentence_of_a_group_is_that_of_the_decision() {
        let snapshot =
            cluster([node("a").cpu("2").unschedulable().into(), node("b").cpu("1").into(), pod("p").cpu("2").into()]);
        let profiles = profiles();
        let pending = pending(&profiles, &snapshot, None, 1);
        let pod = snapshot.pod("default", "p").expect("a pod");
        assert_eq!(pending.groups[0].message, decide(profiles.first(), pod, &snapshot, 0).message);
    }

    #[test]
    fn only_so_many_different_pods_are_judged_the_most_frequent_first() {
        let mut objects: Vec<_> = (1..6).map(|cpu| pod(&format!("p{cpu}")).cpu(&cpu.to_string()).into()).collect();
        objects.push(pod("q3").cpu("3").into());
        let pending = pending(&profiles(), &cluster(objects), None, 2);
        assert_eq!((pending.pods, pending.unjudged, pending.groups.len()), (6, 3, 1));
        assert_eq!(pending.groups[0].message, "no nodes available to schedule pods");
    }

    #[test]
    fn one_namespace_may_be_asked_for() {
        let snapshot = cluster([pod("p").namespace("a").into(), pod("q").namespace("b").into()]);
        assert_eq!(pending(&profiles(), &snapshot, Some(&"a".into()), 9).pods, 1);
    }
}
