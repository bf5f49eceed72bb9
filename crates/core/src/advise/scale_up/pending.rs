//! The pods for which nodes may be added, and the classes of equal ones among them.
//!
//! A pod counts if it waits, is nominated to no node, has no scheduling gates, belongs to no `DaemonSet` and its priority is not below the
//! cutoff of expendable pods. Those that find a place on nodes that are there, or on their way, need no more nodes.
//!
//! Source: `cluster-autoscaler/core/podlistprocessor`, `cluster-autoscaler/utils/kubernetes/listers.go` (`ArrangePodsBySchedulability`),
//! `cluster-autoscaler/core/scaleup/equivalence/groups.go`, `cluster-autoscaler/simulator/scheduling/similar_pods.go`.

use std::{collections::HashMap, sync::Arc};

use super::fork::Fork;
use crate::{
    model::{Name, Pod},
    snapshot::{Kind, Object, Snapshot},
    work,
};

/// Classes that the pods of one controller may have; a pod beyond them stands for itself.
const MOST_CLASSES: usize = 10;

/// `true` if a pod's priority is so low that nothing is done for it.
fn is_expendable(pod: &Pod, cutoff: i32) -> bool {
    pod.spec.priority.is_some_and(|priority| priority < cutoff)
}

/// `true` if a pod belongs to a `DaemonSet`.
pub(super) fn is_daemon(pod: &Pod) -> bool {
    pod.controller.as_ref().is_some_and(|controller| &*controller.kind == "DaemonSet")
}

/// The cluster without expendable pods, with nominated pods where they are to go.
pub(super) fn without_expendable(snapshot: &Snapshot, cutoff: i32) -> Snapshot {
    let mut left = snapshot.clone();
    for pod in snapshot.pods().filter(|pod| !pod.terminal) {
        work::spend(1);
        if is_expendable(pod, cutoff) {
            left.delete(Kind::Pod, &pod.namespace, &pod.name);
        } else if !pod.is_assigned() && !pod.nominated_node_name.is_empty() {
            let (node_name, nominated_node_name) = (pod.nominated_node_name.clone(), Name::default());
            if pod.terminating || snapshot.node(&node_name).is_none() {
                left.delete(Kind::Pod, &pod.namespace, &pod.name);
            } else {
                left.apply(Object::Pod(Box::new(Pod { node_name, nominated_node_name, ..(**pod).clone() })));
            }
        }
    }
    left
}

/// The pods that wait for a node, the most important first, and among equals as they came.
pub(super) fn waiting(snapshot: &Snapshot, cutoff: i32) -> Vec<Arc<Pod>> {
    let counts = |pod: &&Arc<Pod>| {
        pod.waits()
            && pod.nominated_node_name.is_empty()
            && pod.spec.scheduling_gates.is_empty()
            && !is_expendable(pod, cutoff)
    };
    let mut pods: Vec<Arc<Pod>> = snapshot.pods().filter(counts).cloned().collect();
    pods.sort_by_key(|pod| (pod.arrival, pod.created));
    crate::batch::in_order(&mut pods, snapshot, |pod| pod);
    pods
}

/// Pods that demand the same, of one controller.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// At least one.
    pub(super) pods: Vec<Arc<Pod>>,
}

impl Class {
    /// The pod by which the class is judged.
    pub(super) fn sample(&self) -> &Arc<Pod> {
        &self.pods[0]
    }
}

/// Classes by the controllers of their pods.
#[derive(Default)]
struct ByController(HashMap<(Name, Name, Name), Vec<usize>>);

impl ByController {
    /// The classes of the pod's controller; `None` if it has none.
    fn of(&mut self, pod: &Pod) -> Option<&mut Vec<usize>> {
        let controller = pod.controller.as_ref()?;
        let key = (controller.uid.clone(), controller.kind.clone(), controller.name.clone());
        Some(self.0.entry(key).or_default())
    }
}

/// Puts equal pods together, in their order.
pub(super) fn classes(pods: &[Arc<Pod>]) -> Vec<Class> {
    let mut classes = Vec::<Class>::new();
    let mut by_controller = ByController::default();
    for pod in pods {
        work::spend(MOST_CLASSES as u64);
        let new = Class { pods: vec![pod.clone()] };
        let Some(of_controller) = by_controller.of(pod) else {
            classes.push(new);
            continue;
        };
        if let Some(at) = of_controller.iter().find(|at| classes[**at].sample().is_like(pod)) {
            classes[*at].pods.push(pod.clone());
            continue;
        }
        if of_controller.len() < MOST_CLASSES {
            of_controller.push(classes.len());
        }
        classes.push(new);
    }
    classes
}

/// Pods with their nodes.
type Placed = Vec<(Arc<Pod>, Name)>;

/// Places pods where there is room already. Returns those that found a node, and the others.
pub(super) fn placed_and_left(fork: &mut Fork<'_>, pods: Vec<Arc<Pod>>) -> (Placed, Vec<Arc<Pod>>) {
    let (mut placed, mut left) = (Vec::new(), Vec::<Arc<Pod>>::new());
    let mut in_vain = ByController::default();
    for pod in pods {
        let is_like_one = |tried: &mut Vec<usize>| tried.iter().any(|at| left[*at].is_like(&pod));
        if in_vain.of(&pod).is_some_and(is_like_one) {
            left.push(pod);
            continue;
        }
        if let Some(node) = fork.place(&pod, None) {
            placed.push((pod, node));
            continue;
        }
        if let Some(tried) = in_vain.of(&pod).filter(|tried| tried.len() < MOST_CLASSES) {
            tried.push(left.len());
        }
        left.push(pod);
    }
    (placed, left)
}
