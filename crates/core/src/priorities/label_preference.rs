//! # Rule
//! Each preference is for a label that exists or for one that is missing, with any value and for any pod:
//!
//! ```text
//! score = preferences that the node meets × 100 / preferences   rounded down; 0 without any preference
//! ```
//!
//! # Policy name and framework plugin
//! Any name with the argument `labelPreference`; plugin `NodeLabel`, which is gone in 1.34. Preferred node affinity that a profile adds
//! (`addedAffinity`) has a similar effect.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/nodelabel/node_label.go` (`Score`) of 1.22. In 1.6 (`node_label.go` in
//! `plugin/pkg/scheduler/algorithm/priorities`) each priority of a policy stood by itself and scored 0 or 10; since 1.17
//! all of them are one plugin, whose weight is theirs times their number, which comes to the same up to rounding.
//!
//! # Arguments
//! `labelPreference: {label: ssd, presence: true}`, one for each priority.
//!
//! # Example
//! With preferences for `ssd` and `rack`, and against `retiring`, a node labelled `ssd` alone meets two of three: 66.

use super::{MAX_NODE_SCORE, Priority, Registration, Scores};
use crate::{
    argument::{Argument, EntryForm, Form, any},
    block::NodeRef,
    model::{Name, Pod},
    node_set::NodeSet,
    rule::{Identity, LabelPresence, Reads},
    snapshot::Snapshot,
};

/// `labelPreference`: each entry, of one label, is a wish.
pub(crate) const PREFERENCES: Argument<Vec<LabelPresence>> = Argument {
    plugin: "NodeLabel",
    name: "labelPreference",
    form: Form::Entry { key: "NodeLabel", member: EntryForm::LabelPresence },
    in_policy: None,
    help: "The node label preferred to be there (`presence: true`) or to be missing",
    default: |_| Vec::new(),
    check: any,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "LabelPreference",
        aliases: &["NodeLabel"],
        plugin: "NodeLabel",
        modern_plugin: None,
        arguments: &[&PREFERENCES],
        source: include_str!("label_preference.rs"),
    },
    default_weight: None,
    build: |arguments| {
        let each = |entry: &LabelPresence| {
            let presence = entry.presence;
            entry.labels.iter().map(|label| (label.clone(), presence)).collect::<Vec<_>>()
        };
        Box::new(LabelPreference { wishes: arguments.get(&PREFERENCES).iter().flat_map(each).collect() })
    },
};

/// Labels, and whether each is to be there.
struct LabelPreference {
    wishes: Vec<(Name, bool)>,
}

impl Priority for LabelPreference {
    fn score(&self, _: &Pod, _: &Snapshot, candidates: &NodeSet<'_>) -> Scores {
        let count = (self.wishes.len() as i64).max(1);
        let met = |node: NodeRef<'_>| {
            self.wishes.iter().filter(|(label, presence)| node.labels().has(label) == *presence).count() as i64
        };
        Scores::of_each(candidates, |node| met(node) * MAX_NODE_SCORE / count)
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Node
    }
}

#[cfg(test)]
mod tests {
    use super::PREFERENCES;
    use crate::rule::{Arguments, LabelPresence, Release};
    use crate::testing::{node, pod, priority, scores_of};

    #[test]
    fn the_share_of_wishes_met() {
        let nodes = [node("a").label("ssd", ""), node("b").label("retiring", ""), node("c").label("rack", "r1")];
        let scores = |wishes: &[(&str, bool)]| {
            let mut arguments = Arguments::defaults(Release::V1_22);
            let wish =
                |(label, presence): &(&str, bool)| LabelPresence { labels: vec![(*label).into()], presence: *presence };
            arguments.set(&PREFERENCES, wishes.iter().map(wish).collect());
            scores_of(&*priority("LabelPreference", &arguments), pod("p"), &nodes)
        };
        assert_eq!(scores(&[]), [0, 0, 0]);
        assert_eq!(scores(&[("ssd", true)]), [100, 0, 0]);
        assert_eq!(scores(&[("ssd", false)]), [0, 100, 100]);
        // of three: a 2 → 66.7 → 66, b 0, c 2
        assert_eq!(scores(&[("ssd", true), ("rack", true), ("retiring", false)]), [66, 0, 66]);
    }
}
