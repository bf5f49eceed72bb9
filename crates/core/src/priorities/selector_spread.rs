//! # Rule
//! Spreads pods of one group over nodes and zones. The group has the pods of the namespace, not being deleted, that are selected by all
//! services that select the incoming pod and by the ReplicationController, ReplicaSet or StatefulSet that owns it. Over the nodes that
//! fit:
//!
//! - by node: `100 × (most on any node − those on the node) / most on any node`, or 100 if there are none;
//! - by zone (region and zone together): this formula with the pods on all nodes of the zone;
//! - `score = ⌊by node / 3 + by zone × 2 / 3⌋`; for a node without a zone, the score by node.
//!
//! All score 0 for a pod with topology spread constraints of its own.
//!
//! # Policy name and framework plugin
//! `SelectorSpreadPriority`, also called `ServiceSpreadingPriority`; plugin `SelectorSpread`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/selectorspread/selector_spread.go`. With the feature gate `DefaultPodTopologySpread`,
//! on by default in 1.22, the name stood for `PodTopologySpread` with kube-scheduler's own constraints instead
//! (`pkg/scheduler/framework/plugins/legacy_registry.go`); Podberth keeps the rule that the name was made for. In 1.6
//! (`plugin/pkg/scheduler/algorithm/priorities/selector_spreading.go`) pods counted that **any** of the selectors selected,
//! all controllers with a matching selector counted as owners, the score went to 10, zones were known by the labels
//! `failure-domain.beta.kubernetes.io/…` only, and `ServiceSpreadingPriority` looked at services alone. Gone since 1.23,
//! in favour of topology spreading.
//!
//! # Example
//! Nodes `a` and `b` in `az1`, `c` in `az2`; 2 pods of the service on `a`, 1 on `c`. `a`: 0 / 3 + 0 × 2 / 3 = 0;
//! `b`: 100 / 3 + 0 = 33; `c`: 50 / 3 + 50 × 2 / 3 = 50.

use super::{MAX_NODE_SCORE, Priority, Registration, Scores};
use crate::{
    block::NodeRef,
    grouping,
    model::Pod,
    node_set::NodeSet,
    rule::{Identity, Reads},
    snapshot::Snapshot,
};

/// How much of the score is the zone's.
const ZONE_WEIGHT: f64 = 2.0 / 3.0;

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "SelectorSpreadPriority",
        aliases: &["ServiceSpreadingPriority"],
        plugin: "SelectorSpread",
        modern_plugin: None,
        arguments: &[],
        source: include_str!("selector_spread.rs"),
    },
    default_weight: Some(1),
    build: |_| Box::new(SelectorSpread),
};

struct SelectorSpread;

impl Priority for SelectorSpread {
    fn score(&self, pod: &Pod, snapshot: &Snapshot, candidates: &NodeSet<'_>) -> Scores {
        if !pod.spec.topology_spread.is_empty() {
            return Scores::Same(0);
        }
        let selector = grouping::default_selector(pod, snapshot);
        if selector.is_empty() {
            return Scores::Same(MAX_NODE_SCORE);
        }
        let by_node = snapshot.index().count_selected(&pod.namespace, &selector);
        let count = |node: NodeRef<'_>| by_node[node.slot() as usize];
        let most_by_node = candidates.iter().map(count).max().unwrap_or(0);
        if most_by_node == 0 {
            return Scores::Same(MAX_NODE_SCORE);
        }
        let zones = snapshot.index().topology.zones();
        let mut by_zone = vec![0; zones.bound()];
        for node in candidates.iter() {
            if let Some(zone) = zones.of(node.slot()) {
                by_zone[zone] += count(node);
            }
        }
        let most_by_zone = by_zone.iter().copied().max().unwrap_or(0);
        let score = |node: NodeRef<'_>| {
            let on_node = free(count(node), most_by_node);
            match zones.of(node.slot()) {
                Some(zone) => on_node * (1.0 - ZONE_WEIGHT) + ZONE_WEIGHT * free(by_zone[zone], most_by_zone),
                None => on_node,
            }
        };
        Scores::of_each(candidates, |node| score(node) as i64)
    }

    fn reads(&self, pod: &Pod, snapshot: &Snapshot) -> Reads {
        let own_way = !pod.spec.topology_spread.is_empty();
        if own_way || grouping::default_selector(pod, snapshot).is_empty() { Reads::Node } else { Reads::Cluster }
    }
}

fn free(count: i64, most: i64) -> f64 {
    let share = if most > 0 { (most - count) as f64 / most as f64 } else { 1.0 };
    MAX_NODE_SCORE as f64 * share
}

#[cfg(test)]
mod tests {
    use crate::model::{WhenUnsatisfiable, WorkloadKind, topology::ZONE};
    use crate::rule::{Arguments, Release};
    use crate::snapshot::Object;
    use crate::testing::{NodeBuilder, PodBuilder, node, pod, priority, scores_of, service, workload};

    fn scores(pod: PodBuilder, cluster: Vec<Object>, more: &[Object]) -> Vec<i64> {
        let cluster: Vec<Object> = cluster.into_iter().chain(more.iter().cloned()).collect();
        scores_of(&*priority("SelectorSpreadPriority", &Arguments::defaults(Release::V1_22)), pod, &cluster)
    }

    fn with_pods(nodes: impl IntoIterator<Item = NodeBuilder>) -> Vec<Object> {
        let mut all: Vec<_> = nodes.into_iter().map(Object::from).collect();
        let web = |name: &str, on: &str| pod(name).label("app", "web").on(on);
        all.extend([web("p0", "a").label("v", "1"), web("p1", "a").label("v", "2"), web("p2", "c")].map(Object::from));
        all.extend([web("p3", "b").terminating(), web("p4", "b").namespace("prod")].map(Object::from));
        all
    }

    /// Two pods of `app=web` on `a`, none on `b`, one on `c`.
    fn flat() -> Vec<Object> {
        with_pods([node("a"), node("b"), node("c")])
    }

    fn web() -> PodBuilder {
        pod("new").label("app", "web").label("v", "1")
    }

    #[test]
    fn nodes_with_fewer_of_the_service_score_higher() {
        let served = [service("web", "app=web")];
        // 100 × (2 − count) / 2 of 2, 0, 1
        assert_eq!(scores(web(), flat(), &served), [0, 100, 50]);
        assert_eq!(scores(web(), flat(), &[]), [100; 3], "nothing selects it");
        // All services together: app=web and v=1 are on a alone
        assert_eq!(scores(web(), flat(), &[service("web", "app=web"), service("one", "v=1")]), [0, 100, 100]);
        let spread = web().spread(1, ZONE, WhenUnsatisfiable::DoNotSchedule, "app=web");
        assert_eq!(scores(spread, flat(), &served), [0; 3], "topology spreading does it");
    }

    #[test]
    fn zones_count_twice_as_much_as_nodes() {
        let served = [service("web", "app=web")];
        // a, b in z1 (2 pods), c in z2 (1 pod): a 0, b 100 / 3 = 33.3, c 50 / 3 + 50 × 2 / 3 = 50
        let zones = [node("a").zone("z1"), node("b").zone("z1"), node("c").zone("z2")];
        assert_eq!(scores(web(), with_pods(zones), &served), [0, 33, 50]);
        // b without a zone is judged as a node alone
        let zones = [node("a").zone("z1"), node("b"), node("c").zone("z2")];
        assert_eq!(scores(web(), with_pods(zones), &served), [0, 100, 50]);
    }

    #[test]
    fn the_controller_counts_by_its_kind_and_name() {
        let owner = |kind| workload(kind, "web", "app=web");
        let owned = |api_version, kind| {
            scores(
                web().owned_by(api_version, kind, "web"),
                flat(),
                &[
                    owner(WorkloadKind::ReplicationController),
                    owner(WorkloadKind::ReplicaSet),
                    owner(WorkloadKind::StatefulSet),
                ],
            )
        };
        assert_eq!(owned("v1", "ReplicationController"), [0, 100, 50]);
        assert_eq!(owned("apps/v1", "ReplicaSet"), [0, 100, 50]);
        assert_eq!(owned("apps/v1", "StatefulSet"), [0, 100, 50]);
        assert_eq!(owned("extensions/v1beta1", "ReplicaSet"), [100; 3], "another group");
        assert_eq!(owned("batch/v1", "Job"), [100; 3], "another kind");
        // A replication controller's value of a label stands for the service's: app=web and v=2 are on a alone.
        let torn = [service("web", "app=web,v=1"), workload(WorkloadKind::ReplicationController, "two", "v=2")];
        assert_eq!(scores(web().owned_by("v1", "ReplicationController", "two"), flat(), &torn), [0, 100, 100]);
    }
}
