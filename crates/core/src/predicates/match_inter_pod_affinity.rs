//! # Rule
//! Three conditions, checked in this order; the first that fails gives the reason:
//!
//! 1. *Affinity*: for every required term of the pod, a pod that matches **all** its terms runs in the node's domain (the
//!    nodes with the same value of the term's `topologyKey`), and the node has that label. If no such pod runs in any
//!    domain and the pod itself matches all its terms, it is the first of its group and the label is enough.
//! 2. *Anti-affinity*: no required term of the pod matches a pod that runs in the node's domain. A node without the label
//!    is in no domain and so always passes.
//! 3. *Symmetry*: no pod that runs in the node's domain has a required anti-affinity term that matches the pod.
//!
//! A term matches the pods whose labels its `labelSelector` selects (an absent one: none; an empty one: all). Their namespace is one
//! that the term names or that its `namespaceSelector` selects (an empty one: all); with neither, it is the pod's own. Pods that are
//! being deleted count as long as they exist.
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
use crate::{
    block::{Block, NODES, pick},
    index::Group,
    inter_pod::{self, IncomingTerm, Sums, SumsByKey},
    model::{Affinity, Labels, Name, Pod, PodAffinityTerm},
    node_info::NodeInfo,
    overlay::NodeOverlay,
    rule::{Identity, Reads, Release},
    snapshot::Snapshot,
    verdict::Verdict,
    work,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "MatchInterPodAffinity",
        aliases: &[],
        plugin: "InterPodAffinity",
        modern_plugin: Some("InterPodAffinity"),
        arguments: &[],
        source: include_str!("match_inter_pod_affinity.rs"),
    },
    standing: Standing::Default,
    build: Build::Rule(|arguments| Box::new(MatchInterPodAffinity { release: arguments.release })),
};

struct MatchInterPodAffinity {
    release: Release,
}

struct Company<'a> {
    pod: &'a Pod,
    namespace_labels: &'a Labels,
    /// Each required term, with the running pods that all of them mean.
    affinity: Vec<(IncomingTerm<'a>, Sums)>,
    /// Matches in all domains together, one count per term.
    wanted_anywhere: i64,
    /// Each term of required anti-affinity, with the running pods that it means.
    anti_affinity: Vec<(IncomingTerm<'a>, Sums)>,
    /// Terms of running pods that mean the incoming pod.
    repelling: SumsByKey<'a>,
}

/// Matches in the domains of one node, in addition to those counted.
#[derive(Default)]
struct Differences<'e> {
    /// Of the pods that all terms mean.
    wanted: i64,
    /// Of the pods that each term of anti-affinity means; empty where that is none.
    avoided: Vec<i64>,
    /// Of terms that mean the incoming pod, by the key of the label that makes the domain.
    repelling: Vec<(&'e Name, i64)>,
}

impl Predicate for MatchInterPodAffinity {
    fn prepare<'a>(&'a self, pod: &'a Pod, snapshot: &'a Snapshot) -> Demand<'a> {
        let resolve = |terms: &'a [PodAffinityTerm]| -> Vec<_> {
            let resolved = terms.iter().map(|term| IncomingTerm::resolve(term, snapshot, self.release));
            let with_sums = |term: IncomingTerm<'a>| {
                let sums = Sums::new(term.topology_key, snapshot);
                (term, sums)
            };
            resolved.map(with_sums).collect()
        };
        let mut company = Company {
            pod,
            namespace_labels: snapshot.namespace_labels(&pod.namespace),
            affinity: resolve(&pod.spec.affinity.pod_required),
            wanted_anywhere: 0,
            anti_affinity: resolve(&pod.spec.affinity.anti_required),
            repelling: SumsByKey::default(),
        };
        company.look_around(snapshot);
        let may_change = !self.release.facts().pod_affinity_skips_nominated_pods && snapshot.has_nominated_pods();
        let asks_nothing = company.affinity.is_empty() && company.anti_affinity.is_empty();
        if asks_nothing && company.repelling.is_empty() && !may_change {
            return Demand::Nothing;
        }
        Demand::Check(Box::new(company))
    }

    fn reads(&self, pod: &Pod, snapshot: &Snapshot) -> Reads {
        let Affinity { pod_required, anti_required, .. } = &pod.spec.affinity;
        let own = !(pod_required.is_empty() && anti_required.is_empty());
        if own || inter_pod::is_named(pod, snapshot) { Reads::Cluster } else { Reads::Nothing }
    }
}

impl<'a> Company<'a> {
    fn is_wanted(&self, pod: &Pod) -> bool {
        !self.affinity.is_empty() && self.affinity.iter().all(|(term, _)| term.means(pod))
    }

    fn look_around(&mut self, snapshot: &'a Snapshot) {
        let index = snapshot.index();
        if let Some((first, _)) = self.affinity.first() {
            let all_mean = |group: &Group| self.affinity.iter().all(|(term, _)| term.means_group(group));
            let wanted: Vec<_> = first.groups(snapshot).filter(|(group, _)| all_mean(group)).collect();
            for (_, sums) in &mut self.affinity {
                for (_, counts) in &wanted {
                    sums.add(counts, 1);
                }
                self.wanted_anywhere += sums.total();
            }
        }
        for (term, sums) in &mut self.anti_affinity {
            term.groups(snapshot).for_each(|(_, counts)| sums.add(counts, 1));
        }
        index.terms.meaning(self.pod, self.namespace_labels, true, |_, term, counts| {
            self.repelling.of_key(&term.topology_key, snapshot).add(counts, 1);
        });
    }

    fn differences<'e>(&'e self, node: &'e NodeOverlay) -> Differences<'e> {
        let mut found = Differences { avoided: vec![0; self.anti_affinity.len()], ..Differences::default() };
        let terms = 1 + self.affinity.len() + self.anti_affinity.len();
        work::spend_on(terms.saturating_mul(node.removed().len() + node.added().len()));
        let (removed, added) = (node.removed().iter(), node.added().iter());
        for (pod, sign) in removed.map(|pod| (pod, -1)).chain(added.map(|pod| (pod, 1))) {
            if self.is_wanted(pod) {
                found.wanted += sign;
            }
            for (more, (term, _)) in found.avoided.iter_mut().zip(&self.anti_affinity) {
                *more += if term.means(pod) { sign } else { 0 };
            }
            let theirs = pod.spec.affinity.anti_required.iter();
            let repelling = theirs.filter(|term| term.matches(self.pod, self.namespace_labels));
            found.repelling.extend(repelling.map(|term| (&term.topology_key, sign)));
        }
        found
    }

    fn judge(&self, node: &NodeInfo, differences: &Differences<'_>) -> Verdict {
        let some = |sums: &Sums, more: i64| sums.at(node.slot()).is_some_and(|count| count + more > 0);
        let finds_wanted = self.affinity.iter().all(|(_, sums)| some(sums, differences.wanted));
        let avoided = differences.avoided.iter().copied().chain(std::iter::repeat(0));
        if !finds_wanted && !self.starts_the_group(node.labels(), differences) {
            Verdict::unresolvable("node(s) didn't match pod affinity rules")
        } else if self.anti_affinity.iter().zip(avoided).any(|((_, sums), more)| some(sums, more)) {
            Verdict::unschedulable("node(s) didn't match pod anti-affinity rules")
        } else if self.is_repelled(node, differences) {
            Verdict::unschedulable("node(s) didn't satisfy existing pods anti-affinity rules")
        } else {
            Verdict::Fits
        }
    }

    fn is_repelled(&self, node: &NodeInfo, differences: &Differences<'_>) -> bool {
        let more =
            |key: &Name| differences.repelling.iter().filter(|(k, _)| *k == key).map(|(_, sign)| sign).sum::<i64>();
        let counted = |key: &Name| self.repelling.iter().any(|(other, _)| *other == key);
        let is_new = |(key, sign): &(&Name, i64)| *sign > 0 && !counted(key) && node.labels().has(key);
        self.repelling.iter().any(|(key, sums)| sums.at(node.slot()).is_some_and(|count| count + more(key) > 0))
            || differences.repelling.iter().any(is_new)
    }

    /// `true` if no domain has a matching pod, the pod matches its own terms, and the node has the labels.
    fn starts_the_group(&self, node: &Labels, differences: &Differences<'_>) -> bool {
        let here = self.affinity.iter().filter(|(term, _)| node.has(term.topology_key)).count();
        self.wanted_anywhere + differences.wanted * here as i64 == 0
            && here == self.affinity.len()
            && self.is_wanted(self.pod)
    }
}

impl Check for Company<'_> {
    fn check(&self, node: &NodeInfo) -> Verdict {
        self.judge(node, &Differences::default())
    }

    fn sift(&self, block: &Block, asked: u64) -> u64 {
        work::spend_on((self.affinity.len() + self.anti_affinity.len() + self.repelling.len()) * (NODES / 4));
        let some = |sums: &Sums, at| sums.at(block.slot(at)).is_some_and(|count| count > 0);
        let repelling =
            self.anti_affinity.iter().map(|(_, sums)| sums).chain(self.repelling.iter().map(|(_, sums)| sums));
        let asked = repelling.fold(asked, |asked, sums| pick(asked, |at| !some(sums, at)));
        pick(asked, |at| {
            self.affinity.iter().all(|(_, sums)| some(sums, at))
                || self.starts_the_group(block.node_ref(at).labels(), &Differences::default())
        })
    }

    fn check_overlay(&self, node: &NodeOverlay) -> Verdict {
        self.judge(node.info(), &self.differences(node))
    }
}

#[cfg(test)]
mod tests {
    use crate::model::topology::{HOSTNAME, ZONE};
    use crate::model::{Operator, Requirement, Selector};
    use crate::rule::{Arguments, Release};
    use crate::snapshot::Object;
    use crate::testing::{PodBuilder, namespace, node, pod, predicate, verdict_of};
    use crate::verdict::Verdict;

    const NO_AFFINITY: &str = "node(s) didn't match pod affinity rules";
    const NO_ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
    const NO_SYMMETRY: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

    fn verdicts<const N: usize>(release: Release, pod: &PodBuilder, cluster: &[Object], on: [&str; N]) -> [Verdict; N] {
        let rule = predicate("MatchInterPodAffinity", &Arguments::defaults(release));
        on.map(|node| verdict_of(&*rule, pod.clone(), cluster, node))
    }

    fn no(reason: &'static str) -> Verdict {
        Verdict::unschedulable(reason)
    }

    /// `a` and `b` in zone z1, `c` in z2, `d` without a zone.
    fn cluster<const N: usize>(pods: [PodBuilder; N]) -> Vec<Object> {
        let nodes = [node("a").zone("z1"), node("b").zone("z1"), node("c").zone("z2"), node("d")];
        nodes.into_iter().map(Object::from).chain(pods.into_iter().map(Object::from)).collect()
    }

    #[test]
    fn affinity_is_met_in_the_domain_of_a_pod_that_all_terms_mean() {
        let unmet = || Verdict::unresolvable(NO_AFFINITY);
        let cache = || pod("cache").label("app", "cache").label("tier", "back").on("a");
        let wants = |labels| pod("web").affinity(labels, ZONE);
        for release in [Release::V1_22, Release::V1_34] {
            let asked =
                |pod: PodBuilder, there: PodBuilder| verdicts(release, &pod, &cluster([there]), ["b", "c", "d"]);
            assert_eq!(asked(wants("app=cache"), cache()), [Verdict::Fits, unmet(), unmet()]);
            assert_eq!(asked(wants("app=cache"), cache().terminating()), [Verdict::Fits, unmet(), unmet()]);
            assert_eq!(asked(wants("app=cache"), cache().namespace("prod")), [unmet(), unmet(), unmet()]);
            // One pod must be meant by both terms; each domain is then that of its own term.
            let both = |second| wants("app=cache").affinity(second, HOSTNAME);
            assert_eq!(asked(both("tier=back"), cache()), [unmet(), unmet(), unmet()]);
            assert_eq!(verdicts(release, &both("tier=back"), &cluster([cache()]), ["a"]), [Verdict::Fits]);
            let apart = cluster([cache(), pod("front").label("tier", "front").on("a")]);
            assert_eq!(verdicts(release, &both("tier=front"), &apart, ["a"]), [unmet()]);
        }
    }

    #[test]
    fn the_first_of_a_group_needs_the_label_only() {
        let first = pod("db-0").label("app", "db").affinity("app=db", ZONE);
        let asked = |pod: &PodBuilder, cluster: &[Object]| {
            verdicts(Release::V1_22, pod, cluster, ["a", "c", "d"]).map(|v| v.fits())
        };
        assert_eq!(asked(&first, &cluster([])), [true, true, false]);
        assert_eq!(asked(&first, &cluster([pod("db-1").label("app", "db").on("a")])), [true, false, false]);
        // A pod of the group on a node without the label is in no domain: the group is still to be started.
        assert_eq!(asked(&first, &cluster([pod("db-1").label("app", "db").on("d")])), [true, true, false]);
        assert_eq!(asked(&pod("web").affinity("app=db", ZONE), &cluster([])), [false; 3], "not one of the group");
    }

    #[test]
    fn anti_affinity_keeps_both_sides_apart() {
        let web = || pod("web").label("app", "web");
        let shy = |name: &str| pod(name).label("app", "web").anti_affinity("app=web", ZONE);
        for release in [Release::V1_22, Release::V1_34] {
            let asked = |pod, there| verdicts(release, &pod, &cluster([there]), ["b", "c", "d"]);
            assert_eq!(asked(shy("new"), web().on("a")), [no(NO_ANTI_AFFINITY), Verdict::Fits, Verdict::Fits]);
            assert_eq!(asked(web(), shy("old").on("a")), [no(NO_SYMMETRY), Verdict::Fits, Verdict::Fits]);
            assert_eq!(asked(shy("new"), shy("old").on("a"))[0], no(NO_ANTI_AFFINITY), "its own terms first");
            assert_eq!(asked(pod("other"), shy("old").on("a")), [Verdict::Fits, Verdict::Fits, Verdict::Fits]);
            assert_eq!(asked(shy("new"), web().on("d")), [Verdict::Fits, Verdict::Fits, Verdict::Fits]);
            let torn = shy("new").affinity("app=none", ZONE);
            assert_eq!(asked(torn, web().on("a"))[0], Verdict::unresolvable(NO_AFFINITY), "affinity before all");
        }
    }

    #[test]
    fn namespace_selectors_add_namespaces() {
        let by = |operator| Selector(vec![Requirement { key: "team".into(), operator }]);
        let elsewhere = |selector: Selector| {
            pod("new")
                .anti_affinity("app=web", ZONE)
                .with(|p| p.spec_mut().affinity.anti_required[0].namespace_selector = Some(selector))
        };
        let web = |name: &str| pod("web").label("app", "web").namespace(name).on("a");
        let asked = |release, selector, there| {
            let mut cluster = cluster([web(there)]);
            cluster.push(namespace("prod", "team", "a"));
            cluster.push(namespace("test", "stage", "1"));
            verdicts(release, &elsewhere(selector), &cluster, ["a"]).map(|v| v.fits())[0]
        };
        let team_a = || by(Operator::In(vec!["a".into()]));
        for release in [Release::V1_22, Release::V1_34] {
            assert!(!asked(release, team_a(), "prod") && asked(release, team_a(), "test"));
            assert!(asked(release, team_a(), "unknown") && !asked(release, Selector::default(), "unknown"));
        }
        let without_team = || by(Operator::DoesNotExist);
        assert!(!asked(Release::V1_22, without_team(), "test") && asked(Release::V1_22, without_team(), "prod"));
        assert!(asked(Release::V1_22, without_team(), "unknown"), "1.22 lists the namespaces there are");
        assert!(!asked(Release::V1_34, without_team(), "prod"), "1.34 means every namespace by it");
    }
}
