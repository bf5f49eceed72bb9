//! # Rule
//! Every topology domain (the nodes with the same value of a term's `topologyKey`) has a sum, made from all running pods:
//!
//! - for each preferred affinity term of the incoming pod that matches a running pod: + its weight in that pod's domain;
//! - for each preferred anti-affinity term of the incoming pod that matches it: − its weight;
//! - for each preferred term of the running pod that matches the incoming one: + or − its weight likewise;
//! - for each required affinity term of the running pod that matches the incoming one: + `hardPodAffinitySymmetricWeight`.
//!
//! A node's sum is that of all its domains, and its score is that sum between the lowest and the highest of the nodes
//! that fit: `score = ⌊100 × (sum − min) / (max − min)⌋`, 0 for all where `max = min`.
//!
//! # Policy name and framework plugin
//! `InterPodAffinityPriority`; plugin `InterPodAffinity`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/interpodaffinity/scoring.go`. 1.34 differs from 1.22 in
//! `ignorePreferredTermsOfExistingPods` and, as the predicate does, in namespace selectors of the incoming pod that only
//! say what labels a namespace must not have. In 1.6
//! (`plugin/pkg/scheduler/algorithm/priorities/interpod_affinity.go`) the lowest sum counted as at most 0 and the highest
//! as at least 0, the score went to 10, and an empty `topologyKey` stood for host, zone and region together.
//!
//! # Arguments
//! `hardPodAffinitySymmetricWeight` of a policy, `hardPodAffinityWeight` of a profile (1); in a profile
//! `ignorePreferredTermsOfExistingPods` (false): a pod without preferences of its own then scores 0 everywhere.
//!
//! # Example
//! `cache` runs in zone `az1`. For a pod that prefers `app=cache` by zone with weight 50, the nodes of `az1` sum up to 50
//! and score 100; all others score 0.

use super::{MAX_NODE_SCORE, Priority, Registration, Scores};
use crate::{
    argument::{Argument, Form, any},
    block::NodeRef,
    index::Stance,
    inter_pod::{self, IncomingTerm, SumsByKey},
    model::{Pod, WeightedPodAffinityTerm},
    node_set::NodeSet,
    rule::{Identity, Reads, Release},
    snapshot::Snapshot,
    work,
};

/// The largest weight of a required affinity term.
pub(crate) const MAX_HARD_WEIGHT: i64 = 100;

/// `hardPodAffinityWeight`; `hardPodAffinitySymmetricWeight` of a Policy.
pub(crate) const HARD_WEIGHT: Argument<i64> = Argument {
    plugin: "InterPodAffinity",
    name: "hardPodAffinityWeight",
    form: Form::Integer { max: MAX_HARD_WEIGHT },
    in_policy: Some("hardPodAffinitySymmetricWeight"),
    help: "The weight of a required affinity term of a running pod that matches the incoming one",
    default: |_| 1,
    check: any,
};

/// `ignorePreferredTermsOfExistingPods`.
pub(crate) const IGNORE_PREFERRED: Argument<bool> = Argument {
    plugin: "InterPodAffinity",
    name: "ignorePreferredTermsOfExistingPods",
    form: Form::Flag,
    in_policy: None,
    help: "`true` if preferred terms of running pods are ignored for a pod that has none of its own",
    default: |_| false,
    check: any,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "InterPodAffinityPriority",
        aliases: &[],
        plugin: "InterPodAffinity",
        modern_plugin: Some("InterPodAffinity"),
        arguments: &[&HARD_WEIGHT, &IGNORE_PREFERRED],
        source: include_str!("inter_pod_affinity.rs"),
    },
    default_weight: Some(1),
    build: |arguments| {
        Box::new(InterPodAffinity {
            release: arguments.release,
            hard_weight: arguments.get(&HARD_WEIGHT),
            ignore_theirs: arguments.get(&IGNORE_PREFERRED),
        })
    },
};

struct InterPodAffinity {
    release: Release,
    hard_weight: i64,
    ignore_theirs: bool,
}

impl Priority for InterPodAffinity {
    fn score(&self, pod: &Pod, snapshot: &Snapshot, candidates: &NodeSet<'_>) -> Scores {
        let own: Vec<_> = weighted(&pod.spec.affinity.pod_preferred, &pod.spec.affinity.anti_preferred)
            .map(|(preferred, weight)| (IncomingTerm::resolve(&preferred.term, snapshot, self.release), weight))
            .collect();
        if own.is_empty() && self.ignore_theirs {
            return Scores::Same(0);
        }
        let mut sums = SumsByKey::default();
        for (term, weight) in &own {
            for (_, counts) in term.groups(snapshot) {
                sums.of_key(term.topology_key, snapshot).add(counts, *weight);
            }
        }
        let namespace_labels = snapshot.namespace_labels(&pod.namespace);
        snapshot.index().terms.meaning(pod, namespace_labels, false, |stance, term, counts| {
            let weight = match stance {
                Stance::Repels => 0,
                Stance::Requires => self.hard_weight,
                Stance::Prefers(weight) => i64::from(weight),
            };
            if weight != 0 {
                sums.of_key(&term.topology_key, snapshot).add(counts, weight);
            }
        });
        if sums.iter().next().is_none() {
            return Scores::Same(0);
        }
        work::spend_on(sums.len().saturating_mul(candidates.len()) / 4);
        let sum = |node: NodeRef<'_>| sums.iter().filter_map(|(_, sums)| sums.at(node.slot())).sum();
        between_lowest_and_highest(candidates.map(sum))
    }

    fn reads(&self, pod: &Pod, snapshot: &Snapshot) -> Reads {
        let own = !(pod.spec.affinity.pod_preferred.is_empty() && pod.spec.affinity.anti_preferred.is_empty());
        if own || inter_pod::is_named(pod, snapshot) { Reads::Cluster } else { Reads::Nothing }
    }
}

/// Likes with their weights, dislikes with their weights below 0.
fn weighted<'a>(
    liked: &'a [WeightedPodAffinityTerm],
    disliked: &'a [WeightedPodAffinityTerm],
) -> impl Iterator<Item = (&'a WeightedPodAffinityTerm, i64)> {
    let likes = liked.iter().map(|t| (t, i64::from(t.weight)));
    likes.chain(disliked.iter().map(|t| (t, -i64::from(t.weight))))
}

fn between_lowest_and_highest(mut sums: Vec<i64>) -> Scores {
    let lowest = sums.iter().copied().min().unwrap_or(0);
    let range = sums.iter().copied().max().unwrap_or(0) - lowest;
    if range == 0 {
        return Scores::Same(0);
    }
    for sum in &mut sums {
        *sum = (MAX_NODE_SCORE as f64 * ((*sum - lowest) as f64 / range as f64)) as i64;
    }
    sums.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::{HARD_WEIGHT, IGNORE_PREFERRED};
    use crate::model::topology::{HOSTNAME, ZONE};
    use crate::rule::{Arguments, Release};
    use crate::snapshot::Object;
    use crate::testing::{PodBuilder, node, pod, priority, scores_of};

    /// Scores of `a` and `b` (zone z1), `c` (z2) and `d` (no zone).
    fn scores(arguments: &Arguments, pod: PodBuilder, running: &[PodBuilder]) -> Vec<i64> {
        let nodes = [node("a").zone("z1"), node("b").zone("z1"), node("c").zone("z2"), node("d")];
        let cluster: Vec<Object> =
            nodes.into_iter().map(Object::from).chain(running.iter().cloned().map(Object::from)).collect();
        scores_of(&*priority("InterPodAffinityPriority", arguments), pod, &cluster)
    }

    fn cache(on: &str) -> PodBuilder {
        pod(&format!("cache-{on}")).label("app", "cache").on(on)
    }

    #[test]
    fn company_wanted_and_unwanted() {
        for release in [Release::V1_22, Release::V1_34] {
            let scores = |pod, running: &[PodBuilder]| scores(&Arguments::defaults(release), pod, running);
            // sums 50 50 0 0
            assert_eq!(scores(pod("p").prefers(50, "app=cache", ZONE), &[cache("a")]), [100, 100, 0, 0]);
            // sums −5 −5 0 0
            assert_eq!(scores(pod("p").prefers(-5, "app=cache", ZONE), &[cache("a")]), [0, 0, 100, 100]);
            // zone 2 on a, b; host 1 more on a; zone 2 on c: sums 3 2 2 0 → 100, 66.7, 66.7, 0
            let both = pod("p").prefers(2, "app=cache", ZONE).prefers(1, "app=cache,v=1", HOSTNAME);
            assert_eq!(scores(both, &[cache("a").label("v", "1"), cache("c")]), [100, 66, 66, 0]);
            assert_eq!(scores(pod("p"), &[cache("a")]), [0; 4]);
        }
    }

    #[test]
    fn preferences_of_running_pods_count() {
        let web = || pod("web").label("app", "web");
        let mut arguments = Arguments::defaults(Release::V1_34);
        arguments.set(&HARD_WEIGHT, 10);
        // preferred 30 in z1, required 10 in z2: sums 30 30 10 0 → 100, 100, 33.3, 0
        let wishing = [cache("a").prefers(30, "app=web", ZONE), cache("c").affinity("app=web", ZONE)];
        assert_eq!(scores(&arguments, web(), &wishing), [100, 100, 33, 0]);
        // sums −1 −1 0 0
        assert_eq!(scores(&arguments, web(), &[cache("b").prefers(-1, "app=web", ZONE)]), [0, 0, 100, 100]);
        arguments.set(&HARD_WEIGHT, 0);
        assert_eq!(scores(&arguments, web(), &wishing), [100, 100, 0, 0]);
        arguments.set(&IGNORE_PREFERRED, true);
        assert_eq!(scores(&arguments, web(), &wishing), [0; 4]);
        // With a wish of its own (host a: 30 more), theirs count too: sums 60 30 0 0
        assert_eq!(scores(&arguments, web().prefers(30, "app=cache", HOSTNAME), &wishing)[..2], [100, 50]);
    }
}
