//! How well a cluster is placed: broken rules, skew, balance of the nodes, price.
//!
//! Counted are the ready nodes that the policy selects, with the pods on them:
//!
//! - *violations*: pods that do not tolerate a `NoSchedule` or `NoExecute` taint of their node, whose node does not meet their node selector or required
//!   node affinity, or whose required anti-affinity another pod breaks; and by how many pods domains exceed `maxSkew` of `DoNotSchedule` constraints;
//! - *duplicates*: pods beyond the first of one controller on one node;
//! - *wanted*: evictions that the policy would still like, whatever its limits and the disruption budgets;
//! - *utilization* by requests: the lowest, the mean and the highest of the nodes, and the standard deviation;
//! - *cost*: prices of the nodes in use, where node groups name them.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Charging, Limits, Policy, Unsuited,
    moves::Fate,
    node_fit::repels,
    nodes::Nodes,
    remove_pods_violating_inter_pod_anti_affinity::Company,
    remove_pods_violating_topology_spread_constraint::{constraints_of, skew},
    reschedule,
    utilization::percent,
};
use crate::{
    model::{Name, Pod, Quantity, WhenUnsatisfiable, first_untolerated, resources},
    simulate::{MadeAnew, made_anew},
    snapshot::Snapshot,
    work,
};

/// Pods that break rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    /// They do not tolerate a taint of their node.
    pub taints: u64,
    /// Their node does not meet their node selector or required node affinity.
    pub node_affinity: u64,
    /// Another pod breaks their required anti-affinity.
    pub anti_affinity: u64,
    /// Pods by which domains exceed the skew that constraints allow.
    pub spread: u64,
}

impl Violations {
    /// All together.
    pub fn total(&self) -> u64 {
        self.taints + self.node_affinity + self.anti_affinity + self.spread
    }
}

/// Utilization of nodes, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Balance {
    /// Of the emptiest node.
    pub lowest: f64,
    /// Of all nodes on average.
    pub mean: f64,
    /// Of the fullest node.
    pub highest: f64,
    /// The standard deviation.
    pub deviation: f64,
}

/// How well a cluster is placed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measure {
    /// Nodes that are looked at.
    pub nodes: usize,
    /// Those with a pod that does not belong to its node.
    pub in_use: usize,
    /// Pods that wait for a node.
    pub waiting: usize,
    /// Broken rules.
    pub violations: Violations,
    /// Pods beyond the first of one controller on one node.
    pub duplicates: u64,
    /// Evictions that the policy would still like.
    pub wanted: u64,
    /// Balance by resource.
    pub balance: BTreeMap<Name, Balance>,
    /// The price of the nodes in use for an hour; `None` where no group has one.
    pub cost: Option<Quantity>,
}

/// Measures that are to become smaller, and those that must not become larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Score {
    waiting: usize,
    violations: u64,
    wanted: u64,
}

impl Score {
    /// `true` if nothing is worse than before, and something is better.
    pub(super) fn is_better_than(self, before: Self) -> bool {
        self.waiting <= before.waiting
            && self.violations <= before.violations
            && self.wanted <= before.wanted
            && self != before
    }
}

/// The evictions that a policy would like without limits and budgets.
fn wanted(snapshot: &Snapshot, policy: &Policy, now: i64) -> Result<u64, Unsuited> {
    let free = Policy { limits: Limits::default(), charging: Charging::Never, ..policy.clone() };
    Ok(reschedule(snapshot, &free, now)?.once_each().0.len() as u64)
}

/// Measures of a cluster that are compared.
pub(super) fn score(snapshot: &Snapshot, policy: &Policy, now: i64) -> Result<Score, Unsuited> {
    let nodes = Nodes::new(snapshot, &policy.node_selector);
    Ok(Score {
        waiting: waiting(snapshot),
        violations: violations(&nodes).total(),
        wanted: wanted(snapshot, policy, now)?,
    })
}

fn waiting(snapshot: &Snapshot) -> usize {
    work::spend_on(snapshot.pod_count() / 8);
    snapshot.pods().filter(|pod| pod.waits()).count()
}

fn violations(nodes: &Nodes<'_>) -> Violations {
    let mut found = Violations::default();
    let mut company = Company::new(nodes, |_| true);
    for node in &nodes.list {
        for pod in &node.pods {
            work::spend(1);
            let is_tolerated = first_untolerated(&node.node.taints, &pod.spec.tolerations, repels).is_none();
            found.taints += u64::from(!is_tolerated);
            found.node_affinity += u64::from(!pod.selects_node(&node.node));
            let has_terms = !pod.spec.affinity.anti_required.is_empty();
            found.anti_affinity += u64::from(has_terms && company.offender(pod, node).is_some());
        }
    }
    found.spread = spread(nodes);
    found
}

/// Pods by which domains exceed the skew that `DoNotSchedule` constraints allow.
fn spread(nodes: &Nodes<'_>) -> u64 {
    let mut by_namespace: FxHashMap<&str, Vec<_>> = FxHashMap::default();
    for pod in nodes.list.iter().flat_map(|node| &node.pods) {
        by_namespace.entry(&*pod.namespace).or_default().push(pod);
    }
    let mut excess = 0;
    for pods in by_namespace.values() {
        for constraint in constraints_of(pods, &[WhenUnsatisfiable::DoNotSchedule]) {
            let skew = skew(&constraint.domains(pods, nodes));
            excess += u64::try_from(skew - constraint.max_skew()).unwrap_or(0);
        }
    }
    excess
}

fn duplicates(nodes: &Nodes<'_>) -> u64 {
    let mut duplicates = 0;
    for node in &nodes.list {
        let mut seen = FxHashSet::default();
        for controller in node.pods.iter().filter_map(|pod| pod.controller.as_ref()) {
            duplicates += u64::from(!seen.insert(&*controller.uid));
        }
    }
    duplicates
}

impl Measure {
    /// That of a cluster under a policy.
    ///
    /// # Errors
    /// If a profile names a priority class that the cluster does not have.
    pub fn of(snapshot: &Snapshot, policy: &Policy, now: i64) -> Result<Self, Unsuited> {
        let nodes = Nodes::new(snapshot, &policy.node_selector);
        let is_used = |pod: &Pod| made_anew(pod) != MadeAnew::WithItsNode;
        let used: Vec<_> = nodes.list.iter().filter(|node| node.pods.iter().any(|pod| is_used(pod))).copied().collect();
        let mut cost = None;
        for group in snapshot.node_groups() {
            let Some(price) = group.cost else { continue };
            work::spend_on(used.len());
            for _ in used.iter().filter(|node| group.has(&node.node)) {
                cost = Some(cost.unwrap_or_else(Quantity::default).saturating_add(price));
            }
        }
        let basic = [resources::CPU, resources::MEMORY, resources::PODS].map(Name::from);
        Ok(Self {
            nodes: nodes.list.len(),
            in_use: used.len(),
            waiting: waiting(snapshot),
            violations: violations(&nodes),
            duplicates: duplicates(&nodes),
            wanted: wanted(snapshot, policy, now)?,
            balance: basic.into_iter().map(|name| (name.clone(), balance(&nodes, &name))).collect(),
            cost,
        })
    }

    pub(super) fn score(&self) -> Score {
        Score { waiting: self.waiting, violations: self.violations.total(), wanted: self.wanted }
    }

    /// `true` if no more pods wait, no more rules are broken and no more evictions are wanted than before, and one of these became less.
    pub fn is_better_than(&self, before: &Self) -> bool {
        self.score().is_better_than(before.score())
    }
}

fn balance(nodes: &Nodes<'_>, name: &Name) -> Balance {
    let shares: Vec<f64> = nodes.list.iter().filter_map(|node| percent(node, name)).collect();
    if shares.is_empty() {
        return Balance::default();
    }
    let count = shares.len() as f64;
    let mean = shares.iter().sum::<f64>() / count;
    let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / count;
    Balance {
        lowest: shares.iter().copied().fold(f64::INFINITY, f64::min),
        mean,
        highest: shares.iter().copied().fold(0.0, f64::max),
        deviation: variance.sqrt(),
    }
}

/// `true` if a fate leaves the pod without a node.
pub(super) fn is_stuck(fate: &Fate) -> bool {
    matches!(fate, Fate::Nowhere(_) | Fate::Lost)
}
