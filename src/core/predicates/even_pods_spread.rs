//! # Rule
//! For each topology spread constraint with `whenUnsatisfiable: DoNotSchedule`, in their order:
//!
//! - the node must have the label `topologyKey`; the nodes with the same value of it make one domain;
//! - `matching pods in the node's domain + (1 if the pod itself matches) − fewest in any domain ≤ maxSkew`.
//!
//! Matching are the pods of the same namespace that the `labelSelector` selects and that are not being deleted. A domain
//! is one of a node that has the labels of all constraints and that the pod's node selector and required node affinity
//! let it on. Without any domain the constraint holds.
//!
//! Since 1.25 (so not for a Policy): with fewer domains than `minDomains` the fewest counts as 0;
//! `nodeAffinityPolicy: Ignore` takes in nodes that the node affinity shuts out, `nodeTaintsPolicy: Honor` leaves out
//! nodes with a taint that the pod does not tolerate; the values that the pod has for `matchLabelKeys` join the selector.
//!
//! # Policy name and framework plugin
//! `EvenPodsSpread`; plugin `PodTopologySpread`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/podtopologyspread/filtering.go`. 1.22 looks only for domains among the nodes that the
//! pod may go to, and then counts the pods on **all** nodes with these values; 1.34 counts on those nodes alone. By the
//! empty selector (`{}`) 1.22 counts all pods, 1.34 none. 1.6 knew no such rule; it came with 1.16.
//!
//! # Arguments
//! `defaultConstraints` of a profile (`PodTopologySpreadArgs`): for a pod that has no constraint of any kind, over the
//! pods that its services and its controller select together; not used where these select none in particular.
//!
//! # Reason text
//! `node(s) didn't match pod topology spread constraints`,
//! `node(s) didn't match pod topology spread constraints (missing required label)`
//!
//! # Can preemption help?
//! Yes; where the label is missing, no: unresolvable.
//!
//! # Example
//! `maxSkew: 1` by zone, and `az1`, `az2`, `az3` hold 3, 2 and 2 matching pods: one more fits in `az2` and `az3`
//! (2 + 1 − 2 = 1) but not in `az1` (3 + 1 − 2 = 2).

use rustc_hash::FxHashMap;

use super::{Build, Check, Demand, Predicate, Registration, Standing};
use crate::core::{
    model::{Name, Pod, WhenUnsatisfiable},
    rule::{Identity, Release},
    snapshot::{NodeInfo, Snapshot},
    spreading::{Constraint, Spreading, has_all_keys},
    verdict::Verdict,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "EvenPodsSpread",
        aliases: &[],
        plugin: "PodTopologySpread",
        modern_plugin: Some("PodTopologySpread"),
        source: include_str!("even_pods_spread.rs"),
    },
    standing: Standing::Default,
    build: Build::Rule(|arguments| Box::new(EvenPodsSpread(Spreading::new(arguments)))),
};

struct EvenPodsSpread(Spreading);

impl Predicate for EvenPodsSpread {
    fn prepare<'a>(&'a self, pod: &'a Pod, snapshot: &'a Snapshot) -> Demand<'a> {
        let constraints = self.0.constraints(pod, snapshot, WhenUnsatisfiable::DoNotSchedule);
        if constraints.is_empty() {
            return Demand::Nothing;
        }
        let mut domains: Vec<FxHashMap<&str, i64>> = vec![FxHashMap::default(); constraints.len()];
        let mut outside = Vec::new();
        for node in snapshot.nodes() {
            let complete = has_all_keys(&constraints, node.labels());
            for (at, constraint) in constraints.iter().enumerate() {
                if complete && constraint.includes(node, pod) {
                    let count = domains[at].entry(value(node, constraint)).or_default();
                    *count += constraint.count(node, &pod.namespace);
                } else if self.0.release == Release::V1_22 {
                    outside.push((at, node));
                }
            }
        }
        for (at, node) in outside {
            if let Some(count) = domains[at].get_mut(value(node, &constraints[at])) {
                *count += constraints[at].count(node, &pod.namespace);
            }
        }
        let limits = constraints.into_iter().zip(domains).map(|(constraint, domains)| Limit {
            highest: highest(&constraint, &domains, pod),
            topology_key: constraint.topology_key,
            domains,
        });
        Demand::Check(Box::new(Limits(limits.collect())))
    }
}

/// The node's value of the constraint's label, empty where it has none.
fn value<'a>(node: &'a NodeInfo, constraint: &Constraint<'_>) -> &'a str {
    node.labels().get(constraint.topology_key).map_or("", |value| value)
}

/// The most matching pods that a domain may hold for the pod to join them.
fn highest(constraint: &Constraint<'_>, domains: &FxHashMap<&str, i64>, pod: &Pod) -> i64 {
    let fewest = match domains.values().min() {
        _ if domains.len() < constraint.min_domains => 0,
        Some(fewest) => *fewest,
        None => i64::from(i32::MAX),
    };
    i64::from(constraint.max_skew) + fewest - i64::from(constraint.selects(pod))
}

struct Limit<'a> {
    topology_key: &'a Name,
    /// Matching pods by domain.
    domains: FxHashMap<&'a str, i64>,
    highest: i64,
}

struct Limits<'a>(Vec<Limit<'a>>);

impl Check for Limits<'_> {
    fn check(&self, node: &NodeInfo) -> Verdict {
        for limit in &self.0 {
            let Some(value) = node.labels().get(limit.topology_key) else {
                return Verdict::unresolvable(
                    "node(s) didn't match pod topology spread constraints (missing required label)",
                );
            };
            if limit.domains.get(&**value).copied().unwrap_or(0) > limit.highest {
                return Verdict::unschedulable("node(s) didn't match pod topology spread constraints");
            }
        }
        Verdict::Fits
    }
}
