//! `RemovePodsViolatingInterPodAntiAffinity`: evicts pods whose required anti-affinity another pod breaks.
//!
//! A pod goes if another pod in the domain of its node matches one of its terms. Of each node the pods of the lowest priority go first. An evicted
//! pod does not count any more, so of two that keep each other off one stays. `namespaces` and `labelSelector` say which pods are looked at, on both
//! sides. Namespaces are those that a term names, else the pod's own; a term's `namespaceSelector` is not read.
//!
//! Source: `descheduler/pkg/framework/plugins/removepodsviolatinginterpodantiaffinity`, `descheduler/pkg/utils/predicates.go`
//! (`CheckPodsWithAntiAffinityExist`).

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{PodFilter, Strategy, Turn, ledger::Denied, lowest_first, node_fit::matches, nodes::Nodes};
use crate::{
    model::{Name, Pod, PodAffinityTerm},
    node_info::NodeInfo,
    work,
};

/// Arguments of `RemovePodsViolatingInterPodAntiAffinity`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovePodsViolatingInterPodAntiAffinity {
    /// `namespaces` and `labelSelector`.
    pub pods: PodFilter,
}

/// Nodes that count as one for a term: those with one value of its label, or one node alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Domain<'s> {
    Value(&'s str),
    Node(&'s str),
}

/// The pods that a term matches, by domain.
type Matching<'s> = FxHashMap<Domain<'s>, Vec<&'s Arc<Pod>>>;

/// Pods in view of each other.
pub(super) struct Company<'n, 's> {
    nodes: &'n Nodes<'s>,
    by_namespace: FxHashMap<&'s str, Vec<&'s Arc<Pod>>>,
    /// By term, and the namespace whose pods it means where it names none.
    found: FxHashMap<&'s str, Vec<(&'s PodAffinityTerm, Matching<'s>)>>,
    gone: FxHashSet<(&'s str, &'s str)>,
}

impl<'n, 's> Company<'n, 's> {
    /// The pods of the nodes, as far as they are looked at.
    pub(super) fn new(nodes: &'n Nodes<'s>, has: impl Fn(&Pod) -> bool) -> Self {
        let mut by_namespace: FxHashMap<&str, Vec<&Arc<Pod>>> = FxHashMap::default();
        for pod in nodes.list.iter().flat_map(|node| &node.pods).filter(|pod| has(pod)) {
            work::spend(1);
            by_namespace.entry(&*pod.namespace).or_default().push(pod);
        }
        Self { nodes, by_namespace, found: FxHashMap::default(), gone: FxHashSet::default() }
    }

    /// A pod that breaks a required anti-affinity of a pod on this node.
    pub(super) fn offender(&mut self, pod: &'s Pod, node: &'s NodeInfo) -> Option<&'s Arc<Pod>> {
        for term in &pod.spec.affinity.anti_required {
            self.look(term, &pod.namespace);
            let known = self.found.get(&*pod.namespace)?;
            let (_, matching) = known.iter().find(|(known, _)| *known == term)?;
            let value = node.labels().get(&term.topology_key).map(|value| Domain::Value(value));
            for domain in value.into_iter().chain([Domain::Node(node.name())]) {
                let others = matching.get(&domain).map_or(&[][..], Vec::as_slice);
                let other = others.iter().find(|other| {
                    work::spend(1);
                    other.name != pod.name && !self.gone.contains(&(&*other.namespace, &*other.name))
                });
                if let Some(other) = other {
                    return Some(other);
                }
            }
        }
        None
    }

    /// Finds the pods that a term of a pod of this namespace matches, once.
    fn look(&mut self, term: &'s PodAffinityTerm, own: &'s Name) {
        let known = self.found.entry(&**own).or_default();
        work::spend_on(known.len());
        if known.iter().any(|(known, _)| *known == term) {
            return;
        }
        let mut matching = Matching::default();
        let namespaces = if term.namespaces.is_empty() { std::slice::from_ref(own) } else { &term.namespaces };
        let named: FxHashSet<&Name> = namespaces.iter().collect();
        for namespace in named {
            for other in self.by_namespace.get(&**namespace).into_iter().flatten() {
                work::spend(term.cost());
                let Some(node) = self.nodes.of(other).filter(|_| matches(term, own, other)) else { continue };
                if let Some(value) = node.labels().get(&term.topology_key) {
                    matching.entry(Domain::Value(value)).or_default().push(other);
                }
                matching.entry(Domain::Node(node.name())).or_default().push(other);
            }
        }
        known.push((term, matching));
    }
}

impl Strategy for RemovePodsViolatingInterPodAntiAffinity {
    fn name(&self) -> &'static str {
        "RemovePodsViolatingInterPodAntiAffinity"
    }

    fn run(&self, turn: &mut Turn<'_, '_>) {
        let nodes = turn.known_nodes();
        let mut company = Company::new(&nodes, |pod| self.pods.has(pod));
        for node in &nodes.list {
            let has_terms = |pod: &&Arc<Pod>| !pod.spec.affinity.anti_required.is_empty() && self.pods.has(pod);
            let mut pods: Vec<_> = node.pods.iter().filter(has_terms).collect();
            lowest_first(&mut pods);
            for pod in pods {
                let Some(other) = company.offender(pod, node) else { continue };
                if !turn.may_evict(pod) || !turn.may_go(pod) {
                    continue;
                }
                // A caller may know the one namespace and not the other.
                let why = || {
                    if other.namespace == pod.namespace {
                        format!("pod {} breaks its anti-affinity", other.name)
                    } else {
                        "a pod of another namespace breaks its anti-affinity".into()
                    }
                };
                match turn.evict(pod, why) {
                    Ok(()) => drop(company.gone.insert((&*pod.namespace, &*pod.name))),
                    Err(Denied::ThisPod) => {}
                    Err(Denied::Node) => break,
                    Err(Denied::Total) => return,
                }
            }
        }
    }
}
