//! Node affinity and affinity between pods.
//!
//! Source: `component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go`, `pkg/scheduler/framework/types.go`
//! (`AffinityTerm`).

use super::{Labels, Name, Operator, Pod, Requirement, Selector};

/// The field by which a node selector names a node.
pub const NODE_NAME_FIELD: &str = "metadata.name";

/// One alternative of a node selector: all its requirements must hold. Without any it matches no node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSelectorTerm {
    /// Conditions on the node's labels.
    pub match_expressions: Vec<Requirement>,
    /// Conditions on the node's fields; [`NODE_NAME_FIELD`] is the only one there is.
    pub match_fields: Vec<Requirement>,
}

impl NodeSelectorTerm {
    /// `true` if a node of this name with these labels meets the term.
    pub fn matches(&self, node_name: &str, labels: &Labels) -> bool {
        if self.match_expressions.is_empty() && self.match_fields.is_empty() {
            return false;
        }
        self.match_expressions.iter().all(|r| r.matches_value(labels.get(&r.key).map(|v| &**v)))
            && self.match_fields.iter().all(|r| field_matches(r, node_name))
    }
}

/// A field is compared with exactly one value; any other requirement makes its term match nothing
/// (`nodeSelectorRequirementsAsFieldSelector`). A field other than the name is empty.
fn field_matches(requirement: &Requirement, node_name: &str) -> bool {
    let value = if &*requirement.key == NODE_NAME_FIELD { node_name } else { "" };
    match &requirement.operator {
        Operator::In(values) => matches!(&values[..], [only] if &**only == value),
        Operator::NotIn(values) => matches!(&values[..], [only] if &**only != value),
        _ => false,
    }
}

/// Alternatives, one of which must match. Without any it matches no node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSelector(pub Vec<NodeSelectorTerm>);

impl NodeSelector {
    /// `true` if a node of this name with these labels is selected.
    pub fn matches(&self, node_name: &str, labels: &Labels) -> bool {
        self.0.iter().any(|term| term.matches(node_name, labels))
    }
}

/// A liking for nodes, with its weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreferredNode {
    /// 1..=100; 0 is skipped.
    pub weight: i32,
    /// The nodes liked. A term without requirements matches none, as in a required selector.
    pub term: NodeSelectorTerm,
}

/// A rule about the pods that run in a node's topology domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodAffinityTerm {
    /// The pods meant; `None` (absent in the object) means no pod.
    pub selector: Option<Selector>,
    /// The namespaces meant by name. Where the object names none and has no namespace selector, the pod's own.
    pub namespaces: Vec<Name>,
    /// Further namespaces, by their labels; `None` adds none, the empty selector adds all.
    pub namespace_selector: Option<Selector>,
    /// The node label whose equal values make one domain.
    pub topology_key: Name,
}

impl PodAffinityTerm {
    /// How many steps of [`work`](crate::work) it takes to hold it against one pod.
    pub fn cost(&self) -> u64 {
        let selectors = self.selector.iter().chain(&self.namespace_selector);
        selectors.fold(1 + self.namespaces.len() as u64 / 4, |cost, selector| cost + selector.cost())
    }

    /// `true` if the term matches `pod`, whose namespace has these labels.
    pub fn matches(&self, pod: &Pod, namespace_labels: &Labels) -> bool {
        (self.namespaces.contains(&pod.namespace)
            || self.namespace_selector.as_ref().is_some_and(|s| s.matches(namespace_labels)))
            && self.selector.as_ref().is_some_and(|s| s.matches(&pod.labels))
    }
}

/// A liking for, or a dislike of, the company of pods, with its weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedPodAffinityTerm {
    /// 1..=100.
    pub weight: i32,
    /// The pods.
    pub term: PodAffinityTerm,
}

/// `spec.affinity`, flattened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affinity {
    /// Required node affinity; `None` where the pod has none.
    pub node_required: Option<NodeSelector>,
    /// Preferred node affinity.
    pub node_preferred: Vec<PreferredNode>,
    /// Required pod affinity.
    pub pod_required: Vec<PodAffinityTerm>,
    /// Preferred pod affinity.
    pub pod_preferred: Vec<WeightedPodAffinityTerm>,
    /// Required pod anti-affinity.
    pub anti_required: Vec<PodAffinityTerm>,
    /// Preferred pod anti-affinity.
    pub anti_preferred: Vec<WeightedPodAffinityTerm>,
}

impl Affinity {
    /// `true` if the pod has any rule about other pods.
    pub fn names_pods(&self) -> bool {
        !(self.pod_required.is_empty()
            && self.pod_preferred.is_empty()
            && self.anti_required.is_empty()
            && self.anti_preferred.is_empty())
    }
}
