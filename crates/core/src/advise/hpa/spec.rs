//! The inputs: an autoscaler with its defaults, pods and metrics.

use std::collections::BTreeMap;

use crate::model::{Labels, Name, Selector};

/// A HorizontalPodAutoscaler whose defaults are filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoscaler {
    /// Its namespace, which is also that of its target.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// The scaled workload.
    pub target: Target,
    /// The fewest replicas.
    pub min: i32,
    /// The most replicas.
    pub max: i32,
    /// The metrics; the highest proposal wins.
    pub metrics: Vec<Metric>,
    /// Rules of the speed of scaling; `None` is not the same as the default rules.
    pub behavior: Option<Behavior>,
}

/// A reference to the scaled workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its kind.
    pub kind: Name,
    /// Its name.
    pub name: Name,
}

/// A metric and its target.
#[derive(Clone, Debug, PartialEq)]
pub enum Metric {
    /// The use of a resource by whole pods.
    Resource {
        /// The resource.
        name: Name,
        /// The wanted use.
        target: ResourceTarget,
    },
    /// The use of a resource by one container of each pod.
    ContainerResource {
        /// The resource.
        name: Name,
        /// The container.
        container: Name,
        /// The wanted use.
        target: ResourceTarget,
    },
    /// A metric that each pod has.
    Pods {
        /// The metric.
        metric: MetricId,
        /// The wanted average, in thousandths.
        average: i64,
    },
    /// A metric of another object.
    Object {
        /// The object.
        of: ObjectRef,
        /// The metric.
        metric: MetricId,
        /// The wanted value.
        target: ValueTarget,
    },
    /// A metric of something outside of the cluster.
    External {
        /// The metric.
        metric: MetricId,
        /// The wanted value.
        target: ValueTarget,
    },
}

/// The name of a metric, and a selector of its series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricId {
    /// The name.
    pub name: Name,
    /// The selector. Without one, external metrics select nothing, and others everything.
    pub selector: Option<Selector>,
}

/// The wanted use of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceTarget {
    /// In percent of the requests.
    Utilization(i32),
    /// As an average per pod, in thousandths.
    Average(i64),
}

/// The wanted value of a metric that is not one of pods, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueTarget {
    /// The value itself.
    Value(i64),
    /// The value divided by the number of replicas.
    Average(i64),
    /// A target whose type and value do not agree.
    Neither,
}

/// An object of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRef {
    /// Its API group; `None` where it is not known.
    pub group: Option<Name>,
    /// Its kind.
    pub kind: Name,
    /// Its name.
    pub name: Name,
}

/// Rules of the speed of scaling.
#[derive(Clone, Debug, PartialEq)]
pub struct Behavior {
    /// Of more replicas.
    pub up: Rules,
    /// Of fewer.
    pub down: Rules,
}

/// Rules of one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The seconds over which proposals are stabilized; `None` is the controller's window.
    pub window_seconds: Option<i32>,
    /// Which policy decides.
    pub select: Select,
    /// The policies.
    pub policies: Vec<Policy>,
    /// The tolerance of this direction; `None` is the controller's.
    pub tolerance: Option<f64>,
}

/// Which of several policies decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The one that permits the largest change.
    Max,
    /// The one that permits the smallest change.
    Min,
    /// None: there is no scaling in this direction.
    Disabled,
}

/// A limit of the change within a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The unit of the value.
    pub kind: PolicyKind,
    /// The permitted change.
    pub value: i32,
    /// The period.
    pub period_seconds: i32,
}

/// The unit of a policy's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Pods.
    Pods,
    /// Percent of the replicas at the beginning of the period.
    Percent,
}

/// Settings of the controller. The default is Kubernetes'.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The distance from 1 at which a ratio still needs no change.
    pub tolerance: f64,
    /// The seconds during which the highest proposal is kept.
    pub downscale_window_seconds: i32,
    /// The seconds after its start within which the CPU of a pod that is not ready does not count.
    pub cpu_initialization_seconds: i32,
    /// The seconds after its start within which a pod that becomes unready counts as never ready.
    pub readiness_delay_seconds: i32,
}

impl Default for Options {
    /// Source: `pkg/controller/podautoscaler/config/v1alpha1/defaults.go`.
    fn default() -> Self {
        Self {
            tolerance: 0.1,
            downscale_window_seconds: 300,
            cpu_initialization_seconds: 300,
            readiness_delay_seconds: 30,
        }
    }
}

/// The part of a pod that matters here.
#[derive(Clone, Debug, PartialEq)]
pub struct PodState {
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Its labels.
    pub labels: Labels,
    /// `true` if it is being deleted.
    pub is_deleted: bool,
    /// Its phase.
    pub phase: Phase,
    /// Its condition `Ready`.
    pub ready: Option<Ready>,
    /// When it was started, in nanoseconds.
    pub started: Option<i64>,
    /// Its containers, then its restartable init containers: the requests in thousandths.
    pub containers: Vec<(Name, BTreeMap<Name, i64>)>,
    /// The requests of the pod as a whole, where it states any.
    pub pod_level: Option<BTreeMap<Name, i64>>,
}

/// The phase of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not all containers have started.
    Pending,
    /// It runs.
    Running,
    /// It ended with an error.
    Failed,
    /// Any other.
    Other,
}

/// The condition `Ready` of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Its status.
    pub status: Readiness,
    /// Its last change, in nanoseconds.
    pub since: i64,
}

/// The status of the condition `Ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Ready.
    True,
    /// Not ready.
    False,
    /// Not known.
    Unknown,
}

/// The measured metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// The use of resources.
    pub pods: Vec<PodUsage>,
    /// The metrics of objects, pods among them.
    pub custom: Vec<CustomValue>,
    /// The metrics of things outside of the cluster.
    pub external: Vec<ExternalValue>,
}

/// The measured use of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodUsage {
    /// The pod's namespace.
    pub namespace: Name,
    /// The pod's name.
    pub name: Name,
    /// Its labels; `None` are those of the pod.
    pub labels: Option<Labels>,
    /// The end of the measured window, in nanoseconds.
    pub timestamp: i64,
    /// The length of the window, in nanoseconds.
    pub window: i64,
    /// The use by container, in thousandths.
    pub containers: Vec<(Name, BTreeMap<Name, i64>)>,
}

/// A measured value of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomValue {
    /// The object.
    pub of: ObjectRef,
    /// Its namespace; empty for objects without one.
    pub namespace: Name,
    /// The metric's name.
    pub metric: Name,
    /// The labels of the series.
    pub labels: Labels,
    /// The value, in thousandths.
    pub milli: i64,
}

/// A measured value of something outside of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalValue {
    /// The metric's name.
    pub metric: Name,
    /// The labels of the series.
    pub labels: Labels,
    /// The value, in thousandths.
    pub milli: i64,
}
