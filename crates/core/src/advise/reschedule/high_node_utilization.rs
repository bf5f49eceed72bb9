//! `HighNodeUtilization`: evicts pods from nearly empty nodes, so that they can be packed onto fewer nodes.
//!
//! A node is under-used if no resource exceeds `thresholds`. All other nodes that are not cordoned are to take pods. Nothing happens if no node is
//! under-used, or all are, or `numberOfNodes` or fewer are, or no other node can take pods. Under-used nodes are emptied from the emptiest on, as
//! long as the others have room. With `evictionModes: [OnlyThresholdingResources]` only pods that request a resource of the thresholds go;
//! `evictableNamespaces.exclude` spares pods. Useful with a scheduler that packs (`MostRequestedPriority`).
//!
//! Source: `descheduler/pkg/framework/plugins/nodeutilization/highnodeutilization.go`.

use super::{
    Namespaces, Strategy, Turn,
    utilization::{Load, Relief, Thresholds, counted},
};
use crate::model::{Name, Pod};

/// Arguments of `HighNodeUtilization`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HighNodeUtilization {
    /// `thresholds`.
    pub low: Thresholds,
    /// `numberOfNodes`.
    pub number_of_nodes: usize,
    /// `true` with the eviction mode `OnlyThresholdingResources`.
    pub only_asking: bool,
    /// `evictableNamespaces`.
    pub namespaces: Namespaces,
}

impl Strategy for HighNodeUtilization {
    fn name(&self) -> &'static str {
        "HighNodeUtilization"
    }

    fn run(&self, turn: &mut Turn<'_, '_>) {
        let names = counted(&self.low);
        let full: Thresholds = self.low.keys().map(|name| (name.clone(), 100.0)).collect();
        let mut loads: Vec<Load<'_>> =
            turn.nodes().into_iter().map(|node| Load::new(node, &names, &self.low)).collect();
        for load in &mut loads {
            load.cap(&names, &full);
        }
        let all = loads.len();
        let (mut under, others): (Vec<_>, Vec<_>) = loads.into_iter().partition(|load| load.is_under(&self.low));
        let takers: Vec<_> = others.into_iter().filter(|load| !load.node.node.unschedulable).collect();
        if under.len() <= self.number_of_nodes || under.len() == all || takers.is_empty() {
            return;
        }
        under.sort_by_key(Load::sum);
        let asks = |pod: &Pod| self.low.keys().any(|name: &Name| pod.spec.requests.get(name) > 0);
        let relief = Relief {
            sources: under,
            destinations: &takers,
            names: &names,
            namespaces: &self.namespaces,
            node_limit: None,
            accepts: &|pod| !self.only_asking || asks(pod),
            has_too_much: &|_| true,
            why: &|_| "its node is under-used, and others have room".into(),
        };
        relief.carry_out(turn);
    }
}
