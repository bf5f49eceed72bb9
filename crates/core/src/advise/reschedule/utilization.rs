//! Utilization of nodes by requests, and evictions from full or nearly empty ones.
//!
//! A node's utilization of a resource is the sum of its pods' requests by its allocatable amount, in percent. Resources that are named in thresholds are
//! compared; CPU, memory and the number of pods count besides for the room that other nodes have.
//!
//! Pods go by priority, the lowest first; among equals `BestEffort` before `Burstable` before `Guaranteed`. A pod goes only if it tolerates all
//! taints of a node that is to take pods, and has at least as many tolerations as that node has taints.
//!
//! Source: `descheduler/pkg/framework/plugins/nodeutilization`, `descheduler/pkg/utils/pod.go` (`PodToleratesTaints`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Namespaces, Turn, ledger::Denied, lowest_first};
use crate::{
    model::{Name, Node, Pod, Resources, first_untolerated, resources},
    node_info::NodeInfo,
    work,
};

/// Percentages by resource.
pub type Thresholds = BTreeMap<Name, f64>;

/// A node, the amounts that its pods request, and how much of each it is to hold at most; both in the order of the resources' names.
#[derive(Clone, Debug)]
pub(super) struct Load<'s> {
    pub(super) node: &'s Arc<NodeInfo>,
    pub(super) usage: Vec<i64>,
    pub(super) most: Vec<i64>,
    /// Percentages of the resources in the thresholds.
    pub(super) percent: Thresholds,
}

/// The resources that are counted: those in the thresholds, CPU, memory and pods.
pub(super) fn counted(thresholds: &Thresholds) -> Vec<Name> {
    let basic = [resources::CPU, resources::MEMORY, resources::PODS].map(Name::from);
    let names: BTreeSet<Name> = thresholds.keys().cloned().chain(basic).collect();
    names.into_iter().collect()
}

/// Amount that a node offers; `None` if it knows nothing about the resource.
fn offered(node: &Node, name: &str) -> Option<i64> {
    let is_basic = matches!(name, resources::CPU | resources::MEMORY | resources::PODS | resources::EPHEMERAL_STORAGE);
    let own = &node.allocatable;
    let offered = node.facts.as_ref().filter(|_| *own == Resources::default()).map_or(own, |facts| &facts.capacity);
    (is_basic || offered.scalar.contains_key(name)).then(|| offered.get(name))
}

fn used(node: &NodeInfo, name: &str) -> i64 {
    if name == resources::PODS { i64::try_from(node.pods.len()).unwrap_or(i64::MAX) } else { node.requested.get(name) }
}

/// The part of a resource that is requested, in percent; `None` if the node knows nothing about the resource.
pub(super) fn percent(node: &NodeInfo, name: &str) -> Option<f64> {
    let (used, offered) = (used(node, name), offered(&node.node, name)?);
    Some(if offered > 0 { used as f64 / offered as f64 * 100.0 } else { 0.0 })
}

fn asked(pod: &Pod, name: &str) -> i64 {
    if name == resources::PODS { 1 } else { pod.spec.requests.get(name) }
}

impl<'s> Load<'s> {
    pub(super) fn new(node: &'s Arc<NodeInfo>, names: &[Name], thresholds: &Thresholds) -> Self {
        work::spend(1);
        let percent = thresholds.keys().filter_map(|name| Some((name.clone(), percent(node, name)?)));
        let usage = names.iter().map(|name| used(node, name)).collect();
        Self { node, usage, most: Vec::new(), percent: percent.collect() }
    }

    /// Sets how much the node is to hold at most: these percentages, and all of other resources.
    pub(super) fn cap(&mut self, names: &[Name], thresholds: &Thresholds) {
        let most = |name: &Name| {
            let offered = offered(&self.node.node, name).unwrap_or(0);
            // Truncated, as Go does it.
            thresholds.get(name).map_or(offered, |percent| (percent * 0.01 * offered as f64) as i64)
        };
        self.most = names.iter().map(most).collect();
    }

    /// `true` if no resource exceeds its threshold.
    pub(super) fn is_under(&self, thresholds: &Thresholds) -> bool {
        self.over(thresholds).is_none()
    }

    /// The first resource that exceeds its threshold, with its percentage and the threshold.
    pub(super) fn over(&self, thresholds: &Thresholds) -> Option<(&Name, f64, f64)> {
        self.percent.iter().find_map(|(name, used)| {
            let threshold = *thresholds.get(name)?;
            (threshold < *used).then_some((name, *used, threshold))
        })
    }

    /// `true` if the node holds more of any resource than it is to hold.
    pub(super) fn is_above(&self) -> bool {
        self.usage.iter().zip(&self.most).any(|(usage, most)| usage > most)
    }

    /// All amounts summed up, whatever their units: CPU in thousandths, memory in bytes (`sortNodesByUsage`).
    pub(super) fn sum(&self) -> i64 {
        self.usage.iter().fold(0, |sum, usage| usage.saturating_add(sum))
    }
}

/// The average percentages of nodes, moved by these deviations and kept within 0 to 100.
pub(super) fn around_average(loads: &[Load<'_>], deviations: &Thresholds, sign: f64) -> Thresholds {
    let mut sums: BTreeMap<&Name, (f64, f64)> = BTreeMap::new();
    for (name, percent) in loads.iter().flat_map(|load| &load.percent) {
        let (sum, count) = sums.entry(name).or_default();
        *sum += percent;
        *count += 1.0;
    }
    let moved = |(name, (sum, count)): (&Name, (f64, f64))| {
        let by = deviations.get(name).copied().unwrap_or(0.0);
        (name.clone(), (sum / count + sign * by).clamp(0.0, 100.0))
    };
    sums.into_iter().map(moved).collect()
}

/// How pods are evicted from nodes.
pub(super) struct Relief<'a, 's> {
    /// The nodes that pods leave, in their order.
    pub(super) sources: Vec<Load<'s>>,
    /// The nodes that are to take them.
    pub(super) destinations: &'a [Load<'s>],
    /// The resources that are counted.
    pub(super) names: &'a [Name],
    /// Namespaces whose pods may go.
    pub(super) namespaces: &'a Namespaces,
    /// How many pods of a node go at most.
    pub(super) node_limit: Option<u64>,
    /// Pods that may go.
    pub(super) accepts: &'a dyn Fn(&Pod) -> bool,
    /// `true` as long as a node has too much.
    pub(super) has_too_much: &'a dyn Fn(&Load<'s>) -> bool,
    /// Why pods of a node go.
    pub(super) why: &'a dyn Fn(&Load<'s>) -> String,
}

impl<'s> Relief<'_, 's> {
    /// Evicts pods, as long as the destinations have room for them.
    pub(super) fn carry_out(self, turn: &mut Turn<'_, 's>) {
        let mut room = vec![0_i64; self.names.len()];
        for load in self.destinations {
            for (room, (most, usage)) in room.iter_mut().zip(load.most.iter().zip(&load.usage)) {
                *room = room.saturating_add(*most).saturating_sub(*usage);
            }
        }
        let goes_on =
            |load: &Load<'s>, room: &[i64]| (self.has_too_much)(load) && room.iter().all(|amount| *amount > 0);
        let destinations = self.destinations;
        for mut load in self.sources {
            let mut pods = Vec::new();
            for pod in &load.node.pods {
                if (self.accepts)(pod) && turn.may_evict(pod) {
                    pods.push(pod);
                }
            }
            if pods.is_empty() || !goes_on(&load, &room) {
                continue;
            }
            lowest_first(&mut pods);
            let mut evicted = 0_u64;
            for pod in pods {
                if self.node_limit.is_some_and(|limit| evicted >= limit) {
                    break;
                }
                if !tolerates_any(pod, destinations) {
                    turn.note_spared("it does not tolerate the taints of any node that is to take pods");
                    continue;
                }
                if !self.namespaces.has(&pod.namespace) || !turn.may_go(pod) {
                    continue;
                }
                match turn.evict(pod, || (self.why)(&load)) {
                    Ok(()) => {}
                    Err(Denied::ThisPod) => continue,
                    Err(Denied::Node) => break,
                    Err(Denied::Total) => return,
                }
                evicted += 1;
                for (at, name) in self.names.iter().enumerate() {
                    let asked = asked(pod, name);
                    load.usage[at] = load.usage[at].saturating_sub(asked);
                    room[at] = room[at].saturating_sub(asked);
                }
                if !goes_on(&load, &room) {
                    break;
                }
            }
        }
    }
}

/// `true` if the pod tolerates all taints of any of the nodes, with as many tolerations at least.
fn tolerates_any(pod: &Pod, nodes: &[Load<'_>]) -> bool {
    nodes.iter().any(|load| {
        work::spend(1);
        let taints = &load.node.node.taints;
        pod.spec.tolerations.len() >= taints.len()
            && first_untolerated(taints, &pod.spec.tolerations, |_| true).is_none()
    })
}
