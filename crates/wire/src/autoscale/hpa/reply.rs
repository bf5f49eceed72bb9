//! The reply, and the status of a HorizontalPodAutoscaler.

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    super::step::AdviceStepReport,
    amounts::written,
    convert::Hpa,
    history::{HistoryDocument, time},
    spec::{Identifier, Metric},
};
use podberth_core::{
    advise::hpa::{Answer, Before, Condition, Limit, Proposal, Proposed, Values, unreachable},
    model::{Name, Pod, resources},
};

/// The number of replicas that a workload needs: the fields of the last synchronization, and of all of them if there were several.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HpaReport {
    /// The last synchronization.
    #[serde(flatten)]
    pub last: SyncReport,
    /// All synchronizations, if the request asked for further ones.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<SyncReport>>,
    /// The memory of the controller afterwards, for the next request.
    pub history: HistoryDocument,
    /// In place of all other fields, the answers about all stored autoscalers, if the request was about no single one.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<NamedReport>>,
}

/// The answer to a request: about one autoscaler, or about all stored ones.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum HpaAnswer {
    /// About one.
    One(Box<HpaReport>),
    /// About all.
    All(HpaList),
}

/// The numbers of replicas that the targets of all stored autoscalers should have.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HpaList {
    /// The autoscalers, by namespace and name.
    pub items: Vec<NamedReport>,
}

/// One of several autoscalers.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedReport {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its target, as in `Deployment/web`.
    pub target: String,
    /// The answer.
    #[serde(flatten)]
    pub report: SyncReport,
}

/// The result of one synchronization.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncReport {
    /// The time of it.
    pub time: String,
    /// The number of replicas that the target should have.
    pub replicas: i32,
    /// `true` if that is another number than it has.
    pub rescaled: bool,
    /// The number of replicas before.
    pub current_replicas: i32,
    /// `status.desiredReplicas`: as `replicas`, or as before where the metrics failed.
    pub desired_replicas: i32,
    /// `status.currentMetrics`. A metric that failed has an empty type.
    #[schema(value_type = Vec<std::collections::BTreeMap<String, serde_json::Value>>)]
    pub current_metrics: Vec<Value>,
    /// `status.conditions`.
    #[schema(value_type = Vec<std::collections::BTreeMap<String, serde_json::Value>>)]
    pub conditions: Vec<Value>,
    /// The reason of the change; empty where there is none.
    pub reason: String,
    /// The result of each metric.
    pub metrics: Vec<MetricReport>,
    /// The highest proposal.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposed: Option<i32>,
    /// That number after stabilization.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stabilized: Option<i32>,
    /// The limit that cut it: `ScaleUpLimit`, `ScaleDownLimit`, `TooManyReplicas` or `TooFewReplicas`.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<&'static str>,
    /// The failure, also where the remaining metrics sufficed.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The step to take; none where the number stays.
    pub plan_steps: Vec<AdviceStepReport>,
}

/// The result of a metric.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricReport {
    /// The metric in words.
    pub metric: String,
    /// The number of replicas that it asks for.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Measured by wanted use.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// The ratio with assumed values for pods without metrics, and for those that are not ready.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assumed_ratio: Option<f64>,
    /// `true` if the ratio is within the tolerance, so that nothing changes.
    pub within_tolerance: bool,
    /// The number of pods that count.
    pub ready: usize,
    /// Pods that do not count since they are not ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unready: Vec<String>,
    /// Pods without metrics.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Pods that are being deleted or failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    /// The reason why it asks for no number.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl SyncReport {
    /// The report where the scale of the target cannot be read.
    pub fn unreachable(before: &Before, why: &str, now: i64) -> Self {
        Self {
            time: time(now),
            desired_replicas: before.desired,
            conditions: unreachable(before, why, now).iter().map(condition).collect(),
            error: Some(format!("the scale of the target cannot be read: {why}")),
            ..Self::default()
        }
    }

    /// The report of an answer.
    pub fn new(hpa: &Hpa, answer: &Answer, now: i64) -> Self {
        Self {
            time: time(now),
            replicas: answer.replicas,
            rescaled: answer.is_rescaled(),
            current_replicas: answer.current,
            desired_replicas: answer.desired,
            current_metrics: current_metrics(hpa, &answer.proposals),
            conditions: answer.conditions.iter().map(condition).collect(),
            reason: answer.reason.clone(),
            metrics: answer.proposals.iter().map(MetricReport::from).collect(),
            proposed: answer.proposed,
            stabilized: answer.stabilized,
            limit: answer.limit.map(Limit::reason),
            error: answer.error.clone(),
            plan_steps: answer
                .step(hpa.workload())
                .iter()
                .map(|step| AdviceStepReport::new(step, Pod::full_name))
                .collect(),
        }
    }
}

impl From<&Proposal> for MetricReport {
    fn from(of: &Proposal) -> Self {
        let metric = of.metric.clone();
        match &of.result {
            Err(why) => Self { metric, error: Some(why.clone()), ..Self::default() },
            Ok(Proposed {
                replicas,
                ratio,
                assumed_ratio,
                is_within_tolerance,
                ready,
                unready,
                missing,
                ignored,
                values: _,
            }) => {
                let names = |list: &[Name]| list.iter().map(ToString::to_string).collect();
                Self {
                    metric,
                    replicas: Some(*replicas),
                    ratio: *ratio,
                    assumed_ratio: *assumed_ratio,
                    within_tolerance: *is_within_tolerance,
                    ready: *ready,
                    unready: names(unready),
                    missing: names(missing),
                    ignored: names(ignored),
                    error: None,
                }
            }
        }
    }
}

/// The status of the autoscaler after an answer, as the API has it.
pub fn status(hpa: &Hpa, answer: &Answer, now: i64) -> Value {
    let mut status = json!({
        "currentReplicas": answer.current, "desiredReplicas": answer.desired,
        "conditions": answer.conditions.iter().map(condition).collect::<Vec<_>>(),
    });
    let metrics = current_metrics(hpa, &answer.proposals);
    if !metrics.is_empty() {
        status["currentMetrics"] = metrics.into();
    }
    if answer.is_rescaled() {
        status["lastScaleTime"] = seconds(now).into();
    } else if let Some(time) = &hpa.last_scaled {
        status["lastScaleTime"] = time.as_str().into();
    }
    status
}

/// A condition as the API has it.
fn condition(of: &Condition) -> Value {
    json!({
        "type": of.kind.name(), "status": if of.status { "True" } else { "False" }, "lastTransitionTime": seconds(of.since),
        "reason": of.reason, "message": of.message,
    })
}

fn current_metrics(hpa: &Hpa, proposals: &[Proposal]) -> Vec<Value> {
    let one = |(proposal, metric): (&Proposal, &Metric)| match &proposal.result {
        Ok(proposed) => current(metric, proposed.values),
        Err(_) => json!({"type": ""}),
    };
    proposals.iter().zip(&hpa.metrics).map(one).collect()
}

/// The name of a metric and its selector, without the lists that are empty.
fn identifier(of: &Identifier) -> Value {
    let mut metric = json!({"name": of.name});
    if let Some(selector) = &of.selector {
        let mut kept = Map::new();
        if !selector.match_labels.is_empty() {
            kept.insert("matchLabels".into(), json!(selector.match_labels));
        }
        if !selector.match_expressions.is_empty() {
            kept.insert("matchExpressions".into(), json!(selector.match_expressions));
        }
        metric["selector"] = kept.into();
    }
    metric
}

/// A metric with its measured values.
fn current(metric: &Metric, values: Values) -> Value {
    let resource = metric.resource.as_ref().or(metric.container_resource.as_ref());
    let is_memory = resource.is_some_and(|source| source.name == resources::MEMORY);
    let mut current = Map::new();
    if let Some(milli) = values.value {
        current.insert("value".into(), written(milli, is_memory).into());
    }
    if let Some(milli) = values.average {
        current.insert("averageValue".into(), written(milli, is_memory).into());
    }
    if let Some(percent) = values.utilization {
        current.insert("averageUtilization".into(), percent.into());
    }
    let (field, source) = match metric {
        Metric { resource: Some(of), .. } => ("resource", json!({"name": of.name, "current": current})),
        Metric { container_resource: Some(of), .. } => {
            ("containerResource", json!({"name": of.name, "container": of.container, "current": current}))
        }
        Metric { pods: Some(of), .. } => ("pods", json!({"metric": identifier(&of.metric), "current": current})),
        Metric { object: Some(of), .. } => {
            let described = &of.described_object;
            ("object", json!({"metric": identifier(&of.metric), "describedObject": described, "current": current}))
        }
        Metric { external: Some(of), .. } => {
            ("external", json!({"metric": identifier(&of.metric), "current": current}))
        }
        _ => return json!({"type": ""}),
    };
    json!({"type": metric.kind, field: source})
}

/// A time in whole seconds, as the API writes it.
fn seconds(nanos: i64) -> String {
    time(nanos.div_euclid(1_000_000_000).saturating_mul(1_000_000_000))
}
