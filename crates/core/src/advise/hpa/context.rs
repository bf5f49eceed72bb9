//! The inputs of the metrics, and the limits that cut a number of replicas.

use rustc_hash::FxHashSet;

use super::{
    calculate::{Basis, Tolerances},
    spec::{CustomValue, MetricId, Metrics, Options, Phase, PodState, PodUsage, Readiness},
};
use crate::model::{Labels, Name, Selector};

/// The limit that cut a number of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The speed of growing.
    ScaleUp,
    /// The speed of shrinking.
    ScaleDown,
    /// `maxReplicas`.
    Maximum,
    /// `minReplicas`.
    Minimum,
}

impl Limit {
    /// The reason of the condition `ScalingLimited`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::ScaleUp => "ScaleUpLimit",
            Self::ScaleDown => "ScaleDownLimit",
            Self::Maximum => "TooManyReplicas",
            Self::Minimum => "TooFewReplicas",
        }
    }

    pub(super) fn message(self) -> &'static str {
        match self {
            Self::ScaleUp => "more replicas are wanted than may be added at a time",
            Self::ScaleDown => "fewer replicas are wanted than may be taken away at a time",
            Self::Maximum => "more replicas are wanted than maxReplicas",
            Self::Minimum => "fewer replicas are wanted than minReplicas",
        }
    }
}

/// The inputs of the metrics.
pub(super) struct Context<'a> {
    pub(super) namespace: &'a Name,
    pub(super) metrics: &'a Metrics,
    pub(super) options: &'a Options,
    pub(super) tolerances: Tolerances,
    /// `scale.status.replicas`.
    pub(super) observed_replicas: i32,
    pub(super) now: i64,
    pub(super) current: i32,
    pub(super) selector: &'a Selector,
    /// The selected pods.
    pub(super) selected: Vec<&'a PodState>,
    pub(super) names: FxHashSet<&'a str>,
}

impl<'a> Context<'a> {
    pub(super) fn basis(&self) -> Basis {
        Basis { current: self.current, tolerances: self.tolerances }
    }

    /// The selected pods.
    pub(super) fn pods(&self) -> Result<&[&'a PodState], String> {
        if self.selected.is_empty() {
            return Err("the selector of the target selects no pods".into());
        }
        Ok(&self.selected)
    }

    /// How many of the selected pods run and are ready.
    pub(super) fn ready(&self) -> Result<usize, String> {
        let is_ready = |pod: &&&PodState| {
            pod.phase == Phase::Running && pod.ready.is_some_and(|ready| ready.status == Readiness::True)
        };
        Ok(self.pods()?.iter().filter(is_ready).count())
    }

    /// `true` if the pod of this name, or one with these labels, is selected.
    pub(super) fn is_selected(&self, pod: &str, labels: Option<&Labels>) -> bool {
        labels.map_or_else(|| self.names.contains(pod), |labels| self.selector.matches(labels))
    }

    /// The measured use of the selected pods.
    pub(super) fn usages(&self) -> Vec<&'a PodUsage> {
        let is_own = |usage: &&PodUsage| {
            usage.namespace == *self.namespace && self.is_selected(&usage.name, usage.labels.as_ref())
        };
        self.metrics.pods.iter().filter(is_own).collect()
    }

    /// The values of a metric of objects.
    pub(super) fn customs(&self, metric: &MetricId) -> impl Iterator<Item = &'a CustomValue> {
        self.metrics.custom.iter().filter(move |value| {
            let is_selected = metric.selector.as_ref().is_none_or(|selector| selector.matches(&value.labels));
            value.metric == metric.name && is_selected
        })
    }
}
