//! One synchronization of an autoscaler.
//!
//! Source: `pkg/controller/podautoscaler/horizontal.go` (`reconcileAutoscaler`, `computeReplicasForMetrics`, `normalizeDesiredReplicas`,
//! `normalizeDesiredReplicasWithBehaviors`, `tolerancesForHpa`).

use super::{
    calculate::{Proposed, Tolerances},
    conditions::{Condition, ConditionKind, set},
    container_resource,
    context::{Context, Limit},
    external,
    history::History,
    object, pods, policies, resource,
    spec::{Autoscaler, Metric, Metrics, Options, PodState},
    stabilization,
};
use crate::{
    advise::plan::{AdviceStep, StepKind, Workload},
    model::{Name, Selector},
    work,
};

/// The status of the autoscaler before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// `desiredReplicas`.
    pub desired: i32,
    /// Its conditions.
    pub conditions: Vec<Condition>,
}

/// The selector of the target's pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The target has none.
    Missing,
    /// It cannot be read.
    Invalid(String),
    /// The selector.
    Of(Selector),
}

/// Another autoscaler of the namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Its name.
    pub name: Name,
    /// The selector of its target's pods.
    pub selector: Selector,
}

/// The cluster as the autoscaler sees it.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// `scale.spec.replicas` of the target.
    pub replicas: i32,
    /// `scale.status.replicas` of the target.
    pub observed_replicas: i32,
    /// `scale.status.selector` of the target.
    pub selection: &'a Selection,
    /// Pods, those of other workloads among them.
    pub pods: &'a [PodState],
    /// The metrics.
    pub metrics: &'a Metrics,
    /// Other autoscalers of the namespace.
    pub rivals: &'a [Rival],
}

/// The result of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The metric in words.
    pub metric: String,
    /// The proposal, or the reason why there is none.
    pub result: Result<Proposed, String>,
}

/// The result of a synchronization.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The number of replicas before.
    pub current: i32,
    /// The number of replicas that the target should have.
    pub replicas: i32,
    /// `desiredReplicas` of the status: as `replicas`, or as before where the metrics failed.
    pub desired: i32,
    /// The conditions of the status.
    pub conditions: Vec<Condition>,
    /// The results of the metrics, in their order; empty where they were not computed.
    pub proposals: Vec<Proposal>,
    /// The highest proposal.
    pub proposed: Option<i32>,
    /// That number after stabilization.
    pub stabilized: Option<i32>,
    /// The limit that cut it.
    pub limit: Option<Limit>,
    /// The reason of the change; empty where there is none.
    pub reason: String,
    /// The failure, also where the remaining metrics sufficed.
    pub error: Option<String>,
}

impl Answer {
    /// `true` if the target's number of replicas should change.
    pub fn is_rescaled(&self) -> bool {
        self.replicas != self.current
    }

    /// The step, where the number of replicas should change.
    pub fn step(&self, target: Workload) -> Option<AdviceStep> {
        let step = StepKind::Scale { target, from: self.current, to: self.replicas };
        self.is_rescaled().then(|| step.because(&*self.reason))
    }

    /// The answer where the target's scale could not be written.
    #[must_use]
    pub fn refused(mut self, why: &str, now: i64) -> Self {
        let message = format!("the scale of the target could not be written: {why}");
        set(&mut self.conditions, now, ConditionKind::AbleToScale, false, "FailedUpdateScale", message.clone());
        self.replicas = self.current;
        self.error = Some(message);
        self
    }
}

/// The conditions where the target's scale cannot be read.
pub fn unreachable(before: &Before, why: &str, now: i64) -> Vec<Condition> {
    let mut conditions = before.conditions.clone();
    let message = format!("the scale of the target cannot be read: {why}");
    set(&mut conditions, now, ConditionKind::AbleToScale, false, "FailedGetScale", message);
    conditions
}

/// One synchronization: the number of replicas that the target should have. The proposal becomes a part of the history; a change that is carried out
/// is noted by [`History::changed`].
pub fn advise(
    hpa: &Autoscaler,
    before: &Before,
    observed: &Observed<'_>,
    history: &mut History,
    options: &Options,
    now: i64,
) -> Answer {
    work::spend_on(history.recommendations.len() + history.ups.len() + history.downs.len());
    let current = observed.replicas;
    let mut answer = Answer { current, replicas: current, conditions: before.conditions.clone(), ..Answer::default() };
    let note = |answer: &mut Answer, kind, status, reason: &str, message: String| {
        set(&mut answer.conditions, now, kind, status, reason, message);
    };
    let able = ConditionKind::AbleToScale;
    note(&mut answer, able, true, "SucceededGetScale", "the scale of the target was read".into());
    history.begin(current, now);
    if current == 0 {
        let message = "the target has zero replicas, which ends scaling: set its replicas to scale again";
        note(&mut answer, ConditionKind::ScalingActive, false, "ScalingDisabled", message.into());
    } else if current > hpa.max {
        answer.replicas = hpa.max;
        answer.reason = format!("the {current} replicas are more than maxReplicas");
    } else if current < hpa.min {
        answer.replicas = hpa.min;
        answer.reason = format!("the {current} replicas are fewer than minReplicas");
    } else {
        let (proposed, metric) = match propose(hpa, observed, options, now, &mut answer) {
            Ok(proposed) => proposed,
            Err(error) => {
                answer.desired = before.desired;
                answer.error = Some(error);
                return answer;
            }
        };
        normalize(hpa, history, options, now, &mut answer, proposed);
        answer.reason = match answer.replicas.cmp(&current) {
            std::cmp::Ordering::Greater => format!("{metric} is above its target"),
            std::cmp::Ordering::Less => "all metrics are below their targets".into(),
            std::cmp::Ordering::Equal => String::new(),
        };
    }
    if answer.is_rescaled() {
        let message = format!("the scale of the target was set to {}", answer.replicas);
        note(&mut answer, able, true, "SucceededRescale", message);
    }
    answer.desired = answer.replicas;
    answer
}

/// The highest proposal and its metric. Metrics that fail forbid fewer replicas.
fn propose(
    hpa: &Autoscaler,
    observed: &Observed<'_>,
    options: &Options,
    now: i64,
    answer: &mut Answer,
) -> Result<(i32, String), String> {
    let active = ConditionKind::ScalingActive;
    let fail = |answer: &mut Answer, reason: &str, message: String| {
        set(&mut answer.conditions, now, active, false, reason, message.clone());
        Err(message)
    };
    let selector = match observed.selection {
        Selection::Of(selector) => selector,
        Selection::Missing => {
            return fail(answer, "InvalidSelector", "the scale of the target has no selector of pods".into());
        }
        Selection::Invalid(why) => {
            return fail(answer, "InvalidSelector", format!("the selector of the target cannot be read: {why}"));
        }
    };
    work::spend((selector.cost() + 1).saturating_mul(observed.pods.len() as u64));
    let is_own = |pod: &&PodState| pod.namespace == hpa.namespace && selector.matches(&pod.labels);
    let selected: Vec<&PodState> = observed.pods.iter().filter(is_own).collect();
    if let Some(rivals) = rivals(hpa, observed, &selected) {
        let message = format!("pods of the target are also scaled by other autoscalers: {rivals}");
        return fail(answer, "AmbiguousSelector", message);
    }
    let names = selected.iter().map(|pod| &*pod.name).collect();
    let context = Context {
        namespace: &hpa.namespace,
        metrics: observed.metrics,
        options,
        tolerances: tolerances(hpa, options),
        observed_replicas: observed.observed_replicas,
        now,
        current: observed.replicas,
        selector,
        selected,
        names,
    };
    let (mut best, mut best_metric) = (0, String::new());
    let mut first: Option<(&str, String, String)> = None;
    let mut failed = 0;
    for metric in &hpa.metrics {
        let (words, reason, result) = by_metric(&context, metric);
        match &result {
            Ok(proposed) if best == 0 || proposed.replicas > best => {
                best = proposed.replicas;
                best_metric.clone_from(&words);
            }
            Ok(_) => {}
            Err(why) => {
                failed += 1;
                first.get_or_insert_with(|| (reason, words.clone(), why.clone()));
            }
        }
        answer.proposals.push(Proposal { metric: words, result });
    }
    if let Some((reason, words, why)) = first {
        let error = format!("{failed} of {} metrics failed; the first one, {words}: {why}", hpa.metrics.len());
        if failed >= hpa.metrics.len() || best < observed.replicas {
            let message = format!("there is no number of replicas by {words}: {why}");
            set(&mut answer.conditions, now, active, false, reason, message);
            return Err(error);
        }
        answer.error = Some(error);
    }
    let message = format!("the number of replicas follows from {best_metric}");
    set(&mut answer.conditions, now, active, true, "ValidMetricFound", message);
    Ok((best, best_metric))
}

/// A metric in words, the reason of its failure, and its result.
fn by_metric(of: &Context<'_>, metric: &Metric) -> (String, &'static str, Result<Proposed, String>) {
    match metric {
        Metric::Resource { name, target } => {
            (format!("the use of {name}"), "FailedGetResourceMetric", resource::propose(of, name, *target))
        }
        Metric::ContainerResource { name, container, target } => (
            format!("the use of {name} by container {container}"),
            "FailedGetContainerResourceMetric",
            container_resource::propose(of, name, container, *target),
        ),
        Metric::Pods { metric, average } => {
            (format!("the metric {} of pods", metric.name), "FailedGetPodsMetric", pods::propose(of, metric, *average))
        }
        Metric::Object { of: object, metric, target } => (
            format!("the metric {} of {} {}", metric.name, object.kind, object.name),
            "FailedGetObjectMetric",
            object::propose(of, object, metric, *target),
        ),
        Metric::External { metric, target } => (
            format!("the external metric {}", metric.name),
            "FailedGetExternalMetric",
            external::propose(of, metric, *target),
        ),
    }
}

/// The names of other autoscalers that select a pod of the target.
fn rivals(hpa: &Autoscaler, observed: &Observed<'_>, selected: &[&PodState]) -> Option<String> {
    let selects = |rival: &&Rival| {
        work::spend(rival.selector.cost().saturating_mul(selected.len() as u64));
        rival.name != hpa.name && selected.iter().any(|pod| rival.selector.matches(&pod.labels))
    };
    let names: Vec<&str> = observed.rivals.iter().filter(selects).map(|rival| &*rival.name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn tolerances(hpa: &Autoscaler, options: &Options) -> Tolerances {
    let of = |tolerance: Option<f64>| tolerance.unwrap_or(options.tolerance);
    match &hpa.behavior {
        None => Tolerances { down: options.tolerance, up: options.tolerance },
        Some(behavior) => Tolerances { down: of(behavior.down.tolerance), up: of(behavior.up.tolerance) },
    }
}

/// Stabilizes and limits a proposal.
fn normalize(hpa: &Autoscaler, history: &mut History, options: &Options, now: i64, answer: &mut Answer, proposed: i32) {
    // A negative proposal stands for none.
    let (current, proposed) = (answer.current, proposed.max(0));
    let is_down = hpa.behavior.is_none() || proposed < current;
    let stabilized = match &hpa.behavior {
        None => stabilization::by_window(history, proposed, options, now),
        Some(behavior) => stabilization::by_behavior(history, behavior, current, proposed, options, now),
    };
    let (reason, message) = match (stabilized == proposed, is_down) {
        (true, _) => ("ReadyForNewScale", "no earlier proposal holds the number of replicas back"),
        (false, true) => ("ScaleDownStabilized", "the highest recent proposal counts, which is above the present one"),
        (false, false) => ("ScaleUpStabilized", "the lowest recent proposal counts, which is below the present one"),
    };
    set(&mut answer.conditions, now, ConditionKind::AbleToScale, true, reason, message);
    let (replicas, limit) = policies::limited(hpa, history, current, stabilized, now);
    let reason = limit.map_or("DesiredWithinRange", Limit::reason);
    let message = limit.map_or("the wanted number of replicas is within the limits", Limit::message);
    set(&mut answer.conditions, now, ConditionKind::ScalingLimited, limit.is_some(), reason, message);
    answer.proposed = Some(proposed);
    answer.stabilized = Some(stabilized);
    answer.limit = limit;
    answer.replicas = replicas;
}
