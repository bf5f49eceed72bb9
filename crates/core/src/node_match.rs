//! Node selectors and node affinity for all nodes: each requirement is checked once per value of its label, not once per node.

use super::{
    argument::{AddedAffinity, Argument, Form, any},
    block::NodeRef,
    index::Answers,
    model::{NodeSelector, NodeSelectorTerm, Operator, Pod, Requirement},
    snapshot::Snapshot,
    work,
};

/// `addedAffinity` of a profile.
pub(super) const ADDED_AFFINITY: Argument<AddedAffinity> = Argument {
    plugin: "NodeAffinity",
    name: "addedAffinity",
    form: Form::NodeAffinity,
    in_policy: None,
    help: "Node affinity of every pod besides its own",
    default: |_| AddedAffinity::default(),
    check: any,
};

/// A node selector, prepared against one snapshot.
pub(super) struct NodeMatch<'a>(Vec<TermMatch<'a>>);

/// One term of a node selector, prepared likewise.
pub(super) struct TermMatch<'a> {
    term: &'a NodeSelectorTerm,
    tests: Vec<Answers<bool>>,
}

/// A pod's node selector and required node affinity, prepared likewise.
pub(super) struct PodMatch<'a> {
    selector: Vec<Answers<bool>>,
    required: Option<NodeMatch<'a>>,
}

fn test(requirement: &Requirement, snapshot: &Snapshot) -> Answers<bool> {
    let cost = requirement.cost();
    snapshot.index().topology.test(&requirement.key, |value| {
        work::spend(cost);
        requirement.matches_value(value)
    })
}

impl<'a> TermMatch<'a> {
    pub(super) fn new(term: &'a NodeSelectorTerm, snapshot: &Snapshot) -> Self {
        Self { term, tests: term.match_expressions.iter().map(|r| test(r, snapshot)).collect() }
    }

    /// `true` if the node meets the term.
    pub(super) fn matches(&self, node: NodeRef<'_>) -> bool {
        if self.term.match_fields.is_empty() {
            !self.tests.is_empty() && self.tests.iter().all(|test| test.of(node.slot()))
        } else {
            self.term.matches(node.name(), node.labels())
        }
    }
}

impl<'a> NodeMatch<'a> {
    pub(super) fn new(selector: &'a NodeSelector, snapshot: &Snapshot) -> Self {
        Self(selector.0.iter().map(|term| TermMatch::new(term, snapshot)).collect())
    }

    /// `true` if the node is selected.
    pub(super) fn matches(&self, node: NodeRef<'_>) -> bool {
        self.0.iter().any(|term| term.matches(node))
    }
}

impl<'a> PodMatch<'a> {
    pub(super) fn new(pod: &'a Pod, snapshot: &Snapshot) -> Self {
        let pair = |(key, value): &_| {
            let requirement = Requirement { key: Clone::clone(key), operator: Operator::In(vec![Clone::clone(value)]) };
            test(&requirement, snapshot)
        };
        Self {
            selector: pod.spec.node_selector.iter().map(pair).collect(),
            required: pod.spec.affinity.node_required.as_ref().map(|required| NodeMatch::new(required, snapshot)),
        }
    }

    /// Equals [`Pod::selects_node`].
    pub(super) fn selects(&self, node: NodeRef<'_>) -> bool {
        self.selector.iter().all(|test| test.of(node.slot()))
            && self.required.as_ref().is_none_or(|required| required.matches(node))
    }
}
