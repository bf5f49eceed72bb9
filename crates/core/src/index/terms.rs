//! The rules of running pods about other pods: each different rule once, with the nodes where it runs.
//!
//! A rule is filed under a property that a matching pod must have (a namespace, a label), so that a pod is checked against few rules that
//! do not match it.

use std::sync::Arc;

use imbl::OrdMap;

use super::{Slot, counts::Counts};
use crate::{
    model::{Affinity, Labels, Name, Pod, PodAffinityTerm, Selector},
    work,
};

/// The attitude of a running pod towards the pods that its term matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stance {
    /// Required anti-affinity.
    Repels,
    /// Required affinity.
    Requires,
    /// A preference, with its weight; below 0 to be apart.
    Prefers(i32),
}

/// A term under what its pods must have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Filed {
    /// The namespace, or empty where a selector chooses it.
    namespace: Name,
    /// A label that they must have, or two empty texts.
    label: (Name, Name),
    stance: Stance,
    term: Arc<PodAffinityTerm>,
}

/// All terms of pods on nodes, known or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms(OrdMap<Filed, Counts>);

impl Terms {
    pub(super) fn add(&mut self, slot: Slot, pod: &Pod) {
        for filed in filed(&pod.spec.affinity) {
            self.0.entry(filed).or_default().add(slot);
        }
    }

    pub(super) fn remove(&mut self, slot: Slot, pod: &Pod) {
        for filed in filed(&pod.spec.affinity) {
            if self.0.get_mut(&filed).is_some_and(|counts| counts.remove(slot)) {
                self.0.remove(&filed);
            }
        }
    }

    /// `true` if any term matches the pod, whose namespace has these labels.
    pub(crate) fn any_means(&self, pod: &Pod, namespace_labels: &Labels) -> bool {
        let mut found = false;
        for repelling in [true, false] {
            self.meaning(pod, namespace_labels, repelling, |_, _, _| found = true);
        }
        found
    }

    /// Calls `each` with every term that matches the pod, whose namespace has these labels, and with the nodes of its owners. It visits either
    /// the terms of required anti-affinity or all others.
    pub(crate) fn meaning<'s>(
        &'s self,
        pod: &Pod,
        namespace_labels: &Labels,
        repelling: bool,
        mut each: impl FnMut(Stance, &'s Arc<PodAffinityTerm>, &'s Counts),
    ) {
        if self.0.is_empty() {
            return;
        }
        let nothing = Name::from("");
        let unlabelled = (nothing.clone(), nothing.clone());
        let least = Arc::new(PodAffinityTerm::default());
        let stance = if repelling { Stance::Repels } else { Stance::Requires };
        for namespace in [&pod.namespace, &nothing] {
            for label in pod.labels.iter().chain([&unlabelled]) {
                let from = Filed { namespace: namespace.clone(), label: label.clone(), stance, term: least.clone() };
                for (filed, counts) in self.0.range::<_, Filed>(&from..) {
                    let elsewhere = filed.namespace != from.namespace || filed.label != from.label;
                    if elsewhere || (repelling && filed.stance != Stance::Repels) {
                        break;
                    }
                    work::spend(filed.term.cost());
                    if filed.term.matches(pod, namespace_labels) {
                        each(filed.stance, &filed.term, counts);
                    }
                }
            }
        }
    }
}

/// Each term of a pod, once for each of its namespaces.
fn filed(affinity: &Affinity) -> impl Iterator<Item = Filed> + '_ {
    let required = [(Stance::Repels, &affinity.anti_required), (Stance::Requires, &affinity.pod_required)];
    let required = required.into_iter().flat_map(|(stance, terms)| terms.iter().map(move |term| (stance, term)));
    let likes = affinity.pod_preferred.iter().map(|wish| (Stance::Prefers(wish.weight), &wish.term));
    let dislikes = affinity.anti_preferred.iter().map(|wish| (Stance::Prefers(-wish.weight), &wish.term));
    required.chain(likes).chain(dislikes).flat_map(|(stance, term)| {
        let needed = term.selector.as_ref().and_then(Selector::needed_label);
        let label = needed.map_or_else(|| ("".into(), "".into()), |(key, value)| (key.clone(), value.clone()));
        let shared = Arc::new(term.clone());
        let file = move |namespace: &Name| Filed {
            namespace: namespace.clone(),
            label: label.clone(),
            stance,
            term: shared.clone(),
        };
        namespaces_of(term).iter().map(file).collect::<Vec<_>>()
    })
}

/// The namespaces to file a term under. A term with a namespace selector is filed under the empty name alone.
fn namespaces_of(term: &PodAffinityTerm) -> Vec<Name> {
    if term.namespace_selector.is_some() {
        return vec!["".into()];
    }
    let mut names = term.namespaces.clone();
    names.sort();
    names.dedup();
    names
}
