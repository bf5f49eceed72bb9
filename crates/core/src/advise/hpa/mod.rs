//! Horizontal pod autoscaling: the number of replicas that a workload needs, by its metrics.
//!
//! [`advise`] is one synchronization of the controller: a function of the autoscaler, the scale of its target, the pods, their metrics, the
//! history and the time. Each kind of metric proposes a number of replicas; the highest proposal is stabilized over time, then limited.
//! The answer has each step of this.
//!
//! Amounts are whole thousandths, as the controller computes them; times are nanoseconds since 1970. Sums and counts that do not fit are cut
//! at the largest value that does; the controller lets some of them wrap around.
//!
//! Source: `pkg/controller/podautoscaler/horizontal.go` and `replica_calculator.go` of Kubernetes 1.36.2.

mod calculate;
mod conditions;
mod container_resource;
mod context;
mod external;
mod history;
mod object;
mod pods;
mod policies;
mod reconcile;
mod resource;
mod spec;
mod stabilization;

pub use self::{
    calculate::{Proposed, Values},
    conditions::{Condition, ConditionKind},
    context::Limit,
    history::{Event, History, Recommendation},
    reconcile::{Answer, Before, Observed, Proposal, Rival, Selection, advise, unreachable},
    spec::{
        Autoscaler, Behavior, CustomValue, ExternalValue, Metric, MetricId, Metrics, ObjectRef, Options, Phase,
        PodState, PodUsage, Policy, PolicyKind, Readiness, Ready, ResourceTarget, Rules, Select, Target, ValueTarget,
    },
};
use super::Advice;

/// The kinds of metrics, and the rules that stand between their proposals and the answer.
pub static ALL: &[Advice] = &[
    Advice { name: "Resource", kind: "HpaMetric", source: include_str!("resource.rs") },
    Advice { name: "ContainerResource", kind: "HpaMetric", source: include_str!("container_resource.rs") },
    Advice { name: "Pods", kind: "HpaMetric", source: include_str!("pods.rs") },
    Advice { name: "Object", kind: "HpaMetric", source: include_str!("object.rs") },
    Advice { name: "External", kind: "HpaMetric", source: include_str!("external.rs") },
    Advice { name: "Stabilization", kind: "HpaLimit", source: include_str!("stabilization.rs") },
    Advice { name: "ScalingPolicies", kind: "HpaLimit", source: include_str!("policies.rs") },
];

#[cfg(test)]
mod tests;
