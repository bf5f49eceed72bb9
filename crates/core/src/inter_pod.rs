//! Shared parts of the predicate and the priority of inter-pod affinity: the running pods that match a term of the incoming pod,
//! and numbers per topology domain.
//!
//! Source: `pkg/scheduler/framework/types.go` (`AffinityTerm`), `pkg/scheduler/framework/plugins/interpodaffinity`.

use super::{
    index::{Counts, Domains, Group, Slot},
    model::{Affinity, Labels, Name, Pod, PodAffinityTerm, Selector},
    rule::Release,
    snapshot::Snapshot,
    work,
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
    /// 1.34 (`interpodaffinity/plugin.go`, `mergeAffinityTermNamespacesIfNotEmpty`) resolves a copy of the term and then matches the selector
    /// again, against an empty set of labels. So a selector that only excludes labels matches every namespace.
    pub(super) fn resolve(term: &'a PodAffinityTerm, snapshot: &'a Snapshot, release: Release) -> Self {
        let mut resolved = Self {
            topology_key: &term.topology_key,
            selector: term.selector.as_ref(),
            namespaces: term.namespaces.iter().collect(),
            any_namespace: false,
        };
        if let Some(selector) = &term.namespace_selector {
            resolved.any_namespace = selector.is_empty()
                || release.facts().selector_of_unlabelled_means_all_namespaces && selector.matches(&Labels::default());
            if !resolved.any_namespace {
                let cost = selector.cost();
                let selected = snapshot.namespaces().filter(|n| {
                    work::spend(cost);
                    selector.matches(&n.labels)
                });
                resolved.namespaces.extend(selected.map(|n| &n.name));
            }
        }
        resolved.namespaces.sort();
        resolved.namespaces.dedup();
        resolved
    }

    /// The groups of running pods that the term means, with the nodes where they run.
    pub(super) fn groups(&self, snapshot: &'a Snapshot) -> impl Iterator<Item = (&'a Group, &'a Counts)> {
        let groups = &snapshot.index().groups;
        self.selector.into_iter().flat_map(move |selector| {
            let all = self.any_namespace.then(|| groups.selected(None, selector)).into_iter().flatten();
            let named = if self.any_namespace { &[][..] } else { &self.namespaces[..] };
            all.chain(named.iter().flat_map(move |namespace| groups.selected(Some(namespace), selector)))
        })
    }

    /// `true` if the term matches this pod.
    pub(super) fn means(&self, pod: &Pod) -> bool {
        self.means_labels(&pod.namespace, &pod.labels)
    }

    /// `true` if the term matches the pods of a group.
    pub(super) fn means_group(&self, group: &Group) -> bool {
        self.means_labels(&group.namespace, &group.labels)
    }

    fn means_labels(&self, namespace: &Name, labels: &Labels) -> bool {
        (self.any_namespace || self.namespaces.contains(&namespace)) && self.selector.is_some_and(|s| s.matches(labels))
    }
}

/// `true` if any rule of `other` about other pods, required or preferred, matches `pod`.
pub(super) fn names(other: &Pod, pod: &Pod, snapshot: &Snapshot) -> bool {
    let Affinity { pod_required, anti_required, pod_preferred, anti_preferred, .. } = &other.spec.affinity;
    let preferred = pod_preferred.iter().chain(anti_preferred).map(|wish| &wish.term);
    let mut terms = pod_required.iter().chain(anti_required).chain(preferred).peekable();
    if terms.peek().is_none() {
        return false;
    }
    let namespace_labels = snapshot.namespace_labels(&pod.namespace);
    terms.any(|term| {
        work::spend(1);
        term.matches(pod, namespace_labels)
    })
}

/// `true` if any pod on a node has a rule that matches `pod`.
pub(super) fn is_named(pod: &Pod, snapshot: &Snapshot) -> bool {
    snapshot.index().terms.any_means(pod, snapshot.namespace_labels(&pod.namespace))
}

/// Numbers for the topology domains of one key, that is, for each value of a node label. The default is 0.
pub(super) struct Sums {
    domains: Domains,
    sums: Vec<i64>,
}

impl Sums {
    /// All 0.
    pub(super) fn new(key: &str, snapshot: &Snapshot) -> Self {
        let domains = snapshot.index().topology.domains(key);
        Self { sums: vec![0; domains.bound()], domains }
    }

    /// Adds an amount for each of these, to the domains of the nodes where they are.
    pub(super) fn add(&mut self, counts: &Counts, amount: i64) {
        for (slot, count) in counts.iter() {
            if let Some(domain) = self.domains.of(slot) {
                self.sums[domain] += count * amount;
            }
        }
    }

    /// The number of the node's domain; `None` where the node is in none.
    pub(super) fn at(&self, slot: Slot) -> Option<i64> {
        self.domains.of(slot).map(|domain| self.sums[domain])
    }

    /// The sum over all domains.
    pub(super) fn total(&self) -> i64 {
        self.sums.iter().sum()
    }
}

/// Numbers for the topology domains of several keys.
#[derive(Default)]
pub(super) struct SumsByKey<'a>(Vec<(&'a Name, Sums)>);

impl<'a> SumsByKey<'a> {
    /// The numbers of one key.
    pub(super) fn of_key(&mut self, key: &'a Name, snapshot: &Snapshot) -> &mut Sums {
        work::spend_on(self.0.len() / 4);
        let at = self.0.iter().position(|(k, _)| *k == key).unwrap_or_else(|| {
            self.0.push((key, Sums::new(key, snapshot)));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Each key with its numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(&'a Name, Sums)> {
        self.0.iter()
    }

    /// `true` if nothing was added to any domain. Amounts are never below 0.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, sums)| sums.total() == 0)
    }
}
