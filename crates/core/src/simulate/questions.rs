//! Questions that are answered by trying: how many more pods fit, and how many more nodes some pods need.

use std::{collections::BTreeMap, sync::Arc};

use super::{Placing, Simulation, StuckPod, copies};
use crate::{
    batch::{self, Placed, Placement},
    model::{Name, Node, Pod, resources},
    snapshot::{Object, Snapshot},
};

/// How many copies of a pod fit besides what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HowMany {
    /// Copies that found a node.
    pub count: usize,
    /// How many of them each node has.
    pub by_node: BTreeMap<Name, usize>,
    /// Why the next one fits nowhere, in kube-scheduler's words; `None` where the bound was reached first.
    pub limited_by: Option<String>,
}

/// Places copies of a pod one after the other until one fits nowhere, at most `most`, as cluster-capacity does (`pkg/framework/simulator.go`). Nothing is
/// evicted for them: cluster-capacity stops at the first pod that fits nowhere. It tries preemption before it stops, so its sentence says why that does not
/// help, if it does not.
pub fn how_many(of: &Simulation, pod: &Pod, most: usize) -> HowMany {
    let options = batch::Options { preempt: false, ..of.options() };
    let mut placing = Placing::new(of.profiles().clone(), of.snapshot().clone(), options);
    let mut answer = HowMany::default();
    let mut names = (0..).map(|number| Name::from(format!("{}-{number}", pod.name)));
    while answer.count < most {
        let is_free = |name: &Name| of.snapshot().pod(&pod.namespace, name).is_none();
        let Some(name) = names.find(is_free) else { break };
        let copy = Arc::new(Pod { uid: name.clone(), name, ..pod.clone() });
        match placing.place(&copy) {
            Placement::Placed(there) => {
                answer.count += 1;
                *answer.by_node.entry(there.node).or_default() += 1;
            }
            Placement::Unschedulable(message) => {
                answer.limited_by =
                    Some(if of.options().preempt { in_vain(of, placing, &copy, message) } else { message });
                break;
            }
        }
    }
    answer
}

/// The sentence for a pod that fits nowhere, after preemption was tried: it ends with why evictions do not help, if they do not.
fn in_vain(of: &Simulation, placing: Placing, pod: &Arc<Pod>, message: String) -> String {
    match Placing::new(of.profiles().clone(), placing.into_snapshot(), of.options()).place(pod) {
        Placement::Placed(_) => message,
        Placement::Unschedulable(complete) => complete,
    }
}

/// The smallest number of further nodes with which all pods fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodesNeeded {
    /// The number; `None` if they do not fit with as many as may be tried.
    pub count: Option<usize>,
    /// The pods that fit nowhere with one node less; with as many as were tried where that is not enough. Empty where no node is needed.
    pub with_one_less: Vec<StuckPod>,
}

/// Tries one number of nodes like `template` after the other, from the least that could hold the requests, up to `most`. Every smaller number was tried, or
/// offers less than the pods ask for together.
pub fn nodes_needed(of: &Simulation, template: &Node, pods: &[Arc<Pod>], most: usize) -> NodesNeeded {
    let first = at_least(of.snapshot(), template, pods).saturating_sub(1).min(most);
    let mut with_one_less = Vec::new();
    for count in first..=most {
        let stuck = stuck_with(of, template, count, pods);
        if stuck.is_empty() {
            if count == first && count > 0 {
                with_one_less = stuck_with(of, template, count - 1, pods);
            }
            return NodesNeeded { count: Some(count), with_one_less };
        }
        with_one_less = stuck;
    }
    NodesNeeded { count: None, with_one_less }
}

/// The pods that fit nowhere with so many further nodes.
fn stuck_with(of: &Simulation, template: &Node, count: usize, pods: &[Arc<Pod>]) -> Vec<StuckPod> {
    let mut snapshot = of.snapshot().clone();
    for node in copies(template, count, of.snapshot()) {
        snapshot.apply(Object::Node(node));
    }
    let mut waiting = pods.to_vec();
    batch::in_order(&mut waiting, &snapshot, |pod| pod);
    let options = batch::Options { preempt: false, ..of.options() };
    let mut placing = Placing::new(of.profiles().clone(), snapshot, options);
    let mut stuck = Vec::new();
    for pod in waiting {
        if let Placement::Unschedulable(message) = placing.place(&pod) {
            stuck.push(StuckPod { pod, from: Name::default(), message });
        }
    }
    stuck
}

/// A number of nodes below which the requests are more than all nodes offer.
fn at_least(snapshot: &Snapshot, template: &Node, pods: &[Arc<Pod>]) -> usize {
    let needed = |name: &str| {
        let asked: i64 = pods.iter().map(|pod| pod.spec.requests.get(name)).fold(0, i64::saturating_add);
        let free = snapshot
            .nodes()
            .map(|info| info.node.allocatable.get(name).saturating_sub(info.requested.get(name)).max(0));
        let missing = asked.saturating_sub(free.fold(0, i64::saturating_add)).max(0);
        let each = template.allocatable.get(name);
        if each > 0 { usize::try_from(missing.div_euclid(each)).unwrap_or(usize::MAX) } else { 0 }
    };
    [resources::CPU, resources::MEMORY].into_iter().map(needed).max().unwrap_or(0)
}

/// Where one pod would go.
///
/// # Errors
/// Why it fits nowhere, in kube-scheduler's words.
pub fn fits(of: &Simulation, pod: &Arc<Pod>) -> Result<Placed, String> {
    let options = batch::Options { preempt: false, ..of.options() };
    match Placing::new(of.profiles().clone(), of.snapshot().clone(), options).place(pod) {
        Placement::Placed(placed) => Ok(placed),
        Placement::Unschedulable(message) => Err(message),
    }
}
