//! One change that would help a pod, its cost, and the cluster with it.

use std::sync::Arc;

use crate::{
    model::{HostPort, Labels, Name, Pod, Taint, Toleration, TolerationOperator, topology},
    snapshot::{Object, Snapshot},
};

/// One change of the pod or of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The pod asks for less of a resource; CPU in thousandths, anything else in whole units.
    LowerRequest {
        /// The resource.
        resource: Name,
        /// The present request.
        from: i64,
        /// A request that would fit.
        to: i64,
    },
    /// The pod tolerates a taint.
    Tolerate(Taint),
    /// The pod gives up a host port.
    DropHostPort(HostPort),
    /// The pod asks for no particular node.
    DropNodeName,
    /// The pod's node selector no longer names a label.
    DropNodeSelector(Name),
    /// The pod gives up its required node affinity.
    DropNodeAffinity,
    /// The pod gives up a spread constraint that must hold, by the node label.
    DropSpread(Name),
    /// The pod gives up its required affinity to pods, by the node label.
    DropPodAffinity(Name),
    /// The pod gives up its required anti-affinity to pods, by the node label.
    DropPodAntiAffinity(Name),
    /// A node gets a label.
    LabelNode {
        /// The node.
        node: Name,
        /// The label.
        key: Name,
        /// Its value.
        value: Name,
    },
    /// A node is open again.
    Uncordon(Name),
    /// There are more nodes, empty ones that are otherwise like one there is.
    AddNodes {
        /// The node that they are like.
        like: Name,
        /// How many.
        count: usize,
    },
}

/// The cost of lowering a request by all of it; lowering it by a part costs that part.
const WHOLE_REQUEST: i64 = 1_000;

impl Change {
    /// The cost of the change; easier changes stand first. A smaller request counts by the share given up, a permission or a label costs
    /// less than a rule given up, and machines cost most.
    pub fn cost(&self) -> i64 {
        match self {
            Self::LowerRequest { from, to, .. } => {
                let share = i128::from(*from).saturating_sub(i128::from(*to)) * i128::from(WHOLE_REQUEST);
                share.checked_div(i128::from(*from)).map_or(WHOLE_REQUEST, |share| share as i64).max(1)
            }
            Self::Tolerate(_) | Self::LabelNode { .. } => 300,
            Self::DropHostPort(_) => 400,
            Self::DropNodeName | Self::DropNodeSelector(_) | Self::DropSpread(_) => 500,
            Self::DropNodeAffinity | Self::Uncordon(_) => 600,
            Self::DropPodAffinity(_) | Self::DropPodAntiAffinity(_) => 700,
            Self::AddNodes { count, .. } => i64::try_from(*count).unwrap_or(i64::MAX).saturating_mul(WHOLE_REQUEST),
        }
    }

    /// Carries it out on a copy.
    pub fn apply(&self, pod: &mut Pod, snapshot: &mut Snapshot) {
        match self {
            Self::LowerRequest { resource, from, to } => {
                // A pod with a new request is not being resized.
                pod.held = None;
                let spec = pod.spec_mut();
                for amounts in [&mut spec.requests, &mut spec.non_zero_requests, &mut spec.scored_requests] {
                    let amount = amounts.slot(resource);
                    *amount = amount.saturating_sub(from.saturating_sub(*to)).max(0);
                }
            }
            Self::Tolerate(taint) => pod.spec_mut().tolerations.push(Toleration {
                key: taint.key.clone(),
                operator: TolerationOperator::Equal,
                value: taint.value.clone(),
                effect: Some(taint.effect),
                seconds: None,
            }),
            Self::DropHostPort(port) => pod.spec_mut().host_ports.retain(|other| other != port),
            Self::DropNodeName => pod.node_name = Name::default(),
            Self::DropNodeSelector(key) => {
                let kept = pod.spec.node_selector.iter().filter(|(other, _)| other != key).cloned().collect();
                pod.spec_mut().node_selector = kept;
            }
            Self::DropNodeAffinity => pod.spec_mut().affinity.node_required = None,
            Self::DropSpread(key) => pod.spec_mut().topology_spread.retain(|constraint| {
                constraint.topology_key != *key
                    || constraint.when_unsatisfiable != topology::WhenUnsatisfiable::DoNotSchedule
            }),
            Self::DropPodAffinity(key) => pod.spec_mut().affinity.pod_required.retain(|term| term.topology_key != *key),
            Self::DropPodAntiAffinity(key) => {
                pod.spec_mut().affinity.anti_required.retain(|term| term.topology_key != *key);
            }
            Self::LabelNode { node, key, value } => {
                let Some(info) = snapshot.node(node) else { return };
                let mut changed = (*info.node).clone();
                changed.labels = with_label(&changed.labels, key, value);
                snapshot.apply(Object::Node(changed));
            }
            Self::Uncordon(node) => {
                let Some(info) = snapshot.node(node) else { return };
                let mut changed = (*info.node).clone();
                changed.uncordon();
                snapshot.apply(Object::Node(changed));
            }
            Self::AddNodes { like, count } => {
                let Some(info) = snapshot.node(like) else { return };
                let model = info.node.clone();
                for number in 1..=*count {
                    snapshot.apply(Object::Node(model.renamed(new_name(like, number))));
                }
            }
        }
    }
}

/// The name that a node which does not exist yet goes by.
pub(super) fn new_name(like: &str, number: usize) -> Name {
    Arc::from(format!("{like}-new-{number}"))
}

fn with_label(labels: &Labels, key: &Name, value: &Name) -> Labels {
    labels.iter().cloned().chain([(key.clone(), value.clone())]).collect()
}
