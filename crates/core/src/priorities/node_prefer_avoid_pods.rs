//! # Rule
//! A node scores 0 where its annotation `scheduler.alpha.kubernetes.io/preferAvoidPods` names the replication controller or
//! replica set (by kind and uid) that owns the pod, else 100.
//!
//! # Policy name and framework plugin
//! `NodePreferAvoidPodsPriority`, by default with weight 10000, more than all others together; plugin
//! `NodePreferAvoidPods`, which is gone in 1.34. Taints with effect `PreferNoSchedule` have a similar effect.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/nodepreferavoidpods/node_prefer_avoid_pods.go` of 1.22. The same in 1.6
//! (`node_prefer_avoid_pods.go` in `plugin/pkg/scheduler/algorithm/priorities`), with scores 0 and 10. An annotation that
//! cannot be read counts as none.
//!
//! # Example
//! `{"preferAvoidPods": [{"podSignature": {"podController": {"kind": "ReplicaSet", "uid": "u1"}}}]}` on a node: pods of that
//! replica set go elsewhere as long as any other node fits.

use super::{MAX_NODE_SCORE, Priority, Registration, Scores};
use crate::{
    block::NodeRef,
    model::Pod,
    node_set::NodeSet,
    rule::{Identity, Reads},
    snapshot::Snapshot,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "NodePreferAvoidPodsPriority",
        aliases: &[],
        plugin: "NodePreferAvoidPods",
        modern_plugin: None,
        arguments: &[],
        source: include_str!("node_prefer_avoid_pods.rs"),
    },
    default_weight: Some(10_000),
    build: |_| Box::new(NodePreferAvoidPods),
};

struct NodePreferAvoidPods;

impl Priority for NodePreferAvoidPods {
    fn score(&self, pod: &Pod, _: &Snapshot, candidates: &NodeSet<'_>) -> Scores {
        let owner = pod.controller.as_ref().filter(|o| matches!(&*o.kind, "ReplicationController" | "ReplicaSet"));
        let Some(owner) = owner else { return Scores::Same(MAX_NODE_SCORE) };
        let avoids =
            |node: NodeRef<'_>| node.node.avoid_controllers.iter().any(|a| a.kind == owner.kind && a.uid == owner.uid);
        Scores::of_each(candidates, |node| if avoids(node) { 0 } else { MAX_NODE_SCORE })
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Node
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{PodBuilder, node, pod, priority, scores_of};
    use crate::{
        model::{AvoidController, ControllerRef},
        rule::{Arguments, Release},
    };

    fn owned_by(kind: &str, uid: &str) -> PodBuilder {
        let owner =
            ControllerRef { api_version: "v1".into(), kind: kind.into(), name: "owner".into(), uid: uid.into() };
        pod("p").with(|pod| pod.controller = Some(owner.into()))
    }

    #[test]
    fn a_node_that_asks_to_be_avoided_scores_nothing() {
        let rule = priority("NodePreferAvoidPodsPriority", &Arguments::defaults(Release::V1_22));
        let avoid = |kind: &str| AvoidController { kind: kind.into(), uid: "u1".into() };
        let nodes = [
            node("a").with(|node| node.avoid_controllers = vec![avoid("ReplicaSet"), avoid("StatefulSet")]),
            node("b"),
        ];
        assert_eq!(scores_of(&*rule, owned_by("ReplicaSet", "u1"), &nodes), [0, 100]);
        assert_eq!(scores_of(&*rule, owned_by("ReplicaSet", "u2"), &nodes), [100, 100]);
        assert_eq!(scores_of(&*rule, owned_by("ReplicationController", "u1"), &nodes), [100, 100]);
        assert_eq!(scores_of(&*rule, owned_by("StatefulSet", "u1"), &nodes), [100, 100]);
        assert_eq!(scores_of(&*rule, pod("p"), &nodes), [100, 100]);
    }
}
