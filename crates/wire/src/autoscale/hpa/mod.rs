//! The request and the reply of `/autoscale/hpa`, and HorizontalPodAutoscalers as decisions read them.

mod amounts;
mod answer;
mod convert;
mod history;
mod metrics;
mod pods;
mod reply;
mod spec;

pub use self::{
    answer::{Case, Given, answer, options, play, selection},
    convert::Hpa,
    history::{HistoryDocument, PastChange, PastRecommendation},
    metrics::{
        ContainerUsage, DescribedObject, ExternalMetricValue, MetricName, MetricValue, PodMetrics, custom_values,
        external_values, pod_usages,
    },
    pods::{HpaPod, pod_states},
    reply::{HpaAnswer, HpaList, HpaReport, MetricReport, NamedReport, SyncReport, status},
    spec::{ControllerOptions, HpaRequest, HpaStep, ScaleDocument, ScaleSpecPart, ScaleStatusPart},
};
