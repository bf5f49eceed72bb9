//! `RemovePodsViolatingTopologySpreadConstraint`: evicts pods so that they can spread as their constraints demand.
//!
//! Only pods that may be evicted and that `namespaces` and `labelSelector` select are counted, and only constraints of those pods with an action in
//! `constraints` (`DoNotSchedule` where it is not given). For each constraint of a namespace, domains are taken in pairs: the smallest and the
//! largest. As long as they differ by more than `maxSkew`, pods move from one to the other: half of what is too much, but never below or above the
//! average, rounded up. Pods without node selector and node affinity go first. With `topologyBalanceNodeFit` (the default) a pod goes only if a node
//! of a domain below the average has room for it.
//!
//! Source: `descheduler/pkg/framework/plugins/removepodsviolatingtopologyspreadconstraint`.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use rustc_hash::FxHashMap;

use super::{
    PodFilter, Strategy, Turn,
    node_fit::{Places, repels},
    nodes::Nodes,
};
use crate::{
    model::{
        InclusionPolicy, Labels, Name, NodeSelector, Operator, Pod, Requirement, Selector, Toleration,
        TopologySpreadConstraint, WhenUnsatisfiable, first_untolerated,
    },
    node_info::NodeInfo,
    work,
};

/// Arguments of `RemovePodsViolatingTopologySpreadConstraint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovePodsViolatingTopologySpreadConstraint {
    /// `namespaces` and `labelSelector`.
    pub pods: PodFilter,
    /// `constraints`: the actions of constraints that are looked at.
    pub actions: Vec<WhenUnsatisfiable>,
    /// `topologyBalanceNodeFit`.
    pub node_fit: bool,
}

/// A constraint, with what of its pod it depends on.
#[derive(Debug, PartialEq)]
pub(super) struct Constraint<'s> {
    max_skew: i64,
    key: &'s Name,
    selector: Option<Selector>,
    /// Node selector and required node affinity, where only the nodes that they accept count.
    nodes: Option<(&'s Labels, Option<&'s NodeSelector>)>,
    /// Tolerations, where only the nodes whose taints they cover count.
    tolerations: Option<&'s [Toleration]>,
}

/// A domain with its pods: the last ones go first.
pub(super) struct Domain<'s> {
    value: &'s str,
    pods: Vec<&'s Arc<Pod>>,
}

impl<'s> Constraint<'s> {
    fn new(constraint: &'s TopologySpreadConstraint, pod: &'s Pod) -> Self {
        let selector = constraint.selector.clone().map(|mut selector| {
            for key in &constraint.match_label_keys {
                if let Some(value) = pod.labels.get(key) {
                    let operator = Operator::In(vec![value.clone()]);
                    selector.0.push(Requirement { key: key.clone(), operator });
                }
            }
            selector
        });
        let honors = |policy: Option<InclusionPolicy>, default| policy.unwrap_or(default) == InclusionPolicy::Honor;
        Self {
            max_skew: constraint.max_skew.into(),
            key: &constraint.topology_key,
            selector,
            nodes: honors(constraint.node_affinity_policy, InclusionPolicy::Honor)
                .then_some((&pod.spec.node_selector, pod.spec.affinity.node_required.as_ref())),
            tolerations: honors(constraint.node_taints_policy, InclusionPolicy::Ignore)
                .then_some(&pod.spec.tolerations),
        }
    }

    /// `true` if the node's domain counts.
    fn includes(&self, node: &NodeInfo) -> bool {
        let is_accepted = self.nodes.is_none_or(|(labels, required)| {
            labels.iter().all(|(key, value)| node.labels().get(key) == Some(value))
                && required.is_none_or(|required| required.matches(node.name(), node.labels()))
        });
        is_accepted
            && self.tolerations.is_none_or(|known| first_untolerated(&node.node.taints, known, repels).is_none())
    }

    /// By how many pods domains may differ.
    pub(super) fn max_skew(&self) -> i64 {
        self.max_skew
    }

    /// All domains, the smallest first.
    pub(super) fn domains(&self, pods: &[&'s Arc<Pod>], nodes: &Nodes<'s>) -> Vec<Domain<'s>> {
        let mut domains: BTreeMap<&str, Vec<&Arc<Pod>>> = BTreeMap::new();
        work::spend_on(nodes.list.len());
        for node in &nodes.list {
            if let Some(value) = node.labels().get(self.key).filter(|_| self.includes(node)) {
                domains.entry(value).or_default();
            }
        }
        for pod in pods {
            work::spend(1);
            let is_counted =
                !pod.terminating && self.selector.as_ref().is_some_and(|selector| selector.matches(&pod.labels));
            let value = || nodes.of(pod).and_then(|node| node.labels().get(self.key));
            if let Some(value) = is_counted.then(value).flatten() {
                domains.entry(value).or_default().push(pod);
            }
        }
        let mut domains: Vec<_> = domains.into_iter().map(|(value, pods)| Domain { value, pods }).collect();
        domains.sort_by_key(|domain| domain.pods.len());
        domains
    }

    /// Chooses the pods that are to go.
    fn balance(
        &self,
        mut domains: Vec<Domain<'s>>,
        nodes: &[&'s Arc<NodeInfo>],
        with_node_fit: bool,
        chosen: &mut Choice<'s>,
    ) {
        let count: usize = domains.iter().map(|domain| domain.pods.len()).sum();
        let average = count as f64 / domains.len() as f64;
        let below: HashSet<&str> =
            domains.iter().filter(|domain| (domain.pods.len() as f64) < average).map(|domain| domain.value).collect();
        let is_below = |node: &&&Arc<NodeInfo>| node.labels().get(self.key).is_some_and(|v| below.contains(&**v));
        work::spend_on(nodes.len());
        let mut places =
            Places::new(nodes.iter().filter(is_below).filter(|node| self.includes(node)).copied().collect());
        for domain in &mut domains {
            domain.pods.sort_by_key(|pod| (!is_bound_to_nodes(pod), pod.spec.priority));
        }
        let (mut low, mut high) = (0, domains.len().saturating_sub(1));
        while low < high {
            work::spend(1);
            if domains[high].pods.len() as f64 <= average {
                high -= 1;
            }
            let (above, under) = (domains[high].pods.len() as f64, domains[low].pods.len() as f64);
            let skew = above - under;
            if skew <= self.max_skew as f64 {
                low += 1;
                continue;
            }
            let half = ((skew - self.max_skew as f64) / 2.0).ceil();
            let moves = (above - average).ceil().min((average - under).ceil()).min(half);
            if moves <= 0.0 {
                low += 1;
                continue;
            }
            let pods = &mut domains[high].pods;
            pods.sort_by_cached_key(|pod| places.has_another(pod));
            let from = pods.len().saturating_sub(moves as usize);
            let moved = pods.split_off(from);
            for pod in &moved {
                if !with_node_fit || places.has_another(pod) {
                    chosen.add(pod, || {
                        let (most, least, key) = (above, under, self.key);
                        format!("domains of {key} have {least} to {most} pods, maxSkew is {}", self.max_skew)
                    });
                }
            }
            domains[low].pods.extend(moved);
        }
    }
}

/// Pods that are to go, each once.
#[derive(Default)]
struct Choice<'s> {
    names: HashSet<(&'s str, &'s str)>,
    pods: Vec<(&'s Arc<Pod>, String)>,
}

impl<'s> Choice<'s> {
    fn add(&mut self, pod: &'s Arc<Pod>, why: impl FnOnce() -> String) {
        if self.names.insert((&*pod.namespace, &*pod.name)) {
            self.pods.push((pod, why()));
        }
    }
}

/// `true` if the pod chooses its nodes.
fn is_bound_to_nodes(pod: &Pod) -> bool {
    !pod.spec.node_selector.is_empty()
        || pod.spec.affinity.node_required.is_some()
        || !pod.spec.affinity.node_preferred.is_empty()
}

/// By how many pods the largest domain exceeds the smallest.
pub(super) fn skew(domains: &[Domain<'_>]) -> i64 {
    let count = |domain: Option<&Domain<'_>>| domain.map_or(0, |domain| domain.pods.len() as i64);
    count(domains.last()) - count(domains.first())
}

/// The constraints of pods with one of these actions, each once.
pub(super) fn constraints_of<'s>(pods: &[&'s Arc<Pod>], actions: &[WhenUnsatisfiable]) -> Vec<Constraint<'s>> {
    let mut constraints: Vec<Constraint<'_>> = Vec::new();
    let mut last: FxHashMap<&str, &Pod> = FxHashMap::default();
    for pod in pods.iter().filter(|pod| !pod.spec.topology_spread.is_empty()) {
        work::spend(1);
        let known = pod.controller.as_ref().and_then(|controller| last.insert(&controller.uid, pod));
        if known.is_some_and(|known| has_same_constraints(known, pod)) {
            continue;
        }
        let asked = pod.spec.topology_spread.iter().filter(|c| actions.contains(&c.when_unsatisfiable));
        for constraint in asked.map(|constraint| Constraint::new(constraint, pod)) {
            work::spend_on(constraints.len());
            if !constraints.contains(&constraint) {
                constraints.push(constraint);
            }
        }
    }
    constraints
}

/// `true` if both pods have the same constraints for sure.
fn has_same_constraints(one: &Pod, other: &Pod) -> bool {
    one.spec.topology_spread == other.spec.topology_spread
        && one.labels == other.labels
        && one.spec.node_selector == other.spec.node_selector
        && one.spec.affinity.node_required == other.spec.affinity.node_required
        && one.spec.tolerations == other.spec.tolerations
}

impl Strategy for RemovePodsViolatingTopologySpreadConstraint {
    fn name(&self) -> &'static str {
        "RemovePodsViolatingTopologySpreadConstraint"
    }

    fn run(&self, turn: &mut Turn<'_, '_>) {
        let nodes = turn.known_nodes();
        let mut by_namespace: BTreeMap<&str, Vec<&Arc<Pod>>> = BTreeMap::new();
        for pod in nodes.list.iter().flat_map(|node| &node.pods) {
            if self.pods.has(pod) && turn.may_evict(pod) {
                by_namespace.entry(&*pod.namespace).or_default().push(pod);
            }
        }
        let mut chosen = Choice::default();
        for pods in by_namespace.values() {
            for constraint in constraints_of(pods, &self.actions) {
                let domains = constraint.domains(pods, &nodes);
                if skew(&domains) > constraint.max_skew {
                    constraint.balance(domains, &nodes.list, self.node_fit, &mut chosen);
                }
            }
        }
        let mut why: BTreeMap<(&str, &str), String> = BTreeMap::new();
        let mut pods = Vec::with_capacity(chosen.pods.len());
        for (pod, reason) in chosen.pods {
            if turn.may_go(pod) {
                why.insert((&*pod.namespace, &*pod.name), reason);
                pods.push(pod);
            }
        }
        let _ = turn.evict_all(pods, |pod| why.remove(&(&*pod.namespace, &*pod.name)).unwrap_or_default());
    }
}
