//! A decision in short: why nodes were ruled out, and the best of those that fit.

use std::collections::BTreeMap;

use super::{
    block::NodeRef,
    cycle::{self, Cycle},
    model::{Name, Pod},
    policy::Profile,
    snapshot::Snapshot,
    verdict::Reason,
};

/// A decision in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many nodes fit.
    pub fitting: usize,
    /// How many nodes each reason rules out. A node counts for the reasons of its first failing predicate, or of all where the profile checks all.
    pub counts: BTreeMap<Reason, usize>,
    /// The best nodes with their totals, the best first.
    pub best: Vec<(Name, i64)>,
}

/// The decision for a pod over all nodes of a snapshot in short, with at most `most` of the best nodes.
pub fn summarize(profile: &Profile, pod: &Pod, snapshot: &Snapshot, seed: u64, most: usize) -> Summary {
    let snapshot = snapshot.asked_about(pod);
    let cycle = Cycle::prepare(profile, pod, &snapshot);
    let all = snapshot.node_set();
    let mut counts: BTreeMap<Reason, usize> = BTreeMap::new();
    let mut count = |reasons: &[Reason]| {
        for reason in reasons {
            *counts.entry(reason.clone()).or_default() += 1;
        }
    };
    let fitting = cycle.parted(&all, |node, failure| {
        if profile.always_check_all_predicates {
            count(&cycle.reasons(node).unwrap_or_default());
        } else {
            count(failure.verdict.reasons());
        }
    });
    let ranking = cycle.rank(&cycle.scores(&fitting), fitting.len());
    let names: Vec<&Name> = fitting.iter().map(NodeRef::name).collect();
    let order = ranking.order(|column| (cycle::tie_break(seed, pod, names[column]), names[column].clone()));
    let best = order.iter().take(most).map(|column| (names[*column].clone(), ranking.totals()[*column]));
    Summary { fitting: fitting.len(), best: best.collect(), counts }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        cycle::decide,
        policy::Policy,
        testing::{cluster, node, pod},
    };

    proptest! {
        /// The counts and the best nodes are those of the whole decision.
        #[test]
        fn a_summary_is_the_whole_decision_in_short(cpus in vec(0_i64..5, 0..20), asked in 0_i64..5, seed in 0_u64..3) {
            let profile = Policy::default().compile().expect("the default compiles");
            let nodes = cpus.iter().enumerate().map(|(at, cpu)| node(&format!("n{at}")).cpu(&cpu.to_string()).into());
            let snapshot = cluster(nodes);
            let pod = pod("p").cpu(&asked.to_string()).build();
            let whole = decide(&profile, &pod, &snapshot, seed);
            let short = summarize(&profile, &pod, &snapshot, seed, 3);
            let mut ranked: Vec<_> = whole.nodes.iter().filter_map(|n| Some((n.rank?, n.node.name().clone(), n.total))).collect();
            ranked.sort();
            let best: Vec<_> = ranked.iter().take(3).map(|(_, name, total)| (name.clone(), *total)).collect();
            prop_assert_eq!(short.best, best);
            prop_assert_eq!(short.fitting, ranked.len());
            prop_assert_eq!(short.counts.values().sum::<usize>(), whole.nodes.len() - ranked.len());
        }
    }
}
