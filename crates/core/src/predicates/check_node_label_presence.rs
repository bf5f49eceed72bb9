//! # Rule
//! The node has every label that must exist and none that must be missing, with any values. The pod does not matter.
//!
//! # Policy name and framework plugin
//! `CheckNodeLabelPresence`, or any name with the argument `labelsPresence`; plugin `NodeLabel`, which is gone in 1.34: a
//! profile's `addedAffinity` with `Exists` and `DoesNotExist` does the same.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/nodelabel/node_label.go` (`Filter`) of 1.22. The same rule in 1.6
//! (`CheckNodeLabelPresence` in `plugin/pkg/scheduler/algorithm/predicates/predicates.go`), where each predicate of a
//! policy stood by itself; since 1.17 all of them are one plugin and all must hold.
//!
//! # Arguments
//! `labelsPresence: {labels: [...], presence: true}` demands all the labels, `presence: false` none of them. Without an argument every node
//! fits.
//!
//! # Reason text
//! `node(s) didn't have the requested labels`
//!
//! # Can preemption help?
//! No: unresolvable.
//!
//! # Example
//! `{labels: [retiring], presence: false}` keeps new pods off every node that is labelled `retiring`.

use super::{Build, Demand, Predicate, Registration, Standing};
use crate::{
    argument::{Argument, EntryForm, Form, any},
    model::Pod,
    rule::{Identity, LabelPresence, Reads},
    snapshot::Snapshot,
    verdict::Verdict,
};

/// `labelsPresence`: every entry must hold.
pub(crate) const LABELS: Argument<Vec<LabelPresence>> = Argument {
    plugin: "NodeLabel",
    name: "labelsPresence",
    form: Form::Entry { key: "CheckNodeLabelPresence", member: EntryForm::LabelsPresence },
    in_policy: None,
    help: "Node labels that must be there (`presence: true`) or must not",
    default: |_| Vec::new(),
    check: any,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "CheckNodeLabelPresence",
        aliases: &[],
        plugin: "NodeLabel",
        modern_plugin: None,
        arguments: &[&LABELS],
        source: include_str!("check_node_label_presence.rs"),
    },
    standing: Standing::Optional,
    build: Build::Rule(|arguments| Box::new(CheckNodeLabelPresence(arguments.get(&LABELS)))),
};

struct CheckNodeLabelPresence(Vec<LabelPresence>);

impl Predicate for CheckNodeLabelPresence {
    fn prepare<'a>(&'a self, _: &'a Pod, _: &'a Snapshot) -> Demand<'a> {
        if self.0.is_empty() {
            return Demand::Nothing;
        }
        Demand::check(|node| {
            let holds = |rule: &LabelPresence| rule.labels.iter().all(|l| node.labels().has(l) == rule.presence);
            Verdict::fits_if(self.0.iter().all(holds), || {
                Verdict::unresolvable("node(s) didn't have the requested labels")
            })
        })
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Node
    }
}

#[cfg(test)]
mod tests {
    use super::LABELS;
    use crate::rule::{Arguments, LabelPresence, Release};
    use crate::testing::{node, pod, predicate, verdict_of};

    #[test]
    fn every_entry_must_hold() {
        let nodes = [
            node("good").label("rack", "r1").label("zone", "z1"),
            node("half").label("rack", "r1"),
            node("retiring").label("rack", "r1").label("zone", "z1").label("retiring", ""),
        ];
        let fit = |rules: &[(&[&str], bool)]| {
            let mut arguments = Arguments::defaults(Release::V1_22);
            let entry = |(labels, presence): &(&[&str], bool)| LabelPresence {
                labels: labels.iter().map(|l| (*l).into()).collect(),
                presence: *presence,
            };
            arguments.set(&LABELS, rules.iter().map(entry).collect());
            let rule = predicate("CheckNodeLabelPresence", &arguments);
            let fits = |n: &&str| verdict_of(&*rule, pod("p"), &nodes, n).fits();
            ["good", "half", "retiring"].into_iter().filter(fits).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(fit(&[]), "good half retiring");
        assert_eq!(fit(&[(&["rack", "zone"], true)]), "good retiring");
        assert_eq!(fit(&[(&["retiring"], false)]), "good half");
        assert_eq!(fit(&[(&["rack", "zone"], true), (&["retiring"], false)]), "good");
        assert_eq!(fit(&[(&["retiring", "zone"], false)]), "half");
    }
}
