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
    edited::EditedNode,
    inter_pod::{self, Domains, IncomingTerm},
    model::{Affinity, Labels, Name, Pod, PodAffinityTerm},
    rule::{Identity, Reads, Release},
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

struct Company<'a> {
    pod: &'a Pod,
    namespace_labels: &'a Labels,
    affinity: Vec<IncomingTerm<'a>>,
    anti_affinity: Vec<IncomingTerm<'a>>,
    /// Running pods that all terms of `affinity` mean.
    wanted: Domains<'a>,
    /// What all domains of `wanted` come to together.
    wanted_anywhere: i64,
    /// Running pods that a term of `anti_affinity` means.
    avoided: Domains<'a>,
    /// Terms of running pods that mean the incoming pod.
    repelling: Domains<'a>,
}

/// What the domains of one node come to, by the key of the label that makes them, besides what was counted.
#[derive(Default)]
struct Differences<'e> {
    wanted: Vec<(&'e Name, i64)>,
    avoided: Vec<(&'e Name, i64)>,
    repelling: Vec<(&'e Name, i64)>,
}

impl Predicate for MatchInterPodAffinity {
    fn prepare<'a>(&'a self, pod: &'a Pod, snapshot: &'a Snapshot) -> Demand<'a> {
        let resolve = |terms: &'a [PodAffinityTerm]| -> Vec<_> {
            terms.iter().map(|term| IncomingTerm::resolve(term, snapshot, self.release)).collect()
        };
        let mut company = Company {
            pod,
            namespace_labels: snapshot.namespace_labels(&pod.namespace),
            affinity: resolve(&pod.affinity.pod_required),
            anti_affinity: resolve(&pod.affinity.anti_required),
            wanted: Domains::default(),
            wanted_anywhere: 0,
            avoided: Domains::default(),
            repelling: Domains::default(),
        };
        for node in snapshot.nodes() {
            company.look_at(node);
            let theirs = node.pods_with_required_anti_affinity.iter().flat_map(|p| &p.affinity.anti_required);
            for term in theirs.filter(|term| term.matches(pod, company.namespace_labels)) {
                company.repelling.add(node.labels(), &term.topology_key, 1);
            }
        }
        // 1.34 skips the plugin where nothing is asked and nobody repels the pod; 1.22 still sees what nominated pods bring.
        let may_change = self.release == Release::V1_22 && snapshot.has_nominated_pods();
        let asks_nothing = company.affinity.is_empty() && company.anti_affinity.is_empty();
        if asks_nothing && company.repelling.is_empty() && !may_change {
            return Demand::Nothing;
        }
        company.wanted_anywhere = company.wanted.total();
        Demand::Check(Box::new(company))
    }

    fn reads(&self, pod: &Pod, snapshot: &Snapshot) -> Reads {
        let Affinity { pod_required, anti_required, .. } = &pod.affinity;
        let own = !(pod_required.is_empty() && anti_required.is_empty());
        if own || inter_pod::is_named(pod, snapshot) { Reads::Cluster } else { Reads::Nothing }
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

    fn differences<'e>(&'e self, node: &'e EditedNode) -> Differences<'e> {
        let mut found = Differences::default();
        let (removed, added) = (node.removed().iter(), node.added().iter());
        for (pod, sign) in removed.map(|pod| (pod, -1)).chain(added.map(|pod| (pod, 1))) {
            if self.is_wanted(pod) {
                found.wanted.extend(self.affinity.iter().map(|term| (term.topology_key, sign)));
            }
            let avoided = self.anti_affinity.iter().filter(|term| term.means(pod));
            found.avoided.extend(avoided.map(|term| (term.topology_key, sign)));
            let theirs = pod.affinity.anti_required.iter();
            let repelling = theirs.filter(|term| term.matches(self.pod, self.namespace_labels));
            found.repelling.extend(repelling.map(|term| (&term.topology_key, sign)));
        }
        found
    }

    fn judge(&self, node: &Labels, differences: &Differences<'_>) -> Verdict {
        let number = |domains: &Domains<'_>, more: &[(&Name, i64)], key: &Name| {
            let more: i64 = more.iter().filter(|(other, _)| *other == key).map(|(_, sign)| sign).sum();
            domains.get(node, key).map(|count| count + more)
        };
        let some = |domains, more, key| number(domains, more, key).is_some_and(|count| count > 0);
        let finds_wanted = self.affinity.iter().all(|t| some(&self.wanted, &differences.wanted, t.topology_key));
        let mut repelling = self.repelling.keys().chain(differences.repelling.iter().map(|(key, _)| *key));
        if !finds_wanted && !self.starts_the_group(node, differences) {
            Verdict::unresolvable("node(s) didn't match pod affinity rules")
        } else if self.anti_affinity.iter().any(|t| some(&self.avoided, &differences.avoided, t.topology_key)) {
            Verdict::unschedulable("node(s) didn't match pod anti-affinity rules")
        } else if repelling.any(|key| some(&self.repelling, &differences.repelling, key)) {
            Verdict::unschedulable("node(s) didn't satisfy existing pods anti-affinity rules")
        } else {
            Verdict::Fits
        }
    }

    /// Whether no domain has a pod that is wanted, the pod is one of its own group, and the node has the labels.
    fn starts_the_group(&self, node: &Labels, differences: &Differences<'_>) -> bool {
        let here = differences.wanted.iter().filter(|(key, _)| node.has(key)).map(|(_, sign)| sign);
        self.wanted_anywhere + here.sum::<i64>() == 0
            && self.affinity.iter().all(|term| node.has(term.topology_key))
            && self.is_wanted(self.pod)
    }
}

impl Check for Company<'_> {
    fn check(&self, node: &NodeInfo) -> Verdict {
        self.judge(node.labels(), &Differences::default())
    }

    fn check_edited(&self, node: &EditedNode) -> Verdict {
        self.judge(node.info().labels(), &self.differences(node))
    }
}

#[cfg(test)]
mod tests {
    use crate::core::model::topology::{HOSTNAME, ZONE};
    use crate::core::model::{Operator, Requirement, Selector};
    use crate::core::rule::{Arguments, Release};
    use crate::core::snapshot::Object;
    use crate::core::verdict::Verdict;
    use crate::testing::{PodBuilder, namespace, node, pod, predicate, verdict_of};

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
                .with(|p| p.affinity.anti_required[0].namespace_selector = Some(selector))
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
