//! # Rule
//! Three questions, the first "no" being the answer:
//!
//! 1. *Affinity*: for every required term of the pod, a pod that **all** its terms mean runs in the node's domain (the
//!    nodes with the same value of the term's `topologyKey`), and the node has that label. When no such pod runs in any
//!    domain and the pod itself is meant by all its terms, it is the first of its group and the label is enough.
//! 2. *Anti-affinity*: no required term of the pod means a pod that runs in the node's domain. A node without the label
//!    is in no domain and so always passes.
//! 3. *Symmetry*: no pod that runs in the node's domain has a required anti-affinity term that means the pod.
//!
//! A term means the pods whose labels its `labelSelector` selects (an absent one: none; the empty one: all), in the
//! namespaces it names, in those its `namespaceSelector` selects (the empty one: all), and with neither in the pod's
//! own. Pods that are being deleted count as long as they are there.
//!
//! # Policy name and framework plugin
//! `MatchInterPodAffinity`; plugin `InterPodAffinity`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/interpodaffinity/filtering.go`. The rule of 1.22 (namespace selectors included: the
//! gate `PodAffinityNamespaceSelector` is on) and of 1.34 is the same, but for a namespace selector of the incoming pod
//! that only says what labels a namespace must not have (`NotIn`, `DoesNotExist`): in 1.34 it means every namespace. In
//! 1.6 (`PodAffinityChecker` in `plugin/pkg/scheduler/algorithm/predicates/predicates.go`) symmetry was asked first, each
//! term looked for a pod of its own (and for a group of its own to be the first of), there were no namespace selectors,
//! and the one reason was `MatchInterPodAffinity`.
//!
//! # Reason text
//! `node(s) didn't match pod affinity rules`, `node(s) didn't match pod anti-affinity rules`,
//! `node(s) didn't satisfy existing pods anti-affinity rules`
//!
//! # Can preemption help?
//! Against affinity no: unresolvable. Against anti-affinity, its own or that of others, yes.
//!
//! # Example
//! `web` requires anti-affinity to `app=web` by `kubernetes.io/hostname`: one replica for each node.

use super::{Build, Check, Demand, Predicate, Registration, Standing};
use crate::core::{
    inter_pod::{Domains, IncomingTerm},
    model::{Labels, Pod, PodAffinityTerm},
    rule::{Identity, Release},
    snapshot::{NodeInfo, Snapshot},
    verdict::Verdict,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "MatchInterPodAffinity",
        aliases: &[],
        plugin: "InterPodAffinity",
        modern_plugin: Some("InterPodAffinity"),
        source: include_str!("match_inter_pod_affinity.rs"),
    },
    standing: Standing::Default,
    build: Build::Rule(|arguments| Box::new(MatchInterPodAffinity { release: arguments.release })),
};

struct MatchInterPodAffinity {
    release: Release,
}

#[derive(Default)]
struct Company<'a> {
    affinity: Vec<IncomingTerm<'a>>,
    anti_affinity: Vec<IncomingTerm<'a>>,
    /// Running pods that all terms of `affinity` mean.
    wanted: Domains<'a>,
    /// Running pods that a term of `anti_affinity` means.
    avoided: Domains<'a>,
    /// Terms of running pods that mean the incoming pod.
    repelling: Domains<'a>,
    first_of_its_group: bool,
}

impl Predicate for MatchInterPodAffinity {
    fn prepare<'a>(&'a self, pod: &'a Pod, snapshot: &'a Snapshot) -> Demand<'a> {
        let resolve = |terms: &'a [PodAffinityTerm]| -> Vec<_> {
            terms.iter().map(|term| IncomingTerm::resolve(term, snapshot, self.release)).collect()
        };
        let mut company = Company {
            affinity: resolve(&pod.affinity.pod_required),
            anti_affinity: resolve(&pod.affinity.anti_required),
            ..Company::default()
        };
        let namespace_labels = snapshot.namespace_labels(&pod.namespace);
        for node in snapshot.nodes() {
            company.look_at(node);
            let theirs = node.pods_with_required_anti_affinity.iter().flat_map(|p| &p.affinity.anti_required);
            for term in theirs.filter(|term| term.matches(pod, namespace_labels)) {
                company.repelling.add(node.labels(), &term.topology_key, 1);
            }
        }
        if company.affinity.is_empty() && company.anti_affinity.is_empty() && company.repelling.is_empty() {
            return Demand::Nothing;
        }
        company.first_of_its_group = company.wanted.is_empty() && company.is_wanted(pod);
        Demand::Check(Box::new(company))
    }
}

impl<'a> Company<'a> {
    fn is_wanted(&self, pod: &Pod) -> bool {
        !self.affinity.is_empty() && self.affinity.iter().all(|term| term.means(pod))
    }

    fn look_at(&mut self, node: &'a NodeInfo) {
        if self.affinity.is_empty() && self.anti_affinity.is_empty() {
            return;
        }
        for pod in &node.pods {
            if self.is_wanted(pod) {
                for term in &self.affinity {
                    self.wanted.add(node.labels(), term.topology_key, 1);
                }
            }
            for term in self.anti_affinity.iter().filter(|term| term.means(pod)) {
                self.avoided.add(node.labels(), term.topology_key, 1);
            }
        }
    }

    fn finds_wanted(&self, node: &Labels) -> bool {
        let found = |term: &IncomingTerm<'_>| {
            self.wanted.get(node, term.topology_key).is_some_and(|count| count > 0 || self.first_of_its_group)
        };
        self.affinity.iter().all(found)
    }

    fn finds_avoided(&self, node: &Labels) -> bool {
        self.anti_affinity.iter().any(|term| self.avoided.get(node, term.topology_key).is_some_and(|count| count > 0))
    }
}

impl Check for Company<'_> {
    fn check(&self, node: &NodeInfo) -> Verdict {
        let node = node.labels();
        if !self.finds_wanted(node) {
            Verdict::unresolvable("node(s) didn't match pod affinity rules")
        } else if self.finds_avoided(node) {
            Verdict::unschedulable("node(s) didn't match pod anti-affinity rules")
        } else if self.repelling.of(node).any(|count| count > 0) {
            Verdict::unschedulable("node(s) didn't satisfy existing pods anti-affinity rules")
        } else {
            Verdict::Fits
        }
    }
}
