//! # Rule
//! Spreads the pods of a service over the values of a node label (zones, racks). Of the nodes that fit, those with the
//! label score `100 × (pods of the service on all nodes that fit − those on nodes with the same value) / pods of the
//! service on all nodes that fit`, or 100 where there are none yet; nodes without the label score 0. With several labels
//! the score is the mean over the labels, rounded down.
//!
//! A pod's service is the first by name that selects it. Its pods are those of the namespace that it selects and that are not being
//! deleted. (kube-scheduler takes the first service in no defined order.)
//!
//! # Policy name and framework plugin
//! `ServiceAntiAffinityPriority`, under any name that the policy gives it; plugin `ServiceAffinity`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/serviceaffinity/service_affinity.go` (`Score`, `NormalizeScore`). In 1.6
//! (`CalculateAntiAffinityPriority` in `plugin/pkg/scheduler/algorithm/priorities/selector_spreading.go`) each priority had
//! one label, pods on nodes that do not fit counted into the total, and the score went to 10. Gone since 1.23.
//!
//! # Arguments
//! `serviceAntiAffinity: {label: rack}`. Several such priorities become one with several labels, whose weight is theirs
//! times their number.
//!
//! # Example
//! Label `rack`; 3 pods of the service on `r1`, 1 on `r2`: nodes of `r1` score 100 × (4 − 3) / 4 = 25, of `r2` 75, of
//! `r3` 100, and nodes without `rack` 0.

use super::{MAX_NODE_SCORE, Priority, Registration, Scores};
use crate::{
    argument::{Argument, EntryForm, Form, any},
    block::NodeRef,
    grouping,
    index::Domains,
    model::{Name, Pod},
    node_set::NodeSet,
    rule::Identity,
    snapshot::Snapshot,
};

/// `serviceAntiAffinity`: node labels over whose values the pods of one service are spread.
pub(crate) const LABELS: Argument<Vec<Name>> = Argument {
    plugin: "ServiceAffinity",
    name: "serviceAntiAffinity",
    form: Form::Entry { key: "ServiceAffinity", member: EntryForm::Label },
    in_policy: None,
    help: "The node label over whose values the pods of one service are spread",
    default: |_| Vec::new(),
    check: any,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "ServiceAntiAffinityPriority",
        aliases: &[],
        plugin: "ServiceAffinity",
        modern_plugin: None,
        arguments: &[&LABELS],
        source: include_str!("service_anti_affinity.rs"),
    },
    default_weight: None,
    build: |arguments| Box::new(ServiceAntiAffinity { labels: arguments.get(&LABELS) }),
};

struct ServiceAntiAffinity {
    labels: Vec<Name>,
}

impl Priority for ServiceAntiAffinity {
    fn score(&self, pod: &Pod, snapshot: &Snapshot, candidates: &NodeSet<'_>) -> Scores {
        let selector = grouping::service_selectors(pod, snapshot).next().filter(|selector| !selector.is_empty());
        let by_node = selector.map(|selector| snapshot.index().count_selected(&pod.namespace, selector));
        let count = |node: NodeRef<'_>| by_node.as_ref().map_or(0, |counts| counts[node.slot() as usize]);
        let counts = candidates.map(count);
        let mut scores = vec![0.0; candidates.len()];
        for label in &self.labels {
            self.add_label(&snapshot.index().topology.domains(label), candidates, &counts, &mut scores);
        }
        scores.into_iter().map(|score| score as i64).collect()
    }
}

impl ServiceAntiAffinity {
    fn add_label(&self, domains: &Domains, candidates: &NodeSet<'_>, counts: &[i64], scores: &mut [f64]) {
        let total: i64 = counts.iter().sum();
        let mut by_value = vec![0; domains.bound()];
        for (node, count) in candidates.iter().zip(counts) {
            if let Some(value) = domains.of(node.slot()) {
                by_value[value] += count;
            }
        }
        for (node, score) in candidates.iter().zip(scores) {
            let Some(value) = domains.of(node.slot()) else { continue };
            let free = if total > 0 { (total - by_value[value]) as f64 / total as f64 } else { 1.0 };
            *score += MAX_NODE_SCORE as f64 * free / self.labels.len() as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LABELS;
    use crate::rule::{Arguments, Release};
    use crate::snapshot::Object;
    use crate::testing::{node, pod, priority, scores_of, service};

    /// Scores of `a`, `b` (rack r1), `c` (r2, row 1), `d` (r3) and `e` (no rack) for a pod with `app=web`, of which 2 run
    /// on `a`, 1 on `b`, 1 on `c`.
    fn scores(labels: &[&str], services: &[Object]) -> Vec<i64> {
        let mut arguments = Arguments::defaults(Release::V1_22);
        arguments.set(&LABELS, labels.iter().map(|label| (*label).into()).collect());
        let rack = |name, rack| node(name).label("rack", rack);
        let nodes = [rack("a", "r1"), rack("b", "r1"), rack("c", "r2").label("row", "1"), rack("d", "r3"), node("e")];
        let web = |name: &str, on: &str| pod(name).label("app", "web").on(on);
        let pods = [web("p0", "a"), web("p1", "a"), web("p2", "b"), web("p3", "c"), web("p4", "d").terminating()];
        let mut cluster: Vec<Object> = nodes.into_iter().map(Object::from).chain(pods.map(Object::from)).collect();
        cluster.extend_from_slice(services);
        let rule = priority("ServiceAntiAffinityPriority", &arguments);
        scores_of(&*rule, pod("new").label("app", "web").label("v", "1"), &cluster)
    }

    #[test]
    fn values_with_fewer_of_the_service_score_higher() {
        // 100 × (4 − 3) / 4, 100 × (4 − 1) / 4, 100 × (4 − 0) / 4, no rack 0
        assert_eq!(scores(&["rack"], &[service("web", "app=web")]), [25, 25, 75, 100, 0]);
        assert_eq!(scores(&["rack"], &[]), [100, 100, 100, 100, 0], "no service, no pods of it");
        // The first service by name selects v=1, which no running pod carries.
        assert_eq!(scores(&["rack"], &[service("web", "app=web"), service("one", "v=1")]), [100, 100, 100, 100, 0]);
    }

    #[test]
    fn several_labels_share_the_score() {
        // rack / 2 + row / 2: c 75 / 2 + 100 × (4 − 1) / 4 / 2 = 75, the others 12.5, 12.5, 50, 0
        assert_eq!(scores(&["rack", "row"], &[service("web", "app=web")]), [12, 12, 75, 50, 0]);
    }
}
