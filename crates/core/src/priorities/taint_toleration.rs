//! # Rule
//! The fewer untolerated taints with effect `PreferNoSchedule` a node has, the higher its score:
//!
//! ```text
//! count = number of such taints
//! score = 100 − count × 100 / highest count of all candidates   the quotient rounded down; 100 where all are 0
//! ```
//!
//! # Policy name and framework plugin
//! `TaintTolerationPriority`, by default with weight 1; plugin `TaintToleration`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/tainttoleration/taint_toleration.go` (`Score`, `NormalizeScore`); the same in 1.22
//! and 1.34. In 1.6 (`taint_toleration.go` in `plugin/pkg/scheduler/algorithm/priorities`) scores went from 0 to 10 and
//! the difference was what was rounded down.
//!
//! # Example
//! Nodes with 0, 1 and 3 such taints score 100, 67 and 0.

use super::{MAX_NODE_SCORE, Priority, Registration, Scores};
use crate::{
    model::{Effect, Pod, Taint},
    node_set::NodeSet,
    rule::{Identity, Reads},
    snapshot::Snapshot,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "TaintTolerationPriority",
        aliases: &[],
        plugin: "TaintToleration",
        modern_plugin: Some("TaintToleration"),
        arguments: &[],
        source: include_str!("taint_toleration.rs"),
    },
    default_weight: Some(1),
    build: |_| Box::new(TaintToleration),
};

struct TaintToleration;

impl Priority for TaintToleration {
    fn score(&self, pod: &Pod, snapshot: &Snapshot, candidates: &NodeSet<'_>) -> Scores {
        let count = |taints: &[Taint]| {
            let soft = taints.iter().filter(|taint| taint.effect == Effect::PreferNoSchedule);
            soft.filter(|taint| !pod.spec.tolerations.iter().any(|t| t.tolerates(taint))).count() as i64
        };
        let counts = snapshot.index().topology.by_taints(count, 0);
        let highest = candidates.iter().map(|node| counts.of(node.slot())).max().unwrap_or(0);
        if highest == 0 {
            return Scores::Same(MAX_NODE_SCORE);
        }
        let scores = counts.map(|count| MAX_NODE_SCORE - count * MAX_NODE_SCORE / highest);
        Scores::of_each(candidates, |node| scores.of(node.slot()))
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Nodes
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{node, pod, priority, scores_of};
    use crate::{
        model::Effect::{NoSchedule, PreferNoSchedule},
        rule::{Arguments, Release},
    };

    #[test]
    fn the_fewer_taints_not_tolerated_the_higher_the_score() {
        let rule = priority("TaintTolerationPriority", &Arguments::defaults(Release::V1_22));
        let nodes = [
            node("a").taint("x", "", NoSchedule),
            node("b").taint("x", "", PreferNoSchedule),
            node("c").taint("x", "", PreferNoSchedule).taint("y", "", PreferNoSchedule).taint(
                "z",
                "",
                PreferNoSchedule,
            ),
        ];
        // counts 0, 1, 3: 100-0, 100 - 1×100/3 = 100-33, 100-100
        assert_eq!(scores_of(&*rule, pod("p"), &nodes), [100, 67, 0]);
        // counts 0, 0, 2
        assert_eq!(scores_of(&*rule, pod("p").tolerates("x"), &nodes), [100, 100, 0]);
        // counts 0, 0, 0
        assert_eq!(scores_of(&*rule, pod("p").tolerates(""), &nodes), [100, 100, 100]);
    }
}
