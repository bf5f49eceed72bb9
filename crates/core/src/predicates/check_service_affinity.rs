//! # Rule
//! The pods of one service stay on nodes that agree on certain labels (one rack, one region). Of the labels named in the policy, the
//! node must have
//!
//! - those that the pod's `nodeSelector` names, with these values;
//! - the others with the values of another node, if some service selects the pod and a similar pod already runs there. Labels that
//!   this other node lacks are free.
//!
//! Similar pods are those of its namespace that carry all of its labels. If several run on nodes that disagree, kube-scheduler takes
//! the first one in its cache; Podberth always takes the first by node name.
//!
//! # Policy name and framework plugin
//! `CheckServiceAffinity`, under any name that the policy gives it; plugin `ServiceAffinity`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/serviceaffinity/service_affinity.go` (`Filter`). The rule never changed since 1.6
//! (`checkServiceAffinity` in `plugin/pkg/scheduler/algorithm/predicates/predicates.go`). Gone since 1.23.
//!
//! # Arguments
//! `serviceAffinity: {labels: [rack]}`. The labels of several such predicates all hold.
//!
//! # Reason text
//! `node(s) didn't match service affinity`
//!
//! # Can preemption help?
//! Yes: evicting the similar pods frees the labels.
//!
//! # Example
//! Labels `[rack]`; service `web` selects `app=web`, whose one pod runs on a node with `rack=r1`. Another pod with
//! `app=web` fits on nodes with `rack=r1` only.

use std::collections::BTreeMap;

use super::{Build, Check, Demand, Predicate, Registration, Standing};
use crate::{
    argument::{Argument, EntryForm, Form, any},
    grouping,
    index::Slot,
    model::{Name, Pod, Selector},
    node_info::NodeInfo,
    overlay::NodeOverlay,
    rule::Identity,
    snapshot::Snapshot,
    verdict::Verdict,
    work,
};

/// `serviceAffinity`: node labels on which the pods of one service must agree.
pub(crate) const LABELS: Argument<Vec<Name>> = Argument {
    plugin: "ServiceAffinity",
    name: "serviceAffinity",
    form: Form::Entry { key: "CheckServiceAffinity", member: EntryForm::Labels },
    in_policy: None,
    help: "Node labels on which the pods of one service must agree",
    default: |_| Vec::new(),
    check: any,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "CheckServiceAffinity",
        aliases: &[],
        plugin: "ServiceAffinity",
        modern_plugin: None,
        arguments: &[&LABELS],
        source: include_str!("check_service_affinity.rs"),
    },
    standing: Standing::Optional,
    build: Build::Rule(|arguments| Box::new(CheckServiceAffinity { labels: arguments.get(&LABELS) })),
};

struct CheckServiceAffinity {
    labels: Vec<Name>,
}

impl Predicate for CheckServiceAffinity {
    fn prepare<'a>(&'a self, pod: &'a Pod, snapshot: &'a Snapshot) -> Demand<'a> {
        let asks_its_service = self.labels.iter().any(|label| !pod.spec.node_selector.has(label))
            && grouping::service_selectors(pod, snapshot).next().is_some();
        let wanted = Wanted { labels: &self.labels, pod, snapshot, home: None };
        let home = if asks_its_service { wanted.homes().next() } else { None };
        if home.is_none() && self.labels.iter().all(|label| !pod.spec.node_selector.has(label)) {
            return Demand::Nothing;
        }
        Demand::Check(Box::new(Wanted { home, ..wanted }))
    }
}

/// The labels wanted, and the node from which those come that the pod does not select itself.
struct Wanted<'a> {
    labels: &'a [Name],
    pod: &'a Pod,
    snapshot: &'a Snapshot,
    /// The first node, by name, on which a pod like this one runs, if any service selects it.
    home: Option<&'a NodeInfo>,
}

impl<'a> Wanted<'a> {
    fn is_alike(&self, other: &Pod) -> bool {
        other.namespace == self.pod.namespace
            && self.pod.labels.iter().all(|(key, value)| other.labels.get(key) == Some(value))
    }

    /// The nodes on which pods like this one run, by name.
    fn homes(&self) -> impl Iterator<Item = &'a NodeInfo> + use<'a> {
        let alike = Selector::from_map(self.pod.labels.iter().cloned());
        let groups = self.snapshot.index().groups.selected(Some(&self.pod.namespace), &alike);
        let slots = groups.flat_map(|(_, counts)| counts.iter().map(|(slot, _)| slot));
        let nodes = slots.filter_map(|slot| Some((self.snapshot.node_ref_in(slot)?.name(), slot)));
        let by_name: BTreeMap<&Name, Slot> = nodes.collect();
        let snapshot = self.snapshot;
        by_name.into_values().filter_map(move |slot| Some(&**snapshot.node_ref_in(slot)?.info()))
    }

    fn judge(&self, home: Option<&NodeInfo>, node: &NodeInfo) -> Verdict {
        let holds = |label: &Name| {
            let value = self.pod.spec.node_selector.get(label).or_else(|| home?.labels().get(label));
            value.is_none_or(|value| node.labels().get(label) == Some(value))
        };
        Verdict::fits_if(self.labels.iter().all(holds), || {
            Verdict::unschedulable("node(s) didn't match service affinity")
        })
    }
}

impl Check for Wanted<'_> {
    fn check(&self, node: &NodeInfo) -> Verdict {
        self.judge(self.home, node)
    }

    /// As `AddPod` and `RemovePod` have it: pods that are put back come last, so that those on other nodes go before.
    /// Nominated pods are on no node whose labels could count.
    fn check_overlay(&self, node: &NodeOverlay) -> Verdict {
        let Some(home) = self.home.filter(|home| home.name() == node.name()) else {
            return self.judge(self.home, node.info());
        };
        work::spend_on(home.pods.len() + node.removed().len());
        let gone = |pod: &Pod| node.removed().iter().chain(node.returned()).any(|other| other.is_same(pod));
        if home.pods.iter().any(|pod| self.is_alike(pod) && !gone(pod)) {
            return self.judge(Some(home), node.info());
        }
        let next = self.homes().find(|other| other.name() != home.name());
        let back = || node.returned().iter().any(|pod| self.is_alike(pod)).then_some(home);
        self.judge(next.or_else(back), node.info())
    }
}

#[cfg(test)]
mod tests {
    use super::LABELS;
    use crate::rule::{Arguments, Release};
    use crate::snapshot::Object;
    use crate::testing::{PodBuilder, node, pod, predicate, service, verdict_of};

    /// Nodes `a` (rack r1), `b` (rack r1, row 2) and `c` (rack r2); `app=web` runs on `a`.
    fn fits(incoming: &PodBuilder, more: &[Object]) -> [bool; 3] {
        let mut arguments = Arguments::defaults(Release::V1_22);
        arguments.set(&LABELS, vec!["rack".into(), "row".into()]);
        let rule = predicate("CheckServiceAffinity", &arguments);
        let mut cluster: Vec<Object> = vec![
            node("a").label("rack", "r1").into(),
            node("b").label("rack", "r1").label("row", "2").into(),
            node("c").label("rack", "r2").into(),
            pod("running").label("app", "web").label("v", "1").on("a").into(),
        ];
        cluster.extend_from_slice(more);
        ["a", "b", "c"].map(|on| verdict_of(&*rule, incoming.clone(), &cluster, on).fits())
    }

    #[test]
    fn pods_of_a_service_follow_the_first() {
        let web = pod("new").label("app", "web");
        let served = [service("web", "app=web")];
        assert_eq!(fits(&web, &served), [true, true, false]);
        assert_eq!(fits(&web, &[]), [true; 3], "no service");
        assert_eq!(fits(&web.clone().label("v", "2"), &served), [true; 3], "no pod like it runs");
        assert_eq!(fits(&web.clone().namespace("prod"), &served), [true; 3], "another namespace");
    }

    #[test]
    fn the_node_selector_counts_before_running_pods() {
        let selecting = |rack: &str| {
            pod("new").label("app", "web").with(|p| p.spec_mut().node_selector = [("rack", rack)].into_iter().collect())
        };
        assert_eq!(fits(&selecting("r2"), &[service("web", "app=web")]), [false, false, true]);
        assert_eq!(fits(&selecting("r1"), &[]), [true, true, false]);
    }

    #[test]
    fn where_pods_disagree_the_first_node_by_name_counts() {
        let more = [service("web", "app=web"), pod("another").label("app", "web").on("c").into()];
        assert_eq!(fits(&pod("new").label("app", "web"), &more), [true, true, false]);
    }
}
