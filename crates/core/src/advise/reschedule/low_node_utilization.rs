//! `LowNodeUtilization`: evicts pods from nodes that are too full, so that nearly empty ones can take them.
//!
//! A node is under-used if no resource exceeds `thresholds` and it is not cordoned, and over-used if any resource exceeds `targetThresholds`. With
//! `useDeviationThresholds` these are distances from the average. Nothing happens if no node is under-used, or all are, or none is over-used, or
//! `numberOfNodes` or fewer are under-used. Over-used nodes are relieved from the fullest on, each until nothing exceeds the target, as long as
//! the under-used ones have room up to the target. `evictionLimits.node` bounds the pods of one node; `evictableNamespaces.exclude` spares pods.
//!
//! Source: `descheduler/pkg/framework/plugins/nodeutilization/lownodeutilization.go`.

use std::cmp::Reverse;

use super::{
    Namespaces, Strategy, Turn,
    utilization::{Load, Relief, Thresholds, around_average, counted},
};

/// Arguments of `LowNodeUtilization`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LowNodeUtilization {
    /// `thresholds`.
    pub low: Thresholds,
    /// `targetThresholds`.
    pub target: Thresholds,
    /// `useDeviationThresholds`.
    pub are_deviations: bool,
    /// `numberOfNodes`.
    pub number_of_nodes: usize,
    /// `evictableNamespaces`.
    pub namespaces: Namespaces,
    /// `evictionLimits.node`.
    pub node_limit: Option<u64>,
}

impl Strategy for LowNodeUtilization {
    fn name(&self) -> &'static str {
        "LowNodeUtilization"
    }

    fn run(&self, turn: &mut Turn<'_, '_>) {
        let names = counted(&self.low);
        let mut loads: Vec<Load<'_>> =
            turn.nodes().into_iter().map(|node| Load::new(node, &names, &self.low)).collect();
        let (low, target) = if self.are_deviations {
            (around_average(&loads, &self.low, -1.0), around_average(&loads, &self.target, 1.0))
        } else {
            (self.low.clone(), self.target.clone())
        };
        for load in &mut loads {
            load.cap(&names, &target);
        }
        let all = loads.len();
        let is_low = |load: &Load<'_>| !load.node.node.unschedulable && load.is_under(&low);
        let (under, others): (Vec<_>, Vec<_>) = loads.into_iter().partition(is_low);
        let mut over: Vec<_> = others.into_iter().filter(|load| load.over(&target).is_some()).collect();
        if under.len() <= self.number_of_nodes || under.len() == all || over.is_empty() {
            return;
        }
        over.sort_by_key(|load| Reverse(load.sum()));
        let why = |load: &Load<'_>| match load.over(&target) {
            Some((name, used, target)) => {
                format!("its node's utilization of {name}, {used:.1} %, is above the target {target:.1} %")
            }
            None => String::new(),
        };
        let relief = Relief {
            sources: over,
            destinations: &under,
            names: &names,
            namespaces: &self.namespaces,
            node_limit: self.node_limit,
            accepts: &|_| true,
            has_too_much: &Load::is_above,
            why: &why,
        };
        relief.carry_out(turn);
    }
}
