//! # Rule
//! For the topology spread constraints with `whenUnsatisfiable: ScheduleAnyway`, each node that fits gets
//!
//! `sum = Σ over constraints: matching pods in the node's domain × ln(domains + 2) + maxSkew − 1`
//!
//! rounded to an integer, and then, between the lowest and the highest sum of the nodes that fit,
//! `score = 100 × (max + min − sum) / max` rounded down, or 100 where `max = 0`.
//!
//! Matching pods are those of the same namespace that the `labelSelector` selects and that are not being deleted. Pods on nodes that do
//! not fit count too if the pod's node selector and required node affinity accept the node. `domains` is the number of values of
//! `topologyKey` among the nodes that fit; for `kubernetes.io/hostname` every node is a domain of its own. A node without the labels of
//! all constraints scores 0.
//!
//! # Policy name and framework plugin
//! `EvenPodsSpreadPriority`; plugin `PodTopologySpread`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/podtopologyspread/scoring.go`. 1.22 cuts the sum off to an integer where 1.34 rounds
//! it to the nearest, and gives 100 to all nodes for a pod without constraints where 1.34 gives nothing. The predicate's
//! differences hold here too: `nodeAffinityPolicy`, `nodeTaintsPolicy`, `matchLabelKeys`, the empty selector. 1.6 knew no
//! such rule; it came with 1.16.
//!
//! # Arguments
//! `defaultConstraints` of a profile (`PodTopologySpreadArgs`): for a pod that has no constraint of any kind, over the
//! pods that its services and its controller select together. Those of `defaultingType: System`, the default since 1.20,
//! are `maxSkew: 3` by `kubernetes.io/hostname` and `maxSkew: 5` by `topology.kubernetes.io/zone`; under these a node
//! without a zone is scored by its host name. A Policy has none.
//!
//! # Example
//! `maxSkew: 1` by zone; 1.34; nodes in `az1`, `az2`, `az3` with 2, 1 and 0 matching pods: ln(3 + 2) = 1.609, so the sums
//! are round(3.219) = 3, round(1.609) = 2 and 0, and the scores 100 × (3 + 0 − 3) / 3 = 0, 33 and 100.

use super::{MAX_NODE_SCORE, Priority, Registration, Scores, arithmetic::percent, ln::ln};
use crate::work;
use crate::{
    block::NodeRef,
    index::Domains,
    model::{Pod, WhenUnsatisfiable, topology::HOSTNAME},
    node_set::NodeSet,
    rule::{Identity, Reads},
    snapshot::Snapshot,
    spreading::{Constraint, DEFAULTS, Inclusion, Spreading},
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "EvenPodsSpreadPriority",
        aliases: &[],
        plugin: "PodTopologySpread",
        modern_plugin: Some("PodTopologySpread"),
        arguments: &[&DEFAULTS],
        source: include_str!("even_pods_spread.rs"),
    },
    default_weight: Some(2),
    build: |arguments| Box::new(EvenPodsSpread(Spreading::new(arguments))),
};

struct EvenPodsSpread(Spreading);

impl Priority for EvenPodsSpread {
    fn score(&self, pod: &Pod, snapshot: &Snapshot, candidates: &NodeSet<'_>) -> Scores {
        let constraints = self.0.constraints(pod, snapshot, WhenUnsatisfiable::ScheduleAnyway);
        if constraints.is_empty() {
            return Scores::Same(self.0.release.facts().spread_score_without_constraints);
        }
        let needs_all = self.0.requires_all_keys(pod);
        let mut spreads: Vec<Spread<'_>> = constraints.iter().map(|c| Spread::new(c, pod, snapshot)).collect();
        work::spend_on(spreads.len().saturating_mul(candidates.len()));
        let complete: Vec<bool> = {
            let is_complete =
                |node: NodeRef<'_>| !needs_all || spreads.iter().all(|s| s.domains.of(node.slot()).is_some());
            candidates.iter().map(is_complete).collect()
        };
        for spread in &mut spreads {
            let scored = candidates.iter().zip(&complete).filter(|(_, complete)| **complete).map(|(node, _)| node);
            spread.choose_domains(scored);
        }
        if spreads.iter().any(|spread| !spread.by_host) {
            work::spend_on(spreads.len().saturating_mul(snapshot.node_count()));
            for node in snapshot.node_set().iter() {
                if !needs_all || spreads.iter().all(|s| s.domains.of(node.slot()).is_some()) {
                    for spread in &mut spreads {
                        spread.take_in(node);
                    }
                }
            }
        }
        let rounds = self.0.release.facts().rounds_spread_sums;
        let sum = |node: NodeRef<'_>| {
            let parts = spreads.iter().filter_map(|s| Some(s.matching(node)? as f64 * s.weight + s.constant()));
            let sum: f64 = parts.sum();
            if rounds { sum.round() as i64 } else { sum as i64 }
        };
        let sums: Vec<Option<i64>> =
            candidates.iter().zip(complete).map(|(node, complete)| complete.then(|| sum(node))).collect();
        lowest_best(&sums)
    }

    fn reads(&self, pod: &Pod, snapshot: &Snapshot) -> Reads {
        let constraints = self.0.constraints(pod, snapshot, WhenUnsatisfiable::ScheduleAnyway);
        if constraints.is_empty() { Reads::Nothing } else { Reads::Cluster }
    }
}

/// One constraint, counted over the domains of the nodes that are scored.
struct Spread<'a> {
    constraint: &'a Constraint<'a>,
    domains: Domains,
    includes: Inclusion<'a>,
    /// `true` if every node is a domain of its own.
    by_host: bool,
    /// Matching pods by slot.
    counts: Vec<i64>,
    /// Matching pods by domain, `None` for one of nodes that are not scored; unused by host. Nodes without the label,
    /// which only kube-scheduler's own constraints let in, are one domain.
    there: Vec<Option<i64>>,
    weight: f64,
}

impl<'a> Spread<'a> {
    fn new(constraint: &'a Constraint<'a>, pod: &'a Pod, snapshot: &Snapshot) -> Self {
        let domains = constraint.domains(snapshot);
        Self {
            by_host: **constraint.topology_key == *HOSTNAME,
            counts: constraint.counts(&pod.namespace, snapshot),
            there: vec![None; domains.bound()],
            weight: 0.0,
            includes: constraint.inclusion(pod, snapshot),
            constraint,
            domains,
        }
    }

    /// Finds the domains of the nodes that are scored.
    fn choose_domains<'n>(&mut self, scored: impl Iterator<Item = NodeRef<'n>>) {
        self.weight = if self.by_host {
            weight(scored.count())
        } else {
            scored.for_each(|node| self.there[self.domains.of_value(node.slot())] = Some(0));
            weight(self.there.iter().flatten().count())
        };
    }

    /// Counts the pods of a node, if they count.
    fn take_in(&mut self, node: NodeRef<'_>) {
        let count = self.counts[node.slot() as usize];
        if count == 0 || self.by_host {
            return;
        }
        if let Some(there) = &mut self.there[self.domains.of_value(node.slot())]
            && self.includes.holds(node)
        {
            *there += count;
        }
    }

    /// How many pods match in the node's domain; `None` where it has no label.
    fn matching(&self, node: NodeRef<'_>) -> Option<i64> {
        let domain = self.domains.of(node.slot())?;
        if self.by_host {
            return Some(self.counts[node.slot() as usize]);
        }
        Some(self.there[domain].unwrap_or(0))
    }

    fn constant(&self) -> f64 {
        // An `int32` in kube-scheduler, which wraps (`podtopologyspread/scoring.go`, `scoreForCount`).
        f64::from(self.constraint.max_skew.wrapping_sub(1))
    }
}

/// Weighs the counts of few large domains against those of many small ones.
fn weight(domains: usize) -> f64 {
    ln((domains + 2) as f64)
}

/// Turns sums round; a node without one scores 0.
fn lowest_best(sums: &[Option<i64>]) -> Scores {
    let lowest = sums.iter().flatten().copied().min().unwrap_or(0);
    let highest = sums.iter().flatten().copied().max().unwrap_or(0);
    let score = |sum: &Option<i64>| match (sum, highest) {
        (None, _) => 0,
        (Some(_), 0) => MAX_NODE_SCORE,
        (Some(sum), _) => percent(highest + lowest - sum, highest),
    };
    sums.iter().map(score).collect()
}

#[cfg(test)]
mod tests {
    use crate::model::WhenUnsatisfiable::{DoNotSchedule, ScheduleAnyway};
    use crate::model::topology::{HOSTNAME, ZONE};
    use crate::rule::{Arguments, Release};
    use crate::snapshot::Object;
    use crate::testing::{NodeBuilder, PodBuilder, node, pod, priority, scores_of, service};

    fn web(name: &str, on: &str) -> Object {
        pod(name).label("app", "web").on(on).into()
    }

    /// Nodes `a`, `b`, `c` in zones z1, z2, z3 with 2, 1 and 0 pods of `app=web`, `d` without a zone and with 1.
    fn cluster() -> Vec<Object> {
        let nodes = [node("a").zone("z1"), node("b").zone("z2"), node("c").zone("z3"), node("d")];
        let mut all: Vec<_> = nodes.into_iter().map(NodeBuilder::into).collect();
        all.extend([web("p0", "a"), web("p1", "a"), web("p2", "b"), web("p3", "d")]);
        all.push(pod("p4").label("app", "web").on("c").terminating().into());
        all
    }

    fn scores(release: Release, pod: PodBuilder, cluster: &[Object]) -> Vec<i64> {
        scores_of(&*priority("EvenPodsSpreadPriority", &Arguments::defaults(release)), pod, cluster)
    }

    fn by(key: &str, max_skew: i32) -> PodBuilder {
        pod("new").label("app", "web").spread(max_skew, key, ScheduleAnyway, "app=web")
    }

    #[test]
    fn emptier_domains_score_higher() {
        // weight ln(3 + 2) = 1.609: sums 3.219, 1.609, 0. Rounded 3, 2, 0: 0, 33.3, 100. Cut off 3, 1, 0: 0, 66.7, 100.
        assert_eq!(scores(Release::V1_34, by(ZONE, 1), &cluster()), [0, 33, 100, 0]);
        assert_eq!(scores(Release::V1_22, by(ZONE, 1), &cluster()), [0, 66, 100, 0]);
        // maxSkew 3 adds 2: sums 5, 4, 2 → 100 × (5 + 2 − sum) / 5 = 40, 60, 100
        assert_eq!(scores(Release::V1_34, by(ZONE, 3), &cluster()), [40, 60, 100, 0]);
        // By host, weight ln(4 + 2) = 1.792: sums 3.58, 1.79, 0, 1.79 → 4, 2, 0, 2
        assert_eq!(scores(Release::V1_34, by(HOSTNAME, 1), &cluster()), [0, 50, 100, 50]);
        // By both, d is left out and the hosts weigh ln(3 + 2): sums 6.44, 3.22, 0 → 6, 3, 0
        let both = by(ZONE, 1).spread(1, HOSTNAME, ScheduleAnyway, "app=web");
        assert_eq!(scores(Release::V1_34, both, &cluster()), [0, 50, 100, 0]);
    }

    #[test]
    fn max_skew_wraps_like_an_int32() {
        // 2^31 - 1 more or less counts for everything, and MIN - 1 is MAX: 100 × (3 + 2^31 + 2^31 - sum) / (3 + 2^31)
        for max_skew in [i32::MIN, i32::MAX] {
            assert_eq!(scores(Release::V1_34, by(ZONE, max_skew), &cluster())[2], 100, "{max_skew}");
        }
    }

    #[test]
    fn nothing_to_spread_or_nothing_there() {
        let plain = || pod("new").label("app", "web");
        assert_eq!(scores(Release::V1_22, plain(), &cluster()), [100; 4]);
        assert_eq!(scores(Release::V1_34, plain(), &cluster()), [0; 4]);
        let hard = plain().spread(1, ZONE, DoNotSchedule, "app=web");
        assert_eq!(scores(Release::V1_34, hard, &cluster()), [0; 4]);
        assert_eq!(scores(Release::V1_34, by(ZONE, 1), &cluster()[..4]), [100, 100, 100, 0], "no pod yet");
    }

    #[test]
    fn nodes_shut_out_by_node_affinity_do_not_count() {
        let picky = by(ZONE, 1).with(|pod| pod.spec_mut().node_selector = [("disk", "ssd")].into_iter().collect());
        // All counts are 0, since no node has the disk.
        assert_eq!(scores(Release::V1_34, picky, &cluster()), [100, 100, 100, 0]);
    }

    #[test]
    fn kube_schedulers_own_constraints_spread_a_service_by_host_and_zone() {
        let mut served = cluster();
        served.push(service("web", "app=web"));
        // Hosts ln(4 + 2) = 1.792 + 2; zones, the nodes without one being a fourth, ln(4 + 2) + 4:
        // a 3.58 + 2 + 3.58 + 4 = 13.17 → 13, b 1.79 + 2 + 1.79 + 4 = 9.58 → 10, c 6, d 1.79 + 2 = 3.79 → 4
        // 100 × (13 + 4 − sum) / 13 = 30.8, 53.8, 84.6, 100
        assert_eq!(scores(Release::V1_34, pod("new").label("app", "web"), &served), [30, 53, 84, 100]);
        assert_eq!(scores(Release::V1_22, pod("new").label("app", "web"), &served), [100; 4]);
    }
}
