//! # Rule
//! The node's labels carry every pair of the pod's `nodeSelector`, and one of the alternatives of its required node
//! affinity holds: all of that term's `matchExpressions` (`In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt`, `Lt` on labels)
//! and `matchFields` (`In`, `NotIn` with one value, on `metadata.name`). A term without any, or with a requirement that
//! is not valid, matches no node. `NotIn` and `DoesNotExist` hold where the label is missing; `Gt` and `Lt` want an integer
//! label.
//!
//! # Policy name and framework plugin
//! `MatchNodeSelector`, also part of `GeneralPredicates`; plugin `NodeAffinity`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/nodeaffinity/node_affinity.go` (`PreFilter`, `Filter`),
//! `component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go`.
//!
//! Since 1.26 a pod each of whose terms names nodes (`matchFields`, `metadata.name In`) is tried on these nodes alone. If each term
//! contradicts itself the pod is refused outright. The nodes that fit are the same. 1.6 (`PodSelectorMatches` in
//! `plugin/pkg/scheduler/algorithm/predicates/predicates.go`) had no `matchFields`, and an invalid term ended the search there.
//!
//! # Arguments
//! A profile may require node affinity of every pod besides its own (`NodeAffinityArgs.addedAffinity`).
//!
//! # Reason text
//! `node(s) didn't match Pod's node affinity/selector`. For a profile's added affinity, which is checked first, `node(s)
//! didn't match scheduler-enforced node affinity`. If all terms contradict themselves (1.34), `pod affinity terms
//! conflict`. A node that 1.34 does not try has the first of these texts; the pod's sentence counts it as kube-scheduler does, as `node(s)
//! didn't satisfy plugin(s) [NodeAffinity]`.
//!
//! # Can preemption help?
//! No: unresolvable.
//!
//! # Example
//! `nodeSelector: {disk: ssd}` with the term `cores Gt 4` fits a node labelled `disk=ssd,cores=8`, but none that lacks
//! `cores`, or on which it is `many`.

use std::collections::BTreeSet;

use super::{Build, Check, Demand, Predicate, Registration, Standing};
use crate::{
    block::{Block, pick},
    model::{NODE_NAME_FIELD, Name, NodeSelector, NodeSelectorTerm, Operator, Pod},
    node_info::NodeInfo,
    node_match::{ADDED_AFFINITY, NodeMatch, PodMatch},
    rule::{Identity, Reads, Release},
    snapshot::Snapshot,
    verdict::Verdict,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "MatchNodeSelector",
        aliases: &[],
        plugin: "NodeAffinity",
        modern_plugin: Some("NodeAffinity"),
        arguments: &[&ADDED_AFFINITY],
        source: include_str!("match_node_selector.rs"),
    },
    standing: Standing::Optional,
    build: Build::Rule(|arguments| {
        Box::new(MatchNodeSelector { release: arguments.release, added: arguments.get(&ADDED_AFFINITY).required })
    }),
};

struct MatchNodeSelector {
    release: Release,
    added: Option<NodeSelector>,
}

impl Predicate for MatchNodeSelector {
    fn prepare<'a>(&'a self, pod: &'a Pod, snapshot: &'a Snapshot) -> Demand<'a> {
        let required = pod.spec.affinity.node_required.as_ref();
        if self.added.is_none() && pod.spec.node_selector.is_empty() && required.is_none() {
            return Demand::Nothing;
        }
        let wanted = Wanted {
            added: self.added.as_ref().map(|added| (added, NodeMatch::new(added, snapshot))),
            pod,
            own: PodMatch::new(pod, snapshot),
        };
        let check = Box::new(wanted);
        match required.and_then(named_nodes).filter(|_| self.release.facts().node_affinity_names_candidates) {
            None => Demand::Check(check),
            Some(names) if names.is_empty() => Demand::Reject(Verdict::unresolvable("pod affinity terms conflict")),
            Some(names) => Demand::OnlyNodes(names.into_iter().collect(), check),
        }
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Node
    }
}

struct Wanted<'a> {
    added: Option<(&'a NodeSelector, NodeMatch<'a>)>,
    pod: &'a Pod,
    own: PodMatch<'a>,
}

impl Check for Wanted<'_> {
    fn check(&self, node: &NodeInfo) -> Verdict {
        if self.added.as_ref().is_some_and(|(added, _)| !added.matches(node.name(), node.labels())) {
            return Verdict::unresolvable("node(s) didn't match scheduler-enforced node affinity");
        }
        Verdict::fits_if(self.pod.selects_node(&node.node), || {
            Verdict::unresolvable("node(s) didn't match Pod's node affinity/selector")
        })
    }

    fn sift(&self, block: &Block, asked: u64) -> u64 {
        let added = |node| self.added.as_ref().is_none_or(|(_, added)| added.matches(node));
        pick(asked, |at| added(block.node_ref(at)) && self.own.selects(block.node_ref(at)))
    }
}

/// The nodes to which the selector narrows the choice by name; `None` where it has a term that names none.
fn named_nodes(selector: &NodeSelector) -> Option<BTreeSet<Name>> {
    let of_each_term: Option<Vec<_>> = selector.0.iter().map(nodes_of_term).collect();
    of_each_term.filter(|terms| !terms.is_empty()).map(|terms| terms.into_iter().flatten().collect())
}

fn nodes_of_term(term: &NodeSelectorTerm) -> Option<BTreeSet<Name>> {
    let lists = term.match_fields.iter().filter(|r| &*r.key == NODE_NAME_FIELD).filter_map(|r| match &r.operator {
        Operator::In(names) => Some(names.iter().cloned().collect::<BTreeSet<_>>()),
        _ => None,
    });
    lists.reduce(|common, names| &common & &names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argument::AddedAffinity;
    use crate::testing::{PodBuilder, cluster, node, pod, predicate, verdict_of};
    use crate::{model::Requirement, rule::Arguments};

    fn requirement(key: &str, operator: Operator) -> Requirement {
        Requirement { key: key.into(), operator }
    }

    fn expressions(list: &[(&str, Operator)]) -> NodeSelectorTerm {
        let match_expressions = list.iter().map(|(key, operator)| requirement(key, operator.clone())).collect();
        NodeSelectorTerm { match_expressions, ..NodeSelectorTerm::default() }
    }

    fn named(lists: &[&[&str]]) -> NodeSelectorTerm {
        let names = |list: &&[&str]| Operator::In(list.iter().map(|n| Name::from(*n)).collect());
        let match_fields = lists.iter().map(|list| requirement(NODE_NAME_FIELD, names(list))).collect();
        NodeSelectorTerm { match_fields, ..NodeSelectorTerm::default() }
    }

    fn requires(terms: Vec<NodeSelectorTerm>) -> PodBuilder {
        pod("p").with(|pod| pod.spec_mut().affinity.node_required = Some(NodeSelector(terms)))
    }

    fn selects(key: &str, value: &str) -> PodBuilder {
        pod("p").with(|pod| pod.spec_mut().node_selector = [(key, value)].into_iter().collect())
    }

    #[test]
    fn which_nodes_are_selected() {
        let nodes = [node("a").label("disk", "ssd").label("cores", "8"), node("b").label("cores", "many")];
        let cases: &[(PodBuilder, &str)] = &[
            (pod("free"), "ab"),
            (selects("disk", "ssd"), "a"),
            (selects("disk", "hdd"), ""),
            (requires(vec![]), ""),
            (requires(vec![NodeSelectorTerm::default()]), ""),
            (requires(vec![expressions(&[("disk", Operator::Exists)])]), "a"),
            (requires(vec![expressions(&[("disk", Operator::NotIn(vec!["ssd".into()]))])]), "b"),
            (requires(vec![expressions(&[("cores", Operator::Gt(4))])]), "a"),
            (requires(vec![expressions(&[("cores", Operator::Exists), ("disk", Operator::DoesNotExist)])]), "b"),
            (requires(vec![named(&[&["b"]]), expressions(&[("cores", Operator::Lt(9))])]), "ab"),
            (requires(vec![named(&[&["b"]])]), "b"),
            (requires(vec![named(&[&["a", "b"]])]), ""),
            (
                requires(vec![expressions(&[("cores", Operator::Exists)])])
                    .with(|pod| pod.spec_mut().node_selector = [("disk", "ssd")].into_iter().collect()),
                "a",
            ),
        ];
        for release in [Release::V1_22, Release::V1_34] {
            let rule = predicate("MatchNodeSelector", &Arguments::defaults(release));
            for (pod, expected) in cases {
                let fit = ["a", "b"].into_iter().filter(|n| verdict_of(&*rule, pod.clone(), &nodes, n).fits());
                assert_eq!(fit.collect::<String>(), *expected, "{:?}", pod.clone().build().spec.affinity);
            }
        }
    }

    #[test]
    fn added_affinity_is_checked_first() {
        let mut arguments = Arguments::defaults(Release::V1_34);
        let required = Some(NodeSelector(vec![expressions(&[("pool", Operator::Exists)])]));
        arguments.set(&ADDED_AFFINITY, AddedAffinity { required, preferred: Vec::new() });
        let rule = predicate("MatchNodeSelector", &arguments);
        let nodes = [node("in").label("pool", "x"), node("out")];
        let refused = |pod, on| verdict_of(&*rule, pod, &nodes, on).reasons().to_vec();
        assert!(refused(pod("p"), "in").is_empty());
        assert_eq!(refused(selects("disk", "ssd"), "out"), ["node(s) didn't match scheduler-enforced node affinity"]);
        assert_eq!(refused(selects("disk", "ssd"), "in"), ["node(s) didn't match Pod's node affinity/selector"]);
    }

    #[test]
    fn terms_that_all_name_nodes_narrow_the_choice_in_1_34() {
        let narrowed = |release, terms| {
            let rule = predicate("MatchNodeSelector", &Arguments::defaults(release));
            let (pod, snapshot) = (requires(terms).build(), cluster([]));
            match rule.prepare(&pod, &snapshot) {
                Demand::OnlyNodes(names, _) => names.join(" "),
                Demand::Check(_) => "all".to_owned(),
                Demand::Reject(verdict) => verdict.reasons().join(" "),
                Demand::Nothing => "nothing".to_owned(),
            }
        };
        let two = vec![named(&[&["b", "c"], &["a", "b"]]), named(&[&["x"]])];
        assert_eq!(narrowed(Release::V1_34, two.clone()), "b x");
        assert_eq!(narrowed(Release::V1_22, two.clone()), "all");
        assert_eq!(narrowed(Release::V1_34, [two, vec![expressions(&[("k", Operator::Exists)])]].concat()), "all");
        let conflict = vec![named(&[&["a"], &["b"]])];
        assert_eq!(narrowed(Release::V1_34, conflict.clone()), "pod affinity terms conflict");
        assert_eq!(narrowed(Release::V1_22, conflict), "all");
        assert_eq!(narrowed(Release::V1_34, vec![]), "all");
    }
}
