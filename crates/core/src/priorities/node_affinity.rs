//! # Rule
//! The more preferred node affinity of the pod a node meets, by weight, the higher its score:
//!
//! ```text
//! sum   = Σ weight of the preferred terms that the node matches
//! score = sum × 100 / highest sum of all candidates             rounded down; 0 where all are 0
//! ```
//!
//! A term matches as in `MatchNodeSelector`; one without requirements, or with weight 0, counts nothing.
//!
//! # Policy name and framework plugin
//! `NodeAffinityPriority`, by default with weight 1; plugin `NodeAffinity`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/nodeaffinity/node_affinity.go` (`Score`, `NormalizeScore`),
//! `component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go` (`PreferredSchedulingTerms`); the same in 1.22 and
//! 1.34. In 1.6 (`node_affinity.go` in `plugin/pkg/scheduler/algorithm/priorities`) scores went from 0 to 10, and a term
//! without requirements matched every node.
//!
//! # Arguments
//! A profile may add preferred terms to those of every pod (`NodeAffinityArgs.addedAffinity`).
//!
//! # Example
//! A pod prefers `disk In [ssd]` with weight 80 and `zone In [a]` with weight 20. Nodes that meet both, the first, the
//! second and neither score 100, 80, 20 and 0.

use super::{Priority, Registration, Scores, normalize};
use crate::{
    block::NodeRef,
    model::{Pod, PreferredNode},
    node_match::{ADDED_AFFINITY, TermMatch},
    node_set::NodeSet,
    rule::{Identity, Reads},
    snapshot::Snapshot,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "NodeAffinityPriority",
        aliases: &[],
        plugin: "NodeAffinity",
        modern_plugin: Some("NodeAffinity"),
        arguments: &[&ADDED_AFFINITY],
        source: include_str!("node_affinity.rs"),
    },
    default_weight: Some(1),
    build: |arguments| Box::new(NodeAffinity { added: arguments.get(&ADDED_AFFINITY).preferred }),
};

struct NodeAffinity {
    added: Vec<PreferredNode>,
}

impl Priority for NodeAffinity {
    fn score(&self, pod: &Pod, snapshot: &Snapshot, candidates: &NodeSet<'_>) -> Scores {
        let terms: Vec<_> = self.added.iter().chain(&pod.spec.affinity.node_preferred).collect();
        if terms.is_empty() {
            return Scores::Same(0);
        }
        let terms: Vec<_> =
            terms.into_iter().map(|t| (TermMatch::new(&t.term, snapshot), i64::from(t.weight))).collect();
        let sum = |node: NodeRef<'_>| {
            let met = terms.iter().filter(|(term, _)| term.matches(node));
            met.map(|(_, weight)| weight).sum()
        };
        normalize::by_highest(candidates.map(sum), false)
    }

    fn reads(&self, pod: &Pod, _: &Snapshot) -> Reads {
        if self.added.is_empty() && pod.spec.affinity.node_preferred.is_empty() { Reads::Nothing } else { Reads::Nodes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argument::AddedAffinity;
    use crate::testing::{node, pod, priority, scores_of};
    use crate::{
        model::{NodeSelectorTerm, Operator, Requirement},
        rule::{Arguments, Release},
    };

    fn prefers(weight: i32, key: &str, value: &str) -> PreferredNode {
        let requirement = Requirement { key: key.into(), operator: Operator::In(vec![value.into()]) };
        let term = NodeSelectorTerm { match_expressions: vec![requirement], ..NodeSelectorTerm::default() };
        PreferredNode { weight, term }
    }

    #[test]
    fn the_highest_sum_of_weights_scores_100() {
        let nodes = [node("a").label("disk", "ssd").label("zone", "x"), node("b").label("disk", "ssd"), node("c")];
        let scores = |preferred: Vec<PreferredNode>, added| {
            let mut arguments = Arguments::defaults(Release::V1_34);
            arguments.set(&ADDED_AFFINITY, AddedAffinity { required: None, preferred: added });
            let pod = pod("p").with(|pod| pod.spec_mut().affinity.node_preferred = preferred);
            scores_of(&*priority("NodeAffinityPriority", &arguments), pod, &nodes)
        };
        // sums 3, 2, 0: 3×100/3, 2×100/3 = 66.7 → 66
        assert_eq!(scores(vec![prefers(2, "disk", "ssd"), prefers(1, "zone", "x")], vec![]), [100, 66, 0]);
        // sums 3, 1, 0 with the profile's own: 1×100/3 = 33.3 → 33
        assert_eq!(scores(vec![prefers(1, "disk", "ssd")], vec![prefers(2, "zone", "x")]), [100, 33, 0]);
        assert_eq!(scores(vec![prefers(1, "disk", "hdd")], vec![]), [0, 0, 0]);
        let empty = PreferredNode { weight: 5, term: NodeSelectorTerm::default() };
        assert_eq!(scores(vec![empty, prefers(0, "zone", "x")], vec![]), [0, 0, 0]);
    }
}
