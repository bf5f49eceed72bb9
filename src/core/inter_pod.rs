//! What the predicate and the priority of inter-pod affinity share: which running pods a term of the incoming pod means,
//! and numbers per topology domain.
//!
//! Source: `pkg/scheduler/framework/types.go` (`AffinityTerm`), `pkg/scheduler/framework/plugins/interpodaffinity`.

use rustc_hash::FxHashMap;

use super::{
    model::{Affinity, Labels, Name, Pod, PodAffinityTerm, Selector},
    rule::Release,
    snapshot::Snapshot,
};

/// A term of the incoming pod, its namespace selector resolved to the namespaces it selects.
pub(super) struct IncomingTerm<'a> {
    /// The node label whose equal values make one domain.
    pub(super) topology_key: &'a Name,
    selector: Option<&'a Selector>,
    namespaces: Vec<&'a Name>,
    any_namespace: bool,
}

impl<'a> IncomingTerm<'a> {
    /// Resolves a term. Namespaces that are not stored are selected by the empty selector only.
    ///
    /// 1.34 (`interpodaffinity/plugin.go`, `mergeAffinityTermNamespacesIfNotEmpty`) resolves a copy of the term and
    /// afterwards asks the selector again, of an empty set of labels: one that only says what labels a namespace must
    /// not have then means every namespace.
    pub(super) fn resolve(term: &'a PodAffinityTerm, snapshot: &'a Snapshot, release: Release) -> Self {
        let mut resolved = Self {
            topology_key: &term.topology_key,
            selector: term.selector.as_ref(),
            namespaces: term.namespaces.iter().collect(),
            any_namespace: false,
        };
        if let Some(selector) = &term.namespace_selector {
            resolved.any_namespace =
                selector.is_empty() || (release == Release::V1_34 && selector.matches(&Labels::default()));
            if !resolved.any_namespace {
                let selected = snapshot.namespaces().filter(|n| selector.matches(&n.labels));
                resolved.namespaces.extend(selected.map(|n| &n.name));
            }
        }
        resolved
    }

    /// Whether the term means this pod.
    pub(super) fn means(&self, pod: &Pod) -> bool {
        (self.any_namespace || self.namespaces.contains(&&pod.namespace))
            && self.selector.is_some_and(|s| s.matches(&pod.labels))
    }
}

/// Whether any rule of `other` about other pods, required or preferred, means `pod`.
pub(super) fn names(other: &Pod, pod: &Pod, snapshot: &Snapshot) -> bool {
    let Affinity { pod_required, anti_required, pod_preferred, anti_preferred, .. } = &other.affinity;
    let preferred = pod_preferred.iter().chain(anti_preferred).map(|wish| &wish.term);
    let mut terms = pod_required.iter().chain(anti_required).chain(preferred).peekable();
    if terms.peek().is_none() {
        return false;
    }
    let namespace_labels = snapshot.namespace_labels(&pod.namespace);
    terms.any(|term| term.matches(pod, namespace_labels))
}

/// Whether any pod on a node has a rule that means `pod`.
pub(super) fn is_named(pod: &Pod, snapshot: &Snapshot) -> bool {
    snapshot.nodes().flat_map(|node| &node.pods_with_affinity).any(|other| names(other, pod, snapshot))
}

/// A number for each topology domain, that is for each value of a node label. What nobody added to is 0.
#[derive(Default)]
pub(super) struct Domains<'a>(Vec<(&'a Name, FxHashMap<&'a Name, i64>)>);

impl<'a> Domains<'a> {
    /// Adds to the domain of a node with these labels; nothing happens where the node is in no domain of this key.
    pub(super) fn add(&mut self, node: &'a Labels, key: &'a Name, amount: i64) {
        let Some(value) = node.get(key) else { return };
        let at = self.0.iter().position(|(k, _)| *k == key).unwrap_or_else(|| {
            self.0.push((key, FxHashMap::default()));
            self.0.len() - 1
        });
        *self.0[at].1.entry(value).or_default() += amount;
    }

    /// The number of the node's domain; `None` where the node is in no domain of this key.
    pub(super) fn get(&self, node: &Labels, key: &Name) -> Option<i64> {
        let value = node.get(key)?;
        let by_value = self.0.iter().find(|(k, _)| *k == key).map(|(_, by_value)| by_value);
        Some(by_value.and_then(|m| m.get(value)).copied().unwrap_or(0))
    }

    /// The numbers of the node's domains, one for each key that was added to and that the node has.
    pub(super) fn of<'d>(&'d self, node: &'d Labels) -> impl Iterator<Item = i64> + 'd {
        self.0.iter().filter_map(|(key, by_value)| by_value.get(node.get(key)?).copied())
    }

    /// The keys of the domains that were added to.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a Name> {
        self.0.iter().map(|(key, _)| *key)
    }

    /// What all domains come to together.
    pub(super) fn total(&self) -> i64 {
        self.0.iter().flat_map(|(_, by_value)| by_value.values()).sum()
    }

    /// Whether nothing was added to any domain.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
