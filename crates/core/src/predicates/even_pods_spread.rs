//! # Rule
//! For each topology spread constraint with `whenUnsatisfiable: DoNotSchedule`, in their order:
//!
//! - the node must have the label `topologyKey`; the nodes with the same value of it make one domain;
//! - `matching pods in the node's domain + (1 if the pod itself matches) − fewest in any domain ≤ maxSkew`.
//!
//! Matching pods are those of the same namespace that the `labelSelector` selects and that are not being deleted. Domains are formed by
//! the nodes that have the labels of all constraints and are accepted by the pod's node selector and required node affinity. Without
//! any domain the constraint holds.
//!
//! Since 1.25 (so not for a Policy): with fewer domains than `minDomains` the fewest counts as 0; `nodeAffinityPolicy: Ignore`
//! includes nodes that the node affinity excludes; `nodeTaintsPolicy: Honor` excludes nodes with a taint that the pod does not
//! tolerate; the values that the pod has for `matchLabelKeys` join the selector.
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

use super::{Build, Check, Demand, Predicate, Registration, Standing};
use crate::{
    block::{Block, pick},
    index::Domains,
    model::{Pod, WhenUnsatisfiable},
    node_info::NodeInfo,
    overlay::NodeOverlay,
    rule::{Identity, Reads, Release},
    snapshot::Snapshot,
    spreading::{Constraint, DEFAULTS, Spreading},
    verdict::Verdict,
    work,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "EvenPodsSpread",
        aliases: &[],
        plugin: "PodTopologySpread",
        modern_plugin: Some("PodTopologySpread"),
        arguments: &[&DEFAULTS],
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
        let mut limits: Vec<Limit<'_>> = constraints.into_iter().map(|c| Limit::new(c, pod, snapshot)).collect();
        let counts_excluded = self.0.release.facts().spread_counts_pods_on_excluded_nodes;
        let mut outside = Vec::new();
        let included: Vec<_> = limits.iter().map(|limit| limit.constraint.inclusion(pod, snapshot)).collect();
        work::spend_on(limits.len().saturating_mul(snapshot.node_count()));
        for node in snapshot.node_set().iter() {
            let slot = node.slot();
            let complete = limits.iter().all(|limit| limit.domains.of(slot).is_some());
            for (at, limit) in limits.iter_mut().enumerate() {
                if complete && included[at].holds(node) {
                    *limit.there[limit.domains.of_value(slot)].get_or_insert(0) += limit.counts[slot as usize];
                } else if counts_excluded && limit.counts[slot as usize] > 0 {
                    outside.push((at, slot));
                }
            }
        }
        for (at, slot) in outside {
            let limit = &mut limits[at];
            if let Some(there) = &mut limit.there[limit.domains.of_value(slot)] {
                *there += limit.counts[slot as usize];
            }
        }
        limits.iter_mut().for_each(Limit::find_the_emptiest);
        Demand::Check(Box::new(Limits { release: self.0.release, pod, constraints: limits }))
    }

    fn reads(&self, pod: &Pod, snapshot: &Snapshot) -> Reads {
        let constraints = self.0.constraints(pod, snapshot, WhenUnsatisfiable::DoNotSchedule);
        if constraints.is_empty() { Reads::Nothing } else { Reads::Cluster }
    }
}

struct Limit<'a> {
    constraint: Constraint<'a>,
    domains: Domains,
    /// Matching pods by slot.
    counts: Vec<i64>,
    /// Matching pods by domain; `None` where that does not count.
    there: Vec<Option<i64>>,
    /// How many domains count.
    domain_count: usize,
    /// The emptiest domain with its pods, and those of the next.
    emptiest: Option<(usize, i64, Option<i64>)>,
    /// 1 where the pod itself matches, else 0.
    itself: i64,
}

struct Limits<'a> {
    release: Release,
    pod: &'a Pod,
    constraints: Vec<Limit<'a>>,
}

impl<'a> Limit<'a> {
    /// Without any domain.
    fn new(constraint: Constraint<'a>, pod: &Pod, snapshot: &Snapshot) -> Self {
        let domains = constraint.domains(snapshot);
        Self {
            counts: constraint.counts(&pod.namespace, snapshot),
            there: vec![None; domains.bound()],
            domain_count: 0,
            emptiest: None,
            itself: i64::from(constraint.selects(pod)),
            constraint,
            domains,
        }
    }

    fn find_the_emptiest(&mut self) {
        let mut emptiest: Option<(usize, i64, Option<i64>)> = None;
        for (domain, count) in self.there.iter().enumerate().filter_map(|(domain, there)| Some((domain, (*there)?))) {
            self.domain_count += 1;
            emptiest = Some(match emptiest {
                None => (domain, count, None),
                Some((_, fewest, _)) if count < fewest => (domain, count, Some(fewest)),
                Some((at, fewest, next)) => (at, fewest, Some(next.map_or(count, |next| next.min(count)))),
            });
        }
        self.emptiest = emptiest;
    }

    /// The fewest matching pods in any domain, had the domain that has `there` `more` of them.
    fn fewest(&self, domain: usize, there: Option<i64>, more: i64) -> i64 {
        match (self.emptiest, there) {
            _ if self.domain_count < self.constraint.min_domains => 0,
            (None, _) => i64::from(i32::MAX),
            (Some((_, fewest, _)), _) if more == 0 => fewest,
            (Some((at, fewest, next)), _) if at == domain => next.map_or(fewest + more, |next| next.min(fewest + more)),
            (Some((_, fewest, _)), Some(there)) => fewest.min(there + more),
            (Some((_, fewest, _)), None) => fewest,
        }
    }

    /// `true` if one more pod may go to a domain that has `more` pods than were counted.
    fn allows(&self, domain: usize, more: i64) -> bool {
        let there = self.there[domain];
        let skew = there.map_or(0, |there| there + more) + self.itself - self.fewest(domain, there, more);
        skew <= i64::from(self.constraint.max_skew)
    }
}

impl Limits<'_> {
    fn judge(&self, node: &NodeInfo, more: impl Fn(&Constraint<'_>) -> i64) -> Verdict {
        for limit in &self.constraints {
            let Some(domain) = limit.domains.of(node.slot()) else {
                return Verdict::unresolvable(
                    "node(s) didn't match pod topology spread constraints (missing required label)",
                );
            };
            if !limit.allows(domain, more(&limit.constraint)) {
                return Verdict::unschedulable("node(s) didn't match pod topology spread constraints");
            }
        }
        Verdict::Fits
    }
}

impl Check for Limits<'_> {
    fn check(&self, node: &NodeInfo) -> Verdict {
        self.judge(node, |_| 0)
    }

    fn sift(&self, block: &Block, asked: u64) -> u64 {
        self.constraints.iter().fold(asked, |asked, limit| {
            pick(asked, |at| limit.domains.of(block.slot(at)).is_some_and(|domain| limit.allows(domain, 0)))
        })
    }

    /// As `updateWithPod` has it: a pod that comes or goes counts where the selector selects it, also one that is being
    /// deleted, and by the empty selector too, though in the first count such pods did not.
    fn check_overlay(&self, node: &NodeOverlay) -> Verdict {
        let counts_excluded = self.release.facts().spread_counts_pods_on_excluded_nodes;
        let complete = self.constraints.iter().all(|limit| limit.domains.of(node.info().slot()).is_some());
        self.judge(node.info(), |constraint| {
            let counts = complete && (counts_excluded || constraint.includes(node.info(), self.pod));
            let selects = |other: &Pod| other.namespace == self.pod.namespace && constraint.selects(other);
            if counts { node.difference(|other| i64::from(selects(other))) } else { 0 }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::DEFAULTS;
    use crate::argument::DefaultSpreading;
    use crate::model::topology::{HOSTNAME, ZONE};
    use crate::model::{Effect, InclusionPolicy, TopologySpreadConstraint, WhenUnsatisfiable::DoNotSchedule};
    use crate::rule::{Arguments, Release};
    use crate::snapshot::Object;
    use crate::testing::{NodeBuilder, PodBuilder, node, pod, predicate, service, verdict_of};
    use crate::verdict::Verdict;

    const BOTH: [Release; 2] = [Release::V1_22, Release::V1_34];

    fn nodes() -> Vec<Object> {
        let nodes = [node("a").zone("z1"), node("b").zone("z2").label("disk", "ssd"), node("c").zone("z3"), node("d")];
        nodes.into_iter().map(NodeBuilder::into).collect()
    }

    /// `z1` 2, `z2` 1 and `z3` 0 pods of `app=web`.
    fn cluster() -> Vec<Object> {
        let web = |name: &str, on: &str| pod(name).label("app", "web").on(on);
        let others = [web("p3", "a").terminating(), web("p4", "c").namespace("prod"), pod("p5").on("c")];
        let pods = [web("p0", "a"), web("p1", "a"), web("p2", "b")].into_iter().chain(others);
        nodes().into_iter().chain(pods.map(PodBuilder::into)).collect()
    }

    fn web(max_skew: i32) -> PodBuilder {
        pod("new").label("app", "web").spread(max_skew, ZONE, DoNotSchedule, "app=web")
    }

    fn changed(change: impl FnOnce(&mut TopologySpreadConstraint)) -> PodBuilder {
        web(1).with(|pod| change(&mut pod.spec_mut().topology_spread[0]))
    }

    fn fits(arguments: &Arguments, pod: &PodBuilder, cluster: &[Object]) -> [bool; 3] {
        let rule = predicate("EvenPodsSpread", arguments);
        ["a", "b", "c"].map(|on| verdict_of(&*rule, pod.clone(), cluster, on).fits())
    }

    #[test]
    fn no_domain_may_exceed_the_emptiest_by_more_than_the_skew() {
        for release in BOTH {
            let fits = |pod: &PodBuilder| fits(&Arguments::defaults(release), pod, &cluster());
            // a: 2 + 1 − 0 = 3, b: 1 + 1 − 0 = 2, c: 0 + 1 − 0 = 1
            assert_eq!(fits(&web(1)), [false, false, true]);
            assert_eq!(fits(&web(2)), [false, true, true]);
            assert_eq!(fits(&web(3)), [true, true, true]);
            // The pod does not count itself: a: 2 − 0 = 2, b: 1, c: 0
            assert_eq!(fits(&pod("new").spread(1, ZONE, DoNotSchedule, "app=web")), [false, true, true]);
            assert_eq!(fits(&pod("plain")), [true, true, true]);
        }
    }

    #[test]
    fn a_missing_label_is_beyond_help_and_a_skew_is_not() {
        let rule = predicate("EvenPodsSpread", &Arguments::defaults(Release::V1_34));
        let verdict = |on| verdict_of(&*rule, web(1), &cluster(), on);
        let reason = "node(s) didn't match pod topology spread constraints";
        assert_eq!(verdict("a"), Verdict::unschedulable(reason));
        assert_eq!(verdict("d"), Verdict::unresolvable(format!("{reason} (missing required label)")));
    }

    #[test]
    fn only_nodes_that_the_pod_may_go_to_make_domains() {
        let picky = web(1).with(|pod| pod.spec_mut().node_selector = [("disk", "ssd")].into_iter().collect());
        for release in BOTH {
            // The only domain is z2: 1 + 1 − 1 = 1. In a domain that is none, 0 + 1 − 1 = 0.
            assert_eq!(fits(&Arguments::defaults(release), &picky, &cluster()), [true, true, true]);
        }
        // Another node of z2, without the disk and with two pods: 1.22 counts them, 1.34 does not. z4, with the disk, has 1.
        let web_on = |name: &str, on: &str| pod(name).label("app", "web").on(on).into();
        let mut larger = cluster();
        larger.extend([node("e").zone("z2").into(), node("f").zone("z4").label("disk", "ssd").into()]);
        larger.extend([web_on("p6", "e"), web_on("p7", "e"), web_on("p8", "f")]);
        // z2: 3 + 1 − 1 = 3 in 1.22, 1 + 1 − 1 = 1 in 1.34
        assert!(!fits(&Arguments::defaults(Release::V1_22), &picky, &larger)[1]);
        assert!(fits(&Arguments::defaults(Release::V1_34), &picky, &larger)[1]);
    }

    #[test]
    fn constraint_fields_since_1_25() {
        let asked = |pod: &PodBuilder, cluster: &[Object]| BOTH.map(|r| fits(&Arguments::defaults(r), pod, cluster));
        let ordinary = [false, false, true];
        // 3 domains are fewer than 4: the emptiest counts as 0, which changes nothing while z3 is empty …
        assert_eq!(asked(&changed(|c| c.min_domains = Some(4)), &cluster()), [ordinary, ordinary]);
        // … but with one pod in each, 1 + 1 − 1 = 1 becomes 1 + 1 − 0 = 2.
        let each = ["a", "b", "c"].map(|on| Object::from(pod(on).label("app", "web").on(on)));
        let each: Vec<_> = nodes().into_iter().chain(each).collect();
        assert_eq!(asked(&changed(|c| c.min_domains = Some(4)), &each), [[true; 3], [false; 3]]);
        // z1 and z2 alone are domains where z3 is tainted: a: 2 + 1 − 1 = 2, b: 1 + 1 − 1 = 1
        let mut tainted = cluster();
        tainted.push(node("c").zone("z3").taint("gpu", "", Effect::NoSchedule).into());
        let honoring = changed(|c| c.node_taints_policy = Some(InclusionPolicy::Honor));
        assert_eq!(asked(&honoring, &tainted), [ordinary, [false, true, true]]);
        // Ignoring the node selector, all zones are domains again: b: 1 + 1 − 0 = 2
        let ignoring = changed(|c| c.node_affinity_policy = Some(InclusionPolicy::Ignore))
            .with(|pod| pod.spec_mut().node_selector = [("disk", "ssd")].into_iter().collect());
        assert_eq!(asked(&ignoring, &cluster()), [[true; 3], ordinary]);
        // None of the pods there carries the incoming pod's version: 0 + 1 − 0 = 1
        let version = changed(|c| c.match_label_keys = vec!["version".into(), "missing".into()]).label("version", "2");
        assert_eq!(asked(&version, &cluster()), [ordinary, [true; 3]]);
        // The empty selector: 1.22 counts p5 too (a 2, b 1, c 1), 1.34 none
        let any = pod("new").spread(1, ZONE, DoNotSchedule, "");
        assert_eq!(asked(&any, &cluster()), [[false, true, true], [true; 3]]);
    }

    #[test]
    fn default_constraints_spread_pods_of_services() {
        let mut arguments = Arguments::defaults(Release::V1_34);
        let written = pod("p").spread(1, HOSTNAME, DoNotSchedule, "").build().spec.topology_spread.clone();
        arguments.set(&DEFAULTS, DefaultSpreading::List(written));
        let plain = pod("new").label("app", "web");
        assert_eq!(fits(&arguments, &plain, &cluster()), [true; 3], "no service");
        let mut served = cluster();
        served.push(service("web", "app=web"));
        // By host: a 2, b 1, c 0, d 0
        assert_eq!(fits(&arguments, &plain, &served), [false, false, true]);
        let own = plain.clone().spread(9, ZONE, DoNotSchedule, "app=web");
        assert_eq!(fits(&arguments, &own, &served), [true; 3], "its own constraints instead");
    }
}
